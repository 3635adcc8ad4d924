"""What a causal encoder has read of several records: keys and values of all their tokens, so that one more event costs
one token, not the record once more."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.batching.batch import PackedBatch, make_layout
from tawt.batching.layout import Layout
from tawt.models.attention import Geometry, TimeAwareAttention, geometry, rotate, with_channels
from tawt.models.encoder import Encoder

ROOM = 128
"""Tokens by which the room for all records grows."""


class Reading:
    """`b` records, each read up to a token of its own. Every field grows with what is read.

    Args:
        encoder: Causal, in evaluation, a token per triplet.
        prompts: What of each record is read at first; a document may be empty: it is its [CLS] token alone.
        told: `(b, d_model)`, what is added to each token of a record; None = nothing.
    """

    def __init__(self, encoder: Encoder, prompts: PackedBatch, told: Tensor | None = None) -> None:
        self.encoder = encoder
        self.told = prompts.hours.new_zeros(prompts.n_documents, 1).float() if told is None else told
        config, device = encoder.config, prompts.hours.device
        layout = make_layout(prompts, "triplet", with_cls=True)
        lengths = (layout.cu_seqlens[1:] - layout.cu_seqlens[:-1]).long()
        b, most = len(lengths), int(lengths.max())
        self._document = layout.document
        self._place = torch.arange(layout.n_tokens, device=device) - layout.cu_seqlens[:-1].long()[layout.document]
        self.length: Tensor = lengths
        """`(b,)`, tokens read."""
        room = most + ROOM
        self.hours: Tensor = torch.zeros(b, room, dtype=torch.float64, device=device)
        """`(b, room)`, of each token."""
        self.is_static: Tensor = torch.ones(b, room, dtype=torch.bool, device=device)
        self.states: Tensor = torch.zeros(b, room, config.d_model, device=device)
        """`(b, room, d_model)`, of each token."""
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self.hours[self._document, self._place] = layout.hours
        self.is_static[self._document, self._place] = layout.is_static
        kernel = "packed" if config.kernel == "auto" else config.kernel
        where = geometry(config, layout, kernel=kernel, grids=(encoder.of_rotary, encoder.of_cosine))
        x, _ = encoder.embedding(prompts, layout)
        x = x + self.told[layout.document]
        for block in encoder.blocks:
            x = self._first(block, x, where, room)
        self.states[self._document, self._place] = encoder.norm(x)

    @property
    def last(self) -> Tensor:
        """`(b, d_model)`, the state of the last token of each record."""
        return self.states[torch.arange(len(self.length), device=self.length.device), self.length - 1]

    def read(self, events: PackedBatch, layout: Layout) -> Tensor:
        """Read one more token of every record.

        Args:
            events: One triplet of each record, as documents of their own, with gaps as their records have them.
            layout: Of these, without [CLS].

        Returns:
            `(b, d_model)`, their states.
        """
        encoder = self.encoder
        self._grow()
        rows = torch.arange(len(self.length), device=self.length.device)
        self.hours[rows, self.length] = layout.hours
        self.is_static[rows, self.length] = layout.is_static
        where = geometry(
            encoder.config, layout, kernel="reference", grids=(encoder.of_rotary, encoder.of_cosine)
        )  # fmt: skip
        n_seen = int(self.length.max()) + 1
        seen = torch.arange(n_seen, device=rows.device) <= self.length[:, None]
        gap = (layout.hours[:, None] - self.hours[:, :n_seen]).float().abs_()
        gap.masked_fill_(self.is_static[:, :n_seen] | layout.is_static[:, None], 0.0)
        x, _ = encoder.embedding(events, layout)
        x = x + self.told
        for i, block in enumerate(encoder.blocks):
            x = self._further(i, block, x, where, gap, seen)
        out: Tensor = encoder.norm(x)
        self.states[rows, self.length] = out
        self.length = self.length + 1
        return out

    def _first(self, block: Any, x: Tensor, where: Geometry, room: int) -> Tensor:
        attention: TimeAwareAttention = block.attention
        q, k, v = _projected(attention, block.norm_attention(x))
        q, k = rotate(q, where), rotate(k, where)
        _, wide = with_channels(q, k, attention.terms(), where)
        for kept, own in ((self._keys, wide), (self._values, v)):
            laid = own.new_zeros(len(self.length), own.shape[0], room, own.shape[2])
            laid[self._document, :, self._place] = own.transpose(0, 1)
            kept.append(laid)
        x = x + attention.out(attention.mixed(q, k, v, where).transpose(0, 1).reshape(x.shape))
        out: Tensor = x + block.ffn(block.norm_ffn(x))
        return out

    def _further(self, i: int, block: Any, x: Tensor, where: Geometry, gap: Tensor, seen: Tensor) -> Tensor:
        attention: TimeAwareAttention = block.attention
        terms, n_seen = attention.terms(), seen.shape[1]
        q, k, v = _projected(attention, block.norm_attention(x))
        q, k = with_channels(rotate(q, where), rotate(k, where), terms, where)
        rows = torch.arange(len(x), device=x.device)
        self._keys[i][rows, :, self.length] = k.transpose(0, 1)
        self._values[i][rows, :, self.length] = v.transpose(0, 1)
        keys, values = self._keys[i][:, :, :n_seen], self._values[i][:, :, :n_seen]
        bias = torch.where(seen, 0.0, -math.inf)[:, None].expand(-1, attention.n_heads, -1)
        if terms.slopes is not None:
            bias = bias - terms.slopes[:, None] * where.rule.fade(gap)[:, None]
        if terms.buckets is not None:
            bias = bias + terms.buckets[:, where.rule.bucket(gap).long()].transpose(0, 1)
        mixed = functional.scaled_dot_product_attention(
            q.transpose(0, 1)[:, :, None], keys, values, bias[:, :, None], scale=1 / math.sqrt(v.shape[-1])
        )[:, :, 0]
        x = x + attention.out(mixed.reshape(x.shape))
        out: Tensor = x + block.ffn(block.norm_ffn(x))
        return out

    def _grow(self) -> None:
        room = self.hours.shape[1]
        if int(self.length.max()) < room:
            return

        def wider(x: Tensor, dim: int) -> Tensor:
            shape = list(x.shape)
            shape[dim] += max(ROOM, room // 2)
            out = x.new_zeros(shape)
            out.narrow(dim, 0, x.shape[dim]).copy_(x)
            return out

        self.hours, self.is_static, self.states = (wider(x, 1) for x in (self.hours, self.is_static, self.states))
        self._keys, self._values = ([wider(x, 2) for x in kept] for kept in (self._keys, self._values))

    def of(self, records: Tensor) -> Reading:
        """Return what was read of some records, `(m,)`; a record may be named several times."""
        other = object.__new__(Reading)
        other.encoder = self.encoder
        for name in ("told", "length", "hours", "is_static", "states"):
            setattr(other, name, getattr(self, name)[records].clone())
        other._keys, other._values = ([x[records].clone() for x in kept] for kept in (self._keys, self._values))
        return other


def _projected(attention: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, `(n_heads, t, d_head)` each."""
    qkv = attention.qkv(x).view(len(x), 3, attention.n_heads, -1)  # type: ignore[operator]
    q, k, v = qkv.permute(1, 2, 0, 3).contiguous().unbind(0)
    return q, k, v
