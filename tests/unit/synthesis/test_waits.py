"""Gaps that are one person's own are not drawn: above all not the time from birth to the first event."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tawt.dataset.records import Records, joined
from tawt.synthesis.controls import fitted
from tawt.synthesis.waits import fit_waits
from tests.unit.synthesis.test_controls import EVERYTHING

MINUTE, YEAR = 60_000_000, 31_557_600_000_000
CANARY = 117 * YEAR + 789_123
"""us from a birth of 1901 to the first event."""


def people(n: int = 300) -> Records:
    """Births to the microsecond, then events: many after 0, 15 or 60 minutes, some after a time of their own."""
    rng, rows, bounds = np.random.default_rng(0), [], [0]
    for i in range(n):
        time = CANARY if i == 17 else int(rng.integers(20 * YEAR, 80 * YEAR))
        for _ in range(12):
            rows.append((time, int(rng.integers(4, 10))))
            time += int(rng.choice([0, 15, 60, int(rng.integers(100, 100_000))])) * MINUTE
        bounds.append(len(rows))
    time, kind = np.array(rows).T
    empty = np.zeros(len(rows), np.int32)
    return Records(np.arange(n), np.zeros(n, int), np.array(bounds), empty > 0, time, kind.astype(np.int32),
                   empty.astype(np.float32), empty, empty.astype(np.uint8))  # fmt: skip


PEOPLE = people()


def waits_of(records: Records) -> tuple[list[int], list[int]]:
    """Time to the first event, and to each later moment."""
    first, later = [], []
    for a, b in pairwise(records.bounds.tolist()):
        own = records.time[a:b].tolist()
        first += own[:1]
        later += [y - x for x, y in pairwise(own) if y != x]
    return first, later


def of_one(waits: list[int], real: Records, which: int) -> int:
    """How many of some waits exactly one real person has."""
    whose = defaultdict(set)
    for i in range(real.n_subjects):
        for wait in waits_of(real.take(np.array([i])))[which]:
            whose[wait].add(i)
    return sum(len(whose.get(wait, ())) == 1 for wait in waits)


def test_no_record_is_as_long_as_one_person_s():
    """Lengths that one person has come as seldom as by chance, that of a canary never; those of many are kept."""
    lengths = np.array([7] * 20 + [20 + 5 * i for i in range(100)] + [9000])
    people = Records(np.arange(121), np.zeros(121, int), np.concatenate([[0], np.cumsum(lengths)]),
                     *(np.zeros(lengths.sum(), kind) for kind in (bool, np.int64, np.int32, np.float32, np.int32, np.uint8)))  # fmt: skip
    shared = replace(EVERYTHING, waits=fit_waits(people))
    draw = fitted("marginals", people, lambda: shared, 0, 10_000, np.zeros_like)
    told = joined(one.records for one in draw(np.arange(2000))).lengths
    assert told.max() < 600 and np.isin(told, lengths[20:]).mean() < 0.3
    assert (told == 7).mean() == pytest.approx(20 / 121, abs=0.03) and len({*told.tolist()}) > 100
    assert np.median(told) == pytest.approx(np.median(lengths), rel=0.1)


@pytest.mark.parametrize("name", ["marginals", "markov"])
def test_nobody_waits_as_long_as_one_person_did(name):
    """Times to the first event are no real one's; of later ones as few are as by chance, and the canary's is none."""
    shared = lambda: EVERYTHING.__class__(**{**vars(EVERYTHING), "waits": fit_waits(PEOPLE)})  # noqa: E731
    drawn = joined(one.records for one in fitted(name, PEOPLE, shared, 0, 4096, np.zeros_like)(np.arange(300)))
    first, later = waits_of(drawn)
    assert of_one(first, PEOPLE, 0) == 0 and max(first) < 85 * YEAR
    by_chance = len(waits_of(PEOPLE)[1]) / 4 / 100_000  # of a time of its own, to the minute
    assert of_one(later, PEOPLE, 1) < (by_chance + 0.02) * len(later)
    assert not (np.array(later) % MINUTE).any()


def test_waits_are_as_long_as_before_and_in_order():
    """Those of many stay; the others are spread as before; no moment comes before another, or at once where it did not."""
    waits = fit_waits(PEOPLE)
    anew = waits.anew(PEOPLE, np.arange(len(PEOPLE.time), dtype=np.uint64))
    inside = np.diff(PEOPLE.subject) == 0
    real, told = (np.diff(one.time)[inside] for one in (PEOPLE, anew))
    assert np.array_equal(real == 0, told == 0) and (told >= 0).all()
    for many in (15, 60):
        assert np.array_equal(real == many * MINUTE, told == many * MINUTE)
    for a, b in zip(waits_of(PEOPLE), waits_of(anew), strict=True):
        below = [np.searchsorted(np.sort(one), np.unique(a)) / len(a) for one in (a, b)]
        assert np.abs(below[0] - below[1]).max() < 0.08


@pytest.mark.parametrize(
    ("every", "step"), [(7, 7), (MINUTE, MINUTE), (20 * MINUTE, 20 * MINUTE), (90 * MINUTE, 90 * MINUTE)]
)
def test_what_all_gaps_are_multiples_of_is_kept(every, step):
    """Also where it is no step of a clock."""
    scaled = Records(**{**vars(PEOPLE), "time": PEOPLE.time // MINUTE * every})
    waits = fit_waits(scaled)
    assert waits.steps[1] % step == 0
    anew = waits.anew(scaled, np.arange(len(PEOPLE.time), dtype=np.uint64))
    assert not (np.array(waits_of(anew)[1]) % step).any()


def test_the_hour_of_day_stays_where_many_have_it():
    """Who is born at midnight comes at the hour that people come at, at no minute of anybody's; an hour of few is no hour."""
    rng = np.random.default_rng(0)
    time = rng.integers(20 * 365, 80 * 365, 300) * 24 * 60 + rng.choice([7, 8, 15], 300) * 60 + rng.integers(0, 60, 300)
    time[:5] = time[:5] // 1440 * 1440 + 3 * 60
    one = PEOPLE.take(np.arange(300)).keep(np.isin(np.arange(len(PEOPLE.time)), PEOPLE.bounds))
    births = Records(**{**vars(one), "time": time * MINUTE})
    anew = fit_waits(births).anew(births, np.arange(300, dtype=np.uint64)).time // MINUTE
    assert {*(anew[5:] % 1440 // 60).tolist()} == {7, 8, 15} and np.array_equal(
        anew[5:] % 1440 // 60, time[5:] % 1440 // 60
    )
    assert len({*(anew[:5] % 1440 // 60).tolist()}) > 1 and not np.isin(anew, time).any()
