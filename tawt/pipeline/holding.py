"""Who may write in a workspace: one command at a time, and only where nothing but tawt's own is replaced."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from tawt.contracts.basis import BASE_TABLE
from tawt.contracts.layers import BUILT_IN
from tawt.contracts.synthetic import PROVENANCE
from tawt.contracts.workspace import CARRIED, PIPELINE, is_workspace
from tawt.errors import ConfigError
from tawt.files import ASIDE, alone, stamp
from tawt.modalities.contents import EMBEDDED
from tawt.pipeline.commit import forget_half
from tawt.pipeline.each_shard import HANDED_IN
from tawt.pipeline.letting_go import finish
from tawt.pipeline.workspace import INGEST, LEDGER, LOCK, OF_STAGES, OWN_FOLDERS, RECORDS, SPILL, STORED
from tawt.places import is_utf8, open_lock, real, refuse_links, remove

RESUMABLE = re.compile(rf"(?:{BUILT_IN})-[0-9a-f]{{16}}(?:{re.escape(HANDED_IN)})?")
"""Folder aside of a built-in stage, by the fingerprint of what it is made from."""
_held: ContextVar[frozenset[Path]] = ContextVar("_held", default=frozenset())
"""Workspaces that the command in this thread holds already."""


@contextmanager
def hold(root: Path, dry_run: bool = False) -> Iterator[None]:
    """Keep every other command that changes a workspace out of it; nothing in it is written before.

    What a killed command left aside is removed first. A command may hold its workspace again, as `demo` does.

    Args:
        root: The workspace, made where it is not there.
        dry_run: Writes nothing, and so waits for nobody.

    Raises:
        ConfigError: Another command is at work in it, or the root is a file or a folder of somebody else's.
        FileError: A folder that stages are written in is, or holds, a link to another one.
    """
    place = real(root)
    if place in _held.get():
        yield
        return
    refuse_foreign(root)
    if dry_run:
        yield
        return
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        held.enter_context(alone(root / LOCK, _in_use(root)))
        token = _held.set(_held.get() | {place})
        held.callback(_held.reset, token)
        _refuse_inside(root)
        for place in (root, *(root / CARRIED).glob("*")):
            _remove_leftovers(place)
        held.callback(_tidy, root)
        yield


@contextmanager
def hold_together(root: Path) -> Iterator[None]:
    """Keep every command that changes a workspace out of it but those that hold it so, too: parts of one run.

    What a killed command left aside stays: another part may be at work there.

    Raises:
        ConfigError: Another command is at work in it, or it is none.
        FileError: As of `hold`.
    """
    refuse_foreign(root)
    with ExitStack() as held:
        try:
            fcntl.flock(held.enter_context(os.fdopen(open_lock(root / LOCK), "rb")), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(root) from None
        token = _held.set(_held.get() | {real(root)})
        held.callback(_held.reset, token)
        _refuse_inside(root)
        yield


@contextmanager
def still(root: Path) -> Iterator[None]:
    """Keep every command that changes a workspace out of it while it is looked at; nothing is written.

    Several may look at once. Parts of a run hold it as lookers do, and where there is no lock yet, or one of another
    user, nobody is kept out: so what commands wrote is held to be the same afterwards.

    Raises:
        ConfigError: A command that changes it is, or was meanwhile, at work.
    """
    if real(root) in _held.get():
        yield
        return
    with ExitStack() as held:
        before = _written(root)
        try:
            handle = os.open(root / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.flock(held.enter_context(os.fdopen(handle, "rb")), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(root) from None
        except OSError:
            pass
        try:
            yield
        finally:
            if before != _written(root):
                raise _in_use(root) from None


def _written(root: Path) -> dict[Path, tuple[int, ...]]:
    """What tells whether a command has changed a workspace: its records and manifests as they are."""
    manifests = sorted((root / "manifests").glob("*.json"))
    return {path: stamp(path) for path in (root / PIPELINE, root / INGEST, root / LEDGER, *manifests)}


def _in_use(root: Path) -> ConfigError:
    return ConfigError(
        str(root), "is in use by another tawt command, expected to be alone in it",
        "wait for it to end, or work in another workspace",
    )  # fmt: skip


def refuse_foreign(root: Path) -> None:
    """Refuse to work in a folder that holds anything and was not made by tawt: what is in it could be replaced.

    Raises:
        ConfigError: It is one, or a file.
    """
    if os.path.lexists(root) and not root.is_dir():
        what = "is a file" if root.exists() else "is a link that leads to no folder"
        raise ConfigError(str(root), f"{what}, expected a folder for the workspace", "give another with -w")
    refuse_odd_letters(root)
    started = {LOCK, STORED, *(f".{name}.tmp" for name in RECORDS)}
    there = {path.name for path in root.iterdir()} if root.exists() else set()
    if there - started and not is_workspace(root):
        raise ConfigError(
            str(root), "holds files and is no workspace of tawt, expected a new folder, an empty one or a workspace",
            "give another with -w",
        )  # fmt: skip


def refuse_odd_letters(folder: Path) -> None:
    """Refuse a folder whose path records and the engine could not hold.

    Raises:
        ConfigError: It has bytes that are no text.
    """
    if not is_utf8(str(real(folder))):
        raise ConfigError(str(folder), "has a path that is not UTF-8, expected one that is", "choose another place")


def refuse_overlap(root: Path, raw_root: Path) -> None:
    """Refuse a workspace within the raw folder, and raw tables where the workspace keeps its own.

    Raises:
        ConfigError: One of the two would write into the other, or the path of raw tables is no text.
    """
    refuse_odd_letters(raw_root)
    inner, outer = real(root), real(raw_root)
    if inner == outer and (inner / PROVENANCE).is_file():
        return  # a synthetic set, which holds the tables that it was made of where nothing else is written
    if inner.is_relative_to(outer):
        raise ConfigError(
            str(root), "lies in the folder of raw tables, which is only read, expected a place outside of it",
            "give another with -w",
        )  # fmt: skip
    if outer.is_relative_to(inner) and outer.relative_to(inner).parts[0] in OWN_FOLDERS:
        raise ConfigError(
            str(raw_root), "is a folder of the workspace itself, expected raw tables elsewhere", "give another with -w"
        )


def _refuse_inside(root: Path) -> None:
    for name in (*OF_STAGES, CARRIED, ASIDE, EMBEDDED):
        refuse_links(root, root / name, inner=True)
        _refuse_other(root / name, Path.is_dir, "a folder")
    for name in (*RECORDS, BASE_TABLE):
        _refuse_other(root / name, Path.is_file, "a file")


def _refuse_other(path: Path, is_one: Callable[[Path], bool], what: str) -> None:
    if os.path.lexists(path) and not is_one(path):
        raise ConfigError(
            str(path), f"is not {what}, expected {what} that tawt writes, or nothing", "move it out of the workspace"
        )


def _tidy(root: Path) -> None:
    with suppress(OSError):  # the next command will; an error that ended this one is the one to tell
        _remove_leftovers(root)


def _remove_leftovers(root: Path) -> None:
    """Remove what a command that was killed, or failed, left; a built-in stage's shards stay for who goes on with them.

    Only of files that are written by who holds the workspace: others are at work beside it.
    """
    forget_half(root)
    finish(root)
    for path in (root / ASIDE).rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            path.unlink()  # nothing of ours, and it would be written through
    for path in (root / ASIDE).glob("*"):
        if not RESUMABLE.fullmatch(path.name):
            remove(path)
    remove(root / SPILL)
    for name in (*RECORDS, BASE_TABLE):
        remove(root / f".{name}.tmp")
