"""The encoder: token embeddings, pre-norm blocks over packed documents, readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.batching.batch import PackedBatch
from tawt.config.model import ModelConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.attention import Geometry, decay_slopes, geometry, packed_attention, rotate
from tawt.models.embeddings import CLS, TripletEmbedding
from tawt.models.pooling import DocumentPooling

SHARPNESS = 1.6
"""Queries and keys start so much larger than a linear layer's default: likeness shows above chance at once."""


class TimeAwareAttention(nn.Module):
    """Multi-head attention within documents."""

    slopes: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        # equal at the start, so that a token first looks at those that are like it; they part as they learn
        with torch.no_grad():
            keys = self.qkv.weight[config.d_model : 2 * config.d_model].mul_(SHARPNESS)
            self.qkv.weight[: config.d_model] = keys
        slopes = decay_slopes(config) if "decay" in config.attention else None
        if slopes is not None and config.decay.learned:
            self.slopes = nn.Parameter(slopes)
        else:
            self.register_buffer("slopes", slopes, persistent=False)

    def forward(self, x: Tensor, where: Geometry) -> Tensor:
        """`(n, d_model)` -> `(n, d_model)`."""
        n, d_model = x.shape
        q, k, v = self.qkv(x).view(n, 3, self.n_heads, -1).permute(1, 2, 0, 3).contiguous().unbind(0)
        mixed = packed_attention(rotate(q, where), rotate(k, where), v, self.slopes, where)
        return self.out(mixed.transpose(0, 1).reshape(n, d_model))


class FeedForward(nn.Module):
    """Two matrices and GELU, or three and SwiGLU.

    Source: Shazeer, GLU variants improve Transformer, 2020.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gated = config.ffn == "swiglu"
        self.inner = nn.Linear(config.d_model, config.d_ffn * (2 if self.gated else 1), bias=False)
        self.outer = nn.Linear(config.d_ffn, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(n, d_model)` -> `(n, d_model)`."""
        hidden = self.inner(x)
        if self.gated:
            hidden, gate = hidden.chunk(2, -1)
            return self.outer(functional.silu(gate) * hidden)
        return self.outer(functional.gelu(hidden))


class Block(nn.Module):
    """Attention and feed-forward, each normalized before and added after."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.d_model, bias=False)
        self.attention = TimeAwareAttention(config)
        self.norm_ffn = nn.LayerNorm(config.d_model, bias=False)
        self.ffn = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, where: Geometry) -> Tensor:
        """`(n, d_model)` -> `(n, d_model)`."""
        x = x + self.dropout(self.attention(self.norm_attention(x), where))
        return x + self.dropout(self.ffn(self.norm_ffn(x)))


class Encoder(nn.Module):
    """Packed triplets -> one state per triplet, one embedding per document."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        self.embedding = TripletEmbedding(config, vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        self.pooling = DocumentPooling(config, config.pooling)
        # what each of the 2 * n_layers branches adds starts small, so the sum does not grow with depth
        # (GPT-2)
        for name, module in self.blocks.named_modules():
            if isinstance(module, nn.Linear) and name.endswith(("attention.out", "ffn.outer")):
                nn.init.normal_(module.weight, std=(module.in_features * 2 * config.n_layers) ** -0.5)

    def forward(self, batch: PackedBatch) -> Tensor:
        """Return the state of each triplet, `(n, d_model)`."""
        return self._states(batch)[0]

    def embed(self, batch: PackedBatch) -> Tensor:
        """Return one embedding per document, `(n_documents, d_model)` float32."""
        states, cls = self._states(batch)
        return self.pooling(states, batch.document, batch.n_documents, cls).float()

    def _states(self, batch: PackedBatch) -> tuple[Tensor, Tensor | None]:
        x = self.embedding(batch)
        hours, is_static, cu_seqlens = batch.hours, batch.is_static, batch.cu_seqlens
        place = None
        if self.config.pooling == "cls":
            # one more token at the head of each document: a static, so it has no time of its own
            first = torch.arange(batch.n_documents, device=x.device)
            place = torch.arange(batch.n_tokens, device=x.device) + batch.document + 1
            n = batch.n_tokens + batch.n_documents
            cls_place = cu_seqlens[:-1].long() + first
            cls = self.embedding.data_type.weight[CLS] + self.embedding.time.static
            x = x.new_zeros(n, x.shape[1]).index_copy(0, place, x)
            x = x.index_copy(0, cls_place, cls.to(x.dtype).expand(batch.n_documents, -1))
            hours = hours.new_zeros(n).index_copy(0, place, hours)
            is_static = is_static.new_ones(n).index_copy(0, place, is_static)
            cu_seqlens = cu_seqlens + torch.arange(batch.n_documents + 1, device=x.device, dtype=cu_seqlens.dtype)
        x = self.dropout(x)
        if self.blocks:
            where = geometry(self.config, hours, is_static, cu_seqlens)
            for block in self.blocks:
                x = block(x, where)
        x = self.norm(x)
        return (x, None) if place is None else (x[place], x[cls_place])
