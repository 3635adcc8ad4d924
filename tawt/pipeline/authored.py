"""What a stage's author got wrong and only its rows tell: statuses, codes and times that are none, rows that are there
more often than the contract says, and joins that multiply records. Counts and names alone are told, never a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from tawt.contracts.account import Account
from tawt.contracts.reasons import AT_ITS_TIME, FAULTS
from tawt.contracts.value_status import STATUS_NAMES
from tawt.database.connect import identifier, literal, parquet_files, wrapped_errors
from tawt.database.parse import parse, walk
from tawt.errors import StageError, TawtError, closest, nearest
from tawt.readers import parquet_schema
from tawt.sources.stage import Bound
from tawt.sources.tables import Tables, table_files

EARLIEST, LATEST = datetime(1000, 1, 1), datetime(3000, 1, 1)
"""What lies before the one, or from the other on, is no time of a record, in shifted calendars neither."""
_ROWS = "_rows"


def hold_rows(
    connection: duckdb.DuckDBPyConnection, bound: Bound, kept: Sequence[Path], account: Account
) -> tuple[str, ...]:
    """Hold what a stage gave to what a measurement, a label or a dictionary can be; return what is to be said of it.

    Args:
        connection: That of the stage.
        bound: The stage.
        kept: What it wrote.
        account: Where its records went.

    Raises:
        StageError: It gives a status that is none, a code without a letter, or a time that can be none.
    """
    contract = bound.stage.contract
    with wrapped_errors(bound.stage.name, workspace=bound.root, limits=bound.limits):
        connection.execute(f"create or replace view {_ROWS} as from {parquet_files(kept)}")
        have = {name for name, *_ in connection.execute(f"describe {_ROWS}").fetchall()}
        for error in _mistakes(connection, bound, have):
            raise error
        notes = []
        grain = [name for name in contract.grain if name in have]
        if grain and (alike := _alike(connection, grain)):
            shared = ", ".join(f"`{name}`" for name in grain)
            what = f"gives {alike:,} of {account.n_rows_out:,} rows that share {shared} with another"
            joined = (
                f"; its join with {' or '.join(others)} may find several" if (others := bound.stage.inputs[1:]) else ""
            )
            # a record of staging is one of the raw table, and nobody's mistake here
            hint = (
                "the raw table holds them more than once, or other columns of the contract tell them apart (`grain`)"
                if bound.stage.layer.row_wise
                else "if they are not meant, give all but one the _reason `drop:listed_before`"
            )
            notes.append(f"{bound.stage.name} {what}: {hint}{joined}")
        return tuple(notes)


def _mistakes(connection: duckdb.DuckDBPyConnection, bound: Bound, have: set[str]) -> Iterator[TawtError]:
    """Yield the mistakes that stages of some layers can make; what tells whether there is any is asked first."""
    stage, layer = bound.stage.name, bound.stage.layer
    if layer.row_wise:  # a record of staging is its source's
        return
    if "code" in have:
        ((first, n),) = connection.execute(
            f"select min(code), count(*) filter (where trim(code) = '') from {_ROWS} where code < '!'"
        ).fetchall()
        if first is not None and n:
            yield StageError(
                stage, f"gives {n:,} rows a `code` without a letter, expected a name",
                "give such a record the _reason `quarantine:code:missing`",
            )  # fmt: skip
    if layer.measured:
        known = ", ".join(map(literal, STATUS_NAMES))
        unknown = connection.execute(
            f"select value_status, count(*) from {_ROWS} where value_status not in ({known}) group by 1 order by 2 desc"
        ).fetchall()
        if unknown:
            yield StageError(
                stage,
                f"gives {sum(n for _, n in unknown):,} rows a `value_status` that is none, expected one of "
                f"{', '.join(STATUS_NAMES)}",
                nearest(str(unknown[0][0]), STATUS_NAMES),
            )
    for name in ("time", "available_time", "prediction_time"):
        if name in have and (n := _impossible(connection, name)):
            yield StageError(
                stage,
                f"gives {n:,} rows a `{name}` that is infinite or not of the years {EARLIEST.year} to "
                f"{LATEST.year - 1}, expected a time that can be",
                "read times with `moment(...)`, and leave out what none can be: `believable(...)`",
            )


def _impossible(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    outside = f"{name} < {literal(str(EARLIEST))}::timestamp or {name} >= {literal(str(LATEST))}::timestamp"
    ((n,),) = connection.execute(f"select count(*) from {_ROWS} where {outside}").fetchall()
    return int(n)


def _alike(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> int:
    """Return how many rows share some columns with another."""
    by = ", ".join(map(identifier, columns))
    ((n,),) = connection.execute(
        f"select coalesce(sum(n), 0)::bigint from (select count(*) as n from {_ROWS} group by {by}) where n > 1"
    ).fetchall()
    return int(n)


def counts_of(
    connection: duckdb.DuckDBPyConnection, bound: Bound, kept: Sequence[Path]
) -> dict[str, int | dict[str, int]]:
    """Return what is to be known of the rows of an event part: which have their time for the time when they could be
    read, and which are several of one record and code behind a join."""
    stage, rows, names = bound.stage, parquet_files(kept), parquet_schema(kept[0]).names
    facts: dict[str, int | dict[str, int]] = {}
    with wrapped_errors(stage.name, workspace=bound.root, limits=bound.limits):
        if AT_ITS_TIME in names:
            facts["at_its_time"] = _at_their_time(connection, bound, rows)
        if _joins(bound.sql.text):
            ((n_records, n_rows, most),) = connection.execute(
                "select count(distinct _row), coalesce(sum(n), 0)::bigint, coalesce(max(n), 0) from "
                f"(select _row, count(*) as n from {rows} group by _row, code) where n > 1"
            ).fetchall()
            facts["multiplied"] = {"records": n_records, "rows": n_rows, "most": most} if n_records else {}
    return facts


def _at_their_time(connection: duckdb.DuckDBPyConnection, bound: Bound, rows: str) -> dict[str, int]:
    """Return how many rows have their time for when they could be read, and of how many a cell of that was not read."""
    ((n, total),) = connection.execute(f"select count(*) filter ({AT_ITS_TIME}), count(*) from {rows}").fetchall()
    driving = bound.inputs.get(bound.stage.inputs[0])
    files = driving.rows if driving is not None else []
    if not n:
        return {}
    unread = 0
    if files and FAULTS in parquet_schema(files[0]).names:
        names = names_behind("available_time", bound.sql.text)
        table, tables = bound.stage.inputs[0].partition(".")[2], Tables(bound.settings.project, bound.pipeline.source)
        names |= {c.name for c in tables[table].columns if c.plain in names} if table in tables else set()
        told = " or ".join(f"contains(' ' || {FAULTS}, {literal(f' {name}:')})" for name in sorted(names))
        ((unread,),) = connection.execute(
            f"select count(*) from {rows} where {AT_ITS_TIME} "
            f"and _row in (select _row from {parquet_files(files)} where {told or 'false'})"
        ).fetchall()
    return {"rows": total, "taken": n, "unread": unread}


def names_behind(column: str, text: str) -> set[str]:
    """Return the names of columns that one of a select is made of, in it and in what it reads from its own text."""
    behind, n = {column}, 0
    nodes = [node for node in walk(parse(text)) if node.get("class")]
    while n < len(behind):
        n = len(behind)
        for node in nodes:
            if str(node.get("alias") or (node.get("column_names") or [""])[-1]).lower() in behind:
                behind |= {str(one["column_names"][-1]).lower() for one in walk(node) if one.get("column_names")}
    return behind


def _joins(text: str) -> bool:
    """Return whether a select joins relations; a list that is unfolded beside one is none."""
    joins = (node for node in walk(parse(text)) if node.get("type") == "JOIN")
    return any(
        all((node.get(side) or {}).get("type") != "TABLE_FUNCTION" for side in ("left", "right")) for node in joins
    )


@contextmanager
def names_told(bound: Bound) -> Iterator[None]:
    """Say of a name that the engine does not find which one may be meant, or where to add it."""
    try:
        yield
    except StageError as error:
        name = error.near.rpartition(".")[2].strip('"')
        if not name:
            raise
        if "several of its relations" in error.what:
            whose = bound.stage.inputs[0].rpartition(".")[2]
            raise StageError(error.where, error.what, f"say whose: `{whose}.{name}`, or by the alias of it") from None
        if (hint := _about(bound, name)) is None:
            raise
        raise StageError(error.where, error.what, hint) from None


def _about(bound: Bound, name: str) -> str | None:
    """Return a hint at a column that no relation of a stage has; None where it has, or none is like it."""
    known: set[str] = {"_row"}
    for table in bound.raw.values():
        known |= set(table.contract.names)
        if name.lower() in {column.lower() for column in table.header} - {one.lower() for one in table.contract.names}:
            place = table_files(bound.settings.project, bound.pipeline.source).get(table.name)
            where = "/".join(place.parts[-3:]) if place is not None else "its contract"
            return (
                f"the files of raw.{table.name} have that column, and its contract does not name it: add it to {where}"
            )
    for one in bound.inputs.values():
        known |= {column for file in one.rows[:1] for column in parquet_schema(file).names}
    if name.lower() == "subject_id" and name.lower() not in map(str.lower, known):
        raw = bound.stage.inputs[0].rpartition(".")[2]
        return f"say `as: subject_id` in the contract of raw.{raw}, at the column that says whose a record is"
    if name.lower() in map(str.lower, known):
        return None
    return closest(name, known - {"_reason", FAULTS}) or None
