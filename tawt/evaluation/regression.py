"""Metrics of numbers: how far predictions are off, whether their order is right, and how often an interval holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Floats, Ints
from tawt.errors import ContractError
from tawt.evaluation.measure import Metric, mean_of, numbers


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers that came, and those that were predicted, of `n` rows, in the unit of the task."""

    truth: Floats
    """`(n,)`."""
    predicted: Floats
    """`(n,)`."""
    low: Floats | None
    """`(n,)`, lower end of an interval that was predicted too."""
    high: Floats | None
    """`(n,)`, upper end."""

    def __init__(
        self, truth: ArrayLike, predicted: ArrayLike, low: ArrayLike | None = None, high: ArrayLike | None = None
    ) -> None:
        """Hold all to what they are to be.

        Args:
            truth: `(n,)`, finite.
            predicted: `(n,)`, finite.
            low: `(n,)`, lower ends of intervals, if there are any.
            high: `(n,)`, upper ends, not below the lower ones.

        Raises:
            ContractError: They differ in length, one is not finite, an interval has one end or ends too early.
        """
        told = numbers(truth, "truth")
        object.__setattr__(self, "truth", told)
        object.__setattr__(self, "predicted", numbers(predicted, "predicted", len(told)))
        ends = [None if end is None else numbers(end, "interval", len(told)) for end in (low, high)]
        if (ends[0] is None) != (ends[1] is None):
            raise ContractError("interval", "has one end, expected both or none")
        if ends[0] is not None and ends[1] is not None and (n_bad := int((ends[0] > ends[1]).sum())):
            raise ContractError("interval", f"has {n_bad:,} rows that end before they begin, expected none")
        object.__setattr__(self, "low", ends[0])
        object.__setattr__(self, "high", ends[1])

    @property
    def n_rows(self) -> int:
        """`n`."""
        return len(self.truth)

    def lacks(self, weights: Floats) -> str:
        """Return why nothing can be measured; "" where it can."""
        return "" if weights.any() else "no rows"

    @cached_property
    def error(self) -> Floats:
        """`(n,)`, predicted minus true."""
        return self.predicted - self.truth

    @cached_property
    def ranked_error(self) -> Ints:
        """`(n,)`, rows from the smallest error to the largest, whatever its sign."""
        return np.argsort(np.abs(self.error), kind="stable")

    @cached_property
    def groups(self) -> tuple[Ints, Ints]:
        """`(n,)` each, the number of each row's truth, and of its prediction, among the distinct ones."""
        return np.unique(self.truth, return_inverse=True)[1], np.unique(self.predicted, return_inverse=True)[1]


class Counts(Numbers):
    """How often something came, and how often it was said to: a number that is not below 0."""

    def __init__(
        self, truth: ArrayLike, predicted: ArrayLike, low: ArrayLike | None = None, high: ArrayLike | None = None
    ) -> None:
        """Hold all to what they are to be, as numbers.

        Raises:
            ContractError: As of numbers, or a truth is below 0.
        """
        super().__init__(truth, predicted, low, high)
        if n_bad := int((self.truth < 0).sum()):
            raise ContractError("truth", f"has {n_bad:,} counts below 0, expected none")


def _median_error(outcome: Numbers, weights: Floats) -> Floats:
    """The middle error, or the mean of the two in the middle, of as many equal rows as the weights say."""
    size = np.abs(outcome.error)[outcome.ranked_error]
    below = weights[:, outcome.ranked_error].cumsum(1)
    half = below[:, -1:] / 2
    lower, upper = (below < half).sum(1), (below <= half).sum(1)
    last = len(size) - 1
    return (size[np.minimum(lower, last)] + size[np.minimum(upper, last)]) / 2


def _r2(outcome: Numbers, weights: Floats) -> Floats:
    mean = mean_of(outcome.truth, weights)
    spread = np.stack([row @ (outcome.truth - m) ** 2 for row, m in zip(weights, mean, strict=True)])
    missed = weights @ outcome.error**2
    # what rounding leaves of equal numbers is no spread
    return np.where(spread > 1e-24 * (weights @ outcome.truth**2), 1 - missed / spread, np.nan)


def _ranks(group: Ints, weights: Floats) -> Floats:
    """Middle ranks `(k, n)` of rows under weights, up to a constant."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    held = np.add.reduceat(weights[:, order], starts, axis=1)
    middle: Floats = (held.cumsum(1) - held / 2)[:, group]
    return middle


def _spearman(outcome: Numbers, weights: Floats) -> Floats:
    total = weights.sum(1, keepdims=True)
    ranks = [_ranks(group, weights) for group in outcome.groups]
    x, y = (rank - (weights * rank).sum(1, keepdims=True) / total for rank in ranks)
    xy, xx, yy = ((weights * a * b).sum(1) for a, b in ((x, y), (x, x), (y, y)))
    # what rounding leaves of equal ranks is no spread
    least = 1e-12 * total[:, 0] ** 3
    return np.where((xx > least) & (yy > least), xy / np.sqrt(xx * yy), np.nan)


def _coverage(outcome: Numbers, weights: Floats) -> Floats:
    if outcome.low is None or outcome.high is None:
        return np.full(len(weights), np.nan)
    inside = (outcome.low <= outcome.truth) & (outcome.truth <= outcome.high)
    return mean_of(inside.astype(np.float64), weights)


def _width(outcome: Numbers, weights: Floats) -> Floats:
    if outcome.low is None or outcome.high is None:
        return np.full(len(weights), np.nan)
    return mean_of(outcome.high - outcome.low, weights)


def _deviance(outcome: Counts, weights: Floats) -> Floats:
    came, said = outcome.truth, outcome.predicted
    # where nothing came the logarithm has no part in it
    of = 2 * (np.where(came > 0, came * np.log(np.where(came > 0, came, 1) / np.maximum(said, 0)), 0) + said - came)
    of[said < 0] = np.inf
    return np.where((weights > 0) @ np.isinf(of), np.nan, mean_of(np.where(np.isinf(of), 0, of), weights))


def _no_rate(outcome: Counts, weights: Floats) -> str:
    return "a count is said to be below 0, or 0 where something came"


def _no_interval(outcome: Numbers, weights: Floats) -> str:
    return "no interval was predicted" if outcome.low is None else ""


def _all_equal(outcome: Numbers, weights: Floats) -> str:
    return "all true numbers are equal" if np.ptp(outcome.truth[weights > 0]) == 0 else ""


def _no_order(outcome: Numbers, weights: Floats) -> str:
    return _all_equal(outcome, weights) or "all predictions are equal"


MAE = Metric("mae", "MAE", "smaller", lambda outcome, weights: mean_of(np.abs(outcome.error), weights))
RMSE = Metric("rmse", "RMSE", "smaller", lambda outcome, weights: np.sqrt(mean_of(outcome.error**2, weights)))
MEDIAN_ERROR = Metric("median_absolute_error", "median AE", "smaller", _median_error)
R2 = Metric("r2", "R2", "larger", _r2, _all_equal)
SPEARMAN = Metric("spearman", "Spearman", "larger", _spearman, _no_order)
COVERAGE = Metric("coverage", "coverage", "level", _coverage, _no_interval)
WIDTH = Metric("interval_width", "interval width", "smaller", _width, _no_interval)
# source: McCullagh and Nelder 1989, Generalized linear models, chapter 6
DEVIANCE = Metric("poisson_deviance", "Poisson deviance", "smaller", _deviance, _no_rate)

OF_NUMBERS = (MAE, RMSE, MEDIAN_ERROR, R2, SPEARMAN, COVERAGE, WIDTH)
"""Of numbers."""
OF_COUNTS = (*OF_NUMBERS, DEVIANCE)
"""Of counts."""
IN_UNIT = (MAE.name, RMSE.name, MEDIAN_ERROR.name, WIDTH.name)
"""Those that are numbers in the unit of the task."""
