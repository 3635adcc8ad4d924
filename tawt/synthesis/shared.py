"""What of real records many people share: data_types, and the numbers that these take. Nothing else is drawn.

A heart rate comes in whole beats, a temperature in tenths. A number between them would tell an invented record from a
real one at a glance. Where nearly all of a data_type's numbers are shared by many people, those are the grid; else it
is the coarsest decimal step of which nearly all are multiples. Beyond the number that few people pass, none is drawn.
So no number is drawn because somebody had it, and no data_type that few people have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.dataset.records import Cohort, Records
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError

MOST_NUMBERS = 4096
"""Different numbers of a data_type; one that takes more is continuous."""
LEAST_COVERED = 0.95
"""Share of a data_type's numbers that have to lie on the grid; else it is continuous, and what is drawn stays."""
STEPS = tuple(mantissa * 10.0**exponent for exponent in range(2, -5, -1) for mantissa in (5, 2.5, 2, 1))
"""In the canonical unit; the coarsest that fits is taken."""
_NEAR = 1e-3
"""Share of a step within which a number is a multiple of it: numbers are kept in single precision."""


@dataclass(frozen=True, eq=False)
class Shared:
    """What is shared of `v` data_types: `g` numbers, and bounds."""

    is_common: Bools
    """`(v,)`, whether more than few people have the data_type."""
    low: NDArray[np.float32]
    """`(v,)`, the number that more than few people reach or pass downwards; NaN where that many have none."""
    high: NDArray[np.float32]
    """`(v,)`, the same upwards."""
    numbers: NDArray[np.float32]
    """`(g,)`, ascending within each data_type."""
    bounds: Ints
    """`(v + 1,)`, where each data_type's begin."""
    step: Floats
    """`(v,)`, decimal step of those without numbers here, in normalized units; 0 where they are continuous."""
    zero: Floats
    """`(v,)`, what stands for 0 of the canonical unit."""

    def nearest(self, data_type: Ints, value: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the nearest numbers that data_types take, `(n,)`; of two that are as near, the lower. A number of a
        data_type whose numbers few people have is 0."""
        found = np.nan_to_num(value.clip(self.low[data_type], self.high[data_type]))
        for kind in np.unique(data_type):
            own = self.numbers[self.bounds[kind] : self.bounds[kind + 1]]
            if len(own):
                at = data_type == kind
                found[at] = own[np.searchsorted((own[1:] + own[:-1]) / 2, found[at])]
        step, zero = self.step[data_type], self.zero[data_type]
        stepped = step > 0
        found[stepped] = _rounded(found[stepped], step[stepped], zero[stepped])
        return found

    def of(self, cohort: Cohort) -> Cohort:
        """Return records without what few people have: without such data_types, and with the nearest numbers."""
        return _Kept(self, cohort)


@dataclass(frozen=True, eq=False)
class _Kept:
    shared: Shared
    cohort: Cohort

    @property
    def n_subjects(self) -> int:
        return self.cohort.n_subjects

    def parts(self) -> Iterator[Records]:
        for part in self.cohort.parts():
            kept = part.keep(self.shared.is_common[part.data_type])
            told = np.where(
                kept.has_number, self.shared.nearest(kept.data_type.astype(np.int64), kept.value), kept.value
            )
            yield replace(kept, value=told)


def fit_shared(cohort: Cohort, vocabulary: Vocabulary) -> Shared:
    """Look which numbers each data_type takes, and how many people have each.

    Args:
        cohort: Real records.
        vocabulary: Of their dataset.
    """
    n_types = len(vocabulary)
    zero, step = -vocabulary.center / vocabulary.scale, np.zeros(n_types)
    steps = np.array(STEPS)[:, None] / vocabulary.scale
    linear = np.array(vocabulary.table()["normalization"].to_pylist()) != "quantile"
    on_step = np.zeros((len(STEPS), n_types), dtype=np.int64)
    found, n_rows = np.zeros((3, 0), dtype=np.int64), np.zeros(n_types, dtype=np.int64)
    continuous, people_of = np.zeros(n_types, dtype=np.bool_), np.zeros(n_types, dtype=np.int64)
    ends = np.full((2, n_types, SMALL_CELL + 1), np.inf, dtype=np.float32)
    for part in cohort.parts():
        people_of += part.people(n_types)
        has = part.has_number & np.isfinite(part.value)
        kinds, numbers = part.data_type[has], part.value[has]
        n_rows += np.bincount(kinds, minlength=n_types)
        for i, own in enumerate(steps):
            near = np.abs(_rounded(numbers, own[kinds], zero[kinds]) - numbers) <= _NEAR * own[kinds]
            on_step[i] += np.bincount(kinds[near], minlength=n_types)
        for side, own in zip((1, -1), ends, strict=True):
            own[:] = _outermost(own, kinds, side * numbers, part.subject[has])
        has &= ~continuous[part.data_type]
        found = _summed(np.concatenate([found, _counted(part.data_type[has], part.value[has], part.subject[has])], 1))
        continuous |= np.bincount(found[0] >> 32, minlength=n_types) > MOST_NUMBERS
        found = found[:, ~continuous[found[0] >> 32]]
    key, people, rows = found
    kind, number = key >> 32, (key & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
    common = people > SMALL_CELL
    covered = np.bincount(kind[common], rows[common], minlength=n_types)
    shared = covered >= LEAST_COVERED * np.maximum(n_rows, 1)
    fits = (on_step >= LEAST_COVERED * np.maximum(n_rows, 1)) & ~shared & linear
    step = np.where(fits.any(0), steps[fits.argmax(0), np.arange(n_types)], 0.0)
    kept = common & shared[kind]
    kind, number = kind[kept], number[kept]
    sizes = np.bincount(kind, minlength=n_types)
    if not (people_of > SMALL_CELL).any():
        what = f"have no data_type that more than {SMALL_CELL} of them have, expected some"
        raise DatasetError("records of train", what, "learn from more people")
    low, high = (
        np.where(np.isfinite(own[:, -1]), side * own[:, -1], np.nan) for side, own in zip((1, -1), ends, strict=True)
    )
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return Shared(people_of > SMALL_CELL, low, high, number[np.lexsort((number, kind))], bounds, step, zero)


def _outermost(
    known: NDArray[np.float32], kinds: NDArray[np.int32], number: NDArray[np.float32], subject: Ints
) -> NDArray[np.float32]:
    """Return the least numbers of each data_type, one a person, `(v, k)`: of those known, and of more people."""
    v, k = known.shape
    order = np.lexsort((number, subject, kinds))
    kinds, subject, number = kinds[order], subject[order], number[order]
    least = np.append(True, (np.diff(kinds) != 0) | (np.diff(subject) != 0)) if len(kinds) else np.zeros(0, np.bool_)
    kind = np.concatenate([np.repeat(np.arange(v), k), kinds[least]])
    every = np.concatenate([known.reshape(-1), number[least]])
    order = np.lexsort((every, kind))
    place = np.arange(len(order)) - np.searchsorted(kind[order], kind[order])
    return every[order][place < k].reshape(v, k)


def _rounded(value: NDArray[np.float32], step: Floats, zero: Floats) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (np.round((value - zero) / step) * step + zero).astype(np.float32)
    return found


def _counted(data_type: NDArray[np.int32], value: NDArray[np.float32], subject: Ints) -> Ints:
    """Return each number of each data_type, how many people have it, and in how many rows, `(3, m)`."""
    bits = (value + np.float32(0)).view(np.uint32)  # of two zeros, one
    key = data_type.astype(np.int64) << 32 | bits
    order = np.lexsort((subject, key))
    key, subject = key[order], subject[order]
    first = np.append(True, (np.diff(key) != 0) | (np.diff(subject) != 0)) if len(key) else np.zeros(0, dtype=np.bool_)
    return _summed(np.stack([key, first.astype(np.int64), np.ones_like(key)]))


def _summed(found: Ints) -> Ints:
    key, at = np.unique(found[0], return_inverse=True)
    people, rows = (np.bincount(at, column, len(key)).astype(np.int64) for column in found[1:])
    return np.stack([key, people, rows])
