"""Batches from batches: fewer tokens, other times, several laid end to end. On CPU, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.batching.gaps import US_PER_HOUR, event_gaps, timed_start, type_gaps

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
OF_TOKENS = ("data_type", "value", "value_token", "value_status", "hours", "is_static", "available_hours")
"""Fields with a row per token that are copied; gaps are made anew."""
_OF_DOCUMENTS = ("subject_id", "end_hours", "end_time")


def bounds_of(batch: PackedBatch) -> IntArray:
    """Return `(d + 1,)`, where each document starts, and n."""
    bounds: IntArray = batch.cu_seqlens.numpy().astype(np.int64)
    return bounds


def documents_of(batch: PackedBatch) -> IntArray:
    """Return `(n,)`, the document of each token."""
    return np.repeat(np.arange(batch.n_documents), np.diff(bounds_of(batch)))


def statics_of(batch: PackedBatch) -> IntArray:
    """Return `(d,)`, the statics of each document; they come first."""
    return np.add.reduceat(batch.is_static.numpy(), bounds_of(batch)[:-1], dtype=np.int64)


def remake_gaps(batch: PackedBatch, with_type_gaps: bool = True) -> PackedBatch:
    """Return the batch with gaps that follow from its own tokens alone.

    Args:
        batch: On CPU.
        with_type_gaps: False leaves `type_gap_hours` at "none", for whoever makes it anew as masking does.
    """
    bounds = bounds_of(batch)
    us = np.rint(batch.hours.numpy() * US_PER_HOUR)
    start = timed_start(bounds[:-1] + statics_of(batch), bounds)
    gap = event_gaps(us, start)[1]
    if with_type_gaps:
        type_gap = type_gaps(us, batch.data_type.numpy(), start)
    else:
        type_gap = np.full(len(us), -1, dtype=np.float32)
    return replace(batch, gap_hours=torch.from_numpy(gap), type_gap_hours=torch.from_numpy(type_gap), layout=None)


def select(batch: PackedBatch, keep: BoolArray, *, with_type_gaps: bool = True) -> PackedBatch:
    """Return the batch with some of its tokens, in their order; a token that is left out leaves no trace.

    A document of which nothing would be left keeps its last token. The prediction time (`end_hours`, `end_time`)
    stays, whichever token is the last now.

    Args:
        batch: On CPU.
        keep: `(n,)`, which tokens stay.
        with_type_gaps: See `remake_gaps`.
    """
    bounds = bounds_of(batch)
    left = np.add.reduceat(keep, bounds[:-1], dtype=np.int64)
    if not left.all():
        keep = keep.copy()
        keep[bounds[1:][left == 0] - 1] = True
        left = np.maximum(left, 1)
    at = np.flatnonzero(keep)
    changes: dict[str, Any] = {}
    for name in OF_TOKENS:
        column = getattr(batch, name)
        changes[name] = None if column is None else torch.from_numpy(column.numpy()[at])
    cu_seqlens = np.concatenate([[0], np.cumsum(left)]).astype(np.int32)
    shorter = replace(batch, **changes, cu_seqlens=torch.from_numpy(cu_seqlens), max_seqlen=int(left.max()))
    return remake_gaps(shorter, with_type_gaps)


def concatenate(batches: Sequence[PackedBatch]) -> PackedBatch:
    """Lay the documents of several batches end to end.

    Args:
        batches: At least one; `available_hours` in all of them or it is left out.
    """

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(batch, name) for batch in batches])

    names = [name for name in OF_TOKENS if all(getattr(batch, name) is not None for batch in batches)]
    starts = np.cumsum([0, *(batch.n_tokens for batch in batches)]).tolist()
    cu_seqlens = [batch.cu_seqlens[:-1] + start for batch, start in zip(batches, starts[:-1], strict=True)]
    changes: dict[str, Any] = {name: joined(name) for name in (*names, "gap_hours", "type_gap_hours", *_OF_DOCUMENTS)}
    return replace(
        batches[0],
        **({"available_hours": None} | changes),
        cu_seqlens=torch.cat([*cu_seqlens, torch.tensor(starts[-1:])]).int(),
        max_seqlen=max(batch.max_seqlen for batch in batches),
        n_cut=sum(batch.n_cut for batch in batches),
        layout=None,
    )
