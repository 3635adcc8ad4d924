"""What a table of an unknown source may be, and what its columns may mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tawt.sources.shapes import ColumnShape

Shapes = Mapping[str, ColumnShape]
"""The shapes of a table's columns."""


@dataclass
class Guess:
    """What a table may be, and what its columns may mean."""

    kind: str
    """`results` (a code per row), `wide` (a measurement per column, perhaps with a code of a stay), `dictionary`,
    `link` (only whose the records of others are), or `other` (nothing to tell)."""
    subject: str | None = None
    time: str | None = None
    minutes: int | None = None
    """Where times are numbers: the minutes that one counts from admission; 0 = they are `hours:minutes`."""
    ready: str | None = None
    """When it could be read."""
    is_stay: bool = False
    """Whether a record is a stay, of which some is known when it begins, whenever the record was written."""
    end: str | None = None
    stay: str | None = None
    clocks: dict[str, str] = field(default_factory=dict)
    """Column of a day -> the column of the time on it."""
    identity: tuple[str, ...] = ()
    """What tells two records apart that are otherwise alike."""
    codes: tuple[str, ...] = ()
    instead: str | None = None
    """What says in words what a record is of, where its code is empty or 0."""
    label: str | None = None
    number: str | None = None
    text: str | None = None
    unit: str | None = None
    side: str | None = None
    """What says that a number is a bound."""
    birth: tuple[str, ...] = ()
    """A day; or the columns of year, month and day; or of an age and the year it was reached in."""
    death: str | None = None
    events: tuple[str, ...] = ()
    """Other times, each an event of its own."""
    lasts: tuple[str, ...] = ()
    """Of a person: the times at the last of which is told what nobody says was so from birth."""
    measured: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    """Those of them whose names say a unit -> that."""
    traits: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    """Columns of these and of codes that are known at the end."""
    marked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that mark a record as wrong or doubtful -> the words by which they do, in small letters."""
    keys: tuple[str, ...] = ()
    """Columns by which records of other tables are joined to its own."""
    orders: tuple[str, ...] = ()
    """Of a table of stays without a calendar: what tells which came first."""
    lends: tuple[str, ...] = ()
    """Times that only other tables take from it."""
    unread: tuple[str, ...] = ()
    doubts: dict[str, str] = field(default_factory=dict)
    """Columns of which the guess may be wrong -> why."""
    notes: list[str] = field(default_factory=list)
