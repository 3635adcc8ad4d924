"""Rows of an event part without the time that they should have: left out, for without one they would be known from the
start, as facts are.

What a fact is, its author says: the part gives no `time`, writes `null` in the place of it, or says `is_static`. A time
that was read and is empty is missing. So is one of a data_type that has times elsewhere in the part, unless `is_static`
says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tawt.contracts.account import Rejected
from tawt.database.connect import as_relation, interruptible, literal, parquet_files, wrapped_errors
from tawt.database.nulls import with_moment
from tawt.readers import parquet_metadata, parquet_schema
from tawt.sources.stage import Bound

_REASON = "quarantine:time:missing"
_NO_TIME = "0001-01-01 00:00:00"
"""Stands for a time that there is none of: no record has it."""


def without_untimed(
    connection: duckdb.DuckDBPyConnection, bound: Bound, kept: list[Path], rejected: Rejected
) -> tuple[Rejected, int, int]:
    """Take rows that lack their time out of the files of an event part.

    Args:
        connection: That of the stage.
        bound: The stage.
        kept: What it wrote; files that hold such rows are written anew, under their names.
        rejected: What it rejected.

    Returns:
        What is rejected then, how many rows were taken out, and how many others have none under a condition.
    """
    untimed = [file for file in kept if _n_untimed(file) != 0]
    if not untimed:
        return rejected, 0, 0
    with wrapped_errors(bound.stage.name, workspace=bound.root, limits=bound.limits):
        sets = parquet_files(kept), parquet_files(untimed)
        lacks, conditional = _lacking(connection, bound.sql.text, bound.parameters, *sets)
        facts = f"select count(*) from {sets[1]} where time is null and not ({lacks})"
        n_conditional = connection.sql(facts).fetchall()[0][0] if conditional else 0
        taken = [rejected.table]
        for file in untimed:
            rows = connection.sql(f"select _row from {parquet_files([file])} where {lacks}").to_arrow_table()
            if not len(rows):
                continue
            reasons = pa.array([_REASON] * len(rows), pa.string())
            taken.append(pa.table({"_row": rows["_row"].cast(pa.int64()), "_reason": reasons}))
            aside = file.with_suffix(".timed")
            connection.execute(
                f"copy (from {parquet_files([file])} where not ({lacks})) to {literal(str(aside))} "
                "(format parquet, compression snappy)"
            )
            aside.replace(file)
    return Rejected(pa.concat_tables(taken), rejected.lines), sum(map(len, taken[1:])), n_conditional


def name_untimed(connection: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, Any], table: str) -> None:
    """Give the rows of a table that lack their time the reason for which `without_untimed` takes them out.

    Args:
        connection: That of the stage.
        text: Its select.
        parameters: Of the select.
        table: Has what it gave.
    """
    kept = f"(from {table} where _reason is null)"
    lacks, _ = _lacking(connection, text, parameters, kept, kept)
    connection.execute(f"update {table} set _reason = {literal(_REASON)} where _reason is null and {lacks}")


def _lacking(
    connection: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, Any], kept: str, untimed: str
) -> tuple[str, bool]:
    """Return what holds of the rows that lack their time, of those that a stage gave; some of `untimed` have none. And
    whether others may have none because of a condition in the text."""
    if "is_static" in (given := as_relation(connection, text, parameters).columns):
        return "time is null and not coalesce(is_static, false)", False
    if "time" not in given:
        return "false", False
    tried, conditional = with_moment(text, "time", _NO_TIME)
    if tried is None:
        return "time is null", False
    # the select again, with a moment where its author wrote a null: what has none then was read, and was empty
    no_time = f"{literal(_NO_TIME)}::timestamp"
    written = (
        f"create or replace temp table _written as select _row, code::varchar as code from ({tried.rstrip('; ')}) "
        f"where code is not null and (time is null or time = {no_time}) group by all having count(time) = count(*)"
    )
    interruptible(connection, lambda: connection.execute(written, parameters))
    # of the data_types of those rows, which are few: the ones that have a time anywhere in the part
    connection.execute(
        f"create or replace temp table _timed as select distinct code from {kept} where time is not null "
        f"and code in (select code from {untimed} where time is null)"
    )
    lacks = "time is null and (code in (from _timed) or (_row, code) not in (select (_row, code) from _written))"
    return lacks, conditional


def _n_untimed(file: Path) -> int | None:
    """Return how many rows of a file have no time, as its footer tells; None = it does not."""
    metadata, place = parquet_metadata(file), parquet_schema(file).names.index("time")
    groups = [metadata.row_group(i).column(place).statistics for i in range(metadata.num_row_groups)]
    known = [one.null_count for one in groups if one is not None and one.has_null_count]
    return sum(known) if len(known) == len(groups) else None
