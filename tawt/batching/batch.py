"""The batch contract: documents (windows of subjects) laid end to end, marked by `cu_seqlens`, never padded.

On its way from the shards into attention a batch has four forms, each made of the one before:

    HostBatch     numpy, whole microseconds: what windows, cuts, augmentation and masks work on (`batching.host`)
    PackedBatch   tensors, hours and gaps: the triplets as the model reads them (here)
    Layout        the tokens that the blocks work on, one per triplet or per moment (`batching.layout`)
    Geometry      what attention needs of the tokens' times, for one kernel (`models.attention.batch_geometry`)

The first three are made in the loader's thread, the last on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from tawt.batching.layout import Layout
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.contracts.value_status import ValueStatus

MASK = SPECIAL_CODES.index("[MASK]")
"""The data_type of a token whose own is hidden."""
HIDDEN = len(ValueStatus)
"""The status of a token whose value is hidden; only batches hold it, shards never do."""


@dataclass(frozen=True)
class PackedBatch:
    """Triplets of several documents, end to end; a document never sees another.

    `n` is the number of tokens, `d` the number of documents.
    """

    data_type: Tensor
    """`(n,)` int64, vocabulary index."""
    value: Tensor
    """`(n,)` float32, normalized value; 0 where there is none."""
    value_token: Tensor
    """`(n,)` int64, bin or category of the data_type; 0 = none."""
    value_status: Tensor
    """`(n,)` int64, see `ValueStatus`."""
    hours: Tensor
    """`(n,)` float64, hours since the subject's origin; 0 for a static. float64: minutes must survive decades."""
    is_static: Tensor
    """`(n,)` bool, a static fact: no time, distance 0 to everything."""
    gap_hours: Tensor
    """`(n,)` float32, hours since the previous moment of the document, the same for all triplets of a moment; 0 in
    the first and for statics."""
    type_gap_hours: Tensor
    """`(n,)` float32, hours since the previous moment of the document in which the same data_type came; -1 where there
    is none."""
    clock_hours: Tensor
    """`(d, 3)` float64, how far the subject's origin is into its day, week and year, hours (`PERIODS`)."""
    cu_seqlens: Tensor
    """`(d + 1,)` int32, where each document starts, and n."""
    max_seqlen: int
    """Length of the longest document."""
    subject_id: Tensor
    """`(d,)` int64, whose document it is."""
    end_hours: Tensor
    """`(d,)` float64, time of the document's last token (or prediction time), hours since origin."""
    end_time: Tensor
    """`(d,)` int64, the same as calendar time, microseconds since 1970-01-01."""
    n_cut: int
    """Triplets of these subjects that the windows left out."""
    layout: Layout | None = None
    """The tokens that the encoder works on, where the loader's thread has laid them out already."""
    beside: Any = None
    """What lies beside the documents, for the encoder's part of that name; None = nothing is looked at."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return self.data_type.shape[0]

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return self.cu_seqlens.shape[0] - 1

    @property
    def document(self) -> Tensor:
        """`(n,)` int64, the document of each token."""
        lengths = (self.cu_seqlens[1:] - self.cu_seqlens[:-1]).long()
        return torch.repeat_interleave(torch.arange(self.n_documents, device=lengths.device), lengths)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PackedBatch:
        """Return the batch on a device."""
        return to_device(self, device, non_blocking)


T = TypeVar("T")
SIZE = {"size": True}
"""Metadata of a field that holds how long something is which a pass makes: no tensor shows it."""
ALIGNED = 16
"""Bytes at whose multiples tensors begin that lie in one piece of memory."""


def with_tensors(data: T, change: Callable[[Tensor], Tensor]) -> T:
    """Return a dataclass with its tensors changed, and those of dataclasses and of a block mask within it, in order."""
    moved: dict[str, Any] = {}
    for f in fields(data):  # type: ignore[arg-type]
        value = getattr(data, f.name)
        if isinstance(value, Tensor):
            moved[f.name] = change(value)
        elif hasattr(value, "kv_num_blocks"):  # a block mask holds tensors of its own, and waits for the device at each
            moved[f.name] = copy(value)
            for name, part in vars(value).items():
                if isinstance(part, Tensor):
                    setattr(moved[f.name], name, change(part))
        elif is_dataclass(value) and not isinstance(value, type):
            moved[f.name] = with_tensors(value, change)
        elif isinstance(value, tuple) and value and all(map(is_dataclass, value)):
            moved[f.name] = tuple(with_tensors(one, change) for one in value)
    return replace(data, **moved)  # type: ignore[type-var]


def tensors_of(data: Any) -> list[Tensor]:
    """Return all tensors that `with_tensors` would change."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    with_tensors(data, keep)
    return found


def shape_of(data: Any) -> tuple[Any, ...]:
    """Return all that a pass over a dataclass is made for: shapes of its tensors, what is absent, marked sizes."""
    found: list[Any] = []
    for f in fields(data):
        value = getattr(data, f.name)
        if isinstance(value, Tensor):
            found.append(value.shape)
        elif is_dataclass(value):
            found.append(shape_of(value))
        elif isinstance(value, tuple) and value and all(map(is_dataclass, value)):
            found.append(tuple(map(shape_of, value)))
        elif value is None or f.metadata == SIZE:
            found.append(value)
    return tuple(found)


def in_one_piece(data: T, pin: bool = False) -> T:
    """Return a dataclass whose tensors lie behind one another in one piece of memory, so that `to_device` copies once.

    Args:
        data: On the host.
        pin: Whether the memory is page-locked: a copy from there to CUDA holds nobody up.
    """
    places, end = [], 0
    for tensor in tensors_of(data):
        places.append(end)
        end += -(-tensor.nbytes // ALIGNED) * ALIGNED
    piece, at = torch.empty(end, dtype=torch.uint8, pin_memory=pin), iter(places)
    return with_tensors(data, lambda tensor: _within(piece, next(at), tensor).copy_(tensor))


def piece_of(data: Any) -> Tensor | None:
    """Return the piece of memory that `in_one_piece` made, as bytes; None where tensors lie here and there."""
    tensors = tensors_of(data)
    alone = len({tensor.untyped_storage().data_ptr() for tensor in tensors}) != 1
    if alone or not all(tensor.is_contiguous() for tensor in tensors):
        return None
    return torch.empty(0, dtype=torch.uint8, device=tensors[0].device).set_(tensors[0].untyped_storage())


def to_device(data: T, device: torch.device | str, non_blocking: bool = False) -> T:
    """Return a dataclass with its tensors, and those of dataclasses within it, on a device."""
    piece = piece_of(data)
    if piece is None:
        return with_tensors(data, lambda tensor: tensor.to(device, non_blocking=non_blocking))
    there = piece.to(device, non_blocking=non_blocking)
    return with_tensors(data, lambda tensor: _within(there, int(tensor.storage_offset()) * tensor.itemsize, tensor))


def _within(piece: Tensor, start: int, like: Tensor) -> Tensor:
    return piece[start : start + like.nbytes].view(like.dtype).view(like.shape)


def make_layout(batch: PackedBatch, granularity: str = "triplet", with_cls: bool = False) -> Layout:
    """Lay out a batch's tokens.

    Triplets of one document at one moment share a token with `granularity="timestamp"`, a document's statics
    too. With `with_cls`, each document starts with one more token, a static.
    """
    document = batch.document
    n, d, device = batch.n_tokens, batch.n_documents, batch.data_type.device
    token_of: Tensor | None = None
    if granularity == "timestamp":
        starts = torch.ones(n, dtype=torch.bool, device=device)
        same = (document[1:] == document[:-1]) & (batch.hours[1:] == batch.hours[:-1])
        starts[1:] = ~(same & (batch.is_static[1:] == batch.is_static[:-1]))
        token_of = starts.long().cumsum(0) - 1
        first = starts.nonzero()[:, 0]
        hours, is_static, gap = batch.hours[first], batch.is_static[first], batch.gap_hours[first]
        document = document[first]
    else:
        hours, is_static, gap = batch.hours, batch.is_static, batch.gap_hours
    cls_at: Tensor | None = None
    if with_cls:
        t = hours.shape[0]
        place = torch.arange(t, device=device) + document + 1
        lengths = torch.bincount(document, minlength=d) + 1
        cls_at = lengths.cumsum(0) - lengths
        hours = hours.new_zeros(t + d).index_copy(0, place, hours)
        gap = gap.new_zeros(t + d).index_copy(0, place, gap)
        is_static = is_static.new_ones(t + d).index_copy(0, place, is_static)
        document = torch.arange(d, device=device).repeat_interleave(lengths)
        token_of = place if token_of is None else place[token_of]
    cu_seqlens = torch.zeros(d + 1, dtype=torch.int32, device=device)
    cu_seqlens[1:] = torch.bincount(document, minlength=d).cumsum(0)
    age = (batch.end_hours[document] - hours).clamp_min(0).masked_fill(is_static, 0).float()
    return Layout(hours, is_static, age, gap, cu_seqlens, tuple(cu_seqlens.tolist()), document, token_of, cls_at)
