"""When invented records begin: in the years, and at the hours, in which those of train do, at no real one's moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.chance import Salt, draw, uniform
from tawt.contracts.cells import SMALL_CELL

_US = 1_000_000
_DAY = 86_400 * _US
_FINE = (_DAY, 3600 * _US, 60 * _US, _US, 1)


@dataclass(frozen=True, eq=False)
class Origins:
    """Where origins lie, in steps of at least a year that each hold more than 10 people."""

    starts: Ints
    """`(k + 1,)`, us since 1970-01-01, where each step begins, and the end of the last."""
    share: Floats
    """`(k,)`, of people up to and with each step."""
    hours: Floats
    """`(24,)`, share of people up to and with each hour of the day."""
    fine: int
    """us, of which all are whole multiples: days, hours, minutes, seconds."""

    @classmethod
    def of(cls, origins: Ints) -> Origins:
        """Look at the origins of train, `(s,)`; one that all have in common, an anchor, is that of all.

        Years of few people are told with their neighbours, hours of few people are none. The first year is that of
        the eleventh oldest, the last that of the eleventh youngest: who is older or younger counts as these. Of so few
        people in all that nothing may be told, records begin in 2000.
        """
        kinds, n = np.unique(origins, return_counts=True)
        if len(kinds) == 1 and (n > SMALL_CELL).all():
            return cls(np.array([kinds[0], kinds[0] + 1]), np.ones(1), np.ones(24), 0)
        year = origins.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64)
        if len(origins) <= SMALL_CELL:
            year, origins = np.full(SMALL_CELL + 1, 30), np.zeros(1, dtype=np.int64)
        low, high = np.sort(year)[[SMALL_CELL, -SMALL_CELL - 1]]
        low, high = (low, high) if low <= high else ((low + high) // 2,) * 2
        years, people = np.unique(year.clip(low, high), return_counts=True)
        first, counts, held = [], [], 0
        for one, number in zip(years.tolist(), people.tolist(), strict=True):
            if not held:
                first.append(one)
            held += number
            if held > SMALL_CELL:
                counts.append(held)
                held = 0
        if held:  # the last years are told with those before
            counts[-1] += held
            del first[len(counts) :]
        starts = np.array([*first, years[-1] + 1]).astype("datetime64[Y]").astype("datetime64[us]").astype(np.int64)
        hours = np.bincount(origins % _DAY // (3600 * _US), minlength=24)
        hours = np.where(hours > SMALL_CELL, hours, 0)
        hours = hours if hours.any() else np.ones(24, dtype=np.int64)
        fine = next(step for step in _FINE if not (origins % step).any())
        return cls(starts, np.cumsum(counts) / sum(counts), np.cumsum(hours) / hours.sum(), fine)

    def in_year(self, year: int) -> Origins:
        """Return the same of one year; of an anchor, which is nobody's birth, the anchor."""
        ends = np.array([year - 1970, year - 1969]).astype("datetime64[Y]").astype("datetime64[us]").astype(np.int64)
        return replace(self, starts=ends, share=np.ones(1)) if self.fine else self

    def draw(self, numbers: Ints, seed: int) -> Ints:
        """Return the moment of each record, `(n,)` us since 1970-01-01: a function of its number and the seed."""
        if not self.fine:
            return np.full(len(numbers), self.starts[0])
        step, place, hour, rest = (uniform(draw(numbers, Salt.ORIGIN, seed, what)) for what in range(4))
        own = np.searchsorted(self.share, step, side="right").clip(max=len(self.share) - 1)
        start, end = self.starts[own], self.starts[own + 1]
        day = start + (place * ((end - start) // _DAY)).astype(np.int64) * _DAY
        if self.fine == _DAY:
            return day
        at = np.searchsorted(self.hours, hour, side="right").clip(max=23) * 3600 * _US
        found: Ints = day + at + (rest * (3600 * _US // self.fine)).astype(np.int64) * self.fine
        return found
