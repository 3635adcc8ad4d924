"""What of records tells a copy: which data_types came, in which order, and when each came."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints, Words
from tawt.dataset.records import Cohort, Records

JACCARD, WITHIN = 0.95, 0.01
"""Data_types in common from which records are near copies, and how far their times may lie apart, of the span."""
_AT_ONCE, _MOST_RECORDS = 1 << 22, 1 << 11


@dataclass(frozen=True, eq=False)
class Traces:
    """Of `n` records: the `k` distinct data_types of each, one after the other, and the order of all its events."""

    bounds: Ints
    """`(n + 1,)`, where each record starts, and k."""
    data_type: Ints
    """`(k,)`, ascending in each record."""
    times: NDArray[np.float32]
    """`(k, 2)`, time of its first event, and on average, as a share of the record's span; 0 of a static."""
    span: NDArray[np.float32]
    """`(n,)`, us from the first timed event to the last."""
    order: Words
    """`(n,)`, hash of the data_types of all events in their order."""

    @property
    def n(self) -> int:
        """Records."""
        return len(self.span)

    @property
    def record(self) -> Ints:
        """`(k,)`, number of each one's record."""
        return np.repeat(np.arange(self.n), np.diff(self.bounds))

    def prevalence(self, size: int) -> NDArray[np.float64]:
        """Return `(size,)`, share of records that have each data_type."""
        found: NDArray[np.float64] = np.bincount(self.data_type, minlength=size)[:size] / max(1, self.n)
        return found

    def has(self, columns: Ints, rows: slice | None = None) -> Bools:
        """Return `(m, c)`, which records have each of some data_types."""
        found: Bools = ~np.isnan(self.table(columns, rows)[..., 0])
        return found

    def table(self, columns: Ints, rows: slice | None = None) -> NDArray[np.float32]:
        """Return `(m, c, 2)`, when each of some data_types came, first and on average; NaN where it never did.

        Args:
            columns: `(c,)`, data_types.
            rows: Records; None = all.
        """
        start, stop, _ = (rows or slice(None)).indices(self.n)
        low, high = self.bounds[start], self.bounds[stop]
        size = 1 + max(int(columns.max(initial=0)), int(self.data_type.max(initial=0)))
        place = np.full(size, -1)
        place[columns] = np.arange(len(columns))
        own = place[self.data_type[low:high]]
        found = np.full((stop - start, len(columns), 2), np.nan, dtype=np.float32)
        there = own >= 0
        found[(self.record[low:high] - start)[there], own[there]] = self.times[low:high][there]
        return found

    def take(self, subjects: Ints) -> Traces:
        """Return those of some records, `(m,)` numbers, in that order."""
        lengths = np.diff(self.bounds)[subjects]
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.bounds[:-1][subjects] - bounds[:-1], lengths) + np.arange(bounds[-1])
        return Traces(bounds, self.data_type[rows], self.times[rows], self.span[subjects], self.order[subjects])


def traces_of(cohort: Cohort) -> Traces:
    """Go through a cohort once; what is kept is of the size of records times the data_types that each has."""
    parts = [_of_part(part) for part in cohort.parts()]
    if not parts:
        none = np.empty(0, dtype=np.float32)
        return Traces(
            np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64), none, none, np.empty(0, dtype=np.uint64)
        )
    lengths = np.concatenate([np.diff(part.bounds) for part in parts])
    return Traces(
        np.concatenate([[0], np.cumsum(lengths)]),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("data_type", "times", "span", "order")),
    )


def _of_part(part: Records) -> Traces:
    s = part.n_subjects
    last, begin = np.zeros(s), np.zeros(s)
    timed = np.flatnonzero(~part.is_static)
    who = part.subject
    last[who[timed]] = part.time[timed]  # rows are in order of time: the last one stays, and of the reverse the first
    begin[who[timed[::-1]]] = part.time[timed[::-1]]
    span = last - begin
    order = np.lexsort((part.time, part.data_type, who))
    key = np.stack([who[order], part.data_type[order]])
    new = np.ones(key.shape[1], dtype=np.bool_)
    new[1:] = (key[:, 1:] != key[:, :-1]).any(0)
    rows, starts = order[new], np.flatnonzero(new)
    share = (part.time - begin[who]) / np.maximum(span[who], 1)
    share[part.is_static] = 0
    mean = np.add.reduceat(share[order], starts) / np.diff(starts, append=len(order)) if len(rows) else share
    times = np.stack([share[rows], mean], 1).astype(np.float32)
    codes = part.data_type.astype("<i4")
    hashes = b"".join(blake2b(codes[a:b].tobytes(), digest_size=8).digest() for a, b in pairwise(part.bounds.tolist()))
    bounds = np.concatenate([[0], np.cumsum(np.bincount(who[rows], minlength=s))])
    return Traces(
        bounds, part.data_type[rows].astype(np.int64), times, span.astype(np.float32),
        np.frombuffer(hashes, dtype=np.uint64),
    )  # fmt: skip


def copies(records: Traces, among: Traces) -> Bools:
    """Return `(n,)`, which records are copies of one among others, or nearly so.

    Exactly the same data_types in the same order; or at least 95 in 100 of the data_types of both in common, of which
    as many came at the same time, first and on average, to 1 % of the span, and the spans are alike to 1 %.

    Args:
        records: `n` of them.
        among: The others, none of which is one of the records.
    """
    found: Bools = np.isin(records.order, among.order)
    columns = np.intersect1d(records.data_type, among.data_type)
    n_own, n_other = np.diff(records.bounds), np.diff(among.bounds)
    step = min(_MOST_RECORDS, max(1, _AT_ONCE // max(1, len(columns))))
    for a in range(0, records.n, step):
        own = slice(a, a + step)
        mine = records.table(columns, own)
        for b in range(0, among.n, step):
            other = slice(b, b + step)
            theirs = among.table(columns, other)
            common = (~np.isnan(mine[..., 0])).astype(np.float32) @ (~np.isnan(theirs[..., 0])).astype(np.float32).T
            either = n_own[own, None] + n_other[other] - common
            spans = records.span[own, None], among.span[other]
            near = (common >= JACCARD * either) & (common > 0)
            near &= np.abs(spans[0] - spans[1]) <= WITHIN * np.maximum(*spans)
            near[found[own]] = False
            found[own] |= _same_times(mine, theirs, *np.nonzero(near))
    return found


def _same_times(mine: NDArray[np.float32], theirs: NDArray[np.float32], row: Ints, other: Ints) -> Bools:
    """Return `(n,)`, which rows have a pair whose times are alike."""
    found = np.zeros(len(mine), dtype=np.bool_)
    step = max(1, _AT_ONCE // max(1, mine.shape[1]))
    for start in range(0, len(row), step):
        a, b = row[start : start + step], other[start : start + step]
        gap = np.abs(mine[a] - theirs[b]).max(2)
        alike = (gap <= WITHIN).sum(1) >= JACCARD * (~np.isnan(gap)).sum(1)
        found[a[alike]] = True
    return found
