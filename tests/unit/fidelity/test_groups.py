"""Intervals: as wide as fresh sets are apart, also of distances, which draws with replacement would inflate."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.fidelity.groups import N_GROUPS, Measure, added, group_of, measured, told, without
from tawt.fidelity.pairs import Pairs, pairs_compared, pairs_of
from tawt.fidelity.structure import structure_compared, structure_of
from tests import toy

TYPES = np.arange(toy.FIRST, toy.N_TYPES)


def test_a_tally_without_a_group_is_that_of_the_others():
    """Counted together or apart, and added up."""
    records, group = toy.mixed(60, 1), group_of(0, 60)
    whole = pairs_of(records, group, np.arange(4, 12), 12)
    left = without(whole, 3)
    own = np.flatnonzero(group != 3)
    expected = without(pairs_of(records.take(own), group[own], np.arange(4, 12), 12), None)
    halves = [pairs_of(records.take(np.arange(a, a + 30)), group_of(a, 30), np.arange(4, 12), 12) for a in (0, 30)]
    for name in Pairs.__dataclass_fields__:
        assert np.array_equal(getattr(left, name), getattr(expected, name))
        assert np.array_equal(getattr(added(*halves), name), getattr(whole, name))


def test_the_interval_of_a_mean_is_that_of_statistics():
    """Nearly: the standard error of a mean, times the quantile of t."""
    values = np.random.default_rng(0).normal(3, 2, 4000)
    group = group_of(0, 4000)

    def mean(left):
        return {"mean": float(values[group != left].mean())}

    one = told(mean(-1), mean, 4000)["mean"]
    assert one.value == pytest.approx(values.mean()) and one.high - one.value == pytest.approx(one.value - one.low)
    assert (one.high - one.low) / (2 * 2.093) == pytest.approx(2 / 4000**0.5, rel=0.35)


def test_intervals_are_as_wide_as_fresh_sets_are_apart():
    """Over sixteen pairs of sets, of an R2, a share and a KS: the spread of the number is that which one pair tells."""
    found, errors = {}, {}
    for i in range(16):
        a, b = (toy.oracle(300, 100 + 2 * i + side).records for side in (0, 1))
        group = group_of(0, 300)
        of = measured(pairs_compared, *(pairs_of(x, group, TYPES, toy.N_TYPES) for x in (a, b)), 300)
        of |= measured(structure_compared(toy.N_TYPES, False), *(structure_of(x, group) for x in (a, b)), 300)
        for name in ("prevalence", "cooccurrence", "sequence_false", "events", "gaps_by_type"):
            found.setdefault(name, []).append(of[name].value)
            errors.setdefault(name, []).append((of[name].high - of[name].low) / (2 * 2.093))
    for name, values in found.items():
        ratio = np.sqrt(np.mean(np.square(errors[name]))) / np.std(values, ddof=1)
        assert 0.55 < ratio < 2.3, (name, ratio)


def test_what_is_not_defined_is_said():
    """No number, no interval where a group alone makes the number, and none of few subjects."""
    whole = {"none": None, "nan": float("nan"), "some": 1.0, "all": 2.0}
    found = told(whole, lambda g: {**whole, "some": None if g == 4 else 1.0}, 200)
    assert found["none"] == found["nan"] == Measure(None, reason="not defined: too little of it")
    assert found["some"].reason == "not defined without each group: no interval" and found["some"].value == 1
    assert found["all"] == Measure(2.0, 2.0, 2.0)
    assert told(whole, lambda g: whole, 99)["all"].reason == "fewer than 100 subjects: no interval"
    assert np.bincount(group_of(7, 40)).tolist() == [2] * N_GROUPS
