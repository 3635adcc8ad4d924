"""Files that appear whole or not at all: written aside, flushed, renamed; hashes of what was read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tawt.errors import FileError
from tawt.places import is_own, open_lock, remove
from tawt.readers import read_map
from tawt.seals import BLANK, LIST, fill, filled, hashes_of, sha256_file

if TYPE_CHECKING:
    import pyarrow as pa

ASIDE = ".aside"
"""Folder of a workspace where everything is written before it is published; safe to delete."""


@contextmanager
def whole(path: Path, private: bool = False) -> Iterator[Path]:
    """Give the place to write a file aside; it is flushed and renamed to its name at the end, or removed.

    A private one is from its first byte on the owner's alone, as is what it lies in where that is new.

    The place has always the same name, so that the next write replaces what a killed one left. Who writes the same
    file at once waits for the other: what lies under its name is of one of them.
    """
    make_folder(path.parent, private)
    aside = path.with_name(f".{path.name}.tmp")
    if not is_own(aside):
        remove(aside)
    with alone(aside, taken=lambda: None, private=private):
        try:
            os.truncate(aside, 0)
            if private:
                keep_private(aside, path)
            yield aside
            publish_file(aside, path)
        except BaseException as error:
            aside.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename in (None, str(aside)):
                error.filename = str(path)  # writing to an open file names none, and nobody knows of the place aside
            raise


@contextmanager
def whole_folder(path: Path, private: bool = False) -> Iterator[Path]:
    """Give the place to fill a folder aside; it is published under its name at the end, or removed.

    Until then none but the owner sees it: nobody has said yet that others may, and a kill would leave it so. A private
    one stays the owner's.
    """
    aside = path.with_name(f".{path.name}.tmp")
    remove(aside)
    mode = _made_private(aside)
    try:
        yield aside
        if not private:
            aside.chmod(mode)
        publish(aside, path)
    except BaseException:
        remove(aside)
        raise


def _made_private(path: Path) -> int:
    """Make a folder that none but the owner sees, and return the mode that it would have had."""
    path.mkdir(parents=True)
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode & 0o700)
    return mode


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def sealed(data: dict[str, Any]) -> str:
    """Return keys as the text of a JSON file that holds the hash of its rest, under `seal`."""
    return filled(json.dumps({**data, "seal": BLANK}, indent=2, ensure_ascii=False) + "\n")


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """Write keys as a JSON file that holds the hash of its rest, whole or not at all."""
    write_text(path, sealed(data))


def write_hashes(folder: Path, names: Iterable[str] | None = None) -> None:
    """List the hash of every file of a folder in it, or of those named, once they are all as they will be."""
    hashes = hashes_of(folder) if names is None else {name: sha256_file(folder / name) for name in names}
    write_sealed(folder / LIST, {"sha256": hashes})


def read_json(path: Path) -> Any | None:
    """Read a JSON file that can be made again; None where it is absent or broken."""
    try:
        return read_map(path)
    except FileError:
        return None


def write_parquet(path: Path, table: pa.Table, private: bool = False, **options: Any) -> None:
    """Write a Parquet file, whole or not at all, that holds the hash of its rest; options go to pyarrow."""
    write_parquets(path, [table], table.schema, private, **options)


def write_parquets(
    path: Path, tables: Iterable[pa.Table], schema: pa.Schema, private: bool = False, **options: Any
) -> None:  # fmt: skip
    """Write tables of one schema to one file as `write_parquet` does, each to groups of its own, as they come."""
    import pyarrow.parquet as pq

    of_all = schema.with_metadata({**(schema.metadata or {}), b"seal": BLANK})
    with whole(path, private) as aside:
        with pq.ParquetWriter(aside, of_all, **options) as writer:
            for table in tables:
                writer.write_table(table)
        fill(aside)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish_file(aside: Path, path: Path) -> None:
    """Flush a file that was written aside to the disk and rename it to its name."""
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def keep_private(aside: Path, final: Path) -> None:
    """Let none but the owner at a file or folder before it has its name, where what stands there does not say more."""
    mode = 0o700 if aside.is_dir() else 0o600
    with suppress(OSError):  # a file system without owners
        mode = stat.S_IMODE(final.stat().st_mode)
    with suppress(OSError):
        aside.chmod(mode)


def publish(aside: Path, final: Path) -> None:
    """Put a finished folder in the place of an older one by renames; a reader never sees a mixture."""
    for path in [*aside.rglob("*"), aside]:
        sync(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    old = aside.with_name(aside.name + ".old")
    # what a run killed in the middle of this left behind is in the way of the next rename
    remove(old)
    if os.path.lexists(final):
        final.rename(old)
    aside.rename(final)
    sync(final.parent)
    remove(old)


def link(file: Path, to: Path) -> None:
    """Put a file that stays as it is at another place, too: what lies under a final name is never written to."""
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    try:
        os.link(file, to)
    except OSError:  # a file system without links
        shutil.copyfile(file, to)


def stamp(path: Path) -> tuple[int, ...]:
    """Return what tells a file from another one in its place, or from itself after it was written to; () = none there.

    The time of its last change of any kind is in it, which nobody can set back, as the time of writing can be.
    """
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def touched(stamp: tuple[int, ...]) -> int:
    """Return the time of a file's last change of any kind, ns; of none, the beginning of time."""
    return stamp[-1] if stamp else 0


def make_folder(path: Path, private: bool) -> None:
    """Make a folder, and those above it; those that are made private are the owner's alone from the start."""
    for place in reversed((path, *path.parents)) if private else ():
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def made_folder(path: Path, private: bool = False) -> Iterator[None]:
    """Make a folder as `make_folder` does; what was made and is empty at the end goes again."""
    made = [place for place in (path, *path.parents) if not place.exists()]
    make_folder(path, private)
    try:
        yield
    finally:
        for place in made:
            with suppress(OSError):  # it holds something, or has gone
                place.rmdir()


@contextmanager
def alone_at(path: Path, taken: Exception | Callable[[], None]) -> Iterator[None]:
    """Keep others from writing a file: hold a lock beside it, which goes at the end. `taken` is as in `alone`.

    Raises:
        FileError: The lock is a link.
    """
    lock = path.with_name(f".{path.name}.lock")
    with alone(lock, taken):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # while it is held: who waits for it sees that it is gone


@contextmanager
def alone(
    path: Path, taken: Exception | Callable[[], None] | None = None, private: bool = False
) -> Iterator[None]:  # fmt: skip
    """Hold a lock file; the lock goes with the process, however it ends.

    Args:
        path: The file, made where it is not there.
        taken: What is raised where another process holds it, or what is called once before waiting for that process.
        private: Whether none but the owner may read it, where it is made.

    Raises:
        BlockingIOError: Another process holds it, and nothing else is said for that.
        FileError: It is a link.
    """
    while True:
        with os.fdopen(open_lock(path, private), "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not callable(taken):
                    raise taken or BlockingIOError(path) from None
                taken()
                fcntl.flock(lock, fcntl.LOCK_EX)
            # the file may have been removed meanwhile: others would open, and hold, a new one
            if _is_at(lock.fileno(), path):
                yield
                return


@contextmanager
def written_aside(place: Path, taken: Exception, private: bool = False) -> Iterator[Path]:
    """Give a folder of the name of another one, beside it, to write its files in alone, and remove it at the end.

    Args:
        place: The folder that the files are for; whoever writes them publishes them.
        taken: What is raised where another process writes them.
        private: Whether what is made for it above it is the owner's alone.
    """
    aside = place.with_name(f".{place.name}.tmp")
    with made_folder(place.parent, private), alone_at(place, taken):
        remove(aside)
        _made_private(aside)
        try:
            (aside / place.name).mkdir()
            yield aside / place.name
        finally:
            remove(aside)


def _is_at(handle: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def digest(data: Any) -> str:
    """Return a short hash of JSON-like data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:16]
