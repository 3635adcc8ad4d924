"""Runs a plan: each stage aside, with what it reads; then publishes it and writes its manifest and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tawt.contracts.opted_out import remember
from tawt.database.limits import Limits
from tawt.errors import StageError, TawtError
from tawt.files import digest
from tawt.machine import give_back_memory, memory_of_the_system
from tawt.pipeline.commit import RefusedError, commit, forget_others
from tawt.pipeline.foretold import Forecast, hold_room
from tawt.pipeline.gone import without_gone
from tawt.pipeline.keys import UNKNOWN
from tawt.pipeline.ledger import Standing, stand, write_ledger
from tawt.pipeline.manifest import Manifest, made_meanwhile
from tawt.pipeline.plan import Plan, Step, make_plan
from tawt.pipeline.quarantine import write_quarantine
from tawt.pipeline.relations import hold_inputs
from tawt.pipeline.sql_stage import run_sql
from tawt.pipeline.time_left import TimeLeft
from tawt.pipeline.undone import Asked, Undone, begin, end, failed
from tawt.pipeline.workspace import SPILL, Workspace, write_records
from tawt.room import room_error
from tawt.sources.graph import Graph
from tawt.sources.stage import Bound, BuiltIn, Stage, StageResult

Report = Callable[[dict[str, Any]], None]
"""Hears what happens: `{"event": "plan" | "note" | "start" | "progress" | "done" | "refused", "stage": ..., ...}`; a
plan has `stages`, all that may be done, what is refused a `text`, and progress `done`, `total` and, where all is made
here, `left_s`, about how long the rest takes: None where too little is done to tell."""
Judge = Callable[[str, Path, Mapping[str, Manifest]], None]
"""Holds what a stage gave, in a folder aside, to what is finished; raises a StageError where it cannot be used."""


@dataclass(frozen=True)
class Judges:
    """What the rows of layers are held to beside their contract, before they are published."""

    of: Mapping[str, Judge] = field(default_factory=dict)
    """By the layer."""
    go_on: bool = False
    """Whether others run where a stage is refused, of which nothing is published then; else that ends the command."""


NO_JUDGES = Judges()


@dataclass(frozen=True)
class StageReport:
    """What happened, or would happen, to one stage."""

    stage: str
    reason: str | None
    """Why it ran; None = up to date."""
    manifest: Manifest | None
    """After the run; None in a dry run of a stage that was never run."""


@dataclass(frozen=True)
class RunResult:
    """What a data command did."""

    workspace: Workspace
    stages: tuple[StageReport, ...]
    notes: tuple[str, ...]
    skipped: dict[str, str]
    """Stage -> why it does not run at all."""
    dry_run: bool
    there: tuple[Standing, ...] = ()  # how all stages stand now
    following: str | None = None
    """The command for what follows and is not of these stages yet; None where all that follows is."""

    @property
    def n_run(self) -> int:
        """Number of stages that ran, or would run."""
        return sum(1 for stage in self.stages if stage.reason is not None)


def foresee(workspace: Workspace, plan: Plan, report: Report = lambda event: None) -> RunResult:
    """Tell what a plan would do, and why; nothing is written."""
    tell_plan(plan, report)
    for step in plan.steps:
        tell_done(step, step.manifest, report, dry_run=True)
    told = tuple(StageReport(step.stage.name, step.reason, step.manifest) for step in plan.steps)
    there = tuple(stand(plan.graph, workspace, plan.there, plan.now))
    return RunResult(workspace, told, plan.notes, plan.graph.left_out, dry_run=True, there=there)


@memory_of_the_system()
def run_stages(
    workspace: Workspace, plan: Plan, report: Report, asked: Asked, judges: Judges = NO_JUDGES
) -> RunResult:  # fmt: skip
    """Do what a plan says.

    Args:
        workspace: Where, held by this command; what is given of it is written down.
        plan: The stages, and why each runs.
        report: Hears what happens.
        asked: The command, which `tawt check` names where it does not end.
        judges: What rows are held to beside their contract.

    Raises:
        SourceError: A raw file cannot be read.
        StageError: A stage cannot run, does not balance, or is refused; everything before it stays.
        ContractError: A stage's output is not what its contract promises.
    """
    tell_plan(plan, report)
    reports: list[StageReport] = []
    refused: dict[str, str] = {}
    there, n_made = dict(plan.there), 0
    to_make = [step.stage.name for step in plan.steps if step.reason is not None]
    report = TimeLeft(plan, Forecast(plan, workspace)).told(report)
    before = begin(workspace, asked, to_make)
    try:
        for planned in plan.steps:
            if plan.settings.sampled_hash == UNKNOWN:
                plan = plan.drawn(there)
            step = planned.once_made(there, plan)
            if step.reason is None:
                workspace.forget_aside(step.stage.name)
            else:
                try:
                    run_stage(workspace, plan, step, there, report, judges)
                except RefusedError as error:
                    if not judges.go_on:
                        raise
                    refused[step.stage.name] = f"{error.where} is not written: {error.what}"
                    report({"event": "refused", "stage": step.stage.name, "text": refused[step.stage.name]})
                    continue
                n_made += 1
            manifest = there.get(step.stage.name)
            tell_done(step, manifest, report)
            reports.append(StageReport(step.stage.name, step.reason, manifest))
    except BaseException as error:
        failed(workspace, error)
        # else the workspace is of another pipeline or of other raw tables yet
        if n_made or workspace.as_written:
            with suppress(TawtError, OSError):  # the error that ended the command is the one to tell
                write_ledger(workspace.root, stand(plan.graph, workspace, there, plan.now))
        raise
    if not n_made:  # else they were, before what was made was published
        write_records(workspace)
    said = [*refused.values()]
    said += [note for done in reports if done.reason and done.manifest for note in done.manifest.notes]
    dealt_with = [*refused, *(one.stage for one in reports)]
    removed, standing = close_run(workspace, plan, there, before, dealt_with, report)
    notes = (*plan.notes, *said, *removed)
    return RunResult(workspace, tuple(reports), notes, plan.graph.left_out, dry_run=False, there=standing)


def close_run(
    workspace: Workspace, plan: Plan, there: Mapping[str, Manifest], before: Undone | None, done: Sequence[str],
    report: Report,
) -> tuple[tuple[str, ...], tuple[Standing, ...]]:  # fmt: skip
    """Remove what is of no stage any more, and write the ledger and that the command ended.

    Args:
        workspace: Where.
        plan: What was done.
        there: What is finished.
        before: What a command before did not end.
        done: The stages that the command has dealt with.
        report: Hears what happens.

    Returns:
        What is to be said, and how all stages stand.
    """
    forget_others(workspace.root, plan.others)
    removed = f"removed what is of no stage of this pipeline any more: {', '.join(plan.others)}"
    notes = (removed,) if plan.others else ()
    _tell_notes(notes, report)
    standing = tuple(stand(plan.graph, workspace, there, plan.now))
    write_ledger(workspace.root, standing)
    end(workspace, before, done, plan.graph.stages)
    return notes, standing


def make(
    workspace: Workspace, graph: Graph, selection: str | Sequence[str], limits: Limits, force: bool | Collection[str],
    dry_run: bool, report: Report, asked: Asked, judges: Judges = NO_JUDGES, hold: bool = False,
    do: Callable[..., RunResult] = run_stages, **read: Any,
) -> RunResult:  # fmt: skip
    """Make a plan of the selected stages and do it, or only tell it; `hold` refuses one that its disk has no room for,
    and `read` is what `make_plan` need not look at.

    Raises:
        RoomError: There is too little room on the disk.
    """
    workspace, plan = make_plan(workspace, graph, selection, limits=limits, force=force, **read)
    if (room := hold_room(plan, workspace, refuse=hold and not dry_run)) is not None and (room.tight or dry_run):
        report({"event": "note", "text": room.text})
    return foresee(workspace, plan, report) if dry_run else do(workspace, plan, report, asked, judges)


def bound_for(plan: Plan, step: Step, there: Mapping[str, Manifest]) -> Bound:
    """Return the stage of a step with all that it reads, of what is there, and may use."""
    made_by = digest([step.components.keys, step.components.versions])
    bound = replace(plan.bound(step.stage, there), made_by=made_by, before=_before(plan.root, step, there))
    return without_gone(plan, bound, there)


def run_stage(
    workspace: Workspace, plan: Plan, step: Step, there: dict[str, Manifest], report: Report, judges: Judges
) -> None:
    """Run one stage on what is there, and publish what it gave."""
    stage, started, key = step.stage, time.perf_counter(), digest(step.components.model_dump())
    if plan.limits.tight:
        give_back_memory()
    report({"event": "start", "stage": stage.name, "reason": step.reason})
    bound = bound_for(plan, step, there)
    others = workspace.spill_name != SPILL  # of whom some of it may be
    hold_inputs(bound, [name for name in bound.inputs if others or there[name] is plan.there.get(name)])
    if (who := bound.settings.opted_out) is not None and bound.gone is not None:
        remember(workspace.root, who, bound.gone.marks.to_pylist())

    def tick(done: int, total: int) -> None:
        report({"event": "progress", "stage": stage.name, "done": done, "total": total})

    run, resumes = (stage.made_by.run, key) if isinstance(stage.made_by, BuiltIn) else (run_sql, None)
    with room_told(workspace.output(stage.name), bound):
        folder = workspace.start(stage.name, resumes)
        result = run(bound, folder, tick)
        for account in result.accounts:
            account.check(stage.name, () if isinstance(stage.made_by, BuiltIn) else stage.inputs[1:])
        if (judge := judges.of.get(stage.layer.name)) is not None:
            try:
                judge(stage.name, folder, there)
            except StageError as error:
                raise RefusedError(error.where, error.what, error.hint) from None
        quarantine, seconds = _quarantine(folder, plan, stage, result), time.perf_counter() - started
        manifest = Manifest(
            stage=stage.name, fingerprint=key, components=step.components, accounts=result.accounts, files={},
            hashes={}, seconds=round(seconds, 3), notes=result.notes, facts=result.facts, places=result.places,
            sql=stage.sql.text if stage.sql is not None else None,
            macros={macro.name: macro.text for macro in (stage.sql.macros if stage.sql is not None else ())},
        )  # fmt: skip
        there.pop(stage.name, None)  # while its files move, none stands
        made = None if step.forced else made_meanwhile(workspace, stage.name, step.components)
        there[stage.name] = made or commit(workspace, folder, quarantine, manifest)
        workspace.forget_aside(stage.name)  # what others handed in of it
    _tell_notes(result.notes, report)


@contextmanager
def room_told(place: Path, bound: Bound) -> Iterator[None]:
    """Tell of the end of a disk or of memory, within, what a stage needs of it at its place."""
    try:
        yield
    except Exception as error:
        if (full := room_error(error, place, _n_bytes(bound))) is not None:
            raise full from None
        raise


def _before(root: Path, step: Step, there: Mapping[str, Manifest]) -> dict[Path, str]:
    """Return the files that a stage gave the last time, and that may be taken from there."""
    made = there.get(step.stage.name)
    if made is None or step.forced or made.components.versions != step.components.versions:
        return {}
    return {root / name: sha256 for name, sha256 in made.hashes.items()}


def _quarantine(folder: Path, plan: Plan, stage: Stage, result: StageResult) -> Path | None:
    """List the records that a stage quarantined in a file aside; None where there are none."""
    if result.rejected is None:
        return None
    pipeline = plan.settings.pipeline
    label = f"{pipeline.name}@{digest(pipeline.model_dump(mode='json'))[:8]}"
    place = folder.with_name(f"{folder.name}.quarantine.parquet")
    return write_quarantine(place, result.rejected, stage.name, label, result.places, stage.inputs[0])


def _n_bytes(bound: Bound) -> int:
    """Return about how much room a stage takes: as much as what it reads, for all is compressed alike."""
    paths = [file.path for table in bound.raw.values() for file in table.files]
    paths += [path for one in bound.inputs.values() for path in one.files]
    return max(1 << 20, sum(path.stat().st_size for path in paths))


def tell_plan(plan: Plan, report: Report) -> None:
    report({"event": "plan", "stages": tuple(step.stage.name for step in plan.steps)})
    _tell_notes(plan.notes, report)


def _tell_notes(notes: tuple[str, ...] | list[str], report: Report) -> None:
    for note in notes:
        report({"event": "note", "text": note})


def tell_done(step: Step, manifest: Manifest | None, report: Report, dry_run: bool = False) -> None:
    told = {"stage": step.stage.name, "reason": step.reason, "manifest": manifest}
    report({"event": "done", **told, "dry_run": dry_run})
