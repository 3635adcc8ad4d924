"""The batch contract: documents (windows of subjects) laid end to end, marked by `cu_seqlens`, never padded.

On its way from the shards into attention a batch has four forms, each made of the one before:

    HostBatch     numpy, whole microseconds: what windows, cuts, augmentation and masks work on (`batching.host`)
    PackedBatch   tensors, hours and gaps: the triplets as the model reads them (here)
    Layout        the tokens that the blocks work on, one per triplet or per moment (`batching.layout`)
    Geometry      what attention needs of the tokens' times, for one kernel (`models.attention.batch_geometry`)

The first three are made in the loader's thread, the last on the device.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from tawt.contracts.dataset import SPECIAL_CODES
from tawt.contracts.value_status import ValueStatus

if TYPE_CHECKING:
    from tawt.batching.layout import Layout

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


def to_device(data: T, device: torch.device | str, non_blocking: bool = False) -> T:
    """Return a dataclass with its tensors, and those of dataclasses within it, on a device."""
    moved: dict[str, Any] = {}
    for f in fields(data):  # type: ignore[arg-type]
        value = getattr(data, f.name)
        if isinstance(value, Tensor):
            moved[f.name] = value.to(device, non_blocking=non_blocking)
        elif hasattr(value, "kv_num_blocks"):  # a block mask moves as tensors do
            moved[f.name] = copy(value)
            for name, part in vars(value).items():
                if isinstance(part, Tensor):  # its own `to` waits for the device at each
                    setattr(moved[f.name], name, part.to(device, non_blocking=non_blocking))
        elif is_dataclass(value) and not isinstance(value, type):
            moved[f.name] = to_device(value, device, non_blocking)
    return replace(data, **moved)  # type: ignore[type-var]
