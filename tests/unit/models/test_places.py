"""Numbers by their ranks, against the laws that they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from tawt.dataset.scales import Scale
from tawt.models.decoder.places import KNOTS, ranks, values

N = 100_000
EVEN = (torch.arange(N, dtype=torch.float64) + 0.5) / N


@pytest.mark.parametrize("law", [stats.norm(), stats.lognorm(1.0), stats.expon(), stats.t(5), stats.uniform()])
def test_numbers_at_even_ranks_lie_as_the_law_does(law):
    """Also beyond 255 in 256, where straight between two knots they would be far too large; upside down it is the same;
    ranks lead back."""
    many = np.sort(law.rvs(N, random_state=0))
    knots = Scale.of(many, np.arange(N) % 3000).at(np.linspace(0, 1, KNOTS))
    both = torch.from_numpy(np.stack([knots, -knots[::-1]]).astype(np.float32))
    told, down = (values(both, torch.full((N,), kind), at) for kind, at in ((0, EVEN), (1, 1 - EVEN)))
    assert (told.diff() >= 0).all() and torch.allclose(down, -told, atol=1e-5)
    beyond = EVEN.numpy() > 1 - 1 / (KNOTS - 1)
    real = many[beyond].mean()
    straight = np.interp(EVEN.numpy()[beyond], np.linspace(0, 1, KNOTS), knots).mean()
    assert abs(told.numpy()[beyond].mean() - real) < max(0.5 * abs(straight - real), 0.01 * law.std())
    assert told.numpy().std() == pytest.approx(many.std(), rel=0.05)
    for kind, value, at in ((0, told, EVEN), (1, down, 1 - EVEN)):
        low, high = ranks(both, torch.full((N,), kind), value.float())
        assert torch.equal(low, high) and (low - at).abs().max() < 2e-4


def test_where_many_numbers_are_one_nothing_bends():
    """Ties at an end, or just before it, are straight as before, and of one number there is nothing else."""
    tied = np.repeat([1.0, 2.0], [KNOTS - 1, 1]), np.repeat([1.0, 5.0], [1, KNOTS - 1]), np.full(KNOTS, 3.0)
    knots = torch.from_numpy(np.stack(tied).astype(np.float32))
    at = torch.tensor([0.0, 1 / 512, 0.5, 1 - 1 / 512, 1.0])
    found = [values(knots, torch.full((5,), kind), at).tolist() for kind in range(3)]
    assert found == [[1, 1, 1, 1.5, 2], [1, 3, 5, 5, 5], [3] * 5]
