"""Runs a plan as one of several processes, on as many machines, that share a workspace and nothing else.

Each stage belongs to one part, which makes it as a run alone would, and publishes it. Of a stage that is made by shards
the others make theirs before and hand them in. So a part that was killed is run again, and goes on; and a run of the
same stages without parts makes what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tawt.errors import StageError, StaleError
from tawt.machine import memory_of_the_system
from tawt.pipeline.flow import Flow
from tawt.pipeline.manifest import versions
from tawt.pipeline.origin import ingest_again
from tawt.pipeline.plan import Plan, Step
from tawt.pipeline.presence import PARTS, Part, Presence, Signs
from tawt.pipeline.run import Judges, Report, RunResult, run_stage, tell_plan
from tawt.pipeline.shares import in_shards, make_share, whole_shares
from tawt.pipeline.undone import Asked, begin, failed
from tawt.pipeline.workspace import Workspace
from tawt.places import remove

_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 2.0
_NAMED = 8


@dataclass(frozen=True)
class Shared:
    """How a run is shared out."""

    part: Part
    wait_seconds: float
    """How long those that others hang on may be silent."""
    again: Callable[[Part | None], str]
    """The command of a part, or of all of the run by one process."""


@memory_of_the_system()
def run_part(
    workspace: Workspace, plan: Plan, report: Report, asked: Asked, judges: Judges, *, shared: Shared
) -> RunResult:  # fmt: skip
    """Do what falls to a part of a plan, in the order of the flow, waiting for what others make of it.

    Args:
        workspace: Where, held together with the other parts.
        plan: The stages, the same for all parts.
        report: Hears what happens.
        asked: The command, which `tawt check` names where it does not end.
        judges: What rows are held to beside their contract.
        shared: Which part this is.

    Raises:
        StaleError: The raw tables are not as the workspace remembers them.
        StageError: A part that is waited for gives no sign, or failed; or as of `run_stages`.
        TawtError: As of `run_stages`.
    """
    written = Workspace(workspace.root, workspace.pipeline, spill_name=workspace.spill_name)
    if (workspace.local, workspace.ingested) != (written.local, written.ingested):
        raise StaleError(
            str(workspace.root), "remembers other raw tables than there are, expected all parts to find the same",
            f"`{ingest_again(workspace)} --prepare`, then the parts",
        )  # fmt: skip
    tell_plan(plan, report)
    told = {"tawt run": " ".join(asked.words), **versions()}
    say: Callable[[str], None] = lambda text: report({"event": "note", "text": text})  # noqa: E731
    with Presence(workspace.aside / PARTS, shared.part, say, told) as me:
        for left in workspace.spill.parent.glob(f"{shared.part.name}-*"):  # by who was this part
            if left != workspace.spill:
                remove(left)
        return _Work(Flow(written, plan, report), shared, me, judges, told).done(asked)


def dealt(plan: Plan, n: int) -> dict[str, int]:
    """Return which part, from 1, each stage belongs to: the largest of each layer first, to the one that has least.

    How large a stage is, is told by the raw files behind it.
    """
    sizes: dict[str, int] = {}
    for name, stage in plan.graph.stages.items():
        files = [file for table in stage.raw_tables if table in plan.raw for file in plan.raw[table].files]
        sizes[name] = 1 + sum(file.path.stat().st_size for file in files)
        sizes[name] += sum(sizes.get(other, 0) for other in stage.inputs)
    layers = list(dict.fromkeys(stage.layer.name for stage in plan.graph.stages.values()))
    load, owners = [0] * n, {}
    names = [step.stage.name for step in plan.steps]
    for name in sorted(names, key=lambda one: (layers.index(plan.graph.stages[one].layer.name), -sizes[one], one)):
        least = load.index(min(load))
        load[least] += sizes[name]
        owners[name] = least + 1
    return owners


class _Work:
    """What a part has done of a plan, and what is left of all of it."""

    def __init__(self, flow: Flow, shared: Shared, me: Presence, judges: Judges, told: Mapping[str, str]) -> None:
        self._flow, self._part, self._shared, self._me, self._judges = flow, shared.part, shared, me, judges
        self._owners = dealt(flow.plan, shared.part.n)
        self._signs = Signs(flow.workspace.aside / PARTS, shared.part.n)
        self._handed_in, self._told = set[str](), told

    def done(self, asked: Asked) -> RunResult:
        """Do all that falls to it; the first part stays until all is made, and writes down that it is."""
        if self._part.i != 1:
            self._work()
            return self._flow.left_to_others()
        before = begin(self._flow.workspace, asked, list(self._flow.left))
        try:
            self._work()
        except BaseException as error:
            failed(self._flow.workspace, error)
            raise
        return self._flow.close(before)

    def _work(self) -> None:
        pause, said = _POLL_SECONDS, set[int]()
        while self._flow.left and (self._part.i == 1 or any(map(self._is_mine, self._flow.left))):
            if any(map(self._move, self._flow.ready())):
                pause = _POLL_SECONDS
                self._signs.look_anew()
                continue
            missing = self._missing()
            self._hold_alive(missing)
            if missing.keys() - said and pause == _LONGEST_POLL_SECONDS:
                said = {*missing}
                self._flow.report({"event": "note", "text": f"waits for {_named(missing, self._part.n)}"})
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)

    def _is_mine(self, name: str) -> bool:
        is_shared = in_shards(self._flow.left[name].stage) and name not in self._handed_in
        return self._owners[name] == self._part.i or is_shared

    def _move(self, planned: Step) -> bool:
        """Do what can be done of a stage by now; return whether there was anything."""
        self._me.hold()
        flow, n, name = self._flow, self._part.n, planned.stage.name
        step = flow.known(planned)
        shares = whole_shares(flow.workspace, step, n)  # before it is looked for: they go when it has come
        if flow.made_elsewhere(step):
            return True
        is_shared = in_shards(step.stage) and n > 1
        if is_shared and self._part.i not in shares:
            make_share(flow.workspace, flow.plan, step, flow.there, self._part, self._me.token, flow.report)
            self._handed_in.add(name)
            return True
        if self._owners[name] != self._part.i or (is_shared and len(shares) < n):
            return False
        try:
            run_stage(flow.workspace, flow.plan, step, flow.there, flow.report, self._judges)
        except Exception:  # another process, which has published it, may have removed what this one wrote
            if not flow.made_elsewhere(step):
                raise
        else:
            flow.made(step, flow.there[name])
        return True

    def _missing(self) -> dict[int, list[str]]:
        """Which parts all that is left waits for -> for what."""
        missing: dict[int, list[str]] = {}
        for planned in self._flow.ready():
            shares = whole_shares(self._flow.workspace, self._flow.known(planned), self._part.n)
            lacking = {*range(1, self._part.n + 1)} - shares if in_shards(planned.stage) else set()
            for i in lacking or {self._owners[planned.stage.name]}:
                if i != self._part.i:
                    missing.setdefault(i, []).append(planned.stage.name)
        return dict(sorted(missing.items()))

    def _hold_alive(self, missing: Mapping[int, list[str]]) -> None:
        n, wait = self._part.n, self._shared.wait_seconds
        alone = self._shared.again(None)
        for i in missing:
            if ended := self._signs.failed(i):
                raise StageError(
                    f"part {self._part}", f"waits for part {i}/{n}, which ended ({ended}), expected it to make "
                    f"{missing[i][0]}", f"mend that, then run both again; or `{alone}`, when no part is at work",
                )  # fmt: skip
            if other := self._signs.differs(i, self._told):
                raise StageError(
                    f"part {self._part}", f"waits for part {i}/{n}, which makes something else ({'; '.join(other)}), "
                    "expected the same command and versions of all parts", "end all parts, then run them alike",
                )  # fmt: skip
        silent = {i: names for i, names in missing.items() if self._signs.silent(i) >= wait}
        if silent:
            again = self._shared.again(Part(next(iter(silent)), n))
            raise StageError(
                f"part {self._part}", f"waits for {_named(silent, n)}, of which there was no sign for {wait:,.0f} s, "
                "expected them to be at work",
                f"`{again}` and this one again; `--wait 12h` waits for longer; or `{alone}`, when no part is at work",
            )  # fmt: skip


def _named(missing: Mapping[int, list[str]], n: int) -> str:
    parts = [f"{i}/{n}" for i in missing]
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    stages = list(dict.fromkeys(name for names in missing.values() for name in names))
    return f"part{'s' * (len(parts) > 1)} {', '.join(parts[:_NAMED])}{more} ({', '.join(stages[:_NAMED])})"
