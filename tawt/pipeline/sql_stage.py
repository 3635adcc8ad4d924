"""Runs one SQL stage: bind, write aside, route by `_reason`, balance, check the contract, publish.

The runner owns all writing; a stage is only a `select`. One pass writes kept rows and rejected rows to different
files, so that routing costs no second reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tawt.contracts.contract import Contract, check_schema
from tawt.contracts.layers import layer_of, raw_table
from tawt.database.connect import (
    Limits,
    bounded_memory,
    connect,
    identifier,
    interruptible,
    literal,
    parquet_files,
    wrapped_errors,
)
from tawt.errors import ContractError, RoomError, SourceError, StageError, TawtError
from tawt.pipeline.balance import balance, check_nulls, rows_of
from tawt.pipeline.faults import FAULTS, count_faults, held_faults
from tawt.pipeline.manifest import Account, read_manifest, stage_files
from tawt.pipeline.quarantine import Rejected
from tawt.pipeline.workspace import Workspace
from tawt.places import real
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.members import MemberReader
from tawt.raw.rejects import rejected_lines
from tawt.raw.views import bind_raw, damaged_file, hold_to_count, unread_file
from tawt.readers import parquet_schema, read_parquet
from tawt.sources.graph import Stage
from tawt.sources.sql_file import parameters_for
from tawt.transforms.subject_hash import SAMPLE_SALT, SHARD_SALT

_ROUTE = "_route"
_REJECTED = -1
_NOT_SAMPLED = "drop:not_sampled"


@dataclass(frozen=True)
class Plan:
    """What every stage of one run shares."""

    workspace: Workspace
    raw: dict[str, RawTable]
    limits: Limits
    n_shards: int
    sample_threshold: int | None
    """Largest subject hash that is in the sample; None = everything."""


@dataclass(frozen=True)
class Outcome:
    """A stage written aside, balanced and checked, not yet published."""

    folder: Path
    account: Account
    rejected: Rejected
    places: tuple[tuple[str, ...], list[int]]
    """The raw files behind the driving input, and the number of each one's first record."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a stage that reads this one needs to name a record's place."""
        return {"files": list(self.places[0]), "file_starts": self.places[1]}


def run_sql_stage(plan: Plan, stage: Stage) -> Outcome:
    """Run one SQL stage into a folder aside.

    Raises:
        SourceError: The engine does not hand over what a raw file holds.
        StageError: The engine refuses it, or a record is in no output and has no reason.
        ContractError: What it gives is not what its contract promises.
    """
    assert stage.sql is not None and stage.contract is not None
    driving = stage.inputs[0]
    raw = plan.raw[table] if (table := raw_table(driving)) is not None else None
    with readable(_raw_tables(plan, stage), plan.workspace.aside / f"{stage.name}-raw") as tables:
        reading = replace(plan, raw=plan.raw | {one.name: one for one in tables})
        # several threads on one file lose records behind a malformed line; one does not, and is slower
        folder, kept, rejected = _select(reading, stage, parallel=True)
        if raw is not None and raw.is_text and (rejected.lines or rows_of(kept, rejected) != raw.n_records):
            folder, kept, rejected = _select(reading, stage, parallel=False)
            if rows_of(kept, rejected) < raw.n_records:
                with (
                    closing(open_stage_connection(plan, stage)) as connection,
                    wrapped_errors(driving, limits=plan.limits),
                ):
                    hold_to_count(connection, reading.raw[raw.name])
    for file in raw.files if raw is not None else ():
        file.hold()
    check_nulls(stage.contract, kept, stage.name)
    account = balance(plan.workspace, stage, kept, rejected, raw)
    account = account.model_copy(update={"faults": held_faults(stage, count_faults(kept))})
    if not stage.layer.numbered:
        _as_labels(stage.contract, kept)
    return Outcome(folder, account, rejected, _places(plan, driving, raw, rejected))


def _select(plan: Plan, stage: Stage, parallel: bool) -> tuple[Path, list[Path], Rejected]:
    """Write what the stage gives into a folder aside, kept rows and rejected ones apart."""
    assert stage.sql is not None
    workspace = plan.workspace
    folder = workspace.start_clean(stage.name)
    connection = open_stage_connection(plan, stage)
    tables = _raw_tables(plan, stage)
    readers: list[MemberReader] = []
    try:
        with wrapped_errors(stage.name, workspace=workspace.root, limits=plan.limits), bounded_memory(plan.limits):
            readers += [r for t in tables if (r := bind_raw(connection, t, parallel)) is not None]
            _check_output(connection, stage, plan)
            copy = _copy(plan, stage, folder)
            parameters = parameters_for(stage.sql, workspace.pipeline.values)
            interruptible(connection, lambda: connection.execute(copy, parameters))
            lines = [line for reader in readers for line in reader.rejected]
            lines += [line for t in tables for line in rejected_lines(connection, t, parallel)]
    except RoomError:  # which no file is at fault for
        raise
    except TawtError as error:
        failed = next((r.failed for r in readers if r.failed is not None), None) or damaged_file(tables)
        if failed is None and isinstance(error, SourceError) and error.where == stage.name:
            with closing(open_stage_connection(plan, stage)) as another:
                failed = unread_file(another, tables, plan.limits)
        raise failed or error from None
    finally:
        connection.close()
    kept, rejected = _take_routes(folder, stage, lines)
    if stage.layer.ordered:
        with wrapped_errors(stage.name, workspace=workspace.root, limits=plan.limits):
            _in_order(plan, kept)
    return folder, kept, rejected


def _in_order(plan: Plan, kept: list[Path]) -> None:
    """Sort what a stage gave whole, by number and then by all columns: a window or a join gives no order of its own."""
    sorted_aside = kept[0].with_suffix(".sorted")
    names = parquet_schema(kept[0]).names
    order = ", ".join(map(identifier, ["_row", *(name for name in names if name != "_row")]))
    with closing(connect(plan.limits, [plan.workspace.root], plan.workspace.spill)) as connection:
        connection.execute(
            f"copy (from {parquet_files(kept)} order by {order}) to {literal(str(sorted_aside))} "
            "(format parquet, compression snappy)"
        )
    for file in kept:
        file.unlink()
    kept[:] = [sorted_aside.rename(kept[0])]


def open_stage_connection(plan: Plan, stage: Stage) -> duckdb.DuckDBPyConnection:
    """Open a locked connection with the stage's upstream relations as views."""
    workspace = plan.workspace
    folders = [workspace.root, *raw_folders(_raw_tables(plan, stage))]
    connection = connect(plan.limits, folders, workspace.spill, workspace.project)
    for name in stage.inputs:
        if raw_table(name) is None:
            bind_output(connection, workspace, name)
    return connection


def _raw_tables(plan: Plan, stage: Stage) -> list[RawTable]:
    return [plan.raw[table] for name in stage.inputs if (table := raw_table(name)) is not None]


def raw_folders(tables: Iterable[RawTable]) -> list[Path]:
    """Return the folders that the files of raw tables lie in, links followed: the engine follows them too."""
    return sorted({real(file.path).parent for table in tables for file in table.files})


def bind_output(connection: duckdb.DuckDBPyConnection, workspace: Workspace, name: str) -> None:
    """Make the view of a finished stage over its files; one that is built in can be named without its layer too."""
    layer = layer_of(name)
    relation = f"{name}.{name}" if layer.built_in else name
    files = parquet_files(stage_files(workspace, name, layer.rows))
    # what the runner alone reads; a stage gives some of it or none
    shown = f"columns(lambda name: name not in ('_reason', '{FAULTS}'))"
    connection.execute(f"create or replace view {relation} as select {shown} from {files}")
    if layer.built_in:
        connection.execute(f"create or replace view main.{name} as select * from {relation}")


def _copy(plan: Plan, stage: Stage, folder: Path) -> str:
    assert stage.sql is not None and stage.contract is not None
    reason = "_reason"
    if stage.layer.row_wise and plan.sample_threshold is not None and "subject_id" in stage.contract.names:
        reason = (
            f"coalesce(_reason, case when tawt_hash(subject_id, {SAMPLE_SALT}) > {plan.sample_threshold} "
            f"then {literal(_NOT_SAMPLED)} end)"
        )
    route = f"tawt_hash(subject_id, {SHARD_SALT}) % {plan.n_shards}" if stage.layer.sharded else "0"
    # the newline keeps a closing comment of the stage from swallowing the bracket
    return (
        f"copy (select * replace ({reason} as _reason), case when {reason} is null then {route} else {_REJECTED} end "
        f"as {_ROUTE} from ({stage.sql.text}\n)) to {literal(str(folder))} "
        f"(format parquet, compression snappy, partition_by ({_ROUTE}), overwrite_or_ignore)"
    )


def _check_output(connection: duckdb.DuckDBPyConnection, stage: Stage, plan: Plan) -> None:
    """Hold the columns and types of the select against the contract before a row is read."""
    assert stage.sql is not None and stage.contract is not None
    parameters = parameters_for(stage.sql, plan.workspace.pipeline.values)
    before = "select * from ("
    text = f"{before}{stage.sql.text}\n) limit 0"
    with wrapped_errors(stage.name, stage.sql.text, len("explain " + before), plan.workspace.root, plan.limits):
        # what is made of constants is made while the engine plans
        interruptible(connection, lambda: connection.execute(f"explain {text}", parameters))
        empty = interruptible(connection, lambda: connection.sql(text, params=parameters).to_arrow_table())
    for name, type_ in (("_row", pa.int64()), ("_reason", pa.string()), (FAULTS, pa.string())):
        if name == FAULTS and name not in empty.column_names:
            continue
        if name not in empty.column_names:
            hint = (
                f"carry {name} of {stage.inputs[0]} through" if name == "_row" else "null::varchar as _reason keeps all"
            )
            raise ContractError(stage.name, f"column `{name}` is missing, expected it in the last projection", hint)
        if empty.schema.field(name).type != type_:
            raise ContractError(
                stage.name, f"column `{name}` is {empty.schema.field(name).type}, expected {type_}",
                "cast it in the last projection",
            )  # fmt: skip
    check_schema(stage.contract, empty.schema, stage.name, extra=("_row", "_reason", FAULTS))


def _take_routes(folder: Path, stage: Stage, lines: list[tuple[str, int, str]]) -> tuple[list[Path], Rejected]:
    """Name the kept files as parts, and take the rejected rows' numbers and reasons out of the folder."""
    rows: list[pa.Table] = []
    kept: list[Path] = []
    for route in sorted(folder.iterdir()):
        number = int(route.name.partition("=")[2])
        for i, file in enumerate(sorted(route.iterdir())):
            if number == _REJECTED:
                rows.append(read_parquet(file, ["_row", "_reason"]))
                file.unlink()
            else:
                kept.append(file.rename(folder / f"part-{number:05d}-{i}.parquet"))
        route.rmdir()
    if not kept:
        assert stage.contract is not None
        schema = stage.contract.arrow_schema()
        schema = schema.append(pa.field("_row", pa.int64())).append(pa.field("_reason", pa.string()))
        kept = [folder / "part-00000-0.parquet"]
        pq.write_table(schema.empty_table(), kept[0])
    empty = pa.table({"_row": pa.array([], pa.int64()), "_reason": pa.array([], pa.string())})
    table = pa.concat_tables([empty, *(t.cast(empty.schema) for t in rows)])
    assert stage.sql is not None
    if not set(pc.unique(table["_reason"]).to_pylist()) <= {*stage.sql.reasons, _NOT_SAMPLED}:
        raise StageError(
            stage.name,
            "gives a _reason that does not stand in its text, expected `'drop:<rule>'` or "
            "`'quarantine:<column>:<reason>'`, each as one literal",
            "null::varchar as _reason keeps a record",
        )
    if table["_row"].null_count:
        raise StageError(
            stage.name, f"gives {table['_row'].null_count:,} rejected rows no _row, expected that of their record",
            f"carry {stage.inputs[0]}'s _row",
        )  # fmt: skip
    return kept, Rejected(table, lines)


def _as_labels(contract: Contract, files: list[Path]) -> None:
    """Lay labels out as MEDS wants them: one sorted file, the columns of the contract that are there and no others."""
    table = pa.concat_tables([read_parquet(file) for file in files])
    names = [name for name in contract.names if name in table.column_names]
    schema = pa.schema([contract.arrow_schema().field(name) for name in names])
    ordered = table.select(names).cast(schema).sort_by([(key, "ascending") for key in contract.sorted_by])
    for file in files:
        file.unlink()
    pq.write_table(ordered, files[0].with_name("labels.parquet"))


def _places(plan: Plan, driving: str, raw: RawTable | None, rejected: Rejected) -> tuple[tuple[str, ...], list[int]]:
    """Return the files behind a stage, and the number of each one's first readable record."""
    if raw is None:
        manifest = read_manifest(plan.workspace, driving)
        assert manifest is not None
        # events are merged of many tables: their own number is all that is known of a record
        return manifest.places if manifest.places[0] else ((driving,), [1])
    n_records: Counter[str] = Counter()
    for file in raw.files:
        n_records[file.place] += file.n_records
    n_records.subtract(place for place, _, _ in rejected.lines)
    return tuple(n_records), [1, *np.cumsum([1, *n_records.values()])[1:-1].tolist()]
