"""A folder of tables as `tawt init` sees it: what each was taken for, and what a person is to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tawt.contracts.table import read_table
from tawt.errors import ConfigError, SourceError, TawtError, nearest
from tawt.project import SHARED, asset
from tawt.raw.cells import Cells, cells_of
from tawt.raw.formats import MOST_NAMED
from tawt.raw.found import FoundTable, PassedOver
from tawt.raw.parts import without_version
from tawt.raw.tables import tables_below
from tawt.sources.alike import note_later
from tawt.sources.drafted import Drafted
from tawt.sources.relate import Looked, by_name, look_at
from tawt.sources.said import said_of_all
from tawt.sources.shapes import ColumnShape, shape_of
from tawt.sources.subjects import Whose, of_one_subject, subject_at, whose_records

_NAMES = re.compile(r"`[^`]*`(?:, `[^`]*`)*")
"""Columns as a note names them."""
_FEW = 3
_OF_DICTIONARY = 10
"""So many times the records of a table without subjects are looked at."""


@dataclass(frozen=True)
class Look:
    """What lies in a folder of tables."""

    tables: tuple[Drafted, ...]
    said: tuple[str, ...]
    """What to look at that is of no table alone."""
    passed: tuple[PassedOver, ...]
    """What is not read."""
    images: bool = False
    """Whether a table of images lies there, which no draft describes: what it is, is said for all sources."""

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return what each table was taken for: its name, what it is, whose, when, and what it says."""
        rows = []
        for table in self.tables:
            guess = table.guess
            time = guess.time or (table.stays.moment_told if table.stays is not None else "")
            owner = table.owner if guess.kind != "other" else None
            whose = guess.subject or (f"of {guess.stay} in {owner.name}" if owner is not None else "")
            rows.append((table.name, _kind(table), whose, time, _says(table)))
        return rows

    def notes(self) -> list[str]:
        """Return what to look at, a line each: what is surely wrong or undecided first, what is left out last."""
        told: dict[str, dict[str, list[str]]] = {}
        for table in self.tables:
            for note in table.guess.notes:
                bare = _NAMES.sub("", note, count=1) if len(_NAMES.findall(note)) == 1 else note
                told.setdefault(bare, {}).setdefault(note, []).append(table.name)
        notes = [*self.said, *(_told_once(tables_of) for tables_of in told.values())]
        notes += [f"not read, {line}" for line in _unread(self.passed)]
        return sorted(notes, key=_weight)


def look_below(
    raw: Path, records: int, subject: str | None = None, report: Callable[[str], None] = lambda table: None
) -> Look:
    """Look at the first records of every table below a folder.

    Args:
        raw: The folder.
        records: How many of each.
        subject: The name of the subject's column, where the user gives it.
        report: Is told the name of a table before it is read.

    Raises:
        SourceError: The folder holds no table of subjects.
        ConfigError: No table has such a column.
    """
    found, passed = tables_below(
        raw,
        lambda header: subject not in header and of_one_subject(header),
        lambda header: subject_at(header, subject),
    )
    of_all = read_table(asset(f"schemas/{SHARED}/images.yaml"))
    images = [one for one in found if one.place in of_all.paths and {*of_all.key} <= {*one.header}]
    tables = by_name(one for one in found if one not in images)
    with cells_of(tables, passed, report) as cells:
        looked: dict[str, Looked] = {}
        for table, one in tables.items():
            if seen := _looked(table, one, cells, records, passed):
                looked[table] = seen
        columns = {column for one in looked.values() for column in one.shapes}
        if subject is not None and subject not in columns:
            raise ConfigError(
                f"--subject {subject}", "is a column of no table, expected one that is", nearest(subject, columns)
            )
        whose = whose_records({table: one.shapes for table, one in looked.items()}, subject)
        for table, seen in looked.items():
            if seen.is_cut:
                looked[table] = _look_on(table, seen, cells, records, whose)
        _settle_days([shape for one in looked.values() for shape in one.shapes.values()])
        whose = whose_records({table: one.shapes for table, one in looked.items()}, subject)
        drafted = look_at(looked, whose, cells)
    for each in drafted:
        if not each.has_events and len(each.found.files) > 1 and of_one_subject(each.found.header):
            each.guess.notes.append("its files may be of one subject each: unpack them: their names are read as ids")
    if not any(table.has_events for table in drafted):
        raise SourceError(
            str(raw), f"holds {len(looked)} tables, none with a column that says whose a record is, expected one",
            "name it: `--subject COLUMN`"
            if looked
            else "; ".join(_unread(passed)[:_FEW]) or "is it the folder of the raw tables?",
        )  # fmt: skip
    of_images = (f"{one.place}: the table of images: each is an event, by `images: true`" for one in images)
    said = (*whose.notes, *said_of_all(drafted), *_said_of_parts(drafted), *of_images)
    return Look(tuple(drafted), said, tuple(passed), bool(images))


def _said_of_parts(drafted: Sequence[Drafted]) -> Iterator[str]:
    """Yield which files are read as parts of one table, and which tables are alike and are none."""
    for table in drafted:
        if names := sorted(table.found.parts):
            is_told = len(names) <= MOST_NAMED and not table.found.is_named  # of many each may name a subject
            listed = f": {', '.join(names)}" if is_told else ""
            files = "a file is read as its part" if len(names) == 1 else f"{len(names)} files are read as its parts"
            yield f"{table.name}: {files}{listed}"
        elif table.found.members is not None and len(table.found.files) > 1:
            yield f"{table.name}: {len(table.found.files):,} files are read as one table, the name of each as `_member`"
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for table in drafted:
        if bare := without_version(table.found.place):
            alike.setdefault((bare, table.found.header), []).append(table.name)
    for names in alike.values():
        if names[1:]:
            yield (
                f"UNDECIDED: {', '.join(names)} have the same columns and are drafted apart: parts of one table have "
                "numbers; if they are versions of one table, keep one, or what stands in both is told twice"
            )


def _looked(table: str, one: FoundTable, cells: Cells, records: int, passed: list[PassedOver]) -> Looked | None:
    """Return what the first records of a table look like; None where it is passed over."""
    try:
        first, n_read = cells.first(table, records)
    except TawtError as error:
        passed.append(PassedOver(one.place, error.what))
        return None
    shapes = {column: shape_of(column, found, one.is_written) for column, found in first.items()}
    note_later(first, shapes)
    if len(shapes) < len(one.header):
        passed.append(PassedOver(one.place, "a column is called `_row`, has a line end in its name, or holds no cells"))
    if any(shape.n for shape in shapes.values()):
        return Looked(one, shapes, n_read == records)
    why = "no record has as many fields as the header" if n_read else "a header and no record"
    passed.append(PassedOver(one.place, why))
    return None


def _look_on(table: str, seen: Looked, cells: Cells, records: int, whose: Whose) -> Looked:
    """Look at what lies behind the first records of a table, where that may change what it is taken for."""
    by = whose.columns.get(table) or next(iter(whose.owners.get(table, ())), None)
    if by is None:
        # a dictionary whose first records alone were seen would seem not to know the codes behind them
        first, n_read = cells.first(table, _OF_DICTIONARY * records)
        shapes = {column: shape_of(column, first[column], seen.found.is_written) for column in seen.shapes}
        return Looked(seen.found, shapes, n_read == _OF_DICTIONARY * records)
    days = [c for c, shape in seen.shapes.items() if any(form.order == "xxy" for form in shape.forms)]
    # records that are alike are one subject's: those of some subjects tell of all
    orders, some = cells.beyond(table, days, by, records, records)
    for column, (first_above_12, second_above_12) in orders.items():
        seen.shapes[column].first_above_12 = first_above_12
        seen.shapes[column].second_above_12 = second_above_12
    for column, more in some.items():
        seen.shapes[column].note_more(more)
    return seen


def _settle_days(shapes: Sequence[ColumnShape]) -> None:
    """Let columns in which no cell tells day from month be read as the others are, where these are of one mind."""
    said = {shape.day_first for shape in shapes} - {None}
    for shape in shapes:
        shape.beside = said != {False}


def _told_once(tables_of: Mapping[str, list[str]]) -> str:
    """Return what is to be said of some tables: once, though each has columns of its own names.

    Args:
        tables_of: The notes, alike but for the names in them -> the tables of each.
    """
    note = next(iter(tables_of))
    if len(tables_of) == 1:
        return f"{', '.join(tables_of[note])}: {note}"
    whose = [f"{_NAMES.findall(one)[0]} of {', '.join(names)}" for one, names in tables_of.items()]
    return _NAMES.sub(lambda _: "; ".join(whose), note, count=1)


def _unread(passed: Sequence[PassedOver]) -> list[str]:
    """Return why files are not read, and their names where few lie in a folder: those of many can be people's."""
    of_files: dict[str, dict[str, list[str]]] = {}
    for one in passed:
        of_files.setdefault(one.why, {}).setdefault(one.place.rpartition("/")[0], []).append(one.place)
    lines = []
    for why, by_folder in of_files.items():
        said = []
        for folder, places in by_folder.items():
            names = [*dict.fromkeys(places)]
            is_named = len(names) <= MOST_NAMED or not folder
            said.append(", ".join(names) if is_named else f"{len(names):,} files of {folder}/")
        lines.append(f"{why}: {', '.join(said)}")
    return lines


def _weight(note: str) -> int:
    """Return how far down a note may stand."""
    if "WRONG" in note or "LEFT OUT" in note:
        return 0
    if "UNDECIDED" in note:
        return 1
    return 3 if "left out" in note or "not read, " in note else 2


def _kind(table: Drafted) -> str:
    kinds = {
        "results": "a code per record",
        "wide": "a measurement per column",
        "dictionary": "names of codes",
        "link": "whose records",
    }
    return "off" if table.off is not None else kinds.get(table.guess.kind, "left out")


def _says(table: Drafted) -> str:
    guess = table.guess
    if guess.kind == "wide":
        counts = {"code": len(guess.codes[-1:]), "number": len(guess.measured), "text": len(guess.traits)}
        parts = [f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n]
        return ", ".join([*parts, *["birth"] * bool(guess.birth), *["death"] * bool(guess.death)])
    value = next((f": {column}" for column in (guess.number, guess.text) if column is not None), "")
    unit = f" in {guess.unit}" if guess.unit is not None else ""
    return f"{' '.join(guess.codes)}{value}{unit}" if guess.kind != "other" else ""
