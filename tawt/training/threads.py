"""How many CPU threads a run uses: measured on its own model and first batch, once per workspace."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, RootModel
from torch import nn

from tawt.batching.example import Example
from tawt.config.base import Section
from tawt.contracts.dataset import THREADS
from tawt.files import alone, digest, write_sealed
from tawt.machine import usable_cpus
from tawt.readers import read_record
from tawt.training.device import WOULD_SPIN, Compute, most_threads, threads_sleep
from tawt.training.repeatable import repeatable

WORTH = 1.15
"""More threads are taken only if they are so many times as fast as fewer: a busy machine makes them slow."""
MOST_SECONDS = 4.0
"""Time that a measurement may take."""
TO_BE_MEASURED = "to be measured when the run starts"
"""Why a dry run knows no thread count."""
ROUNDS = 5
"""Most rounds; the fastest of each count is compared, since what else runs can only slow a round down."""


class Measured(Section):
    """An entry of `threads.json`."""

    threads: int = Field(ge=1, le=1024)
    reason: str
    machine: str
    torch: str
    ms: dict[str, float]
    """Milliseconds of a pass, by thread count."""


class _Kept(RootModel[dict[str, Measured]]):
    pass


def known_threads(workspace: Path, about: Any) -> tuple[int, str] | None:
    """Return what needs no measurement: what was measured here before for this machine, torch and model, or one.

    None = it is to be measured.

    Raises:
        FileError: `threads.json` is damaged.
    """
    entry = _kept(workspace).get(_key(about))
    if entry is not None:
        return entry.threads, f"{entry.reason} (kept in {THREADS})"
    if most_threads() == 1:
        return 1, "one: there is one usable CPU, or OMP_NUM_THREADS says so"
    return None if threads_sleep() else (1, f"one: {WOULD_SPIN}")


def measured_threads(workspace: Path, about: Any, work: Callable[[], object]) -> tuple[int, str]:
    """Return the thread count to use and why; measured where the workspace does not know it yet.

    Several runs that start at once measure one after the other, and all take what the first one found. In a workspace
    that may not be written nothing is kept.

    Args:
        workspace: Holds `threads.json`.
        about: JSON-able; the shapes of what is measured. Machine and torch are added.
        work: A forward and backward pass.

    Raises:
        FileError: `threads.json` is damaged.
    """
    if (known := known_threads(workspace, about)) is not None:
        return known
    most = most_threads()
    with ExitStack() as held:
        try:
            held.enter_context(alone(workspace / f".{THREADS}.lock", lambda: None))
        except OSError:
            return fastest(measure(work, range(1, most + 1)))
        if (known := known_threads(workspace, about)) is not None:
            return known
        seconds = measure(work, range(1, most + 1))
        count, reason = fastest(seconds)
        ms = {str(n): round(1000 * s, 2) for n, s in seconds.items()}
        entry = Measured(threads=count, reason=reason, machine=machine(), torch=torch.__version__, ms=ms)
        kept = _Kept({**_kept(workspace), _key(about): entry})
        write_sealed(workspace / THREADS, kept.model_dump(mode="json"))
    return count, reason


def _kept(workspace: Path) -> dict[str, Measured]:
    hint = "move it away: threads are measured again"
    return read_record(workspace / THREADS, _Kept, hint, absent=_Kept({}), sealed=True).root


def one_pass(entry: nn.Module, example: Example, compute: Compute) -> Callable[[], None]:
    """Return a forward and backward pass of a real batch, as training makes them, that leaves nothing behind.

    Args:
        entry: `step.Entry` of the model.
        example: A training batch.
        compute: Device and precision.
    """

    def work() -> None:
        with torch.random.fork_rng(devices=[]), repeatable(compute.device):
            with compute.autocast():
                sums, projection = entry(example)
            torch.stack([x.sum() for x in (sums, projection) if x is not None]).sum().backward()
        entry.zero_grad(set_to_none=True)

    return work


def measure(work: Callable[[], object], counts: range) -> dict[int, float]:
    """Return the least seconds of `work` with each thread count, in turns so that a busy moment hits all alike."""
    before = torch.get_num_threads()
    best = dict.fromkeys(counts, float("inf"))
    end = time.perf_counter() + MOST_SECONDS
    try:
        work()  # the first pass pays for memory and caches
        for done in range(ROUNDS):
            for count in counts:
                torch.set_num_threads(count)
                at = time.perf_counter()
                work()
                best[count] = min(best[count], time.perf_counter() - at)
            if done and time.perf_counter() > end:
                break
    finally:
        torch.set_num_threads(before)
    return best


def fastest(seconds: dict[int, float]) -> tuple[int, str]:
    """Return the fewest threads that more do not clearly beat, and the reason."""
    chosen = 1
    for count in sorted(seconds):
        if seconds[chosen] / seconds[count] >= WORTH:
            chosen = count
    if chosen > 1:
        return chosen, f"measured: {chosen} threads {seconds[1] / seconds[chosen]:.1f} x one"
    others = ", ".join(f"{n} threads {seconds[1] / s:.1f} x one" for n, s in sorted(seconds.items()) if n > 1)
    return 1, f"measured: {others}, which is not worth it"


def machine() -> str:
    """Return the CPU's model and the CPUs usable."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {usable_cpus()} usable"


def _key(about: Any) -> str:
    return digest(
        json.dumps([machine(), torch.__version__, threads_sleep(), most_threads(), about], sort_keys=True, default=str)
    )
