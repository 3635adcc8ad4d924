"""Calibration and its mending, held to their definitions row by row, and to scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tawt.errors import ConfigError, ContractError
from tawt.evaluation.calibration import (
    CALIBRATION,
    ECE,
    IN_THE_LARGE,
    INTERCEPT,
    MCE,
    MEAN_ERROR,
    SLOPE,
    bins_of,
    decision_curve,
)
from tawt.evaluation.measure import measured
from tawt.evaluation.metrics import Binary
from tawt.evaluation.recalibrate import (
    before_and_after,
    by_curve,
    by_line,
    by_steps,
    by_temperature,
    rising,
    temperature,
)

RNG = np.random.default_rng(3)
RISK = RNG.beta(1, 5, 400)
Y = (RNG.random(400) < RISK).astype(float)
P = np.clip(RISK**0.7, 0.001, 0.999)
W = RNG.integers(0, 4, 400).astype(float)


def by_hand(y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """ECE and the largest error of a bin, for predictions that all differ."""
    n, n_bins = len(y), int(min(15, max(1, y.sum() // 5)))
    order = sorted(range(n), key=lambda i: p[i])
    bins: list[list[int]] = [[] for _ in range(n_bins)]
    for place, i in enumerate(order):
        bins[int((place + 0.5) / n * n_bins)].append(i)
    apart = [abs(np.mean([y[i] for i in rows]) - np.mean([p[i] for i in rows])) for rows in bins]
    return sum(len(rows) / n * a for rows, a in zip(bins, apart, strict=True)), max(apart)


@pytest.mark.parametrize("n", [400, 83, 30])
def test_calibration_error_is_of_bins_of_equal_mass(n: int) -> None:
    """Rows in order of their predictions fall into as many bins as positives allow; each weighs what it holds."""
    expected = by_hand(Y[:n], P[:n])
    found = measured(CALIBRATION, Binary(Y[:n], P[:n]))
    assert (found["ece"].value, found["mce"].value) == pytest.approx(expected)
    assert found["mean_error"].value == pytest.approx((P[:n] - Y[:n]).mean())


def test_the_order_of_rows_with_one_prediction_changes_no_bin() -> None:
    """Equal predictions are in one bin, so rows can be in any order."""
    p = P.round(1)
    order = RNG.permutation(400)
    assert ECE(Binary(Y, p)).value == pytest.approx(ECE(Binary(Y[order], p[order])).value)
    bins = bins_of(Binary(Y, p), np.ones((1, 400)), n_bins=4)
    assert bins.weight.sum() == 400 and (np.diff(bins.predicted[0]) > 0).all()


def test_the_line_of_logits_is_the_likeliest() -> None:
    """Slope and intercept are those of an unpenalized logistic regression; in the large the slope is one."""
    x = np.log(P / (1 - P))
    for weights in (np.ones(400), W):
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], Y, sample_weight=weights)
        found = measured((SLOPE, INTERCEPT, IN_THE_LARGE), Binary(Y, P), weights)
        assert found["calibration_slope"].value == pytest.approx(model.coef_[0, 0], abs=1e-4)
        assert found["calibration_intercept"].value == pytest.approx(model.intercept_[0], abs=1e-4)
        shift = found["calibration_in_the_large"].value
        assert shift is not None
        assert weights @ (1 / (1 + np.exp(-(x + shift)))) == pytest.approx(weights @ Y)
    assert shift < -0.3


def test_a_line_that_is_not_there_is_not_told() -> None:
    """One class, one prediction, and classes that a threshold parts have no line, and say so."""
    reasons = [
        SLOPE(Binary(y, p)).reason for y, p in (([1, 1], [0.1, 0.2]), ([0, 1], [0.3, 0.3]), ([0, 1], [0.3, 0.4]))
    ]
    assert reasons[:2] == ["one class", "all predictions are equal"] and "parts the classes" in str(reasons[2])
    assert "parts" in str(SLOPE(Binary([0, 1, 0, 1], [0.3, 0.4, 0.4, 0.5])).reason)  # touching is parted too
    assert SLOPE(Binary([0, 1, 0, 1], [0.3, 0.4, 0.45, 0.5])).value is not None
    assert SLOPE(Binary([0, 1], [-3, 3])).reason == "scores are not within 0 and 1"


def test_calibration_of_weights_is_that_of_repeated_rows() -> None:
    """Every metric of whole weights is that of rows repeated as often, in a batch of weightings too."""
    again = np.repeat(np.arange(400), W.astype(int))
    for metric in CALIBRATION:
        found = metric.of(Binary(Y, P), np.stack([np.ones(400), W]))
        assert found[1] == pytest.approx(metric(Binary(Y[again], P[again])).value), metric.name
        assert found[0] == pytest.approx(metric(Binary(Y, P)).value), metric.name


def test_net_benefit_counts_false_alarms_at_the_odds_of_the_threshold() -> None:
    """At each threshold the true positives less the false ones at its odds; treating all is of the same form."""
    curve = decision_curve(Binary(Y, P), [0.1, P[0], 0.5])
    for t, model, everybody in zip(curve.threshold, curve.model, curve.treat_all, strict=True):
        tp, fp = ((t <= P) & (Y == 1)).sum(), ((t <= P) & (Y == 0)).sum()
        assert model == pytest.approx(tp / 400 - fp / 400 * t / (1 - t))
        assert everybody == pytest.approx(Y.mean() - (1 - Y.mean()) * t / (1 - t))
    weighted, again = decision_curve(Binary(Y, P), [0.2], W), np.repeat(np.arange(400), W.astype(int))
    assert weighted.model == pytest.approx(decision_curve(Binary(Y[again], P[again]), [0.2]).model)
    with pytest.raises(ConfigError, match="outside"):
        decision_curve(Binary(Y, P), [0.0])
    with pytest.raises(ConfigError, match="no rows"):
        decision_curve(Binary([], []), [0.5])


def test_the_temperature_is_the_best_of_all() -> None:
    """No temperature nearby has a smaller log loss, for two classes and for several; heating is undone."""
    z = np.log(P / (1 - P))

    def loss(logits: np.ndarray, number: np.ndarray, t: float) -> float:
        share = np.exp(logits / t)
        return -float(np.log(share[np.arange(len(number)), number] / share.sum(1)).mean())

    several = RNG.normal(size=(200, 3)) * 3
    number = np.array([RNG.choice(3, p=np.exp(row / 3) / np.exp(row / 3).sum()) for row in several])
    for truth, given, logits in ((Y, z, np.stack([0 * z, z], 1)), (number, several, several)):
        found = temperature(truth, given).value
        assert found is not None and abs(found - 1) > 0.1
        best = loss(logits, truth.astype(int), found)
        assert all(best < loss(logits, truth.astype(int), found * by) for by in (0.5, 0.99, 1.01, 2))
        assert temperature(truth, given * 5).value == pytest.approx(5 * found)


def test_a_temperature_that_is_not_there_is_not_told() -> None:
    """One class, logits that part the classes and logits that tell the wrong way round have none, and say so."""
    assert temperature([1, 1], [0.0, 1.0]).reason == "one class"
    assert "part" in str(temperature([0, 1], [-1.0, 1.0]).reason)
    assert "wrong way" in str(temperature([0, 1], [1.0, -1.0]).reason)
    with pytest.raises(ContractError, match="without a logit"):
        temperature([0, 2], [1.0, -1.0])
    assert by_temperature(Binary([1, 1], [0.2, 0.3])).reason == "one class"


def test_steps_never_fall_and_are_nearest() -> None:
    """Pooling gives what isotonic regression of scikit-learn gives, with weights."""
    values, weights = RNG.normal(size=60).cumsum().round(1), RNG.integers(1, 5, 60).astype(float)
    expected = IsotonicRegression().fit(np.arange(60), values, weights).predict(np.arange(60))
    assert rising(values, weights) == pytest.approx(expected) and (values != expected).any()


def test_mending_on_other_rows_mends() -> None:
    """A line fitted on tuning rows brings the slope of the test rows near one; what cannot be fitted says why."""
    risk = RNG.beta(1, 5, 6000)
    y = (RNG.random(6000) < risk).astype(float)
    p = 1 / (1 + np.exp(-2.5 * np.log(risk / (1 - risk))))
    tuning, test = Binary(y[:4000], p[:4000]), Binary(y[4000:], p[4000:])
    found = before_and_after(tuning, test)
    slopes = {name: measures["calibration_slope"].value for name, measures in found.items()}
    assert slopes["before"] == pytest.approx(0.4, abs=0.1)
    assert all(slopes[name] == pytest.approx(1, abs=0.25) for name in ("temperature", "line", "steps"))
    assert all(found[name]["ece"].value < found["before"]["ece"].value for name in ("temperature", "line", "steps"))  # type: ignore[operator]
    few = before_and_after(Binary(y[:100], p[:100]), test)
    assert few["steps"]["ece"].reason == "fewer than 200 rows of a class" and few["line"]["ece"].value is not None
    assert by_line(Binary([0, 1], [0.1, 0.9])).reason is not None and by_steps(tuning).reason is None


def test_a_curve_is_the_regression_of_scikit_learn_and_turns_no_order_round() -> None:
    """Its coefficients are those of a regression without penalty on log odds and their squares; what bends back stays level."""
    z = RNG.normal(-1.5, 1.5, 8000)
    y = (RNG.random(8000) < 1 / (1 + np.exp(-(0.2 + 0.9 * z - 0.12 * z**2)))).astype(float)
    p = 1 / (1 + np.exp(-z))
    found = by_curve(Binary(y, p))
    model = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8).fit(np.stack((z, z**2), 1), y)
    expected = [model.intercept_[0], *model.coef_[0]]
    assert [x for (x,) in found.parameters.values()] == pytest.approx(expected, abs=2e-3)
    mended = found.mend(np.linspace(0.001, 0.99999, 2000))
    assert (np.diff(mended) >= 0).all() and mended[-1] == mended[-2]
    few = by_curve(Binary(y[:300], p[:300]))
    assert few.reason == "fewer than 200 rows of a class" and (few.mend(p) == p).all()


def test_the_mean_of_rare_outcomes_is_not_lost_in_bins() -> None:
    """Of risks that are true by construction, the error of bins of equal mass is small, for 1 in 31 too."""
    risk = RNG.beta(1, 30, 20000)
    came = (RNG.random(20000) < risk).astype(float)
    found = measured((ECE, MCE, MEAN_ERROR), Binary(came, risk))
    assert found["ece"].value < 0.006 and abs(found["mean_error"].value) < 0.004  # type: ignore[operator, arg-type]
    assert found["mce"].value > found["ece"].value  # type: ignore[operator]
