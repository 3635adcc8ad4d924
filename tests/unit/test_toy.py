"""The toy process is what it says, and so is what is made from it badly."""

from __future__ import annotations

import numpy as np

from tests import toy


def test_a_set_is_in_order_and_hangs_on_its_seed_alone():
    """Times never go back, each record begins at its origin, and another seed gives others."""
    one, again, other = toy.oracle(500, 1), toy.oracle(500, 1), toy.oracle(500, 2)
    records = one.records
    for a, b in zip(records.bounds, records.bounds[1:], strict=False):
        assert records.time[a] == 0 and (np.diff(records.time[a:b]) > 0).all()
    assert np.array_equal(records.value, again.records.value) and np.array_equal(one.label, again.label)
    assert len(other.records.value) != len(records.value)
    assert 17 < np.median(records.lengths) < 23 and 0.35 < one.label.mean() < 0.6


def test_shuffled_sets_keep_every_marginal_and_no_order():
    """Codes and the values of each are those of train; what follows what is not."""
    train = toy.oracle(500, 1)
    indep = toy.indep(train, 3)
    assert np.array_equal(np.bincount(train.records.data_type), np.bincount(indep.records.data_type))
    assert np.allclose(np.sort(train.records.value), np.sort(indep.records.value))

    def follows(records):
        inner = np.diff(records.subject) == 0
        return ((np.diff(records.data_type) % toy.N_CODES == 1) & inner).sum() / inner.sum()

    assert follows(train.records) > 0.35 > 0.1 > follows(indep.records)


def test_copies_are_of_train_to_a_hundredth():
    """Of a share of the set each record has the codes of one of train, and nearly its values and times."""
    train = toy.oracle(300, 1)
    copied = toy.copy(train, 0.1, 4).records
    of_train = {tuple(train.records.take(np.array([i])).data_type): i for i in range(300)}
    found = [i for i in range(300) if tuple(copied.take(np.array([i])).data_type) in of_train]
    assert 30 <= len(found) < 40
    own = copied.take(np.array([0]))
    real = train.records.take(np.array([of_train[tuple(own.data_type)]]))
    assert 0 < np.abs(own.value - real.value).max() < 0.06 and abs(own.time[-1] / real.time[-1] - 1) < 0.05
