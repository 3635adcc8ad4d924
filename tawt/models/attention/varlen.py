"""Packed documents through torch's own flash kernel: CUDA, fp16 or bf16, terms that are channels."""

from __future__ import annotations

import inspect
import math
from functools import lru_cache
from typing import Any

from torch import Tensor
from torch.nn.functional import pad

from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.channels import n_channels, with_channels
from tawt.models.attention.terms import Terms

WIDTH_STEP = 8
"""A flash kernel takes heads of a multiple of this width."""


@lru_cache(maxsize=1)
def _behind() -> dict[str, Any]:
    """What makes the kernel causal; named otherwise since torch 2.11."""
    from torch.nn.attention.varlen import varlen_attn

    wide = "window_size" in inspect.signature(varlen_attn).parameters
    return {"window_size": (-1, 0)} if wide else {"is_causal": True}


def varlen_packed(q: Tensor, k: Tensor, v: Tensor, terms: Terms, where: Geometry) -> Tensor:
    """Attention within documents by `varlen_attn`.

    Args:
        q: `(n_heads, t, d_head)` bf16 or fp16 on CUDA, already turned.
        k: As `q`.
        v: As `q`.
        terms: Strengths of the terms; without decay and bucket, which need a bias.
        where: The batch's geometry, made for `varlen`.

    Returns:
        `(n_heads, t, d_head)` in the dtype of `q`.
    """
    from torch.nn.attention.varlen import varlen_attn

    assert terms.slopes is None and terms.buckets is None, "varlen adds no bias"
    d_head = v.shape[-1]
    # The kernel divides by the root of the width that it sees. Channels are made for that one, so that they are rounded
    # once: their ones must stay 1 in bf16.
    n_frequencies = terms.amplitudes.shape[1] if terms.amplitudes is not None else 0
    more = n_channels(n_frequencies, terms.recency is not None, q.dtype)
    width = -(-(d_head + more) // WIDTH_STEP) * WIDTH_STEP
    scaled = q if width == d_head else q * math.sqrt(width / d_head)
    q, k = with_channels(scaled, k, terms, where, root=math.sqrt(width))
    q, k, v = (pad(x, (0, width - x.shape[-1])).transpose(0, 1) for x in (q, k, v))
    starts, longest = where.cu_seqlens, where.max_seqlen
    assert starts is not None, "the geometry was made for another kernel"
    out = varlen_attn(q, k, v, starts, starts, longest, longest, **(_behind() if where.causal else {}))
    assert isinstance(out, Tensor)
    return out[..., :d_head].transpose(0, 1)
