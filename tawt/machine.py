"""What the machine, or the container's share of it, has, and what a shell's limits leave of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

NOT_INSTALLED = "not installed"
"""The version of what is on the path alone, such as a checkout."""
_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@cache
def version_of(package: str) -> str:
    """Return the version of an installed package; a checkout that is only on the path has none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


@dataclass(frozen=True)
class Bound:
    """What holds the memory of this process."""

    said: str
    """As a person knows it."""
    n_bytes: int
    """What it allows."""
    taken: int = 0
    """What this process has of it now, where it counts this process alone."""
    most: int = 0
    """What it has had of it, as far as the kernel remembers."""
    least: int = 0
    """What it has to allow for a command to begin: measured, with two CPUs."""


_own_data_limit: int | None = None


@contextlib.contextmanager
def data_limit(n_bytes: int) -> Iterator[None]:
    """Hold what this process writes to to a limit of its own, below those that were set for it; it is no shell's."""
    global _own_data_limit
    before = resource.getrlimit(resource.RLIMIT_DATA)
    lower = all(n_bytes < one for one in before if one != resource.RLIM_INFINITY)
    if lower:
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, before[1]))
        _own_data_limit = n_bytes
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
        _own_data_limit = None


@contextlib.contextmanager
def memory_of_the_system() -> Iterator[None]:
    """Have Arrow ask the system's allocator for memory, unless the user said whom it asks: its own gives pages back and
    takes them anew for each batch of rows."""
    import pyarrow as pa

    before = pa.default_memory_pool()
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _SPARING = -1, -3, 1 << 20


def give_back_memory() -> None:
    """Let large blocks go back to the system as soon as they are free: C's library keeps them for later otherwise, the
    larger the more it has seen. It takes some time, and spares memory."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        c = ctypes.CDLL(None)
        c.mallopt(_M_MMAP_THRESHOLD, _SPARING)
        c.mallopt(_M_TRIM_THRESHOLD, _SPARING)
        c.malloc_trim(0)


def shell_limits() -> list[Bound]:
    """Return the limits of memory that were set for this process: of its addresses, and of what it may write to."""
    counted = (
        ("`ulimit -v`", resource.RLIMIT_AS, "VmSize", "VmPeak", 1_000_000_000),
        ("`ulimit -d`", resource.RLIMIT_DATA, "VmData", "VmData", 500_000_000),
    )
    return [
        Bound(said, limit, _status(now) or 0, _status(most) or 0, least)
        for said, kind, now, most, least in counted
        if (limit := resource.getrlimit(kind)[0]) not in (resource.RLIM_INFINITY, _own_data_limit)
    ]


def tightest_bound() -> Bound:
    """Return the bound that leaves this process least: the machine, its cgroup, or a limit of its own."""
    machine = Bound("the machine", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    groups = [Bound("the cgroup", n_bytes) for n_bytes in cgroup_bytes()]
    return min((machine, *groups, *shell_limits()), key=lambda bound: bound.n_bytes - bound.taken)


def available_bytes() -> int:
    """Return the memory of the machine, or of the cgroup, or what a limit leaves, where that is smaller, bytes."""
    bound = tightest_bound()
    return max(0, bound.n_bytes - bound.taken)


def cgroup_bytes() -> Iterator[int]:
    """Yield the limits of the cgroups that this process is in, the outer ones too."""
    named = ["0::/", "0:memory:/"]  # in a container its own is the root
    with contextlib.suppress(OSError):
        named += _OWN_CGROUPS.read_text().splitlines()
    for line in dict.fromkeys(named):
        kind, _, place = line.partition(":")[2].partition(":")
        if kind and "memory" not in kind.split(","):
            continue
        root, file = (_CGROUPS / "memory", "memory.limit_in_bytes") if kind else (_CGROUPS, "memory.max")
        folder = root / place.strip("/")
        for one in (folder, *folder.parents):
            if one.is_relative_to(root):
                with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
                    yield int((one / file).read_text())


def usable_cpus() -> int:
    """Return the CPUs that this process may use: its affinity, and its container's share where there is
    one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUPS / "cpu.max").read_text(encoding="ascii").split()
        usable = min(usable, max(1, int(quota) // int(period)))  # "max" is no number: no share
    return usable


def data_bytes() -> int | None:
    """Return the memory that this process may write to, as the kernel counts it for `RLIMIT_DATA`; None = not known."""
    return _status("VmData")


def _status(name: str) -> int | None:
    """Return what the kernel says of this process under a name, bytes; None = not known."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith(f"{name}:")), None)
    return int(found) << 10 if found is not None else None
