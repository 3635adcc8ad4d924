"""Documents -> bins of a token budget. Pure functions of lengths and seed."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from tawt.arrays import Ints
from tawt.chance import Salt, shuffled

N_PACKINGS = 16
"""Packings of one seed. Later epochs take them again, their bins in another order: so the number of batches before a
step follows from this many plans, however long the run."""


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """The bins of one epoch, in the order they are trained on: a sequence of arrays of document numbers."""

    documents: Ints
    """`(d,)`, all documents, bin after bin."""
    bounds: Ints
    """`(n_bins + 1,)`, where each bin starts in `documents`, and d."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, i: int) -> Ints:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.documents[self.bounds[i] : self.bounds[i + 1]]

    def __iter__(self) -> Iterator[Ints]:
        return (self[i] for i in range(len(self)))


def best_fit(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Pack documents in the order they come, each into the fullest bin that still takes it.

    A document longer than the budget has a bin to itself. `O(n log n)`.

    Source: Johnson 1973, Near-optimal bin packing algorithms.

    Args:
        lengths: Tokens of each document.
        budget: Tokens of a bin.

    Returns:
        For each bin the numbers of its documents.
    """
    bins: list[list[int]] = []
    rooms: list[int] = []  # the distinct free spaces, ascending
    waiting: dict[int, list[list[int]]] = {}  # free space -> the bins that have it
    for document, length in enumerate(lengths):
        at = bisect_left(rooms, length)
        if at == len(rooms):
            chosen: list[int] = []
            bins.append(chosen)
            room = budget - length
        else:
            room = rooms[at]
            chosen = waiting[room].pop()
            if not waiting[room]:
                del waiting[room], rooms[at]
            room -= length
        chosen.append(document)
        if room > 0:
            if room not in waiting:
                waiting[room] = []
                insort(rooms, room)
            waiting[room].append(chosen)
    return bins


def next_fit(lengths: Ints, budget: int) -> EpochPlan:
    """Pack documents in the order they come: a bin is closed when the next one does not fit."""
    bounds, room = [0], budget
    for document, length in enumerate(lengths.tolist()):
        if length > room and document > bounds[-1]:
            bounds.append(document)
            room = budget
        room -= length
    return EpochPlan(np.arange(len(lengths)), np.array([*bounds, len(lengths)] if len(lengths) else [0]))


def plan_epoch(lengths: Ints, seed: int, epoch: int, budget: int) -> EpochPlan:
    """Pack every document once: best fit over the shuffled documents, then the bins shuffled.

    Shuffled and not longest first: that would fill bins hardly better (99.97 % against 99.85 % at lognormal
    lengths) and with documents of one length each, a batch of short records after a batch of long ones.

    Args:
        lengths: `(d,)`, tokens of each document.
        seed: Of the run.
        epoch: Passes before this one; epochs `N_PACKINGS` apart share their bins.
        budget: Tokens of a bin.
    """
    order = shuffled(len(lengths), Salt.DOCUMENTS, seed, epoch % N_PACKINGS)
    bins = best_fit(lengths[order].tolist(), budget)
    bins = [bins[i] for i in shuffled(len(bins), Salt.BINS, seed, epoch)]
    bounds = np.cumsum([0, *map(len, bins)], dtype=np.int64)
    return EpochPlan(order[np.fromiter(chain.from_iterable(bins), np.int64, len(order))], bounds)
