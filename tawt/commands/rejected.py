"""Records that a stage rejected, by reason and place, and their cells read again from the raw files.

This is the one place that shows cells of rejected records, because it was asked to.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tawt.builtin.all import seen_stage
from tawt.contracts.layers import raw_table
from tawt.contracts.reasons import OF_SUBJECTS
from tawt.database.connect import bounded_memory, identifier, interruptible, literal, looking, wrapped_errors
from tawt.database.limits import Limits
from tawt.errors import FileError, SourceError, StageError
from tawt.pipeline.gone import known_gone
from tawt.pipeline.ledger import standing
from tawt.pipeline.manifest import Manifest, make_again, read_manifest, torn_files
from tawt.pipeline.plan import input_of
from tawt.pipeline.quarantine import listed_records
from tawt.pipeline.reading import reading, tables_now
from tawt.pipeline.relations import bind_output, raw_folders
from tawt.pipeline.sql_stage import is_out
from tawt.pipeline.workspace import Workspace
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.views import bind_raw
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.held import held_on
from tawt.sources.sql_file import parameters_for
from tawt.sources.stage import Stage

_DROPPED = pa.schema([("file", pa.string()), ("record", pa.int64()), ("reason", pa.string())])


def quarantined(stage: str, workspace: str | Path, limit: int = 10) -> pa.Table:
    """List a stage's quarantined records and read them again from the raw files.

    Args:
        stage: `<layer>.<name>`.
        workspace: A workspace that `ingest` made.
        limit: At most so many records.

    Raises:
        ConfigError: There is no such workspace or stage, or a command that changes the workspace is at work.
        FileError: The list is damaged.
        SourceError: The raw files are not where they were, or not as they were read.
    """
    with seen_stage(stage, workspace) as (opened, graph, found):
        manifest = _finished(opened, stage)
        places = listed_records(opened, manifest, ["file", "record", "line", "column", "reason"]).slice(0, limit)
        return _with_cells(opened, graph, found, manifest, places)


def dropped(stage: str, workspace: str | Path, limit: int = 10) -> pa.Table:
    """List records that a stage dropped and read them again from the raw files.

    A stage writes down how many records it dropped, not which: its select is asked again, and nothing is written.
    Records of subjects outside of a sample are left out.

    Args:
        stage: `<layer>.<name>`, or `events` for what it dropped as duplicates.
        workspace: A workspace that `ingest` made.
        limit: At most so many records of each reason.

    Returns:
        One row per record: `file`, `record` (its number in the raw table, from 1), `reason`, and the raw cells; of
        `events` instead `input`, the event part.

    Raises:
        ConfigError: There is no such workspace or stage, or a command that changes the workspace is at work.
        SourceError: The raw files are not where they were, or not as they were read.
        StageError: The stage or what it reads is another than when it ran.
    """
    with seen_stage(stage, workspace) as (opened, graph, found):
        manifest = _finished(opened, stage)
        routes = [route for account in manifest.accounts for route in account.routes] if manifest is not None else []
        if manifest is None or not any(r.kind == "drop" and r.reason not in OF_SUBJECTS for r in routes):
            return _DROPPED.empty_table()
        for one in standing(opened, graph):
            if one.stage.name == stage and one.stale:
                raise StageError(
                    stage, f"is {one.state}, expected it as it ran: what it drops now is something else",
                    command("run", f"{stage}+", workspace=opened.root),
                )  # fmt: skip
        if found.sql is None:
            return _duplicates(opened, manifest, limit)
        places = _drops_of(opened, graph, found, manifest, limit)
        return _with_cells(opened, graph, found, manifest, places)


def _finished(opened: Workspace, stage: str) -> Manifest | None:
    for torn in torn_files(opened, stage):
        what = "is missing or damaged, expected it as the stage wrote it"
        raise FileError(str(opened.root / torn), what, make_again(opened.root, stage))
    return read_manifest(opened, stage)


def _drops_of(opened: Workspace, graph: Graph, stage: Stage, manifest: Manifest, limit: int) -> pa.Table:
    """Ask the select of a stage again which records it drops."""
    assert stage.sql is not None
    raw = [_as_read(opened, graph, name, manifest) for name in stage.raw_tables]
    limits = Limits.of()
    parameters = parameters_for(stage.sql, opened.pipeline.values)
    with (
        reading(opened, stage, raw, limits) as connection,
        wrapped_errors(stage.name, workspace=opened.root, limits=limits),
        bounded_memory(limits),
    ):
        text = f"select _row, min(_reason) as reason from ({held_on(connection, stage, parameters)}) group by _row "
        # a record that any row is kept of, or quarantined for, is not dropped
        text += "having bool_and(coalesce(starts_with(_reason, 'drop:'), false))"
        text = (
            f"select _row as record, substr(reason, 6) as reason from ({text}) "
            f"qualify row_number() over (partition by reason order by record) <= {int(limit)} order by reason, record"
        )
        rows = interruptible(connection, lambda: connection.sql(text, params=parameters).to_arrow_table())
    return _placed(rows, manifest, stage.inputs[0]).cast(_DROPPED)


def _placed(rows: pa.Table, manifest: Manifest, driving: str) -> pa.Table:
    files = manifest.places.of(rows["record"].to_numpy(), driving)
    return rows.add_column(0, "file", pa.array(files, pa.string()))


def _duplicates(opened: Workspace, manifest: Manifest, limit: int) -> pa.Table:
    """Return the records that gave more rows to a merged stage than came out."""
    limits, tables = Limits.of(), []
    with looking(limits, [opened.root]) as connection, wrapped_errors(manifest.stage, limits=limits):
        bind_output(connection, input_of(opened.root, manifest))
        for account in manifest.accounts:
            reasons = [route.reason for route in account.routes if route.kind == "drop"]
            part = read_manifest(opened, account.driving)
            if not reasons or part is None:
                continue
            bind_output(connection, input_of(opened.root, part))
            layer, _, name = part.stage.partition(".")
            source = (
                f"select _row, 1 as n from {layer}.{identifier(name)} union all select source_row, -1 from "
                f"{manifest.stage}.{manifest.stage} where source = {literal(part.stage)}"
            )
            text = f"select _row as record from ({source}) group by _row having sum(n) > 0 order by _row limit {limit}"
            rows = interruptible(connection, connection.sql(text).to_arrow_table)
            table = _placed(rows, part, part.stage)
            table = table.append_column("reason", pa.array([" or ".join(reasons)] * len(table), pa.string()))
            tables.append(table.cast(_DROPPED).append_column("input", pa.array([part.stage] * len(table), pa.string())))
    return pa.concat_tables(tables)


def _as_read(opened: Workspace, graph: Graph, name: str, manifest: Manifest) -> RawTable:
    """Return a raw table that is as the stage of a manifest read it.

    Raises:
        SourceError: It is not, so that record numbers would be those of others.
    """
    (table,) = tables_now(opened, graph, [name])
    if manifest.components.inputs.get(f"raw.{name}") != table.identity:
        raise SourceError(f"raw.{name}", "is not as it was read, expected it as it was", opened.ingest_again)
    return table


def _with_cells(opened: Workspace, graph: Graph, stage: Stage, manifest: Manifest | None, places: pa.Table) -> pa.Table:
    """Add the raw cells to the places of records, less those of subjects who opted out, whom the raw files name yet."""
    driving = stage.inputs[0]
    staged = stage if raw_table(driving) is not None else graph.stages[driving]
    read = manifest if staged is stage else read_manifest(opened, driving)
    # records of events are those of several raw tables
    if (name := raw_table(staged.inputs[0])) is None or read is None or places["record"].null_count == len(places):
        return places
    table = _as_read(opened, graph, name, read)
    limits = Limits.of()
    with (
        readable([table]) as tables,
        looking(limits, [opened.root, *raw_folders(tables)]) as connection,
        wrapped_errors(staged.inputs[0], limits=limits),
    ):
        bind_raw(connection, tables[0])
        connection.register("_places", places)
        own = ", ".join(f"p.{identifier(name)}" for name in places.column_names)
        order = "p.reason, p.record" if "line" not in places.column_names else "p.file, p.record, p.line"
        text = f"select {own}, r.* exclude (_row) from _places p left join raw.{identifier(table.name)} r"
        rows = interruptible(
            connection, lambda: connection.sql(f"{text} on r._row = p.record order by {order}").to_arrow_table()
        )
    if opened.opted_out is None:
        return rows
    others = pc.is_in(rows["record"], _of_others(opened, graph, staged, table, places))
    return rows.filter(pc.or_(others, pc.is_null(rows["record"])))  # a line that is no record names nobody


def _of_others(opened: Workspace, graph: Graph, staged: Stage, table: RawTable, places: pa.Table) -> pa.Array:
    """Return the records of some whose subject has not opted out, as staging reads it."""
    limits, who = Limits.of(), opened.opted_out
    assert who is not None and staged.sql is not None
    parameters = parameters_for(staged.sql, opened.pipeline.values)
    with (
        reading(opened, staged, [table], limits) as connection,
        wrapped_errors(staged.name, workspace=opened.root, limits=limits),
    ):
        gone = known_gone(staged, graph, who)
        if gone is not None:
            connection.register("_gone", pa.table({"mark": gone.marks}))
        asked = is_out(staged, who, gone)
        connection.register("_places", places)
        text = f"select _row from ({held_on(connection, staged, parameters)}) where not ({asked or 'false'})"
        text = f"select distinct _row from ({text}) where _row in (select record from _places)"
        rows = interruptible(connection, lambda: connection.sql(text, params=parameters).to_arrow_table())
    return rows["_row"].combine_chunks()
