"""A stage, or one of its steps, tried on the first records that are there; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tawt.builtin.all import seen_stage
from tawt.database.connect import as_relation, bounded_memory, interruptible, wrapped_errors
from tawt.database.limits import Limits
from tawt.database.parse import parse, relations, statements
from tawt.errors import ConfigError, nearest
from tawt.pipeline.ledger import mend_of, standing
from tawt.pipeline.reading import copied, reading, tables_now
from tawt.pipeline.run import Report
from tawt.pipeline.untimed import name_untimed
from tawt.shell import command
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
            wrapped_errors(stage, text, opened.root, limits),
            bounded_memory(limits),
        ):
            driving = found.inputs[0]
            interruptible(connection, lambda: copied(connection, driving, limit))
            values = parameters_for(found.sql, opened.pipeline.values)
            values = {name: values[name] for name in statements(text)[0].named_parameters}
            if cte is None:
                relation = _whole(connection, found, values)
            else:
                relation = as_relation(connection, text, values)
            read = {f"{one.schema or one.table}.{one.table}".lower() for one in relations(parse(text))}
            if f"{driving.partition('.')[0]}.{driving.rpartition('.')[2]}".lower() not in read:
                relation = relation.limit(limit)
            return interruptible(connection, relation.to_arrow_table)


def _whole(connection: duckdb.DuckDBPyConnection, stage: Stage, values: Mapping[str, Any]) -> duckdb.DuckDBPyRelation:
    """Return what a stage gives, as a run would route it."""
    held = held_on(connection, stage, values)
    if stage.sql is None or not stage.layer.measured:
        return connection.sql(held, params=values)
    interruptible(connection, lambda: connection.execute(f"create temp table _tried as {held}", values))
    name_untimed(connection, stage.sql.text, values, "_tried")
    return connection.table("_tried")


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
