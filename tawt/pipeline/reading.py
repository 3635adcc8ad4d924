"""What a stage reads, on a connection that only looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb

from tawt.contracts.layers import raw_table
from tawt.database.connect import identifier, looking, wrapped_errors
from tawt.database.limits import Limits
from tawt.errors import SourceError, StageError
from tawt.pipeline.manifest import unfinished
from tawt.pipeline.plan import inputs_of
from tawt.pipeline.raw_tables import raw_tables
from tawt.pipeline.relations import bind_output, raw_folders
from tawt.pipeline.workspace import Workspace
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.views import bind_raw
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.stage import Stage


def tables_now(opened: Workspace, graph: Graph, names: Sequence[str]) -> list[RawTable]:
    """Return raw tables by name, as they are now.

    Raises:
        SourceError: One is not there.
    """
    raw, _ = raw_tables(opened, {name: graph.raw_contracts[name] for name in names}) if names else ({}, [])
    for name in names:
        if name not in raw:
            raise SourceError(f"raw.{name}", "is not there, expected it below the raw root", opened.ingest_again)
    return [raw[name] for name in names]


@contextmanager
def reading(
    opened: Workspace, stage: Stage, raw: Sequence[RawTable], limits: Limits
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that only looks, with all relations that a stage reads.

    Raises:
        StageError: One of them is not made.
    """
    made = inputs_of(opened, stage)
    for name in stage.inputs:
        if raw_table(name) is None and name not in made:
            again = command("run", f"+{name}", workspace=opened.root)
            raise StageError(stage.name, f"needs {name}, which {unfinished(opened, name)}, expected it finished", again)
    with (
        readable(raw) as tables,
        looking(limits, [opened.root, *raw_folders(tables)], opened.project, bool(stage.numbers)) as connection,
    ):
        with wrapped_errors(stage.name, workspace=opened.root, limits=limits):
            for one in made.values():
                bind_output(connection, one)
            for table in tables:
                bind_raw(connection, table, numbers=stage.numbers, some_out=opened.opted_out is not None)
        yield connection


def copied(connection: duckdb.DuckDBPyConnection, name: str, limit: int | None = None) -> None:
    """Put a copy in the place of a relation: of its first records, so that no plan reads more, or of one that is a
    stream and can be read once."""
    layer, _, table = name.partition(".")
    relation, copy = f"{layer}.{identifier(table or layer)}", identifier(f"_copy_of_{name}")
    first = "" if limit is None else f" limit {int(limit)}"
    connection.execute(f"create table {copy} as select * from {relation}{first}")
    connection.execute(f"create or replace view {relation} as select * from {copy}")
