"""Attention that knows time, over packed documents: one plain reference and one fast kernel held to it.

Scores of head h between tokens i and j of one document:

    rotary(q_i, t_i) . rotary(k_j, t_j) / sqrt(d_head)  -  slope_h * log1p(|t_i - t_j| / tau)

Nothing of the size `n_tokens x n_tokens` is ever made; the largest object is a document's own `(L, L)`
distances, built once per batch and shared by all heads and layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tawt.config.model import ModelConfig

TILE_FLOATS = 1 << 18
"""Scores held at once on CPU: about 1 MB, which stays in a core's cache; speed is flat from half to eight
times of it."""

TILE_FLOATS_CUDA = 1 << 26
"""The same on CUDA, where few large products are faster than many small ones."""

EXP_FLOOR = -80.0
"""Smallest argument given to exp: below -87 float32 goes subnormal and exp slows a hundredfold; e^-80 adds
nothing."""


@dataclass(frozen=True)
class Geometry:
    """What attention needs to know of a batch besides its states."""

    spans: tuple[tuple[int, int], ...]
    """First and one past the last token of each document."""
    cos: Tensor | None
    """`(n, r / 2)` float32, cosines of the rotary angles; None = no rotation."""
    sin: Tensor | None
    """`(n, r / 2)` float32."""
    distances: tuple[Tensor, ...] | None
    """Per document `(L, L)` float32, `log1p(|dt| / tau)`; None = no decay."""


def geometry(config: ModelConfig, hours: Tensor, is_static: Tensor, cu_seqlens: Tensor) -> Geometry:
    """Compute a batch's angles and distances.

    Args:
        config: The encoder's shape.
        hours: `(n,)` float64, hours since the subject's origin.
        is_static: `(n,)` bool; a static has angle 0 and distance 0 to everything.
        cu_seqlens: `(d + 1,)` int, where documents start.
    """
    bounds = cu_seqlens.tolist()
    spans = tuple(pairwise(bounds))
    cos = sin = None
    if "rotary" in config.attention and (frequencies := rotary_frequencies(config)).numel():
        angles = torch.outer(hours, frequencies.to(hours.device)).masked_fill_(is_static[:, None], 0.0)
        # float32 holds no minutes in a count of hours over decades: reduce first, round after
        angles = torch.remainder(angles, 2 * math.pi).float()
        cos, sin = angles.cos(), angles.sin()
    distances = None
    if "decay" in config.attention:
        distances = tuple(_distances(hours[a:b], is_static[a:b], config.decay.tau_hours) for a, b in spans)
    return Geometry(spans, cos, sin, distances)


def rotary_frequencies(config: ModelConfig) -> Tensor:
    """Return `(r / 2,)` float64 angular frequencies, radians per hour, of the turned pairs of a head's
    dimensions."""
    rotary = config.rotary
    n_pairs = int(config.d_head * rotary.fraction) // 2
    steps = torch.linspace(0.0, 1.0, n_pairs, dtype=torch.float64)
    return 2 * math.pi / (rotary.shortest_hours * (rotary.longest_hours / rotary.shortest_hours) ** steps)


def decay_slopes(config: ModelConfig) -> Tensor:
    """Return `(n_heads,)` float32 slopes: halved from head to head, the last heads 0.

    Source: the geometric slopes are those of ALiBi (Press et al., 2022), on time in place of position.
    """
    n_fading = config.n_heads - config.decay.n_free_heads
    slopes = torch.zeros(config.n_heads)
    slopes[:n_fading] = config.decay.steepest * 0.5 ** torch.arange(n_fading)
    return slopes


def _distances(hours: Tensor, is_static: Tensor, tau: float) -> Tensor:
    """`(L, L)` float32 `log1p(|dt| / tau)`, differences taken in float64 a few rows at a time."""
    length = hours.shape[0]
    out = torch.empty(length, length, dtype=torch.float32, device=hours.device)
    rows = max(16, TILE_FLOATS // max(length, 1))
    for a in range(0, length, rows):
        out[a : a + rows] = hours[a : a + rows, None] - hours
    out.abs_().mul_(1 / tau).log1p_()
    return out.masked_fill_(is_static, 0.0).masked_fill_(is_static[:, None], 0.0)


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
    """Turn `(n_heads, n, d_head)` queries or keys by their tokens' time; unchanged without rotary.

    Source: Su et al., RoFormer, 2021, with time in place of position.
    """
    if where.cos is None or where.sin is None:
        return x
    return _Rotate.apply(x, where.cos, where.sin)


def reference_attention(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None, where: Geometry) -> Tensor:
    """The definition, written plainly: each document by itself, one explicit softmax, differentiated by
    autograd.

    Args:
        q: `(n_heads, n, d_head)`, already turned.
        k: As `q`.
        v: As `q`.
        slopes: `(n_heads,)` decay per head, or None.
        where: The batch's geometry.

    Returns:
        `(n_heads, n, d_head)` in the dtype of `q`.
    """
    dtype = _accumulator(q)
    out = []
    for i, (a, b) in enumerate(where.spans):
        scores = q[:, a:b].to(dtype) @ k[:, a:b].to(dtype).mT / math.sqrt(q.shape[-1])
        if slopes is not None and where.distances is not None:
            scores = scores - slopes.to(dtype)[:, None, None] * where.distances[i].to(dtype)
        out.append(scores.softmax(-1) @ v[:, a:b].to(dtype))
    return torch.cat(out, 1).to(q.dtype)


def packed_attention(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None, where: Geometry) -> Tensor:
    """The fast kernel: same arguments and result as `reference_attention`, tile by tile, with a backward
    by hand.

    Only the output and one number per row are kept for the gradient; weights are made again from them.

    Source: the recomputation is that of FlashAttention (Dao et al., 2022).
    """
    dtype = _accumulator(q)
    with torch.autocast(q.device.type, enabled=False):
        out: Tensor = _Packed.apply(
            q.to(dtype), k.to(dtype), v.to(dtype), slopes.to(dtype) if slopes is not None else None, where
        )
    return out.to(q.dtype)


def _accumulator(q: Tensor) -> torch.dtype:
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def _tiles(length: int, n_heads: int, cuda: bool = False) -> list[tuple[int, int]]:
    """Cut a document's query rows into even runs of about `TILE_FLOATS` scores."""
    rows = max(16, (TILE_FLOATS_CUDA if cuda else TILE_FLOATS) // (n_heads * length))
    rows = -(-length // -(-length // rows))
    return [(a, min(length, a + rows)) for a in range(0, length, rows)]


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None, where: Geometry) -> Tensor:
        n_heads, n, d_head = q.shape
        q = q / math.sqrt(d_head)
        out = torch.empty_like(v)
        log_sum = q.new_empty(n_heads, n, 1)
        fade = _fade(slopes, where)
        for i, (a, b) in enumerate(where.spans):
            k_t, v_d = k[:, a:b].mT, v[:, a:b]
            for row, end in _tiles(b - a, n_heads, q.is_cuda):
                tile = slice(a + row, a + end)
                scores = torch.bmm(q[:, tile], k_t)
                if fade is not None:
                    scores.addcmul_(_rows(where, i, row, end, q.dtype), fade)
                top = scores.amax(-1, keepdim=True)
                total = scores.sub_(top).clamp_min_(EXP_FLOOR).exp_().sum(-1, keepdim=True)
                torch.div(torch.bmm(scores, v_d), total, out=out[:, tile])
                log_sum[:, tile] = total.log_().add_(top)
        ctx.save_for_backward(q, k, v, slopes, out, log_sum)
        ctx.where = where
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, slopes, out, log_sum = ctx.saved_tensors
        where: Geometry = ctx.where
        n_heads, _, d_head = q.shape
        fade = _fade(slopes, where)
        d_slopes = torch.zeros_like(slopes) if slopes is not None and ctx.needs_input_grad[3] else None
        # one more column makes each product subtract its row's constant: log sum from scores, mean from
        # their gradient
        ones = torch.ones_like(log_sum)
        q_less, k_one = torch.cat((q, -log_sum), -1), torch.cat((k, ones), -1)
        grad_less = torch.cat((grad, -(grad * out).sum(-1, keepdim=True)), -1)
        v_one = torch.cat((v, ones), -1)
        d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for i, (a, b) in enumerate(where.spans):
            document = slice(a, b)
            for row, end in _tiles(b - a, n_heads, q.is_cuda):
                tile = slice(a + row, a + end)
                weights = torch.bmm(q_less[:, tile], k_one[:, document].mT)
                distance = None
                if fade is not None:
                    distance = _rows(where, i, row, end, q.dtype)
                    weights.addcmul_(distance, fade)
                weights.clamp_min_(EXP_FLOOR).exp_()
                d_scores = torch.bmm(grad_less[:, tile], v_one[:, document].mT).mul_(weights)
                if d_slopes is not None and distance is not None:
                    d_slopes -= torch.mv(d_scores.view(n_heads, -1), distance.reshape(-1))
                d_q[:, tile] = torch.bmm(d_scores, k[:, document])
                d_k[:, document] += torch.bmm(d_scores.mT, q[:, tile])
                d_v[:, document] += torch.bmm(weights.mT, grad[:, tile])
        return d_q.div_(math.sqrt(d_head)), d_k, d_v, d_slopes, None


def _fade(slopes: Tensor | None, where: Geometry) -> Tensor | None:
    return -slopes.detach()[:, None, None] if slopes is not None and where.distances is not None else None


def _rows(where: Geometry, document: int, row: int, end: int, dtype: torch.dtype) -> Tensor:
    assert where.distances is not None
    return where.distances[document][row:end].to(dtype)
