"""Whether raw files are as they were read, from a cheap look at them; no file is read but one that was only touched."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tawt.errors import FileError
from tawt.files import stamp
from tawt.pipeline.workspace import Local, Workspace
from tawt.raw.seen import RawSeen
from tawt.seals import sha256_file

_SIZE = 1
"""Place of a file's size in its stamp."""


def raw_changed(workspace: Workspace) -> dict[str, str | None]:
    """Return the raw tables that were read -> what each is known by; None = a file of it has changed since.

    Where none of the files is there, the raw tables are elsewhere, and there is nothing to compare.
    """
    local = Local()
    with suppress(FileError):  # whoever needs it tells
        local = workspace.local
    root = Path(local.raw_root) if local.raw_root is not None else None
    if root is None or not any((root / name).is_file() for name in local.files):
        return {}
    whole = {name: is_as_read(root / name, seen) for name, seen in local.files.items()}
    return {
        table: seen.identity if all(whole.get(file, True) for file in seen.files) else None
        for table, seen in local.tables.items()
    }


def is_as_read(path: Path, seen: RawSeen) -> bool:
    """Return whether a file is as it was: by its stamp, and where only that is another, by its bytes."""
    now = stamp(path)
    if now == seen.stamp:
        return True
    if not now or now[_SIZE] != seen.stamp[_SIZE]:
        return False
    with suppress(OSError):
        return sha256_file(path) == seen.sha256
    return True
