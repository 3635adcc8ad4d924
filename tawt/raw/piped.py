"""A large .gz file as a pipe: it is unpacked beside the engine, by a faster library than its own, and copied nowhere.

What comes through a pipe is a first try: the caller counts its records, and has the engine read the file itself where
they are not all, or anything else is odd. So whatever is wrong with a file is told as where there are no pipes.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import IO, cast

from tawt.places import remove
from tawt.raw.find import RawTable
from tawt.raw.formats import format_of
from tawt.raw.gunzip import IS_FAST, Unpacked

SMALL = 1 << 20
"""Packed bytes below which a file is left to the engine, for a pipe takes longer to lay."""
_BLOCK = 1 << 18
_WAIT_SECONDS = 0.005


@contextmanager
def piped(tables: Sequence[RawTable], scratch: Path) -> Iterator[list[RawTable]]:
    """Give tables with a pipe in the place of each that is one large .gz file, to be read once; as they are where no
    pipe is to be had.

    Args:
        tables: The tables as the engine reads them.
        scratch: The folder for pipes, made where one is needed, and removed at the end.
    """
    remove(scratch)  # of a killed run
    pipes: list[_Pipe] = []
    given = []
    try:
        for table in tables:
            with suppress(AttributeError, OSError, RuntimeError):  # of a system, a disk, or a limit of threads
                if _pays(table):
                    scratch.mkdir(exist_ok=True)
                    pipe = _Pipe(table.files[0].path, scratch / f"{table.name}.csv")
                    pipes.append(pipe)
                    table = replace(table, files=(replace(table.files[0], path=pipe.path),))
            given.append(table)
        yield given
    finally:
        for pipe in pipes:
            pipe.close()
        remove(scratch)


def _pays(table: RawTable) -> bool:
    if not IS_FAST or not table.is_text or len(table.files) != 1:
        return False
    path = table.files[0].path
    return format_of(path).is_gzip and path.stat().st_size >= SMALL


class _Pipe:
    """Hands what a .gz file holds to the first who opens the pipe; for another one it is gone.

    Args:
        packed: The file.
        path: Where the pipe is made.
    """

    def __init__(self, packed: Path, path: Path) -> None:
        self.path, self._packed, self._closed = path, packed, Event()
        os.mkfifo(path, 0o600)
        self._thread = Thread(target=self._feed, name=f"unpacks {path.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the feeding, however far it is."""
        self._closed.set()
        self._thread.join()

    def _feed(self) -> None:
        with suppress(Exception):  # whatever ends it, the text ends early, which its count tells
            end = self._opened()
            try:
                self.path.unlink()
                with self._packed.open("rb") as packed:
                    text = Unpacked(cast(IO[bytes], packed))
                    while block := text.read(_BLOCK):
                        self._write(end, block)
            finally:
                os.close(end)

    def _opened(self) -> int:
        """Return the end that is written to, once somebody reads; a plain opening would wait for longer than that."""
        while not self._closed.wait(_WAIT_SECONDS):
            with suppress(OSError):
                return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        raise BrokenPipeError

    def _write(self, end: int, block: bytes) -> None:
        left, room = memoryview(block), select.poll()
        room.register(end, select.POLLOUT)
        while left:
            if self._closed.is_set():
                raise BrokenPipeError
            if room.poll(100):
                left = left[os.write(end, left) :]
