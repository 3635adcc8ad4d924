"""Runs a plan on a Ray cluster: a task is a stage, or a share of one that is made by shards, done by any worker.

What they make lies in the workspace, which all nodes see under the same path; nothing of it goes through Ray.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tawt import errors
from tawt.builtin.all import all_stages
from tawt.database.limits import Limits
from tawt.errors import ConfigError, StageError, TawtError
from tawt.labels.held import label_judges
from tawt.machine import available_bytes, memory_of_the_system, usable_cpus
from tawt.pipeline.commit import RefusedError
from tawt.pipeline.common import SharedFolder, key_of
from tawt.pipeline.flow import Flow
from tawt.pipeline.manifest import read_manifest
from tawt.pipeline.plan import Plan, make_plan
from tawt.pipeline.presence import PARTS, Part
from tawt.pipeline.run import Judges, Report, RunResult, run_stage, tell_plan
from tawt.pipeline.shares import in_shards, make_share
from tawt.pipeline.step import Step
from tawt.pipeline.undone import Asked, begin, failed
from tawt.pipeline.workspace import Workspace, open_workspace, write_records
from tawt.places import remove
from tawt.room import room_error

RETRIES = 3
"""How often a task is begun anew whose worker was lost."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Nothing is told to anybody outside."""


@dataclass(frozen=True)
class Task:
    """What a worker is told to do."""

    workspace: str
    stage: str
    key: str
    """What the stage is made from, by its hash: whoever finds another makes nothing."""
    forced: bool
    go_on: bool
    """Whether a label set may be refused."""
    part: tuple[int, int] | None
    """Its share of the stage; None = the whole."""
    threads: int
    memory_limit: str | None
    wanted: str | None = None
    """Who reads its files, in words."""


@memory_of_the_system()
def do_task(task: Task) -> dict[str, str]:
    """Do a task, in a worker; return what error ended it, if one did.

    Of a library's that is its kind alone: Ray would write down, and hand on, what it says, which may quote a cell.

    Args:
        task: As the fields of `Task`.
    """
    try:
        _do(task)
    except Exception as error:
        what = f"was ended in a worker by {type(error).__name__}, expected it to end well"
        ours = error if isinstance(error, TawtError) else room_error(error, task.stage)
        ours = ours or StageError(task.stage, what, "run it without --executor ray to see more")
        return {"kind": type(ours).__name__, "where": ours.where, "what": ours.what, "hint": ours.hint}
    return {}


def _do(task: Task) -> None:
    token, root = secrets.token_hex(8), Path(task.workspace)
    aside = root / ".aside" / PARTS
    aside.mkdir(parents=True, exist_ok=True)
    opened = replace(open_workspace(root), spill_name=str((aside / f"spill-{token}").relative_to(root)))
    limits = Limits.of(task.threads, task.memory_limit or _share_of_memory(task.threads))
    forced = (task.stage,) if task.forced else ()
    _, plan = make_plan(opened, all_stages(opened), (task.stage,), limits=limits, force=forced)
    (step,) = (one for one in plan.steps if one.stage.name == task.stage)
    step = replace(step, wanted=task.wanted).as_of(step.manifest)
    if key_of(step) != task.key:
        raise StageError(
            task.stage, "is of other files, versions or raw tables for a worker, expected them as they are here",
            "install the same on all nodes, and give them raw tables, workspace and project under the same paths",
        )  # fmt: skip
    if task.part is not None:
        make_share(opened, plan, step, plan.there, Part(*task.part), token, lambda event: None, SharedFolder(opened))
    elif step.reason is not None:
        judges = label_judges(opened, limits, go_on=task.go_on)
        run_stage(opened, plan, step, dict(plan.there), lambda event: None, judges)


def _share_of_memory(threads: int) -> str:
    """Return what a worker may use where nobody says more: as many as there are CPUs for may be on its machine."""
    return f"{max(500, int(available_bytes() * 0.6 / max(1, usable_cpus() // threads)) >> 20)}MiB"


def on_ray(address: str | None, threads: int | None, memory_limit: str | None) -> Callable[..., RunResult]:
    """Return what does a plan on a Ray cluster, in the place of `run_stages`.

    Args:
        address: Of the cluster, as `ray.init` takes it; None = that of `RAY_ADDRESS`, else one of this machine alone.
        threads: Of each worker; one by default.
        memory_limit: Of each worker; by default its share of 60 % of its machine's.

    Raises:
        ConfigError: Ray is not installed.
    """
    os.environ.update({key: value for key, value in _QUIET.items() if key not in os.environ})
    if not (address or os.environ.get("RAY_ADDRESS")):
        _keep_others_out()
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "--executor ray", "needs Ray, which is not installed, expected it", 'pip install "tawt[ray]"'
        ) from None

    def run(workspace: Workspace, plan: Plan, report: Report, asked: Asked, judges: Judges) -> RunResult:
        write_records(workspace)
        written = Workspace(workspace.root, workspace.pipeline)
        tell_plan(plan, report)
        with _cluster(ray, address):
            before = begin(written, asked, [step.stage.name for step in plan.steps if step.reason is not None])
            flow = Flow(written, plan, report, SharedFolder(written))
            driver = _Driver(ray, flow, judges.go_on, threads or 1, memory_limit)
            try:
                driver.work()
            except BaseException as error:
                failed(written, error)
                raise
            finally:
                driver.stop()
        return driver.flow.close(before)

    return run


@contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Join a cluster, and leave it at the end; where this process is in one already, that is it."""
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    with ExitStack() as left:
        how = {"address": address} if address else left.enter_context(_of_this_machine())
        host, _, port = (address or "").rpartition(":")
        left.callback(ray.shutdown)
        try:
            if host and "/" not in host and port.isdecimal():  # Ray itself would try for more than a minute
                socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(log_to_driver=False, logging_level="ERROR", **how)
        except Exception as error:  # of many kinds
            if address:
                raise ConfigError(
                    f"--address {address}", f"leads to no Ray cluster ({type(error).__name__}), expected one",
                    "start one with `ray start --head`, and see `ray status`",
                ) from None  # fmt: skip
            said = str(error).strip().partition("\n")[0]
            raise ConfigError(
                "--executor ray", f"Ray did not start on this machine ({type(error).__name__}: {said}), expected it to",
                "try again, or give --address of a cluster that is there; or leave --executor out",
            ) from None  # fmt: skip
        yield


def _keep_others_out() -> None:
    """Let a cluster that this process begins, which listens on all networks, take orders from it alone.

    Ray looks for this when it is loaded; who has loaded it before, or says otherwise, has chosen.
    """
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})


@contextmanager
def _of_this_machine() -> Iterator[dict[str, Any]]:
    """Give how a cluster of this machine is begun, whose logs are the owner's alone: Ray opens its folder to all."""
    folder = Path(mkdtemp(prefix="tawt-"))
    try:
        yield {"num_cpus": usable_cpus(), "include_dashboard": False, "_temp_dir": str(folder / "ray")}
    finally:
        remove(folder)


class _Driver:
    """Hands tasks to workers as soon as what they read is there."""

    def __init__(self, ray: Any, flow: Flow, go_on: bool, threads: int, memory_limit: str | None) -> None:
        self.flow = flow
        self._ray, self._go_on, self._threads, self._memory_limit = ray, go_on, threads, memory_limit
        self._remote = ray.remote(num_cpus=threads, max_retries=RETRIES)(do_task)
        self._n = max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
        self._at_work: dict[Any, Task] = {}
        self._steps: dict[str, Step] = {}
        """The stages that are being made."""
        self._lacking: dict[str, int] = {}
        """Stage -> shares of it that are not made."""

    def work(self) -> None:
        """Do all."""
        while self.flow.left:
            for planned in self.flow.ready():
                if planned.stage.name not in self._steps:
                    self._begin(self.flow.known(planned))
            if self._at_work:
                (ended, *_), _ = self._ray.wait(list(self._at_work), num_returns=1)
                self._end(self._at_work.pop(ended), ended)

    def stop(self) -> None:
        """Let nothing go on that is at work yet."""
        for one in self._at_work:
            self._ray.cancel(one, force=True)
        if self._at_work:
            self._ray.wait(list(self._at_work), num_returns=len(self._at_work), timeout=10)

    def _begin(self, step: Step) -> None:
        if self.flow.made_elsewhere(step):
            return
        name = step.stage.name
        self._steps[name] = step
        self.flow.report({"event": "start", "stage": name, "reason": step.reason})
        if in_shards(step.stage) and self._n > 1:
            self._lacking[name] = self._n
            for i in range(1, self._n + 1):
                self._hand_out(step, (i, self._n))
        else:
            self._hand_out(step, None)

    def _hand_out(self, step: Step, part: tuple[int, int] | None) -> None:
        task = Task(
            str(self.flow.workspace.root.resolve()), step.stage.name, key_of(step), step.forced, self._go_on, part,
            self._threads, self._memory_limit, step.wanted,
        )  # fmt: skip
        self._at_work[self._remote.options(name=f"tawt {step.stage.name}").remote(task)] = task

    def _end(self, task: Task, ended: Any) -> None:
        lost = self._ray.exceptions
        try:
            said = self._ray.get(ended)
        except (lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError) as error:
            raise StageError(
                task.stage, f"lost its worker {RETRIES + 1} times ({type(error).__name__}), expected it to end well",
                "look whether memory ends: fewer workers, or `--memory-limit`; then run this again, what is made stays",
            ) from None  # fmt: skip
        except lost.RayError as error:
            raise StageError(
                task.stage, f"was ended by Ray ({type(error).__name__}), expected a worker to do it",
                "see `ray status`; all nodes need the same tawt; then run this again, what is made stays",
            ) from None  # fmt: skip
        step = self._steps[task.stage]
        if said and said["kind"] == RefusedError.__name__ and self._go_on:
            self.flow.refuse(task.stage, f"{said['where']} is not written: {said['what']}")
        elif said:
            kind = getattr(errors, said["kind"], StageError)
            raise kind(said["where"], said["what"], said["hint"])
        elif task.part is None:
            manifest = read_manifest(self.flow.workspace, task.stage)
            self.flow.made(step, manifest)
            for note in manifest.notes if manifest is not None else ():
                self.flow.report({"event": "note", "text": note})
        else:
            self._lacking[task.stage] -= 1
            done = self._n - self._lacking[task.stage]
            self.flow.report({"event": "progress", "stage": task.stage, "done": done, "total": self._n})
            if not self._lacking[task.stage]:
                self._hand_out(step, None)
