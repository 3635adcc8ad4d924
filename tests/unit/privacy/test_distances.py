"""Numbers of distances beside loops over pairs, faults that others have, and intervals that hold what they say."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.privacy import distances as module
from tawt.privacy.distances import Near, Part, authenticity, distance_attacks, entropy_weights, nndr
from tawt.privacy.nearest import nearest

RNG = np.random.default_rng(7)


def far(a, b):
    """Euclidean distance of two rows."""
    return float(np.sqrt(((a - b) ** 2).sum()))


def to(a, others, but=None):
    """Distances of a row to others, from the smallest."""
    return sorted(far(a, b) for j, b in enumerate(others) if j != but)


def plainly(train, test, synthetic):
    """All numbers by their definitions, row after row."""
    found = {"dcr_share": np.mean([to(s, train)[0] < to(s, test)[0] for s in synthetic])}
    entropy = []
    for column in train.T:
        p = np.histogram(column, 20, (column.min(), column.max()))[0] / len(column)
        entropy.append(-sum(q * np.log(q) for q in p if q))
    weights = 1 / (np.array(entropy) + 0.1)
    scale = np.sqrt(weights / weights.mean())
    for name, real in (("train", train), ("test", test)):
        ratio = [to(s, real)[0] / to(s, real)[1] for s in synthetic]
        found[f"nndr_p5_{name}"] = np.percentile(ratio, 5)
        ahead = [to(r, synthetic)[0] > to(r, real, i)[0] for i, r in enumerate(real)]
        back = [to(s, real)[0] > to(s, synthetic, i)[0] for i, s in enumerate(synthetic)]
        found[f"aa_{name}"] = 0.5 * (np.mean(ahead) + np.mean(back))
        authentic = []
        for s in synthetic:
            closest = min(range(len(real)), key=lambda j: far(s, real[j]))
            authentic.append(not far(s, real[closest]) <= to(real[closest], real, closest)[0])
        end = "" if name == "train" else "_test"
        found[f"authenticity{end}"] = np.mean(authentic)
        near = [to(r * scale, synthetic * scale)[0] < to(r * scale, real * scale, i)[0] for i, r in enumerate(real)]
        found[f"identifiability{end}"] = np.mean(near)
    found["nndr_ratio"] = found["nndr_p5_train"] / found["nndr_p5_test"]
    return found | {"nnaar": found["aa_test"] - found["aa_train"]}


def test_each_number_is_that_of_its_definition():
    """Of sets of which one copies a third of train."""
    train, test = RNG.exponential(size=(2, 45, 5))
    synthetic = np.concatenate([train[:15] + 1e-3, RNG.exponential(size=(30, 5))])
    found, expected = distance_attacks(train, test, synthetic, n_draws=5), plainly(train, test, synthetic)
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    assert expected["authenticity"] < expected["authenticity_test"] and expected["nnaar"] > 0.1


def test_entropy_weights_are_applied():
    """A flag that one in 45 has weighs more than a number that is spread, and moves distances."""
    train = np.stack([(np.arange(45) == 3).astype(float), np.linspace(0, 1, 45)], 1)
    weights = entropy_weights(train)
    assert weights[0] > 5 * weights[1] and weights.mean() == pytest.approx(1)
    train, test, synthetic = RNG.exponential(size=(3, 200, 4)) ** np.array([1, 1, 4, 4])
    plain = distance_attacks(train, test, synthetic, n_draws=2)["identifiability"].value
    even = module.entropy_weights
    try:
        module.entropy_weights = lambda train: np.ones(train.shape[1])
        unweighted = distance_attacks(train, test, synthetic, n_draws=2)["identifiability"].value
    finally:
        module.entropy_weights = even
    assert plain != unweighted


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_verbatim_copies_are_not_skipped(share):
    """Who leaves out all distances of 0 to leave out a row itself reads much less of what copies give away."""
    train, test, synthetic = RNG.normal(size=(3, 1500, 6))
    synthetic[: round(share * 1500)] = train[: round(share * 1500)]
    right = distance_attacks(train, test, synthetic, n_draws=2)["nnaar"].value

    def accuracy(real):  # as HALO does it
        def least(a, b):
            d = np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))
            d[d == 0] = np.inf
            return d.min(1)

        ahead, back = least(real, synthetic) > least(real, real), least(synthetic, real) > least(synthetic, synthetic)
        return 0.5 * (ahead.mean() + back.mean())

    assert right > 0.4 * share and accuracy(test) - accuracy(train) < 0.75 * right


def test_authenticity_looks_up_the_train_record_that_is_near():
    """Fresh samples are authentic in four of five; real distances at synthetic numbers, as synthcity has it, say half."""
    train, synthetic = RNG.normal(size=(2, 800, 30))
    own = nearest(train, train, 1, np.arange(800)).distance[:, 0]
    near = nearest(synthetic, train, 1)
    wrong_place = nearest(train, synthetic, 1).index[:, 0]
    wrong = (own[wrong_place] < nearest(train, synthetic, 1).distance[:, 0]).mean()
    assert authenticity(near, own) > wrong + 0.15 and wrong < 0.65


def test_a_quarter_has_the_neighbours_that_it_would_have_alone():
    """The nearest and second nearest of those that are kept are found among those that were looked up once."""
    sets = dict(zip(("a", "b"), RNG.normal(size=(2, 200, 4)), strict=True))
    kept = {name: RNG.random(200) < 0.6 for name in sets}
    part = Part(Near(sets), kept)
    alone = nearest(sets["a"][kept["a"]], sets["b"][kept["b"]], 2)
    same = part.neighbours("a", "b").distance == pytest.approx(alone.distance)
    assert same and np.array_equal(np.flatnonzero(kept["b"])[alone.index], part.neighbours("a", "b").index)
    b = sets["b"][kept["b"]]
    assert part.distance("b", "b") == pytest.approx(nearest(b, b, 1, np.arange(len(b))).distance[:, 0])


def test_who_has_no_neighbour_left_is_taken_to_be_far():
    """Where none of those that were looked up is kept, the last of them stands for whoever lies farther."""
    sets = dict(zip(("a", "b"), RNG.normal(size=(2, 400, 4)), strict=True))
    near, kept = Near(sets), {"a": np.ones(400, bool), "b": RNG.random(400) < 0.03}
    alone = ~kept["b"][near("a", "b").index].any(1)
    found = Part(near, kept).distance("a", "b")
    assert 50 < alone.sum() < 350 and np.array_equal(found[alone], near("a", "b").distance[alone, -1])


def test_intervals_hold_the_truth_and_are_not_much_too_wide():
    """Of sets of one process, and of sets in which some real records are near to many: the spread over fresh sets."""
    values, widths = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sets = rng.normal(size=(3, 80, 8)) * rng.gamma(2, 1, (3, 80, 1))  # hubs in the middle
        found = distance_attacks(*sets, n_draws=25, seed=seed)
        names = ("dcr_share", "nnaar", "authenticity", "identifiability")
        values.append([found[name].value for name in names])
        widths.append([found[name].high - found[name].low for name in names])
    true = 2 * 1.96 * np.std(values, axis=0)
    assert (np.mean(widths, axis=0) > 0.8 * true).all() and (np.mean(widths, axis=0) < 1.7 * true).all()


def test_few_records_and_records_that_are_alike():
    """Of fewer than 40 nothing is said; two real records at one place have a ratio of 1, and no ratio is a division by 0."""
    few, flat = np.zeros((3, 39, 2)), np.zeros((3, 60, 2))
    assert distance_attacks(*few) == {}
    found = distance_attacks(*flat, n_draws=3)
    assert found["nndr_ratio"].value == 1 and found["dcr_share"].value == 0.5 and found["aa_test"].value == 0.5
    assert nndr(np.array([0.0, 0.0, 1.0]), np.array([0.0, 2.0, 4.0])) == pytest.approx([1, 0, 0.25])
