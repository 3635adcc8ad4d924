"""Makes a plan, in the order of the flow: in this process alone, or as one of several that share it out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Protocol

from tawt.database.limits import Limits
from tawt.errors import TawtError
from tawt.machine import memory_of_the_system
from tawt.pipeline.commit import RefusedError
from tawt.pipeline.common import Common, Here
from tawt.pipeline.flow import Flow
from tawt.pipeline.foretold import Forecast, hold_room
from tawt.pipeline.ledger import stand, write_ledger
from tawt.pipeline.plan import Plan, make_plan
from tawt.pipeline.presence import Part
from tawt.pipeline.run import NO_JUDGES, Judges, Report, RunResult, StageReport, run_stage, tell_done, tell_plan
from tawt.pipeline.shares import in_shards, make_share
from tawt.pipeline.step import Step
from tawt.pipeline.time_left import TimeLeft
from tawt.pipeline.undone import Asked, begin, failed
from tawt.pipeline.workspace import Workspace, write_records
from tawt.sources.graph import Graph


def foresee(workspace: Workspace, plan: Plan, report: Report = lambda event: None) -> RunResult:
    """Tell what a plan would do, and why; nothing is written."""
    tell_plan(plan, report)
    for step in plan.steps:
        tell_done(step, step.manifest, report, dry_run=True)
    told = tuple(StageReport(step.stage.name, step.reason, step.manifest) for step in plan.steps)
    there = tuple(stand(plan.graph, workspace, plan.there, plan.now))
    return RunResult(workspace, told, plan.notes, plan.graph.left_out, dry_run=True, there=there)


class Me(Protocol):
    """Who this process is among those that make a plan."""

    @property
    def part(self) -> Part:
        """Which part."""

    @property
    def token(self) -> str:
        """What no other process is called."""

    def makes(self, stage: str) -> bool:
        """Return whether a stage is published by this one."""

    def hold(self) -> None:
        """Hold that no other process is this part."""

    def wait(self, flow: Flow) -> None:
        """Wait for what others make."""

    def go_on(self) -> None:
        """Take note that there was something to do."""


class Alone:
    """A process that makes all."""

    part, token = Part(1, 1), ""

    def makes(self, stage: str) -> bool:
        return True

    def hold(self) -> None:
        """Nobody else is here: it holds the workspace."""

    def wait(self, flow: Flow) -> None:
        raise AssertionError(f"nothing of {sorted(flow.left)} can be made")

    def go_on(self) -> None:
        """It waits for nobody."""


class Work:
    """What this process makes of a plan.

    Args:
        flow: The plan.
        judges: What rows are held to beside their contract.
        me: Which part falls to it.
    """

    def __init__(self, flow: Flow, judges: Judges, me: Me) -> None:
        self._flow, self._judges, self._me = flow, judges, me
        self._handed_in: set[str] = set()
        self._n_made = 0

    def done(self, asked: Asked) -> RunResult:
        """Do all that falls to it; the first part stays until all is made, and writes down that it is."""
        flow = self._flow
        if self._me.part.i != 1:
            self._work()
            return flow.left_to_others()
        before = begin(flow.workspace, asked, [step.stage.name for step in flow.plan.steps if step.reason is not None])
        try:
            self._work()
        except BaseException as error:
            failed(flow.workspace, error)
            # else the workspace is of another pipeline or of other raw tables yet, or others are at work
            if self._me.part.n == 1 and (self._n_made or flow.workspace.as_written):
                with suppress(TawtError, OSError):  # the error that ended the command is the one to tell
                    write_ledger(flow.workspace.root, stand(flow.plan.graph, flow.workspace, flow.there, flow.plan.now))
            raise
        write_records(flow.workspace)  # where nothing was made they were not written yet
        return flow.close(before)

    def _work(self) -> None:
        flow = self._flow
        while flow.left and (self._me.part.i == 1 or any(map(self._is_mine, flow.left))):
            if any(map(self._move, flow.ready())):
                self._me.go_on()
            else:
                self._me.wait(flow)

    def _is_mine(self, name: str) -> bool:
        is_shared = in_shards(self._flow.left[name].stage) and name not in self._handed_in
        return self._me.makes(name) or is_shared

    def _move(self, planned: Step) -> bool:
        """Do what can be done of a stage by now; return whether there was anything."""
        self._me.hold()
        flow, part, name = self._flow, self._me.part, planned.stage.name
        step, is_shared = flow.known(planned), in_shards(planned.stage) and part.n > 1
        # before it is looked for: they go when it has come
        shares = flow.common.shares(step, part.n) if is_shared else set()
        if flow.made_elsewhere(step):
            return True
        to_share = is_shared and part.i not in shares
        if not to_share and (not self._me.makes(name) or (is_shared and len(shares) < part.n)):
            return False
        before = (name,) if step.manifest is not None and not step.forced else ()
        flow.common.bring((*step.stage.inputs, *step.stage.layer.after, *before), flow.there)
        if to_share:
            make_share(flow.workspace, flow.plan, step, flow.there, part, self._me.token, flow.report, flow.common)
            self._handed_in.add(name)
            return True
        if in_shards(step.stage):
            flow.common.bring_shares(step)
        try:
            run_stage(flow.workspace, flow.plan, step, flow.there, flow.report, self._judges)
        except RefusedError as error:
            if not self._judges.go_on:
                raise
            flow.refuse(name, f"{error.where} is not written: {error.what}")
            return True
        except Exception:  # another process, which has published it, may have removed what this one wrote
            if not flow.made_elsewhere(step):
                raise
            return True
        self._n_made += 1
        flow.there[name] = flow.common.made(flow.there[name], step.forced)
        flow.made(step, flow.there[name])
        return True


@memory_of_the_system()
def run_stages(
    workspace: Workspace, plan: Plan, report: Report, asked: Asked, judges: Judges = NO_JUDGES,
    common: Common | None = None,
) -> RunResult:  # fmt: skip
    """Do what a plan says.

    Args:
        workspace: Where, held by this command; what is given of it is written down.
        plan: The stages, and why each runs.
        report: Hears what happens.
        asked: The command, which `tawt check` names where it does not end.
        judges: What rows are held to beside their contract.
        common: Where others find what is made; None = here.

    Raises:
        SourceError: A raw file cannot be read.
        StageError: A stage cannot run, does not balance, or is refused; everything before it stays.
        ContractError: A stage's output is not what its contract promises.
    """
    tell_plan(plan, report)
    told = TimeLeft(plan, Forecast(plan, workspace)).told(report)
    return Work(Flow(workspace, plan, told, common or Here(workspace)), judges, Alone()).done(asked)


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
