"""A decoder of an automaton's walks, judged by the automaton: what it draws, what it says of death, and at which cost.

A second automaton of the same data_types, gaps and values in other transitions is the negative control.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from world import DEATH, HOUR, SPECIAL, STEPS, SUBJECTS, N, World, config, first_events

from tawt.batching.loader import PackedLoader
from tawt.risks.simulate import METHODS, Question, Simulation, simulate
from tawt.synthesis.rollout import invent

HOURS = 24


def test_the_likelihood_comes_near_the_entropy_of_the_world(learned):
    """Per event, what is next costs at most 0.1 nats more than the automaton's own entropy, and far less than shares."""
    world, _, _, metrics = learned
    p = np.append(world.transitions[0][world.transitions[0] > 0], 0)
    chances = [np.append(p * (1 - h), h) for h in world.hazard]
    entropy = np.mean([-(c[c > 0] * np.log(c[c > 0])).sum() for c in chances])
    assert entropy - 0.1 < metrics["loss_next_type"] < entropy + 0.1 < metrics["baseline_next_type"] - 0.5
    assert metrics["loss_next_number"] < metrics["baseline_next_number"] - 0.2  # AR(0.8): half a nat in the limit
    assert metrics["loss_gap"] < metrics["baseline_gap"] - 0.3


def test_what_is_drawn_walks_the_automaton_and_not_the_other_one(learned):
    """Of drawn steps at most 2 in 100 are none of the world's; nearly all are none of the permuted one's."""
    world, _, decoder, _ = learned
    other = World(permuted=True)
    steps, wrong, wrong_there, deaths, after_death = 0, 0, 0, 0, 0
    for part in invent(decoder, np.arange(128), 3):
        drawn = part.records
        for a, b in pairwise(drawn.bounds):
            kinds = drawn.data_type[a:b] - SPECIAL
            for before, kind in pairwise(kinds):
                deaths, after_death = deaths + (kind == DEATH), after_death + (before == DEATH)
                steps += kind != DEATH
                wrong += not world.allowed(before, kind)
                wrong_there += not other.allowed(before, kind)
    assert steps > 2000 and wrong / steps < 0.02 and wrong_there / steps > 0.9
    assert deaths > 20 and after_death / deaths < 0.1


def test_drawn_lengths_gaps_and_values_are_the_worlds(learned):
    """Mean length, median gaps and how much of a value stays to the next are those of fresh walks."""
    world, _, decoder, _ = learned
    fresh = world.records(1000, 99)
    invented = invent(decoder, np.arange(192), 4)
    drawn = [part.records for part in invented]
    lengths = np.concatenate([np.diff(part.bounds) for part in drawn])
    real = np.array([len(walk) for walk in fresh])
    assert lengths.mean() == pytest.approx(real.mean(), abs=4 * np.hypot(real.std() / 192**0.5, real.std() / 1000**0.5))
    gaps: dict[int, list[float]] = {}
    pairs = []
    for part in drawn:
        for a, b in pairwise(part.bounds):
            last: dict[int, float] = {}
            for i in range(a, b):
                kind = int(part.data_type[i] - SPECIAL)
                if i > a:
                    gaps.setdefault(int(part.data_type[i - 1] - SPECIAL), []).append(
                        (part.time[i] - part.time[i - 1]) / HOUR
                    )
                if part.value_status[i] == 1:
                    if kind in last:
                        pairs.append((last[kind], part.value[i]))
                    last[kind] = part.value[i]
    for kind in range(N):
        assert np.median(gaps[kind]) == pytest.approx(world.gap_hours[kind], rel=0.15)
    assert np.corrcoef(np.array(pairs).T)[0, 1] == pytest.approx(0.8, abs=0.1)


def test_risks_are_the_known_ones_and_cost_less_than_by_counting(learned):
    """Of death within a day, all three estimators give the automaton's own chance; M1 and M2 for a third of the steps."""
    world, dataset, decoder, _ = learned
    loader = PackedLoader(dataset.split("tuning"), dataset.vocabulary, config(STEPS).batching)
    batch = loader.batch(0)
    asked = first_events(batch)
    watched = torch.zeros(len(dataset.vocabulary), dtype=torch.bool)
    watched[SPECIAL + DEATH] = True
    n = 100
    found = simulate(decoder, asked.tensors(), Question(watched, np.full(N, HOURS * HOUR)), Simulation(n))
    known = np.array([world.risk(kind, HOURS, 2000, 7) for kind in range(N)])
    deaths = sum(walk[-1][1] == DEATH for walk in world.records(SUBJECTS, 1))
    for method in METHODS:
        # errors: of the continuations, of the walks that say what is known, and of how many deaths were learned from
        error = np.sqrt(
            found.each[method].var(1).sum() / n + (known * (1 - known)).sum() / 2000 + known.sum() ** 2 / deaths
        )
        assert abs(found.chance(method).sum() - known.sum()) < 4 * error, method
        assert np.abs(found.chance(method) - known).max() < 0.12
    assert all(whole.all() for whole in found.complete.values())
    assert all((found.most(method) == found.chance(method)).all() for method in METHODS)
    assert found.cost("M0") > 3 * found.cost("M1") and found.cost("M0") > 3 * found.cost("M2")
    both = np.hypot(*(found.each[m].std(1) / n**0.5 for m in ("M1", "M2")))
    assert (np.abs(found.chance("M1") - found.chance("M2")) < 5 * both).all()
