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
from tawt.contracts.reasons import FAULTS
from tawt.contracts.value_status import STATUS_NAMES
from tawt.database.connect import identifier, literal, parquet_files, wrapped_errors
from tawt.database.parse import parse, walk
from tawt.errors import StageError, TawtError, nearest
from tawt.readers import parquet_schema
from tawt.sources.stage import Bound
from tawt.sources.tables import table_files

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
        notes = list(_multiplied(connection, bound, account))
        if contract.grain and (alike := _alike(connection, contract.grain)):
            shared = ", ".join(f"`{name}`" for name in contract.grain)
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
    if layer.measured and "time" in have and (n := _early(connection, bound)):
        yield StageError(
            stage,
            f"gives {n:,} rows no time, of records with a cell that could not be read, expected a time as others of "
            "their data_type have: without one it would be known from the start",
            f"name the time in `key:` of the contract of {bound.stage.inputs[0]}, or give such a row the _reason "
            "`quarantine:time:missing`",
        )
    for name in ("time", "available_time", "prediction_time"):
        if name in have and (n := _impossible(connection, name)):
            yield StageError(
                stage,
                f"gives {n:,} rows a `{name}` that is infinite or not of the years {EARLIEST.year} to "
                f"{LATEST.year - 1}, expected a time that can be",
                "read times with `moment(...)`, and leave out what none can be: `believable(...)`",
            )


def _early(connection: duckdb.DuckDBPyConnection, bound: Bound) -> int:
    """Return how many rows have no time since that of their record was left out: they would be known from the start.

    Rows without a time are facts; these are of data_types that have times otherwise.
    """
    ((n,),) = connection.execute(f"select count(*) from {_ROWS} where time is null").fetchall()
    driving = bound.inputs.get(bound.stage.inputs[0])
    files = driving.rows if driving is not None else []
    if not n or not files or FAULTS not in parquet_schema(files[0]).names:
        return 0
    ((n,),) = connection.execute(
        f"select count(*) from {_ROWS} where time is null "
        f"and code in (select code from {_ROWS} where time is not null) "
        f"and _row in (select _row from {parquet_files(files)} where {FAULTS} is not null)"
    ).fetchall()
    return int(n)


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


def _multiplied(connection: duckdb.DuckDBPyConnection, bound: Bound, account: Account) -> Iterator[str]:
    """Yield what to say where one record gives several rows of one code, and others were joined to it."""
    stage = bound.stage
    if not stage.layer.measured or account.n_rows_out == account.n_records_kept or not _joins(bound.sql.text):
        return
    ((n_records, n_rows, most),) = connection.execute(
        "select count(distinct _row), coalesce(sum(n), 0)::bigint, max(n) from "
        f"(select _row, count(*) as n from {_ROWS} group by _row, code) where n > 1"
    ).fetchall()
    if n_records:
        yield (
            f"{stage.name}: {n_records:,} records of {stage.inputs[0]} give {n_rows:,} rows, up to {most:,} of a code "
            f"each: does its join with {' or '.join(stage.inputs[1:] or stage.inputs)} find several rows for each? "
            "`grain` in the contract of what is joined is checked"
        )


def _joins(text: str) -> bool:
    return any(node.get("type") == "JOIN" for node in walk(parse(text)))


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
    hint = nearest(name, known - {"_reason", FAULTS})
    return hint if name.lower() not in map(str.lower, known) and hint.startswith("did you mean") else None
