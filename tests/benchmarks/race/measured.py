"""What a job costs, with every process that it starts."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from size import on_disk, resident

PATIENCE_S = 10
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER: whom a job leaves behind is ours, to be counted when it ends


@dataclass(frozen=True)
class Cost:
    """What one job took; memory is resident, of the whole tree of processes together and of its largest."""

    cpu_seconds: float
    wall_seconds: float
    tree_bytes: int
    largest_bytes: int
    written_bytes: int
    left_bytes: int


def measure(line: list[str], env: Mapping[str, str], out: Path, log: Path) -> Cost | None:
    """Run a command that writes to `out`; None where it failed, and `log` says why."""
    ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    before, most, over = resource.getrusage(resource.RUSAGE_CHILDREN), 0, threading.Event()
    started = time.perf_counter()
    with log.open("wb") as said:
        process = subprocess.Popen(line, env=env, cwd=log.parent, stdout=said, stderr=subprocess.STDOUT)

        def watch() -> None:
            nonlocal most
            while not over.wait(0.02):
                most = max(most, resident(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        watcher.join()
    _reap()
    if status:
        return None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    written = (after.ru_oublock - before.ru_oublock) * 512
    return Cost(cpu, wall, max(most, usage.ru_maxrss * 1024), usage.ru_maxrss * 1024, written, on_disk(out))


def _reap() -> None:
    """Wait for whom the job left behind."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        except ChildProcessError:
            return
    print("    some processes of this job did not end: what they cost is missing from it", file=sys.stderr)
