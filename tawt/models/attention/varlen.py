"""Packed documents through torch's own flash kernel: CUDA, fp16 or bf16, terms that are channels."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import pad

from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.channels import with_channels
from tawt.models.attention.terms import Terms

WIDTH_STEP = 8
"""A flash kernel takes heads of a multiple of this width."""


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
    q, k = with_channels(q, k, terms, where)
    width = -(-q.shape[-1] // WIDTH_STEP) * WIDTH_STEP
    if width != d_head:  # the kernel divides by the root of the width
        q = q * math.sqrt(width / d_head)
    q, k, v = (pad(x, (0, width - x.shape[-1])).transpose(0, 1) for x in (q, k, v))
    starts, longest = where.cu_seqlens, where.max_seqlen
    assert starts is not None, "the geometry was made for another kernel"
    out = varlen_attn(q, k, v, starts, starts, longest, longest)
    assert isinstance(out, Tensor)
    return out[..., :d_head].transpose(0, 1)
