"""What of real records many people share: data_types, the numbers that these take, how long it is to the next moment.

Nothing else is drawn.

A heart rate comes in whole beats, a temperature in tenths. A number between them would tell an invented record from a
real one at a glance. Where nearly all of a data_type's numbers are shared by many people, those are the grid; else
they are told by a scale of means over many people, in the coarsest decimal step of which nearly all are multiples.
So are those of a grid where it has holes that many people lie in, as beyond its ends: there they would heap up on what
few shared numbers there are. A multiple of a step is the very float that a record's own number becomes.
So no number and no moment is drawn because it was somebody's, and no data_type that few people have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.chance import Salt, draw, uniform
from tawt.contracts.cells import SMALL_CELL
from tawt.dataset.records import Cohort, Records
from tawt.dataset.scales import Scale
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError
from tawt.synthesis.urns import Filling, row_words
from tawt.synthesis.waits import Waits, fit_waits

MOST_NUMBERS = 4096
"""Different numbers of a data_type; one that takes more is continuous."""
LEAST_COVERED = 0.95
"""Share of a data_type's numbers that have to lie on the grid, or on a step; else it has none."""
STEPS = tuple(mantissa * 10.0**exponent for exponent in range(2, -5, -1) for mantissa in (5, 2.5, 2, 1))
"""In the canonical unit; the coarsest that fits is taken."""
_NEAR = 1e-3
"""Share of a step within which a number is a multiple of it: numbers are kept in single precision."""
_NOISE = 1e-6
"""Share of a number that single precision may lose."""
_MOST_OF_SCALE = 1 << 14
"""Numbers of a data_type that its scale is made of."""


@dataclass(frozen=True, eq=False)
class Shared:
    """What is shared of `v` data_types: a grid of `g` numbers, or scales."""

    as_told: Bools
    """`(2, v)`, whether more than few have it with a time, and as a static fact."""
    numbers: NDArray[np.float32]
    """`(g,)`, ascending within each data_type."""
    bounds: Ints
    """`(v + 1,)`, where each data_type's begin."""
    scales: Mapping[int, Scale]
    """Of data_types without numbers here, and of what is not among the numbers of the others."""
    step: Floats
    """`(v,)`, decimal step of these, in the canonical unit; 0 where they are continuous."""
    center: Floats
    """`(v,)`, see `Vocabulary`."""
    scale: Floats
    """`(v,)`, see `Vocabulary`."""
    waits: Waits
    """How long it is to the first moment, and to later ones."""

    def nearest(self, data_type: Ints, value: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the nearest numbers that data_types take, `(n,)`; of two that are as near, the lower. A number of a
        data_type whose numbers few people have is 0."""
        return self._told(data_type, value, None)

    def anew(self, data_type: Ints, value: NDArray[np.float32], chance: Floats) -> NDArray[np.float32]:
        """Return the same for numbers of people: those that few share become others nearby, by `chance` in [0, 1)."""
        return self._told(data_type, value, chance)

    def of(self, cohort: Cohort) -> Cohort:
        """Return records without what few people have: without data_types that few have so, timed or as a static fact,
        with numbers and times of many."""
        return _Kept(self, cohort)

    def _told(self, data_type: Ints, value: NDArray[np.float32], chance: Floats | None) -> NDArray[np.float32]:
        found = np.zeros(len(value), dtype=np.float32)
        for kind in np.unique(data_type).tolist():
            at = np.flatnonzero(data_type == kind)
            own = self.numbers[self.bounds[kind] : self.bounds[kind + 1]]
            if len(own):
                found[at] = own[np.searchsorted((own[1:] + own[:-1]) / 2, value[at])]
            if kind in self.scales:
                beside = self._in_hole(kind, own, value[at]) if len(own) else np.ones(len(at), dtype=np.bool_)
                at, scale = at[beside], self.scales[kind]
                number = value[at].astype(np.float64)
                told = scale.within(number) if chance is None else scale.anew(number, chance[at])
                found[at] = self._stepped(kind, told) if self.step[kind] else told
        return found

    def _in_hole(self, kind: int, own: NDArray[np.float32], value: NDArray[np.float32]) -> Bools:
        """Whether each lies between numbers that many share, or beyond them, where many people have others."""
        place = np.searchsorted(own, value)
        is_own = own[np.minimum(place, len(own) - 1)] == value
        holes = np.unique(np.searchsorted(own, self.scales[kind].points))
        found: Bools = np.isin(place, holes) & ~is_own
        return found

    def _stepped(self, kind: int, value: Floats) -> NDArray[np.float32]:
        """The nearest multiples of a step, as they come from a record: told in single precision, then normalized."""
        center, scale = self.center[kind], self.scale[kind]
        number = (np.round((value * scale + center) / self.step[kind]) * self.step[kind]).astype(np.float32)
        found: NDArray[np.float32] = ((number.astype(np.float64) - center) / scale).astype(np.float32)
        return found


@dataclass(frozen=True, eq=False)
class _Kept:
    shared: Shared
    cohort: Cohort

    @property
    def n_subjects(self) -> int:
        return self.cohort.n_subjects

    def parts(self) -> Iterator[Records]:
        for part in self.cohort.parts():
            kept = part.keep(self.shared.as_told[part.is_static.astype(np.int64), part.data_type])
            words = row_words(kept)
            value = self.shared.anew(kept.data_type.astype(np.int64), kept.value, uniform(draw(words, Salt.ANEW)))
            yield self.shared.waits.anew(replace(kept, value=np.where(kept.has_number, value, kept.value)), words)


def hold_shared(cohort: Cohort, n_types: int) -> None:
    """Hold that more than few people have some data_type; it reads no further than until that is seen.

    Args:
        cohort: Real records.
        n_types: Data_types of the vocabulary.

    Raises:
        DatasetError: Nobody shares any.
    """
    people = np.zeros(n_types, dtype=np.int64)
    for part in cohort.parts():
        people += part.people(n_types)
        if (people > SMALL_CELL).any():
            return
    what = f"have no data_type that more than {SMALL_CELL} of them have, expected some"
    raise DatasetError("records of train", what, "learn from more people")


def fit_shared(cohort: Cohort, vocabulary: Vocabulary) -> Shared:
    """Look which numbers each data_type takes, and how many people have each.

    Args:
        cohort: Real records.
        vocabulary: Of their dataset.

    Raises:
        DatasetError: No data_type is shared.
    """
    n_types = len(vocabulary)
    hold_shared(cohort, n_types)
    zero, step = -vocabulary.center / vocabulary.scale, np.zeros(n_types)
    steps = np.array(STEPS)[:, None] / vocabulary.scale
    linear = np.array(vocabulary.table()["normalization"].to_pylist()) != "quantile"
    on_step = np.zeros((len(STEPS), n_types), dtype=np.int64)
    found, n_rows = np.zeros((3, 0), dtype=np.int64), np.zeros(n_types, dtype=np.int64)
    continuous, people_of = np.zeros(n_types, dtype=np.bool_), np.zeros(n_types, dtype=np.int64)
    told_of = np.zeros((2, n_types), dtype=np.int64)
    for part in cohort.parts():
        people_of += part.people(n_types)
        told_of += [part.keep(own).people(n_types) for own in (~part.is_static, part.is_static)]
        has = part.has_number & np.isfinite(part.value)
        kinds, numbers = part.data_type[has], part.value[has]
        n_rows += np.bincount(kinds, minlength=n_types)
        for i, own in enumerate(steps):
            on_step[i] += np.bincount(kinds[_are_on(numbers, own[kinds], zero[kinds])], minlength=n_types)
        has &= ~continuous[part.data_type]
        found = _summed(np.concatenate([found, _counted(part.data_type[has], part.value[has], part.subject[has])], 1))
        continuous |= np.bincount(found[0] >> 32, minlength=n_types) > MOST_NUMBERS
        found = found[:, ~continuous[found[0] >> 32]]
    key, people, rows = found
    kind, number = key >> 32, (key & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
    common = people > SMALL_CELL
    covered = np.bincount(kind[common], rows[common], minlength=n_types)
    shared = covered >= LEAST_COVERED * np.maximum(n_rows, 1)
    fits = (on_step >= LEAST_COVERED * np.maximum(n_rows, 1)) & linear
    step = np.where(fits.any(0), np.array(STEPS)[fits.argmax(0)], 0.0)
    kept = common & shared[kind]
    key, kind, number = key[kept], kind[kept], number[kept]
    sizes = np.bincount(kind, minlength=n_types)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    # without a step, what lies between shared numbers would hardly ever be one of them
    scales = _scales(cohort, ((sizes == 0) | (step > 0)) & (people_of > SMALL_CELL), key, sizes > 0)
    numbers = number[np.lexsort((number, kind))]
    how = scales, step, vocabulary.center, vocabulary.scale
    return Shared(told_of > SMALL_CELL, numbers, bounds, *how, fit_waits(cohort))


def _scales(cohort: Cohort, wanted: Bools, shared: Ints, has_shared: Bools) -> dict[int, Scale]:
    """Return scales of data_types, `(v,)`, by number; of those that have no numbers there is none.

    Args:
        cohort: Real records.
        wanted: `(v,)`, which data_types.
        shared: Keys of numbers that many share, which count for nothing.
        has_shared: `(v,)`, which data_types have some; of these there is a scale only where many people have others.
    """
    samples, n_before = Filling(_MOST_OF_SCALE), 0
    for part in cohort.parts():
        has = part.has_number & np.isfinite(part.value) & wanted[part.data_type]
        has[has] = ~np.isin(_keys(part.data_type[has], part.value[has]), shared)
        samples.add(
            part.data_type[has].astype(np.int64),
            row_words(part)[has],
            value=part.value[has],
            person=n_before + part.subject[has],
        )
        n_before += part.n_subjects
    sampled = samples.done()
    found = {
        kind: Scale.of(sampled.columns["value"][a:b], sampled.columns["person"][a:b])
        for kind, a, b in zip(sampled.keys.tolist(), sampled.bounds[:-1], sampled.bounds[1:], strict=True)
    }
    return {kind: one for kind, one in found.items() if len(one.points) > 1 or not has_shared[kind]}


def _rounded(value: NDArray[np.float32] | Floats, step: Floats, zero: Floats) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (np.round((value - zero) / step) * step + zero).astype(np.float32)
    return found


def _are_on(numbers: NDArray[np.float32], step: Floats, zero: Floats) -> Bools:
    """Return which numbers are multiples of a step, `(n,)`; to that of 0 none belongs that is not 0 itself, or small
    numbers were multiples of whatever is a thousand times as large."""
    told = _rounded(numbers, step, zero)
    is_zero = np.abs(numbers - zero) <= _NOISE * (np.abs(numbers) + np.abs(zero))
    found: Bools = (np.abs(told - numbers) <= _NEAR * step) & ((np.abs(told - zero) > step / 2) | is_zero)
    return found


def step_of(numbers: NDArray[np.float32], zero: float, scale: float) -> float:
    """Return the coarsest decimal step that nearly all numbers of a data_type keep to; 0 where they keep to none.

    Args:
        numbers: `(n,)`, normalized, not by quantiles.
        zero: What stands for 0 of the canonical unit.
        scale: Canonical units in one of these.
    """
    steps = (step / scale for step in STEPS)
    of_all = ((step, np.broadcast_to(step, numbers.shape)) for step in steps)
    origin = np.broadcast_to(zero, numbers.shape)
    return next((step for step, own in of_all if _are_on(numbers, own, origin).mean() >= LEAST_COVERED), 0.0)


def _counted(data_type: NDArray[np.int32], value: NDArray[np.float32], subject: Ints) -> Ints:
    """Return each number of each data_type, how many people have it, and in how many rows, `(3, m)`."""
    key = _keys(data_type, value)
    order = np.lexsort((subject, key))
    key, subject = key[order], subject[order]
    first = np.append(True, (np.diff(key) != 0) | (np.diff(subject) != 0)) if len(key) else np.zeros(0, dtype=np.bool_)
    return _summed(np.stack([key, first.astype(np.int64), np.ones_like(key)]))


def _keys(data_type: NDArray[np.int32], value: NDArray[np.float32]) -> Ints:
    """Return a key of each number of each data_type, `(n,)`; of two zeros, one."""
    found: Ints = data_type.astype(np.int64) << 32 | (value + np.float32(0)).view(np.uint32)
    return found


def _summed(found: Ints) -> Ints:
    key, at = np.unique(found[0], return_inverse=True)
    people, rows = (np.bincount(at, column, len(key)).astype(np.int64) for column in found[1:])
    return np.stack([key, people, rows])
