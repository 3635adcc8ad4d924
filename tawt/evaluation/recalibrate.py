"""Probabilities mended after training, on rows that are not tested on: a temperature, a line, a curve, or steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Floats
from tawt.errors import ContractError
from tawt.evaluation.calibration import CALIBRATION, logistic_line
from tawt.evaluation.measure import Measure, held_weights, measured, numbers
from tawt.evaluation.metrics import LOG_LOSS, Binary, expit

_STEPPED_FROM = 200
"""Positives from which steps and curves are worth their freedom."""
_COLDEST, _HOTTEST = 1e-3, 1e3
_N_STEPS = 100


@dataclass(frozen=True)
class Recalibration:
    """How probabilities are mended; what could not be fitted leaves them as they are."""

    name: str
    """temperature, line, curve or steps."""
    parameters: dict[str, list[float]]
    """What was fitted."""
    mend: Callable[[Floats], Floats]
    """Probabilities `(n,)` -> probabilities `(n,)`."""
    reason: str | None = None
    """Why nothing was fitted."""


def temperature(truth: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None) -> Measure:
    """Return the temperature by which logits are to be divided for the smallest log loss.

    Args:
        truth: `(n,)`, 1 or 0, or the number of the class.
        logits: `(n,)` log odds, or `(n, c)` with one for each class.
        weights: `(n,)`.

    Returns:
        The temperature; none with one class, where logits tell nothing or the wrong way round (the larger it is the
        better), or where they part the classes (the smaller the better).

    Raises:
        ContractError: Truths are no classes of the logits, or something is not finite.
    """
    # source: Guo et al. 2017, On calibration of modern neural networks
    given = np.asarray(logits, dtype=np.float64)
    z = numbers(given, "logits", n_dims=2) if given.ndim == 2 else numbers(given, "logits")
    if z.ndim == 1:
        z = np.stack((np.zeros(len(z)), z), 1)
    told = numbers(truth, "truth", len(z))
    if n_other := int((~np.isin(told, np.arange(z.shape[1]))).sum()):
        raise ContractError("truth", f"has {n_other:,} classes without a logit, expected 0 to {z.shape[1] - 1}")
    row = held_weights(weights, len(z))
    if not row.any():
        return Measure(None, "no rows")
    if np.ptp(told[row > 0]) == 0:
        return Measure(None, "one class")
    own = np.take_along_axis(z, told.astype(np.int64)[:, None], 1)[:, 0]

    def downhill(by: float) -> float:
        """The slope of the loss in the inverse temperature, which only ever rises with it."""
        scaled = by * (z - z.max(1, keepdims=True))
        share = np.exp(scaled)
        mean = (share * z).sum(1) / share.sum(1)
        return float(row @ (mean - own))

    low, high = 1 / _HOTTEST, 1 / _COLDEST
    if downhill(low) >= 0:
        return Measure(None, "logits tell nothing, or the wrong way round")
    if downhill(high) <= 0:
        return Measure(None, "logits part the classes: no finite temperature fits")
    for _ in range(200):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if downhill(middle) < 0 else (low, middle)
        if high / low < 1 + 1e-13:
            break
    return Measure(float(1 / np.sqrt(low * high)))


def by_temperature(tuning: Binary) -> Recalibration:
    """Fit a temperature to probabilities."""
    found = temperature(tuning.truth, tuning.logit) if tuning.is_probability else _no_probability()
    if found.value is None:
        return Recalibration("temperature", {}, _as_they_are, found.reason)
    hot = found.value
    return Recalibration("temperature", {"temperature": [hot]}, lambda p: expit(_logit(p) / hot))


def by_line(tuning: Binary) -> Recalibration:
    """Fit intercept and slope to the log odds of probabilities."""
    # source: Platt 1999, Probabilistic outputs for support vector machines
    (a,), (b,) = logistic_line(tuning, np.ones((1, tuning.n_rows)))
    if not np.isfinite(a):
        reason = "one class, one prediction, or a threshold parts the classes"
        return Recalibration("line", {}, _as_they_are, reason if tuning.is_probability else _no_probability().reason)
    return Recalibration("line", {"intercept": [float(a)], "slope": [float(b)]}, lambda p: expit(a + b * _logit(p)))


def by_curve(tuning: Binary) -> Recalibration:
    """Fit a curve of the second degree to the log odds, where there are at least 200 positives and negatives.

    It bends what a line cannot: risks that are too low in the middle alone. Where it would turn round, it
    stays as it is there, so that no order is changed.
    """
    line = by_line(tuning)
    if line.reason is not None:
        return Recalibration("curve", {}, _as_they_are, line.reason)
    if min(tuning.truth.sum(), (1 - tuning.truth).sum()) < _STEPPED_FROM:
        return Recalibration("curve", {}, _as_they_are, f"fewer than {_STEPPED_FROM} rows of a class")
    z = tuning.logit
    found = _newton(np.stack((np.ones(len(z)), z, z**2), 1), tuning.truth)
    a, b, c = found.tolist()
    turn = -b / (2 * c) if c else np.inf
    low, high = (turn, np.inf) if c > 0 else (-np.inf, turn)

    def mend(p: Floats) -> Floats:
        own = np.clip(_logit(p), low, high)
        return expit(a + b * own + c * own**2)

    return Recalibration("curve", {"intercept": [a], "slope": [b], "bend": [c]}, mend)


def _newton(x: Floats, truth: Floats) -> Floats:
    """Return the coefficients `(k,)` of logistic regression on `(n, k)` columns, without a penalty."""
    found = np.zeros(x.shape[1])
    for _ in range(_N_STEPS):
        p = expit(x @ found)
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (truth - p))
        found += step
        if np.abs(step).max() < 1e-10 * (1 + np.abs(found).max()):
            break
    return found


def by_steps(tuning: Binary) -> Recalibration:
    """Fit rising steps, straight from one to the next, where there are at least 200 positives and negatives."""
    # source: Zadrozny and Elkan 2002, Transforming classifier scores into accurate multiclass probability estimates
    n_fewer = int(min(tuning.truth.sum(), (1 - tuning.truth).sum()))
    if n_fewer < _STEPPED_FROM:
        return Recalibration("steps", {}, _as_they_are, f"fewer than {_STEPPED_FROM} rows of a class")
    scores, group = np.unique(tuning.score, return_inverse=True)
    held = np.bincount(group).astype(np.float64)
    levels = rising(np.bincount(group, tuning.truth) / held, held)
    # a step that is 0 or 1 would say that what is unlikely cannot be: half a row is put on either side
    levels = np.clip(levels, 0.5 / tuning.n_rows, 1 - 0.5 / tuning.n_rows)
    return Recalibration(
        "steps", {"at": scores.tolist(), "is": levels.tolist()}, lambda p: np.interp(p, scores, levels)
    )


def rising(values: Floats, weights: Floats) -> Floats:
    """Return the nearest numbers to some that never fall, by weighted squares: neighbours that do are pooled."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (v1, w1, n1), (v0, w0, n0) = blocks.pop(), blocks.pop()
            blocks.append(((v0 * w0 + v1 * w1) / (w0 + w1), w0 + w1, n0 + n1))
    return np.concatenate([np.empty(0), *(np.full(n, v) for v, _, n in blocks)])


def before_and_after(tuning: Binary, test: Binary) -> dict[str, dict[str, Measure]]:
    """Return calibration and log loss of the test rows as they were predicted, and mended in each way on `tuning`."""
    metrics = (*CALIBRATION, LOG_LOSS)
    found = {"before": measured(metrics, test)}
    for fit in (by_temperature, by_line, by_curve, by_steps):
        how = fit(tuning)
        if how.reason is None:
            found[how.name] = measured(metrics, Binary(test.truth, how.mend(test.score)))
        else:
            found[how.name] = {metric.name: Measure(None, how.reason) for metric in metrics}
    return found


def _no_probability() -> Measure:
    return Measure(None, "scores are not within 0 and 1")


def _as_they_are(p: Floats) -> Floats:
    return p


def _logit(p: Floats) -> Floats:
    return Binary(np.zeros(len(p)), p).logit
