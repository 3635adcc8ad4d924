"""Random packs for the tests of attention: documents of any length, statics, events minutes to decades apart."""

from __future__ import annotations

import torch

from tawt.batching.layout import Layout
from tawt.config.model import ModelConfig
from tawt.models.attention import Terms, decay_slopes, geometry

LENGTHS = (1, 2, 37, 300, 160)
TERMS = ("rotary", "decay", "bucket", "cosine", "recency")
KINDS = [(), *[(term,) for term in TERMS], ("rotary", "decay"), ("rotary", "cosine", "recency"), TERMS]


def a_layout(lengths=LENGTHS, seed=0, static_share=0.05):
    """Documents whose events lie minutes to decades apart; the second has statics only."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    gaps = 10 ** (torch.rand(n, generator=generator, dtype=torch.float64) * 6 - 2)
    hours = torch.cat([part.cumsum(0) for part in gaps.split(list(lengths))]) + 5e5
    is_static = torch.rand(n, generator=generator) < static_share
    if len(lengths) > 1:
        is_static[lengths[0] : lengths[0] + lengths[1]] = True
    document = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    end = torch.stack([part.max() for part in hours.split(list(lengths))])[document]
    age = (end - hours).masked_fill(is_static, 0.0).float()
    bounds = (0, *torch.tensor(lengths).cumsum(0).tolist())
    cu_seqlens = torch.tensor(bounds, dtype=torch.int32)
    return Layout(
        hours.where(~is_static, 0.0), is_static, age, torch.zeros(n), cu_seqlens, bounds, document, None, None
    )


def a_config(kind=("rotary", "decay"), n_heads=4, d_head=16, **changes):
    """An encoder's shape with these terms."""
    return ModelConfig(d_model=n_heads * d_head, n_heads=n_heads, attention=kind, **changes)


def strengths(config, seed=1):
    """Terms with strengths that differ from head to head, none of them at its start."""
    generator = torch.Generator().manual_seed(seed)
    on, n_heads = config.attention, config.n_heads
    return Terms(
        slopes=decay_slopes(config) + 0.1 if "decay" in on else None,
        buckets=torch.randn(n_heads, config.bucket.n_buckets, generator=generator) if "bucket" in on else None,
        amplitudes=torch.rand(n_heads, config.cosine.n_frequencies, generator=generator) if "cosine" in on else None,
        recency=torch.rand(n_heads, generator=generator) if "recency" in on else None,
    )


def a_pack(kind=("rotary", "decay"), lengths=LENGTHS, dtype=torch.float32, seed=0, kernel="packed", **shape):
    """Config, layout, queries, keys, values and output gradient `(n_heads, t, d_head)`, terms and geometry."""
    config = a_config(kind, **shape)
    layout = a_layout(lengths, seed)
    generator = torch.Generator().manual_seed(seed)
    q, k, v, grad = (
        torch.randn(config.n_heads, sum(lengths), config.d_head, generator=generator).to(dtype) for _ in range(4)
    )
    return config, layout, (q, k, v, grad), strengths(config), geometry(config, layout, kernel=kernel)


def run(kernel, tensors, terms, where, *more):
    """Output and gradients of q, k, v and every term of one kernel."""
    q, k, v, grad = tensors
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    own = {name: x.detach().clone().requires_grad_() for name, x in vars(terms).items() if x is not None}
    out = kernel(*leaves, Terms(**own), where, *more)
    return [out.detach(), *torch.autograd.grad(out, [*leaves, *own.values()], grad)]


def in_double(terms):
    """The same terms in float64."""
    return Terms(**{name: x.double() for name, x in vars(terms).items() if x is not None})


def worst(ours, theirs) -> float:
    """Largest difference, relative to the largest number of each tensor."""
    pairs = zip(ours, theirs, strict=True)
    return max((float((a - b).detach().abs().max() / b.detach().abs().max()) for a, b in pairs), default=0.0)
