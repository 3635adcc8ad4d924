"""A batch on the host: numpy, times in whole microseconds. What the loader's thread works on, up to `tensors`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.arrays import Bools, Codes, Floats, HalfWords, Ints, Places, Words
from tawt.batching.batch import PackedBatch
from tawt.batching.gaps import PERIODS, event_gaps, type_gaps
from tawt.chance import draw, stir
from tawt.contracts.dataset import US_PER_HOUR

_CONTENT = ("data_type", "value", "value_token", "value_status")
_OF_TOKENS = (*_CONTENT, "time", "available", "identity")
_OF_DOCUMENTS = ("n_static", "subject_id", "origin", "end", "asked", "begins", "ends", "pair")
_PERIODS = np.array([*PERIODS.values()])


@dataclass(frozen=True, eq=False)
class HostBatch:
    """Triplets of `d` documents, end to end, none of them empty: statics first, then `n` in all in order of time."""

    data_type: Codes
    """`(n,)`, vocabulary index; `MASK` where it is hidden."""
    value: NDArray[np.float32]
    """`(n,)`, normalized value; 0 where there is none."""
    value_token: Codes
    """`(n,)`, bin or category of the data_type; 0 = none."""
    value_status: NDArray[np.uint8]
    """`(n,)`, see `ValueStatus`; `HIDDEN` where the value is hidden."""
    time: Ints
    """`(n,)`, us since the subject's origin; 0 for a static."""
    available: Ints | None
    """`(n,)`, when each record could have been read, us since the origin; None = not asked for."""
    identity: HalfWords
    """`(n,)`, a random number that tells each triplet of a record from the others, as the shard has it: draws hang on
    what a triplet was there, however it has been changed."""
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
    is_cut: Bools | None = None
    """`(d,)`, whether `end` is a prediction time, behind which the record still goes on (`batching.cut`); None = no
    times were drawn, or what lies behind them is cut off."""
    packing: int | None = None
    """What decides how much is left of each document, with seed and subject; None = the number of the batch."""
    asked: Ints | None = None
    """`(d,)`, which of the prediction times asked for each document is of; None = nobody asked."""
    begins: Bools | None = None
    """`(d,)`, whether each document has its record's first timed triplet; None = nobody knows."""
    ends: Bools | None = None
    """`(d,)`, whether it has the last one."""
    pair: Ints | None = None
    """`(d,)`, which content each document ends before and is to be paired with; -1 = none. None = nobody asks."""
    counts_from_row: bool = False
    """Whether times count from the first timed row of a record, of which nothing may be known yet; else from a moment
    that is known of all."""
    view: Ints | None = None
    """`(d,)`, which of a document's views each is, for draws that differ between them; None = all are the first."""

    @property
    def n_tokens(self) -> int:
        """Number of triplets."""
        return len(self.time)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.bounds) - 1

    @cached_property
    def lengths(self) -> Ints:
        """`(d,)`, tokens of each document."""
        return self.bounds[1:] - self.bounds[:-1]

    @cached_property
    def document(self) -> Ints:
        """`(n,)`, the document of each token."""
        return np.arange(self.n_documents).repeat(self.lengths)

    @cached_property
    def first_timed(self) -> Ints:
        """`(d,)`, place of each document's first timed token; that of the next document where it has none."""
        return self.bounds[:-1] + self.n_static

    @cached_property
    def start(self) -> Places:
        """`(n,)`, the same of each token's document."""
        return self.first_timed.astype(np.uint32).repeat(self.lengths)

    @cached_property
    def is_static(self) -> Bools:
        """`(n,)`."""
        return np.arange(self.n_tokens, dtype=np.uint32) < self.start

    @cached_property
    def opens(self) -> Bools:
        """`(n + 1,)`, whether a moment starts there; a document's statics are one, and the batch's end starts one."""
        opens = np.empty(self.n_tokens + 1, dtype=np.bool_)
        np.not_equal(self.time[1:], self.time[:-1], out=opens[1:-1])
        opens[self.bounds] = True
        opens[self.first_timed] = True
        return opens

    @cached_property
    def moments(self) -> Ints:
        """`(m + 1,)`, where each moment starts, and n."""
        return np.flatnonzero(self.opens)

    @cached_property
    def n_moments(self) -> Ints:
        """`(d,)`, moments of each document, its statics not among them."""
        return np.diff(self.moments.searchsorted(self.bounds)) - (self.n_static > 0)

    @cached_property
    def moment(self) -> NDArray[np.int32]:
        """`(n,)`, number of each token's moment within its document; -1 for a static."""
        number: NDArray[np.int32] = torch.from_numpy(self.opens[:-1]).cumsum(0, dtype=torch.int32).numpy()
        first = self.moments.searchsorted(self.bounds[:-1]) + (self.n_static > 0) + 1
        return number - first.astype(np.int32).repeat(self.lengths)

    @cached_property
    def hours(self) -> Floats:
        """`(n,)`, hours since the subject's origin."""
        return self.time.astype(np.float64) / US_PER_HOUR  # faster than whole numbers through one

    def but(self, **columns: Any) -> HostBatch:
        """Return the batch with other content of the same triplets; what follows from their times is not made anew.

        Args:
            columns: Of `data_type`, `value`, `value_token` and `value_status` those that are others.
        """
        assert columns.keys() <= {*_CONTENT}, columns.keys()
        other = object.__new__(HostBatch)
        other.__dict__.update(self.__dict__ | columns)
        return other

    def words(self, *salts: int) -> Words:
        """Return `(d,)` random words, one for each document, of its subject, prediction time, view and the salts.

        Windows of one subject differ, but for those that end in one moment, where their limit cut it: these draw alike
        for what they have in common. What else lies in the batch does not matter.
        """
        words = draw(draw(self.subject_id, *salts) + self.end.astype(np.uint64))
        return words if self.view is None else draw(words + self.view.astype(np.uint64))

    def variable_words(self, salt: int, *salts: int) -> HalfWords:
        """Return `(n,)` random words, one for each data_type of a document; `salt` tells what they are for."""
        words = draw(self.words(*salts), salt).astype(np.uint32)
        return stir(words.repeat(self.lengths) + self.data_type.astype(np.uint32))

    def triplet_words(self, salt: int, *salts: int) -> HalfWords:
        """Return `(n,)` random words, one for each triplet of a document, whatever the order of simultaneous ones."""
        words = draw(self.words(*salts), salt).astype(np.uint32)
        return stir(words.repeat(self.lengths) + self.identity)

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

    def first(self, n: int) -> HostBatch:
        """Return the batch's first documents, at most `n`."""
        end = self.bounds[: n + 1][-1]
        columns = {name: getattr(self, name) for name in (*_OF_TOKENS, *_OF_DOCUMENTS)}
        changes: dict[str, Any] = {
            k: x if x is None else x[: end if k in _OF_TOKENS else n] for k, x in columns.items()
        }
        return replace(self, **changes, bounds=self.bounds[: n + 1])

    def counted_from(self, began: Ints) -> HostBatch:
        """Return the batch with later origins.

        Args:
            began: `(d,)`, us since the origin.
        """
        if not began.any():
            return self
        of_tokens = began.repeat(self.lengths)
        return replace(
            self,
            time=np.where(self.is_static, self.time, self.time - of_tokens),
            available=None if self.available is None else self.available - of_tokens,
            origin=self.origin + began,
            end=self.end - began,
        )

    def tensors(self) -> PackedBatch:
        """Return what the model reads: tensors, hours, and gaps that follow from what is visible."""
        us = self.time.astype(np.float64)
        gap_hours = event_gaps(us, self.opens, self.first_timed, self.bounds)
        type_gap_hours = type_gaps(us, self.data_type, self.start)
        wide = np.empty((3, self.n_tokens), dtype=np.int64)  # one piece: memory that is given back is asked for again
        wide[0], wide[1], wide[2] = self.data_type, self.value_token, self.value_status
        arrays: dict[str, NDArray[Any]] = {
            "data_type": wide[0],
            "value": self.value,
            "value_token": wide[1],
            "value_status": wide[2],
            "hours": us / US_PER_HOUR,
            "is_static": self.is_static,
            "gap_hours": gap_hours,
            "type_gap_hours": type_gap_hours,
            "clock_hours": self.origin[:, None] % _PERIODS / US_PER_HOUR,
            "cu_seqlens": self.bounds.astype(np.int32),
            "subject_id": self.subject_id,
            "end_hours": self.end / US_PER_HOUR,
            "end_time": self.origin + self.end,
        }
        made: dict[str, Any] = {name: torch.from_numpy(x) for name, x in arrays.items()}
        return PackedBatch(**made, max_seqlen=int(self.lengths.max()), n_cut=self.n_cut)


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
        packing=batches[0].packing,
        counts_from_row=batches[0].counts_from_row,
    )
