"""The tile kernel: packed documents without padding, with a backward by hand. The kernel of the CPU."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.channels import with_channels
from tawt.models.attention.dropping import kept, tiles
from tawt.models.attention.terms import Terms

EXP_FLOOR = -80.0
"""Smallest argument given to exp: below -87 float32 goes subnormal and exp slows a hundredfold; e^-80 adds nothing."""


def packed_attention(
    q: Tensor, k: Tensor, v: Tensor, terms: Terms, where: Geometry, dropout: float = 0.0, seed: int = 0
) -> Tensor:
    """Attention tile by tile: a run of a document's queries against all its keys.

    Only the output and one number per row are kept for the gradient; weights, and which of them were dropped, are made
    again from those. Sums are in float32 (float64 for float64), also for bf16 and fp16 inputs, and in one order at any
    number of threads; with one head, the matrix library may cut its one product by threads.

    Args:
        q: `(n_heads, t, d_head)`, already turned.
        k: As `q`.
        v: As `q`.
        terms: Strengths of the terms.
        where: The batch's geometry.
        dropout: Chance of a weight to be dropped.
        seed: Which weights.

    Returns:
        `(n_heads, t, d_head)` in the dtype of `q`.

    Source: the recomputation is that of FlashAttention (Dao et al., 2022).
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    with torch.autocast(q.device.type, enabled=False):
        wide_q, wide_k = with_channels(q.to(dtype), k.to(dtype), terms, where)
        slopes, table = (x.to(dtype) if x is not None else None for x in (terms.slopes, terms.buckets))
        out: Tensor = _Packed.apply(wide_q, wide_k, v.to(dtype), slopes, table, where, dropout, seed)
    return out.to(q.dtype)


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        slopes: Tensor | None,
        table: Tensor | None,
        where: Geometry,
        dropout: float,
        seed: int,
    ) -> Tensor:
        n_heads, n, d_head = v.shape
        q = q / math.sqrt(d_head)
        out = torch.empty_like(v)
        log_sum = q.new_empty(n_heads, n, 1)
        for i, (a, b) in enumerate(where.spans):
            for row, end in tiles(b - a, n_heads, q.is_cuda):
                tile, seen = slice(a + row, a + end), slice(a, a + end if where.causal else b)
                scores = torch.bmm(q[:, tile], k[:, seen].mT)
                _add_terms(scores, slopes, table, where, i, row, end)
                if where.causal:
                    scores[..., row:].masked_fill_(_ahead(scores), -math.inf)
                top = scores.amax(-1, keepdim=True)
                scores.sub_(top).clamp_min_(EXP_FLOOR).exp_()
                if where.causal:
                    scores[..., row:].tril_()
                total = scores.sum(-1, keepdim=True)
                if dropout:
                    scores.mul_(_kept(seed, i, row, scores, b - a, dropout))
                torch.div(torch.bmm(scores, v[:, seen]), total * (1 - dropout), out=out[:, tile])
                log_sum[:, tile] = total.log_().add_(top)
        ctx.save_for_backward(q, k, v, slopes, table, out, log_sum)
        ctx.where, ctx.dropout, ctx.seed = where, dropout, seed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad.device.type, enabled=False):  # also for a `backward()` within autocast
            return _Packed.gradients(ctx, grad)

    @staticmethod
    def gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of each argument of `forward`."""
        q, k, v, slopes, table, out, log_sum = ctx.saved_tensors
        where: Geometry = ctx.where
        n_heads, _, d_head = v.shape
        d_slopes = torch.zeros_like(slopes) if slopes is not None and ctx.needs_input_grad[3] else None
        d_table = torch.zeros_like(table) if table is not None and ctx.needs_input_grad[4] else None
        # one more column makes each product subtract its row's constant: log sum from scores, mean from their gradient
        # (not on CUDA, whose products round what they multiply to TF32)
        ones = torch.ones_like(log_sum)
        mean = (grad * out).sum(-1, keepdim=True)
        apart = q.is_cuda
        q_less, k_one = (q, k) if apart else (torch.cat((q, -log_sum), -1), torch.cat((k, ones), -1))
        if not (ctx.dropout or apart):
            grad_less, v_one = torch.cat((grad, -mean), -1), torch.cat((v, ones), -1)
        d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for i, (a, b) in enumerate(where.spans):
            for row, end in tiles(b - a, n_heads, q.is_cuda):
                tile, seen = slice(a + row, a + end), slice(a, a + end if where.causal else b)
                weights = torch.bmm(q_less[:, tile], k_one[:, seen].mT)
                if apart:
                    weights.sub_(log_sum[:, tile])
                fade, bucket = _add_terms(weights, slopes, table, where, i, row, end)
                weights.clamp_min_(EXP_FLOOR).exp_()
                if where.causal:
                    weights[..., row:].tril_()
                if ctx.dropout:
                    stays = _kept(ctx.seed, i, row, weights, b - a, ctx.dropout)
                    d_scores = torch.bmm(grad[:, tile], v[:, seen].mT).div_(1 - ctx.dropout).mul_(stays)
                    d_scores.sub_(mean[:, tile]).mul_(weights)
                    weights.mul_(stays).div_(1 - ctx.dropout)
                elif apart:
                    d_scores = torch.bmm(grad[:, tile], v[:, seen].mT).sub_(mean[:, tile]).mul_(weights)
                else:
                    d_scores = torch.bmm(grad_less[:, tile], v_one[:, seen].mT).mul_(weights)
                if d_slopes is not None and fade is not None:
                    d_slopes -= torch.linalg.vecdot(d_scores, fade).sum(-1)
                if d_table is not None and bucket is not None:
                    d_table += _sums(d_scores, bucket, d_table.shape[1])
                d_q[:, tile] = torch.bmm(d_scores, k[:, seen])
                d_k[:, seen] += torch.bmm(d_scores.mT, q[:, tile])
                d_v[:, seen] += torch.bmm(weights.mT, grad[:, tile])
        return d_q.div_(math.sqrt(d_head)), d_k, d_v, d_slopes, d_table, None, None, None


def _add_terms(
    scores: Tensor, slopes: Tensor | None, table: Tensor | None, where: Geometry, document: int, row: int, end: int
) -> tuple[Tensor | None, Tensor | None]:
    """Add decay and bucket to a tile `(n_heads, end - row, s)` of what is seen; return what they were made of."""
    fade = bucket = None
    n_seen = scores.shape[-1]
    if slopes is not None:
        fade = where.fade(document, row, end, scores.dtype)[:, :n_seen]
        scores.addcmul_(fade, -slopes[:, None, None])
    if table is not None:
        bucket = where.bucket(document, row, end)[:, :n_seen].reshape(-1)
        scores.view(len(table), -1).add_(table.index_select(1, bucket))
    return fade, bucket


def _ahead(scores: Tensor) -> Tensor:
    """Return `(rows, rows)` bool, which of a tile's own keys lie behind each of its rows."""
    n_rows = scores.shape[1]
    return torch.ones(n_rows, n_rows, dtype=torch.bool, device=scores.device).triu(1)


def _kept(seed: int, document: int, row: int, scores: Tensor, length: int, dropout: float) -> Tensor:
    """Return which weights of a tile stay, `(n_heads, rows, s)`: drawn as if all of the document were seen."""
    n_heads, n_rows, n_seen = scores.shape
    return kept(seed, document, row, (n_heads, n_rows, length), dropout, scores.device)[..., :n_seen]


def _sums(d_scores: Tensor, bucket: Tensor, n_buckets: int) -> Tensor:
    """Sum a tile over each bucket, `(n_heads, n_buckets)`, in one order at any number of threads."""
    flat = d_scores.view(len(d_scores), -1)
    if d_scores.is_cuda:  # where `bincount` would add in any order
        return torch.stack([(flat * (bucket == i)).sum(-1) for i in range(n_buckets)], 1)
    return torch.stack([torch.bincount(bucket, head, n_buckets) for head in flat]).to(d_scores.dtype)
