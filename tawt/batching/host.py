"""A batch on the host: numpy, times in whole microseconds. What the loader's thread works on, up to `tensors`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.batching.batch import MASK, PackedBatch
from tawt.batching.chance import Ints, Words, mixed
from tawt.batching.gaps import PERIODS, US_PER_HOUR, event_gaps, type_gaps

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
_OF_TOKENS = ("data_type", "value", "value_token", "value_status", "time", "available")
_OF_TIMES = ("document", "first_timed", "start", "is_static", "moments", "n_moments", "moment", "hours")
_OF_DOCUMENTS = ("n_static", "subject_id", "origin", "end")


@dataclass(frozen=True, eq=False)
class HostBatch:
    """Triplets of `d` documents, end to end, none of them empty: statics first, then `n` in all in order of time."""

    data_type: Ints
    """`(n,)`, vocabulary index; `MASK` where it is hidden."""
    value: NDArray[np.float32]
    """`(n,)`, normalized value; 0 where there is none."""
    value_token: Ints
    """`(n,)`, bin or category of the data_type; 0 = none."""
    value_status: Ints
    """`(n,)`, see `ValueStatus`; `HIDDEN` where the value is hidden."""
    time: Ints
    """`(n,)`, us since the subject's origin; 0 for a static."""
    available: Ints | None
    """`(n,)`, when each record could have been read, us since the origin; None = not asked for."""
    bounds: Ints
    """`(d + 1,)`, where each document starts, and n."""
    n_static: Ints
    """`(d,)`, statics of each document."""
    subject_id: Ints
    """`(d,)`, whose document it is."""
    origin: Ints
    """`(d,)`, the subject's origin, us since 1970-01-01."""
    end: Ints
    """`(d,)`, time of the document's last token (or prediction time), us since the origin."""
    n_cut: int
    """Triplets of these subjects that the windows left out."""

    @property
    def n_tokens(self) -> int:
        """Number of triplets."""
        return len(self.data_type)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.bounds) - 1

    @cached_property
    def document(self) -> Ints:
        """`(n,)`, the document of each token."""
        return np.repeat(np.arange(self.n_documents), np.diff(self.bounds))

    @cached_property
    def first_timed(self) -> Ints:
        """`(d,)`, place of each document's first timed token; that of the next document where it has none."""
        return self.bounds[:-1] + self.n_static

    @cached_property
    def start(self) -> Ints:
        """`(n,)`, the same of each token's document."""
        return self.first_timed[self.document]

    @cached_property
    def is_static(self) -> Bools:
        """`(n,)`."""
        return np.arange(self.n_tokens) < self.start

    @cached_property
    def moments(self) -> Ints:
        """`(m + 1,)`, where each moment starts, and n; a document's statics are one."""
        opens = np.empty(self.n_tokens, dtype=np.bool_)
        np.not_equal(self.time[1:], self.time[:-1], out=opens[1:])
        opens[self.bounds[:-1]] = True
        opens[self.first_timed[self.first_timed < self.n_tokens]] = True
        return np.append(np.flatnonzero(opens), self.n_tokens)

    @cached_property
    def n_moments(self) -> Ints:
        """`(d,)`, moments of each document, its statics not among them."""
        return np.diff(np.searchsorted(self.moments, self.bounds)) - (self.n_static > 0)

    @cached_property
    def moment(self) -> Ints:
        """`(n,)`, number of each token's moment within its document; -1 for a static."""
        first = np.searchsorted(self.moments, self.bounds[:-1]) + (self.n_static > 0)
        number = np.repeat(np.arange(len(self.moments) - 1), np.diff(self.moments))
        return number - np.repeat(first, np.diff(self.bounds))

    @cached_property
    def content(self) -> Words:
        """`(n,)`, a number for each triplet and its time, from which draws are made that hang on no order."""
        return mixed(self.data_type + (self.value_token << 32), self.value, self.time)

    @cached_property
    def hours(self) -> Floats:
        """`(n,)`, hours since the subject's origin."""
        return self.time / US_PER_HOUR

    def but(self, **columns: Any) -> HostBatch:
        """Return the batch with other columns of the same triplets; what follows from their times is not made anew."""
        other = replace(self, **columns)
        other.__dict__.update({name: self.__dict__[name] for name in _OF_TIMES if name in self.__dict__})
        return other

    def select(self, keep: Bools) -> HostBatch:
        """Return the batch with some of its tokens, in their order; a token that is left out leaves no trace.

        A document of which nothing would be left keeps its last moment. The prediction time stays, whichever token is
        the last now.

        Args:
            keep: `(n,)`, which tokens stay.
        """
        starts = self.bounds[:-1]
        left = np.add.reduceat(keep, starts, dtype=np.int64)
        if not left.all():
            last = self.moments[np.searchsorted(self.moments, self.bounds[1:]) - 1]
            keep = keep | ((left == 0)[self.document] & (np.arange(self.n_tokens) >= last[self.document]))
            left = np.add.reduceat(keep, starts, dtype=np.int64)
        at = np.flatnonzero(keep)
        columns = {name: getattr(self, name) for name in _OF_TOKENS}
        changes: dict[str, Any] = {name: None if x is None else x[at] for name, x in columns.items()}
        changes["n_static"] = np.add.reduceat(keep & self.is_static, starts, dtype=np.int64)
        return replace(self, **changes, bounds=np.concatenate([[0], np.cumsum(left)]))

    def tensors(self) -> PackedBatch:
        """Return what the model reads: tensors, hours, and gaps that follow from what is visible."""
        gap_hours = event_gaps(self.time, self.start, self.moments)
        type_gap_hours = type_gaps(self.time, self.data_type, self.start)
        type_gap_hours[self.data_type == MASK] = -1
        arrays: dict[str, NDArray[Any] | None] = {
            "data_type": self.data_type,
            "value": self.value,
            "value_token": self.value_token,
            "value_status": self.value_status,
            "hours": self.hours,
            "is_static": self.is_static,
            "gap_hours": gap_hours,
            "type_gap_hours": type_gap_hours,
            "clock_hours": self.origin[:, None] % np.array([*PERIODS.values()]) / US_PER_HOUR,
            "cu_seqlens": self.bounds.astype(np.int32),
            "subject_id": self.subject_id,
            "end_hours": self.end / US_PER_HOUR,
            "end_time": self.origin + self.end,
            "available_hours": None if self.available is None else self.available / US_PER_HOUR,
        }
        made: dict[str, Any] = {name: x if x is None else torch.from_numpy(x) for name, x in arrays.items()}
        return PackedBatch(**made, max_seqlen=int(np.diff(self.bounds).max()), n_cut=self.n_cut)


def concatenate(batches: Sequence[HostBatch]) -> HostBatch:
    """Lay the documents of several batches end to end.

    Args:
        batches: At least one; `available` in all of them or it is left out.
    """
    joined: dict[str, Any] = {}
    for name in (*_OF_TOKENS, *_OF_DOCUMENTS):
        parts = [getattr(batch, name) for batch in batches]
        joined[name] = None if any(part is None for part in parts) else np.concatenate(parts)
    lengths = [np.diff(batch.bounds) for batch in batches]
    return HostBatch(
        **joined,
        bounds=np.cumsum(np.concatenate([[0], *lengths])),
        n_cut=sum(batch.n_cut for batch in batches),
    )
