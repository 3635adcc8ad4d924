"""Distributions of values against scipy, and samples that do not hang on how a set is cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import iqr, ks_2samp, wasserstein_distance

from tawt.fidelity import distributions
from tawt.fidelity import portrait as portrait_module
from tawt.fidelity.distributions import apart
from tawt.fidelity.groups import group_of, without
from tawt.fidelity.portrait import portrait_of
from tawt.fidelity.values import limits, total_variation, values_compared, values_of
from tests import toy

SIZE = toy.N_TYPES


def seen(records, size=SIZE):
    """Values of records, by group."""
    return values_of(records, group_of(0, records.n_subjects), size)


def test_distances_are_those_of_scipy():
    """Of sets of different sizes, with ties."""
    rng = np.random.default_rng(0)
    for n, m in ((40, 70), (500, 31)):
        x, y = np.sort(np.round(rng.normal(size=n), 1)), np.sort(np.round(rng.normal(0.3, 2, m), 1))
        assert apart(x, y) == pytest.approx((ks_2samp(x, y).statistic, wasserstein_distance(x, y)))


def test_numbers_of_each_data_type_are_summed_up():
    """Medians, means by real counts and W1 in interquartile ranges, over data_types with 30 values on both sides."""
    real, other = toy.oracle(300, 1).records, toy.oracle(300, 2).records
    ks, w1, n = [], [], []
    for kind in range(toy.FIRST, SIZE):
        x, y = (one.value[one.data_type == kind] for one in (real, other))
        if min(len(x), len(y)) >= 30:
            ks.append(ks_2samp(x, y).statistic)
            w1.append(wasserstein_distance(x, y) / iqr(x))
            n.append(len(x))
    within = np.full(SIZE, 0.1)
    found = values_compared(within)(*(without(seen(one), None) for one in (real, other)))(
        *(without(seen(one), None) for one in (real, other))
    )
    assert len(ks) < toy.N_CODES
    assert found["ks"] == pytest.approx(np.median(ks)) and found["w1"] == pytest.approx(np.median(w1), rel=1e-4)
    assert found["ks_farthest"] == pytest.approx(max(ks))
    assert found["ks_weighted"] == pytest.approx(np.average(ks, weights=n))
    assert found["ks_above"] == pytest.approx(np.mean(np.array(ks) > 0.1)) and found["ks_above"] > 0


def test_categories_and_statuses_are_held_by_total_variation():
    """Half the sum of the gaps of shares, by data_type; what is missing more often is seen by statuses alone."""
    real, other = toy.mixed(300, 1), toy.mixed(300, 2)

    def tv(column, kind, keep):
        sets = [getattr(x, column)[(x.data_type == kind) & keep(x)] for x in (real, other)]
        return 0.5 * sum(abs((sets[0] == t).mean() - (sets[1] == t).mean()) for t in np.union1d(*sets)), len(sets[0])

    a, b = (without(seen(one, 12), None) for one in (real, other))
    found = values_compared(np.full(12, np.nan))(a, b)(a, b)
    named = [tv("value_token", kind, lambda x: x.value_status == 2) for kind in (4, 5, 8)]
    all_rows = [(real.data_type == kind).sum() for kind in (4, 5, 8)]
    assert found["categories"] == pytest.approx(np.average([one for one, _ in named], weights=all_rows))
    every = [tv("value_status", kind, lambda x: x.time >= 0) for kind in range(4, 12)]
    assert found["statuses"] == pytest.approx(np.average([one for one, _ in every], weights=[n for _, n in every]))
    assert np.isnan(total_variation(np.zeros(3), np.ones(3))) and found["ks_above"] is None


def test_real_sets_stay_below_their_limit_and_moved_values_do_not():
    """About 95 of 100 data_types of fresh records do; with all values moved by half of a spread few do."""
    real, ceiling, fresh = (toy.oracle(600, seed).records for seed in (1, 2, 3))
    a, b, c = (without(seen(one), None) for one in (real, ceiling, fresh))
    within = limits(a, b)
    assert values_compared(within)(a, c)(a, c)["ks_above"] < 0.2
    moved = without(seen(type(fresh)(**{**vars(fresh), "value": fresh.value + 0.5})), None)
    assert values_compared(within)(a, moved)(a, moved)["ks_above"] > 0.8


def test_a_sample_is_the_same_however_a_set_is_cut(monkeypatch):
    """In one piece or in many, and no more of a kind than are to be kept; it looks like all of them."""
    records, types = toy.oracle(1000, 1).records, np.arange(4, 64)
    monkeypatch.setattr(distributions, "MOST", 300)
    whole = portrait_of(records, types, SIZE)
    monkeypatch.setattr(portrait_module, "_CELLS", 150_000)
    cut = portrait_of(records, types, SIZE)
    assert whole.n_subjects == cut.n_subjects == 1000
    for one, other in ((whole.values.numbers, cut.values.numbers), (whole.structure.gaps, cut.structure.gaps)):
        for name in ("kind", "value", "group", "word"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    sizes = whole.values.numbers.sizes(SIZE)
    assert sizes.max() == 300 and np.array_equal(sizes, np.minimum(np.bincount(records.data_type, minlength=SIZE), 300))
    most = int(np.bincount(records.data_type).argmax())
    assert apart(whole.values.numbers.of(most), np.sort(records.value[records.data_type == most]))[0] < 0.08
    assert np.array_equal(whole.pairs.near, cut.pairs.near) and np.allclose(whole.temporal.lag, cut.temporal.lag)
