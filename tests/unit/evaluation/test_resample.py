"""Draws of subjects: the same as copying their rows, counted where a metric is not defined, paired between models."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tawt.errors import ConfigError, ContractError
from tawt.evaluation.calibration import ECE, MCE, SLOPE
from tawt.evaluation.measure import Metric, Outcome
from tawt.evaluation.metrics import AUROC, AVERAGE_PRECISION, BRIER, PREVALENCE, Binary
from tawt.evaluation.official import EVENT_TWO
from tawt.evaluation.resample import differences, draws_of, intervals
from tawt.evaluation.survival import D_CALIBRATION, Survival

RNG = np.random.default_rng(5)
SUBJECT = np.repeat(np.arange(60) * 7 + 3, RNG.integers(1, 5, 60))
N = len(SUBJECT)
Y = (RNG.random(N) < 0.4).astype(float)
P = np.clip(0.3 * Y + 0.6 * RNG.random(N), 0, 1)


def test_a_draw_of_subjects_is_their_rows_copied() -> None:
    """The metric of each draw is that of the rows of the subjects in it, each as often as it was drawn."""
    draws = draws_of(SUBJECT, 20, seed=4)
    over = draws.of([AUROC, BRIER], Binary(Y, P))
    weights = draws.weights(0, 20)
    for i, row in enumerate(weights):
        times = {int(s): {int(w) for w in row[s == SUBJECT]} for s in set(SUBJECT)}
        assert all(len(of) == 1 for of in times.values()) and sum(of.pop() for of in times.values()) == 60
        again = np.repeat(np.arange(N), row.astype(int))
        assert over[0, i] == pytest.approx(roc_auc_score(Y[again], P[again]))
        assert over[1, i] == pytest.approx(((Y[again] - P[again]) ** 2).mean())
    assert weights.max() > 1 and len({row.tobytes() for row in weights}) == 20


def test_draws_hang_on_the_seed_alone() -> None:
    """Equal seeds give equal draws, in whatever pieces they are made; another seed gives others."""
    draws = draws_of(SUBJECT, 9, seed=1)
    assert (np.concatenate([draws.weights(0, 4), draws.weights(4, 9)]) == draws.weights(0, 9)).all()
    assert (draws_of(SUBJECT, 9, seed=2).weights(0, 9) != draws.weights(0, 9)).any()


def test_an_interval_is_of_percentiles_of_draws() -> None:
    """The ends are the 2.5th and 97.5th percentile of as many draws as asked; every subject is equally likely."""
    found, over = intervals([AUROC], Binary(Y, P), draws_of(SUBJECT, 400))
    one = found["auroc"]
    assert (one.low, one.high) == pytest.approx(tuple(np.percentile(over[0], [2.5, 97.5])))
    assert one.value == pytest.approx(roc_auc_score(Y, P)) and one.n_draws == 400 and one.reason is None
    times = draws_of(np.arange(50), 400).weights(0, 400)
    assert times.mean(0) == pytest.approx(np.ones(50), abs=0.25) and times.var() == pytest.approx(1 - 1 / 50, abs=0.05)


def test_draws_without_a_class_are_counted_and_left_out() -> None:
    """Of one positive subject about a third of draws has none: they are told, and the others make the interval."""
    y = np.zeros(30)
    y[7] = 1
    found, over = intervals([AUROC, PREVALENCE], Binary(y, RNG.random(30)), draws_of(np.arange(30), 300))
    n_without = int((over[1] == 0).sum())
    assert 60 < n_without < 160
    assert (found["auroc"].n_degenerate, found["auroc"].n_draws) == (n_without, 300 - n_without)
    assert found["auroc"].low is not None and found["prevalence"].n_degenerate == 0
    none = intervals([AUROC], Binary(np.zeros(30), np.ones(30)), draws_of(np.arange(30), 50))[0]["auroc"]
    assert (none.value, none.low, none.reason, none.n_degenerate) == (None, None, "one class", 50)
    alone = intervals([AUROC], Binary([], []), draws_of([], 50))[0]["auroc"]
    assert alone.reason == "no rows" and alone.n_draws == 0


def test_differences_are_draw_by_draw() -> None:
    """A model less another is taken within each draw, which is far narrower than their intervals apart."""
    metrics = [AUROC, BRIER, PREVALENCE]
    draws = draws_of(SUBJECT, 300)
    near = np.clip(P + 0.02 * RNG.normal(size=N), 0, 1)
    one, two = intervals(metrics, Binary(Y, P), draws), intervals(metrics, Binary(Y, near), draws)
    found = differences(metrics, one, two)
    apart = one[1] - two[1]
    for i, metric in enumerate(metrics):
        ends = found[metric.name].low, found[metric.name].high
        assert ends == pytest.approx(tuple(np.percentile(apart[i], [2.5, 97.5])))
    assert found["auroc"].better == pytest.approx(np.mean((apart[0] > 0) + 0.5 * (apart[0] == 0)))
    assert found["brier"].better == pytest.approx(np.mean((apart[1] < 0) + 0.5 * (apart[1] == 0)))
    assert found["prevalence"].better is None and found["prevalence"].value == 0
    width, alone = found["auroc"].high - found["auroc"].low, one[0]["auroc"].high - one[0]["auroc"].low  # type: ignore[operator]
    assert width < alone / 2
    itself = differences(metrics, one, one)["auroc"]
    assert (itself.value, itself.low, itself.better) == (0, 0, 0.5)


def test_of_a_slope_the_nearer_to_one_is_better() -> None:
    """Neither larger nor smaller slopes win, but those nearer to one."""
    metrics, draws = [SLOPE], draws_of(SUBJECT, 40)
    one, two = intervals(metrics, Binary(Y, P), draws), intervals(metrics, Binary(Y, np.sqrt(P)), draws)
    nearer = np.abs(one[1][0] - 1) < np.abs(two[1][0] - 1)
    assert differences(metrics, one, two)["calibration_slope"].better == pytest.approx(nearer.mean())
    assert 0 <= nearer.mean() <= 1 and one[1].std() > 0


@pytest.mark.parametrize("metric", [ECE, MCE, EVENT_TWO, D_CALIBRATION])
def test_what_draws_only_make_larger_has_no_interval(metric: Metric) -> None:
    """Draws of a perfect model's errors by bins lie above what they are drawn from: no interval, and no winner."""
    rng, above = np.random.default_rng(3), []
    for _ in range(20):
        p = rng.random(300)
        outcome: Outcome = Binary(rng.random(300) < p, p)
        if metric is D_CALIBRATION:
            at = np.arange(0.25, 4, 0.25)
            outcome = Survival(
                rng.exponential(1, 300), np.ones(300), horizons=at, survival=np.tile(np.exp(-at), (300, 1))
            )
        one = intervals([metric], outcome, draws_of(np.arange(300), 60))
        found = one[0][metric.name]
        above.append((one[1][0] > found.value).mean())
        assert found.value is not None and found.low is None and found.high is None
        assert (found.reason or "").startswith("no interval")
    assert np.mean(above) > 0.8
    less = differences([metric], one, one)[metric.name]
    assert (less.value, less.low, less.high, less.better) == (0, None, None, None)
    assert (less.reason or "").startswith("no interval")


def test_balanced_subjects_weigh_the_same() -> None:
    """With balance, the mean over rows becomes the mean over subjects of their own means, in draws too."""
    draws = draws_of(SUBJECT, 30, balanced=True)
    found, over = intervals([PREVALENCE], Binary(Y, P), draws)
    own = np.array([Y[s == SUBJECT].mean() for s in np.unique(SUBJECT)])
    assert found["prevalence"].value == pytest.approx(own.mean())
    assert own.mean() != pytest.approx(Y.mean(), abs=1e-3)
    times = draws_of(np.unique(SUBJECT), 30).weights(0, 30)
    assert over[0] == pytest.approx(times @ own / 60)


def test_what_cannot_be_drawn_is_refused() -> None:
    """No draws, other rows and a level outside of 0 to 1 are errors."""
    with pytest.raises(ConfigError, match="at least 1"):
        draws_of(SUBJECT, 0)
    with pytest.raises(ContractError, match="expected 2"):
        intervals([AUROC], Binary([0, 1], [0, 1]), draws_of(SUBJECT, 2))
    with pytest.raises(ConfigError, match="level"):
        intervals([AVERAGE_PRECISION], Binary(Y, P), draws_of(SUBJECT, 2), level=95)
