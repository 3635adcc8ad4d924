"""What is learned of people: attributes, quasi-identifiers and canaries, beside loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tawt.errors import ConfigError
from tawt.privacy.attributes import attribute_gains, known_and_asked
from tawt.privacy.canaries import BY_CHANCE, exposure, exposures, plant
from tawt.privacy.identity import class_sizes, identity, quasi_identifiers
from tests import toy

RNG = np.random.default_rng(13)


def f1_of(known, truth, at, answers, k):
    """The F1 of what the majority of the k nearest has, fact by fact."""
    right = guessed = there = 0
    for row, own in zip(known, truth, strict=True):
        order = sorted(range(len(at)), key=lambda j: (((row - at[j]) ** 2).sum(), j))[:k]
        for c in range(truth.shape[1]):
            guess = sum(answers[j, c] for j in order) > k / 2
            right, guessed, there = right + (guess and own[c]), guessed + guess, there + own[c]
    return 2 * right / (guessed + there)


def facts(n, rng=RNG):
    """What is known and what is asked of invented people of three groups."""
    group = rng.integers(0, 3, (n, 1))
    return (rng.random((n, 6)) < 0.2 + 0.2 * group).astype(np.float32), rng.random((n, 8)) < 0.2 + 0.2 * group


def test_what_attributes_gain_is_f1_less_that_of_others():
    """Beyond what as many other real people tell, of people of train less of others; a copy tells all of whom it is."""
    people, others, synthetic, reference = facts(60), facts(55), facts(50), facts(50)
    for k, found in zip((1, 10), attribute_gains(people, others, synthetic, reference), strict=True):
        assert found.k == k and found.f1 == pytest.approx(f1_of(*people, *synthetic, k))
        assert found.baseline == pytest.approx(f1_of(*people, *reference, k))
        of_others = f1_of(*others, *synthetic, k) - f1_of(*others, *reference, k)
        assert found.gain.value == pytest.approx(found.f1 - found.baseline - of_others)
        assert found.gain.low < found.gain.value < found.gain.high
    people = RNG.normal(size=(60, 6)), people[1]
    else_, apart = ((RNG.normal(size=(60, 6)), facts(60)[1]) for _ in range(2))
    copied = attribute_gains(people, else_, people, apart)[0]
    assert copied.f1 == 1 and copied.gain.low > 0.2


def test_what_foretells_anybody_is_no_gain():
    """Records that are smoother than people tell more of each than a real neighbour does, in train or not."""
    rng = np.random.default_rng(1)
    people, others, reference = (facts(400, rng) for _ in range(3))
    group = rng.integers(0, 3, (400, 1))
    smooth = (np.tile(0.2 + 0.2 * group, 6) > 0.5).astype(np.float32), np.tile(0.2 + 0.2 * group, 8) > 0.5
    for found in attribute_gains(people, others, smooth, reference):
        assert found.gain.low <= 0 <= found.gain.high
    assert (
        attribute_gains(people, others, smooth, reference)[1].f1
        - attribute_gains(people, others, smooth, reference)[1].baseline
        > 0.02
    ), "the case is not met"


def test_an_interval_of_a_gain_holds_that_all_three_sets_are_drawn():
    """Of sets that tell nothing more, all but few intervals hold 0; draws of people alone would leave out every third."""
    held = np.zeros(2)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        gains = attribute_gains(*(facts(120, rng) for _ in range(4)), seed)
        held += [one.gain.low <= 0 <= one.gain.high for one in gains]
    assert (held >= 54).all() and (held < 60).any()


def test_what_is_known_is_what_most_have():
    """The most frequent half is known, the rest is asked, and nobody asks for what nobody has."""
    known, asked = known_and_asked(np.array([0, 0.1, 0.9, 0.3, 0, 0.5]))
    assert known.tolist() == [2, 5] and asked.tolist() == [1, 3]
    known, asked = known_and_asked(np.linspace(0.1, 0.9, 2000))
    assert len(known) == 100 and len(asked) == 1000 and known.min() == 1900
    none = np.zeros((50, 0)), np.zeros((50, 0), bool)
    assert attribute_gains(none, none, none, none) == () == attribute_gains(*(facts(43) for _ in range(4)))


def test_classes_are_counted_exactly():
    """How many have the very same answers, among synthetic and among real people; what one fits is told for nobody."""
    real, synthetic = RNG.integers(0, 4, (200, 3)), RNG.integers(0, 5, (90, 3))
    own, fits = Counter(map(tuple, synthetic.tolist())), Counter(map(tuple, real.tolist()))
    expected = [fits[tuple(row)] for row in synthetic.tolist()]
    assert class_sizes(synthetic, real).tolist() == expected
    found = identity(synthetic, real)
    assert found.k_anonymity == min(own.values()) and found.k_map == min(n for n in expected if n)
    assert found.few.value == pytest.approx(np.mean([0 < n < 11 for n in expected]))
    assert found.nobody.value == pytest.approx(np.mean([not n for n in expected]))
    told = found.to_json()
    assert told["k_map"] == told["k_anonymity"] == "<11"
    assert identity(synthetic + 9, real).k_map is None


def test_quasi_identifiers_are_first_answers():
    """The first bin or category that a record has of a data_type, in parts as in one; 0 where it has none."""
    records = toy.mixed(50, 3)
    found = quasi_identifiers(records, (5, 6))
    for i in range(50):
        rows = slice(int(records.bounds[i]), int(records.bounds[i + 1]))
        for column, code in enumerate((5, 6)):
            own = records.value_token[rows][records.data_type[rows] == code]
            assert found[i, column] == next((t for t in own if t), 0)
    assert len(np.unique(found)) > 3


def test_exposure_is_that_of_the_rank():
    """Bits by the rank of the loss; of losses that are drawn alike 1.44 on average, and of the lowest log2 of all."""
    candidates = RNG.normal(size=999)
    assert exposure(np.array([-99.0, 99.0]), candidates) == pytest.approx([np.log2(1000), np.log2(1000 / 1000)])
    assert exposure(np.zeros(1), np.zeros(999)) == pytest.approx([np.log2(1000 / 500.5)])
    ranks = [1 + (candidates < loss).sum() for loss in (0.1, -1.0)]
    assert exposure(np.array([0.1, -1.0]), candidates) == pytest.approx(np.log2(1000 / np.array(ranks)))
    alike, seen = RNG.normal(size=(2, 400))
    found = exposures(np.concatenate([alike, seen - 2]), np.repeat([1, 8], 400), candidates)
    assert found[1].low < BY_CHANCE < found[1].high and found[8].low > 3
    assert exposures(np.zeros(1), np.ones(1, int), candidates)[1].value is None


def test_canaries_are_planted_as_often_as_they_should():
    """Records of nobody, no two alike, in order of time, of what more than 10 people have; each as other subjects."""
    train = toy.oracle(200, 1).records
    planted = plant(train, 5, 50)
    times = planted.multiplicity
    assert times.tolist() == np.repeat([1, 2, 4, 8], 5).tolist()
    whole = planted.records
    assert whole.n_subjects == 200 + times.sum() == len(np.unique(whole.subject_id))
    added = Counter(whole.time[whole.bounds[i] : whole.bounds[i + 1]].tobytes() for i in range(200, whole.n_subjects))
    own = [
        one.time[a:b].tobytes()
        for one in (planted.canaries, planted.candidates)
        for a, b in zip(one.bounds[:-1], one.bounds[1:], strict=True)
    ]
    assert len(set(own)) == 70 and [added[one] for one in own] == [*times.tolist(), *[0] * 50]
    for one in (planted.canaries, planted.candidates):
        later = np.diff(one.subject) == 0
        assert (np.diff(one.time)[later] >= 0).all() and not one.is_static.any()
    people = Counter(
        c for i in range(200) for c in set(train.data_type[train.bounds[i] : train.bounds[i + 1]].tolist())
    )
    assert min(people[c] for c in planted.candidates.data_type.tolist()) > 10
    again = plant(train, 5, 50).canaries.time, plant(train, 5, 50, seed=1).canaries.time
    assert np.array_equal(again[0], planted.canaries.time) and not np.array_equal(again[1][:20], again[0][:20])
    with pytest.raises(ConfigError, match="more than 10 people"):
        plant(train.take(np.arange(5)), 5, 50)
