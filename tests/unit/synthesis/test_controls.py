"""Controls are as bad as they are meant to be, and no worse: what each keeps of real records, and what not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tawt.dataset.records import OF_TRIPLETS, Records, joined
from tawt.dataset.scales import Scale
from tawt.synthesis.controls import CONTROLS, fitted
from tawt.synthesis.origins import Origins
from tawt.synthesis.shared import Shared
from tawt.synthesis.waits import fit_waits

HOUR = 3_600_000_000
TYPES = 12
ALPHA = 0.8


def real(n: int, seed: int = 0) -> Records:
    """Walks on a ring of data_types with two statics, gaps by pair, and numbers of AR(0.8) about the data_type's mean."""
    rng = np.random.default_rng(seed)
    rows, bounds = [], [0]
    for _ in range(n):
        rows += [(True, 0, 10, 0.0, int(rng.random() < 0.3), 2)]
        rows += [(True, 0, 11, 0.0, 0, 0)] if rng.random() < 0.4 else []
        kind, time, last = int(rng.integers(4, 10)), int(rng.integers(0, 48)) * HOUR, {}
        for _ in range(1 + rng.geometric(1 / 15)):
            score = ALPHA * last[kind] + 0.6 * rng.standard_normal() if kind in last else rng.standard_normal()
            last[kind] = score
            rows += [(False, time, kind, 10.0 * kind + score, 1, 1) if kind != 9 else (False, time, 9, 0.0, 0, 3)]
            after = 4 + (kind - 4 + (1 if rng.random() < 0.8 else 3)) % 6
            time += 0 if after > kind and rng.random() < 0.5 else int(rng.integers(1, 1 + kind)) * HOUR
            kind = after
        bounds.append(len(rows))
    columns = (np.array(column) for column in zip(*rows, strict=True))
    kinds = (np.bool_, np.int64, np.int32, np.float32, np.int32, np.uint8)
    return Records(
        np.arange(1000, 1000 + n), np.arange(n) * HOUR, np.array(bounds),
        *(column.astype(kind) for column, kind in zip(columns, kinds, strict=True)),
    )  # fmt: skip


REAL = real(600)
_NONE, _MANY = np.zeros(TYPES), np.arange(-20.0, 120.0, 0.002)
EVERYTHING = Shared(
    np.ones((2, TYPES), np.bool_), np.zeros(0, np.float32), np.zeros(TYPES + 1, np.int64),
    dict.fromkeys(range(TYPES), Scale(_MANY, np.linspace(0, 1, len(_MANY)), np.zeros(1))), _NONE, _NONE, _NONE + 1,
    fit_waits(REAL),
)  # fmt: skip
"""As if many people had all that anybody has."""


def drawn(name: str, n: int = 600, seed: int = 0, numbers=None) -> Records:
    """Records of a control that was fitted to the real ones."""
    draw = fitted(name, REAL, lambda: EVERYTHING, seed, 4096, np.zeros_like)
    return joined(one.records for one in draw(np.arange(n) if numbers is None else numbers))


def timed(records: Records) -> Records:
    return records.keep(~records.is_static)


def pairs(records: Records) -> Counter:
    """How often one data_type comes behind another; 0 is the start, 1 the end."""
    found: Counter = Counter()
    own = timed(records)
    for a, b in pairwise(own.bounds):
        walk = [0, *own.data_type[a:b].tolist(), 1]
        found.update(pairwise(walk))
    return found


def apart(one: Counter, other: Counter) -> float:
    """Half of the sum of differences of shares."""
    n, m = one.total(), other.total()
    return sum(abs(one[key] / n - other[key] / m) for key in {*one, *other}) / 2


def stays(records: Records) -> float:
    """Correlation of a number's distance from the mean of its data_type with that of the one before."""
    before, after = [], []
    for a, b in pairwise(records.bounds):
        last: dict[int, float] = {}
        for i in range(a, b):
            if records.value_status[i] == 1:
                kind = int(records.data_type[i])
                score = float(records.value[i]) - 10 * kind
                if kind in last:
                    before.append(last[kind])
                    after.append(score)
                last[kind] = score
    return float(np.corrcoef(before, after)[0, 1])


def key_of(records: Records, i: int) -> tuple:
    one = records.take(np.array([i]))
    return (int(one.origin[0]), *(getattr(one, name).tobytes() for name in OF_TRIPLETS))


@pytest.mark.parametrize(("n", "times"), [(200, {0, 1}), (600, {1}), (1450, {2, 3})])
def test_copies_are_copies(n, times):
    """Each is a real record to the last bit under another id; nobody comes again before everybody came, and in no
    order of theirs."""
    copies = drawn("copies", n)
    known = {key_of(REAL, i): i for i in range(600)}
    who = [known[key_of(copies, i)] for i in range(n)]
    assert {*np.bincount(who, minlength=600).tolist()} == times
    assert copies.subject_id.tolist() == list(range(n)) and who[:200] != sorted(who[:200]) and who[:200] != who[600:800]
    some = np.array([3, 199, *range(590, 610)]) if n > 610 else np.array([3, 199])
    again = drawn("copies", numbers=some)
    assert [known[key_of(again, i)] for i in range(len(some))] == [who[i] for i in some]


@pytest.mark.parametrize("name", ["marginals", "markov"])
def test_what_few_have_as_a_static_fact_is_drawn_as_none(name):
    """Though many have the data_type with a time, and others as a fact."""
    told = EVERYTHING.as_told.copy()
    told[1, 11] = False
    draw = fitted(name, REAL, lambda: replace(EVERYTHING, as_told=told), 0, 4096, np.zeros_like)
    statics = [one.records.keep(one.records.is_static).data_type for one in draw(np.arange(200))]
    assert {*np.concatenate(statics).tolist()} == {10}


def test_markov_keeps_pairs_gaps_and_how_much_of_a_number_stays():
    """Pairs, start and end, are as often as in other real records; gaps by pair are alike; AR(1) is that of the world."""
    other, invented = real(600, 1), drawn("markov")
    assert apart(pairs(REAL), pairs(invented)) < 1.5 * apart(pairs(REAL), pairs(other)) + 0.01
    assert stays(invented) == pytest.approx(ALPHA, abs=0.06) and stays(REAL) == pytest.approx(ALPHA, abs=0.06)
    for kind in (4, 8):
        waits = []
        for records in (REAL, invented):
            own = timed(records)
            inside = np.append(np.diff(own.subject) == 0, False)
            at = np.flatnonzero(inside & (own.data_type == kind))
            waits.append(own.time[at + 1] - own.time[at])
        assert np.mean(waits[1]) == pytest.approx(np.mean(waits[0]), rel=0.1)
        assert np.mean(waits[1] == 0) == pytest.approx(np.mean(waits[0] == 0), abs=0.06)
    assert invented.lengths.mean() == pytest.approx(REAL.lengths.mean(), rel=0.1)


def test_marginals_keep_the_marginals_and_nothing_else():
    """Lengths, data_types and gaps are as often as in real records; pairs are not, and nothing of a number stays."""
    invented = drawn("marginals")
    assert apart(Counter(timed(REAL).data_type.tolist()), Counter(timed(invented).data_type.tolist())) < 0.03
    assert np.median(timed(invented).lengths) == pytest.approx(np.median(timed(REAL).lengths), abs=1)
    gaps = [np.diff(own.time)[np.diff(own.subject) == 0] for own in (timed(REAL), timed(invented))]
    assert apart(Counter(gaps[0].tolist()), Counter(gaps[1].tolist())) < 0.03
    assert apart(pairs(REAL), pairs(invented)) > 0.4 and abs(stays(invented)) < 0.06


@pytest.mark.parametrize("name", ["marginals", "markov"])
def test_values_and_statics_have_their_own_distribution(name):
    """Each data_type's numbers, statuses and statics are distributed as the real ones are."""
    invented = drawn(name)
    for kind in (4, 7):
        own = [np.sort(one.value[(one.data_type == kind) & (one.value_status == 1)]) for one in (REAL, invented)]
        below = np.searchsorted(own[1], own[0]) / len(own[1])
        assert np.abs(below - np.arange(len(own[0])) / len(own[0])).max() < 0.08
    assert set(invented.value_status[invented.data_type == 9]) == {3}
    shares = [np.bincount(one.data_type[one.is_static], minlength=TYPES)[10:] / 600 for one in (REAL, invented)]
    assert np.abs(shares[0] - shares[1]).max() < 0.08
    says = [one.value_token[one.is_static & (one.data_type == 10)].mean() for one in (REAL, invented)]
    assert says[1] == pytest.approx(says[0], abs=0.08)


@pytest.mark.parametrize("name", CONTROLS)
def test_any_of_them_can_be_drawn_again_to_the_bit(name):
    """Some numbers by themselves give the same records as among others; another seed gives others."""
    some = np.array([3, 64, 65, 190])
    whole, again = drawn(name, 200).take(some), drawn(name, numbers=some)
    for column in (*OF_TRIPLETS, "bounds", "subject_id", "origin"):
        assert np.array_equal(getattr(whole, column), getattr(again, column)), column
    other = drawn(name, seed=1, numbers=some)
    assert not np.array_equal(other.time, again.time)


@pytest.mark.parametrize("name", ["marginals", "markov"])
def test_parts_do_not_matter(name, monkeypatch):
    """A control is the same whether it is fitted to all records at once or to some at a time, in order of time."""

    class InParts:
        n_subjects = REAL.n_subjects

        def parts(self):
            for start in range(0, 600, 50):
                yield REAL.take(np.arange(start, start + 50))

    monkeypatch.setattr("tawt.synthesis.urns._HELD", 500)
    draw = fitted(name, InParts(), lambda: EVERYTHING, 0, 4096, np.zeros_like)
    parts, whole = joined(one.records for one in draw(np.arange(100))), drawn(name, 100)
    for column in (*OF_TRIPLETS, "bounds"):
        assert np.array_equal(getattr(parts, column), getattr(whole, column)), column
    assert (np.diff(whole.time)[np.diff(whole.subject) == 0] >= 0).all()


def test_what_is_endless_is_cut():
    """A record has at most so many timed events, and is told to be cut."""
    for name in ("marginals", "markov"):
        for one in fitted(name, REAL, lambda: EVERYTHING, 0, 5, np.zeros_like)(np.arange(64)):
            lengths = timed(one.records).lengths
            assert lengths.max() == 5 and not one.is_whole.all() and one.is_whole[lengths < 5].all()


def test_origins_are_those_of_years_and_hours_of_more_than_ten():
    """Years and hours of few people are told with others or not at all; an anchor is kept; nobody's moment is."""
    year = np.datetime64("2001", "us").astype(np.int64)
    day = 24 * HOUR
    moments = year + np.arange(40) * day + 7 * HOUR + np.arange(40) * 60_000_000
    lone = np.datetime64("1950", "us").astype(np.int64) + 23 * HOUR
    origins = Origins.of(np.append(moments, lone))
    found = origins.draw(np.arange(2000), 0)
    years = found.astype("datetime64[us]").astype("datetime64[Y]").astype(str)
    assert set(found // HOUR % 24) == {7} and not (found % 60_000_000).any()
    assert set(years) == {"2001"}
    assert len(np.intersect1d(found, moments)) < 20 and lone not in found
    assert np.array_equal(origins.draw(np.array([5, 900]), 0), found[[5, 900]])
    anchor = Origins.of(np.full(50, year)).draw(np.arange(3), 0)
    assert set(anchor) == {year}
    few = Origins.of(np.full(5, lone)).draw(np.arange(100), 0)
    assert lone not in few and set(few.astype("datetime64[us]").astype("datetime64[Y]").astype(str)) == {"2000"}


def test_the_oldest_is_not_the_year_that_births_begin_in():
    """Nobody is born before the year of the eleventh oldest, nor after that of the eleventh youngest; the shares of the
    others stay, and so it is where few are more than ten."""
    years = np.concatenate([[1901], np.repeat(np.arange(1940, 1990), 8), [2019]])
    drawn = Origins.of(moments_of(years)).draw(np.arange(20_000), 0)
    found = drawn.astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970
    assert (found.min(), found.max()) == (1941, 1988)
    assert np.mean(found < 1960) == pytest.approx(np.mean(years < 1960), abs=0.02)
    for n in (11, 15, 21, 22, 25):
        some = np.append(np.full(n - 1, 1950), 1901)
        found = Origins.of(moments_of(some)).draw(np.arange(500), 0).astype("datetime64[us]").astype("datetime64[Y]")
        assert found.astype(int).min() + 1970 >= 1925, n


def moments_of(years):
    """A moment within each of some years."""
    rng = np.random.default_rng(0)
    return (years - 1970).astype("datetime64[Y]").astype("datetime64[us]").astype(np.int64) + rng.integers(
        0, 300, len(years)
    ) * 24 * HOUR
