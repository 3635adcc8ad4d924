"""Scales of numbers that nobody shares: points are means over many people."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.dataset.scales import Scale

SHARES = np.linspace(0, 1, 257)


def test_no_point_is_somebodys_own_number():
    """Each is a mean over more than ten people, also at the ends, and what lies beyond all measure moves none; what ten
    people have, or one alone, has no scale."""
    rng = np.random.default_rng(0)
    number = rng.standard_normal(3000).astype(np.float32)
    number[-1] = 31337.25
    person = rng.integers(0, 200, 3000)
    knots = Scale.of(number, person).at(SHARES).astype(np.float32)
    assert (np.diff(knots) >= 0).all() and not np.isin(knots, number).any() and knots[-1] < 3
    assert knots[128] == pytest.approx(0, abs=0.1) and knots[25] == pytest.approx(np.quantile(number, 0.1), abs=0.1)
    assert not Scale.of(number, np.zeros(3000, dtype=np.int64)).at(SHARES).any()
    assert not Scale.of(number[:50], np.arange(50) % 10).at(SHARES).any()


def test_a_scale_of_few_more_than_ten_people_is_one_point():
    """It is nobody's number, whoever has nearly all of them, and nobody beyond all measure draws it far."""
    skewed = np.where(np.arange(3000) < 2989, 0, np.arange(3000))
    number = np.random.default_rng(0).standard_normal(3000)
    number[-1] = 31337.25
    for scale in (Scale.of(number, skewed), Scale.of(number[-14:], np.arange(14))):
        assert len(scale.points) == 1 and abs(scale.points[0]) < 2 and not np.isin(scale.points, number).any()


def test_points_are_those_of_a_walk_through_sorted_numbers():
    """Beside means by hand: ten people on either side are left out, the others are taken eleven after eleven."""
    number = np.random.default_rng(0).permutation(np.arange(60.0)) ** 2
    person = np.arange(60)
    by_hand = [np.mean([i**2 for i in block]) for block in (range(10, 21), range(21, 32), range(32, 50))]
    assert Scale.of(number, person).points == pytest.approx(by_hand)


def test_what_many_share_stays_and_the_rest_becomes_another():
    """The order of size between blocks stays too, and no number lies beyond the scale."""
    rng = np.random.default_rng(0)
    number, person = np.concatenate([np.full(400, 5.0), rng.normal(0, 10, 2000)]), np.arange(2400) % 300
    scale = Scale.of(number, person)
    anew = scale.anew(number, rng.random(2400))
    assert scale.common.tolist() == [5] and (anew[:400] == 5).all() and not np.isin(anew[400:], number).any()
    assert np.corrcoef(anew[400:], number[400:])[0, 1] > 0.99
    assert scale.points[0] <= anew.min() and anew.max() <= scale.points[-1]
