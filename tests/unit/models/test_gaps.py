"""Gaps that keep to the clock: their chances against counting, their draws against the chances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tawt.models.decoder.gaps import GapOutputs, whole

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
N_HOURS = 3


@pytest.fixture
def made():
    """One state: log-normals around 20 minutes, seven tenths by the clock, mostly at minute 7 or 40, within the hour."""
    minutes, whole = torch.full((60,), -6.0), torch.tensor([2.0, 0.5, -1.0])
    minutes[7], minutes[40], minutes[12] = 3.0, 1.5, 0.0
    free = torch.tensor([0.0, -1.0, -0.5, -2.0, 0.3, -1.0])
    return GapOutputs(free[None], torch.cat([torch.tensor([0.85]), minutes, whole])[None])


@pytest.fixture
def by_day(made):
    """The same, but half is told by the day: mostly at one at night, some at seven past three, within four days."""
    minutes, hours = torch.full((60,), -6.0), torch.full((24,), -4.0)
    minutes[0], minutes[7], hours[1], hours[15] = 3.0, 1.5, 2.0, 1.0
    days = torch.tensor([0.0, 1.0, 0.5, -1.0])
    return replace(made, days=torch.cat([torch.tensor([0.0]), minutes, hours, days])[None])


def wide_of(made, n):
    """The same for `n` states."""
    return GapOutputs(*(x if x is None else x.expand(n, -1) for x in (made.free, made.minutes, made.days)))


def chances(made, gaps, now, resolution):
    """Log chance of each of some gaps, us, that begin at a time of the clock."""
    ends = now + gaps
    begins, hours = torch.full_like(gaps, now // MINUTE), (gaps / HOUR).float()
    step = torch.tensor(resolution / HOUR).double()
    return wide_of(made, len(gaps)).log_chance(hours, step, begins, ends // MINUTE).double()


@pytest.mark.parametrize(
    ("resolution", "now"),
    [
        (MINUTE, 0),
        (MINUTE, 5 * HOUR + 13 * MINUTE),
        (MINUTE, 41 * MINUTE + 17),
        (20 * SECOND, 9 * MINUTE + 40 * SECOND),
        (5 * MINUTE, 23 * HOUR + 58 * MINUTE),
    ],
)
@pytest.mark.parametrize("of", ["made", "by_day"])
def test_chances_of_all_gaps_sum_to_one(of, resolution, now, request):
    """Over all multiples of the resolution up to a month they sum to 1, on whichever minute and second it begins."""
    made = request.getfixturevalue(of)
    gaps = torch.arange(1, 31 * 24 * HOUR // resolution) * resolution
    assert chances(made, gaps, now, resolution).exp().sum().item() == pytest.approx(1, abs=3e-3)


SOON = [
    (MINUTE, 41 * MINUTE + 17, 0),
    (20 * SECOND, 9 * MINUTE + 40 * SECOND, 0),
    (20 * SECOND, 9 * MINUTE + 40 * SECOND, 30 * MINUTE + 20 * SECOND),
    (MINUTE, 52 * MINUTE, 15 * MINUTE),
]
LATE = [
    (20 * SECOND, 23 * HOUR + 50 * MINUTE, 25 * HOUR + 13 * MINUTE),
    (MINUTE, 23 * HOUR + 50 * MINUTE, 25 * HOUR + 10 * MINUTE),
    (5 * MINUTE, 22 * HOUR + 10 * MINUTE, 3 * HOUR),
    (HOUR, 22 * HOUR + 10 * MINUTE, 3 * HOUR),
]


@pytest.mark.parametrize("hours", [6, 24])
def test_no_clock_of_longer_steps_than_an_hour_is_told(by_day, hours):
    """There log-normals alone have a say: what is drawn has their chances."""
    gaps = torch.arange(1, 40) * hours * HOUR
    told = chances(by_day, gaps, 5 * HOUR + 7 * MINUTE, hours * HOUR)
    alone = chances(GapOutputs(by_day.free), gaps, 5 * HOUR + 7 * MINUTE, hours * HOUR)
    torch.testing.assert_close(told, alone)
    uniforms, none = torch.rand(50, 2, dtype=torch.float64), torch.zeros(50, dtype=torch.int64)
    drawn = [wide_of(one, 50).draw(uniforms, none, none, hours * HOUR) for one in (by_day, GapOutputs(by_day.free))]
    assert torch.equal(*drawn)


@pytest.mark.parametrize(
    ("of", "resolution", "now", "passed"),
    [*(("made", *case) for case in SOON), *(("by_day", *case) for case in (*SOON, *LATE))],
)
def test_draws_have_their_chances(of, resolution, now, passed, request):
    """20,000 draws, given what has passed, have the chances of the gaps that are longer, by a chi-squared of 60 or so cells;
    how likely it is that any is longer is the sum of these."""
    made = request.getfixturevalue(of)
    n, rng = 20_000, np.random.default_rng(5)
    gaps = torch.arange(passed // resolution + 1, 31 * 24 * HOUR // resolution) * resolution
    left = chances(made, gaps, now, resolution).exp().numpy()
    beyond, begun = torch.full((n,), passed), torch.full((n,), now)
    wide = wide_of(made, n)
    assert made.log_longer(beyond[:1], begun[:1], resolution).exp().item() == pytest.approx(left.sum(), abs=4e-3)
    drawn = wide.draw(torch.from_numpy(rng.random((n, 2))), beyond, begun, resolution)
    assert (drawn > passed).all() and (drawn % resolution == 0).all()
    counted = np.bincount((drawn // resolution).clamp_max(len(gaps) + passed // resolution).numpy(), minlength=1)
    expected = np.zeros(len(counted))
    expected[gaps[: len(counted) - passed // resolution - 1] // resolution] = left[
        : len(counted) - passed // resolution - 1
    ]
    common = expected * n > 20
    seen = np.append(counted[common], n - counted[common].sum())
    wanted = np.append(expected[common], left.sum() - expected[common].sum()) / left.sum()
    assert common.sum() > 5 and stats.chisquare(seen, wanted * n).pvalue > 1e-3


def test_a_record_finds_back_to_its_minute(made):
    """From whichever minute it begins, most gaps by the clock end at minute 7 of the hour: no log-normal can say that."""
    rng = np.random.default_rng(6)
    for begins in (0, 20, 50):
        n = 400
        wide = wide_of(made, n)
        now = torch.full((n,), begins * MINUTE)
        drawn = wide.draw(torch.from_numpy(rng.random((n, 2))), torch.zeros(n, dtype=torch.int64), now, MINUTE)
        assert (((now + drawn) // MINUTE % 60) == 7).float().mean() > 0.4


def test_a_stay_ends_by_the_day(by_day):
    """From whichever hour it begins, what is told by the day mostly ends at one at night, on the minute, days later."""
    n, rng = 2000, np.random.default_rng(7)
    for begins in (0, 9 * HOUR + 20 * MINUTE, 23 * HOUR + 59 * MINUTE):
        now = torch.full((n,), begins)
        drawn = wide_of(by_day, n).draw(torch.from_numpy(rng.random((n, 2))), torch.full((n,), 3 * HOUR), now, MINUTE)
        ends = now + drawn
        night = (ends // HOUR % 24 == 1) & (ends // MINUTE % 60 == 0)
        assert night.float().mean() > 0.4 and (drawn[night] > 24 * HOUR).float().mean() > 0.5


def test_whole_hours_and_days_of_a_gap():
    """A gap to the next minute spans none, one of an hour none, one of an hour and a minute one, one within a minute is not."""
    before, after = torch.tensor([7, 7, 7, 7, 67]), torch.tensor([8, 67, 68, 7, 187])
    assert whole(before, after, 60).tolist() == [0, 0, 1, -1, 1]
    assert whole(before, after, 24).tolist() == [0, 2, 2, -1, 4]
