"""Runs a stage of a plan aside, with what it reads, then publishes it; and writes the ledger when all are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tawt.contracts.opted_out import remember
from tawt.errors import StageError
from tawt.files import digest
from tawt.machine import give_back_memory
from tawt.pipeline.commit import RefusedError, commit, forget_others
from tawt.pipeline.gone import without_gone
from tawt.pipeline.ledger import Standing, stand, write_ledger
from tawt.pipeline.manifest import Manifest, made_meanwhile
from tawt.pipeline.plan import Plan
from tawt.pipeline.quarantine import write_quarantine
from tawt.pipeline.relations import hold_inputs
from tawt.pipeline.sql_stage import run_sql
from tawt.pipeline.step import Step
from tawt.pipeline.undone import Undone, end
from tawt.pipeline.workspace import Workspace
from tawt.room import room_error
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
    # what others made, and what earlier commands did
    hold_inputs(bound, [name for name in bound.inputs if workspace.is_shared or there[name] is plan.there.get(name)])
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
    label = f"{pipeline.name}@{digest(pipeline.model_dump(mode='json', exclude={'keep'}))[:8]}"
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
