"""Packing: every document once, no bin above the budget, full bins, and nothing but lengths and seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.batching.packing import best_fit, next_fit, plan_epoch


def lognormal(n: int, seed: int = 0, sigma: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.lognormal(np.log(200), sigma, n), 8, 4096).astype(np.int64)


def naive_best_fit(lengths: list[int], budget: int) -> list[list[int]]:
    """Best fit, by looking at every bin."""
    bins: list[list[int]] = []
    for document in range(len(lengths)):
        rooms = [budget - sum(lengths[i] for i in chosen) for chosen in bins]
        fitting = [room for room in rooms if room >= lengths[document]]
        if fitting:
            bins[rooms.index(min(fitting))].append(document)
        else:
            bins.append([document])
    return bins


def sums(bins, lengths) -> list[int]:
    return sorted(sum(int(lengths[i]) for i in chosen) for chosen in bins)


def assert_legal(bins, lengths, budget) -> None:
    """Every document in exactly one bin; a bin is within the budget unless it holds one document alone."""
    assert sorted(int(i) for chosen in bins for i in chosen) == list(range(len(lengths)))
    for chosen in bins:
        assert len(chosen) > 0
        assert sum(int(lengths[i]) for i in chosen) <= budget or len(chosen) == 1


CASES = [
    (np.array([5, 5, 5, 5]), 10),
    (np.array([11, 3, 25, 7, 10]), 10),  # two longer than the budget
    (np.ones(37, np.int64), 10),
    (np.full(9, 6), 10),  # no two fit together
    (np.array([1]), 1),
    *((lognormal(300, seed), 4096 >> seed) for seed in range(4)),
]


@pytest.mark.parametrize(("lengths", "budget"), CASES)
def test_best_fit_makes_the_bins_of_the_naive_rule(lengths, budget):
    """The bins are as full as those of best fit done by looking at every bin."""
    bins = best_fit(lengths.tolist(), budget)
    assert_legal(bins, lengths, budget)
    assert sums(bins, lengths) == sums(naive_best_fit(lengths.tolist(), budget), lengths)


@pytest.mark.parametrize(("lengths", "budget"), CASES)
def test_an_epoch_holds_every_document_once(lengths, budget):
    """An epoch's plan is legal and takes no document twice."""
    for epoch in range(2):
        assert_legal(list(plan_epoch(lengths, 3, epoch, budget)), lengths, budget)


def test_no_documents_make_no_bins():
    """Nothing to pack is no error."""
    none = np.empty(0, np.int64)
    assert best_fit([], 10) == []
    assert len(plan_epoch(none, 0, 0, 10)) == len(next_fit(none, 10)) == 0


@pytest.mark.parametrize("budget", [8192, 65536])
@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.3])
def test_batches_are_at_least_98_percent_full(budget, sigma):
    """On lognormal lengths an epoch wastes less than 2 % of its budget, its last bins included."""
    lengths = lognormal(20_000, sigma=sigma)
    plan = plan_epoch(lengths, 0, 0, budget)
    assert lengths.sum() / (len(plan) * budget) >= 0.98


def test_a_plan_is_decided_by_its_arguments_alone():
    """The same arguments give the same plan; another seed or epoch gives another."""
    lengths = lognormal(500)
    plans = {key: plan_epoch(lengths, *key, 4096) for key in [(0, 0), (0, 1), (1, 0)]}
    again = plan_epoch(lengths, 0, 0, 4096)
    np.testing.assert_array_equal(again.documents, plans[0, 0].documents)
    np.testing.assert_array_equal(again.bounds, plans[0, 0].bounds)
    orders = [tuple(plan.documents) for plan in plans.values()]
    assert len(set(orders)) == 3


def test_batches_mix_lengths_as_chance_would():
    """Lengths vary within a bin nearly as in a random one, and bins of long documents do not follow one another."""
    lengths = lognormal(20_000)
    plan = plan_epoch(lengths, 0, 0, 8192)
    random = next_fit(lengths, 8192)  # lengths are drawn independently, so the order they come in is a random one

    def spread(bins) -> float:
        return float(np.median([lengths[chosen].std() for chosen in bins]))

    assert spread(plan) > 0.9 * spread(random)
    longest_first = np.argsort(-lengths)
    grouped = [longest_first[chosen] for chosen in best_fit(lengths[longest_first].tolist(), 8192)]
    assert spread(grouped) < 0.3 * spread(random)  # what the order of packing prevents
    means = np.array([lengths[chosen].mean() for chosen in plan])
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.1


def test_documents_meet_others_each_epoch():
    """Two documents that share a bin seldom share one in the next epoch."""
    lengths = lognormal(4_000)
    pairs = []
    for epoch in range(2):
        home = np.empty(len(lengths), np.int64)
        for number, chosen in enumerate(plan_epoch(lengths, 0, epoch, 8192)):
            home[chosen] = number
        pairs.append(home)
    first = [(a, b) for b in range(1, 4_000, 3) for a in (b - 1,) if pairs[0][a] == pairs[0][b]]
    both = [(a, b) for a, b in first if pairs[1][a] == pairs[1][b]]
    assert len(both) <= 2


@pytest.mark.parametrize(("lengths", "budget"), CASES)
def test_next_fit_keeps_the_order(lengths, budget):
    """Next fit is legal, keeps documents in order, and closes a bin only when the next document does not fit."""
    plan = next_fit(lengths, budget)
    assert_legal(list(plan), lengths, budget)
    np.testing.assert_array_equal(plan.documents, np.arange(len(lengths)))
    for i in range(len(plan) - 1):
        assert lengths[plan[i]].sum() + lengths[plan[i + 1][0]] > budget
