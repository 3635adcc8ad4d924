"""The numbers that data_types take: what is drawn between two of them is set to the nearer one.

A heart rate comes in whole beats, a temperature in tenths. A number between them would tell an invented record from a
real one at a glance. Where nearly all of a data_type's numbers are shared by many people, those are the grid; else it
is the coarsest decimal step of which nearly all are multiples. So no number is drawn because somebody had it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.dataset.records import Cohort
from tawt.dataset.vocabulary import Vocabulary

MOST_NUMBERS = 4096
"""Different numbers of a data_type; one that takes more is continuous."""
LEAST_COVERED = 0.95
"""Share of a data_type's numbers that have to lie on the grid; else it is continuous, and what is drawn stays."""
STEPS = tuple(mantissa * 10.0**exponent for exponent in range(2, -5, -1) for mantissa in (5, 2.5, 2, 1))
"""In the canonical unit; the coarsest that fits is taken."""
_NEAR = 1e-3
"""Share of a step within which a number is a multiple of it: numbers are kept in single precision."""


@dataclass(frozen=True, eq=False)
class Grid:
    """`g` numbers of `v` data_types."""

    numbers: NDArray[np.float32]
    """`(g,)`, ascending within each data_type."""
    bounds: Ints
    """`(v + 1,)`, where each data_type's begin."""
    step: Floats
    """`(v,)`, decimal step of those without numbers here, in normalized units; 0 where they are continuous."""
    zero: Floats
    """`(v,)`, what stands for 0 of the canonical unit."""

    def nearest(self, data_type: Ints, value: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the nearest numbers that data_types take, `(n,)`; of two that are as near, the lower."""
        found = value.copy()
        for kind in np.unique(data_type):
            own = self.numbers[self.bounds[kind] : self.bounds[kind + 1]]
            if len(own):
                at = data_type == kind
                found[at] = own[np.searchsorted((own[1:] + own[:-1]) / 2, value[at])]
        step, zero = self.step[data_type], self.zero[data_type]
        stepped = step > 0
        found[stepped] = _rounded(value[stepped], step[stepped], zero[stepped])
        return found


def fit_grid(cohort: Cohort, vocabulary: Vocabulary) -> Grid:
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
    continuous = np.zeros(n_types, dtype=np.bool_)
    for part in cohort.parts():
        has = part.has_number & np.isfinite(part.value)
        kinds, numbers = part.data_type[has], part.value[has]
        n_rows += np.bincount(kinds, minlength=n_types)
        for i, own in enumerate(steps):
            near = np.abs(_rounded(numbers, own[kinds], zero[kinds]) - numbers) <= _NEAR * own[kinds]
            on_step[i] += np.bincount(kinds[near], minlength=n_types)
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
    return Grid(number[np.lexsort((number, kind))], np.concatenate([[0], np.cumsum(sizes)]), step, zero)


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
