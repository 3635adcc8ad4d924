"""What chance leaves open: metrics over draws of subjects with replacement, and differences on the same draws.

Whole subjects are drawn, for rows of one subject are not independent. A draw is how often each subject is in it: a
metric sees weights, and no row is ever copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Floats, Ints
from tawt.chance import Salt, draw, uniform
from tawt.errors import ConfigError, ContractError
from tawt.evaluation.measure import Better, Metric, Outcome

N_DRAWS = 1000
_AT_ONCE = 1 << 21
"""Draws times rows, or subjects, that are made at once."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of subjects; each is a function of the seed, its number and how many subjects there are."""

    subject: Ints
    """`(n,)`, number of the subject of each row, from 0."""
    n_subjects: int
    """How many there are."""
    base: Floats
    """`(n,)`, what each row weighs where its subject is in a draw once."""
    n_draws: int = N_DRAWS
    seed: int = 0

    def weights(self, first: int, stop: int) -> Floats:
        """Return the weights of rows in some draws, `(stop - first, n)`."""
        n, k = self.n_subjects, stop - first
        picked = uniform(draw(np.arange(first * n, stop * n), Salt.RESAMPLED, self.seed)) * n
        cell = picked.astype(np.int64) + np.repeat(np.arange(k) * n, n)
        times = np.bincount(cell, minlength=k * n).reshape(k, n).astype(np.float64)
        found: Floats = times[:, self.subject] * self.base
        return found

    def of(self, metrics: Sequence[Metric], outcome: Outcome) -> Floats:
        """Return metrics of all draws, `(m, n_draws)`, NaN where one is not defined."""
        at_once = max(1, _AT_ONCE // max(1, len(self.subject), self.n_subjects))
        parts = [np.empty((len(metrics), 0))]
        for first in range(0, self.n_draws, at_once):
            weights = self.weights(first, min(first + at_once, self.n_draws))
            parts.append(np.stack([metric.of(outcome, weights) for metric in metrics]))
        return np.concatenate(parts, 1)


def draws_of(subject_id: ArrayLike, n_draws: int = N_DRAWS, seed: int = 0, balanced: bool = False) -> Draws:
    """Prepare draws of the subjects of some rows.

    Args:
        subject_id: `(n,)`, whose each row is.
        n_draws: How many draws.
        seed: Of all of them.
        balanced: Whether each subject weighs 1, however many rows it has; else each row weighs 1.

    Raises:
        ConfigError: There are no draws to make.
        ContractError: The subjects are not one for each row.
    """
    if n_draws < 1:
        raise ConfigError("draws", f"are {n_draws}, expected at least 1")
    ids = np.asarray(subject_id)
    if ids.ndim != 1:
        raise ContractError("subject_id", f"has {ids.ndim} dimensions, expected one subject for each row")
    found, subject, count = np.unique(ids, return_inverse=True, return_counts=True)
    base = 1 / count[subject] if balanced else np.ones(len(subject))
    return Draws(subject.astype(np.int64), len(found), base, n_draws, seed)


@dataclass(frozen=True)
class Interval:
    """A number and how far chance may have moved it."""

    value: float | None
    """Of the rows as they are."""
    low: float | None
    """Lower end of the interval."""
    high: float | None
    """Upper end."""
    n_draws: int
    """Draws that have the metric."""
    n_degenerate: int
    """Draws that do not, and are left out: of a rare outcome, for one."""
    reason: str | None = None
    """Why there is no number, or no interval."""


@dataclass(frozen=True)
class Difference(Interval):
    """A model less its reference, on the same draws."""

    better: float | None = None
    """Share of draws in which the model is better, equal ones as half; None where no direction is better, and where
    draws say nothing."""


def intervals(
    metrics: Sequence[Metric], outcome: Outcome, draws: Draws, level: float = 0.95
) -> tuple[dict[str, Interval], Floats]:
    """Measure, and say how far chance may have moved each number.

    Args:
        metrics: `m` of them.
        outcome: Of the rows that the draws are of.
        draws: Of subjects.
        level: Share of draws within an interval, between percentiles of equal weight.

    Returns:
        Intervals by the metric's name, and the metrics of all draws `(m, n_draws)`.

    Raises:
        ConfigError: The level is not between 0 and 1.
        ContractError: The draws are of other rows.
    """
    # source: Efron and Tibshirani 1993, An introduction to the bootstrap, chapter 13
    if outcome.n_rows != len(draws.subject):
        raise ContractError("subject_id", f"has {len(draws.subject):,} rows, expected {outcome.n_rows:,}")
    over = draws.of(metrics, outcome) if outcome.n_rows else np.full((len(metrics), draws.n_draws), np.nan)
    found = {}
    for metric, row in zip(metrics, over, strict=True):
        measure = metric(outcome, draws.base)
        low, high, n, reason = ends(row, level)
        if measure.value is None:
            low, high, reason = None, None, measure.reason
        elif metric.no_interval:
            low, high, reason = None, None, metric.no_interval
        found[metric.name] = Interval(measure.value, low, high, n, draws.n_draws - n, reason)
    return found, over


def differences(
    metrics: Sequence[Metric],
    model: tuple[Mapping[str, Interval], Floats],
    reference: tuple[Mapping[str, Interval], Floats],
    level: float = 0.95,
) -> dict[str, Difference]:
    """Compare two models measured on the same draws: the difference of each metric, draw by draw.

    Args:
        metrics: `m` of them.
        model: What `intervals` returned of it.
        reference: The same of another model of the same rows, with the same draws.
        level: As of an interval.
    """
    found = {}
    for metric, mine, other in zip(metrics, model[1], reference[1], strict=True):
        one, two = model[0][metric.name], reference[0][metric.name]
        low, high, n, reason = ends(mine - other, level)
        value = None if one.value is None or two.value is None else one.value - two.value
        if value is None:
            low, high, reason = None, None, one.reason or two.reason
        elif metric.no_interval:
            low, high, reason = None, None, metric.no_interval
        is_told = value is not None and not metric.no_interval
        won = _won(metric.better, mine, other, level) if is_told else None
        found[metric.name] = Difference(value, low, high, n, len(mine) - n, reason, won)
    return found


def ends(values: Floats, level: float = 0.95) -> tuple[float | None, float | None, int, str | None]:
    """Return the ends of an interval of draws, `(n_draws,)`, how many of them have a number, and why there are no ends.

    Raises:
        ConfigError: The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError("level", f"is {level:g}, expected a number between 0 and 1")
    there = values[~np.isnan(values)]
    if len(there) < 2:
        return None, None, len(there), "not defined in any draw" if not len(there) else "defined in one draw alone"
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), len(there), None


def _won(better: Better, mine: Floats, other: Floats, level: float) -> float | None:
    if not better:
        return None
    both = ~np.isnan(mine - other)
    if not both.any():
        return None
    a, b = mine[both], other[both]
    if better in ("larger", "smaller"):
        gain = a - b if better == "larger" else b - a
    else:
        goal = level if better == "level" else float(better)
        gain = np.abs(b - goal) - np.abs(a - goal)
    return float(((gain > 0) + 0.5 * (gain == 0)).mean())
