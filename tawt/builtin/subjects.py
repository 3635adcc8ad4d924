"""The stage `subjects`: the ids of all raw tables that name subjects by text -> a number each, and the way back."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tawt.contracts.account import Account
from tawt.contracts.subjects import KEY_MARK, MAP, mark_of, with_key
from tawt.database.connect import bounded_memory, identifier, interruptible, wrapped_errors
from tawt.files import keep_private
from tawt.pipeline.keys import OPTED_OUT
from tawt.pipeline.relations import connected
from tawt.pipeline.subject_map import hold_numbers, whole_map
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.views import bind_raw, subject_id
from tawt.sources.stage import Bound, BuiltIn, StageResult, Tick
from tawt.transforms.subject_numbers import numbered


def run_subjects(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """Number every subject; those that had a number keep it.

    Raises:
        SourceError: A raw table cannot be read.
        FileError: The numbers given so far are damaged.
    """
    key = bound.settings.subject_key
    assert key is not None
    name, limits = bound.stage.name, bound.limits
    with (
        readable(list(bound.raw.values()), folder.with_name(f"{folder.name}-raw")) as tables,
        closing(connected(replace(bound, raw={table.name: table for table in tables}))) as connection,
        wrapped_errors(name, workspace=bound.root, limits=limits),
        bounded_memory(limits),
    ):
        connection.execute("create table met (id varchar, place integer)")
        read = []
        for place, table in enumerate(tables):
            read.append(_meet(connection, table, place))
            tick(place + 1, len(bound.raw))
        connection.register("known", _known(bound.root / name / MAP, key))
        text = (
            "select id, coalesce(any_value(subject_id), 0)::bigint as known, min(place) as place "
            "from met left join known using (id) group by id order by id"
        )
        met = interruptible(connection, lambda: connection.sql(text).to_arrow_table())
    for file in (file for table in bound.raw.values() for file in table.files):
        file.hold()
    numbers = numbered(bytes.fromhex(key), met["id"].to_pylist(), met["known"].to_numpy())
    hold_numbers(bound.root, numbers)
    who, kept = bound.settings.opted_out, np.ones(len(numbers), dtype=np.bool_)
    if who is not None:
        kept = ~who.among(numbers)
    rows = pa.table({"id": met["id"], "subject_id": pa.array(numbers)}, schema=bound.stage.contract.arrow_schema())
    rows, met = rows.filter(pa.array(kept)), met.filter(pa.array(kept))
    order = pa.array(np.argsort(numbers[kept]))
    for made in (folder, folder / MAP):  # the way back to people
        made.touch()
        keep_private(made, bound.root / name / made.relative_to(folder))
    pq.write_table(with_key(rows.take(order), key), folder / MAP, compression="zstd")
    first = np.bincount(met["place"].to_numpy(), minlength=len(read))
    accounts = [
        Account(driving=f"raw.{table.name}", n_records_in=n, n_records_kept=n, n_rows_out=int(first[place]))
        for place, (table, n) in enumerate(zip(bound.raw.values(), read, strict=True))
    ]
    return StageResult(tuple(accounts), {"n_subjects": len(rows), KEY_MARK: mark_of(key)})


def _meet(connection: duckdb.DuckDBPyConnection, table: RawTable, place: int) -> int:
    """Add the ids of a raw table; return how many records were read for them."""
    for parallel in (True, False):
        n_read = 0
        for column in table.contract.subjects:
            bind_raw(connection, table, parallel)
            text = (
                f"create or replace temp table found as select {subject_id(identifier(column))} as id, count(*) as n "
                f"from raw.{identifier(table.name)} group by all"
            )
            interruptible(connection, partial(connection.execute, text))
            connection.execute(f"insert into met select id, {place} from found where id is not null")
            n_read = int(connection.execute("select coalesce(sum(n), 0) from found").fetchall()[0][0])
        # several threads on one file lose records behind a malformed line
        if n_read == table.n_records or not table.is_text:
            break
    return n_read


def _known(path: Path, key: str) -> pa.Table:
    """Return the numbers that subjects have."""
    if os.path.lexists(path) and (whole := whole_map(path))[0] == key:
        return whole[1]
    return pa.table({"id": pa.array([], pa.string()), "subject_id": pa.array([], pa.int64())})


SUBJECTS = BuiltIn(
    "subjects", ("raw",), ("subjects",), "One row is one subject whose id is text, and its number.", (OPTED_OUT,),
    run_subjects,
    serves=lambda table: bool(table.subjects),
)  # fmt: skip
