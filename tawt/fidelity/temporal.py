"""How a record hangs together in time: what a value says of the next of its data_type, and when this comes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.records import Records
from tawt.fidelity.groups import N_GROUPS, Figures, mean_of
from tawt.fidelity.pieces import cells_of, numbers_of
from tawt.fidelity.structure import in_series, next_of_type

WINDOWS = (1, 6, 24, 7 * 24, 30 * 24, 8766)
"""Hours: ends of the windows in which things come again, and of the bins of the variogram."""
STEPS = (1, 2, 4, 8, 16, 32)
"""Pairs of values so many apart in the series of their data_type make the variogram: all of them would be too many."""
LEAST_PAIRS = 30


@dataclass(frozen=True, eq=False)
class Temporal:
    """Sums by data_type, by group of subjects or of all."""

    moments: Floats
    """`(g, v, 3)`, number, sum and sum of squares of values; of one moment they are one, their mean."""
    lag: Floats
    """`(g, v, 4)`, pairs of consecutive values less their series' mean: number, products, squares of each."""
    square: Floats
    """`(g, v, w)`, half the squares of differences of values, by hours between them."""
    pairs: Floats
    """`(g, v, w)`, their number."""
    again: Floats
    """`(g, v, w)`, moments after which the data_type comes again, by the window in which it does; the last = none."""


def temporal_of(piece: Records, group: Ints, n_types: int) -> Temporal:
    """Add up what hangs together in some records.

    Args:
        piece: The records.
        group: `(s,)`, of the subjects.
        n_types: `v`, data_types of the vocabulary.
    """
    n_bins = len(WINDOWS) + 1
    has, number = numbers_of(piece)
    order, starts = in_series(piece, np.flatnonzero(has & ~piece.is_static))
    value = number[order].astype(np.float64)
    if len(starts):
        value = np.add.reduceat(value, starts) / np.diff(starts, append=len(value))
    at, cells = order[starts], cells_of(piece, group, n_types)
    series, cell, time = piece.subject[at] * n_types + piece.data_type[at], cells[at], piece.time[at]
    square, pairs = np.zeros((N_GROUPS * n_types, n_bins)), np.zeros((N_GROUPS * n_types, n_bins))
    for step in STEPS:
        a, b = _apart(series, step)
        bins = np.searchsorted(WINDOWS, (time[b] - time[a]) / US_PER_HOUR)
        at = cell[a] * n_bins + bins
        square += _sums(at, 0.5 * (value[b] - value[a]) ** 2, square.shape)
        pairs += _sums(at, None, pairs.shape)
    a, b = _apart(series, 1)
    number, _, length = np.unique(series, return_inverse=True, return_counts=True)
    mean = np.add.reduceat(value, np.searchsorted(series, number)) / length if len(number) else np.empty(0)
    rest = value - np.repeat(mean, length)
    at, hours = next_of_type(piece)
    bins = np.where(np.isfinite(hours), np.searchsorted(WINDOWS, hours), n_bins)
    again = _sums(cells[at] * (n_bins + 1) + bins, None, (N_GROUPS * n_types, n_bins + 1))
    flat = (N_GROUPS * n_types,)
    return Temporal(
        _by(n_types, *(_sums(cell, x, flat) for x in (None, value, value**2))),
        _by(n_types, *(_sums(cell[a], x, flat) for x in (None, rest[a] * rest[b], rest[a] ** 2, rest[b] ** 2))),
        *(counts.reshape(N_GROUPS, n_types, -1) for counts in (square, pairs, again)),
    )  # fmt: skip


def _apart(series: Ints, step: int) -> tuple[Ints, Ints]:
    """Return the values that are so many apart in one series."""
    first = np.flatnonzero(series[step:] == series[:-step])
    return first, first + step


def _sums(cell: Ints, weight: Floats | None, shape: tuple[int, ...]) -> Floats:
    return np.bincount(cell, weight, minlength=int(np.prod(shape))).astype(np.float64).reshape(shape)


def _by(n_types: int, *columns: Floats) -> Floats:
    return np.stack([column.reshape(N_GROUPS, n_types) for column in columns], 2)


def autocorrelation(lag: Floats) -> Floats:
    """Return the correlation of consecutive values, of sums `(..., 4)`; NaN where nothing varies."""
    scale = np.sqrt(lag[..., 2] * lag[..., 3])
    return np.divide(lag[..., 1], scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def variance(moments: Floats) -> Floats:
    """Return the variance of values, of sums `(v, 3)`; NaN where nothing varies."""
    n = np.maximum(moments[:, 0], 1)
    found = moments[:, 2] / n - (moments[:, 1] / n) ** 2
    return np.where(found > 1e-9, found, np.nan)


def temporal_compared(real: Temporal, other: Temporal) -> Callable[[Temporal, Temporal], Figures]:
    """Choose data_types and bins by the whole sets, and return what compares the sets or parts of them."""
    scale = variance(real.moments)[:, None]
    enough = (real.pairs >= LEAST_PAIRS) & (other.pairs >= LEAST_PAIRS)
    series = (real.lag[:, 0] >= LEAST_PAIRS) & (other.lag[:, 0] >= LEAST_PAIRS)
    seen = (real.again.sum(1) >= LEAST_PAIRS) & (other.again.sum(1) >= LEAST_PAIRS)
    n_lag, n_pairs, n_again = real.lag[:, 0] * series, (real.pairs * enough).sum(1), real.again.sum(1) * seen

    own = series & np.isfinite(scale[:, 0])

    def pooled(one: Temporal) -> float:
        # each data_type in its own unit, the real spread
        return float(autocorrelation((one.lag[own] / scale[own]).sum(0)))

    def look(real: Temporal, other: Temporal) -> Figures:
        with np.errstate(divide="ignore", invalid="ignore"):
            curves = [one.square / one.pairs for one in (real, other)]
            gaps = np.where(enough, np.abs(curves[0] - curves[1]) / scale, np.nan)
            shares = [one.again.cumsum(1)[:, : len(WINDOWS)] / one.again.sum(1)[:, None] for one in (real, other)]
        known = np.isfinite(gaps)
        of_type = np.where(known.any(1), np.where(known, gaps, 0).sum(1) / np.maximum(known.sum(1), 1), np.nan)
        return {
            "autocorrelation": abs(pooled(real) - pooled(other)),
            "autocorrelation_by_type": mean_of(np.abs(autocorrelation(real.lag) - autocorrelation(other.lag)), n_lag),
            "variogram": mean_of(of_type, n_pairs),
            "recurrence": mean_of(np.abs(shares[0] - shares[1]).mean(1), n_again),
        }

    return look
