"""Records up to prediction times as series of steps: values, whether they were measured, and for how long not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.contracts.dataset import US_PER_HOUR


@dataclass(frozen=True, eq=False)
class Series:
    """`n` records of `s` steps and `v` variables."""

    value: NDArray[np.float32]
    """`(n, s, v)`, mean of the step; 0 where nothing was measured."""
    seen: NDArray[np.float32]
    """`(n, s, v)`, 1 where something was."""
    since: NDArray[np.float32]
    """`(n, s, v)`, steps since the variable was measured last, counted as GRU-D does."""
    static: NDArray[np.float32]
    """`(n, f)`, what does not change."""

    def rows(self, at: Ints) -> Series:
        """Return some records."""
        return Series(self.value[at], self.seen[at], self.since[at], self.static[at])


def make_series(
    n_rows: int, row: Ints, variable: Ints, ago: Ints, value: NDArray[np.float64], n_variables: int,
    static: NDArray[np.float64], n_steps: int = 48, step_us: int = US_PER_HOUR,
) -> Series:  # fmt: skip
    """Lay numbers onto steps that end at the prediction time; what is older than the first one falls into it.

    Args:
        n_rows: `n`.
        row: `(m,)`, whose.
        variable: `(m,)`, from 0 on.
        ago: `(m,)`, us before the prediction time.
        value: `(m,)`.
        n_variables: `v`.
        static: `(n, f)`; NaN = not known.
        n_steps: `s`.
        step_us: Length of a step.
    """
    step = n_steps - 1 - np.minimum(ago // step_us, n_steps - 1)
    cell = (row * n_steps + step) * n_variables + variable
    size, shape = n_rows * n_steps * n_variables, (n_rows, n_steps, n_variables)
    count = np.bincount(cell, minlength=size)
    total = np.bincount(cell, weights=value, minlength=size)
    mean = np.divide(total, count, out=np.zeros(size), where=count > 0).reshape(shape)
    seen = (count > 0).reshape(shape)
    since = np.zeros(shape)
    for t in range(1, n_steps):
        since[:, t] = 1 + np.where(seen[:, t - 1], 0, since[:, t - 1])
    known = ~np.isnan(static)
    facts = np.concatenate([np.where(known, static, 0), known], 1)
    return Series(*(part.astype(np.float32) for part in (mean, seen, since / n_steps, facts)))
