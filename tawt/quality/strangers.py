"""What lies in a workspace and tawt did not put there: files, links, pipes, sockets and empty folders alike."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tawt.contracts.basis import BASE_TABLE
from tawt.contracts.dataset import THREADS
from tawt.contracts.layers import STAGE
from tawt.contracts.workspace import AUDITS, EVALUATIONS, HOSPITAL, RISKS
from tawt.modalities.contents import EMBEDDED
from tawt.pipeline.holding import RESUMABLE
from tawt.pipeline.presence import PARTS
from tawt.pipeline.workspace import LOCK, OWN_FOLDERS, RECORDS, Workspace
from tawt.places import real

_ASIDE = re.compile(
    rf"{PARTS}|(?:{STAGE})(?:\.old)?|{RESUMABLE.pattern}(?:\.old|-[0-9]+-of-[0-9]+-[0-9a-f]+)|"
    rf"\.?(?:{STAGE})\.quarantine\.parquet(?:\.tmp)?|(?:{STAGE}|{RESUMABLE.pattern})\.shards\.json"
)
"""What a killed command leaves aside, which the next one removes."""


@dataclass
class Known:
    """What tawt put below a folder."""

    files: set[Path] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    """Those that may be empty."""
    locks: set[Path] = field(default_factory=set)
    """Files that are empty; beside each other kind."""
    loose: set[Path] = field(default_factory=set)
    """Folders in which any regular file may be."""
    others: set[Path] = field(default_factory=set)
    """Folders of somebody else's, which are not looked at."""

    def add(self, files: Iterable[Path]) -> None:
        """Add files, each of which may be written aside at the moment, or have been as its command was killed."""
        for path in files:
            self.files |= {path, path.with_name(f".{path.name}.tmp")}


def of_workspace(workspace: Workspace) -> Known:
    """Return what lies at the root of a workspace and aside; raw tables may be kept in it, and those of a demo are."""
    root, known = workspace.root, Known()
    known.add(root / name for name in (*RECORDS, THREADS, BASE_TABLE))
    known.locks.add(root / LOCK)
    known.folders |= {root / name for name in OWN_FOLDERS}
    known.folders |= {root / name for name in (EVALUATIONS, AUDITS, RISKS)}
    known.loose.add(root / EMBEDDED)
    raw = workspace.raw_root
    if raw is not None and raw != real(root) and raw.is_relative_to(real(root)):
        known.others.add(root / raw.relative_to(real(root)))
    if (root / HOSPITAL).is_file():
        known.others.add(root / "raw")
    for path in workspace.aside.glob("*"):
        if RESUMABLE.fullmatch(path.name) or _ASIDE.fullmatch(path.name):
            (known.files if path.is_file() else known.loose).add(path)
    known.files |= {path for path in workspace.spill.glob("duckdb_temp_*") if path.is_file()}
    return known


def strangers(root: Path, known: Known) -> list[Path]:
    """Return what is not known below a root: of a folder of it, its files, or itself where it has none."""
    inner = {above for path in (*known.files, *known.locks, *known.folders, *known.others) for above in path.parents}
    return sorted(_walk(root, known, inner | known.folders | {root}, loose=False))


def _walk(folder: Path, known: Known, folders: set[Path], loose: bool) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # which may not be read, and so may hold anything
        yield folder
        return
    if not entries and not loose and folder not in folders:
        yield folder
    for entry in entries:
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            if path not in known.others:
                yield from _walk(path, known, folders, loose or path in known.loose)
        elif not _is_known(path, known, loose):
            yield path


def _is_known(path: Path, known: Known, loose: bool) -> bool:
    if path in known.files:  # a link to one that is as it was written is no other file
        return path.is_file()
    mode = path.lstat()
    return stat.S_ISREG(mode.st_mode) and (loose or (path in known.locks and mode.st_size == 0))
