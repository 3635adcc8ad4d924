"""Plans and runs stages: says why each one runs, runs it aside, publishes it, writes its manifest and the ledger."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tawt.errors import ConfigError
from tawt.files import digest, publish, sha256_file
from tawt.pipeline.components import components_of
from tawt.pipeline.each_shard import Tick
from tawt.pipeline.encode import run_dataset, run_triplets, run_vocabulary
from tawt.pipeline.engine import Limits
from tawt.pipeline.execute import Plan, run_sql_stage
from tawt.pipeline.ledger import write_ledger
from tawt.pipeline.manifest import Manifest, fingerprint, read_manifest, reason_to_run, write_manifest
from tawt.pipeline.merge import run_events
from tawt.pipeline.quarantine import write_quarantine
from tawt.pipeline.result import EngineResult
from tawt.pipeline.sample import sample_threshold, shard_count
from tawt.pipeline.sources import find_raw_tables
from tawt.pipeline.stages import Graph, Stage, load_graph, without_absent
from tawt.pipeline.workspace import Workspace

Report = Callable[[dict[str, Any]], None]
"""Hears what happens: `{"event": "note" | "start" | "progress" | "done", "stage": ..., ...}`."""


@dataclass(frozen=True)
class StageReport:
    """What happened, or would happen, to one stage."""

    stage: str
    reason: str | None
    """Why it ran; None = up to date."""
    manifest: Manifest | None
    """After the run; None in a dry run of a stage that was never run."""
    seconds: float = 0.0


@dataclass(frozen=True)
class RunResult:
    """What a data command did."""

    workspace: Workspace
    stages: tuple[StageReport, ...]
    notes: tuple[str, ...]
    skipped: dict[str, str]
    """Stage -> why it does not run at all."""
    dry_run: bool

    @property
    def n_run(self) -> int:
        """Number of stages that ran, or would run."""
        return sum(1 for stage in self.stages if stage.reason is not None)


def run_stages(
    workspace: Workspace,
    selection: str | Sequence[str],
    *,
    limits: Limits,
    force: bool = False,
    dry_run: bool = False,
    report: Report = lambda event: None,
) -> RunResult:
    """Run the selected stages that are not up to date, in order.

    Args:
        workspace: Where.
        selection: A selection (`X`, `X+`, `+X`), or names of layers and stages.
        limits: Threads and memory.
        force: Run even what is up to date.
        dry_run: Only say what would run, and why.
        report: Hears what happens.

    Raises:
        ConfigError: The selection names no stage.
        SourceError: A raw table that is needed is absent or unreadable.
        StageError: A stage cannot run, or does not balance; everything before it stays.
    """
    graph = load_graph(workspace.pipeline)
    raw, notes = find_raw_tables(workspace, graph.raw_contracts) if _reads_raw(graph, selection) else ({}, [])
    if raw:
        graph = graph.without({f"raw.{name}" for name in graph.raw_contracts if name not in raw})
    else:
        graph = without_absent(workspace, graph)
    chosen = _choose(graph, selection)
    for note in notes:
        report({"event": "note", "text": note})
    plan = Plan(workspace, raw, limits, shard_count(workspace, raw), None)
    if any(graph.stages[name].layer == "staging" for name in chosen):
        plan = replace(plan, sample_threshold=sample_threshold(plan, graph))
    fingerprints: dict[str, str] = {}
    reports: list[StageReport] = []
    said = list(notes)
    for name in chosen:
        stage = graph.stages[name]
        components = components_of(plan, stage, fingerprints)
        reason = reason_to_run(workspace, name, components, force)
        manifest: Manifest | None
        if reason is not None and not dry_run:
            report({"event": "start", "stage": name, "reason": reason})
            started = time.perf_counter()
            manifest = finished = _run_one(plan, stage, components, started, report)
            said += finished.notes
            for note in finished.notes:
                report({"event": "note", "text": note})
        else:
            started, manifest = time.perf_counter(), read_manifest(workspace, name)
        report({"event": "done", "stage": name, "reason": reason, "manifest": manifest, "dry_run": dry_run})
        fingerprints[name] = fingerprint(components)
        reports.append(StageReport(name, reason, manifest, time.perf_counter() - started))
    if not dry_run:
        write_ledger(workspace)
    return RunResult(workspace, tuple(reports), tuple(said), graph.skipped, dry_run)


def _reads_raw(graph: Graph, selection: str | Sequence[str]) -> bool:
    return any(graph.stages[name].layer == "staging" for name in _choose(graph, selection))


def _choose(graph: Graph, selection: str | Sequence[str]) -> list[str]:
    if isinstance(selection, str):
        return graph.select(selection)
    return [name for name, stage in graph.stages.items() if name in selection or stage.layer in selection]


def _run_one(plan: Plan, stage: Stage, components: dict[str, Any], started: float, report: Report) -> Manifest:
    workspace = plan.workspace
    key = fingerprint(components)
    if stage.sql is not None:
        outcome = run_sql_stage(plan, stage)
        outcome.account.check(stage.name)
        folder, result = outcome.folder, EngineResult((outcome.account,), outcome.facts)
        places = outcome.places
        label = f"{workspace.pipeline.name}@{digest(workspace.pipeline.model_dump(mode='json'))[:8]}"
        write_quarantine(workspace.quarantine(stage.name), outcome.rejected, stage.name, label, places[0], places[1])
    else:
        # named by the fingerprint: what a killed run finished for these very inputs is kept, anything else is not
        folder = workspace.aside / f"{stage.name}-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        for stale in workspace.aside.glob(f"{stage.name}-*"):
            if stale != folder:
                shutil.rmtree(stale)

        def tick(done: int, total: int) -> None:
            report({"event": "progress", "stage": stage.name, "done": done, "total": total})

        result = _run_engine_stage(plan, stage, folder, tick)
        for account in result.accounts:
            account.check(stage.name)
    final = workspace.output(stage.name)
    workspace.manifest(stage.name).unlink(missing_ok=True)
    publish(folder, final)
    files = {path.relative_to(workspace.root).as_posix(): path for path in sorted(final.rglob("*")) if path.is_file()}
    manifest = Manifest(
        stage=stage.name, fingerprint=key, components=components, accounts=result.accounts,
        files={name: path.stat().st_size for name, path in files.items()},
        hashes={name: sha256_file(path) for name, path in files.items()},
        seconds=round(time.perf_counter() - started, 3), notes=result.notes, facts=result.facts,
    )  # fmt: skip
    write_manifest(workspace, manifest)
    return manifest


def _run_engine_stage(plan: Plan, stage: Stage, folder: Path, tick: Tick) -> EngineResult:
    if stage.name == "events":
        return run_events(plan, stage, folder, tick)
    if stage.name == "vocabulary":
        return run_vocabulary(plan, folder)
    if stage.name == "triplets":
        return run_triplets(plan, folder, tick)
    assert stage.name == "dataset", stage.name
    return run_dataset(plan, folder, tick)


def check_sample(sample: str | None) -> None:
    """Hold `--sample` to `N` or `P%`.

    Raises:
        ConfigError: It is neither.
    """
    if sample is None:
        return
    number = sample.removesuffix("%")
    try:
        good = 0 < float(number) <= 100 if sample.endswith("%") else int(number) > 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            f"--sample {sample}", "is no sample, expected a number of subjects or a percentage", "for example 500 or 5%"
        )
