"""A table of a draft: as it lies there, what it may be, and how its columns are called and read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache

import duckdb

from tawt.contracts.table import IN_STEPS, OF_VALUE
from tawt.database.catalog import is_called
from tawt.database.connect import literal
from tawt.raw.found import FoundTable
from tawt.sources.declare import plain_name
from tawt.sources.names import ADMITTED, ASKED, DOUBTFUL, YES, flat, plain
from tawt.sources.numerals import Numerals
from tawt.sources.roles import Guess, Shapes

_OF_VALUE = (*(column.name for column in OF_VALUE), *IN_STEPS)
"""Names that staging has for columns of its own where a table has a value."""
_MARKED = {"wrong": "marked_error", "doubtful": "marked_doubtful"}
"""The reasons of a record that its source marks as wrong or cancelled, or as a suspicion."""
_OF_EVENTS = (
    "time",
    "code",
    "numeric_value",
    "text_value",
    "value_status",
    "begins",
    "readable",
    *_MARKED,
    "record_id",
    "stay_begins",
)
"""Names that an event part of several columns has for its own."""
_OF_JOINS = ("minutes", "stay_end", "stay_time", "stay_begins", "ready_at", "died_at")


@cache
def reserved_words() -> frozenset[str]:
    """Return the words that are no name of a column in SQL without quotes."""
    with duckdb.connect() as connection:
        words = connection.execute("select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'")
        return frozenset(word for (word,) in words.fetchall())


@dataclass
class Drafted:
    """A table of the draft."""

    name: str
    """The relation: `raw.<name>`, `staging.<name>`."""
    found: FoundTable
    shapes: Shapes
    guess: Guess
    is_cut: bool = False
    """Whether it has more records than were looked at."""
    staged: dict[str, str] = field(default_factory=dict)
    """Columns that are read -> their names in staging."""
    types: dict[str, str] = field(default_factory=dict)
    """Columns that are read -> their types."""
    prefix: str = ""
    """What its codes begin with."""
    stays: Drafted | None = None
    """The table whose records say when its own happened, for one without a time."""
    ready_in: Drafted | None = None
    """The table whose records say when its own could be read, for one that does not."""
    owner: Drafted | None = None
    """The table that says whose its records are, for one that names only stays."""
    joined_by: str | None = None
    """The column of the table of the stays by which its records are joined to that, or to the one of `ready_in`."""
    died_in: tuple[Drafted, str] | None = None
    """A table that has the moment of deaths of which this one has the day, and its column."""
    tells_stays: bool = False
    """Whether it is the owner of others whose times count from the beginning of a stay."""
    names: list[Drafted] = field(default_factory=list)
    """Of a dictionary: the tables whose codes it names."""
    signs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Columns whose numbers are not written with a point alone -> the signs before decimals and between thousands."""
    latest: dict[str, date] = field(default_factory=dict)
    """Columns of births whose year has two digits -> the last day that they can be."""
    off: str | None = None
    """Why its events are drafted and not made."""

    @property
    def of_value(self) -> list[str]:
        """The columns that are judged together as a value in staging."""
        guess = self.guess
        return [c for c in (guess.text, guess.number, guess.unit) if c is not None]

    @property
    def has_value(self) -> bool:
        """Whether a record of it has a result."""
        return self.guess.text is not None or self.guess.number is not None

    @property
    def has_events(self) -> bool:
        """Whether its records become measurements."""
        return self.guess.kind in ("results", "wide")

    @property
    def is_counted(self) -> bool:
        """Whether its times count from the beginning of a stay."""
        return self.guess.minutes is not None or self.tells_stays

    @property
    def joins(self) -> Drafted | None:
        """The table whose stays its records are joined to."""
        return self.owner or self.stays or self.ready_in

    @property
    def lends_end(self) -> str | None:
        """When its records ended, if it reads that: with a code per record it tells one moment."""
        return self.guess.end if self.guess.kind == "wide" else None

    @property
    def lends_time(self) -> str | None:
        """The time that it gives to records of other tables: its end, or what tells when they were known or happened.

        What begins, is ordered or planned tells nothing of what comes of it.
        """
        guess = self.guess
        began = guess.time is None or re.search(f"{ADMITTED}|{ASKED}", flat(guess.time))
        known = guess.ready if not guess.is_stay else None
        return self.lends_end or (known if began else guess.time)

    @property
    def moment_told(self) -> str:
        """The moment that it gives to records of other tables, in words."""
        return f"end of its stay in {self.name}" if self.lends_end is not None else f"{self.lends_time} in {self.name}"

    @property
    def has_zone(self) -> bool:
        """Whether a time that is read is told in a zone."""
        times = [column for column, type_ in self.types.items() if type_ == "timestamp"]
        return any(form.zone for column in times for form in self.shapes[column].forms)

    @property
    def is_shifted(self) -> bool:
        """Whether its times lie in the future."""
        times = [self.shapes[column] for column, type_ in self.types.items() if type_ == "timestamp"]
        return any(2 * shape.n_future > shape.n_filled for shape in times)

    @property
    def is_once(self) -> bool:
        """Whether no subject has two records."""
        return self.guess.subject is not None and self.shapes[self.guess.subject].is_unique

    def marks(self) -> dict[str, tuple[str, str]]:
        """Return what a mark says of a record -> the SQL of whether one says so, and the reason that is then given."""
        found = {}
        for said, reason in _MARKED.items():
            words = {
                c: [literal(w) for w in ws if (w in DOUBTFUL) is (said == "doubtful")]
                for c, ws in self.guess.marked.items()
            }
            flags = [f"truth({self.column(c)})" for c in words if self.guess.marked[c] == YES and said == "wrong"]
            asked = {c: ws for c, ws in words.items() if ws and self.guess.marked[c] != YES}
            parts = [*flags, *(f"lower({self.column(c)}) in ({', '.join(ws)})" for c, ws in asked.items())]
            if parts:
                found[said] = " or ".join(parts), reason
        return found

    def column(self, raw: str | None) -> str:
        """Return a column's name in staging, as SQL has it."""
        assert raw is not None
        return plain_name(self.staged[raw])

    def join(self, home: Drafted, by: str) -> None:
        """Join its records to a table of stays by a column of that."""
        self.joined_by = by
        if by not in home.guess.keys:
            home.guess.keys = (*home.guess.keys, by)

    def leave_out(self, why: str, notes: Iterable[str] = ()) -> None:
        """Take nothing of it into the draft, and say why; what was noted before goes unless it is given."""
        said = [*notes, f"left out: {why}"]
        self.guess = Guess("other", self.guess.subject, unread=tuple(self.shapes), notes=said)

    def give_signs(self, beside: Sequence[Numerals]) -> None:
        """Say how the numbers of its columns are written.

        Args:
            beside: What the numbers of all tables say.
        """
        guess = self.guess
        for column in dict.fromkeys(c for c in (guess.number, guess.text, *guess.measured) if c is not None):
            numerals = self.shapes[column].numerals
            if (signs := numerals.signs(beside)) is not None:
                self.signs[column] = signs
        for column, signs in self.signs.items():
            if not any(signs):
                guess.notes.append(
                    f"UNDECIDED: a comma or a point in `{column}` may stand before decimals or between thousands: such "
                    "numbers are not read; say `decimal` and `thousands` in its contract"
                )
        for column in dict.fromkeys(c for c in (guess.number, guess.text, *guess.measured) if c is not None):
            if odd := self.shapes[column].sentinels:
                listed = ", ".join(f"`{one}`" for one in odd)
                guess.notes.append(f"UNDECIDED: {listed} in `{column}` may mean missing: read as a number; see `marks`")
        texts = [c for c in (guess.text, *guess.traits) if c is not None and c != guess.number]
        if held := [c for c in texts if 2 * self.shapes[c].n_with_unit > self.shapes[c].n_filled]:
            guess.notes.append(
                f"UNDECIDED: most cells are a number with a unit, as `5 %`, and are read as texts: "
                f"{', '.join(f'`{column}`' for column in held)}"
            )
        read: dict[tuple[str, str], list[str]] = {}
        for column, signs in self.signs.items():
            read.setdefault(signs, []).append(f"`{column}`")
        for (decimal, thousands), columns in read.items():
            between = f" and `{thousands}` as the one between thousands" if thousands else ""
            if decimal:
                guess.notes.append(f"`{decimal}` is read as the sign before decimals{between}: {', '.join(columns)}")

    def name_columns(self, wholes: Mapping[str, bool]) -> None:
        """Choose which columns are read, by what names and as what.

        Args:
            wholes: By name as it is compared, whether an id or a code is a whole number in every table.
        """
        guess = self.guess
        numbers = [*guess.codes, *guess.keys, *([guess.stay] if guess.stay else [])]
        days = [guess.time, guess.ready]
        if guess.kind != "results":  # which tells one moment of a record
            days += [guess.end, guess.death, *guess.events, *guess.lasts, *guess.birth]
        clocks = [clock for day, clock in guess.clocks.items() if day in (*days, *guess.lends)]
        texts = [guess.instead, guess.text, guess.unit, guess.label, guess.side, *clocks, *guess.marked, *guess.traits]
        if guess.subject is not None and guess.kind != "other":
            self.staged[guess.subject] = "subject_id"
            self.types[guess.subject] = "int64" if wholes["subject"] else "subject"
        is_day = len(guess.birth) == 1 and self.shapes[guess.birth[0]].is_time
        read: dict[str | None, str] = {
            **dict.fromkeys(guess.identity, "string"),
            **{column: "int64" if wholes[flat(column)] else "string" for column in numbers},
            **dict.fromkeys(
                [*days, *guess.lends], "timestamp" if guess.minutes is None else "int64" if guess.minutes else "string"
            ),
            **dict.fromkeys(() if is_day else guess.birth, "int64"),
            **dict.fromkeys([guess.number, *guess.measured], "float64"),
            **dict.fromkeys(texts, "string"),
            **dict.fromkeys(guess.orders, "int64"),
        }
        own = (*(_OF_EVENTS if guess.kind == "wide" else ()), *_OF_JOINS, *(_OF_VALUE if self.has_value else ()))
        for column in self.shapes if guess.kind != "other" else ():
            if column in read and column not in self.staged:
                self.types[column] = read[column]
                reserved = frozenset() if column in self.of_value else reserved_words().union(own)
                name = plain(column, self.staged.values(), reserved)
                # staging has names in `_cell` itself, and SQL takes some words for functions
                self.staged[column] = f"{name}_" if name.endswith("_cell") or is_called(name) else name
        guess.unread = tuple(column for column in self.shapes if column not in self.staged)
