"""Where a name may lead: a record names only what lies below its own folder, and nothing is written through a link.

A workspace can come from somebody else: what its records and links say is looked at before it is followed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

from tawt.errors import FileError


def leads_below(name: str) -> bool:
    """Return whether a name of a record is the plain path of something below the record's folder."""
    parts = name.split("/")
    return not {"", ".", ".."} & {*parts} and "\\" not in name and "\0" not in name


def is_utf8(name: str) -> bool:
    """Return whether a name of a file is text: records, which are, could not hold it otherwise."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _below(name: str) -> str:
    if not leads_below(name) or not is_utf8(name):
        raise ValueError("is no path below the folder of its record")
    return name


Below = Annotated[str, AfterValidator(_below)]
"""A path in a record, below the folder that the record is of."""


def is_under(name: str, folders: Iterable[str]) -> bool:
    """Return whether a path of a record lies below one of some folders, all below the record's own."""
    parents = {str(parent) for parent in PurePosixPath(name).parents}
    return any(folder in parents for folder in folders)


def real(path: Path) -> Path:
    """Return where a path leads, links followed; a loop of links leads nowhere, and is left as it is."""
    return Path(os.path.realpath(path))


def refuse_links(root: Path, path: Path, inner: bool = False) -> None:
    """Refuse to write in a folder that is, or lies behind, a link below a root; the root itself may be one.

    Args:
        root: What the user named: its place is of the user's choice.
        path: The folder, whether it is there or not; nothing on the way to one that is not below the root is looked at.
        inner: Whether no folder below it may be a link either.

    Raises:
        FileError: A link leads elsewhere; it could be anybody's folder.
    """
    names = path.relative_to(root).parts if path.is_relative_to(root) else ()
    places = [root.joinpath(*names[: i + 1]) for i in range(len(names))]
    if inner:
        places += [Path(at) / name for at, folders, _ in os.walk(path) for name in folders]
    for place in places:
        if place.is_symlink():
            raise FileError(
                str(place), "is a link, expected a folder of its own, for what it leads to would be changed",
                "put the folder itself there; the whole workspace may lie behind a link",
            )  # fmt: skip


def remove(path: Path) -> None:
    """Remove a file or a folder that may not be there; a link goes, what it leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_own(path: Path) -> bool:
    """Return whether a name is free, or of a file which has no other: what is written to it is written nowhere else."""
    try:
        found = path.lstat()
    except FileNotFoundError:  # who writes the same may make it at any moment
        return True
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def make_new(path: Path) -> None:
    """Make an empty file in the place of whatever has its name, so that no link is written through."""
    remove(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))


def open_lock(path: Path, private: bool = False) -> int:
    """Open a file to lock it, made where it is not there, private for its owner alone; its content stays as it is.

    Raises:
        FileError: It is a link.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600 if private else 0o666)
    except OSError:
        if path.is_symlink():
            raise FileError(str(path), "is a link, expected a file of its own", "remove it") from None
        raise


_SIGN = re.compile(r"[*?\[]")


def as_pattern(path: Path) -> str:
    """Return the pattern that means a path and no other, where `is_nameable`: the engine takes every name for one."""
    return _SIGN.sub(lambda sign: f"[{sign[0]}]", str(path))


def is_nameable(path: Path) -> bool:
    """Return whether the engine can be told of a path: a backslash ends a folder's name in a pattern."""
    return "\\" not in str(path) or _SIGN.search(str(path)) is None
