"""Runs one SQL stage: bind, write aside, route by `_reason`, balance, check the contract.

The runner owns all writing; a stage is only a `select`. One pass writes kept rows and takes rejected ones out, so that
routing costs no second reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.account import Places, Rejected
from tawt.contracts.opted_out import NOBODY, OptedOut
from tawt.contracts.reasons import FORGOTTEN, NOT_SAMPLED, OF_SUBJECTS
from tawt.database.connect import (
    bounded_memory,
    identifier,
    interruptible,
    literal,
    parquet_files,
    wrapped_errors,
)
from tawt.database.stream import Reached, batches
from tawt.errors import RoomError, SourceError, StageError, TawtError
from tawt.pipeline.authored import counts_of, hold_rows, names_told
from tawt.pipeline.balance import balance, check_nulls, rows_of
from tawt.pipeline.faults import count_faults, held_faults
from tawt.pipeline.pieces import by_pieces, pieces_of
from tawt.pipeline.relations import connected
from tawt.pipeline.routes import REJECTED, ROUTE, cut, empty, lay_out
from tawt.pipeline.untimed import without_untimed
from tawt.places import remove
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.members import MemberReader
from tawt.raw.piped import piped
from tawt.raw.rejects import rejected_lines
from tawt.raw.views import bind_raw, damaged_file, hold_to_count, unread_file
from tawt.readers import parquet_schema
from tawt.sources.held import held_on
from tawt.sources.stage import Bound, Gone, Input, Stage, StageResult, Tick
from tawt.transforms.subject_hash import SAMPLE_SALT, SHARD_SALT


def run_sql(bound: Bound, folder: Path, tick: Tick) -> StageResult:
    """Run one SQL stage into a folder aside, which is emptied first.

    Raises:
        SourceError: The engine does not hand over what a raw file holds.
        StageError: The engine refuses it, or a record is in no output and has no reason.
        ContractError: What it gives is not what its contract promises.
    """
    stage, driving = bound.stage, bound.driving
    with ExitStack() as stack:
        pieces, opened = pieces_of(bound), list[duckdb.DuckDBPyConnection]()
        keep: Callable[[], None] | None = None
        told = Reached(tick, driving.n_records if isinstance(driving, RawTable) else driving.n_rows)

        def read(one: Bound, aside: Path) -> tuple[list[Path], Rejected]:
            with ExitStack() as own:
                connection, kept, rejected = _whole(one, aside, own, told)
                if len(pieces) <= 1:  # it sees all that the stage reads, and opening one takes long
                    opened.append(connection)
                    stack.push(own.pop_all())
            return kept, rejected

        if pieces:
            kept, rejected, keep = by_pieces(bound, pieces, folder, read)
        else:
            kept, rejected = read(bound, folder)
        connection = opened[0] if opened else stack.enter_context(closing(connected(bound)))
        for file in driving.files if isinstance(driving, RawTable) else ():
            file.hold()
        result = _judged(connection, bound, kept, rejected)
        # rows without their time are told by those of all pieces
        if keep is not None and not result.facts.get("without_time"):
            keep()
    if stage.layer.one_file:
        lay_out(stage.contract, kept, stage.layer.one_file)
    return result


def _whole(
    bound: Bound, folder: Path, stack: ExitStack, told: Reached
) -> tuple[duckdb.DuckDBPyConnection, list[Path], Rejected]:  # fmt: skip
    """Write all that a stage gives into a folder aside, and hold the engine to the count of raw records.

    Returns:
        The connection, kept open by `stack`, the files, and what is rejected.
    """
    driving = bound.driving
    # opening one takes longer than what a small table needs of it: all that is asked of a stage is asked of one
    tables = stack.enter_context(readable(list(bound.raw.values()), folder.with_name(f"{folder.name}-raw")))
    reading = replace(bound, raw={table.name: table for table in tables})
    connection = stack.enter_context(closing(connected(reading)))
    written = _at_first(connection, reading, folder, told)
    if written is None:
        connection.close()
        connection = stack.enter_context(closing(connected(reading)))  # which has set no line aside
        written = _select(connection, reading, folder, False, told)
    kept, rejected = written
    if isinstance(driving, RawTable) and driving.is_text and rows_of(kept, rejected) < driving.n_records:
        with closing(connected(bound)) as another, wrapped_errors(bound.stage.inputs[0], limits=bound.limits):
            hold_to_count(another, reading.raw[driving.name])
    return connection, kept, rejected


def _at_first(
    connection: duckdb.DuckDBPyConnection, bound: Bound, folder: Path, told: Reached
) -> tuple[list[Path], Rejected] | None:
    """Write what a stage gives, read in the fastest way; None where that is not of all records, each a sound line."""
    driving, tables = bound.driving, list(bound.raw.values())
    # a stage that tells each record by itself reads its table once, as a pipe can be read
    with piped(tables if bound.stage.layer.row_wise else (), folder.with_name(f"{folder.name}-pipes")) as pipes:
        try:  # several threads on one file lose records behind a malformed line; one does not, and is slower
            kept, rejected = _select(connection, bound, folder, True, told, pipes)
        except SourceError:
            if pipes in ([], tables):
                raise
            return None
    if isinstance(driving, RawTable) and driving.is_text:
        return None if rejected.lines or rows_of(kept, rejected) != driving.n_records else (kept, rejected)
    return kept, rejected


def run_on(connection: duckdb.DuckDBPyConnection, bound: Bound, folder: Path) -> list[Path]:
    """Run a stage on a connection that has the stages that it reads and reaches its raw tables, whose files are sound;
    return the files of its rows.

    Raises:
        StageError: As of `run_sql`.
        ContractError: As of `run_sql`.
    """
    kept, rejected = _select(connection, bound, folder, True)
    for account in _judged(connection, bound, kept, rejected).accounts:
        account.check(bound.stage.name, bound.stage.inputs[1:])
    return kept


def _judged(connection: duckdb.DuckDBPyConnection, bound: Bound, kept: list[Path], rejected: Rejected) -> StageResult:
    """Hold what a stage wrote to what it read and to its contract, and count it."""
    stage, driving = bound.stage, bound.driving
    check_nulls(stage.contract, kept, stage.name)
    facts: dict[str, Any] = {}
    if stage.layer.measured:
        rejected, n_untimed, n_conditional = without_untimed(connection, bound, kept, rejected)
        without = {"without_time": n_untimed, "static_by_condition": n_conditional}
        facts = {**counts_of(connection, bound, kept), **without}
    account = balance(stage, driving, kept, rejected)
    account = account.model_copy(update={"faults": held_faults(stage, count_faults(kept))})
    notes = hold_rows(connection, bound, kept, account)
    facts = {key: n for key, n in facts.items() if n}
    return StageResult((account,), facts, notes, places=_places(driving, rejected), rejected=rejected)


def _select(
    connection: duckdb.DuckDBPyConnection,
    bound: Bound,
    folder: Path,
    parallel: bool,
    told: Reached | None = None,
    given: Sequence[RawTable] = (),
) -> tuple[list[Path], Rejected]:
    """Write what the stage gives into a folder aside, kept rows and rejected ones apart; `given` are its raw
    tables as the engine is to read them, else as they are."""
    name, tables = bound.stage.name, list(bound.raw.values())
    remove(folder)
    folder.mkdir(parents=True)
    readers: list[MemberReader] = []
    try:
        with wrapped_errors(name, workspace=bound.root, limits=bound.limits), bounded_memory(bound.limits):
            some_out = bound.settings.opted_out is not None
            bind = partial(bind_raw, connection, parallel=parallel, numbers=bound.stage.numbers, some_out=some_out)
            readers += [reader for table in given or tables if (reader := bind(table)) is not None]
            if bound.gone is not None:
                connection.register("_gone", pa.table({"mark": bound.gone.marks}))
            select = _routed(bound, _held(connection, bound))

            def write() -> tuple[list[Path], pa.Table]:
                rows = batches(connection.sql(select, params=bound.parameters))
                return cut(told.passed(rows) if told is not None else rows, folder, bound.limits.threads)

            kept, table = interruptible(connection, write)
            lines = [line for reader in readers for line in reader.rejected]
            lines += [line for t in given or tables for line in rejected_lines(connection, t, parallel)]
    except RoomError:  # which no file is at fault for
        raise
    except TawtError as error:
        failed = next((r.failed for r in readers if r.failed is not None), None) or damaged_file(tables)
        if failed is None and isinstance(error, SourceError) and error.where == name:
            with closing(connected(bound)) as another:
                failed = unread_file(another, tables, bound.limits)
        raise failed or error from None
    kept, rejected = kept or [empty(bound.stage.contract, folder)], Rejected(_known(bound, table), lines)
    # a stream of small files is read by several threads at once, which hand on what they have as they have it
    if bound.stage.layer.ordered or any(table.members is not None for table in tables):
        with wrapped_errors(name, workspace=bound.root, limits=bound.limits):
            _in_order(connection, bound, kept)
    return kept, rejected


def _in_order(connection: duckdb.DuckDBPyConnection, bound: Bound, kept: list[Path]) -> None:
    """Sort what a stage gave whole, by number and then by all columns: a window or a join gives no order of its own."""
    sorted_aside = kept[0].with_suffix(".sorted")
    others = [name for name in parquet_schema(kept[0]).names if name != "_row" and not bound.stage.layer.row_wise]
    order = ", ".join(map(identifier, ["_row", *others]))
    connection.execute(
        f"copy (from {parquet_files(kept)} order by {order}) to {literal(str(sorted_aside))} "
        "(format parquet, compression snappy)"
    )
    for file in kept:
        file.unlink()
    kept[:] = [sorted_aside.rename(kept[0])]


def _routed(bound: Bound, select: str) -> str:
    """Return a select with the way of each row: to its shard, or out."""
    layer, sampled, opted_out = bound.stage.layer, bound.settings.sampled_hash, bound.settings.opted_out
    hashes, reasons, route = {}, ["_reason"], "0"
    # each in a column of its own: behind a `case` the engine works out anew what stands several times in an expression
    if layer.row_wise and sampled is not None and "subject_id" in bound.stage.contract.names:
        hashes["_draw"] = f"tawt_hash(subject_id, {SAMPLE_SALT})"
        reasons.append(f"case when _draw > {sampled} then 'drop:{NOT_SAMPLED}' end")
    if layer.row_wise and opted_out is not None and (asked := is_out(bound.stage, opted_out, bound.gone)):
        hashes["_out"] = asked
        reasons.append(f"case when _out then 'drop:{FORGOTTEN}' end")
    reason = f"coalesce({', '.join(reasons)})" if len(reasons) > 1 else "_reason"
    if layer.sharded:  # a row of nobody is counted, and told
        hashes["_shard"] = f"tawt_hash(subject_id, {SHARD_SALT}) % {bound.settings.n_shards}"
        route = "coalesce(_shard, 0)"
    left, given = "", select
    if hashes:
        told = ", ".join(f"{what} as {name}" for name, what in hashes.items())
        left, given = f" exclude ({', '.join(hashes)})", f"select *, {told} from ({select})"
    return (
        f"select *{left} replace ({reason} as _reason), "
        f"(case when {reason} is null then {route} else {REJECTED} end)::integer as {ROUTE} from ({given})"
    )


def is_out(stage: Stage, opted_out: OptedOut, gone: Gone | None = None) -> str:
    """Return the SQL that asks whether a record is of somebody who opted out; nothing where no record tells.

    Args:
        stage: Of a raw table.
        opted_out: Who.
        gone: As in `Bound`.
    """
    if "subject_id" in stage.contract.names:
        return f"subject_id = {NOBODY}" if stage.numbers else opted_out.sql("subject_id")
    columns = gone.columns if gone is not None else ()
    return " or ".join(f"coalesce({opted_out.sql_of(one)} in (from _gone), false)" for one in columns)


def _held(connection: duckdb.DuckDBPyConnection, bound: Bound) -> str:
    """Return the select that runs, after its columns and types were held to the contract."""
    with names_told(bound), wrapped_errors(bound.stage.name, bound.sql.text, bound.root, bound.limits):
        return held_on(connection, bound.stage, bound.parameters)


def _known(bound: Bound, table: pa.Table) -> pa.Table:
    """Return what was rejected, held to reasons that stand in the text and to records."""
    known = {*bound.sql.reasons, *(f"drop:{rule}" for rule in OF_SUBJECTS)}
    if not set(pc.unique(table["_reason"]).to_pylist()) <= known:
        raise StageError(
            bound.stage.name,
            "gives a _reason that does not stand in its text, expected `'drop:<rule>'` or "
            "`'quarantine:<column>:<reason>'`, each as one literal",
            "null::varchar as _reason keeps a record",
        )
    if table["_row"].null_count:
        raise StageError(
            bound.stage.name,
            f"gives {table['_row'].null_count:,} rejected rows no _row, expected that of their record",
            f"carry {bound.stage.inputs[0]}'s _row",
        )  # fmt: skip
    return table


def _places(driving: RawTable | Input, rejected: Rejected) -> Places:
    """Return the raw files behind a stage, and the number of each one's first readable record."""
    if isinstance(driving, Input):
        return driving.places
    n_records: Counter[str] = Counter()
    for file in driving.files:
        n_records[file.place] += file.n_records
    n_records.subtract(place for place, _, _ in rejected.lines)
    return Places(files=tuple(n_records), starts=(1, *np.cumsum([1, *n_records.values()])[1:-1].tolist()))
