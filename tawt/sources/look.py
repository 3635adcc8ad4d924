"""A folder of tables as `tawt init` sees it: what each was taken for, and what a person is to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tawt.errors import ConfigError, SourceError, nearest
from tawt.raw.tables import PassedOver, tables_below
from tawt.sources.alike import note_later
from tawt.sources.drafted import Drafted
from tawt.sources.relate import Looked, by_name, look_at, said_of_all
from tawt.sources.shapes import shape_of
from tawt.sources.subjects import whose_records

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

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return what each table was taken for: its name, what it is, whose, when, and what it says."""
        rows = []
        for table in self.tables:
            guess = table.guess
            time = guess.time or (f"end of its stay in {table.stays.name}" if table.stays is not None else "")
            whose = guess.subject or (f"of {guess.stay} in {table.owner.name}" if table.owner is not None else "")
            rows.append((table.name, _kind(table), whose, time, _says(table)))
        return rows

    def notes(self) -> list[str]:
        """Return what to look at, a line each: what is surely wrong or undecided first, what is left out last."""
        of_tables: dict[str, list[str]] = {}
        for table in self.tables:
            for note in table.guess.notes:
                of_tables.setdefault(note, []).append(table.name)
        of_files: dict[str, list[str]] = {}
        for one in self.passed:
            of_files.setdefault(one.why, []).append(one.place)
        notes = [*self.said, *(f"{', '.join(names)}: {note}" for note, names in of_tables.items())]
        notes += [f"not read, {why}: {', '.join(places)}" for why, places in of_files.items()]
        return sorted(notes, key=_weight)


def look_below(raw: Path, records: int, subject: str | None = None) -> Look:
    """Look at the first records of every table below a folder.

    Args:
        raw: The folder.
        records: How many of each.
        subject: The name of the subject's column, where the user gives it.

    Raises:
        SourceError: The folder holds no table of subjects.
        ConfigError: No table has such a column.
    """
    tables, passed = tables_below(raw)
    looked: dict[str, Looked] = {}
    for table, one in by_name(tables).items():
        cells, n_read = one.columns(records)
        shapes = {c: shape_of(c, found, one.is_written) for c, found in cells.items() if _can_be_named(c)}
        note_later(cells, shapes)
        if len(shapes) < len(cells):
            passed.append(PassedOver(one.place, "a column is called `_row`, or has a line end in its name"))
        if any(shape.n for shape in shapes.values()):
            looked[table] = Looked(one, shapes, n_read == records)
        else:
            why = "no record has as many fields as the header" if n_read else "a header and no record"
            passed.append(PassedOver(one.place, why))
    columns = {column for one in looked.values() for column in one.shapes}
    if subject is not None and subject not in columns:
        raise ConfigError(
            f"--subject {subject}", "is a column of no table, expected one that is", nearest(subject, columns)
        )
    whose = whose_records({table: one.shapes for table, one in looked.items()}, subject)
    for table, seen in looked.items():
        # a dictionary whose first records alone were seen would seem not to know the codes behind them
        if seen.is_cut and table not in whose.columns and table not in whose.owners:
            cells, n_read = seen.found.columns(_OF_DICTIONARY * records)
            shapes = {column: shape_of(column, cells[column], seen.found.is_written) for column in seen.shapes}
            looked[table] = Looked(seen.found, shapes, n_read == _OF_DICTIONARY * records)
    drafted = look_at(looked, whose)
    if not any(table.has_events for table in drafted):
        raise SourceError(
            str(raw), f"holds {len(looked)} tables, none with a column that says whose a record is, expected one",
            "name it: `--subject COLUMN`" if looked else "is it the folder of the raw tables?",
        )  # fmt: skip
    return Look(tuple(drafted), (*whose.notes, *said_of_all(drafted)), tuple(passed))


def _weight(note: str) -> int:
    """Return how far down a note may stand."""
    if "WRONG" in note or "LEFT OUT" in note:
        return 0
    if "UNDECIDED" in note:
        return 1
    return 3 if "left out" in note or "not read, " in note else 2


def _can_be_named(column: str) -> bool:
    return column.isprintable() and column.lower() != "_row"


def _kind(table: Drafted) -> str:
    kinds = {"results": "a code per record", "wide": "a measurement per column", "dictionary": "names of codes"}
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
