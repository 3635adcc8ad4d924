"""The fast attention kernel against its plain definition, and time that keeps its minutes over a century."""

from __future__ import annotations

import math

import pytest
import torch

from tawt.config.model import DecayConfig, ModelConfig, RotaryConfig
from tawt.models import attention
from tawt.models.attention import decay_slopes, geometry, packed_attention, reference_attention, rotate

LENGTHS = (1, 2, 37, 700, 260)
KINDS = [("rotary", "decay"), ("decay",), ("rotary",), ()]


def a_pack(kind=("rotary", "decay"), lengths=LENGTHS, n_heads=4, d_head=16, dtype=torch.float32, seed=0):
    """Random queries, keys, values and the geometry of documents whose events lie minutes to decades apart."""
    config = ModelConfig(d_model=n_heads * d_head, n_heads=n_heads, attention=kind)
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    gaps = 10 ** (torch.rand(n, generator=generator, dtype=torch.float64) * 6 - 2)
    hours = torch.cat([part.cumsum(0) for part in gaps.split(list(lengths))]) + 5e5
    is_static = torch.rand(n, generator=generator) < 0.05
    cu_seqlens = torch.tensor([0, *torch.tensor(lengths).cumsum(0)], dtype=torch.int32)
    q, k, v, grad = (torch.randn(n_heads, n, d_head, generator=generator).to(dtype) for _ in range(4))
    slopes = decay_slopes(config) if "decay" in kind else None
    return q, k, v, grad, slopes, geometry(config, hours.where(~is_static, 0.0), is_static, cu_seqlens)


def run(kernel, q, k, v, grad, slopes, where):
    """Output and gradients of one kernel."""
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v, slopes) if x is not None]
    out = kernel(*leaves[:3], leaves[3] if slopes is not None else None, where)
    return [out.detach(), *torch.autograd.grad(out, leaves, grad)]


def worst(ours, theirs) -> float:
    """Largest difference, relative to the largest number of each tensor."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "+".join(kind) or "none")
def test_kernel_equals_reference_in_float32(kind):
    """Output and the gradients of queries, keys, values and slopes are those of the reference, up to float32 sums."""
    pack = a_pack(kind)
    # sums of 700 terms in another order: about sqrt(700) * 2^-24 = 2e-6, and a few times that after the second product
    assert worst(run(packed_attention, *pack), run(reference_attention, *pack)) < 2e-5


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "+".join(kind) or "none")
def test_kernel_equals_reference_in_float64(kind, monkeypatch):
    """In float64, with tiles of a few rows, nothing is left of the difference but rounding: the formulas are the same."""
    monkeypatch.setattr(attention, "TILE_FLOATS", 1 << 10)
    q, k, v, grad, slopes, where = a_pack(kind, dtype=torch.float64)
    pack = (q, k, v, grad, slopes.double() if slopes is not None else None, where)
    assert any(len(attention._tiles(length, 4)) > 2 for length in LENGTHS)
    assert worst(run(packed_attention, *pack), run(reference_attention, *pack)) < 1e-12


def test_gradients_are_those_of_finite_differences():
    """The backward written by hand agrees with numerical differentiation in float64."""
    q, k, v, _, slopes, where = a_pack(lengths=(1, 5, 9), n_heads=2, d_head=4, dtype=torch.float64)
    leaves = [x.double().requires_grad_() for x in (q, k, v, slopes)]
    assert torch.autograd.gradcheck(lambda *x: packed_attention(*x, where), leaves)


def test_bf16_inputs_are_accumulated_in_float32():
    """With bf16 inputs the kernel rounds once, at the end, also inside autocast."""
    q, k, v, _, slopes, where = a_pack(dtype=torch.bfloat16)
    exact = reference_attention(q.float(), k.float(), v.float(), slopes, where)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = packed_attention(q, k, v, slopes, where)
    assert out.dtype == torch.bfloat16
    # half a unit in the last of 8 binary digits, of the number itself
    assert ((out.float() - exact).abs() <= exact.abs() * 2**-8 + 1e-5).all()


def test_far_scores_do_not_break_the_kernel():
    """Scores hundreds below their row's best, where exp underflows, still give the reference's numbers."""
    q, k, v, grad, slopes, where = a_pack(lengths=(300,))
    pack = (q * 30, k, v, grad, slopes * 20, where)
    ours, theirs = run(packed_attention, *pack), run(reference_attention, *pack)
    spread = (q[0] * 30 @ k[0].mT / 4 - 20 * slopes[0] * where.distances[0]).std()
    assert spread > 50, "the case is not met"
    assert all(torch.isfinite(x).all() for x in ours)
    assert worst(ours, theirs) < 1e-4


def test_a_document_alone_attends_to_itself_only():
    """A document of one token gets back its own value."""
    q, k, v, _, slopes, where = a_pack(lengths=(1, 4))
    assert torch.equal(packed_attention(q, k, v, slopes, where)[:, 0], v[:, 0])


def test_a_minute_is_a_minute_after_a_century():
    """Distances are right to 1e-4 for events a minute apart a century after the origin, where float32 hours would say 0 or 4."""
    config = ModelConfig(decay=DecayConfig(tau_hours=1.0))
    hours = torch.tensor([876_600.0, 876_600.0 + 1 / 60, 876_600.0 + 1 / 30], dtype=torch.float64)
    where = geometry(config, hours, torch.zeros(3, dtype=torch.bool), torch.tensor([0, 3]))
    assert hours.float().unique().numel() < 3, "the case is not met"
    expected = [math.log1p(i / 60) for i in range(3)]
    assert where.distances[0][0].tolist() == pytest.approx(expected, rel=1e-4)


def test_rotary_scores_depend_on_differences_of_time_only():
    """Shifting all times by 60 years and 17 minutes leaves the scores of turned queries and keys as they were."""
    config = ModelConfig(d_model=64, n_heads=1, rotary=RotaryConfig(fraction=1.0))
    hours = torch.rand(50, dtype=torch.float64).cumsum(0) * 100
    q, k = torch.randn(1, 50, 64), torch.randn(1, 50, 64)

    def scores(shift: float) -> torch.Tensor:
        still = torch.zeros(50, dtype=torch.bool)
        where = geometry(config, hours + shift, still, torch.tensor([0, 50]))
        return rotate(q, where) @ rotate(k, where).mT

    assert torch.allclose(scores(0.0), scores(60 * 8766 + 17 / 60), atol=2e-5)
    assert not torch.allclose(scores(0.0), q @ k.mT, atol=1.0), "nothing was turned"


def test_statics_are_near_to_everything_and_not_turned():
    """A static has distance 0 to all tokens, and its query is left unturned."""
    config = ModelConfig(d_model=32, n_heads=2)
    hours = torch.tensor([0.0, 7e5, 7.1e5], dtype=torch.float64)
    where = geometry(config, hours, torch.tensor([True, False, False]), torch.tensor([0, 3]))
    assert where.distances[0][0].tolist() == where.distances[0][:, 0].tolist() == [0, 0, 0]
    assert where.distances[0][1, 2] > 0
    x = torch.randn(2, 3, 16)
    turned = rotate(x, where)
    assert torch.equal(turned[:, 0], x[:, 0]) and not torch.equal(turned[:, 1], x[:, 1])


def test_the_last_heads_do_not_fade():
    """Slopes halve from head to head and end with the free heads at zero."""
    config = ModelConfig(n_heads=4, decay=DecayConfig(steepest=2.0, n_free_heads=1))
    assert decay_slopes(config).tolist() == [2.0, 1.0, 0.5, 0.0]
