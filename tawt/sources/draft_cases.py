"""The cases of a draft: its stages are run on invented rows, and what comes is written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tawt.errors import TawtError
from tawt.project import Project
from tawt.sources.case_files import Case
from tawt.sources.draft import forms_of, quoted
from tawt.sources.drafted import Drafted

EPOCH = "2000-01-01"
"""Where times that count from an admission are put."""
_MOMENT = datetime(2024, 3, 1, 8, 30)
_MOST_COLUMNS = 200
"""A wider stage is run in minutes, and nobody would read its case."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
Row = dict[str, str | None]
RowsOf = Callable[[Case, Project], list[dict[str, Any]]]
"""Runs the stage of a case, and returns the rows that it gives."""


def cases_of(name: str, drafted: Sequence[Drafted], files: Mapping[str, str], rows_of: RowsOf) -> str:
    """Return the cases of a draft as the text of `tests/sql/NAME.yaml`.

    Args:
        name: Of its source.
        drafted: The tables.
        files: The contracts and stages, by their paths.
        rows_of: Runs a stage.
    """
    text = [
        "# invented rows, and what each stage made of them when it was drafted; guessed: hold it to what should come",
        "# the second of two rows is set aside: it lacks what a record must have, or says again what the first says",
    ]
    with TemporaryDirectory(prefix="tawt-") as aside:
        for path, written in files.items():
            (Path(aside) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(aside) / path).write_text(written, encoding="utf-8")
        project = Project.at(Path(aside))
        for table in drafted:
            for layer in ("event_parts", "codes"):
                if f"sql/{name}/{layer}/{table.name}.sql" not in files:
                    continue
                if len(table.staged) > _MOST_COLUMNS:
                    text += ["", f"# {layer}.{table.name} has no case here: it has {len(table.staged):,} columns"]
                else:
                    text += _case(name, f"{layer}.{table.name}", _given(table, layer), project, _counts(table), rows_of)
    return "\n".join(text) + "\n"


def _counts(table: Drafted) -> bool:
    """Return whether times count from an admission."""
    return any(one is not None and one.is_counted for one in (table, table.joins))


def _given(table: Drafted, layer: str) -> dict[str, list[Row]]:
    """Return rows of the raw tables that a stage comes from: one that is whole, and one that is not or is another's."""
    guess = table.guess
    record: Row = {column: _cell(table, column) for column in table.staged if column not in guess.measured[2:]}
    if layer == "codes":
        return {f"raw.{table.name}": [record, {**record, guess.label or "": "another"}]}
    key = guess.subject or guess.stay or guess.codes[-1]
    without: Row = {key: None}
    given = {f"raw.{table.name}": [record, without]}
    for column, words in guess.marked.items():
        given[f"raw.{table.name}"].append({**record, column: words[0]})
    stays = table.joins
    while stays is not None:
        given[f"raw.{stays.name}"] = [{column: _cell(stays, column) for column in stays.staged}]
        stays = stays.owner
    return given


def _case(
    name: str, stage: str, given: dict[str, list[Row]], project: Project, counts: bool, rows_of: RowsOf
) -> list[str]:
    params = {"pseudo_epoch": EPOCH} if counts else {}
    try:
        rows = rows_of(Case(name, stage, Path(), {"params": params, "given": given, "expect": []}, {}), project)
    except TawtError:  # an ingest says why
        return []
    text = ["", f"{quoted(stage)}:"]
    text += [f'  params: {{pseudo_epoch: "{EPOCH}"}}'] if counts else []
    text.append("  given:")
    for relation, records in given.items():
        text += [f"    {quoted(relation)}:", *(f"      - {_flow(record)}" for record in records)]
    return [*text, "  expect:", *(f"    - {_flow(_told(row))}" for row in rows)]


def _told(row: Mapping[str, object]) -> Row:
    """Return what there is to say of a row that came."""
    known = row.get("available_time") == row.get("time")
    left_out = {"_row", *(["available_time"] if known else [])}
    told = {name: None if cell is None else str(cell) for name, cell in row.items() if name not in left_out}
    return {name: cell for name, cell in told.items() if cell is not None or name in ("time", "_reason")}


def _cell(table: Drafted, column: str) -> str:
    """Return an invented cell of a column, as the raw table would write it."""
    guess, type_ = table.guess, table.types[column]
    if column in guess.birth and type_ == "int64":
        years = {3: ("1960", "3", "1"), 2: ("60", "2020"), 1: ("1960",)}[len(guess.birth)]
        return years[guess.birth.index(column)]
    nth = list(table.types).index(column)  # so that no two times are the same
    if type_ == "timestamp":
        shape = table.shapes[column]
        moment = _MOMENT.replace(year=1960) if column in guess.birth else _MOMENT + timedelta(days=nth)
        return moment.strftime((forms_of(shape) or ["%Y-%m-%d %H:%M:%S" if shape.has_clock else "%Y-%m-%d"])[0])
    if (column == guess.time and guess.minutes is not None) or (guess.minutes and column in (guess.ready, guess.end)):
        return str(90 + nth) if guess.minutes else f"{1 + nth % 20:02}:30"
    if column in guess.clocks.values():
        return f"{1 + nth % 20:02}:30"
    if column in table.signs and any(table.signs[column]):
        return f"1{table.signs[column][0]}5"
    if column in table.signs:
        return "1"
    if column == guess.text:
        return "1.5" if guess.number else "a word"
    if column == guess.label:
        return "a name"
    if column == guess.subject:  # of one that is text, staging is given the number
        return "1"
    return {"int64": "101", "float64": "1.5"}.get(type_, "mg" if column == guess.unit else "a word")


def _flow(row: Mapping[str, str | None]) -> str:
    cells = ", ".join(f"{quoted(name)}: {_scalar(cell)}" for name, cell in row.items())
    return f"{{{cells}}}"


def _scalar(cell: str | None) -> str:
    if cell is None:
        return "~"
    return cell if _NUMBER.fullmatch(cell) else quoted(cell)
