"""Runs a plan as one of several processes, on as many machines, that share a workspace and nothing else.

Each stage belongs to one part, which makes it as a run alone would, and publishes it. Of a stage that is made by shards
the others make theirs before and hand them in. So a part that was killed is run again, and goes on; and a run of the
same stages without parts makes what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tawt.errors import StageError, StaleError
from tawt.files import digest
from tawt.machine import memory_of_the_system
from tawt.pipeline.each_shard import HANDED_IN, ShareMadeError
from tawt.pipeline.keys import UNKNOWN
from tawt.pipeline.ledger import stand
from tawt.pipeline.manifest import Manifest, read_manifest, reason_to_run
from tawt.pipeline.origin import ingest_again
from tawt.pipeline.plan import Plan, Step
from tawt.pipeline.presence import PARTS, Part, Presence, Signs
from tawt.pipeline.run import (
    NO_JUDGES,
    Judges,
    Report,
    RunResult,
    StageReport,
    bound_for,
    close_run,
    room_told,
    run_stage,
    tell_done,
    tell_plan,
)
from tawt.pipeline.undone import Asked, begin, failed
from tawt.pipeline.workspace import Workspace
from tawt.places import remove
from tawt.sources.stage import BuiltIn, Share, Stage

_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 2.0
_SHARES = ".shares"
"""Folder, in that of what is handed in of a stage, that tells which shares are whole."""
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
    workspace: Workspace, plan: Plan, shared: Shared, report: Report, asked: Asked, judges: Judges = NO_JUDGES
) -> RunResult:  # fmt: skip
    """Do what falls to a part of a plan, in the order of the flow, waiting for what others make of it.

    Args:
        workspace: Where, held together with the other parts.
        plan: The stages, the same for all parts.
        shared: Which part this is.
        report: Hears what happens.
        asked: The command, which `tawt check` names where it does not end.
        judges: What rows are held to beside their contract.

    Raises:
        StaleError: The raw tables are not as the workspace remembers them.
        StageError: A part that is waited for gives no sign, or failed; or as of `run_stages`.
        TawtError: As of `run_stages`.
    """
    hold_prepared(workspace)
    workspace = Workspace(workspace.root, workspace.pipeline, spill_name=workspace.spill_name)
    tell_plan(plan, report)
    with Presence(workspace.aside / PARTS, shared.part, lambda text: report({"event": "note", "text": text})) as me:
        return _Work(workspace, plan, shared, me, report, judges).done(asked)


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


def make_share(
    workspace: Workspace, plan: Plan, step: Step, there: Mapping[str, Manifest], part: Part, token: str, report: Report
) -> None:  # fmt: skip
    """Make the shards of a stage that fall to a part, and hand them in.

    Args:
        workspace: Where.
        plan: Of the run.
        step: The stage, of which all that it reads is there.
        there: What is finished.
        part: Which.
        token: What no other process is called.
        report: Hears what happens.
    """
    stage, place = step.stage, handed_in(workspace, step)
    report({"event": "start", "stage": stage.name, "reason": step.reason})

    def tick(done: int, total: int) -> None:
        report({"event": "progress", "stage": stage.name, "done": done, "total": total})

    assert isinstance(stage.made_by, BuiltIn), stage.name
    own = place.with_name(f"{place.name}-{part.name}-{token}")
    bound = replace(bound_for(plan, step, there), share=Share(part.i - 1, part.n, place))
    try:
        with room_told(workspace.output(stage.name), bound), suppress(ShareMadeError):
            own.mkdir(parents=True)
            stage.made_by.run(bound, own, tick)
        whole = place / _SHARES / part.name
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.touch()
    except FileNotFoundError:  # the stage is published, and what was handed in is gone
        if _as_now(workspace, step).reason is not None:
            raise
    finally:
        remove(own)


def handed_in(workspace: Workspace, step: Step) -> Path:
    """Return where parts hand in what they make of a stage."""
    return workspace.aside / f"{step.stage.name}-{digest(step.components.model_dump())}{HANDED_IN}"


def whole_shares(workspace: Workspace, step: Step, n: int) -> set[int]:
    """Return which parts of so many have handed their share of a stage in."""
    place = handed_in(workspace, step) / _SHARES
    return {i for i in range(1, n + 1) if (place / Part(i, n).name).is_file()}


def in_shards(stage: Stage) -> bool:
    """Return whether several processes may share a stage out."""
    return isinstance(stage.made_by, BuiltIn) and stage.made_by.in_shards


def hold_prepared(workspace: Workspace) -> None:
    """Hold what a run would write down of raw tables to what is written down: parts write nothing of it.

    Raises:
        StaleError: It is another.
    """
    written = Workspace(workspace.root, workspace.pipeline)
    if (workspace.local, workspace.ingested) != (written.local, written.ingested):
        raise StaleError(
            str(workspace.root), "remembers other raw tables than there are, expected all parts to find the same",
            f"`{ingest_again(workspace)} --prepare`, then the parts",
        )  # fmt: skip


def _as_now(workspace: Workspace, step: Step) -> Step:
    """Return a step as it is by now: another process may have made it."""
    manifest = read_manifest(workspace, step.stage.name)
    return replace(step, manifest=manifest, reason=reason_to_run(manifest, step.components, step.forced))


class _Work:
    """What a part has done of a plan, and what is left of all of it."""

    def __init__(
        self, workspace: Workspace, plan: Plan, shared: Shared, me: Presence, report: Report, judges: Judges
    ) -> None:
        self._workspace, self._plan, self._part, self._shared = workspace, plan, shared.part, shared
        self._me, self._report, self._judges = me, report, judges
        self._owners, self._there = dealt(plan, shared.part.n), dict(plan.there)
        self._left = {step.stage.name: step for step in plan.steps}
        self._signs = Signs(workspace.aside / PARTS, shared.part.n)
        self._reports: list[StageReport] = []
        self._handed: set[str] = set()

    def done(self, asked: Asked) -> RunResult:
        """Do all that falls to it; the first part stays until all is made, and writes down that it is."""
        first = self._part.i == 1
        before = begin(self._workspace, asked, list(self._left)) if first else None
        try:
            self._work()
        except BaseException as error:
            if first:
                failed(self._workspace, error)
            raise
        names = [one.stage for one in self._reports]
        if first:
            with suppress(OSError):  # a part tells there yet
                (self._workspace.aside / PARTS).rmdir()
            notes, standing = close_run(self._workspace, self._plan, self._there, before, names, self._report)
        else:
            notes, standing = (), tuple(stand(self._plan.graph, self._workspace, self._there, self._plan.now))
        notes, left_out = (*self._plan.notes, *notes), self._plan.graph.left_out
        return RunResult(self._workspace, tuple(self._reports), notes, left_out, dry_run=False, there=standing)

    def _work(self) -> None:
        pause, said = _POLL_SECONDS, set[int]()
        while self._left and (self._part.i == 1 or any(map(self._is_mine, self._left))):
            if any(map(self._move, self._ready())):
                pause = _POLL_SECONDS
                self._signs.look_anew()
                continue
            missing = self._missing()
            self._hold_alive(missing)
            if missing.keys() - said and pause == _LONGEST_POLL_SECONDS:
                said = {*missing}
                self._report({"event": "note", "text": f"waits for {_named(missing, self._part.n)}"})
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)

    def _is_mine(self, name: str) -> bool:
        is_shared = in_shards(self._left[name].stage) and name not in self._handed
        return self._owners[name] == self._part.i or is_shared

    def _ready(self) -> list[Step]:
        """The stages that are left and read nothing that is left."""
        wait_for = {name: {*step.stage.inputs, *step.stage.layer.after} for name, step in self._left.items()}
        return [step for name, step in self._left.items() if not wait_for[name] & self._left.keys()]

    def _move(self, planned: Step) -> bool:
        """Do what can be done of a stage by now; return whether there was anything."""
        self._me.hold()
        if self._plan.settings.sampled_hash == UNKNOWN:
            self._plan = self._plan.drawn(self._there, self._left)
        step, n = planned.once_made(self._there, self._plan), self._part.n
        name, stage = step.stage.name, step.stage
        shares = whole_shares(self._workspace, step, n)  # before the manifest: they go when that has come
        step = _as_now(self._workspace, step)
        if step.reason is None and step.manifest is not None:
            self._there[name] = step.manifest
            tell_done(step, step.manifest, self._report)
        elif in_shards(stage) and self._part.i not in shares and n > 1:
            make_share(self._workspace, self._plan, step, self._there, self._part, self._me.token, self._report)
            self._handed.add(name)
            return True
        elif self._owners[name] == self._part.i and (not in_shards(stage) or len(shares) == n or n == 1):
            run_stage(self._workspace, self._plan, step, self._there, self._report, self._judges)
            tell_done(step, self._there[name], self._report)
        else:
            return False
        del self._left[name]
        self._reports.append(StageReport(name, step.reason, self._there.get(name)))
        return True

    def _missing(self) -> dict[int, list[str]]:
        """Which parts all that is left waits for -> for what."""
        missing: dict[int, list[str]] = {}
        for planned in self._ready():
            step, name = planned.once_made(self._there, self._plan), planned.stage.name
            lacking = {*range(1, self._part.n + 1)} - whole_shares(self._workspace, step, self._part.n)
            for i in lacking if in_shards(step.stage) and lacking else [self._owners[name]]:
                if i != self._part.i:
                    missing.setdefault(i, []).append(name)
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
