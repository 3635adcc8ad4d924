"""Clouds of points against sums written out and scipy: correlation, MMD, precision, recall, density, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from tawt.fidelity.discriminate import N_FOLDS, folds, scored, told_apart
from tawt.fidelity.distances import correlations, mmd, surroundings
from tawt.fidelity.groups import N_GROUPS
from tawt.fidelity.utility import Labelled, utility


@pytest.fixture
def clouds():
    """Two that overlap, of different sizes, and some doubles."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 6)).astype(np.float32), rng.normal(0.4, 1.2, (130, 6)).astype(np.float32)
    y[:7] = y[7:14]
    return x, y


def test_correlations_are_those_of_numpy(clouds):
    """The mean gap over pairs of features; what does not vary in a set is left out."""
    x, y = clouds
    upper = np.triu_indices(6, 1)
    gap = np.abs(np.corrcoef(x.T)[upper] - np.corrcoef(y.T)[upper]).mean()
    assert correlations(x, y)["correlation"].value == pytest.approx(gap, abs=1e-6)
    flat = [np.concatenate([one, np.ones((len(one), 1), np.float32)], 1) for one in (x, y)]
    assert correlations(*flat)["correlation"].value == pytest.approx(gap, abs=1e-6)


def test_mmd_is_the_unbiased_sum_over_pairs(clouds):
    """Kernels of different points alone, as wide as the median distance; also where no number is a whole block."""
    x, y = (one.astype(float) for one in clouds)
    width = np.median(pdist(x)) ** 2
    k = {
        name: np.exp(-(cdist(*pair) ** 2) / (2 * width))
        for name, pair in {"x": (x, x), "y": (y, y), "xy": (x, y)}.items()
    }
    n, m = len(x), len(y)
    expected = (k["x"].sum() - n) / (n * (n - 1)) + (k["y"].sum() - m) / (m * (m - 1)) - 2 * k["xy"].mean()
    assert mmd(*clouds)["mmd"].value == pytest.approx(expected, abs=1e-6) and expected > 0.01
    assert mmd(clouds[0][::2], clouds[0][1::2])["mmd"].value < 0.01


@pytest.mark.parametrize("block", [512, 7])
def test_surroundings_are_those_of_all_distances(clouds, monkeypatch, block):
    """Each point's `k`-th neighbour in its own set, itself left out by its number: a double is a neighbour."""
    monkeypatch.setattr("tawt.distances.BLOCK", block)
    x, y = clouds

    def kth(z):
        return np.array([np.sort(np.delete(cdist(z[i : i + 1], z)[0], i))[4] for i in range(len(z))])

    rx, ry, apart = kth(x), kth(y), cdist(x, y)
    expected = {
        "precision": np.mean([any(apart[t, s] < rx[t] for t in range(len(x))) for s in range(len(y))]),
        "recall": np.mean([any(apart[t, s] < ry[s] for s in range(len(y))) for t in range(len(x))]),
        "density": sum(apart[t, s] < rx[t] for t in range(len(x)) for s in range(len(y))) / (5 * len(y)),
        "coverage": np.mean([apart[t].min() < rx[t] for t in range(len(x))]),
    }
    found = surroundings(x, y)
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected, abs=1e-6)
    assert all(one.low < one.value < one.high for one in found.values()) and min(expected.values()) < 0.9
    assert surroundings(x[:5], y)["recall"].reason == "fewer than 7 subjects"


def test_who_is_asked_twice_is_left_out_at_once():
    """Rows of one subject are dealt into one group: with each of them twice intervals are those of them once."""
    rng = np.random.default_rng(2)
    features = [rng.normal(size=(300, 4)).astype(np.float32) for _ in range(3)]
    train, test, other = (Labelled(x, x[:, 0] + rng.normal(size=300) > 0) for x in features)
    once = utility(train, test, other)
    twice = Labelled(np.repeat(test.features, 2, 0), np.repeat(test.label, 2), np.repeat(np.arange(300) + 7, 2))
    for name in ("trtr", "tstr", "ratio"):
        again = utility(train, twice, other)[name]
        assert (again.value, again.low, again.high) == pytest.approx(
            (once[name].value, once[name].low, once[name].high)
        )


@pytest.mark.parametrize("few", [1, 9])
def test_few_people_who_are_near_are_told_as_ten(few):
    """In precision, recall and coverage, as everywhere; nobody is told as nobody."""
    rng = np.random.default_rng(0)
    real, far = rng.normal(size=(200, 4)).astype(np.float32), rng.normal(100, 1, (200, 4)).astype(np.float32)
    some = np.concatenate([real[:few] + np.float32(1e-3), far[few:]])
    told, none = surroundings(real, some), surroundings(real, far)
    assert told["precision"].value == 10 / 200 and none["precision"].value == none["recall"].value == 0
    assert all(round(told[name].value * 200) >= 10 for name in ("recall", "coverage"))


def test_who_is_asked_about_was_not_learned_from(clouds):
    """Each subject's score comes from a model that had four fifths of both sets, without it."""
    x, y = clouds
    seen = []

    def model(fit, truth, asked, seed):
        rows = {row.tobytes() for row in fit}
        seen.append((truth.sum(), (~truth).sum(), sum(row.tobytes() in rows for row in asked)))
        return asked[:, 0].astype(float)

    y = np.unique(y, axis=0)
    of_x, of_y = scored(model, x, y)
    assert np.array_equal(of_x, x[:, 0]) and np.array_equal(of_y, y[:, 0])
    assert len(seen) == N_FOLDS and {known for _, _, known in seen} == {0}
    assert {real for _, real, _ in seen} == {120} and N_GROUPS % N_FOLDS == 0 and len(set(folds(150))) == N_FOLDS
    one = told_apart(of_x, of_y)
    pairs = [(b > a) + 0.5 * (a == b) for a in of_x for b in of_y]
    assert one.value == pytest.approx(np.mean(pairs)) and one.low < one.value < one.high


def test_utility_tells_a_set_that_teaches_from_one_that_does_not():
    """Labels that were shuffled teach nothing, and a set like the real one as much."""
    rng = np.random.default_rng(1)
    features = [rng.normal(size=(400, 8)).astype(np.float32) for _ in range(3)]
    train, test, good = (Labelled(x, x[:, 0] + 0.5 * x[:, 1] + rng.normal(size=400) > 0) for x in features)
    fine, bad = utility(train, test, good), utility(train, test, Labelled(good.features, rng.permutation(good.label)))
    assert fine["trtr"].value == bad["trtr"].value > 0.75 and fine["ratio"].value > 0.93
    assert abs(bad["tstr"].value - 0.5) < 0.15 and bad["trts"].value < 0.6 and bad["ratio"].high < 0.9
    for one in (fine, bad):
        learned, best = one["tstr"].value, one["trtr"].value
        assert one["ratio"].value == pytest.approx(learned / best)
        assert one["kept"].value == pytest.approx((learned - 0.5) / (best - 0.5))
        assert one["kept"].low < one["kept"].value < one["kept"].high
    assert bad["ratio"].value > 0.5 and abs(bad["kept"].value) < 0.5, "what learned nothing kept nothing"
    assert fine["importances"].value > bad["importances"].value and fine["augmented"].value > 0.75
    one_class = utility(train, test, Labelled(good.features, np.zeros(400, bool)))
    assert one_class["tstr"].value is None and one_class["trts"].value is None and one_class["augmented"].value > 0.5
