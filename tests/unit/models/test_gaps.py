"""Gaps that keep to the clock: their chances against counting, their draws against the chances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from tawt.models.decoder.gaps import GapOutputs, whole_hours

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
N_HOURS = 3


@pytest.fixture
def made():
    """One state: log-normals around 20 minutes, seven tenths by the clock, mostly at minute 7 or 40, within the hour."""
    minutes, whole = torch.full((60,), -6.0), torch.tensor([2.0, 0.5, -1.0])
    minutes[7], minutes[40], minutes[12] = 3.0, 1.5, 0.0
    free = torch.tensor([0.0, -1.0, -0.5, -2.0, 0.3, -1.0])
    return GapOutputs(free[None], torch.cat([torch.tensor([0.85]), minutes, whole])[None])


def chances(made, gaps, now, resolution):
    """Log chance of each of some gaps, us, that begin at a time of the clock."""
    ends = now + gaps
    whole = whole_hours(torch.full_like(gaps, now // MINUTE), ends // MINUTE)
    n = len(gaps)
    wide = GapOutputs(made.free.expand(n, -1), made.minutes.expand(n, -1))
    hours = (gaps / HOUR).float()
    return wide.log_chance(hours, torch.tensor(resolution / HOUR).double(), ends // MINUTE % 60, whole).double()


@pytest.mark.parametrize(
    ("resolution", "now"),
    [
        (MINUTE, 0),
        (MINUTE, 5 * HOUR + 13 * MINUTE),
        (MINUTE, 41 * MINUTE + 17),
        (20 * SECOND, 9 * MINUTE + 40 * SECOND),
    ],
)
def test_chances_of_all_gaps_sum_to_one(made, resolution, now):
    """Over all multiples of the resolution up to a month they sum to 1, on whichever minute and second it begins."""
    gaps = torch.arange(1, 31 * 24 * HOUR // resolution) * resolution
    assert chances(made, gaps, now, resolution).exp().sum().item() == pytest.approx(1, abs=3e-3)


@pytest.mark.parametrize(
    ("resolution", "now", "passed"),
    [(MINUTE, 41 * MINUTE + 17, 0), (20 * SECOND, 9 * MINUTE + 40 * SECOND, 0),
     (20 * SECOND, 9 * MINUTE + 40 * SECOND, 30 * MINUTE + 20 * SECOND), (MINUTE, 52 * MINUTE, 15 * MINUTE)],
)  # fmt: skip
def test_draws_have_their_chances(made, resolution, now, passed):
    """20,000 draws, given what has passed, have the chances of the gaps that are longer, by a chi-squared of 60 or so cells;
    how likely it is that any is longer is the sum of these."""
    n, rng = 20_000, np.random.default_rng(5)
    gaps = torch.arange(passed // resolution + 1, 31 * 24 * HOUR // resolution) * resolution
    left = chances(made, gaps, now, resolution).exp().numpy()
    beyond, begun = torch.full((n,), passed), torch.full((n,), now)
    wide = GapOutputs(made.free.expand(n, -1), made.minutes.expand(n, -1))
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
        wide = GapOutputs(made.free.expand(n, -1), made.minutes.expand(n, -1))
        now = torch.full((n,), begins * MINUTE)
        drawn = wide.draw(torch.from_numpy(rng.random((n, 2))), torch.zeros(n, dtype=torch.int64), now, MINUTE)
        assert (((now + drawn) // MINUTE % 60) == 7).float().mean() > 0.4


def test_whole_hours_of_a_gap():
    """A gap to the next minute spans none, one of an hour none, one of an hour and a minute one, one within a minute is not."""
    before, after = torch.tensor([7, 7, 7, 7, 67]), torch.tensor([8, 67, 68, 7, 187])
    assert whole_hours(before, after).tolist() == [0, 0, 1, -1, 1]
