"""The contract of a raw table as it is drafted, every guess marked."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from datetime import date

from tawt.sources.drafted import Drafted
from tawt.sources.names import flat
from tawt.sources.odd import MISSING, is_no_number
from tawt.sources.roles import Guess
from tawt.sources.shapes import ColumnShape

_SIMPLE = re.compile(r"[A-Za-z_]([A-Za-z0-9_ .-]*[A-Za-z0-9_.-])?")
_NOT_TEXT = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


def forms_of(shape: ColumnShape) -> list[str]:
    """Return how the days of a column are written, where that must be said."""
    if all(form.is_plain for form in shape.forms):
        return []
    day_first = shape.reads_day_first
    return list(dict.fromkeys(form.written(day_first) for form, _ in shape.forms.most_common()))


def contract_of(table: Drafted) -> str:
    """Return the contract of a raw table as YAML."""
    guess = table.guess
    by_stay = guess.stay if table.owner or table.stays or table.tells_stays else None
    # of a stay it may be told later, or never
    codes = guess.codes if guess.kind != "wide" and guess.instead is None else guess.codes[:-1] * (guess.kind != "wide")
    keys = [c for c in (guess.subject, by_stay, *codes, guess.time) if c is not None]
    lines = [
        f"description: {quoted(f'One row is one record of {table.name}.')}  # guessed: say what a row is",
        f"paths: [{quoted(table.found.place)}]",
        f"key: [{', '.join(map(quoted, keys))}]  # guessed: a record without one of these is quarantined",
        "columns:",
        *_columns(table),
    ]
    if table.of_value:
        said = {"text": guess.text, "number": guess.number, "unit": guess.unit}
        parts = ", ".join(f"{key}: {quoted(column)}" for key, column in said.items() if column is not None)
        lines.append(f"value: {{{parts}}}  # guessed")
    reasons = ", ".join(reason for _, reason in table.marks().values())
    lines += [f"reasons: [{reasons}]  # guessed: why its event part drops a record"] if reasons else []
    remarks = [f"look at: {note}" for note in guess.notes]
    remarks += [f"not read: {', '.join(one_line(column) for column in guess.unread)}"] if guess.unread else []
    for remark in remarks:
        lines += wrapped(remark, "# ", "#   ")
    return "\n".join(lines) + "\n"


def _columns(table: Drafted) -> Iterator[str]:
    meaning = _meanings(table.guess)
    for column, type_ in table.types.items():
        said: dict[str, str] = {"type": type_}
        shape = table.shapes[column]
        if table.staged[column] != column and column not in table.of_value:
            said["as"] = table.staged[column]
        if type_ == "timestamp" and (forms := forms_of(shape)):
            said["format"] = quoted(forms[0]) if len(forms) == 1 else f"[{', '.join(map(quoted, forms))}]"
            if any("%y" in form for form in forms):  # of the hundred years up to this one
                said["high"] = str(table.latest.get(column, date(date.today().year, 12, 31)))
        if column in table.signs:
            decimal, thousands = table.signs[column]
            said |= {"decimal": json.dumps(decimal)} | ({"thousands": json.dumps(thousands)} if thousands else {})
        if marks := _marks(table, column):
            said["marks"] = f"[{', '.join(map(quoted, marks))}]"
        said |= _birth_bounds(table.guess, column)
        text = type_ if len(said) == 1 else "{" + ", ".join(f"{key}: {value}" for key, value in said.items()) + "}"
        yield f"  {quoted(column)}: {text}" + (f"  # guessed: {meaning[column]}" if column in meaning else "")


def _marks(table: Drafted, column: str) -> list[str]:
    """Return the marks that stand for a missing cell of a column: of a text, those that are no word."""
    guess, seen = table.guess, table.shapes[column].marks
    is_text = table.types[column] == "string" and column != guess.stay and column not in guess.keys
    return sorted(mark for mark in seen if not is_text or mark in MISSING or is_no_number(mark))


def _birth_bounds(guess: Guess, column: str) -> dict[str, str]:
    if len(guess.birth) == 3 and column in guess.birth:
        low, high = ((1850, 2300), (1, 12), (1, 31))[guess.birth.index(column)]
        return {"low": str(low), "high": str(high)}
    if (column in guess.birth[-1:] and len(guess.birth) == 2) or (guess.birth == (column,) and "year" in flat(column)):
        return {"low": "1850", "high": "2300"}
    return {"low": "0", "high": "150"} if column in guess.birth[:1] and len(guess.birth) == 2 else {}


def _meanings(guess: Guess) -> dict[str, str]:
    def late(column: str) -> str:
        return ", known at the end" * (column in guess.late)

    def in_unit(column: str) -> str:
        return f" in {guess.units[column]}" if column in guess.units else ""

    pairs = [
        *((column, "when a record was written") for column in guess.lasts),
        *((column, "another time, told as an event of its own") for column in guess.events),
        *((column, "of the birth") for column in guess.birth),
        *((column, "tells records apart") for column in guess.identity),
        *((column, "a text" + late(column)) for column in guess.traits),
        *((c, f"a number{in_unit(c)}{late(c)}") for c in guess.measured),
        *((column, "says what the record is of" + late(column)) for column in guess.codes),
        *((column, "marks a record as wrong or doubtful") for column in guess.marked),
        *((clock, f"the time on `{one_line(day)}`") for day, clock in guess.clocks.items()),
        *((column, "read by another table") for column in guess.lends),
        (guess.instead, "what the record is of where it has no code"),
        (guess.label, "what a code means"),
        (guess.side, "whether a number is a bound"),
        (guess.stay, "the number of a stay"),
        (guess.end, "when it ended"),
        (guess.ready, "when it could be read"),
        (guess.death, "the death"),
        (guess.time, "when it happened"),
        (guess.subject, "whose record it is"),
    ]
    doubts = {column: f"; {why}" for column, why in guess.doubts.items()}
    return {column: f"{meaning}{doubts.get(column, '')}" for column, meaning in pairs if column is not None}


def quoted(text: str) -> str:
    """Return a text as YAML has it, in quotes where it must be."""
    if _SIMPLE.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return (
        json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f").replace("\u2028", "\\L").replace("\u2029", "\\P")
    )


def wrapped(text: str, first: str, then: str, width: int = 100) -> list[str]:
    """Return a text as lines of a width, each with what stands in front; names are not cut."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )


def one_line(text: str) -> str:
    """Return a name as it may stand in a comment."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
