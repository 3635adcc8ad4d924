"""Which rows of the shards windows hold: of a moment that one cuts, those that a draw over the rows picks.

Where a window cuts is counted in rows, and simultaneous rows have no order. So those of a cut moment are put into one
that hangs on what they are alone; windows side by side share them out among themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tawt.arrays import Ints
from tawt.batching.chance import mixed, stir, uniform
from tawt.batching.windows import Windows
from tawt.dataset.reader import Split
from tawt.dataset.shard import Columns

Rows = slice | Ints
"""Rows of a shard, ascending."""
_CONTENT = ("available_time", "data_type", "value_token", "value", "value_status")


class _Moment(NamedTuple):
    """Simultaneous rows of which a window takes some."""

    columns: Columns
    """Of their shard."""
    subject_id: int
    rows: slice
    skip: int
    """How many come before those that are taken."""
    taken: Ints
    """Where to write down which are."""


def window_rows(split: Split, subjects: Ints, windows: Windows) -> list[tuple[int, Rows]]:
    """Return the rows of each window: number of the shard, and rows in it.

    Args:
        split: Where the subjects are.
        subjects: `(d,)`, numbers of those whose windows they are.
        windows: What they would take, were simultaneous rows in the order of the file.
    """
    shard, first, length = split.shard[subjects].tolist(), split.starts[subjects], split.lengths[subjects]
    rows: list[Rows] = [*map(slice, first.tolist(), (first + length).tolist())]
    moments: list[_Moment] = []
    at = np.flatnonzero(windows.n_static + windows.n_timed < length)
    ours, first = subjects[at], first[at]
    columns = (
        at, split.subject_ids[ours], first, first + split.n_static[ours], first + length[at], windows.n_static[at],
        first + windows.start[at], windows.n_timed[at],
    )  # fmt: skip
    for i, subject, low, timed, stop, n_static, a, n_timed in zip(*(c.tolist() for c in columns), strict=True):
        of_shard, before, b = split.shards[shard[i]], a - n_static, a + n_timed
        rows[i] = own = np.arange(before, b)
        if n_static == timed - low:
            own[:n_static] -= before - low
        else:
            moments.append(_Moment(of_shard, subject, slice(low, timed), 0, own[:n_static]))
        time = of_shard.timestamp
        for edge, end in ((a, timed), (b, stop)):
            if a < b and edge != end and time[edge - 1] == time[edge]:
                timed_ones, moment = time[timed:stop], time[edge]
                low = timed + int(timed_ones.searchsorted(moment))
                high = timed + int(timed_ones.searchsorted(moment, "right"))
                begin, a = max(a, low), min(b, high)
                taken = own[begin - before : a - before]
                moments.append(_Moment(of_shard, subject, slice(low, high), begin - low, taken))
    if moments:
        _take(moments)
    return [*zip(shard, rows, strict=True)]


def _take(moments: list[_Moment]) -> None:
    """Write down which rows are taken of some moments, in an order drawn by what the rows are."""
    low, size, skip, n, subject = np.array(
        [(m.rows.start, m.rows.stop - m.rows.start, m.skip, len(m.taken), m.subject_id) for m in moments]
    ).T
    before, ends = size.cumsum() - size, n.cumsum()
    content = [np.concatenate([getattr(m.columns, name)[m.rows] for m in moments]) for name in _CONTENT]
    chance = uniform(stir(mixed(subject.repeat(size), *content, content[0] >> 32)))
    order = (np.arange(len(moments)).repeat(size) + chance).argsort(kind="stable")
    rows = order[np.arange(ends[-1]) + (before + skip - ends + n).repeat(n)]
    rows.sort()
    rows += (low - before).repeat(n)
    start = 0
    for moment, stop in zip(moments, ends.tolist(), strict=True):
        moment.taken[:] = rows[start:stop]
        start = stop
