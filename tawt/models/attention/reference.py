"""The definition of time-aware attention, written plainly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.dropping import kept_of_document
from tawt.models.attention.terms import Terms


def reference_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    terms: Terms,
    where: Geometry,
    frequencies: Tensor | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """Each document by itself, every term from its gaps, one explicit softmax, differentiated by autograd.

    Args:
        q: `(n_heads, t, d_head)`, already turned.
        k: As `q`.
        v: As `q`.
        terms: Strengths of the terms.
        where: The batch's geometry.
        frequencies: `(n_frequencies,)` float64, radians per hour, of the cosine term.
        dropout: Chance of a weight to be dropped.
        seed: Which weights.

    Returns:
        `(n_heads, t, d_head)` in the dtype of `q`.
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    q, k, v, given = q.to(dtype), k.to(dtype), v.to(dtype), q.dtype
    out = []
    with torch.autocast(q.device.type, enabled=False):
        for i, (a, b) in enumerate(where.spans):
            scores = q[:, a:b] @ k[:, a:b].mT / math.sqrt(q.shape[-1])
            if terms.slopes is not None:
                scores = scores - terms.slopes.to(dtype)[:, None, None] * where.fade(i, 0, b - a, dtype)
            if terms.buckets is not None:
                scores = scores + terms.buckets.to(dtype)[:, where.bucket(i, 0, b - a).long()]
            if terms.amplitudes is not None:
                assert frequencies is not None
                hours, timed = where.hours[a:b], ~where.is_static[a:b]
                gap = (hours[:, None] - hours) * (timed[:, None] & timed)
                for m, frequency in enumerate(frequencies.tolist()):
                    wave = (gap * frequency).cos().to(dtype)
                    scores = scores + terms.amplitudes[:, m].to(dtype)[:, None, None] * wave
            if terms.recency is not None and where.fading is not None:
                scores = scores - terms.recency.to(dtype)[:, None, None] * where.fading[a:b].to(dtype)
            if where.causal:
                scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
            weights = scores.softmax(-1)
            if dropout:
                weights = (
                    weights * kept_of_document(seed, i, weights.shape[0], b - a, dropout, q.device) / (1 - dropout)
                )
            out.append(weights @ v[:, a:b])
    return torch.cat(out, 1).to(given)
