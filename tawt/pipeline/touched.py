"""Whether raw files are as they were read, and no more of them, from a cheap look; only what was touched is read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tawt.errors import FileError, TawtError
from tawt.files import stamp
from tawt.pipeline.records import Local
from tawt.pipeline.workspace import Workspace
from tawt.raw.files import files_of
from tawt.raw.seen import RawSeen, TableSeen
from tawt.seals import sha256_file


def raw_changed(workspace: Workspace) -> dict[str, str | None]:
    """Return the raw tables -> what each is known by; None = a file of it has changed, or come, since it was read.

    Where none of the files is there, the raw tables are elsewhere, and there is nothing to compare.
    """
    local = Local()
    with suppress(FileError):  # whoever needs it tells
        local = workspace.local
    root = Path(local.raw_root) if local.raw_root is not None else None
    if root is None or not any((root / name).is_file() for name in local.files):
        return {}
    whole = {name: is_as_read(root / name, seen) for name, seen in local.files.items()}
    members = {entry.table: entry for entry in workspace.pipeline.members}

    def is_same(table: str, seen: TableSeen) -> bool:
        if not all(whole.get(file, True) for file in seen.files):
            return False
        with suppress(TawtError, OSError):  # whoever reads them tells what is wrong with them
            found = files_of(root, seen.places, members.get(table), table)
            return {path.relative_to(root).as_posix() for path in found} == {*seen.files}
        return False

    return {table: seen.identity if is_same(table, seen) else None for table, seen in local.tables.items()}


def is_as_read(path: Path, seen: RawSeen) -> bool:
    """Return whether a file is as it was: by its stamp, and where only that is another, by its bytes."""
    now = stamp(path)
    if now == seen.stamp:
        return True
    if not seen.is_as_large(now):
        return False
    with suppress(OSError):
        return sha256_file(path) == seen.sha256
    return True
