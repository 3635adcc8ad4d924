"""What of records tells a copy: which data_types came, in which order, when each came, and with which values."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints, Words
from tawt.dataset.records import Cohort, Records

ALIKE, WITHIN = 0.95, 0.01
"""Share of events in common from which records are near copies, and how far their times may lie apart, of the time in
which nine of ten of them lie."""
_AT_ONCE, _MOST_RECORDS = 1 << 22, 1 << 11
_FARTHEST = 1e4
"""Times that lie so many times that time away are all alike."""
_APART = 3 * _FARTHEST
"""How far times of two groups lie apart on one line."""
_ROUNDED = 1e-6
_ROW = np.dtype([("data_type", "<i4"), ("gap", "<i8"), ("value", "<f4"), ("token", "<i4"), ("status", "u1")])


@dataclass(frozen=True, eq=False)
class Traces:
    """Events of `n` records, `k` in all, record by record: its data_types ascending, each in order of time."""

    bounds: Ints
    """`(n + 1,)`, where each record starts, and k."""
    kind: NDArray[np.int32]
    """`(k,)`, twice the data_type, and one more where it is timed."""
    time: Ints
    """`(k,)`, us since the record's first timed event; 0 of a static."""
    span: Ints
    """`(n,)`, us from the first timed event to the last."""
    begin: Ints
    """`(n,)`, us since the first timed event at which these begin."""
    most: Ints
    """`(n,)`, us in which nine of ten timed events lie, those in the middle; the span where that is 0. So a birth
    decades before a stay does not make its hours alike."""
    order: Words
    """`(n,)`, hash of the data_types of all events in their order."""
    exact: Words
    """`(n,)`, hash of the data_types, times and values of all events."""

    @property
    def n(self) -> int:
        """Records."""
        return len(self.span)

    @property
    def lengths(self) -> Ints:
        """`(n,)`, events of each."""
        return np.diff(self.bounds)

    @property
    def record(self) -> Ints:
        """`(k,)`, number of each one's record."""
        return np.repeat(np.arange(self.n), self.lengths)

    @property
    def n_types(self) -> int:
        """One more than the greatest data_type."""
        return 1 + (int(self.kind.max(initial=0)) >> 1)

    def kinds(self) -> tuple[Ints, Ints]:
        """Return records and their data_types, each pair once, in order."""
        record, data_type = self.record, self.kind >> 1
        new = _first(record, data_type)
        return record[new], data_type[new].astype(np.int64)

    def prevalence(self, size: int) -> NDArray[np.float64]:
        """Return `(size,)`, share of records that have each data_type."""
        found: NDArray[np.float64] = np.bincount(self.kinds()[1], minlength=size)[:size] / max(1, self.n)
        return found

    def has(self, columns: Ints) -> Bools:
        """Return `(n, c)`, which records have each of some data_types."""
        record, data_type = self.kinds()
        place = np.full(1 + max(int(columns.max(initial=0)), int(data_type.max(initial=0))), -1)
        place[columns] = np.arange(len(columns))
        own, found = place[data_type], np.zeros((self.n, len(columns)), dtype=np.bool_)
        found[record[own >= 0], own[own >= 0]] = True
        return found

    def take(self, subjects: Ints) -> Traces:
        """Return those of some records, `(m,)` numbers, in that order."""
        bounds, rows = _rows(self, subjects)
        own = (getattr(self, name)[subjects] for name in ("span", "begin", "most", "order", "exact"))
        return Traces(bounds, self.kind[rows], self.time[rows], *own)


def traces_of(cohort: Cohort) -> Traces:
    """Go through a cohort once; what is kept of an event is its data_type and its time."""
    parts = [_of_part(part) for part in cohort.parts()]
    if not parts:
        words, none = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
        return Traces(np.zeros(1, dtype=np.int64), none.astype(np.int32), none, none, none, none, words, words)
    lengths = np.concatenate([part.lengths for part in parts])
    columns = (np.concatenate([getattr(part, name) for part in parts])
               for name in ("kind", "time", "span", "begin", "most", "order", "exact"))  # fmt: skip
    return Traces(np.concatenate([[0], np.cumsum(lengths)]), *columns)


def _of_part(part: Records) -> Traces:
    s, who = part.n_subjects, part.subject
    last, begin = np.zeros(s, dtype=np.int64), np.zeros(s, dtype=np.int64)
    timed = np.flatnonzero(~part.is_static)
    last[who[timed]] = part.time[timed]  # rows are in order of time: the last one stays, and of the reverse the first
    begin[who[timed[::-1]]] = part.time[timed[::-1]]
    time = np.where(part.is_static, 0, part.time - begin[who])
    kind = (2 * part.data_type + ~part.is_static).astype(np.int32)
    by_kind = np.lexsort((time, kind, who))
    # what came at one moment has no order of its own
    settled = np.lexsort((part.value_token, part.value, part.data_type, time, ~part.is_static, who))
    rows = np.empty(len(time), dtype=_ROW)
    for name, column in (("data_type", kind), ("gap", time), ("value", part.value + 0.0), ("token", part.value_token),
                         ("status", part.value_status)):  # fmt: skip
        rows[name] = column[settled]
    hashes = (_hashes(part.bounds, column) for column in (part.data_type.astype("<i4"), rows))
    return Traces(part.bounds, kind[by_kind], time[by_kind], last - begin, *_most(part), *hashes)


def _most(part: Records) -> tuple[Ints, Ints]:
    """See `Traces.begin` and `most`."""
    n_static = np.bincount(part.subject[part.is_static], minlength=part.n_subjects)
    first, n = part.bounds[:-1] + n_static, part.lengths - n_static
    ends = [first + rounded(share * (n - 1)).astype(np.int64) for rounded, share in ((np.floor, 0.05), (np.ceil, 0.95))]
    early, late, begin, end = (
        part.time[np.clip(at, 0, max(len(part.time) - 1, 0))] if len(part.time) else np.zeros_like(n)
        for at in (*ends, first, first + n - 1)
    )
    most = np.where(late > early, late - early, end - begin)
    return np.where(n > 0, early - begin, 0), np.where(n > 0, most, 0)


def _hashes(bounds: Ints, rows: NDArray[np.generic]) -> Words:
    """Return a hash of the rows of each record."""
    held = memoryview(rows.tobytes())
    ends = (bounds * rows.itemsize).tolist()
    words = b"".join(blake2b(held[a:b], digest_size=8).digest() for a, b in pairwise(ends))
    return np.frombuffer(words, dtype=np.uint64)


def _first(*columns: NDArray[np.integer]) -> Bools:
    """Return which rows are the first of their group, of columns that are ordered."""
    new = np.ones(len(columns[0]), dtype=np.bool_)
    new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return new


def _rows(traces: Traces, subjects: Ints) -> tuple[Ints, Ints]:
    """Return where some records start when they lie one after the other, and the numbers of their events."""
    lengths = traces.lengths[subjects]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    return bounds, np.repeat(traces.bounds[:-1][subjects] - bounds[:-1], lengths) + np.arange(bounds[-1])


def copies(records: Traces, among: Traces | None = None) -> Bools:
    """Return `(n,)`, which records are copies of one among others, or nearly so.

    Exactly the same data_types in the same order; or 95 in 100 of the events of the longer record have an event of the
    other to themselves that is of the same data_type and came at the same time, to 1 % of the longer of the times in
    which nine of ten of their events lie. Statics have no time. Times are laid beside one another by the first event,
    by the last, or by when half of the data_types first came, whichever fits: an event may be missing or added.

    Args:
        records: `n` of them.
        among: The others, none of which is one of the records; None = the other records.
    """
    if among is None:
        among = records
        _, number, n = np.unique(records.order, return_inverse=True, return_counts=True)
        found: Bools = n[number] > 1
        itself = np.arange(records.n)
    else:
        found, itself = np.isin(records.order, among.order), np.full(records.n, -1)
    left = np.flatnonzero(~found)
    left, there = left[np.argsort(records.lengths[left])], np.argsort(among.lengths)
    columns = _Columns(records, among)
    step = min(_MOST_RECORDS, max(1, _AT_ONCE // max(1, columns.n)))
    for a in range(0, len(left), step):
        own = left[a : a + step]
        lengths = records.lengths[own]
        mine = columns.table(records, own)
        low, high = np.searchsorted(among.lengths[there], [ALIKE * lengths[0] - 1, lengths[-1] / ALIKE + 1])
        for b in range(low, high, step):
            others = there[b : min(high, b + step)]
            most = np.maximum(lengths[:, None], among.lengths[others])
            row, other = np.nonzero(mine @ columns.table(among, others).T >= ALIKE * most - _ROUNDED)
            row, other = own[row], others[other]
            is_other = itself[row] != other
            _settle(found, records, among, row[is_other], other[is_other])
    return found


class _Columns:
    """A column for the first, the second ... event of each data_type: what two records have of them in common is how
    many events they share, as often as each comes."""

    def __init__(self, one: Traces, other: Traces) -> None:
        self.step = 1 + max(int(traces.lengths.max(initial=0)) for traces in (one, other))
        self.words = np.intersect1d(self._words(one), self._words(other))

    @property
    def n(self) -> int:
        """Columns."""
        return len(self.words)

    def _words(self, traces: Traces) -> Ints:
        starts = np.flatnonzero(_first(traces.record, traces.kind))
        nth = np.arange(len(traces.kind)) - np.repeat(starts, np.diff(starts, append=len(traces.kind)))
        return traces.kind.astype(np.int64) * self.step + nth

    def table(self, traces: Traces, subjects: Ints) -> NDArray[np.float32]:
        """Return `(m, n)`, 1 where a record has an event."""
        own = traces.take(subjects)
        words, found = self._words(own), np.zeros((own.n, self.n), dtype=np.float32)
        if self.n:
            at = np.minimum(np.searchsorted(self.words, words), self.n - 1)
            there = self.words[at] == words
            found[own.record[there], at[there]] = 1
        return found


def _settle(found: Bools, records: Traces, among: Traces, row: Ints, other: Ints) -> None:
    """Hold the times of pairs beside one another, some at a time, until each row is known to be a copy or none."""
    while len(row):
        ends = np.cumsum(records.lengths[row] + among.lengths[other])
        n = max(1, int(np.searchsorted(ends, _AT_ONCE)))
        pairs = records.take(row[:n]), among.take(other[:n])
        found[row[:n][_same_times(*pairs)]] = True
        keep = ~found[row[n:]]
        row, other = row[n:][keep], other[n:][keep]


def _same_times(mine: Traces, theirs: Traces) -> Bools:
    """Return `(p,)`, of which pairs of records the times are alike."""
    scale = np.maximum(np.maximum(mine.most, theirs.most), 1).astype(np.float64)
    size = 1 + max(int(one.kind.max(initial=0)) for one in (mine, theirs))
    sides = [
        (one.record * size + one.kind, (one.time - one.begin[one.record] * (one.kind & 1)) / scale[one.record])
        for one in (mine, theirs)
    ]
    enough = ALIKE * np.maximum(mine.lengths, theirs.lengths) - _ROUNDED
    found = np.zeros(mine.n, dtype=np.bool_)
    by_first, by_last = mine.begin - theirs.begin, theirs.span - theirs.begin - (mine.span - mine.begin)
    for shift in (by_first / scale, by_last / scale, _by_firsts(mine, theirs, sides)):
        moved = sides[0][1] + np.where(mine.kind & 1, shift[mine.record], 0)
        lines = [
            np.asarray(group * _APART + np.clip(at, -_FARTHEST, _FARTHEST), dtype=np.float64)
            for group, at in ((sides[0][0], moved), sides[1])
        ]
        near = (np.bincount(one.record, _distance(*both) <= WITHIN + _ROUNDED, one.n)
                for one, both in ((mine, lines), (theirs, lines[::-1])))  # fmt: skip
        for pair in np.flatnonzero(~found & (np.minimum(*near) >= enough)):
            own, other = (slice(*one.bounds[pair : pair + 2]) for one in (mine, theirs))
            found[pair] = _n_together(lines[0][own], lines[1][other]) >= enough[pair]
    return found


def _by_firsts(mine: Traces, theirs: Traces, sides: list[tuple[Ints, Floats]]) -> Floats:
    """Return how much later half of the data_types first came in the other record of each pair, at least; `(p,)`."""
    first = [
        np.flatnonzero(_first(group) & (one.kind & 1 == 1))
        for one, (group, _) in zip((mine, theirs), sides, strict=True)
    ]
    (own, mine_at), (others, theirs_at) = (
        (group[rows], at[rows]) for rows, (group, at) in zip(first, sides, strict=True)
    )
    _, a, b = np.intersect1d(own, others, assume_unique=True, return_indices=True)
    record, late = mine.record[first[0]][a], theirs_at[b] - mine_at[a]
    late, n = late[np.lexsort((late, record))], np.bincount(record, minlength=mine.n)
    found = np.zeros(mine.n)
    found[n > 0] = late[(np.cumsum(n) - n + n // 2)[n > 0]]
    return found


def _n_together(line: Floats, other: Floats) -> int:
    """Return how many points of a line have one of another to themselves, near enough."""
    a, b = line.tolist(), other.tolist()
    i = j = n = 0
    while i < len(a) and j < len(b):
        apart = a[i] - b[j]
        together = abs(apart) <= WITHIN + _ROUNDED
        n += together
        i += together or apart < 0
        j += together or apart > 0
    return n


def _distance(line: Floats, other: Floats) -> Floats:
    """Return how far each of some points lies from the nearest of others, which ascend."""
    ends = np.concatenate([[-np.inf], other, [np.inf]])
    at = np.searchsorted(other, line)
    return np.minimum(line - ends[at], ends[at + 1] - line)
