"""Plans and runs stages: says why each one runs, runs it aside, publishes it, writes its manifest and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tawt.builtin.encode import run_dataset, run_triplets, run_vocabulary
from tawt.builtin.events import run_events
from tawt.contracts.layers import raw_table
from tawt.database.connect import Limits
from tawt.errors import ConfigError, TawtError
from tawt.files import digest
from tawt.pipeline.commit import commit, forget_others
from tawt.pipeline.each_shard import Tick
from tawt.pipeline.fingerprint import components_of
from tawt.pipeline.ledger import write_ledger
from tawt.pipeline.manifest import Components, Manifest, fingerprint, read_manifest, reason_to_run, stage_files
from tawt.pipeline.plan import raw_tables
from tawt.pipeline.quarantine import write_quarantine
from tawt.pipeline.result import EngineResult
from tawt.pipeline.sample import sample_threshold, shard_count
from tawt.pipeline.sql_stage import Plan, run_sql_stage
from tawt.pipeline.workspace import Workspace, open_workspace, sample_of, write_records
from tawt.places import remove
from tawt.raw.find import seen_files
from tawt.room import room_error
from tawt.sources.graph import Graph, Stage, load_graph

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
    fingerprint: str
    """Of what it is made from now."""


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
    graph = load_graph(workspace.pipeline, workspace.project)
    try:
        reads_raw = any(graph.stages[name].layer.row_wise for name in _choose(graph, selection))
    except ConfigError:  # told again, of the stages that run here
        _choose(graph.without({f"raw.{name}" for name in workspace.ingested.absent_tables}), selection)
        raise
    raw, notes = raw_tables(workspace, graph.raw_contracts) if reads_raw else ({}, [])
    absent = tuple(sorted(set(graph.raw_contracts) - set(raw))) if raw else workspace.ingested.absent_tables
    graph = graph.without({f"raw.{name}" for name in absent})
    if raw:
        found = {"n_shards": shard_count(workspace, raw), "absent_tables": absent}
        workspace = replace(
            workspace,
            given_local=workspace.local.model_copy(update={"files": seen_files(raw)}),
            given_ingested=workspace.ingested.model_copy(update=found),
        )
    chosen = _choose(graph, selection)
    for note in notes:
        report({"event": "note", "text": note})
    plan = Plan(workspace, raw, limits, shard_count(workspace, raw), None)
    if any(graph.stages[name].layer.row_wise for name in chosen):
        plan = replace(plan, sample_threshold=sample_threshold(plan, graph))
    reports: list[StageReport] = []
    said = list(notes)
    begun = False

    def heard(event: dict[str, Any]) -> None:
        nonlocal begun
        begun = begun or event["event"] == "start"
        report(event)

    try:
        for name in chosen:
            reports.append(_bring_up_to_date(plan, graph.stages[name], reports, force, dry_run, heard))
    except BaseException:
        if begun:  # else it was refused, and changes nothing
            with suppress(TawtError, OSError):  # the error that ended the command is the one to tell
                write_ledger(open_workspace(workspace.root))
        raise
    if not dry_run:
        write_records(workspace)
        said += [note for done in reports if done.reason and done.manifest for note in done.manifest.notes]
        if others := forget_others(workspace, graph):
            said.append(f"removed what is of no stage of this pipeline any more: {', '.join(others)}")
            report({"event": "note", "text": said[-1]})
        write_ledger(workspace, graph)
    return RunResult(workspace, tuple(reports), tuple(said), graph.skipped, dry_run)


def _bring_up_to_date(
    plan: Plan, stage: Stage, before: Sequence[StageReport], force: bool, dry_run: bool, report: Report
) -> StageReport:
    """Run one stage if it must, and say so."""
    started = time.perf_counter()
    components = components_of(plan, stage, {done.stage: done.fingerprint for done in before})
    reason = reason_to_run(plan.workspace, stage.name, components, force)
    if reason is not None and not dry_run:
        report({"event": "start", "stage": stage.name, "reason": reason})
        try:
            manifest: Manifest | None = _run_one(plan, stage, components, started, report)
        except Exception as error:
            if (full := room_error(error, plan.workspace.output(stage.name), _input_bytes(plan, stage))) is not None:
                raise full from None
            raise
        for note in manifest.notes if manifest is not None else ():
            report({"event": "note", "text": note})
    else:
        manifest = read_manifest(plan.workspace, stage.name)
    if not dry_run:
        for left in plan.workspace.aside.glob(f"{stage.name}-*"):
            remove(left)
    report({"event": "done", "stage": stage.name, "reason": reason, "manifest": manifest, "dry_run": dry_run})
    return StageReport(stage.name, reason, manifest, fingerprint(components))


def _input_bytes(plan: Plan, stage: Stage) -> int:
    """Return about how much room a stage takes: as much as what it reads, for all is compressed alike."""
    raw = [file.path for name in stage.inputs if (table := raw_table(name)) for file in plan.raw[table].files]
    made = [path for name in stage.inputs if not raw_table(name) for path in stage_files(plan.workspace, name)]
    return max(1 << 20, sum(path.stat().st_size for path in raw + made))


def _choose(graph: Graph, selection: str | Sequence[str]) -> list[str]:
    if isinstance(selection, str):
        return graph.select(selection)
    return [name for name, stage in graph.stages.items() if name in selection or stage.layer.name in selection]


def _run_one(plan: Plan, stage: Stage, components: Components, started: float, report: Report) -> Manifest:
    workspace = plan.workspace
    key = fingerprint(components)
    if stage.sql is not None:
        outcome = run_sql_stage(plan, stage)
        outcome.account.check(stage.name)
        folder, result = outcome.folder, EngineResult((outcome.account,), outcome.facts)
        label = f"{workspace.pipeline.name}@{digest(workspace.pipeline.model_dump(mode='json'))[:8]}"
        place = workspace.aside / f"{stage.name}.quarantine.parquet"
        quarantine = write_quarantine(place, outcome.rejected, stage.name, label, *outcome.places)
    else:
        quarantine = None
        # named by the fingerprint: what a killed run finished for these very inputs is kept, anything else is not
        folder = workspace.aside / f"{stage.name}-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        for stale in workspace.aside.glob(f"{stage.name}-*"):
            if stale != folder:
                remove(stale)

        def tick(done: int, total: int) -> None:
            report({"event": "progress", "stage": stage.name, "done": done, "total": total})

        result = _run_engine_stage(plan, stage, folder, tick)
        for account in result.accounts:
            account.check(stage.name)
    manifest = Manifest(
        stage=stage.name, fingerprint=key, components=components, accounts=result.accounts, files={}, hashes={},
        seconds=round(time.perf_counter() - started, 3), notes=result.notes, facts=result.facts,
        sql=stage.sql.text if stage.sql is not None else None,
    )  # fmt: skip
    return commit(workspace, folder, quarantine, manifest)


def _run_engine_stage(plan: Plan, stage: Stage, folder: Path, tick: Tick) -> EngineResult:
    if stage.name == "events":
        return run_events(plan, stage, folder, tick)
    if stage.name == "vocabulary":
        return run_vocabulary(plan, folder)
    if stage.name == "triplets":
        return run_triplets(plan, folder, tick)
    assert stage.name == "dataset", stage.name
    return run_dataset(plan, folder, tick)


def check_sample(sample: str | int | None) -> str | None:
    """Return `--sample`, which must be `N` or `P%`.

    Raises:
        ConfigError: It is neither.
    """
    if sample is None:
        return None
    try:
        return sample_of(str(sample))
    except ValueError:
        raise ConfigError(
            f"--sample {sample}", "is no sample, expected a number of subjects or a percentage", "for example 500 or 5%"
        ) from None
