"""What is said where a disk, a quota, the size of a file or the memory is at its end."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path

from tawt.errors import RoomError

NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)
"""What the system calls the end of a disk, a quota, a file's size, and memory."""


def room_error(error: BaseException, place: Path, needed: int | None = None) -> RoomError | None:
    """Return an error that says which end was reached and where; None for an error of another kind.

    It is told by its type and number, never by its text.

    Args:
        error: What was raised.
        place: The file or folder that was being written, where the error names none.
        needed: Bytes that are needed there, about; None = not known.
    """
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    if not isinstance(error, OSError | MemoryError) or number not in NUMBERS:
        return None
    named = getattr(error, "filename", None)
    path = Path(os.fsdecode(named)) if isinstance(named, str | bytes | os.PathLike) else place
    room = f"room for about {size(needed)}" if needed is not None else "room for what is written"
    elsewhere = "or give another place with `-w` or `--out`"
    if number == errno.ENOMEM:
        return RoomError(
            str(path), "memory ran out, expected to fit in what the machine gives to this process",
            "give a smaller --memory-limit and fewer --threads, or more memory",
        )  # fmt: skip
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
    here = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free = f"{size(shutil.disk_usage(here).free)} free now"
    return RoomError(str(path), f"its disk is full ({free}), expected {room}", f"free space there, {elsewhere}")


def size(n_bytes: int) -> str:
    """Return a size as a person reads it."""
    number, units = float(n_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.3g} {units[0]}"
