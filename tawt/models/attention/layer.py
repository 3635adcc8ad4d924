"""The attention layer: projections, the strengths of its terms, and the kernel that the geometry was made for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tawt.config.model import ModelConfig
from tawt.models.attention.batch_geometry import Geometry
from tawt.models.attention.channels import rotate
from tawt.models.attention.flex import flex_packed
from tawt.models.attention.packed import packed_attention
from tawt.models.attention.reference import reference_attention
from tawt.models.attention.terms import (
    Terms,
    bucket_biases,
    cosine_amplitudes,
    cosine_frequencies,
    decay_slopes,
    recency_slopes,
)
from tawt.models.attention.varlen import varlen_packed

SHARPNESS = 1.6
"""Queries and keys start so much larger than a linear layer's default: likeness shows above chance at once."""


class TimeAwareAttention(nn.Module):
    """Multi-head attention within documents."""

    slopes: Tensor | None
    buckets: Tensor | None
    amplitudes: Tensor | None
    recency: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.dropout = nn.Dropout(config.attention_dropout)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        # equal at the start, so that a token first looks at those that are like it; they part as they learn
        with torch.no_grad():
            keys = self.qkv.weight[config.d_model : 2 * config.d_model].mul_(SHARPNESS)
            self.qkv.weight[: config.d_model] = keys
        on = config.attention
        slopes = decay_slopes(config) if "decay" in on else None
        if slopes is not None and config.decay.learned:
            self.slopes = nn.Parameter(slopes)
        else:
            self.register_buffer("slopes", slopes, persistent=False)
        self.buckets = nn.Parameter(bucket_biases(config)) if "bucket" in on else None
        self.amplitudes = nn.Parameter(cosine_amplitudes(config)) if "cosine" in on else None
        self.recency = nn.Parameter(recency_slopes(config)) if "recency" in on else None
        self.frequencies = cosine_frequencies(config) if "cosine" in on else None

    def terms(self) -> Terms:
        """Return the strengths of this layer's terms."""
        return Terms(self.slopes, self.buckets, self.amplitudes, self.recency)

    def forward(self, x: Tensor, where: Geometry) -> Tensor:
        """`(t, d_model)` -> `(t, d_model)`."""
        n, d_model = x.shape
        qkv = self.qkv(x).view(n, 3, self.n_heads, -1)
        if where.kernel == "fused":
            from tawt.models.attention.fused import fused_attention  # where there is Triton

            return self.out(fused_attention(qkv, self.terms(), where).view(n, d_model))
        q, k, v = qkv.permute(1, 2, 0, 3).contiguous().unbind(0)
        q, k = rotate(q, where), rotate(k, where)
        mixed = self.mixed(q, k, v, where)
        return self.out(mixed.transpose(0, 1).reshape(n, d_model))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, where: Geometry) -> Tensor:
        """What each query sees, `(n_heads, t, d_head)` all, queries and keys turned, by the kernel of the geometry."""
        terms = self.terms()
        dropout = self.dropout.p if self.training else 0.0
        if where.kernel in ("flex", "varlen"):
            assert not dropout, "choose_kernel keeps dropout from these"
            return (flex_packed if where.kernel == "flex" else varlen_packed)(q, k, v, terms, where)
        # one number of torch's seeded stream stands for all that are dropped, so the backward pass can draw them again
        seed = int(torch.randint(1 << 62, ())) if dropout else 0
        if where.kernel == "packed":
            return packed_attention(q, k, v, terms, where, dropout, seed)
        return reference_attention(q, k, v, terms, where, self.frequencies, dropout, seed)
