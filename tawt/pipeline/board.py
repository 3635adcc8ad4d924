"""Where processes that share a run out tell that they are at work: names, and what each says under its own."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Protocol

from tawt.places import make_new

BEAT_SECONDS = 1.0
STILL_SECONDS = 90.0
"""Behind so long a silence a part of another machine is held to be gone: what a shared file system remembers of a file
may be a minute old."""


class Board(Protocol):
    """Where the parts of a run tell of themselves, and read of one another."""

    @property
    def beat_seconds(self) -> float:
        """How often each tells that it is at work."""

    @property
    def still_seconds(self) -> float:
        """Behind so long a silence a part of another machine is held to be gone."""

    def read(self, name: str) -> bytes:
        """Return what stands under a name; nothing where there is none."""

    def take(self, name: str, said: bytes, before: bytes) -> bool:
        """Write what stands under a name as one that begins; return whether no other did.

        Args:
            name: Which.
            said: What is to stand there.
            before: What stood there when it was looked at, and nobody keeps up.
        """

    def write(self, name: str, said: bytes) -> None:
        """Write what stands under a name."""

    def remove(self, name: str) -> None:
        """Take off what stands under a name, if there is any."""


class BoardInFolder:
    """A folder that all see.

    Args:
        folder: Which.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def beat_seconds(self) -> float:
        return BEAT_SECONDS

    @property
    def still_seconds(self) -> float:
        return STILL_SECONDS

    def read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return b""

    def take(self, name: str, said: bytes, before: bytes) -> bool:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{name}-{secrets.token_hex(8)}")
        try:
            if path.exists():
                if path.read_bytes() != before:
                    return False
                path.rename(aside)  # of several only one has it then
                if aside.read_bytes() != before:  # another one has begun since it was looked at
                    _give(aside, path)
                    return False
            elif before:  # one looks at it just now
                return False
            make_new(aside)
            self._fill(aside, said)
            _give(aside, path)
        except (FileExistsError, FileNotFoundError):
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True

    def write(self, name: str, said: bytes) -> None:
        """Write in place: who opens a file of a shared file system anew reads what was written before."""
        self._fill(self._folder / name, said)

    @staticmethod
    def _fill(path: Path, said: bytes) -> None:
        # never empty meanwhile, which would read as that nobody is there
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(handle, said)
            os.ftruncate(handle, len(said))
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


def _give(aside: Path, path: Path) -> None:
    """Give a whole file a name that no other has.

    Raises:
        FileExistsError: One has it.
    """
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with path.open("xb") as file:
            file.write(aside.read_bytes())
