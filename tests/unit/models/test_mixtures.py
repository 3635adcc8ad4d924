"""The densities of the decoder against scipy, and their draws against the densities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tawt.models.decoder.gaps import GapOutputs
from tawt.models.decoder.mixtures import (
    NARROW_GAP,
    NARROW_RANK,
    draw_rank,
    gap_log_chance,
    rank_log_density,
)

MINUTE = 1 / 60
US = 60_000_000
"""A minute, us."""


def drawn_gaps(made, chances, beyond=0.0):
    """Gaps in hours that log-normals alone draw, given that so many have passed."""
    passed, now = (torch.full((len(chances),), x, dtype=torch.int64) for x in (int(beyond * 60 * US), 0))
    return GapOutputs(made.expand(len(chances), -1), None).draw(chances, passed, now, US).double() / (60 * US)


def outputs(places, widths, narrowest, weights=None):
    """One row of a mixture with these places, widths and weights."""
    raw = torch.log(torch.expm1(torch.tensor(widths) - narrowest))
    logits = torch.zeros(len(places)) if weights is None else torch.tensor(weights).log()
    return torch.cat([logits, torch.tensor(places), raw])[None]


@pytest.mark.parametrize("width", [0.03, 0.5, 2.0])
@pytest.mark.parametrize("hours", [MINUTE, 1.0, 24.0, 24 * 365 * 40.0])
def test_a_gap_has_the_chance_of_its_interval(hours, width):
    """The chance is that of scipy's log-normal between half a resolution below and above, from a minute to 40 years."""
    made = outputs([math.log(hours) + 0.3 * width], [width], NARROW_GAP)
    ours = gap_log_chance(made, torch.tensor([hours], dtype=torch.float64), MINUTE).item()
    law = stats.lognorm(s=width, scale=hours * math.exp(0.3 * width))
    exact = law.cdf(hours + MINUTE / 2) - law.cdf(hours - MINUTE / 2)
    assert ours == pytest.approx(math.log(exact), abs=3e-3)


def test_chances_of_all_gaps_sum_to_one():
    """Over all whole minutes the chances of a mixture sum to 1, but for what lies below half a minute."""
    made = outputs([math.log(0.1), math.log(2.0)], [0.4, 0.05], NARROW_GAP, [0.3, 0.7])
    hours = torch.arange(1, 60 * 40, dtype=torch.float64) * MINUTE
    total = gap_log_chance(made.expand(len(hours), -1), hours, MINUTE).double().exp().sum().item()
    below = 0.3 * stats.lognorm(s=0.4, scale=0.1).cdf(MINUTE / 2)
    assert total == pytest.approx(1 - below, abs=1e-3)


def test_the_likelihood_of_a_gap_far_away_is_finite_and_has_a_gradient():
    """A gap of 30 standard deviations costs much, not infinity, and pulls the mean towards it."""
    made = outputs([0.0], [0.5], NARROW_GAP).requires_grad_()
    chance = gap_log_chance(made, torch.tensor([math.exp(15.0)], dtype=torch.float64), MINUTE)
    (gradient,) = torch.autograd.grad(chance.sum(), made)
    assert -1e4 < chance.item() < -100 and gradient.isfinite().all() and gradient[0, 1] > 0


def test_a_rank_has_the_density_of_truncated_logistics():
    """A density over (0, 1) is scipy's, over an interval the mean of it, and it integrates to 1."""
    made = outputs([0.2, 0.9, 1.4], [0.02, 0.3, 0.2], NARROW_RANK, [0.2, 0.5, 0.3])
    grid = torch.linspace(0, 1, 20_001)
    ours = rank_log_density(made.expand(len(grid), -1), grid, grid).double().exp().numpy()
    exact = np.zeros(len(grid))
    for weight, place, width in ((0.2, 0.2, 0.02), (0.5, 0.9, 0.3), (0.3, 1.4, 0.2)):
        law = stats.logistic(place, width)
        exact += weight * law.pdf(grid.numpy()) / (law.cdf(1) - law.cdf(0))
    assert ours == pytest.approx(exact, rel=2e-3)
    assert np.trapezoid(ours, grid.numpy()) == pytest.approx(1, abs=1e-3)
    low, high = 0.15, 0.35
    over = rank_log_density(made, torch.tensor([low]), torch.tensor([high])).exp().item()
    inside = (grid >= low) & (grid <= high)
    assert over == pytest.approx(np.trapezoid(exact[inside], grid[inside]) / (high - low), rel=5e-3)


def test_draws_follow_the_densities():
    """5,000 draws of each mixture have its distribution (Kolmogorov-Smirnov), gaps in whole minutes."""
    rng = np.random.default_rng(3)
    n, chances = 5_000, torch.from_numpy(rng.random((5_000, 2)))
    made = outputs([math.log(3.0), math.log(60.0)], [0.5, 0.2], NARROW_GAP, [0.4, 0.6])
    gaps = drawn_gaps(made, chances).numpy()
    assert np.allclose(gaps * 60, np.round(gaps * 60), atol=1e-6)
    laws = stats.lognorm(s=0.5, scale=3.0), stats.lognorm(s=0.2, scale=60.0)
    assert stats.kstest(gaps, lambda x: 0.4 * laws[0].cdf(x) + 0.6 * laws[1].cdf(x)).pvalue > 1e-3
    made = outputs([0.1, 0.9], [0.1, 0.05], NARROW_RANK, [0.5, 0.5])
    drawn = draw_rank(made.expand(n, -1), chances).numpy()
    assert ((drawn >= 0) & (drawn <= 1)).all()

    def share(x):
        each = [(stats.logistic(p, s), 0.5) for p, s in ((0.1, 0.1), (0.9, 0.05))]
        return sum(w * (law.cdf(x) - law.cdf(0)) / (law.cdf(1) - law.cdf(0)) for law, w in each)

    assert stats.kstest(drawn, share).pvalue > 1e-3


@pytest.mark.parametrize(("place", "width"), [(-40.0, 0.3), (-0.5, 0.005), (-0.1, 0.005), (1.1, 0.005), (3.0, 0.01)])
def test_ranks_of_a_component_far_outside_lie_as_its_density_does(place, width):
    """What is left of it within (0, 1) is a decay from the near end, and no heap at the end itself."""
    chances = torch.from_numpy(np.random.default_rng(5).random((5_000, 2)))
    made = outputs([place], [width], NARROW_RANK)
    drawn = draw_rank(made.expand(len(chances), -1), chances).numpy()
    near = drawn if place < 0 else 1 - drawn
    assert stats.kstest(near, stats.truncexpon(b=1 / width, scale=width).cdf).pvalue > 1e-3
    grid = torch.linspace(0, 1, 100_001)
    density = rank_log_density(made.expand(len(grid), -1), grid, grid).exp().numpy()
    assert drawn.mean() == pytest.approx(np.trapezoid(density * grid.numpy(), grid.numpy()), abs=5 * width / 5_000**0.5)


def test_a_gap_that_is_known_to_be_longer_is_drawn_from_what_is_left():
    """Given that hours have passed, gaps are longer and lie as the rest of the law does; the chance of that is scipy's."""
    rng = np.random.default_rng(4)
    chances = torch.from_numpy(rng.random((5_000, 2)))
    made = outputs([math.log(3.0), math.log(60.0)], [0.5, 0.2], NARROW_GAP, [0.4, 0.6])
    laws = stats.lognorm(s=0.5, scale=3.0), stats.lognorm(s=0.2, scale=60.0)
    beyond, least = 5.0, 5 + MINUTE / 2

    def cdf(x):
        return 0.4 * laws[0].cdf(x) + 0.6 * laws[1].cdf(x)

    passed = torch.tensor([int(beyond * 60 * US)])
    longer = GapOutputs(made, None).log_longer(passed, torch.zeros_like(passed), US)
    assert longer.exp().item() == pytest.approx(1 - cdf(least), rel=1e-5)
    drawn = drawn_gaps(made, chances, beyond).numpy()
    assert (drawn > beyond).all() and np.allclose(drawn * 60, np.round(drawn * 60), atol=1e-6)
    assert stats.kstest(drawn, lambda x: (cdf(x) - cdf(least)) / (1 - cdf(least))).pvalue > 1e-3
    far = drawn_gaps(outputs([0.0], [0.1], NARROW_GAP), chances[:9], 50.0)
    assert (far > 50).all() and far.isfinite().all()
