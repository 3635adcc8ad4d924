"""The data engineer's view of a workspace: its stages, one stage, a stage's SQL, and queries over its relations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from tawt.commands import command
from tawt.errors import ConfigError, FileError, SourceError, StageError, nearest
from tawt.pipeline.engine import Limits, bounded_memory, connect, interruptible, wrapped_errors
from tawt.pipeline.execute import bind_output, raw_folders
from tawt.pipeline.ledger import Standing, ledger_table, standing
from tawt.pipeline.manifest import Manifest, make_again, read_manifest, torn_files
from tawt.pipeline.quarantine import SCHEMA
from tawt.pipeline.raw_views import bind_raw
from tawt.pipeline.run import Report
from tawt.pipeline.sources import find_raw_tables
from tawt.pipeline.sql import check_select, is_explained, parameters_for
from tawt.pipeline.stages import Graph, Stage, graph_of, load_graph
from tawt.pipeline.workspace import Workspace, open_workspace, resolve_pipeline
from tawt.readers import read_parquet
from tawt.seals import sha256_file

_NONE = SCHEMA.empty_table()


def stages(workspace: str | Path | None = None, pipeline: str | None = None) -> pa.Table:
    """List the stages of a workspace, or of a pipeline, in the order in which they run.

    Args:
        workspace: A workspace; its finished stages come with their counts.
        pipeline: Instead, the name or file of a pipeline.

    Returns:
        One row per stage: `stage`, `state`, `rows`, `inputs`, `description`.

    Raises:
        ConfigError: Neither or an unknown one is given.
    """
    if workspace is None and pipeline is None:
        raise ConfigError(
            "stages",
            "has nothing to list, expected a workspace or a pipeline",
            f"for example `{command('stages', pipeline='demo')}`",
        )
    opened = open_workspace(Path(workspace).expanduser()) if workspace is not None else None
    graph = graph_of(opened) if opened is not None else load_graph(resolve_pipeline(str(pipeline)))
    there = standing(opened, graph) if opened is not None else [Standing(s, None) for s in graph.stages.values()]
    rows: list[dict[str, Any]] = [
        {
            "stage": one.stage.name,
            "state": one.state,
            "rows": sum(a.n_rows_out for a in one.manifest.accounts) if one.manifest else None,
            "inputs": ", ".join(one.stage.inputs),
            "description": one.stage.summary,
        }
        for one in there
    ]
    rows += [
        {"stage": name, "state": f"skipped: {why}", "rows": None, "inputs": "", "description": ""}
        for name, why in graph.skipped.items()
    ]
    schema = pa.schema([("stage", pa.string()), ("state", pa.string()), ("rows", pa.int64()),
                        ("inputs", pa.string()), ("description", pa.string())])  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


@dataclass(frozen=True)
class StageView:
    """One stage, as `tawt show` prints it."""

    name: str
    description: str
    inputs: tuple[str, ...]
    reason_last_run: str
    columns: pa.Table | None
    ledger: pa.Table
    files: pa.Table
    facts: dict[str, Any]


def _stage(graph: Graph, name: str, **where: object) -> Stage:
    if name not in graph.stages:
        if name in graph.skipped:
            raise ConfigError(
                f"stage {name}",
                f"does not run here: {graph.skipped[name]}, expected a stage that does",
                command("stages", **where),
            )
        raise ConfigError(f"stage {name}", "is not there, expected a stage", nearest(name, graph.stages))
    return graph.stages[name]


def has_sql(stage: str) -> bool:
    """Return whether a stage of this name is an SQL file; the engine's own have no layer."""
    return "." in stage


def show(stage: str, workspace: str | Path) -> StageView:
    """Describe a stage of a workspace: contract, files, and where its records went.

    Args:
        stage: `<layer>.<name>`, or an engine stage.
        workspace: A workspace that `ingest` made.

    Raises:
        ConfigError: There is no such workspace or stage.
    """
    opened = open_workspace(Path(workspace).expanduser())
    graph = graph_of(opened)
    found = _stage(graph, stage, workspace=opened.root)
    there = standing(opened, graph)
    one = next(one for one in there if one.stage.name == stage)
    manifest, columns = one.manifest, None
    state = one.state if manifest is None else f"finished in {manifest.seconds:.1f} s"
    if one.behind:
        state += f"; {one.state}: `{command('run', f'+{stage}', workspace=opened.root)}`"
    if found.contract is not None:
        columns = pa.Table.from_pylist(
            [
                {"column": c.name, "type": c.type, "nullable": c.nullable, "description": c.description}
                for c in found.contract.columns
            ]
        )
    ledger = ledger_table(there)
    ledger = ledger.filter(pa.array([name == stage for name in ledger["stage"].to_pylist()], pa.bool_()))
    sizes = manifest.files if manifest else {}
    files = pa.table({"file": pa.array(sizes, pa.string()), "bytes": pa.array(sizes.values(), pa.int64())})
    facts = {k: v for k, v in manifest.facts.items() if k not in ("files", "file_starts")} if manifest else {}
    return StageView(
        stage, found.summary, found.inputs, state, columns, ledger.drop_columns(["stage"]), files, facts,
    )  # fmt: skip


def quarantined(stage: str, workspace: str | Path, limit: int = 10, reread: bool = True) -> pa.Table:
    """List a stage's quarantined records and read them again from the raw files.

    This is the one place that shows cells of rejected records, because it was asked to.

    Args:
        stage: `<layer>.<name>`.
        workspace: A workspace that `ingest` made.
        limit: At most so many records.
        reread: Whether to add the raw cells; without, only places and reasons.

    Raises:
        ConfigError: There is no such workspace or stage.
        SourceError: The raw files are not where they were.
    """
    opened = open_workspace(Path(workspace).expanduser())
    graph = graph_of(opened)
    found = _stage(graph, stage, workspace=opened.root)
    manifest = read_manifest(opened, stage)
    for torn in torn_files(opened, stage):
        what = "is missing or damaged, expected it as the stage wrote it"
        raise FileError(str(opened.root / torn), what, make_again(opened, stage))
    columns = ["file", "record", "line", "column", "reason"]
    places = _listed(opened, manifest, columns).slice(0, limit) if manifest is not None else _NONE.select(columns)
    numbers = [n for n in places["record"].to_pylist() if n is not None]
    if not reread or not numbers:
        return places
    driving = found.inputs[0]
    source = driving if driving.startswith("raw.") else graph.stages[driving].inputs[0]
    if not source.startswith("raw."):
        return places  # of events: their numbers are those of several raw tables
    raw_name = source.removeprefix("raw.")
    raw, _ = find_raw_tables(opened, {raw_name: graph.raw_contracts[raw_name]})
    if raw_name not in raw:
        raise SourceError(f"raw.{raw_name}", "is not there any more, expected it as it was", opened.ingest_again)
    folders = [opened.root, *raw_folders(raw.values())]
    with looking(Limits.of(), folders) as connection, wrapped_errors(f"raw.{raw_name}", limits=Limits.of()):
        bind_raw(connection, raw[raw_name], opened.pipeline.csv)
        connection.register("_places", places)
        return connection.sql(
            f'select p.file, p.record, p.line, p."column", p.reason, r.* exclude (_row) from _places p '
            f"left join raw.{raw_name} r on r._row = p.record order by p.file, p.record, p.line"
        ).to_arrow_table()


def sql(stage: str, workspace: str | Path | None = None, pipeline: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return a stage's SQL text and the parameters that its pipeline binds.

    Args:
        stage: `<layer>.<name>`.
        workspace: A workspace that `ingest` made.
        pipeline: Instead, the name or file of a pipeline.

    Raises:
        ConfigError: There is no such stage, or it has no SQL.
    """
    if workspace is None and pipeline is None:
        raise ConfigError(
            "sql",
            "has nothing to look in, expected a workspace or a pipeline",
            f"for example `{command('sql', stage, pipeline='demo')}`",
        )
    opened = open_workspace(Path(workspace).expanduser()) if workspace is not None else None
    resolved = opened.pipeline if opened is not None else resolve_pipeline(str(pipeline))
    where: dict[str, object] = {"workspace": workspace} if workspace is not None else {"pipeline": pipeline}
    found = _stage(load_graph(resolved), stage, **where)
    if found.sql is None:
        hint = command("show", stage, workspace=workspace) if workspace is not None else command("stages", **where)
        raise ConfigError(f"stage {stage}", "is code, expected a stage with SQL", hint)
    return found.sql.text, parameters_for(found.sql, dict(resolved.parameters))


def query(
    text: str, workspace: str | Path, *, threads: int | None = None, memory_limit: str | None = None,
    report: Report = lambda event: None,
) -> pa.Table:  # fmt: skip
    """Run one select over the workspace's relations.

    Relations: `staging.<name>`, `event_parts.<name>`, `codes.<name>`, `labels.<task>`, `events`, `vocabulary`,
    `triplets`, `quarantine`, `ledger`. Nothing outside the workspace can be read and nothing can be written.

    Args:
        text: One `select`, or the `explain` of one.
        workspace: A workspace that `ingest` made.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        report: Hears `{"event": "note", ...}` of each relation in it that is damaged or older than its inputs.

    Raises:
        ConfigError: The text is not one select, or there is no workspace.
        StageError: The engine refuses it.
    """
    opened = open_workspace(Path(workspace).expanduser())
    check_select(text, opened.root)
    limits, there = Limits.of(threads, memory_limit), standing(opened)
    for note in _notes(text, opened, there):
        report({"event": "note", "text": note})
    try:
        with looking(limits, [opened.root]) as connection:
            _bind_all(connection, opened, there)
            with wrapped_errors("query", text, len("explain "), limits=limits), bounded_memory(limits):
                if not is_explained(text):
                    interruptible(connection, lambda: connection.execute(f"explain {text}"))
                return interruptible(connection, lambda: connection.sql(text).to_arrow_table())
    except StageError as error:
        hint = error.hint if "try_cast" in error.hint else f"relations: {command('stages', workspace=opened.root)}"
        raise StageError(error.where, error.what, hint) from None


@contextmanager
def looking(limits: Limits, folders: Sequence[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that only looks: it spills to the system's own folder, for the workspace may be read-only."""
    with TemporaryDirectory(prefix="tawt-") as aside:
        connection = connect(limits, [*folders, Path(aside)], Path(aside) / "spill")
        try:
            yield connection
        finally:
            connection.close()


def _notes(text: str, workspace: Workspace, there: list[Standing]) -> list[str]:
    """Return what to say of the relations in a query that were made from older inputs than those that are there."""
    return [
        f"{one.stage.name} is {one.state}: `{command('run', f'+{one.stage.name}', workspace=workspace.root)}`"
        for one in there
        if (one.torn and re.search(r"\b(?:ledger|quarantine)\b", text))
        or ((one.torn or one.behind) and re.search(rf"\b{re.escape(_relation(one.stage.name))}\b", text))
    ]


def _relation(stage: str) -> str:
    return f"labels.{stage.partition('.')[2]}" if stage.startswith("tasks.") else stage


def _bind_all(connection: duckdb.DuckDBPyConnection, workspace: Workspace, there: list[Standing]) -> None:
    """Make a view of every finished stage of the pipeline as it is now, of the ledger and of the quarantine."""
    finished = [one.manifest for one in there if one.manifest is not None]
    for manifest in finished:
        if manifest.stage == "dataset":
            continue
        bind_output(connection, workspace, manifest.stage)
        if "." not in manifest.stage:
            connection.execute(f"create view {manifest.stage} as select * from {manifest.stage}.{manifest.stage}")
    connection.register("ledger", ledger_table(there))
    listed = [_listed(workspace, manifest, SCHEMA.names) for manifest in finished]
    connection.register("quarantine", pa.concat_tables([_NONE, *listed]))


def _listed(workspace: Workspace, manifest: Manifest, columns: Sequence[str]) -> pa.Table:
    """Return the quarantined records of a finished stage, as they were written."""
    path = workspace.quarantine(manifest.stage)
    name = path.relative_to(workspace.root).as_posix()
    if name not in manifest.files:
        return _NONE.select(columns)
    hint = make_again(workspace, manifest.stage)
    if manifest.hashes.get(name) != sha256_file(path):
        raise FileError(str(path), "is not as it was written, expected the content that the stage lists", hint)
    return read_parquet(path, columns, hint)
