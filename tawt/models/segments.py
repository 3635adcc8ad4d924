"""Sums, maxima and softmaxes over segments of rows.

Under deterministic algorithms every sum has a fixed order, forwards and backwards, at any thread count.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def segment_sum(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Sum over each segment: `(n, ...)` -> `(n_segments, ...)`; an empty one is 0."""
    return rows.new_zeros(n_segments, *rows.shape[1:]).index_add(0, segment, rows)


def segment_mean(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Mean over each segment: `(n, c)` -> `(n_segments, c)`; an empty one is 0."""
    lengths = segment_sum(rows.new_ones(len(rows)), segment, n_segments)
    return segment_sum(rows, segment, n_segments) / lengths.clamp_min(1)[:, None]


def segment_max(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Largest number of each column over each segment: `(n, c)` -> `(n_segments, c)`; an empty one is -inf."""
    index = segment[:, None].expand_as(rows)
    empty = rows.new_full((n_segments, rows.shape[1]), -torch.inf)
    return empty.scatter_reduce(0, index, rows, "amax", include_self=False)


def segment_softmax(scores: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Weights of each column that sum to 1 over each segment: `(n, c)` -> `(n, c)`."""
    top = segment_max(scores.detach(), segment, n_segments)
    weights = (scores - top[segment]).exp()
    return weights / take(segment_sum(weights, segment, n_segments), segment)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """Rows by their numbers, `(m, c)` and `(n,)` -> `(n, c)`; as from an embedding table, whose gradient sums repeated
    rows in a fixed order."""
    return functional.embedding(index, rows)
