"""A stage, or one of its steps, tried on the first records that are there; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from tawt.commands.look import seen_stage
from tawt.contracts.layers import raw_table
from tawt.database.connect import Limits, bounded_memory, identifier, interruptible, looking, wrapped_errors
from tawt.database.parse import parse, relations, statements
from tawt.errors import ConfigError, SourceError, StageError, nearest
from tawt.pipeline.ledger import mend_of, standing
from tawt.pipeline.plan import inputs_of, raw_tables
from tawt.pipeline.relations import bind_output, raw_folders
from tawt.pipeline.run import Report
from tawt.pipeline.workspace import Workspace
from tawt.raw.copies import readable
from tawt.raw.find import RawTable
from tawt.raw.views import bind_raw
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.held import held_on
from tawt.sources.sql_file import parameters_for
from tawt.sources.stage import Stage
from tawt.sources.steps import cte_names, cte_text

FIRST = 10
"""Records that a stage is tried on where nobody says how many."""


def attempt(
    stage: str, workspace: str | Path, cte: str | None = None, limit: int = FIRST, *, threads: int | None = None,
    memory_limit: str | None = None, report: Report = lambda event: None,
) -> pa.Table:  # fmt: skip
    """Try a stage's present SQL on the first records that are there, without writing anything.

    Only the first relation that the stage reads is cut; what it joins is there whole.

    Args:
        stage: `<layer>.<name>`, a stage of SQL.
        workspace: A workspace that `ingest` made.
        cte: The step of the stage to hand back; the stage's own rows by default.
        limit: How many records of the stage's first relation it reads. Of a step that does not read that relation, at
            most so many rows are handed back.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        report: Hears `{"event": "note", ...}` of what it reads that is older than its own inputs.

    Returns:
        The rows, with `_row` and `_reason` where the step has them.

    Raises:
        ConfigError: There is no such workspace, stage or step, or a command that changes the workspace is at work.
        SourceError: A raw table is not there or unreadable.
        StageError: The engine refuses it, or what it reads is not made.
    """
    limits = Limits.of(threads, memory_limit)
    with seen_stage(stage, workspace) as (opened, graph, found):
        if found.sql is None:
            hint = command("show", stage, workspace=opened.root)
            raise ConfigError(f"stage {stage}", "is code, expected a stage with SQL", hint)
        text = found.sql.text if cte is None else step_of(found.sql.text, stage, cte)
        there = standing(opened, graph)
        for one in there:
            if one.stage.name in found.inputs and (one.torn or one.stale):
                again = mend_of(opened, there, one.stage.name)
                report({"event": "note", "text": f"{one.stage.name} is {one.state}: `{again}`"})
        with (
            reading(opened, found, tables_now(opened, graph, found.raw_tables), limits) as connection,
            wrapped_errors(stage, text, len("explain "), opened.root, limits),
            bounded_memory(limits),
        ):
            driving = found.inputs[0]
            interruptible(connection, lambda: copied(connection, driving, limit))
            values = parameters_for(found.sql, opened.pipeline.values)
            values = {name: values[name] for name in statements(text)[0].named_parameters}
            interruptible(connection, lambda: connection.execute(f"explain {text}", values))
            relation = connection.sql(held_on(connection, found, values) if cte is None else text, params=values)
            read = {f"{one.schema or one.table}.{one.table}".lower() for one in relations(parse(text))}
            if f"{driving.partition('.')[0]}.{driving.rpartition('.')[2]}".lower() not in read:
                relation = relation.limit(limit)
            return interruptible(connection, relation.to_arrow_table)


def step_of(text: str, stage: str, cte: str) -> str:
    """Return a stage's text so that it hands back one of its steps.

    Raises:
        ConfigError: It has no such step.
    """
    try:
        return cte_text(text, cte)
    except KeyError:
        known = cte_names(text)
        what = "is no step of it, expected the name of a CTE" if known else "is asked for, but it has no CTE"
        raise ConfigError(f"stage {stage}", f"`{cte}` {what}", nearest(cte, known)) from None


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
            raise StageError(stage.name, f"needs {name}, which is not there, expected it to be finished", again)
    with (
        readable(raw) as tables,
        looking(limits, [opened.root, *raw_folders(tables)], opened.project, bool(stage.numbers)) as connection,
    ):
        with wrapped_errors(stage.name, workspace=opened.root, limits=limits):
            for one in made.values():
                bind_output(connection, one)
            for table in tables:
                bind_raw(connection, table, numbers=stage.numbers)
        yield connection


def copied(connection: duckdb.DuckDBPyConnection, name: str, limit: int | None = None) -> None:
    """Put a copy in the place of a relation: of its first records, so that no plan reads more, or of one that is a
    stream and can be read once."""
    layer, _, table = name.partition(".")
    relation, copy = f"{layer}.{identifier(table or layer)}", identifier(f"_copy_of_{name}")
    first = "" if limit is None else f" limit {int(limit)}"
    connection.execute(f"create table {copy} as select * from {relation}{first}")
    connection.execute(f"create or replace view {relation} as select * from {copy}")
