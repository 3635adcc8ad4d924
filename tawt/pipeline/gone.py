"""Records of those who opted out in raw tables that name no subject: what stands there of theirs is asked of the tables
that do, and remembered, so that they are known when these name them no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import duckdb
import pyarrow as pa

from tawt.contracts.opted_out import NOBODY, OptedOut
from tawt.database.connect import bounded_memory, identifier, interruptible, parquet_files, wrapped_errors
from tawt.files import ASIDE
from tawt.pipeline.manifest import Manifest, read_here
from tawt.pipeline.plan import Plan, input_of
from tawt.pipeline.relations import connected
from tawt.pipeline.workspace import Workspace
from tawt.raw.copies import readable
from tawt.raw.views import bind_raw
from tawt.sources.graph import Graph
from tawt.sources.held import held_on
from tawt.sources.owners import owners_of
from tawt.sources.stage import Bound, Gone, Stage


def known_gone(stage: Stage, graph: Graph, who: OptedOut) -> Gone | None:
    """Return what tells records of theirs in a staged table that names no subject, by what is remembered."""
    columns = tuple(dict.fromkeys(column for _, column in owners_of(stage, graph)))
    return Gone(columns, pa.array(sorted(who.theirs), pa.string())) if columns else None


def without_gone(plan: Plan, bound: Bound, there: Mapping[str, Manifest]) -> Bound:
    """Return a stage about to run that knows which records are of those who opted out, where their own table does not
    say: the raw tables of their subjects are asked."""
    who = bound.settings.opted_out
    if who is None or not bound.stage.layer.row_wise:
        return bound
    found: set[str] = set()
    for name, column in owners_of(bound.stage, plan.graph):
        stage = plan.graph.stages[name]
        if stage.layer.row_wise and all(table in plan.raw for table in stage.raw_tables):
            found |= _in_raw(plan.bound(stage, there), who, column)
    return replace(bound, gone=known_gone(bound.stage, plan.graph, replace(who, theirs=who.theirs | found)))


def _in_raw(subjects: Bound, who: OptedOut, column: str) -> set[str]:
    """Return marks of what stands in a column of raw records of those who opted out."""
    name, numbers = subjects.stage.name, subjects.stage.numbers
    with (
        readable(list(subjects.raw.values()), subjects.root / ASIDE / f"{name}-raw") as tables,
        closing(connected(subjects)) as connection,
        wrapped_errors(name, workspace=subjects.root, limits=subjects.limits),
        bounded_memory(subjects.limits),
    ):
        for table in tables:
            bind_raw(connection, table, numbers=numbers, some_out=True)
        select = held_on(connection, subjects.stage, subjects.parameters)
        is_out = f"subject_id = {NOBODY}" if numbers else who.sql("subject_id")
        text = f"select {identifier(column)} from ({select}) where {is_out}"
        return _marks(connection, text, who, column, subjects.parameters)


def in_staging(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, graph: Graph, who: OptedOut
) -> set[str]:  # fmt: skip
    """Return marks of what stands in staged tables and links of theirs, by which other tables tell them."""
    found: set[str] = set()
    pairs = {pair for stage in graph.stages.values() for pair in owners_of(stage, graph)}
    for name, column in sorted(pairs):
        if (made := read_here(workspace, name)) is not None:
            files = parquet_files(input_of(workspace.root, made).rows)
            text = f"select {identifier(column)} from {files} where {who.sql('subject_id')}"
            found |= _marks(connection, text, who, column, {})
    return found


def _marks(
    connection: duckdb.DuckDBPyConnection, text: str, who: OptedOut, column: str, parameters: Mapping[str, object]
) -> set[str]:  # fmt: skip
    asked = f"select distinct {who.sql_of(column)} as mark from ({text}) where {identifier(column)} is not null"
    rows = interruptible(connection, lambda: connection.sql(asked, params=dict(parameters)).to_arrow_table())
    return {*rows["mark"].to_pylist()}
