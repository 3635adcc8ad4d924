"""Dropout by bytes that were drawn before."""

from __future__ import annotations

import pytest
import torch

from tawt.models.dropout import Dropout, draw_bytes

CPU = torch.device("cpu")


@pytest.mark.parametrize("chance", [0.001, 0.05, 0.5, 0.999])
def test_a_share_is_dropped_and_the_rest_makes_up_for_it(chance):
    """Chances are to 1/256, at least one and at most 255 of them; what stays is so much larger that the mean is kept."""
    x = torch.ones(1000, 400, requires_grad=True)
    torch.manual_seed(0)
    out = Dropout(chance)(x, draw_bytes((1000, 400), CPU))
    share = min(max(round(chance * 256), 1), 255) / 256
    assert float((out == 0).float().mean()) == pytest.approx(share, rel=0.05)
    assert out[out > 0].unique().tolist() == pytest.approx([1 / (1 - share)])
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_without_bytes_it_is_torchs_own():
    """With none given, or none to drop, or outside of training, bytes change nothing."""
    x, bytes_ = torch.randn(50, 8), draw_bytes((50, 8), CPU)
    torch.manual_seed(3)
    ours = Dropout(0.4)(x)
    torch.manual_seed(3)
    assert torch.equal(ours, torch.nn.Dropout(0.4)(x))
    assert torch.equal(Dropout(0.0)(x, bytes_), x) and torch.equal(Dropout(0.4).eval()(x, bytes_), x)


def test_bytes_follow_from_the_seed_and_are_uniform():
    """All of the 256 come equally often, in each of the eight places of a word; another seed gives others."""
    torch.manual_seed(1)
    first = draw_bytes((4096, 8), CPU)
    torch.manual_seed(1)
    assert torch.equal(first, draw_bytes((4096, 8), CPU))
    assert not torch.equal(first, draw_bytes((4096, 8), CPU))
    for place in range(8):
        counts = first[:, place].bincount(minlength=256).double()
        assert float(((counts - 16) ** 2 / 16).sum()) < 360  # chi squared of 255 degrees of freedom: 1 in 10,000
    assert draw_bytes((3, 5), CPU).shape == (3, 5)
