"""Where the rows of a batch lie in the shards, for messages that point at them; a value itself is never told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = tuple[str, int, int]
"""File of a shard, first row, last row."""
_MOST = 3


@dataclass(frozen=True)
class Source:
    """The rows of one batch, `n` runs of them."""

    runs: tuple[Rows, ...]
    """Where they lie, in the order of the batch."""
    broken: tuple[Rows, ...]
    """Those among them whose value is not finite."""
    farthest: Rows
    """The row whose finite value is the farthest from zero."""

    def __str__(self) -> str:
        """Say where to look first."""
        if self.broken:
            return f"not a number in {_said(self.broken)}"
        return f"{_said(self.runs)}; their values are numbers, the largest in {_said([self.farthest])}"


def find_source(runs: Iterable[tuple[str, int, int, NDArray[np.float32]]]) -> Source:
    """Look through a batch's rows.

    Args:
        runs: File, first row, one past the last, and the whole file's values.
    """
    rows: list[Rows] = []
    broken: list[Rows] = []
    farthest, most = ("", 0, 0), -1.0
    for file, first, stop, values in runs:
        if first == stop:
            continue
        rows.append((file, first, stop - 1))
        size = np.abs(values[first:stop])
        bad = np.flatnonzero(~np.isfinite(size))
        for piece in np.split(bad, np.flatnonzero(np.diff(bad) > 1) + 1) if len(bad) else ():
            broken.append((file, first + int(piece[0]), first + int(piece[-1])))
        size[bad] = -1.0
        at = int(size.argmax())
        if size[at] > most:
            farthest, most = (file, first + at, first + at), float(size[at])
    return Source(tuple(rows), tuple(broken), farthest)


def _said(rows: Sequence[Rows]) -> str:
    """Say some runs of rows: all of them if they are few."""
    said = [f"{file} row {a}" if a == b else f"{file} rows {a}-{b}" for file, a, b in rows[:_MOST]]
    more = f" and {len(rows) - _MOST} more runs of rows" if len(rows) > _MOST else ""
    return ", ".join(said) + more
