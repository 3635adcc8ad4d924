"""One way through the documents of a split, and what was decided of each beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tawt.arrays import Ints
from tawt.batching.at_times import AtTimes
from tawt.batching.left import Left
from tawt.batching.packing import EpochPlan
from tawt.batching.windows import Documents, Windows

ROWS = 1 << 18
"""Rows that are looked through at once for what is left of them."""


@dataclass(frozen=True, eq=False)
class Pass:
    """One way through documents, batch by batch."""

    documents: Documents
    plan: EpochPlan
    """Which documents each batch holds."""
    windows: Windows
    """Which rows of its subject each document holds."""
    left: Left | None = None
    """What is left of them; None = all."""
    packing: int | None = None
    """See `HostBatch`."""
    at: AtTimes | None = None
    """The documents, where prediction times were asked for or drawn; None = those of windows."""

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, i: int) -> tuple[Ints, Windows]:
        """Return the subjects of batch `i`, and their windows."""
        chosen = self.plan[i]
        return self.documents.subjects[chosen], self.windows.of(chosen)

    def told(self, i: int) -> dict[str, Any]:
        """Return what batch `i` is told of what was drawn before it was packed."""
        if self.left is None:
            return {}
        chosen = self.plan[i]
        return {"end": self.left.end[chosen], "is_cut": self.left.is_cut[chosen], "packing": self.packing}


def in_parts(lengths: Ints) -> Iterator[Ints]:
    """Yield the numbers of documents, `(d,)` rows long, in runs of about `ROWS` rows."""
    rows = np.cumsum(lengths)
    ends = np.searchsorted(rows, np.arange(ROWS, lengths.sum() + ROWS, ROWS), side="right")
    yield from (np.arange(a, b) for a, b in pairwise(np.unique([0, *ends, len(lengths)]).tolist()))
