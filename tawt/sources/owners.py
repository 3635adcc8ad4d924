"""Whose the records of a raw table are that names no subject: told by what it shares with one that does, as the stay
that a result is of.
"""

from __future__ import annotations

from collections.abc import Iterable

from tawt.sources.graph import Graph
from tawt.sources.stage import Stage


def owners_of(stage: Stage, graph: Graph) -> list[tuple[str, str]]:
    """Return what says whose the records of a staged table are that names no subject: stages with a subject, each with
    the column that both have.

    That is a stage whose rows are told by one of its columns, and tables that it is made of.
    """
    names, found = stage.contract.names, []
    if "subject_id" in names or not stage.layer.row_wise:
        return []
    for one in graph.stages.values():
        grain = one.contract.grain
        if one.layer.name in ("links", "staging") and len(grain) == 1 and grain[0] in names:
            behind = [graph.stages[name] for name in one.inputs if name in graph.stages]
            both = {"subject_id", grain[0]}
            found += [(each.name, grain[0]) for each in (one, *behind) if both <= {*each.contract.names}]
    return found


def asked_of(stage: Stage, graph: Graph) -> list[str]:
    """Return the raw tables that are asked whose the records of a staged table are."""
    owners = [graph.stages[name] for name, _ in owners_of(stage, graph)]
    return sorted({table for one in owners if one.layer.row_wise for table in one.raw_tables})


def told_by_none(graph: Graph, stages: Iterable[str]) -> list[str]:
    """Return those of some stages that hold measurements of people, and neither whose, nor what tells it."""
    measured = {stage.inputs[0] for stage in graph.stages.values() if stage.layer.measured}
    found = [graph.stages[name] for name in stages if name in measured and graph.stages[name].layer.row_wise]
    return [one.name for one in found if "subject_id" not in one.contract.names and not owners_of(one, graph)]
