"""What a column looks like: counts of the shapes of its cells. A cell is looked at, counted and forgotten."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from tawt.project import asset
from tawt.sources.bare import bare, common, hashed
from tawt.sources.kinds import kind_of
from tawt.sources.names import IDS, SUBJECTS, flat
from tawt.sources.numerals import Numerals
from tawt.sources.odd import MARKS, MISSING, is_no_number, n_with_unit, sentinels_in
from tawt.sources.odd_times import unread_time
from tawt.sources.time_forms import SeenTime, TimeForm, seen_time

NUMBERS = ("whole", "decimal", "signed", "compared")
"""Shapes of a cell that is a number or a bound; one that is `signed` has commas, blanks or several points in it."""
_LONG = 80
"""Letters from which on a text is prose."""
_YEAR_1850 = 18_500_000
"""The least number that may be a day in digits alone."""
_ENOUGH = 0.98
"""Share of the filled cells that must have a shape: a few dirty ones change no guess."""
_POINT_ZERO = re.compile(r"\s*-?\d+\.0+\s*", re.ASCII)
"""A whole number as a program writes it that takes it for a decimal one."""


@dataclass
class ColumnShape:
    """Counts of a column's cells by shape."""

    name: str
    n: int = 0
    n_distinct: int = 0
    n_long: int = 0
    n_brief: int = 0
    """Texts of up to five letters, as many codes are."""
    n_padded: int = 0
    """Whole numbers with zeros in front, which mean something else without."""
    n_joined: int = 0
    """Whole numbers that could be days, as 20240131, or days with a time on them, as 202401310815."""
    n_big: int = 0
    """Whole numbers of seven digits and more: hardly counts of anything."""
    n_short: int = 0
    """Whole numbers of up to three digits, which many columns share that have nothing to do with one another."""
    n_point_zero: int = 0
    """Whole numbers with a point and zeros behind, as `17.0`."""
    n_midnight: int = 0
    """Days that have 0:00 on them."""
    n_future: int = 0
    """Days behind the year 2100, as those that were moved to protect the subjects."""
    first_above_12: int = 0
    second_above_12: int = 0
    beside: bool = True
    """Whether the other columns of the source say that the day stands before the month."""
    comes_again: bool = False
    """Whether a cell that came once in what was looked at first comes again."""
    kinds: Counter[str] = field(default_factory=Counter)
    """`empty`, `mark`, `whole`, `decimal`, `signed`, `compared`, `clock`, `time`, `text` -> cells."""
    forms: Counter[TimeForm] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    sentinels: tuple[str, ...] = ()
    """Numbers that may stand for a missing one."""
    unread_time: str = ""
    """Of what looks like a time and is in no form that is read: how most cells look, digits as 9s."""
    n_with_unit: int = 0
    """Numbers with a word or a sign behind them."""
    numerals: Numerals = field(default_factory=Numerals)
    """What the commas and points in its numbers say; nothing where these are no text."""
    hashes: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), repr=False, compare=False)
    """Of the different cells of what may be a code or an id, of this process alone: to tell what two columns share."""
    records: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), repr=False, compare=False)
    """Of the cells in their order, of this process alone: to tell which records are alike."""
    later_than: frozenset[str] = frozenset()
    """Of a time: the other times of the table that it is hardly ever before, and often after."""

    @property
    def n_filled(self) -> int:
        """Cells that say something."""
        return self.n - self.kinds["empty"] - self.kinds["mark"]

    def share(self, *kinds: str) -> float:
        """Return the share of the filled cells that are of these kinds."""
        return sum(self.kinds[kind] for kind in kinds) / self.n_filled if self.n_filled else 0.0

    @property
    def is_whole(self) -> bool:
        """Whether the cells are whole numbers."""
        return self.share("whole") >= _ENOUGH and not self.is_time

    @property
    def is_number(self) -> bool:
        """Whether the cells are numbers, or bounds as `<0.1`."""
        return self.share(*NUMBERS) >= _ENOUGH and not self.is_time

    @property
    def is_telling(self) -> bool:
        """Whether another column shares its cells hardly by chance: several words, or numbers that are not short."""
        return len(self.hashes) >= 5 and self.n_short <= 0.1 * self.n_filled

    @cached_property
    def is_counter(self) -> bool:
        """Whether the cells number the records, as a column of row numbers does."""
        n = len(self.hashes)
        return self.is_whole and len(common(self.hashes, hashed(map(str, range(n + n // 10 + 2))))) > 0.9 * n

    def part_in(self, other: ColumnShape) -> float:
        """Return the share of the different cells that are also in another column."""
        return len(common(self.hashes, other.hashes)) / len(self.hashes) if len(self.hashes) else 0.0

    @property
    def is_flag(self) -> bool:
        """Whether every cell says yes or no, as the macro `truth` takes it, or is empty."""
        return self.is_of(yes_and_no())

    def is_of(self, words: Iterable[str]) -> bool:
        """Whether every cell is one of some words, or is empty."""
        return 0 < len(self.hashes) == len(common(self.hashes, hashed(map(bare, words))))

    def words_of(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return those of some words that are cells of it, in small or capital letters."""
        return tuple(word for word in words if len(common(hashed([bare(word)]), self.hashes)))

    def tells(self, other: ColumnShape) -> bool:
        """Whether a column has one cell for each of its own, of which several come again, and so says nothing new."""
        n_own, n_both = (len({*zip(*columns, strict=True)}) for columns in (
            [self.records.tolist()], [self.records.tolist(), other.records.tolist()]
        ))  # fmt: skip
        return 1 < n_own == n_both < 0.5 * len(self.records) and other.n_distinct > 1

    def take_for_a_word(self, mark: str) -> None:
        """Let a mark of a missing cell be a word like others."""
        n = self.marks.pop(mark)
        self.kinds.update({"mark": -n, "text": n})
        self.hashes = np.union1d(self.hashes, hashed([bare(mark)]))

    def n_of(self, cell: str) -> int:
        """Return how many cells are this one."""
        return int(np.count_nonzero(self.records == hash(cell)))

    def n_beside(self, other: ColumnShape) -> int:
        """Return how many different pairs of cells it has with another column."""
        return len({*zip(self.records.tolist(), other.records.tolist(), strict=True)})

    @property
    def is_time(self) -> bool:
        """Whether the cells are days, with or without a time."""
        n_joined = 0 if is_id_by_name(self.name) else self.n_joined  # ids may begin with the year, too
        return self.n_filled > 0 and self.kinds["time"] + n_joined >= _ENOUGH * self.n_filled

    @property
    def has_clock(self) -> bool:
        """Whether most of the days have a time on them; one that stands at 0:00 is none."""
        return self.share_of_days < 0.5

    @property
    def has_days(self) -> bool:
        """Whether more of them stand at 0:00, or have no time, than moments do by chance."""
        return self.share_of_days > 0.1

    @property
    def share_of_days(self) -> float:
        """The share of the times that are days alone, or stand at 0:00."""
        n_timed = sum(n for form, n in self.forms.items() if form.clock) - self.n_midnight
        return 1 - n_timed / self.forms.total() if self.forms else 0.0

    @property
    def is_clock(self) -> bool:
        """Whether the cells are times without a day."""
        return self.share("clock") >= _ENOUGH

    @property
    def is_unique(self) -> bool:
        """Whether no cell comes twice, and none is empty."""
        return self.n > 1 and self.n_distinct == self.n == self.n_filled and not self.comes_again

    @property
    def is_prose(self) -> bool:
        """Whether the cells are long texts."""
        return self.n_long > 0.2 * self.n_filled

    @property
    def day_first(self) -> bool | None:
        """Whether the day stands before the month; None = no cell decides it, or they differ."""
        n = self.first_above_12 + self.second_above_12
        if not n or _ENOUGH * n > max(self.first_above_12, self.second_above_12):
            return None
        return self.first_above_12 > self.second_above_12

    @property
    def reads_day_first(self) -> bool:
        """Whether the day is read before the month: as its cells decide, else as other columns do."""
        return self.beside if self.day_first is None else self.day_first

    def note_more(self, cells: Sequence[str | None]) -> None:
        """Note which of more records are alike, to each other and to those seen."""
        self.records = np.concatenate([self.records, np.fromiter(map(hash, cells), np.int64)])
        self.comes_again = self.is_unique and len(np.unique(self.records)) < len(self.records)

    @property
    def odd_marks(self) -> list[str]:
        """The cells of a text that may stand for a missing one, and may be a word."""
        words = [mark for mark in self.marks if mark not in MISSING and not is_no_number(mark)]
        return sorted(words) if self.share("text") > 1 - _ENOUGH else []


def shape_of(name: str, cells: Iterable[str | None], is_text: bool = True) -> ColumnShape:
    """Count the shapes of a column's cells; of one that is no text a number has no sign that must be understood."""
    shape = ColumnShape(name)
    cells = list(cells)
    counted = Counter(cells)  # equal cells are looked at once
    shape.records = np.fromiter(map(hash, cells), np.int64)
    for cell, n in counted.items():
        shape.n += n
        _note(shape, cell or "", n)
        if is_text:
            shape.numerals.note(cell or "", n)
    shape.n_distinct = len(counted)
    _note_words(shape, counted)
    shape.sentinels = sentinels_in(counted) if shape.share(*NUMBERS) > 0.5 else ()
    shape.unread_time = "" if shape.is_time else unread_time(name, counted)
    shape.n_with_unit = n_with_unit(counted) if shape.kinds["text"] else 0
    n_named = shape.kinds["whole"] + shape.kinds["text"] + shape.n_point_zero
    if 2 * n_named > shape.n_filled and not shape.is_prose:
        shape.hashes = hashed(bare(cell) for cell in {(cell or "").strip() for cell in counted} - {"", *MARKS})
    if shape.unread_time and shape.is_counter:
        shape.unread_time = ""  # numbers that run are none
    return shape


def is_id_by_name(name: str) -> bool:
    """Whether a column is called as ids are."""
    return flat(name) in SUBJECTS or re.search(IDS, flat(name)) is not None


@cache
def yes_and_no() -> tuple[str, ...]:
    """Return the words that say yes or no, as the macro `truth` has them."""
    return tuple(re.findall(r"'(\w+)'", asset("sql/shared/macros/truth.sql").read_text(encoding="utf-8")))


def _note(shape: ColumnShape, cell: str, n: int) -> None:
    kind = kind_of(cell)
    shape.kinds[kind] += n
    shape.n_long += n * (len(cell) > _LONG)
    shape.n_brief += n * (kind == "text" and len(cell.strip()) <= 5)
    if kind == "mark":
        shape.marks[cell.strip()] += n
    elif kind == "whole":
        number = int(cell)
        shape.n_big += n * (abs(number) >= 1_000_000)
        shape.n_short += n * (abs(number) < 1000)
        shape.n_padded += n * (cell.strip().startswith("0") and number != 0)
        if number >= _YEAR_1850 and (joined := seen_time(cell)) is not None:
            shape.n_joined += n
            _note_time(shape, joined, n)
    elif kind == "decimal" and _POINT_ZERO.fullmatch(cell):
        shape.n_point_zero += n
        shape.n_short += n * (abs(float(cell)) < 1000)
    elif kind == "time" and (seen := seen_time(cell)) is not None:
        _note_time(shape, seen, n)


def _note_time(shape: ColumnShape, seen: SeenTime, n: int) -> None:
    shape.forms[seen.form] += n
    shape.n_midnight += n * (seen.seconds == 0)
    shape.n_future += n * (len(seen.year) == 4 and int(seen.year) > 2100)
    if seen.form.order == "xxy":
        shape.first_above_12 += n * (int(seen.parts[0]) > 12)
        shape.second_above_12 += n * (int(seen.parts[1]) > 12)


def _note_words(shape: ColumnShape, counted: Counter[str | None]) -> None:
    """Take for marks of a missing cell what says so among numbers."""
    said: Counter[str] = Counter()
    for cell, n in counted.items():
        if cell is not None and is_no_number(cell.strip()) and kind_of(cell) == "text":
            said[cell.strip()] += n
    if said and shape.kinds["text"] - said.total() < sum(shape.kinds[kind] for kind in NUMBERS):
        shape.marks.update(said)
        shape.kinds.update({"text": -said.total(), "mark": said.total()})
