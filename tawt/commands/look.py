"""The data engineer's view of a workspace: its stages, and one stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tawt.builtin.all import seen_graph, seen_stage, stages_of
from tawt.config.named import placed
from tawt.contracts.layers import layer_of
from tawt.errors import ConfigError
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import Standing, accounts_table, mend_of, said_of, standing
from tawt.pipeline.origin import without_project
from tawt.pipeline.run import Report
from tawt.pipeline.workspace import given_pipeline, open_workspace
from tawt.shell import command
from tawt.sources.graph import Graph


def stages(
    workspace: str | Path | None = None, pipeline: str | None = None, report: Report = lambda event: None
) -> pa.Table:
    """List the stages of a workspace, or of a pipeline, in the order in which they run.

    Args:
        workspace: A workspace; its finished stages come with their counts.
        pipeline: Instead, the name or file of a pipeline.
        report: Hears `{"event": "note", ...}` where stages cannot be read as they would run now, and `{"event": "next",
            "command": ...}` where one is stale, with what brings the last of them up to date.

    Returns:
        One row per stage: `stage`, `state`, `rows`, `of` (whether its SQL is the project's or tawt's), `inputs`,
        `description`.

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
    graph = seen_graph(opened) if opened is not None else _given(str(pipeline))
    project = graph.project if opened is None or without_project(opened) else opened.project
    there = [Standing(stage, None) for stage in graph.stages.values()]
    if opened is not None:
        now = Now(opened)
        there = standing(opened, graph, now)
        for note in said_of(opened, graph, there, now):
            report({"event": "note", "text": note})
        if behind := [one.stage.name for one in there if one.stale or one.stage.fault]:
            report({"event": "next", "command": mend_of(opened, there, behind[-1])})
    rows: list[dict[str, Any]] = [
        {
            "stage": one.stage.name,
            "state": one.state,
            "rows": sum(a.n_rows_out for a in one.manifest.accounts) if one.manifest else None,
            "of": "project" if one.stage.sql is not None and project.owns(one.stage.sql.path) else "tawt",
            "inputs": ", ".join(one.stage.inputs),
            "description": one.stage.summary,
        }
        for one in there
    ]
    rows += [
        {"stage": name, "state": f"skipped: {why}", "rows": None, "of": "", "inputs": "", "description": ""}
        for name, why in graph.skipped.items()
    ]
    schema = pa.schema([("stage", pa.string()), ("state", pa.string()), ("rows", pa.int64()), ("of", pa.string()),
                        ("inputs", pa.string()), ("description", pa.string())])  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


@dataclass(frozen=True)
class StageView:
    """One stage, as `tawt show` prints it."""

    name: str
    description: str
    inputs: tuple[str, ...]
    reason_last_run: str
    columns: pa.Table
    ledger: pa.Table
    files: pa.Table
    facts: dict[str, Any]
    most_lost: float
    """The share of its numbers that a data_type may lose before it is warned of."""


def has_sql(stage: str) -> bool:
    """Return whether a stage of this name is an SQL file."""
    return not layer_of(stage).built_in


def show(stage: str, workspace: str | Path) -> StageView:
    """Describe a stage of a workspace: contract, files, and where its records went.

    Args:
        stage: `<layer>.<name>`, or a built-in stage.
        workspace: A workspace that `ingest` made.

    Raises:
        ConfigError: There is no such workspace or stage, or a command that changes the workspace is at work.
    """
    with seen_stage(stage, workspace, as_ran=True) as (opened, graph, found):
        there = standing(opened, graph)
    one = next(one for one in there if one.stage.name == stage)
    manifest = one.manifest
    state = one.state if manifest is None else f"finished in {manifest.seconds:.1f} s"
    if one.stale:
        state += f"; {one.state}: `{mend_of(opened, there, stage)}`"
    if manifest is not None and manifest.let_go:
        state += f"; let go (`keep: last`): `{command('run', stage, workspace=opened.root)}` makes it again"
    columns = pa.Table.from_pylist(
        [
            {"column": c.name, "type": c.type, "nullable": c.nullable, "description": c.description}
            for c in found.contract.columns
        ]
    )
    ledger = accounts_table([manifest] if manifest is not None else [])
    sizes = manifest.files if manifest else {}
    files = pa.table({"file": pa.array(sizes, pa.string()), "bytes": pa.array(sizes.values(), pa.int64())})
    facts = manifest.facts if manifest else {}
    return StageView(
        stage, found.summary, found.inputs, state, columns, ledger.drop_columns(["stage"]), files, facts,
        opened.pipeline.most_lost,
    )  # fmt: skip


def _given(pipeline: str) -> Graph:
    """Return the stages of a pipeline that no workspace has."""
    resolved, project = given_pipeline(pipeline)
    with placed(pipeline, (), project):
        return stages_of(resolved, project)
