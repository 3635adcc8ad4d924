"""What an audit reads: events and the tables behind them, whom labels ask about, the task, and evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from pydantic import ConfigDict

from tawt.builtin.all import graph_of, seen_graph
from tawt.config.base import Section
from tawt.contracts.layers import TASKS
from tawt.contracts.workspace import EVALUATIONS
from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.errors import FileError, StageError
from tawt.evaluations.simpler import NAMES
from tawt.heads.label_set import LabelSet
from tawt.labels.leaks.clocks import Behind, times_of
from tawt.labels.leaks.verdict import Verdict, unverified
from tawt.labels.ready import PREDICATES
from tawt.labels.task import read_predicates
from tawt.pipeline.manifest import manifest_at
from tawt.pipeline.plan import input_of
from tawt.pipeline.relations import bind_output
from tawt.pipeline.workspace import Workspace, manifest_path
from tawt.readers import read_record
from tawt.shell import command


def bound_events(opened: Workspace, limits: Limits) -> Any:
    manifest = manifest_at(opened.root / "manifests" / "events.json")
    if manifest is None:
        raise StageError("audit", "needs events, which are not here, expected them", "`tawt ingest` makes them")
    connection = connect(limits, [opened.root], opened.spill, opened.project)
    bind_output(connection, input_of(opened.root, manifest))
    return connection


def behind_events(opened: Workspace, connection: Any, note: Callable[[str], None]) -> list[Behind]:
    """Return the staging tables that events come from, as far as they are here, as relations of the connection; none
    where any was let go, for nothing follows from the others alone, which `note` is told of."""
    graph, found, gone = seen_graph(opened), [], []
    for name, stage in graph.stages.items():
        table = stage.inputs[0] if name.startswith("event_parts.") and stage.inputs else ""
        manifest = manifest_at(manifest_path(opened.root, table)) if table.startswith("staging.") else None
        if manifest is None:
            continue
        if manifest.let_go:
            gone.append(table)
            continue
        try:
            bind_output(connection, input_of(opened.root, manifest))
            found.append(Behind(name, table, times_of(connection, table)))
        except duckdb.Error:  # its files are not here
            continue
    if gone:
        again = command("run", "staging", workspace=opened.root)
        note(f"the records behind events were let go (`keep: last`): `{again}` makes them again, to be looked at here")
    return [] if gone else found


def entered_in(opened: Workspace) -> str | None:
    """Return which codes of diagnoses are of no bill, as their source says; None = it says nothing."""
    own = graph_of(opened).project.find(f"sql/{opened.pipeline.source}/{TASKS}/{PREDICATES}.yaml")
    return read_predicates(own).entered if own is not None else None


class Measured(Section):
    """A row of an evaluation, as far as an audit reads it."""

    model_config = ConfigDict(extra="ignore")
    name: str
    model: str | None = None


class Settled(Section):
    """What an evaluation settled of a model, as far as an audit reads it."""

    model_config = ConfigDict(extra="ignore")
    threshold: float | None = None


class Evaluation(Section):
    """What an evaluation found, as far as an audit reads it."""

    model_config = ConfigDict(extra="ignore")
    labels: str | None = None
    rows: tuple[Measured, ...] = ()
    settled: dict[str, Settled] = {}


def practice_told(root: Path, name: str) -> list[Verdict]:
    """Return what no data can show, with how often held_out was looked at as far as evaluations tell."""
    told = "what was looked at before something was changed, no file says: write down what was decided on which rows"
    n = sum(one.name not in NAMES for one in _evaluation(root, name).rows)
    if n:
        told = f"{n:,} runs were measured on the same rows, and a choice among them is one on the test; {told}"
    return [unverified("DECLARED_PRACTICE", told)]


def settled_threshold(root: Path, labels: LabelSet, run: str, model: str) -> float | None:
    """Return the threshold of a run that is on record; None where no evaluation has one of these labels and weights.

    Args:
        root: The workspace.
        labels: What was asked.
        run: What the run is called there.
        model: Hash of its weights.
    """
    kept = _evaluation(root, labels.name)
    named = {one.name: one.model for one in kept.rows}
    if kept.labels != labels.sha256 or named.get(run) != model or run not in kept.settled:
        return None
    return kept.settled[run].threshold


def _evaluation(root: Path, name: str) -> Evaluation:
    path = root / EVALUATIONS / name / "evaluation.json"
    return read_record(path, Evaluation, "evaluate again", FileError, Evaluation(), sealed=True)
