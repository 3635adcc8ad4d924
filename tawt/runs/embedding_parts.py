"""What is done of a file of embeddings, kept beside it until it is whole: one that was killed goes on from there.

All rows in their order are more than a machine may have memory for, so they lie in a file there too.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.contracts.embeddings import parts_folder
from tawt.contracts.workspace import is_outside
from tawt.errors import FileError
from tawt.files import make_folder, write_parquet
from tawt.places import remove
from tawt.readers import read_parquet
from tawt.room import naming
from tawt.seals import holds

_OF = b"of"
_ROWS = "rows"


class Parts:
    """The parts of one file; each is whole or not there.

    Args:
        path: The file.
        key: A hash of all that its numbers hang on: a part of anything else is made again.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.folder, self.private = parts_folder(path), is_outside(path)
        self.key = key
        if self.folder.is_symlink():  # it could lead to anybody's folder
            remove(self.folder)

    def read(self, name: str, shape: tuple[int, int]) -> tuple[Ints, NDArray[np.float32]] | None:
        """Return the times and vectors of a part; None where it is absent, not as it was written, or of another key.

        Args:
            name: Of the part.
            shape: Of its vectors.
        """
        path = self.folder / name
        with suppress(FileError, OSError):
            if not holds(path):
                return None
            table = read_parquet(path, ("time", "embedding"))
            vectors = table["embedding"].combine_chunks()
            if (table.schema.metadata or {}).get(_OF) == self.key.encode() and vectors.type == _type(shape[1]):
                return table["time"].to_numpy(), vectors.flatten().to_numpy().reshape(shape)
        return None

    def write(self, name: str, time: Ints, vectors: NDArray[np.float32]) -> None:
        """Keep a part."""
        columns = {"time": pa.array(time), "embedding": as_lists(vectors)}
        write_parquet(self.folder / name, pa.table(columns, metadata={_OF: self.key.encode()}), self.private)

    @contextmanager
    def rows(self, shape: tuple[int, int]) -> Iterator[Rows]:
        """Give all rows of the file, to be filled in any order.

        Args:
            shape: Rows, and numbers in each.
        """
        make_folder(self.folder, self.private)
        path = self.folder / _ROWS
        remove(path)
        try:
            with naming(path), path.open("x+b") as file:
                n_bytes = max(1, 4 * shape[0] * shape[1])
                if hasattr(os, "posix_fallocate"):  # else a disk that is full would end the process, without an error
                    os.posix_fallocate(file.fileno(), 0, n_bytes)
                file.truncate(n_bytes)
                yield Rows(mmap.mmap(file.fileno(), n_bytes), shape)
        finally:
            remove(path)
            with suppress(OSError):  # parts that are done lie there
                self.folder.rmdir()

    def remove(self) -> None:
        """Remove all parts."""
        remove(self.folder)


class Rows:
    """Rows in a file, of which no more is in memory than there is room for.

    Args:
        held: The file.
        shape: Rows, and numbers in each.
    """

    def __init__(self, held: mmap.mmap, shape: tuple[int, int]) -> None:
        self._held = held
        count = shape[0] * shape[1]
        self.vectors = np.frombuffer(held, dtype=np.float32, count=count).reshape(shape)

    def let_go(self) -> None:
        """Leave to the file what was read and written."""
        self._held.flush()
        if hasattr(mmap, "MADV_DONTNEED"):
            self._held.madvise(mmap.MADV_DONTNEED)


def as_lists(vectors: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Return vectors, `(n, width)`, as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=_type(vectors.shape[1]))


def _type(width: int) -> pa.DataType:
    return pa.list_(pa.float32(), width)
