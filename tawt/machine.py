"""What the machine, or the container's share of it, has."""

from __future__ import annotations

import contextlib
import os
from importlib import metadata
from pathlib import Path

NOT_INSTALLED = "not installed"
"""The version of what is on the path alone, such as a checkout."""


def version_of(package: str) -> str:
    """Return the version of an installed package; a checkout that is only on the path has none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


def available_bytes() -> int:
    """Return the memory of the machine, or of the cgroup where that is smaller, bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return total


def usable_cpus() -> int:
    """Return the CPUs that this process may use: its affinity, and its container's share where there is
    one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        usable = min(usable, max(1, int(quota) // int(period)))  # "max" is no number: no share
    return usable


def data_bytes() -> int | None:
    """Return the memory that this process may write to, as the kernel counts it for `RLIMIT_DATA`; None = not known."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("VmData:")), None)
    return int(found) << 10 if found is not None else None
