"""Runs a plan as one of several processes, on as many machines, that share a workspace and nothing else.

Each stage belongs to one part, which makes it as a run alone would, and publishes it. Of a stage that is made by shards
the others make theirs before and hand them in. So a part that was killed is run again, and goes on; and a run of the
same stages without parts makes what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tawt.errors import StageError, StaleError
from tawt.machine import memory_of_the_system
from tawt.pipeline.common import Common
from tawt.pipeline.flow import Flow
from tawt.pipeline.manifest import versions
from tawt.pipeline.origin import ingest_again
from tawt.pipeline.plan import Plan
from tawt.pipeline.presence import Part, Presence, Signs
from tawt.pipeline.run import Judges, Report, RunResult, tell_plan
from tawt.pipeline.shares import in_shards
from tawt.pipeline.undone import Asked
from tawt.pipeline.work import Work
from tawt.pipeline.workspace import Workspace

_POLL_SECONDS = 0.1
_NAMED = 8


@dataclass(frozen=True)
class Shared:
    """How a run is shared out."""

    part: Part
    wait_seconds: float
    """How long those that others hang on may be silent."""
    again: Callable[[Part | None], str]
    """The command of a part, or of all of the run by one process."""
    more: str = ""
    """What its commands have beside."""


@memory_of_the_system()
def run_part(
    workspace: Workspace, plan: Plan, report: Report, asked: Asked, judges: Judges, *, shared: Shared, common: Common
) -> RunResult:  # fmt: skip
    """Do what falls to a part of a plan, in the order of the flow, waiting for what others make of it.

    Args:
        workspace: Where, held together with the other parts.
        plan: The stages, the same for all parts.
        report: Hears what happens.
        asked: The command, which `tawt check` names where it does not end.
        judges: What rows are held to beside their contract.
        shared: Which part this is.
        common: What it has in common with the others.

    Raises:
        StaleError: The raw tables are not as the workspace remembers them.
        StageError: A part that is waited for gives no sign, or failed; or as of `run_stages`.
        TawtError: As of `run_stages`.
    """
    written = Workspace(workspace.root, workspace.pipeline, spill_name=workspace.spill_name)
    if (workspace.local, workspace.ingested) != (written.local, written.ingested):
        raise StaleError(
            str(workspace.root), "remembers other raw tables than there are, expected all parts to find the same",
            f"`{ingest_again(workspace)} --prepare{shared.more}`, then the parts",
        )  # fmt: skip
    common.hold(plan)
    tell_plan(plan, report)
    told = {"tawt run": " ".join(asked.words), **versions()}
    say: Callable[[str], None] = lambda text: report({"event": "note", "text": text})  # noqa: E731
    with Presence(common.board, shared.part, say, told) as presence:
        common.forget_left(shared.part)
        me = Among(plan, shared, presence, common, told)
        return Work(Flow(written, plan, report, common, shared.part.n == 1), judges, me).done(asked)


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


class Among:
    """One of several processes that make a plan, which waits for the others.

    Args:
        plan: Of the run.
        shared: How it is shared out.
        presence: How it tells that it is at work.
        common: Where the others tell the same.
        alike: What all of them must tell.
    """

    def __init__(
        self, plan: Plan, shared: Shared, presence: Presence, common: Common, alike: Mapping[str, str]
    ) -> None:
        self.part, self.token, self.hold = shared.part, presence.token, presence.hold
        self._shared, self._common, self._alike = shared, common, alike
        self._owners, self._signs = dealt(plan, shared.part.n), Signs(common.board, shared.part.n)
        self._pause, self._said = _POLL_SECONDS, set[int]()

    def makes(self, stage: str) -> bool:
        return self._owners[stage] == self.part.i

    def go_on(self) -> None:
        self._pause = _POLL_SECONDS
        self._signs.look_anew()

    def wait(self, flow: Flow) -> None:
        """Wait for what others make, a while.

        Raises:
            StageError: One that is waited for gives no sign, or failed.
        """
        missing, longest = self._missing(flow), self._common.longest_poll_seconds
        self._hold_alive(missing)
        if missing.keys() - self._said and self._pause == longest:
            self._said = {*missing}
            flow.report(
                {"event": "note", "text": f"waits for {_named(missing, self.part.n)}{self._had_failed(missing)}"}
            )
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, longest)

    def _missing(self, flow: Flow) -> dict[int, list[str]]:
        """Which parts all that is left waits for -> for what."""
        missing: dict[int, list[str]] = {}
        for planned in flow.ready():
            lacking: set[int] = set()
            if in_shards(planned.stage):
                lacking = {*range(1, self.part.n + 1)} - self._common.shares(flow.known(planned), self.part.n)
            for i in lacking or {self._owners[planned.stage.name]}:
                if i != self.part.i:
                    missing.setdefault(i, []).append(planned.stage.name)
        return dict(sorted(missing.items()))

    def _hold_alive(self, missing: Mapping[int, list[str]]) -> None:
        n, wait = self.part.n, self._shared.wait_seconds
        alone = self._shared.again(None)
        for i in missing:
            if ended := self._signs.failed(i):
                raise StageError(
                    f"part {self.part}", f"waits for part {i}/{n}, which ended ({ended}), expected it to make "
                    f"{missing[i][0]}", f"mend that, then run both again; or `{alone}`, when no part is at work",
                )  # fmt: skip
            if other := self._signs.differs(i, self._alike):
                raise StageError(
                    f"part {self.part}", f"waits for part {i}/{n}, which makes something else ({'; '.join(other)}), "
                    "expected the same command and versions of all parts", "end all parts, then run them alike",
                )  # fmt: skip
        silent = {i: names for i, names in missing.items() if self._signs.silent(i) >= wait}
        if silent:
            again = self._shared.again(Part(next(iter(silent)), n))
            raise StageError(
                f"part {self.part}", f"waits for {_named(silent, n)}, of which there was no sign for {wait:,.0f} s"
                f"{self._had_failed(silent)}, expected them to be at work",
                f"`{again}` and this one again; `--wait 12h` waits for longer; or `{alone}`, when no part is at work",
            )  # fmt: skip

    def _had_failed(self, parts: Iterable[int]) -> str:
        """Say which of some had ended before this one began, and of what: whoever runs them may run them again."""
        had = {i: ended for i in parts if (ended := self._signs.had_failed(i))}
        return "".join(f"; {i}/{self.part.n} had ended before ({ended})" for i, ended in [*had.items()][:_NAMED])


def _named(missing: Mapping[int, list[str]], n: int) -> str:
    parts = [f"{i}/{n}" for i in missing]
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    stages = list(dict.fromkeys(name for names in missing.values() for name in names))
    return f"part{'s' * (len(parts) > 1)} {', '.join(parts[:_NAMED])}{more} ({', '.join(stages[:_NAMED])})"
