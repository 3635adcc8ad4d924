"""Records from nothing, drawn in companies of a fixed size: so any of them can be drawn again to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.batching.batch import PackedBatch
from tawt.batching.gaps import PERIODS, US_PER_HOUR
from tawt.chance import draw
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.heads import NextHeads, Step
from tawt.models.decoder.sample import Sampler
from tawt.models.encoder import Encoder

COMPANY = 64
"""Records that are drawn side by side. What is computed hangs in its last bits on how many these are, so they are
always as many, also where few of them are wanted."""
_RECORD = 63


@dataclass(frozen=True, eq=False)
class Invented:
    """Triplets of `s` invented records, one after the other: `n` in all."""

    number: Ints
    """`(s,)`, which record each is: what it is drawn from, with the seed."""
    bounds: Ints
    """`(s + 1,)`, where each starts, and n."""
    is_static: NDArray[np.bool_]
    """`(n,)`."""
    time: Ints
    """`(n,)`, us since the origin; 0 for a static."""
    data_type: Ints
    """`(n,)`."""
    value: NDArray[np.float32]
    """`(n,)`, normalized; 0 where there is none."""
    value_token: Ints
    """`(n,)`."""
    value_status: Ints
    """`(n,)`."""
    is_whole: NDArray[np.bool_]
    """`(s,)`, whether the record came to its end; else it was cut at the most events."""


def from_nothing(origins: Ints) -> PackedBatch:
    """Return records of which nothing is known yet but the moment that their times count from.

    Args:
        origins: `(b,)`, us since 1970-01-01.
    """
    b = len(origins)
    whole, numbers, none = torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0, dtype=torch.bool)
    clock = origins[:, None] % np.array([*PERIODS.values()]) / US_PER_HOUR
    return PackedBatch(
        data_type=whole, value=numbers, value_token=whole, value_status=whole, hours=numbers.double(), is_static=none,
        gap_hours=numbers, type_gap_hours=numbers, clock_hours=torch.from_numpy(clock),
        cu_seqlens=torch.zeros(b + 1, dtype=torch.int32), max_seqlen=0, subject_id=torch.arange(b),
        end_hours=torch.zeros(b, dtype=torch.float64), end_time=torch.from_numpy(origins), n_cut=0,
    )  # fmt: skip


def invent(
    encoder: Encoder, heads: NextHeads, vocabulary: Vocabulary, numbers: Ints, seed: int, most: int = 4096
) -> Iterator[Invented]:
    """Draw records by their numbers, a company at a time.

    Args:
        encoder: Causal, in evaluation.
        heads: Of the next event.
        vocabulary: Of the run.
        numbers: `(s,)`, ascending, each once.
        seed: Of the set: number and seed make a record.
        most: Events after which a record is cut.
    """
    for company in np.unique(numbers // COMPANY):
        members = company * COMPANY + np.arange(COMPANY)
        sampler = Sampler(
            encoder, heads, vocabulary, from_nothing(np.zeros(COMPANY, np.int64)), draw(members, _RECORD, seed)
        )
        drawn = list(sampler.events(most))
        columns = {name: np.stack([getattr(one, name) for one in drawn]) for name in _COLUMNS}
        there = columns["step"] != Step.END
        wanted = np.flatnonzero(np.isin(members, numbers))
        row, place = np.nonzero(there.T[wanted])
        at = place, wanted[row]
        yield Invented(
            number=members[wanted],
            bounds=np.concatenate([[0], np.cumsum(there[:, wanted].sum(0))]),
            is_static=columns["step"][at] == Step.STATIC,
            time=columns["time"][at],
            data_type=columns["data_type"][at],
            value=columns["value"][at],
            value_token=columns["value_token"][at],
            value_status=columns["value_status"][at],
            is_whole=~there[-1, wanted],
        )


_COLUMNS = ("step", "time", "data_type", "value", "value_token", "value_status")
