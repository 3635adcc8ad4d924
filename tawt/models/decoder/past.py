"""What each event of whole records is told of those before it, of all events at once; `Progress` tells the same event
by event, and tests hold the two to one another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.dataset import US_PER_HOUR
from tawt.models.decoder.gaps import US_PER_MINUTE
from tawt.models.decoder.places import level
from tawt.models.decoder.schedule import Schedule
from tawt.models.time_encoding import MINUTES

NEVER = -(1 << 62)
"""us: no time; a record may begin before the moment that times count from."""
Whole = NDArray[np.integer]


def last_times(data_type: Whole, time: Ints, bounds: Ints, told: Ints) -> tuple[Ints, Ints]:
    """Return when each of some data_types came last before each of `n` triplets, and behind the last of each document.

    Args:
        data_type: `(n,)`, of documents one after the other.
        time: `(n,)`, of each.
        bounds: `(d + 1,)`, where documents begin and end.
        told: `(r,)`, the data_types.

    Returns:
        `(n, r)` and `(d, r)`; `NEVER` where there is none in the document.
    """
    n, r = len(data_type), len(told)
    column = np.full(max(int(told.max(initial=-1)), int(data_type.max(initial=-1))) + 1, r)
    column[told] = np.arange(r)
    last = np.zeros((n + 1, r + 1), dtype=np.int32)
    last[np.arange(1, n + 1), column[data_type]] = np.arange(1, n + 1)
    last = np.maximum.accumulate(last, axis=0)[:, :r]
    first = bounds[:-1]

    def when(rows: NDArray[np.int32], begins: Ints) -> Ints:
        return np.where(rows > begins[:, None], time[np.maximum(rows - 1, 0)] if n else NEVER, NEVER)

    return when(last[:-1], first.repeat(np.diff(bounds))), when(last[bounds[1:]], first)


def hours_since(came: Ints, time: Ints) -> NDArray[np.float32]:
    """Return hours from when data_types came to times, `(m, r)` and `(m,)` -> `(m, r)`; -1 where they never did."""
    return np.where(came > NEVER, np.maximum(time[:, None] - came, 0) / US_PER_HOUR, -1).astype(np.float32)


def minute_of(came: Ints, origin: Ints) -> NDArray[np.uint8]:
    """Return the minute of the hour, by the clock, at which data_types came, `(m, r)`, where times count from the
    origin, `(m,)`; any where they never did."""
    minute = (origin[:, None] + np.where(came > NEVER, came, 0)) // US_PER_MINUTE % MINUTES
    return minute.astype(np.uint8)


def last_of_type(data_type: Whole, document: Whole) -> Ints:
    """Return `(n,)`, place of the one of the same data_type before each in its document; -1 where there is none."""
    order, opens = _by_type(data_type, document)
    last = np.empty(len(order), dtype=np.int64)
    last[order] = np.where(opens, -1, np.roll(order, 1))
    return last


def numbers_before(rank: NDArray[np.float32], data_type: Whole, document: Whole) -> tuple[Tensor, Tensor]:
    """Return what each of `n` numbers is told of those of its data_type before it in its document.

    Args:
        rank: `(n,)`, of each among the numbers of its data_type.
        data_type: `(n,)`, of documents one after the other.
        document: `(n,)`.

    Returns:
        `(n,)` each: the rank of the one before it, -1 where there is none, and the `level` of all before it.
    """
    order, opens = _by_type(data_type, document)
    last = np.empty(len(order), dtype=np.float32)
    last[order] = np.where(opens, -1, rank[np.roll(order, 1)])
    so_far, n = _so_far(rank, order, opens)
    return torch.from_numpy(last), level(torch.from_numpy(so_far), torch.from_numpy(n))


def numbers_of_others(rank: NDArray[np.float32], data_type: Whole, document: Whole, told: Ints) -> Tensor:
    """Return what each of `n` numbers is told of those of some data_types before it, `(n, 2, r)`, see `Others`.

    Args:
        rank: `(n,)`, as in `numbers_before`.
        data_type: `(n,)`, of documents one after the other.
        document: `(n,)`.
        told: `(r,)`, the data_types.
    """
    so_far, n = _so_far(rank, *_by_type(data_type, document))
    aside = rank - np.float32(0.5)
    levels = level(torch.from_numpy(so_far + aside), torch.from_numpy(n + 1)).numpy()
    bounds = np.append(np.unique(document, return_index=True)[1], len(document))
    at, _ = last_times(data_type, np.arange(len(document)), bounds, told)
    own = np.maximum(at, 0)
    return torch.from_numpy(np.stack([np.where(at > NEVER, x[own], np.float32(0)) for x in (aside, levels)], 1))


def marks_before(document: Whole, minutes: Ints, later: Bools, opening: Bools, asked: Ints, now: Tensor) -> Tensor:
    """Return what is told of each minute of the hour before some triplets, see `Schedule.marks`.

    Args:
        document: `(n,)`, of all triplets.
        minutes: `(n,)`, of each by the clock.
        later: `(n,)`, which of them open a later moment.
        opening: `(n,)`, which open the first one of their document: before it there is none, and all marks are 0.
        asked: `(m,)`, places of those that are told, each of which opens a moment.
        now: `(m,)`, minutes of the moment before each.
    """
    moments = later | opening
    own = np.flatnonzero(moments)
    schedule = Schedule.of_moments(document[own].astype(np.int64), minutes[own])
    before = torch.from_numpy((np.cumsum(moments) - 2)[asked])
    marks = schedule.of(before.clamp_min(0)).marks(now)
    return marks.masked_fill_(torch.from_numpy(opening[asked])[:, None, None], 0.0)


def _so_far(rank: NDArray[np.float32], order: Ints, opens: Bools) -> tuple[Floats, Ints]:
    """Return the sum of `rank - 0.5` of the numbers of the same data_type before each of `n`, and how many they are."""
    first = np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))
    total = np.concatenate([[0.0], np.cumsum(rank[order] - 0.5, dtype=np.float64)])
    so_far: Floats = np.empty(len(order))
    n = np.empty(len(order), dtype=np.int64)
    so_far[order], n[order] = total[:-1] - total[first], np.arange(len(order)) - first
    return so_far, n


def _by_type(data_type: Whole, document: Whole) -> tuple[Ints, Bools]:
    """Return an order by document and data_type, within these as they stand, and which are the first of theirs."""
    order = np.lexsort((data_type, document))
    opens = np.ones(len(order), dtype=np.bool_)
    opens[1:] = (data_type[order][1:] != data_type[order][:-1]) | (document[order][1:] != document[order][:-1])
    return order, opens
