"""Time as a record tells it: a gap in which nothing is recorded counts only so far.

Between birth and a first admission, or between two stays, years may pass without a record. A time drawn evenly over the
calendar would nearly always fall there; one drawn over the observed hours falls where something is known.
"""

from __future__ import annotations

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.batching.host import HostBatch
from tawt.contracts.dataset import US_PER_HOUR


class ObservedTime:
    """The observed hours of each document of a batch, from its first timed token on.

    Args:
        batch: Its documents.
        longest_gap: Hours of a gap that count.
    """

    def __init__(self, batch: HostBatch, longest_gap: float) -> None:
        self.longest_gap = longest_gap
        self.hours, self.timed = batch.hours, ~batch.is_static
        self.starts, self.document = batch.bounds[:-1], batch.document
        self.n = len(self.hours)
        self.first = np.minimum(batch.first_timed, self.n - 1)
        gap = np.diff(batch.time, prepend=0)
        gap[~self.timed] = 0
        gap[self.first] = 0
        longest = round(longest_gap * US_PER_HOUR)
        self.clock = self._since_first(np.minimum(gap, longest))
        # a gap that is too long to count whole tells nothing of the subject
        self.told = self._since_first(np.where(gap <= longest, gap, 0))

    def after(self, hours: float) -> Floats:
        """Return `(d,)`, the observed hour by which `hours` are told, long gaps aside; inf if they never are."""
        late = np.where(self.timed & (self.told >= hours), np.arange(self.n), self.n)
        at = np.minimum.reduceat(late, self.starts)
        there = at < self.n
        at = np.minimum(at, self.n - 1)
        return np.where(there, self.clock[at] - (self.told[at] - hours), np.inf)

    def of(self, hours: Floats) -> Floats:
        """Return `(d,)`, the observed hour of each document's calendar hour; -inf before its first timed token."""
        at, there = self._last(self.hours <= hours[self.document])
        return np.where(there, self.clock[at] + np.minimum(hours - self.hours[at], self.longest_gap), -np.inf)

    def calendar(self, observed: Floats) -> Floats:
        """Return `(d,)`, the calendar hour of each document's observed hour, which is not below 0."""
        at, _ = self._last(self.clock <= observed[self.document])
        return np.asarray(self.hours[at] + (observed - self.clock[at]))

    def _since_first(self, gap: Ints) -> Floats:
        """Return `(n,)`, hours. The sum runs over all documents, in whole microseconds: no neighbour rounds it."""
        total = np.cumsum(gap)
        return np.asarray((total - total[self.first][self.document]) / US_PER_HOUR)

    def _last(self, by_then: Bools) -> tuple[Ints, Bools]:
        """Return the last timed token of each document that is there by then, and whether there is one."""
        last = np.maximum.reduceat(np.where(self.timed & by_then, np.arange(self.n), -1), self.starts)
        return np.maximum(last, 0), last >= 0
