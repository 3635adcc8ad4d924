"""What is said where a disk, a quota, the size of a file or the memory is at its end."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tawt.errors import RoomError, TawtError
from tawt.machine import Bound, shell_limits, tightest_bound

NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)
"""What the system calls the end of a disk, a quota, a file's size, and memory."""


_OUT_OF_MEMORY = ("OutOfMemoryError", "OutOfMemoryException")
"""Errors of libraries that mean nothing else."""
_LOADING = ("failed to map segment", "annot allocate memory", "cannot create shared object descriptor")
_MARKS = {
    "RuntimeError": (
        "can't start new thread", "can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "bad_alloc",
        "Resource temporarily unavailable",
    ),
    "ImportError": _LOADING,
    "OSError": _LOADING,
    "ArrowException": ("bad_alloc", "Resource temporarily unavailable", "annot allocate memory"),
    **dict.fromkeys(("Error", "FatalException", "InternalException"), ("bad_alloc",)),
    "PanicException": ("Resource temporarily unavailable", "annot allocate memory", "memory allocation"),
    "SystemError": ("without setting an exception", "without exception set"),
}  # fmt: skip
"""What libraries say where they have no such error; of kinds that quote no cell, each by the very name of its type."""
_NEAR = 0.9
"""From this share of a limit on, an error of such a kind that says anything else is of memory too: what failed before
it was not told, as a part of a library that could not be loaded."""


def is_end_of_memory(error: BaseException) -> bool:
    """Return whether an error, of whatever library, means that there was no memory for something.

    It is told by its type and number, else by fixed words of the library that it comes from.
    """
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen and not isinstance(at, TawtError):
        kind, number = type(at).__name__, getattr(at, "errno", None)
        if isinstance(at, MemoryError) or kind in _OUT_OF_MEMORY or number == errno.ENOMEM:
            return True
        if kind in _MARKS and number is None and (any(mark in str(at) for mark in _MARKS[kind]) or _is_near_limit()):
            return True
        seen.append(at)
        at = at.__cause__ or at.__context__
    return False


def _is_near_limit() -> bool:
    return any(bound.most >= _NEAR * bound.n_bytes for bound in shell_limits())


def bounds(memory_limit: str | None = None) -> str:
    """Return what holds the memory of this process, as a person knows it.

    Args:
        memory_limit: That of the engine, where it is at work.
    """
    own = [f"--memory-limit {memory_limit}"] if memory_limit is not None else []
    outer = shell_limits() or ([] if own else [tightest_bound()])
    return " and ".join([*own, *map(_as_said, outer)])


def _as_said(bound: Bound) -> str:
    return f"the {size(bound.n_bytes)} of {bound.said}"


def unlimited() -> list[str]:
    """Return the commands that take the limits off which hold this process."""
    return [f"`{bound.said.strip('`')} unlimited`" for bound in shell_limits()]


def memory_error(place: Path | str, memory_limit: str | None = None) -> RoomError:
    """Return the error that says where memory ran out, what holds it, and what gives more.

    Args:
        place: What was being done, or the file or folder at hand.
        memory_limit: Of the engine, where it is at work.
    """
    limits = shell_limits()
    engine = ["raise --memory-limit", "free space for spilling"] if memory_limit is not None else []
    ways = [*engine, *unlimited()] or ["use a machine, or a job, with more memory"]
    begin = [f"{size(bound.least)} of {bound.said}" for bound in limits if bound.n_bytes < bound.least]
    need = f"; a command takes {' and '.join(begin)} before it reads anything" if begin else ""
    return RoomError(
        str(place), f"memory ran out, expected to fit in {bounds(memory_limit)}",
        f"{', or '.join(ways)}; fewer --threads take less{need}",
    )  # fmt: skip


def hold_memory(error: BaseException, place: Path | str) -> None:
    """Let what is no end of memory pass, to be told as what it is.

    Raises:
        RoomError: Memory ran out.
    """
    if is_end_of_memory(error):
        raise memory_error(place) from None


def room_error(error: BaseException, place: Path | str, needed: int | None = None) -> RoomError | None:
    """Return an error that says which end was reached and where; None for an error of another kind.

    Args:
        error: What was raised.
        place: The file or folder that was being written, where the error names none; a text = what was being done.
        needed: Bytes that are needed there, about; None = not known.
    """
    if is_end_of_memory(error):
        return memory_error(place)
    number = getattr(error, "errno", None)
    if not isinstance(error, OSError) or number not in NUMBERS:
        return None
    named = error.filename2 or error.filename  # of two it is the one that is written
    path = Path(os.fsdecode(named)) if isinstance(named, str | bytes | os.PathLike) else place
    room = f"room for about {size(needed)}" if needed is not None else "room for what is written"
    elsewhere = "or give another place with `-w` or `--out`"
    if number == errno.EFBIG:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        limit = "the file system allows" if most == resource.RLIM_INFINITY else f"{size(most)}, the limit of this shell"
        return RoomError(
            str(path), f"may not grow beyond {limit}, expected {room}", f"`ulimit -f unlimited`, {elsewhere}"
        )
    if number == errno.EDQUOT:
        return RoomError(
            str(path), f"the quota of this user is used up there, expected {room}", f"free space, {elsewhere}"
        )
    if isinstance(path, str):  # nobody knows which disk it is
        return RoomError(path, f"a disk is full, expected {room}", f"free space, {elsewhere}")
    here = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free = f"{size(shutil.disk_usage(here).free)} free now"
    return RoomError(str(path), f"its disk is full ({free}), expected {room}", f"free space there, {elsewhere}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let the end of a disk name what is being written: writing to an open file names none."""
    try:
        yield
    except OSError as error:
        if error.errno in NUMBERS and error.filename is None:
            error.filename = str(path)
        raise


def size(n_bytes: int) -> str:
    """Return a size as a person reads it."""
    number, units = float(n_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.3g} {units[0]}"
