"""What is left of a plan while several processes make it, and what is there by now."""

from __future__ import annotations

from collections.abc import Iterable

from tawt.contracts.layers import layer_of
from tawt.pipeline.common import Common
from tawt.pipeline.keys import UNKNOWN
from tawt.pipeline.ledger import Standing, stand
from tawt.pipeline.letting_go import of_no_use
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.plan import Plan
from tawt.pipeline.run import Report, RunResult, StageReport, close_run, tell_done
from tawt.pipeline.step import Step
from tawt.pipeline.undone import Undone
from tawt.pipeline.workspace import Workspace
from tawt.room import size


class Flow:
    """A plan that is being made.

    Args:
        workspace: Where, as it is written down.
        plan: The stages.
        report: Hears what happens.
        common: What those who make it have in common.
        alone: Whether nobody else reads what is there meanwhile.
    """

    def __init__(self, workspace: Workspace, plan: Plan, report: Report, common: Common, alone: bool = True) -> None:
        self.workspace, self.plan, self.report, self.common = workspace, plan, report, common
        self._alone, self._gone = alone, dict[str, int]()
        self.there = dict(plan.there)
        self.left = {step.stage.name: step for step in plan.steps}
        self.refused: dict[str, str] = {}
        """Stage -> why it is not written, and others are all the same."""
        self._reports: list[StageReport] = []

    def ready(self) -> list[Step]:
        """Return the stages that are left and wait for nothing that is left, as they were planned."""
        wait_for = {name: {*step.stage.inputs, *step.stage.layer.after} for name, step in self.left.items()}
        return [step for name, step in self.left.items() if not wait_for[name] & self.left.keys()]

    def known(self, planned: Step) -> Step:
        """Return a ready stage with what it is made from."""
        if self.plan.settings.sampled_hash == UNKNOWN:
            self.plan = self.plan.drawn(self.there, self.left)
        return planned.once_made(self.there, self.plan.settings.pipeline.source, self.plan.now)

    def made(self, step: Step, manifest: Manifest | None) -> None:
        """Take note that a stage is there, as its manifest says."""
        name = step.stage.name
        if manifest is not None:
            self.there[name] = manifest
        tell_done(step, manifest, self.report)
        self._reports.append(StageReport(name, step.reason, manifest))
        del self.left[name]
        if self._alone:
            self._let_go(step.stage.inputs)

    def made_elsewhere(self, step: Step) -> bool:
        """Take note of a stage that another process has published, and return whether one has."""
        now = self.common.as_now(step)
        if now.reason is None:
            self.workspace.forget_aside(now.stage.name)
            self.made(now, now.manifest)
        return now.reason is None

    def refuse(self, name: str, why: str) -> None:
        """Take note that a stage is not written, whoever needs it not goes on."""
        self.refused[name] = why
        self.report({"event": "refused", "stage": name, "text": why})
        del self.left[name]

    def _let_go(self, among: Iterable[str]) -> None:
        """Let go of stages that nobody reads any more, of which the pipeline says that they need not stay."""
        passing = [name for name in among if name in self.plan.passing]
        for name in of_no_use(self.plan.graph, self.there, self.left, passing):
            before = self.there[name]
            self.there[name] = now = self.common.let_go(before)
            self._gone[name] = sum(before.files.values()) - sum(now.files.values())

    def _said_gone(self) -> tuple[str, ...]:
        """Return what is to be said of what was let go."""
        layers = dict.fromkeys(layer_of(name).name for name in self._gone)
        sizes = [(one, sum(n for name, n in self._gone.items() if layer_of(name).name == one)) for one in layers]
        said = ", ".join(f"{layer} {size(n)}" for layer, n in sizes)
        return (f"let go of what all that reads it is made of (`keep: last`): {said}",) if self._gone else ()

    def close(self, before: Undone | None) -> RunResult:
        """Write down that all is made, by the one process that does so."""
        self._let_go(self.there)
        for text in (gone := self._said_gone()):
            self.report({"event": "note", "text": text})
        done = [*self.refused, *(one.stage for one in self._reports)]
        notes, standing = close_run(self.workspace, self.plan, self.there, before, done, self.report)
        self.common.close(self.plan)
        said = [note for one in self._reports if one.reason and one.manifest for note in one.manifest.notes]
        return self._result((*self.refused.values(), *said, *gone, *notes), standing)

    def left_to_others(self) -> RunResult:
        """Return what was done, while others do the rest."""
        return self._result((), tuple(stand(self.plan.graph, self.workspace, self.there, self.plan.now)))

    def _result(self, notes: tuple[str, ...], standing: tuple[Standing, ...]) -> RunResult:
        left_out, all_notes = self.plan.graph.left_out, (*self.plan.notes, *notes)
        return RunResult(self.workspace, tuple(self._reports), all_notes, left_out, dry_run=False, there=standing)
