"""One select over the relations of a workspace, none of which changes meanwhile."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from tawt.builtin.all import seen_graph
from tawt.commands.attempt import FIRST, attempt
from tawt.contracts.label_set import FOLDER, label_sets
from tawt.contracts.layers import layer_of
from tawt.database.connect import (
    SCHEMAS,
    as_relation,
    bounded_memory,
    identifier,
    interruptible,
    looking,
    parquet_files,
    wrapped_errors,
)
from tawt.database.limits import Limits
from tawt.errors import FileError, SourceError, StageError
from tawt.pipeline.holding import still
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import Standing, ledger_table, mend_of, said_of, standing
from tawt.pipeline.manifest import unfinished
from tawt.pipeline.plan import input_of
from tawt.pipeline.quarantine import SCHEMA, listed_records
from tawt.pipeline.reading import copied, tables_now
from tawt.pipeline.relations import bind_output, raw_folders
from tawt.pipeline.run import Report
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.raw.copies import readable
from tawt.raw.views import bind_raw
from tawt.shell import command
from tawt.sources.asked import check_select, is_explained


def query(
    text: str, workspace: str | Path, cte: str | None = None, limit: int | None = None, *, threads: int | None = None,
    memory_limit: str | None = None, report: Report = lambda event: None,
) -> pa.Table:  # fmt: skip
    """Run one select over the workspace's relations.

    Relations: `staging.<name>`, `event_parts.<name>`, `codes.<name>`, `labels.<task>`, `events`, `codes` (what
    data_types mean), `vocabulary`, `triplets`, `quarantine`, `ledger`, and `raw.<name>` as the raw files are now.
    Nothing else can be read and nothing can be written. No command changes the workspace until the answer is there.

    Args:
        text: One `select`, or the `explain` of one; with `cte` the name of a stage.
        workspace: A workspace that `ingest` made.
        cte: Instead, the step of that stage to try, as `attempt` does.
        limit: At most so many rows; with `cte`, on how many records the step is tried, 10 by default.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        report: Hears `{"event": "note", ...}` of each relation in it that is damaged or older than its inputs.

    Raises:
        ConfigError: The text is not one select, there is no workspace, or a command that changes it is at work.
        FileError: A file that it reads is damaged.
        StageError: The engine refuses it.
    """
    root = Path(workspace).expanduser()
    if cte is not None:
        first = FIRST if limit is None else limit
        return attempt(text, root, cte, first, threads=threads, memory_limit=memory_limit, report=report)
    with still(root):
        opened = open_workspace(root)
        graph, limits = seen_graph(opened), Limits.of(threads, memory_limit)
        now = Now(opened)
        there = standing(opened, graph, now)
        raw_names = {f"raw.{name}".lower(): name for name in graph.raw_contracts}
        named = check_select(text, opened.root, _known(opened, there) | dict.fromkeys(raw_names), graph.project)
        for note in (*said_of(opened, graph, there, now), *_notes(named, opened, there)):
            report({"event": "note", "text": note})
        raw = tables_now(opened, graph, [name for relation, name in raw_names.items() if relation in named])
        try:
            with (
                readable(raw) as tables,
                looking(limits, [opened.root, *raw_folders(tables)], graph.project) as connection,
            ):
                with wrapped_errors("query", limits=limits):
                    _bind_all(connection, opened, there)
                    for table in tables:
                        if bind_raw(connection, table) is not None:
                            copied(connection, f"raw.{table.name}")
                with wrapped_errors("query", text, limits=limits), bounded_memory(limits):
                    answer = as_relation(connection, text)
                    cut = answer if limit is None or is_explained(text) else answer.limit(limit)
                    return interruptible(connection, cut.to_arrow_table)
        except SourceError as error:
            raise FileError(error.where, error.what, f"see `{command('check', workspace=opened.root)}`") from None
        except StageError as error:
            columns = command("query", f"select * from {min(named)} limit 0", workspace=opened.root) if named else ""
            hint = error.hint if "try_cast" in error.hint or not named else f"its columns: `{columns}`"
            if "fit" in error.what and '"' in text:
                hint += "; a text stands in single quotes, as 'LAB'"
            raise StageError(error.where, error.what, hint) from None


def _notes(named: frozenset[str], workspace: Workspace, there: list[Standing]) -> list[str]:
    """Return what to say of the relations in a query that were made from older inputs than those that are there."""
    return [
        f"{one.stage.name} is {one.state}: `{mend_of(workspace, there, one.stage.name)}`"
        for one in there
        if (one.torn and named & {"ledger", "quarantine"})
        or ((one.torn or one.stale) and one.stage.name.lower() in named)
    ]


def _known(workspace: Workspace, there: list[Standing]) -> dict[str, tuple[str, str] | None]:
    """Return the relations of a workspace -> why one cannot be read, and the command that makes it."""
    make = {
        one.stage.name.lower(): None
        if one.manifest is not None and not one.manifest.let_go
        else (unfinished(workspace, one.stage.name), command("run", f"+{one.stage.name}", workspace=workspace.root))
        for one in there
        if one.stage.layer.name in SCHEMAS
    }
    sets = dict.fromkeys(f"{FOLDER}.{name}".lower() for name in label_sets(workspace.root))
    return sets | make | {"ledger": None, "quarantine": None, "codes": make.get("events")}


def _bind_all(connection: duckdb.DuckDBPyConnection, workspace: Workspace, there: list[Standing]) -> None:
    """Make a view of every finished stage of the pipeline as it is now, of the ledger and of the quarantine."""
    for name, (path, _) in label_sets(workspace.root).items():
        connection.execute(f"create or replace view {FOLDER}.{identifier(name)} as from {parquet_files([path])}")
    finished = [one.manifest for one in there if one.manifest is not None]
    for manifest in finished:
        if layer_of(manifest.stage).name in SCHEMAS and not manifest.let_go:
            bind_output(connection, input_of(workspace.root, manifest))
        if manifest.stage == "events":
            listed_codes = input_of(workspace.root, manifest).folder / "metadata" / "codes.parquet"
            connection.execute(f"create view main.codes as from {parquet_files([listed_codes])}")
    connection.register("ledger", ledger_table(there))
    listed = [listed_records(workspace, manifest) for manifest in finished]
    connection.register("quarantine", pa.concat_tables([SCHEMA.empty_table(), *listed]))
