"""Rows of an event part without the time that they should have: left out, for without one they would be known from the
start, as facts are.

A fact is of a data_type that the part gives no time at all; or of rows that the part says `is_static` of.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from tawt.contracts.account import Rejected
from tawt.database.connect import literal, parquet_files, wrapped_errors
from tawt.readers import parquet_metadata, parquet_schema
from tawt.sources.stage import Bound

_REASON = "quarantine:time:missing"


def without_untimed(
    connection: duckdb.DuckDBPyConnection, bound: Bound, kept: list[Path], rejected: Rejected
) -> tuple[Rejected, int]:
    """Take rows that lack their time out of the files of an event part.

    Args:
        connection: That of the stage.
        bound: The stage.
        kept: What it wrote; files that hold such rows are written anew, under their names.
        rejected: What it rejected.

    Returns:
        What is rejected then, and how many rows were taken out.
    """
    untimed = [file for file in kept if _n_untimed(file) != 0]
    said = "is_static" in parquet_schema(kept[0]).names
    if not untimed or (not said and all(_n_untimed(file) == parquet_metadata(file).num_rows for file in kept)):
        return rejected, 0
    lacks = "time is null and not coalesce(is_static, false)"
    with wrapped_errors(bound.stage.name, workspace=bound.root, limits=bound.limits):
        if not said:
            # of the data_types of those rows, which are few: the ones that have a time anywhere in the part
            connection.execute(
                f"create or replace temp table _timed as select distinct code from {parquet_files(kept)} where time is "
                f"not null and code in (select code from {parquet_files(untimed)} where time is null)"
            )
            lacks = "time is null and code in (from _timed)"
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
    return Rejected(pa.concat_tables(taken), rejected.lines), sum(map(len, taken[1:]))


def name_untimed(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Give the rows of a table that lack their time the reason for which `without_untimed` takes them out."""
    said = "is_static" in connection.table(table).columns
    timed = f"code in (select code from {table} where time is not null and _reason is null)"
    lacks = "not coalesce(is_static, false)" if said else timed
    connection.execute(
        f"update {table} set _reason = {literal(_REASON)} where time is null and _reason is null and {lacks}"
    )


def _n_untimed(file: Path) -> int | None:
    """Return how many rows of a file have no time, as its footer tells; None = it does not."""
    metadata, place = parquet_metadata(file), parquet_schema(file).names.index("time")
    groups = [metadata.row_group(i).column(place).statistics for i in range(metadata.num_row_groups)]
    known = [one.null_count for one in groups if one is not None and one.has_null_count]
    return sum(known) if len(known) == len(groups) else None
