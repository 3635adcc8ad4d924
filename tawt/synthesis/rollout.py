"""Records from nothing, drawn in companies of a fixed size: so any of them can be drawn again to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tawt.arrays import Bools, Ints
from tawt.batching.batch import PackedBatch
from tawt.batching.gaps import PERIODS
from tawt.chance import Salt, draw
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.records import Records
from tawt.models.decoder.drawn import Drawn
from tawt.models.decoder.heads import Step
from tawt.models.decoder.sample import Sampler
from tawt.runs.load import LoadedDecoder
from tawt.synthesis.shared import Shared

COMPANY = 64
"""Records that are drawn side by side. What is computed hangs in its last bits on how many these are, so they are
always as many, also where few of them are wanted."""
MOST_EVENTS = 4096
"""After which a record is cut, where nobody says when."""


@dataclass(frozen=True, eq=False)
class Invented:
    """Some invented records."""

    records: Records
    """Of `s` subjects; whose id is the number that, with the seed, made the record."""
    is_whole: Bools
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
    decoder: LoadedDecoder,
    numbers: Ints,
    seed: int,
    most: int = MOST_EVENTS,
    origins: Callable[[Ints], Ints] = np.zeros_like,
    shared: Shared | None = None,
    latent: Callable[[Ints], Tensor] | None = None,
) -> Iterator[Invented]:
    """Draw records by their numbers, a company at a time.

    Args:
        decoder: Who draws.
        numbers: `(s,)`, ascending, each once.
        seed: Of the set: number and seed make a record.
        most: Events after which a record is cut.
        origins: Numbers -> the moments that their times count from, us since 1970-01-01.
        shared: What many people share: numbers are set to that, and no other data_type comes; None = all may.
        latent: Gives the latents `(b, width)` of numbers, a company at a time, as a prior does; None = there is none.
    """
    for wanted in companies(numbers):
        members = wanted[0] // COMPANY * COMPANY + np.arange(COMPANY)
        origin = origins(members)
        sampler = Sampler(
            decoder.encoder, decoder.heads, decoder.vocabulary, from_nothing(origin), draw(members, Salt.RECORDS, seed),
            possible=torch.from_numpy(shared.as_told) if shared is not None else None,
            snap=shared.nearest if shared is not None else None, z=latent(members) if latent is not None else None,
        )  # fmt: skip
        drawn = list(sampler.events(most))
        there = np.stack([one.step != Step.END for one in drawn])
        own = wanted - members[0]
        yield Invented(records_of(drawn, there, members, origin).take(own), ~there[-1, own])


def companies(numbers: Ints) -> Iterator[Ints]:
    """Give numbers, ascending, company by company."""
    yield from np.split(numbers, np.flatnonzero(np.diff(numbers // COMPANY)) + 1)


def records_of(drawn: Sequence[Drawn], there: Bools, subject_id: Ints, origin: Ints) -> Records:
    """Return what was drawn, event after event, as records.

    Args:
        drawn: `k` events of each of `b` records.
        there: `(k, b)`, which of them belong to the records.
        subject_id: `(b,)`.
        origin: `(b,)`, us since 1970-01-01.
    """
    columns = {name: np.stack([getattr(one, name) for one in drawn]).T[there.T] for name in _DTYPES}
    is_static = np.stack([one.step for one in drawn]).T[there.T] == Step.STATIC
    return Records(
        subject_id, origin, np.concatenate([[0], np.cumsum(there.sum(0))]), is_static,
        **{name: column.astype(_DTYPES[name]) for name, column in columns.items()},
    )  # fmt: skip


_DTYPES = {"time": np.int64, "data_type": np.int32, "value": np.float32, "value_token": np.int32,
           "value_status": np.uint8}  # fmt: skip
