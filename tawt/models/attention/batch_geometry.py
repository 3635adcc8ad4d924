"""What attention needs to know of a batch besides its states, computed once and shared by all heads and layers."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tawt.batching.layout import Layout
from tawt.config.model import ModelConfig
from tawt.models.attention.blocks import BLOCK, block_mask, same_document, with_padding
from tawt.models.attention.terms import GapRule, cosine_frequencies, gap_rule, rotary_frequencies

CACHED_GAPS = 1 << 25
"""Gaps of a batch (the sum of all squared lengths) up to which their terms are kept, 4 bytes each; above, every tile
makes its own."""
SPAN = 64
"""`fused`: tokens that come one after another in the order in which a batch is worked on."""
TILE_ROWS = 1 << 18
"""Gaps made at once while they are cached."""


@dataclass(frozen=True)
class Geometry:
    """A batch's places in time. `t` tokens, or `static_length` where that is given.

    Under `flex` and `varlen` every field that differs between batches is a tensor, so nothing is compiled again.
    """

    kernel: str
    """The kernel that it was made for: `reference`, `packed`, `fused`, `flex` or `varlen`."""
    rule: GapRule
    """What decay and bucket make of a gap."""
    cos: Tensor | None
    """`(n_heads, t, r / 2)` float32, cosines of the rotary angles, 0 for a static; None = no rotation."""
    sin: Tensor | None
    """`(n_heads, t, r / 2)` float32."""
    waves: Tensor | None
    """`(t, 2 * n_frequencies)` float32, cosines then sines of the cosine term, 0 for a static; None = term off."""
    fading: Tensor | None
    """`(t,)` float32, `log1p(age / tau)`; None = no recency."""
    is_static: Tensor
    """`(t,)` bool."""
    hours: Tensor
    """`(t,)` float64."""
    causal: bool = False
    """Whether a token sees only itself and what lies before it."""
    spans: tuple[tuple[int, int], ...] = ()
    """`reference`, `packed`: first and one past the last token of each document."""
    fades: tuple[Tensor, ...] | None = None
    """`packed`: per document `(L, L)` float32, what a slope multiplies; None = no decay, or made tile by tile."""
    buckets: tuple[Tensor, ...] | None = None
    """`packed`: per document `(L, L)` int32; None = no bucket, or made tile by tile."""
    coarse: Tensor | None = None
    """`flex`: `(t,)` float32, hours, rounded; 0 for a static."""
    fine: Tensor | None = None
    """`flex`: `(t,)` float32, what the rounding took away."""
    times: Tensor | None = None
    """`fused`: `(t,)` int64, the two float32 of hours / tau as one number; none (NaN) for a static."""
    first: Tensor | None = None
    """`fused`: `(t,)` int32, where each token's document begins. What is padded is documents of one token."""
    past: Tensor | None = None
    """`fused`: `(t,)` int32, where it ends."""
    order: Tensor | None = None
    """`fused`: int32, spans of `SPAN` tokens, those of the longest documents first."""
    blocks: Any = None
    """`flex`: the block mask."""
    cu_seqlens: Tensor | None = None
    """`varlen`: `(c,)` int32, where documents start, those of the padding too, and the number of tokens."""
    max_seqlen: int = 0
    """`varlen`: longest document that any batch may hold."""

    def gap(self, document: int, row: int, end: int) -> Tensor:
        """Return `(end - row, L)` float32 hours between rows of a document and all of it, 0 for statics."""
        a, b = self.spans[document]
        hours, still = self.hours[a:b], self.is_static[a:b]
        # the difference in float64: float32 holds no minutes in a count of hours over decades
        gap = (hours[row:end, None] - hours).float().abs_()
        return gap.masked_fill_(still, 0.0).masked_fill_(still[row:end, None], 0.0)

    def fade(self, document: int, row: int, end: int, dtype: torch.dtype) -> Tensor:
        """Return `(end - row, L)`, what a slope multiplies."""
        if self.fades is not None:
            return self.fades[document][row:end].to(dtype)
        return self.rule.fade(self.gap(document, row, end)).to(dtype)

    def bucket(self, document: int, row: int, end: int) -> Tensor:
        """Return `(end - row, L)` int32, the bucket of each gap."""
        if self.buckets is not None:
            return self.buckets[document][row:end]
        return self.rule.bucket(self.gap(document, row, end))


def geometry(
    config: ModelConfig,
    layout: Layout,
    *,
    kernel: str,
    static_length: int | None = None,
    max_seqlen: int | None = None,
    grids: tuple[Tensor, Tensor] | None = None,
) -> Geometry:
    """Compute what a kernel needs of a batch.

    Args:
        config: The encoder's shape.
        layout: The batch's tokens; with its block mask, if the loader's thread has made that.
        kernel: `reference`, `packed`, `fused`, `flex` or `varlen`, as `choose_kernel` says.
        static_length: Length to which everything is padded, at least `layout.n_tokens`; a multiple of 128 for `flex`.
            What is added are statics in documents of their own.
        max_seqlen: `varlen` with a static length: longest document that any batch may hold.
        grids: `frequency_grids` of the config on the device; None = they are brought there.
    """
    hours, is_static, age, bounds = layout.hours, layout.is_static, layout.age_hours, list(layout.bounds)
    n = static_length or layout.n_tokens
    more = n - layout.n_tokens
    assert more >= 0, "static_length is shorter than the batch"
    longest = max(max_seqlen or 0, min(BLOCK, n)) if max_seqlen else (n if static_length else layout.max_seqlen)
    if more:
        hours, age = (torch.nn.functional.pad(x, (0, more)) for x in (hours, age))
        is_static = torch.nn.functional.pad(is_static, (0, more), value=True)
        bounds = with_padding(bounds, n)
    on = config.attention
    cos = sin = waves = fading = None
    of_rotary, of_cosine = grids or (grid.to(hours.device) for grid in frequency_grids(config))
    if of_rotary.numel():
        angles = _angles(hours, is_static, of_rotary)
        angles = angles.view(n, config.n_heads, -1).transpose(0, 1).contiguous()
        # a static has no hour to be turned by; unturned it would stand at the origin, as far from each event as that
        cos, sin = angles.cos().masked_fill_(is_static[:, None], 0.0), angles.sin()
    if of_cosine.numel():
        angles = _angles(hours, is_static, of_cosine)
        waves = torch.cat((angles.cos(), angles.sin()), -1).masked_fill_(is_static[:, None], 0.0)
    if "recency" in on:
        fading = torch.log1p(age / config.recency.tau_hours)
    rule = gap_rule(config)
    made = Geometry(kernel, rule, cos, sin, waves, fading, is_static, hours, config.causal)
    if kernel == "varlen":
        cu_seqlens = torch.tensor(bounds, dtype=torch.int32).to(hours.device, non_blocking=True)
        torch._dynamo.maybe_mark_dynamic(cu_seqlens, 0)  # the number of documents makes no new graph
        return _with(made, cu_seqlens=cu_seqlens, max_seqlen=longest)
    if kernel == "fused":
        times = torch.stack(_two_floats((hours * rule.per_hour).masked_fill(is_static, math.nan)), -1)
        return _with(made, times=times.view(torch.int64)[:, 0], **_runs(layout, n))
    if kernel == "flex":
        coarse, fine = _two_floats(hours)
        blocks = (
            copy.copy(layout.blocks)
            if layout.blocks is not None
            else block_mask(layout.bounds, n, config.causal).to(hours.device)
        )
        place = torch.arange(n, device=hours.device)
        padded = layout.n_documents + place // BLOCK  # as `with_padding` cuts it
        document = torch.where(place < n - more, torch.nn.functional.pad(layout.document, (0, more)), padded).int()
        blocks.mask_mod = same_document(
            document, config.causal
        )  # the one that came along asks a tensor in the host's memory
        return _with(made, coarse=coarse, fine=fine, blocks=blocks)
    made = _with(made, spans=tuple((a, b) for a, b in pairwise(bounds) if a < b))
    if kernel == "packed" and sum((b - a) ** 2 for a, b in made.spans) <= CACHED_GAPS:
        fades = [_cached(made, i, rule.fade) for i in range(len(made.spans))] if "decay" in on else None
        buckets = [_cached(made, i, rule.bucket) for i in range(len(made.spans))] if "bucket" in on else None
        return _with(made, fades=fades and tuple(fades), buckets=buckets and tuple(buckets))
    return made


def frequency_grids(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return the frequencies of `rotary`, those of one head behind the other's, and of `cosine`: float64, radians per
    hour; none of a term that is off."""
    on, none = config.attention, torch.zeros(0, dtype=torch.float64)
    rotary = rotary_frequencies(config).flatten() if "rotary" in on else none
    return rotary, cosine_frequencies(config) if "cosine" in on else none


def _with(made: Geometry, **more: Any) -> Geometry:
    return Geometry(**{**vars(made), **more})


def _two_floats(hours: Tensor) -> tuple[Tensor, Tensor]:
    """Two float32 to a time: the difference of two is as good as in float64, over decades."""
    coarse = hours.float()
    return coarse, (hours - coarse.double()).float()


def _runs(layout: Layout, n: int) -> dict[str, Tensor]:
    """Where each token's document begins and ends, and the batch's spans in the order of how much they visit."""
    starts = layout.cu_seqlens.to(layout.document.device, non_blocking=True)
    first, past = (starts[layout.document + i].int() for i in (0, 1))
    place = torch.arange(n, dtype=torch.int32, device=first.device)
    first, past = torch.cat((first, place[len(first) :])), torch.cat((past, place[len(past) :] + 1))
    last = torch.arange(SPAN, n + SPAN, SPAN, device=first.device).clamp_max(n) - 1
    order = (past[last] - first[::SPAN]).argsort(descending=True, stable=True).int()
    return {"first": first, "past": past, "order": order}


def _angles(hours: Tensor, is_static: Tensor, frequencies: Tensor) -> Tensor:
    """`(t, m)` float32 angles, reduced in float64 and rounded after; 0 for statics."""
    angles = torch.outer(hours, frequencies).masked_fill_(is_static[:, None], 0.0)
    return torch.remainder(angles, 2 * math.pi).float()


def _cached(where: Geometry, document: int, made_of: Any) -> Tensor:
    a, b = where.spans[document]
    rows = max(16, TILE_ROWS // (b - a))
    return torch.cat([made_of(where.gap(document, row, min(row + rows, b - a))) for row in range(0, b - a, rows)])
