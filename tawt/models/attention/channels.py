"""What is done to queries and keys before any kernel: rotation by time, and channels that carry cosine and recency."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.terms import Terms


class _Rotate(torch.autograd.Function):
    """Turn the first `r` dimensions of each head; the gradient turns back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(grad, cos, -sin), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = cos.shape[-1]
    left, right = x[..., :half], x[..., half : 2 * half]
    out = x.clone()
    out[..., :half] = left * cos - right * sin
    out[..., half : 2 * half] = right * cos + left * sin
    return out


def rotate(x: Tensor, where: Geometry) -> Tensor:
    """Turn `(n_heads, t, d_head)` queries or keys by their tokens' time, in float32; unchanged without rotary.

    Source: Su et al., RoFormer, 2021, with time in place of position.
    """
    if where.cos is None or where.sin is None:
        return x
    turned: Tensor = _Rotate.apply(x, where.cos, where.sin)
    return turned


def n_channels(n_frequencies: int, recency: bool, dtype: torch.dtype) -> int:
    """Return how many channels `with_channels` appends, for so many cosines (0 = none), with recency or without."""
    coarse = dtype != torch.promote_types(dtype, torch.float32)
    return (2 * n_frequencies + 1 if n_frequencies else 0) + (1 + coarse if recency else 0)


def with_channels(
    q: Tensor, k: Tensor, terms: Terms, where: Geometry, root: float | None = None
) -> tuple[Tensor, Tensor]:
    """Append the channels of cosine and recency: `(n_heads, t, d_head)` -> `(n_heads, t, d_head + c)`, both.

    Scores of the result, divided by `root`, hold the two terms beside what `q` and `k` give. Channels are computed in
    float32; where keys are coarser, an age has two, of which the second holds what the rounding took from the first.

    Args:
        q: Queries, turned.
        k: Keys, turned.
        terms: Strengths of the terms.
        where: The batch's geometry.
        root: What the kernel divides scores by; by default the square root of the given `d_head`.

    Source: cosines as channels are random Fourier features (Rahimi and Recht, 2007) on a fixed grid; a bias as
    channels is FlashBias (Wu et al., 2025).
    """
    n_heads, n, d_head = q.shape
    exact = torch.promote_types(q.dtype, torch.float32)
    root = root or math.sqrt(d_head)
    queries, keys = [q], [k]
    if terms.amplitudes is not None and where.waves is not None:
        amplitudes = terms.amplitudes.to(exact) * root
        still = where.is_static[:, None]
        # a static is at distance 0 of everything: as a key it gets the sum of all amplitudes; as a query it would add
        # one constant to its row, which the softmax does not see, so its channels are 0
        strengths = torch.cat((amplitudes, amplitudes), -1)[:, None]
        total = amplitudes.sum(-1)[:, None, None] * ~still
        queries += [(strengths * where.waves).to(q.dtype), total.to(q.dtype)]
        kept = torch.cat((where.waves.to(exact), still.to(exact)), -1).to(k.dtype)
        keys.append(kept.expand(n_heads, -1, -1))
    if terms.recency is not None and where.fading is not None:
        fading = -(terms.recency.to(exact) * root)[:, None, None] * where.fading[:, None]
        rounded = fading.detach().to(k.dtype)
        if k.dtype == exact:
            keys.append(fading)
        else:
            keys += [rounded, (fading - rounded).to(k.dtype)]
        queries.append(q.new_ones(n_heads, n, 1 if k.dtype == exact else 2))
    return (q, k) if len(queries) == 1 else (torch.cat(queries, -1), torch.cat(keys, -1))
