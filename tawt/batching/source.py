"""Where the rows of a batch lie in the shards, for messages that point at them; a value itself is never told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints

Run = tuple[str, int, int]
"""File of a shard, first row, last row."""
_MOST = 3


@dataclass(frozen=True)
class Source:
    """The rows of one batch, `n` runs of them."""

    runs: tuple[Run, ...]
    """Where they lie, in the order of the batch."""
    broken: tuple[Run, ...]
    """Those among them whose value is not finite."""
    farthest: Run
    """The row whose finite value is the farthest from zero."""

    def __str__(self) -> str:
        """Say where to look first."""
        if self.broken:
            return f"not a number in {_said(self.broken)}"
        return f"{_said(self.runs)}; their values are numbers, the largest in {_said([self.farthest])}"


def find_source(parts: Iterable[tuple[str, slice, NDArray[np.float32]]]) -> Source:
    """Look through a batch's rows.

    Args:
        parts: File, rows of it, and the whole file's values.
    """
    runs: list[Run] = []
    broken: list[Run] = []
    farthest, most = ("", 0, 0), -1.0
    for file, rows, values in parts:
        at = np.arange(rows.start, rows.stop)
        if not len(at):
            continue
        runs.append((file, rows.start, rows.stop - 1))
        size = np.abs(values[at])
        bad = ~np.isfinite(size)
        broken += _runs(file, at[bad])
        size[bad] = -1.0
        largest = int(size.argmax())
        if size[largest] > most:
            farthest, most = (file, int(at[largest]), int(at[largest])), float(size[largest])
    return Source(tuple(runs), tuple(broken), farthest)


def _runs(file: str, rows: Ints) -> list[Run]:
    """Return ascending rows as runs of neighbours."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    return [(file, int(part[0]), int(part[-1])) for part in parts]


def _said(rows: Sequence[Run]) -> str:
    """Say some runs of rows: all of them if they are few."""
    said = [f"{file} row {a}" if a == b else f"{file} rows {a}-{b}" for file, a, b in rows[:_MOST]]
    more = f" and {len(rows) - _MOST} more runs of rows" if len(rows) > _MOST else ""
    return ", ".join(said) + more
