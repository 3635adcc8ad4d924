"""The cases of a draft: invented rows, and what each stage makes of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from tawt.sources.draft import forms_of, quoted
from tawt.sources.draft_sql import code_of_column, is_told_whole, stays_key
from tawt.sources.relate import Drafted

EPOCH = "2000-01-01"
"""Where times that count from an admission are put."""
_MOMENT = datetime(2024, 3, 1, 8, 30)
_MINUTES = 90
_NUMBER = re.compile(r"\d+(\.\d+)?")
Row = dict[str, str | None]


def staging_case(table: Drafted) -> str:
    """Return a case of the staging of a table: a record that is kept, and one that is not."""
    guess = table.guess
    given: Row = {column: _cell(table, column) for column in table.staged}
    expect: Row = {table.staged[c]: _read(table, c) for c in table.staged if c not in table.of_value}
    if table.of_value:
        expect |= _value(table)
    key = guess.subject or guess.codes[-1]
    bad = {**given, key: None}
    refused: Row = {"_reason": f"quarantine:{key}:missing"}
    return _case(
        f"a record is read as the contract says; one without `{key}` is not kept",
        {f"raw.{table.name}": [given, bad]}, [{**expect, "_reason": None}, refused],
    )  # fmt: skip


def event_case(table: Drafted) -> str:
    """Return a case of the event part of a table."""
    guess = table.guess
    told = [c for c in table.staged if c not in table.of_value and c != guess.label]
    staged: Row = {table.staged[c]: _read(table, c) for c in told}
    given: dict[str, list[Row]] = {}
    time = _told(table, guess.time)
    if table.stays is not None and guess.stay is not None:
        stays = table.stays
        end = stays.guess.end or stays.guess.time
        stay = stays.staged[stays_key(stays, guess.stay)]
        assert end is not None
        given[f"staging.{stays.name}"] = [
            {"subject_id": "1", stay: staged[table.staged[guess.stay]], stays.staged[end]: _read(stays, end)}
        ]
        time = _told(stays, end)
    if guess.kind == "results":
        code = "//".join([table.prefix, *(staged[table.staged[c]] or "" for c in guess.codes)])
        value: Row = _value(table) if table.of_value else {"value_status": "none"}
        rows: list[Row] = [{"subject_id": "1", "time": time, "code": code, **value, "_reason": None}]
        staged |= value if table.of_value else {}
    else:
        few = {table.staged[c] for c in guess.measured[2:]}
        staged = {name: cell for name, cell in staged.items() if name not in few}
        rows = [{"subject_id": "1", **row, "_reason": None} for row in _wide_rows(table, time)]
    staged["subject_id"] = "1"
    given = {f"staging.{table.name}": [staged], **given}
    counts = guess.minutes is not None or (table.stays is not None and table.stays.guess.minutes is not None)
    return _case("a record gives what it says, at its time", given, rows, counts)


def codes_case(table: Drafted, prefix: str) -> str:
    """Return a case of the stage that says what codes mean: of two records of one code the first speaks."""
    guess = table.guess
    cells = {table.staged[c]: _read(table, c) for c in guess.codes}
    label = table.staged[guess.label or ""]
    code = "//".join([prefix, *(cell or "" for cell in cells.values())])
    given: list[Row] = [{**cells, label: "a name"}, {**cells, label: "another"}]
    expect: list[Row] = [{"code": code, "description": "a name", "_reason": None}, {"_reason": "drop:listed_before"}]
    return _case("of two records of one code the first speaks", {f"staging.{table.name}": given}, expect)


def _wide_rows(table: Drafted, time: str | None) -> list[Row]:
    """Return the events of the invented record, in the order in which cases are compared."""
    guess = table.guess
    rows: list[Row] = []
    if is_told_whole(table):
        rows.append({"time": time, "code": table.prefix, "value_status": "none"})
    if guess.birth:
        rows.append({"time": _birth(table), "code": "MEDS_BIRTH", "value_status": "none"})
    if guess.death is not None:
        told = _told(table, guess.death) or ""
        by_day = guess.minutes is None and not table.shapes[guess.death].has_clock
        rows.append({"time": told.replace("00:00:00", "23:59:59") if by_day else told, "code": "MEDS_DEATH"})
    for column in (*guess.events, *([guess.end] if guess.end else [])):
        rows.append({"time": _told(table, column), "code": code_of_column(table, column), "value_status": "none"})
    for column, at in [(c, time) for c in guess.traits] + [(c, _told(table, guess.end)) for c in guess.late]:
        text = _read(table, column)
        rows.append({"time": at, "code": code_of_column(table, column), "text_value": text, "value_status": "category"})
    for column in guess.measured[:2]:
        number = _read(table, column)
        code = code_of_column(table, column)
        rows.append({"time": time, "code": code, "numeric_value": number, "value_status": "numeric"})
    return sorted(rows, key=lambda row: (row["time"] or "", row["code"] or ""))


def _birth(table: Drafted) -> str:
    birth = table.guess.birth
    if len(birth) == 1 and table.types[birth[0]] == "timestamp":
        return _told(table, birth[0]) or ""
    return "1960-03-01 00:00:00" if len(birth) == 3 else "1960-01-01 00:00:00"


def _told(table: Drafted, column: str | None) -> str | None:
    """Return a time of the invented record as an event has it."""
    if column is None:
        return None
    minutes = table.guess.minutes
    if minutes is None:
        return _read(table, column)
    told = datetime.fromisoformat(EPOCH) + timedelta(minutes=_MINUTES * (minutes or 1))
    return told.isoformat(sep=" ")


def _cell(table: Drafted, column: str) -> str:
    """Return an invented cell of a column, as the raw table would write it."""
    guess, type_ = table.guess, table.types[column]
    if column in guess.birth and type_ == "int64":
        years = {3: ("1960", "3", "1"), 2: ("60", "2020"), 1: ("1960",)}[len(guess.birth)]
        return years[guess.birth.index(column)]
    if type_ == "timestamp":
        shape = table.shapes[column]
        return _MOMENT.strftime((forms_of(shape) or ["%Y-%m-%d %H:%M:%S" if shape.has_clock else "%Y-%m-%d"])[0])
    if (column == guess.time and guess.minutes is not None) or (guess.minutes and column in (guess.ready, guess.end)):
        return str(_MINUTES) if guess.minutes else "01:30"
    if column == guess.text:
        return "1.5" if guess.number else "a word"
    if column == guess.subject:  # of one that is text, staging is given the number
        return "1"
    return {"int64": "101", "float64": "1.5"}.get(type_, "mg" if column == guess.unit else "a word")


def _read(table: Drafted, column: str) -> str:
    """Return what staging makes of the invented cell."""
    cell = _cell(table, column)
    if table.types[column] != "timestamp":
        return cell
    forms = forms_of(table.shapes[column])
    read = datetime.strptime(cell, forms[0]) if forms else datetime.fromisoformat(cell)
    return read.isoformat(sep=" ")


def _value(table: Drafted) -> Row:
    guess = table.guess
    is_number = guess.number is not None
    value: Row = {"numeric_value": "1.5"} if is_number else {"text_value": "a word"}
    value |= {"unit": "mg"} if guess.unit is not None else {}
    return {**value, "value_status": "numeric" if is_number else "category"}


def _case(says: str, given: Mapping[str, list[Row]], expect: list[Row], counts: bool = False) -> str:
    text = [f"# invented rows: {says}"]
    text += [f'params: {{pseudo_epoch: "{EPOCH}"}}'] if counts else []
    text.append("given:")
    for relation, rows in given.items():
        text.append(f"  {relation}:")
        text += [f"    - {_flow(row)}" for row in rows]
    return "\n".join([*text, "expect:", *(f"  - {_flow(row)}" for row in expect)]) + "\n"


def _flow(row: Mapping[str, str | None]) -> str:
    cells = ", ".join(f"{quoted(name)}: {_scalar(cell)}" for name, cell in row.items())
    return f"{{{cells}}}"


def _scalar(cell: str | None) -> str:
    if cell is None:
        return "~"
    return cell if _NUMBER.fullmatch(cell) else quoted(cell)
