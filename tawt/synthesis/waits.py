"""How long it is to the next moment, as many people wait.

A gap that is one person's own tells who it is, above all that from birth to the first event. Of long ones the hour
after whole days stays, where many people have it: else who was born at midnight would be admitted at any hour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tawt.arrays import Bools, Ints, Words
from tawt.chance import Salt, draw, uniform
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.clock import STEPS, coarsest_step
from tawt.dataset.records import Cohort, Records
from tawt.dataset.scales import Scale
from tawt.synthesis.urns import Filling, gaps_of, row_words

_MOST_OF_SIZE = 1 << 12
"""Gaps that a scale is made of, of each size: from one power of two to the next."""
_HOUR, _DAY, _WEEK = (hours * US_PER_HOUR for hours in (1, 24, 168))


@dataclass(frozen=True, eq=False)
class Waits:
    """Scales of gaps: to the first moment from where times count from, and to each later one."""

    scales: tuple[Scale, Scale]
    """Of us."""
    steps: tuple[int, int]
    """us, of which gaps are whole multiples."""
    hours: tuple[Bools, Bools]
    """`(24,)` each, whether many people have gaps of weeks that end so many hours after whole days."""

    def anew(self, part: Records, words: Words) -> Records:
        """Return records with other times, in the same order: gaps that few people share become others nearby.

        Args:
            part: Of people.
            words: `(n,)`, random, of its triplets.
        """
        timed = np.flatnonzero(~part.is_static)
        first, gap = gaps_of(part)
        first, gap = first[timed], gap[timed]
        told, chance = gap.copy(), uniform(draw(words[timed], Salt.WAITS))
        for later, (scale, step, hours) in enumerate(zip(self.scales, self.steps, self.hours, strict=True)):
            at = np.flatnonzero(~first & (gap > 0) if later else first)
            own = gap[at].astype(np.float64)
            found = np.round(scale.anew(own, chance[at]) / step).astype(np.int64) * step
            hour = gap[at] % _DAY // _HOUR
            by_hour = (gap[at] >= _WEEK) & (found >= _WEEK) & hours[hour] & (_HOUR % step == 0)
            found = np.where(by_hour, found // _DAY * _DAY + hour * _HOUR + found % _HOUR, found)
            told[at] = np.where(scale.has_common(own), gap[at], np.maximum(found, step) if later else found)
        total = np.cumsum(told)
        begins = np.flatnonzero(first)
        before = (total - told)[begins]
        time = np.zeros_like(part.time)
        time[timed] = total - np.repeat(before, np.diff(np.append(begins, len(timed))))
        return replace(part, time=time)


def fit_waits(cohort: Cohort) -> Waits:
    """Look how long people wait, `Waits`."""
    samples = Filling(_MOST_OF_SIZE)
    multiples, n, apart, n_before = np.zeros((2, len(STEPS)), dtype=np.int64), np.zeros(2, np.int64), [0, 0], 0
    for part in cohort.parts():
        first, gap = gaps_of(part)
        which = np.where(first, 0, 1)
        counts = ~part.is_static & (first | (gap > 0))
        for i in range(2):
            own = gap[counts & (which == i)]
            n[i] += np.count_nonzero(own)
            multiples[i] += [np.count_nonzero((own != 0) & (own % step == 0)) for step in STEPS]
            apart[i] = int(np.gcd.reduce(own, initial=apart[i]))
        size = np.sign(gap) * np.frexp(np.abs(gap).astype(np.float64))[1]
        key = which * 1000 + size
        samples.add(
            key[counts], row_words(part)[counts], gap=gap[counts], person=(n_before + part.subject)[counts],
            which=which[counts],
        )  # fmt: skip
        n_before += part.n_subjects
    found = samples.done().columns
    own = [(found["gap"][found["which"] == i], found["person"][found["which"] == i]) for i in range(2)]
    steps = [coarsest_step(multiples[i], int(n[i]), apart[i]) for i in range(2)]
    first, later = own
    return Waits(
        scales=(Scale.of(*first), Scale.of(*later)), steps=(steps[0], steps[1]), hours=(_hours(*first), _hours(*later))
    )


def _hours(gap: Ints, person: Ints) -> Bools:
    """Return whether more than few people have gaps that end in each hour after whole days, `(24,)`."""
    long = gap >= _WEEK
    hour = np.unique(np.stack([gap[long] % _DAY // _HOUR, person[long]]), axis=1)[0]
    found: Bools = np.bincount(hour, minlength=24) > SMALL_CELL
    return found
