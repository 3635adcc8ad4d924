"""What a CUDA device did while something ran: how long it was idle, and which kernels took the time."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

_ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")
_WAITS = re.compile("Synchronize")
_HIDDEN = re.compile(r"at::native::|<unnamed>::|\(anonymous namespace\)::|std::|void ")
WIDTH = 110
"""Letters of a kernel's name."""


def look(work: Callable[[], object], device: torch.device, n: int = 1) -> dict[str, Any]:
    """Run some work under the profiler, which asks the device alone: hosts are slower where their calls are told too.

    Args:
        work: Runs whole on the device's current stream.
        device: A CUDA device.
        n: Parts that the work consists of: what is counted is told of each.

    Returns:
        `wall_ms` and `busy_ms` of a part, `idle`, the share of the time between the first and the last kernel in which
        none ran, `launches` of kernels, copies and fills of a part, `copies` to the device among them, `waits` of the
        host for the device, and `kernels`, (name, launches, ms) of a part, those that take longest first.
    """
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(file))
        events = [e for e in json.loads(file.read_text(encoding="utf-8"))["traceEvents"] if "dur" in e]
    ran = sorted((e["ts"], e["ts"] + e["dur"], _short(e["name"])) for e in events if e.get("cat") in _ON_DEVICE)
    if not ran:
        return {}
    busy, until = 0.0, ran[0][0]
    for start, end, _ in ran:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    whole = until - ran[0][0]
    times: dict[str, list[float]] = defaultdict(list)
    for start, end, name in ran:
        times[name].append(end - start)
    kernels = sorted(((name, len(t) / n, sum(t) / 1e3 / n) for name, t in times.items()), key=lambda row: -row[2])
    return {
        "wall_ms": whole / 1e3 / n, "busy_ms": busy / 1e3 / n, "idle": 1 - busy / whole, "launches": len(ran) / n,
        "copies": sum(name.startswith("Memcpy HtoD") for *_, name in ran) / n,
        "waits": sum(bool(_WAITS.search(e["name"])) for e in events) / n, "kernels": kernels,
    }  # fmt: skip


def table(kernels: list[tuple[str, float, float]], most: int = 40) -> str:
    """Return the kernels that take longest, one a line."""
    rows = [f"    {ms:8.3f} ms {n:7.1f} x  {name}" for name, n, ms in kernels[:most]]
    rest = kernels[most:]
    if rest:
        rows.append(f"    {sum(k[2] for k in rest):8.3f} ms {sum(k[1] for k in rest):7.1f} x  {len(rest)} others")
    return "\n".join(rows)


def _short(name: str) -> str:
    return _HIDDEN.sub("", name)[:WIDTH]
