"""Whose the records of a raw table are that names no subject: told by what it shares with one that does, as the stay
that a result is of; so that they are left out where their subject opted out.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from tawt.contracts.opted_out import NOBODY
from tawt.database.connect import bounded_memory, identifier, interruptible, wrapped_errors
from tawt.files import ASIDE
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.plan import Plan
from tawt.pipeline.relations import connected
from tawt.raw.copies import readable
from tawt.raw.views import bind_raw
from tawt.sources.graph import Graph
from tawt.sources.held import held_on
from tawt.sources.stage import Bound, Stage


def owners_of(stage: Stage, graph: Graph) -> list[tuple[str, str]]:
    """Return what says whose the records of a staged table are that names no subject: stages with a subject, each with
    the column that both have.

    That is a stage whose rows are told by one of its columns, and tables that it is made of.
    """
    names, found = stage.contract.names, []
    if "subject_id" in names:
        return []
    for one in graph.stages.values():
        grain = one.contract.grain
        if one.layer.name in ("links", "staging") and len(grain) == 1 and grain[0] in names:
            behind = [graph.stages[name] for name in one.inputs if name in graph.stages]
            both = {"subject_id", grain[0]}
            found += [(each.name, grain[0]) for each in (one, *behind) if both <= {*each.contract.names}]
    return found


def without_gone(plan: Plan, bound: Bound, there: Mapping[str, Manifest]) -> Bound:
    """Return a stage about to run that knows which records are of those who opted out, where their own table does not
    say: the raw table of their subjects is asked."""
    if bound.settings.opted_out is None or not bound.stage.layer.row_wise:
        return bound
    for name, column in owners_of(bound.stage, plan.graph):
        stage = plan.graph.stages[name]
        if stage.layer.row_wise and all(table in plan.raw for table in stage.raw_tables):
            return replace(bound, gone=(column, _values(plan.bound(stage, there), column)))
    return bound


def _values(subjects: Bound, column: str) -> pa.Array:
    """Return what stands in a column of raw records of those who opted out."""
    name, who, numbers = subjects.stage.name, subjects.settings.opted_out, subjects.stage.numbers
    assert who is not None
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
        text = f"select distinct {identifier(column)} as value from ({select}) where {is_out} and value is not null"
        asked = connection.sql(text, params=subjects.parameters)
        return interruptible(connection, asked.to_arrow_table)["value"].combine_chunks()
