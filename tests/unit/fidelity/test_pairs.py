"""Shares of subjects with a data_type, with two of them and with one after the other, against loops over records."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import r2_score

from tawt.fidelity.groups import N_GROUPS, group_of, without
from tawt.fidelity.pairs import LEAST_COUNT, pairs_compared, pairs_of, r_squared
from tests import toy

SIZE, DAY = 12, 24 * 3_600_000_000
TYPES = np.array([4, 5, 6, 8, 9, 11])


def plainly(records, has_static=True):
    """Counts by group: who has each data_type, both of two, both within a day, one right after the other."""
    people, kinds = np.zeros((N_GROUPS, SIZE)), ("together", "near", "after")
    found = {name: np.zeros((N_GROUPS, len(TYPES), len(TYPES))) for name in kinds}
    for i in range(records.n_subjects):
        own = records.take(np.array([i]))
        codes = set(own.data_type.tolist())
        for code in codes:
            people[i % N_GROUPS, code] += 1
        moments: dict[int, set[int]] = {}
        for time, code, static in zip(own.time.tolist(), own.data_type.tolist(), own.is_static, strict=True):
            if not static:
                moments.setdefault(time, set()).add(code)
        when = sorted(moments)
        for a, x in enumerate(TYPES):
            for b, y in enumerate(TYPES):
                found["together"][i % N_GROUPS, a, b] += x in codes and y in codes
                found["near"][i % N_GROUPS, a, b] += any(
                    x in moments[s] and y in moments[t] and abs(s - t) <= DAY for s in when for t in when
                )
                found["after"][i % N_GROUPS, a, b] += any(
                    x in moments[s] and y in moments[t] for s, t in pairwise(when)
                )
    return people, found


def test_counts_are_those_of_loops_over_records():
    """By group of subjects: statics have no time, and what is at one moment is within a day of itself."""
    records = toy.mixed(80, 1)
    counted = pairs_of(records, group_of(0, 80), TYPES, SIZE)
    people, found = plainly(records)
    assert np.array_equal(counted.people, people) and counted.n.tolist() == [4] * N_GROUPS
    for name, expected in found.items():
        assert np.array_equal(getattr(counted, name), expected), name
    assert 0 < found["after"].sum() < found["near"].sum() < found["together"].sum()


def test_r_squared_is_about_the_line_of_equals():
    """As scikit-learn has it; it is below 0 where a mean would be nearer, and of what does not vary there is none."""
    rng = np.random.default_rng(0)
    p, q = rng.random(50), rng.random(50)
    assert r_squared(p, q) == pytest.approx(r2_score(p, q)) and r_squared(p, q) < 0
    assert r_squared(p, 0.5 * p) < 1 == r_squared(p, p) and np.isnan(r_squared(np.ones(3), p[:3]))


def both(real, other):
    """Two sets as they are compared, whole."""
    return [without(pairs_of(x, group_of(0, x.n_subjects), TYPES, SIZE), None) for x in (real, other)]


def test_numbers_follow_from_the_counts():
    """R2 over pairs that 5 real subjects have, what no real one has, and what is missing."""
    real, other = toy.mixed(20, 1), toy.mixed(20, 2)
    real, other = real.keep(real.data_type != 9), other.keep(other.data_type != 6)
    a, b = both(real, other)
    found = pairs_compared(a, b)(a, b)
    p, q = a.people / 20, b.people / 20
    either = (p + q) > 0
    assert found["prevalence"] == pytest.approx(r2_score(p[either], q[either]))
    logs = [np.log10(np.maximum(one[either], 1 / 20)) for one in (p, q)]
    assert found["prevalence_log"] == pytest.approx(r2_score(*logs))
    assert found["new_types"] == pytest.approx(q[9] / q.sum()) and found["missing_types"] == pytest.approx(
        p[6] / p.sum()
    )
    at_least = 0
    upper = np.triu_indices(len(TYPES), 1)
    for name, of in (("cooccurrence", "together"), ("cooccurrence_24h", "near"), ("sequence", "after")):
        where = slice(None) if of == "after" else upper
        x, y = (getattr(one, of)[where].ravel().astype(float) for one in (a, b))
        assert found[name] == pytest.approx(r2_score(x[x >= LEAST_COUNT] / 20, y[x >= LEAST_COUNT] / 20), abs=1e-5)
        assert found[f"{name}_false"] == pytest.approx(y[x == 0].sum() / y.sum()) and found[f"{name}_false"] > 0.05
        at_least += (x == LEAST_COUNT).sum()
    assert at_least > 3


def test_no_number_tells_how_many_of_few_there_are():
    """A share that 1 to 10 subjects make is told as that of 10; none, and many, are told as they are."""
    real = toy.mixed(100, 1)
    few = real.keep((real.data_type != 9) | (real.subject < 8))
    assert (few.data_type == 9).any()
    a, b = both(few, real.keep(real.data_type != 9))
    found = pairs_compared(a, b)(a, b)
    assert found["missing_types"] == 10 / a.people.sum() and found["new_types"] == 0
    assert 1 < a.people[9] < 10
