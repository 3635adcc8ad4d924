"""Whether probabilities are what comes: errors by bins, the line of logits, and net benefit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Bools, Floats
from tawt.errors import ConfigError
from tawt.evaluation.measure import ADDS_UP, Metric, held_weights, mean_of
from tawt.evaluation.metrics import Binary, expit, no_probability

_MOST_BINS, _POSITIVES_PER_BIN = 15, 5
_N_STEPS, _CLOSE = 60, 1e-10


@dataclass(frozen=True, eq=False)
class Bins:
    """Rows in bins of equal weight, from the lowest predictions to the highest; `b` bins of each of `k` weightings."""

    weight: Floats
    """`(k, b)`, how many rows; 0 where a weighting has fewer bins."""
    predicted: Floats
    """`(k, b)`, their mean prediction, NaN in an empty bin."""
    came: Floats
    """`(k, b)`, the share of them that came."""


def bins_of(outcome: Binary, weights: Floats, n_bins: int | None = None) -> Bins:
    """Put rows into bins of about equal weight by their scores; equal scores are in one bin, whatever their order.

    Args:
        outcome: Of `n` rows.
        weights: `(k, n)`.
        n_bins: How many; None = one for five positives, at least 1 and at most 15.
    """
    if not outcome.n_rows:
        return Bins(*(np.empty((len(weights), 0)) for _ in range(3)))
    order = outcome.order[::-1]  # from the smallest; equal ones are together in either direction
    ranked = outcome.score[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    held = np.add.reduceat(weights[:, order], starts, axis=1)
    came = np.add.reduceat(weights[:, order] * outcome.truth[order], starts, axis=1)
    total = held.sum(1)
    if n_bins is None:
        wanted = np.clip(came.sum(1) // _POSITIVES_PER_BIN, 1, _MOST_BINS)
    else:
        wanted = np.full(len(weights), float(n_bins))
    width = int(wanted.max(initial=1))
    middle = (held.cumsum(1) - held / 2) / total[:, None]
    number = np.minimum(np.nan_to_num(middle * wanted[:, None]), wanted[:, None] - 1).astype(np.int64)
    cell = (number + np.arange(len(weights))[:, None] * width).reshape(-1)

    def sums(values: Floats) -> Floats:
        found = np.bincount(cell, values.reshape(-1), len(weights) * width).astype(np.float64)
        return found.reshape(len(weights), width)

    weight = sums(held)
    with np.errstate(invalid="ignore"):
        return Bins(weight, sums(held * ranked[starts]) / weight, sums(came) / weight)


def _apart(outcome: Binary, weights: Floats) -> tuple[Floats, Floats]:
    """Share of rows in each bin, and how far what came is from what was predicted; 0 in an empty bin."""
    bins = bins_of(outcome, weights)
    apart = np.where(bins.weight > 0, np.abs(bins.came - bins.predicted), 0.0)
    return bins.weight / bins.weight.sum(1, keepdims=True), apart


def _ece(outcome: Binary, weights: Floats) -> Floats:
    share, apart = _apart(outcome, weights)
    return _held(outcome, weights, (share * apart).sum(1))


def _mce(outcome: Binary, weights: Floats) -> Floats:
    return _held(outcome, weights, _apart(outcome, weights)[1].max(1, initial=0.0))


def _mean_error(outcome: Binary, weights: Floats) -> Floats:
    return _held(outcome, weights, mean_of(outcome.score - outcome.truth, weights))


def _held(outcome: Binary, weights: Floats, found: Floats) -> Floats:
    return found if outcome.is_probability else np.full(len(weights), np.nan)


def logistic_line(outcome: Binary, weights: Floats, slope: float | None = None) -> tuple[Floats, Floats]:
    """Fit `logit P(came) = intercept + slope * logit(predicted)` by the largest likelihood, `(k,)` each.

    NaN where there is none: with one class, with one prediction, or where a threshold parts the classes.

    Args:
        outcome: Of `n` rows.
        weights: `(k, n)`.
        slope: A slope that is held; None = it is fitted too.
    """
    # source: Cox 1958, Two further applications of a model for binary regression, Biometrika 45
    x, y = outcome.logit, outcome.truth
    intercept = np.zeros(len(weights))
    slopes = np.ones(len(weights)) if slope is None else np.full(len(weights), slope)
    exists = outcome.two_classes(weights) & outcome.is_probability
    if slope is None and outcome.n_rows:
        exists &= _overlap(outcome, weights)
    at = np.flatnonzero(exists)
    loss = _line_loss(x, y, weights[at], intercept[at], slopes[at])
    for _ in range(_N_STEPS):
        if not len(at):
            break
        own = weights[at]
        p = expit(intercept[at, None] + slopes[at, None] * x)
        rest, curve = own * (y - p), own * (p * (1 - p))
        gradient = rest.sum(1), rest @ x
        h00, h01, h11 = curve.sum(1), curve @ x, curve @ x**2
        if slope is None:
            det = h00 * h11 - h01**2
            da = (h11 * gradient[0] - h01 * gradient[1]) / det
            db = (h00 * gradient[1] - h01 * gradient[0]) / det
        else:
            da, db = gradient[0] / h00, np.zeros(len(at))
        # half as far while it leads uphill: the likelihood has one top
        for _ in range(_N_STEPS):
            after = _line_loss(x, y, own, intercept[at] + da, slopes[at] + db)
            worse = ~(after <= loss + 1e-12 * np.abs(loss))
            if not worse.any():
                break
            da, db = np.where(worse, da / 2, da), np.where(worse, db / 2, db)
        intercept[at] += da
        slopes[at] += db
        moving = (np.abs(da) > _CLOSE * (1 + np.abs(intercept[at]))) | (np.abs(db) > _CLOSE * (1 + np.abs(slopes[at])))
        at, loss = at[moving], after[moving]
    return np.where(exists, intercept, np.nan), np.where(exists, slopes, np.nan)


def _overlap(outcome: Binary, weights: Floats) -> Bools:
    """Whether no threshold parts the classes `(k,)`: only then has a line a largest likelihood."""
    x, there = outcome.logit, weights > 0
    positive, negative = there & (outcome.truth == 1), there & (outcome.truth == 0)
    low1, low0 = (np.where(one, x, np.inf).min(1) for one in (positive, negative))
    high1, high0 = (np.where(one, x, -np.inf).max(1) for one in (positive, negative))
    both: Bools = (low1 < high0) & (low0 < high1)
    return both


def _line_loss(x: Floats, y: Floats, weights: Floats, intercept: Floats, slope: Floats) -> Floats:
    z = intercept[:, None] + slope[:, None] * x
    loss: Floats = (weights * (np.logaddexp(0, z) - y * z)).sum(1)
    return loss


def _no_line(outcome: Binary, weights: Floats) -> str:
    if reason := no_probability(outcome, weights):
        return reason
    if np.ptp(outcome.logit[weights > 0]) == 0:
        return "all predictions are equal"
    return "a threshold parts the classes: no finite line fits"


ECE = Metric("ece", "ECE", "smaller", _ece, no_probability, ADDS_UP)
MCE = Metric("mce", "largest bin error", "smaller", _mce, no_probability, ADDS_UP)
MEAN_ERROR = Metric("mean_error", "mean predicted - came", "0", _mean_error, no_probability)
SLOPE = Metric("calibration_slope", "slope", "1", lambda outcome, w: logistic_line(outcome, w)[1], _no_line)
INTERCEPT = Metric("calibration_intercept", "intercept", "0", lambda outcome, w: logistic_line(outcome, w)[0], _no_line)
IN_THE_LARGE = Metric(
    "calibration_in_the_large",
    "in the large",
    "0",
    lambda outcome, w: logistic_line(outcome, w, 1.0)[0],
    no_probability,
)
CALIBRATION = (ECE, MCE, MEAN_ERROR, SLOPE, INTERCEPT, IN_THE_LARGE)
"""Whether probabilities are what comes. In the large: the shift of log odds that would mend the mean."""


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit by threshold, in true positives a row; `t` thresholds."""

    threshold: Floats
    """`(t,)`."""
    model: Floats
    """`(t,)`, of treating those at or above it."""
    treat_all: Floats
    """`(t,)`, of treating all; treating none has 0."""


def decision_curve(
    outcome: Binary, thresholds: Sequence[float] | Floats, weights: ArrayLike | None = None
) -> DecisionCurve:
    """Return the net benefit `TP/n - FP/n * t/(1-t)` of acting on predictions at each threshold `t`.

    Raises:
        ConfigError: A threshold is not between 0 and 1, the scores are no probabilities, or there are no rows.
    """
    # source: Vickers and Elkin 2006, Decision curve analysis, Medical Decision Making 26
    at = np.asarray(thresholds, dtype=np.float64)
    row = held_weights(weights, outcome.n_rows)
    if ((at <= 0) | (at >= 1)).any():
        raise ConfigError("thresholds", "lie outside of 0 to 1, expected numbers between")
    if not outcome.is_probability or not row.any():
        what = "there are no rows" if outcome.is_probability else "the scores are not within 0 and 1"
        raise ConfigError("decision curve", f"{what}, expected probabilities of some rows")
    odds = at / (1 - at)
    order = np.argsort(outcome.score, kind="stable")
    first = np.searchsorted(outcome.score[order], at, side="left")

    def above(values: Floats) -> Floats:
        sums = np.append(values[order][::-1].cumsum()[::-1], 0.0)
        kept: Floats = sums[first]
        return kept

    n, tp = row.sum(), above(row * outcome.truth)
    share = (row * outcome.truth).sum() / n
    return DecisionCurve(at, (tp - (above(row) - tp) * odds) / n, share - (1 - share) * odds)
