"""Files that records of a raw table name by a path below the raw root: images, waveforms."""

from __future__ import annotations

import stat
from pathlib import Path

from tawt.places import real

IMAGES = "staging.images"
"""The stage whose records name files, one each, in the column `path`."""


def place_of(root: Path, name: str) -> Path | str:
    """Return where a file lies that a record names, links followed, or a word for why it cannot be read.

    Args:
        root: The raw root, which nothing that is read lies out of.
        name: A path below it.
    """
    if "://" in name or "\0" in name or Path(name).is_absolute():
        return "outside"
    try:
        path = real(root / name)
        if not path.is_relative_to(real(root)):
            return "outside"
        mode = path.stat().st_mode
    except (OSError, ValueError):  # no such file, a loop of links, a name that no file can have
        return "not_there"
    return path if stat.S_ISREG(mode) else "no_file"


def stated(root: Path, name: str) -> tuple[int, int] | tuple[()]:
    """Return how large a file is that a record names, and when it was written, ns; () of one that cannot be read."""
    path = place_of(root, name)
    if isinstance(path, str):
        return ()
    found = path.stat()
    return found.st_size, found.st_mtime_ns
