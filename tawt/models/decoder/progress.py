"""How far each of several records has come, as far as what comes next hangs on it beside the decoder's states."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise

import torch
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.contracts.dataset import US_PER_HOUR
from tawt.models.decoder.gaps import US_PER_MINUTE
from tawt.models.decoder.heads import Step
from tawt.models.decoder.past import NEVER
from tawt.models.decoder.places import level, rank_as_last
from tawt.models.decoder.schedule import Schedule
from tawt.models.time_encoding import MINUTES


@dataclass(frozen=True)
class Progress:
    """Of `b` records, `v` data_types; times are us since the origin."""

    clock: Tensor
    """`(b, 3)` float64, see `PackedBatch`."""
    kind: Tensor
    """`(b,)`, data_type of the last event; -1 = there is none."""
    timed: Tensor
    """`(b,)` bool, whether a timed event came."""
    time: Tensor
    """`(b,)`, of the last timed event."""
    before: Tensor
    """`(b,)`, of the moment before that of the last event; `NEVER` = there is none."""
    last_at: Tensor
    """`(b, v)` int32, token of the last triplet of each data_type; -1 = there is none."""
    last_time: Tensor
    """`(b, v)`, of it; `NEVER` = there is none."""
    earlier_time: Tensor
    """`(b, v)`, of the last triplet of each data_type at an earlier moment; `NEVER` = there is none."""
    last_rank: Tensor
    """`(b, v)` float32, of the last number of each data_type; -1 = there is none."""
    total: Tensor
    """`(b, v)` float64, sum of `rank - 0.5` of the numbers of each data_type."""
    n_numbers: Tensor
    """`(b, v)` int32, how many those are."""
    schedule: Schedule

    @classmethod
    def known(cls, prompts: PackedBatch, knots: Tensor) -> Progress:
        """Return that of what is known of records: documents, some of them empty; knots are those of `ranks`."""
        v = len(knots)
        b, us = prompts.n_documents, (prompts.hours * US_PER_HOUR).round().long()
        kind, timed, time = torch.full((b,), -1), torch.zeros(b, dtype=torch.bool), torch.zeros(b, dtype=torch.int64)
        before, last_at = torch.full((b,), NEVER), torch.full((b, v), -1, dtype=torch.int32)
        last_time, earlier_time = torch.full((b, v), NEVER), torch.full((b, v), NEVER)
        last_rank, total = torch.full((b, v), -1.0), torch.zeros(b, v, dtype=torch.float64)
        n_numbers = torch.zeros(b, v, dtype=torch.int32)
        rank = rank_as_last(knots, prompts.data_type, prompts.value, prompts.value_status)
        for i, (a, end) in enumerate(pairwise(prompts.cu_seqlens.tolist())):
            kinds, still, own = prompts.data_type[a:end], prompts.is_static[a:end], us[a:end]
            kind[i] = kinds[-1] if end > a else -1
            last_at[i].scatter_reduce_(0, kinds, torch.arange(1, end - a + 1, dtype=torch.int32), "amax")
            known = last_at[i] >= 0
            last_time[i, known] = own[last_at[i, known].long() - 1]
            numbers = a + (rank[a:end] >= 0).nonzero()[:, 0]
            last = torch.full((v,), -1).scatter_reduce_(0, prompts.data_type[numbers], numbers, "amax")
            last_rank[i, last >= 0] = rank[last[last >= 0]]
            total[i].index_add_(0, prompts.data_type[numbers], rank[numbers].double() - 0.5)
            n_numbers[i] = torch.bincount(prompts.data_type[numbers], minlength=v)
            kinds, own = kinds[~still], own[~still]
            if not len(own):
                continue
            timed[i], time[i] = True, own[-1]
            earlier = own < own[-1]
            if bool(earlier.any()):
                before[i] = own[earlier][-1]
                earlier_time[i].scatter_reduce_(0, kinds[earlier], own[earlier], "amax")
        document = torch.arange(b).repeat_interleave(prompts.cu_seqlens.diff())
        of, at = torch.unique_consecutive(torch.stack([document, us])[:, ~prompts.is_static], dim=1)
        minutes = (at + _day(prompts.clock_hours)[of]) // US_PER_MINUTE
        schedule = Schedule.known(b, of.numpy(), minutes.numpy())
        return cls(
            prompts.clock_hours, kind, timed, time, before, last_at, last_time, earlier_time, last_rank, total,
            n_numbers, schedule,
        )  # fmt: skip

    def of(self, rows: Tensor) -> Progress:
        """Return that of some records; one may be named several times."""
        kept = {one.name: getattr(self, one.name) for one in fields(self)}
        return Progress(**{name: x.of(rows) if name == "schedule" else x[rows].clone() for name, x in kept.items()})

    @property
    def now(self) -> Tensor:
        """`(b,)`, us of the last timed event by the clock."""
        return self.at_clock(self.time)

    def at_clock(self, time: Tensor) -> Tensor:
        """Return `(b,)`, us since the origin's midnight."""
        return _day(self.clock) + time

    def marks(self) -> Tensor:
        """See `Schedule.marks`."""
        return self.schedule.marks(self.now // US_PER_MINUTE)

    def came_minute(self, told_types: Tensor) -> Tensor:
        """Return `(b, r)`, minute of the hour at which each data_type came last; any where it never did."""
        came = self.last_time[:, told_types]
        return (_day(self.clock)[:, None] + torch.where(came > NEVER, came, 0)) // US_PER_MINUTE % MINUTES

    def ages(self, told_types: Tensor, time: Tensor) -> Tensor:
        """Return `(b, r)` float32, hours from each data_type's last triplet to a time, `(b,)`; -1 where it has none."""
        came = self.last_time[:, told_types]
        age = (time[:, None] - came).clamp_min(0).double() / US_PER_HOUR
        return torch.where(came > NEVER, age, -1.0).float()

    def numbers(self, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rank of a data_type's last number, -1 where it has none, and the `level` of all, `(b,)` each."""
        rows = torch.arange(len(kind))
        return self.last_rank[rows, kind], level(self.total[rows, kind], self.n_numbers[rows, kind])

    def others(self, told_types: Tensor) -> Tensor:
        """Return what the numbers of data_types say of others', `(b, 2, r)` float32, see `Others`."""
        rank = self.last_rank[:, told_types]
        levels = level(self.total[:, told_types], self.n_numbers[:, told_types])
        return torch.stack([torch.where(rank >= 0, rank - 0.5, 0.0), levels], 1)

    def last(self, kind: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return the token of a data_type's last triplet, and hours from it, `(b,)` each; -1 where it has none."""
        rows = torch.arange(len(kind))
        token = self.last_at[rows, kind].long()
        age = (time - self.last_time[rows, kind]).double() / US_PER_HOUR
        return token, torch.where(token >= 0, age, -1.0).float()

    def least(self, step: Tensor, last: Tensor) -> Tensor:
        """Return the first data_type that can come, `(b,)`, see `NextTargets`; `last` is the last that ever does."""
        first = torch.where(step == Step.STATIC, self.kind + 1, self.kind * self.timed)
        return torch.where((step == Step.LATER) | (first > last), 0, first)

    def then(
        self, step: Tensor, time: Tensor, kind: Tensor, token: Tensor, alive: Tensor, was_static: Tensor, rank: Tensor
    ) -> tuple[Progress, Tensor, Tensor]:
        """Return what it is after one more event of each, us since the moment before it and since the data_type came.

        Tables of data_types are changed in place.

        Args:
            step: `(b,)`.
            time: `(b,)`.
            kind: `(b,)`.
            token: `(b,)`, of the event.
            alive: `(b,)` bool, which records go on.
            was_static: `(b,)` bool, whether the last triplet of the data_type is a static fact.
            rank: `(b,)`, see `rank_as_last`.

        Returns:
            Beside it two of `(b,)`: 0 where there is no moment before, -1 where the data_type never came at one.
        """
        rows = torch.arange(len(step))
        timed = (step != Step.STATIC) & alive
        late = step == Step.LATER
        before = torch.where(timed & self.timed & late, self.time, self.before)
        # the moment before is where the last one was; the first timed event has none
        gap = torch.where(timed & (before > NEVER), time - before, 0)
        own, earlier = self.last_time[rows, kind], self.earlier_time[rows, kind]
        earlier = torch.where((self.last_at[rows, kind] >= 0) & ~was_static & timed & (own < time), own, earlier)
        type_gap = torch.where((earlier > NEVER) & timed, time - earlier, -1)
        self.last_at[rows, kind], self.last_time[rows, kind] = token.int(), time
        self.earlier_time[rows, kind] = earlier
        self.last_rank[rows, kind] = torch.where(rank >= 0, rank, self.last_rank[rows, kind])
        self.total[rows, kind] += torch.where(rank >= 0, rank.double() - 0.5, 0.0)
        self.n_numbers[rows, kind] += rank >= 0
        schedule = self.schedule.then(self.at_clock(time) // US_PER_MINUTE, timed & (late | ~self.timed))
        now = torch.where(timed, time, self.time)
        further = replace(self, kind=kind, timed=self.timed | timed, time=now, before=before, schedule=schedule)
        return further, gap, type_gap


def _day(clock: Tensor) -> Tensor:
    """`(b,)`, us of the origin within its day."""
    return (clock[:, 0] * US_PER_HOUR).round().long()
