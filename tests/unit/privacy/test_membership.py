"""Attacks on membership beside scikit-learn, and what chance makes of few people, by drawing it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import KernelDensity

from tawt.privacy.density import density_ratio, log_density
from tawt.privacy.membership import (
    by_distance,
    by_likelihood,
    by_ratio,
    enough_for,
    in_strata,
    membership,
    rarity,
    safe_rate,
    strata_of,
)
from tawt.privacy.traces import traces_of
from tests import toy

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("digits", [8, 1])
def test_rates_are_those_of_the_curve(digits):
    """AUC and the largest TPR at 1 % and 0.1 % FPR, also where many scores are equal."""
    members, others = np.round(RNG.normal(0.5, 1, 900), digits), np.round(RNG.normal(0, 1, 1500), digits)
    found = membership(members, others, n_draws=50).found
    truth, score = np.repeat([1, 0], [900, 1500]), np.concatenate([members, others])
    fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
    assert found["auc"].value == pytest.approx(roc_auc_score(truth, score))
    assert found["tpr_1"].value == pytest.approx(tpr[fpr <= 0.01].max())
    assert found["tpr_01"].value == pytest.approx(tpr[fpr <= 0.001].max())
    assert found["auc"].low < found["auc"].value < found["auc"].high


def test_so_few_others_have_no_thousandth():
    """Of 999 others one in 1,000 is nobody: that is said, in place of a number; of 99, one in 100."""
    one = membership(RNG.normal(size=500), RNG.normal(size=999), 5).found["tpr_01"]
    assert one.value is None and "1,000 others" in (one.reason or "")
    two = membership(RNG.normal(size=500), RNG.normal(size=99), 5).found["tpr_1"]
    assert two.value is None and "100 others" in (two.reason or "")
    none = membership(RNG.normal(size=10), RNG.normal(size=500), 5).found["auc"]
    assert none.value is None and "fewer than 11" in (none.reason or "")


@pytest.mark.parametrize("n", [100, 400])
def test_what_chance_makes_of_so_few_people(n):
    """The rate that 97.5 of 100 scores which know nothing stay within, is that of scores drawn at random."""
    drawn = []
    for _ in range(3000):
        members, others = RNG.random(n), np.sort(RNG.random(n))
        drawn.append((members > others[-1 - n // 100]).mean())
    within = safe_rate(n, n, 0.01)
    assert np.mean(np.array(drawn) <= within) >= 0.965 and np.mean(np.array(drawn) < within) <= 0.985
    assert safe_rate(n, n, 0.01, 0.9) < within < safe_rate(n, n, 0.01, 0.999)


def test_how_many_are_enough():
    """So many stay within the bound, and 100 fewer do not; 200 people say nothing of a bound of 2 %."""
    n = enough_for(0.02, 0.01)
    assert safe_rate(n, n, 0.01) <= 0.02 < safe_rate(n - 100, n - 100, 0.01) and safe_rate(200, 200, 0.01) > 0.03


def test_scores():
    """Nearer to synthetic records is likelier a member; of two equally near, whom the crowd does not explain."""
    assert by_distance(np.array([1.0, 2.0])).argmax() == 0
    ratio = by_ratio(np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 3.0, 1.0, 0.0]))
    assert ratio[:2] == pytest.approx([0, np.log(3)]) and np.isfinite(ratio).all() and ratio[3] == 0
    own, other = np.array([-3.0, -5.0]), np.array([-3.0, -9.0])
    assert by_likelihood(own).argmax() == 0 and by_likelihood(own, other).argmax() == 1


def test_the_density_is_that_of_scikit_learn():
    """A kernel of Scott's width after whitening, and the ratio after principal components."""
    points, at = RNG.normal(size=(2, 120, 3)) @ np.array([[2, 0, 0], [1, 1, 0], [0, 0.3, 0.5]])
    root = np.linalg.cholesky(np.cov(points, rowvar=False))
    kernel = KernelDensity(bandwidth=120 ** (-1 / 7)).fit(np.linalg.solve(root, points.T).T)
    expected = kernel.score_samples(np.linalg.solve(root, at.T).T) - np.log(np.diag(root)).sum()
    assert log_density(at, points) == pytest.approx(expected, abs=1e-6)
    synthetic, reference, people = RNG.normal(size=(3, 90, 6)) * np.arange(1, 7)
    pca = PCA(2, whiten=True, svd_solver="full").fit(np.concatenate([synthetic, reference]))
    a, b, c = (pca.transform(matrix) for matrix in (people, synthetic, reference))
    assert density_ratio(people, synthetic, reference, 2) == pytest.approx(log_density(a, b) - log_density(a, c))
    assert not density_ratio(people, np.zeros((20, 6)), np.zeros((20, 6))).any()


def test_the_rare_are_those_with_what_few_have():
    """The rarity of a record is the sum of -log prevalence of its distinct data_types, and its rarest tenth is attacked."""
    records = [toy.oracle(400, seed).records for seed in (1, 2, 3)]
    members, others, reference = (traces_of(one) for one in records)
    has = [
        [set(one.data_type[a:b].tolist()) for a, b in zip(one.bounds, one.bounds[1:], strict=False)] for one in records
    ]
    people = np.array([max(sum(c in one for one in has[2]), 0.5) for c in range(toy.N_TYPES)]) / 400
    expected = [np.array([sum(-np.log(people[c]) for c in one) for one in of]) for of in has[:2]]
    assert rarity(members, reference.prevalence(toy.N_TYPES), 400) == pytest.approx(expected[0])
    strata = strata_of(members, others, reference)
    edge = np.quantile(np.concatenate(expected), 0.9)
    assert [side.tolist() for side in strata["rarest tenth"]] == [(e >= edge).tolist() for e in expected]
    score = [(e >= edge) * 1.0 * sign for e, sign in zip(expected, (1, -1), strict=True)]
    found = in_strata(*score, strata, 5)
    assert found["rarest tenth"].found["auc"].value == 1 and found["carriers of the rare"].found["auc"].value is None
