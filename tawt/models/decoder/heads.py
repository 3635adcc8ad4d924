"""Heads of the next event, each given what was drawn before it."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.config.model import ModelConfig
from tawt.config.next_event import NextConfig
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.counted import Counted
from tawt.models.decoder.due import Came, Due
from tawt.models.decoder.gaps import HOURS, GapOutputs
from tawt.models.decoder.hours_after import HoursAfter
from tawt.models.decoder.later import Later
from tawt.models.decoder.mixtures import NARROW_GAP, NARROW_RANK
from tawt.models.decoder.others import WAYS, Others
from tawt.models.decoder.places import KNOTS, values
from tawt.models.decoder.schedule import N_MARKS
from tawt.models.heads import ReconstructionHeads, zeroed
from tawt.models.time_encoding import MINUTES, ScalarNetwork, log_minutes


class Step(IntEnum):
    """What kind of step comes next."""

    END = 0
    """Nothing more: the record ends."""
    STATIC = 1
    """A fact without a time."""
    SAME = 2
    """An event of the same moment; of the first one, of the moment that times count from."""
    LATER = 3
    """An event of a later moment."""


GAPS = 129
"""Points of the distribution of gaps."""
_RAREST = -30.0
"""Log chance of what cannot come, where none at all would not be a number."""


class NextHeads(nn.Module):
    """Reads the state of a token and says what follows it.

    `after` adds to it the step and the gap that were drawn, `typed` the data_type, the state of the last event of that
    data_type and how long ago it was, so that a value can follow from the one before without a search.

    Args:
        config: Widths.
        how: Sizes of the mixtures.
        vocabulary: Its data_types.
        width: Numbers of the latent that is told beside; 0 = there is none.
    """

    def __init__(self, config: ModelConfig, how: NextConfig, vocabulary: Vocabulary, width: int = 0) -> None:
        super().__init__()
        d_model, v = config.d_model, len(vocabulary)
        self.how = how
        self.step = zeroed(nn.Linear(d_model, len(Step), bias=False))
        self.step_bias = nn.Parameter(torch.zeros(2, len(Step)))
        n_due = min(how.n_due, v)
        self.due = Due(d_model, how.due_by_hour) if n_due else None
        self.of_due = zeroed(nn.Linear(d_model, 1, bias=False)) if n_due else None
        self.came_by_now, self.came_by_then = (Came(d_model) if n_due and how.due_to_others else None for _ in range(2))
        self.gap = nn.Linear(d_model, 3 * how.n_gaps)
        # by the clock, see `GapOutputs`
        self.minute = nn.Linear(d_model, 1 + MINUTES + how.n_hours) if how.n_hours else None
        self.day = nn.Linear(d_model, 1 + MINUTES + HOURS + how.n_days) if how.n_days else None
        self.of_marks = nn.Linear(d_model, N_MARKS) if how.n_hours else None
        self.hours_after = HoursAfter(d_model) if how.hours_after else None
        self.of_minute = nn.Embedding(MINUTES, d_model) if how.n_hours else None
        self.of_step = nn.Embedding(len(Step), d_model)
        self.of_gap = ScalarNetwork(d_model)
        self.inner, self.outer = nn.Linear(d_model, 2 * d_model), zeroed(nn.Linear(2 * d_model, d_model))
        self.what = ReconstructionHeads(config, vocabulary, ("data_type", "status", "category"))
        self.of_last = nn.Linear(d_model, d_model, bias=False)
        self.of_age = ScalarNetwork(d_model)
        self.of_status = zeroed(nn.Embedding(len(ValueStatus), d_model))
        self.to_number = nn.Linear(d_model, 2 * d_model)
        self.number = zeroed(nn.Linear(2 * d_model, 3 * how.n_numbers, bias=False))
        self.number_bias = nn.Embedding(v, 3 * how.n_numbers)
        own = how.numbers_so_far
        self.of_number, self.of_level = (ScalarNetwork(d_model) if own else None for _ in range(2))
        of_others = how.numbers_of_others
        self.others = Others(d_model) if of_others else None
        self.of_others = zeroed(nn.Linear(WAYS, d_model, bias=False)) if of_others else None
        self.follows = zeroed(nn.Linear(2 * d_model, (3 if of_others else 2) * how.n_numbers)) if own else None
        n_later = min(how.n_later, v) if how.later_weight else 0
        self.later = Later(d_model, n_later) if n_later else None
        # zero at the start: then the decoder is one without a latent
        self.of_latent = zeroed(nn.Linear(width, d_model, bias=False)) if width else None
        nn.init.zeros_(self.gap.weight)
        if self.minute is not None and self.of_marks is not None and self.of_minute is not None:
            for one in (self.minute.weight, self.minute.bias, self.of_marks.weight, self.of_minute.weight):
                nn.init.zeros_(one)
            nn.init.ones_(self.of_marks.bias)
        if self.day is not None:
            nn.init.zeros_(self.day.weight)
            nn.init.zeros_(self.day.bias)
        nn.init.normal_(self.of_step.weight, std=d_model**-0.5)
        # what numbers and gaps are told in, and of which data_types: kept as weights are, but not learned
        self.told_types: Tensor
        self.later_types: Tensor
        for name, n in (("told_types", n_due), ("later_types", n_later)):
            if n:
                self.register_parameter(name, nn.Parameter(torch.arange(n), requires_grad=False))
            else:
                self.register_buffer(name, torch.arange(0), persistent=False)
        self.knots = nn.Parameter(torch.zeros(v, KNOTS), requires_grad=False)
        self.resolution = nn.Parameter(torch.ones((), dtype=torch.float64), requires_grad=False)

    @torch.no_grad()
    def start_at(self, counted: Counted) -> None:
        """Start from what was counted on train, so that a fresh model costs about what the trivial guess costs."""
        self.step_bias.copy_(counted.log_step)
        self.gap.bias.copy_(_spread(counted.gap_quantiles, self.how.n_gaps, NARROW_GAP))
        if self.minute is not None:
            # in half of all gaps, for what a part is hardly asked for it hardly learns
            self.minute.bias[1 + MINUTES :] = counted.log_hours[: self.how.n_hours]
        if self.day is not None:
            self.day.bias[1 + MINUTES + HOURS :] = counted.log_days[: len(self.day.bias) - 1 - MINUTES - HOURS]
        self.number_bias.weight.copy_(_spread(torch.linspace(0, 1, GAPS), self.how.n_numbers, NARROW_RANK))
        bins = torch.zeros(len(self.knots), 1)
        self.what.start_at(counted.log_type, counted.log_category, counted.log_status, bins, bins[:, 0])
        self.told_types.copy_(counted.told_types)
        if self.later is not None:
            self.later_types.copy_(counted.later_types)
            self.later.start_at(counted.later)
        self.knots.copy_(counted.knots)
        self.resolution.fill_(counted.resolution)

    def kept(self, counted: Counted) -> Counted:
        """Return what was counted, told in what these heads tell: weights of another run may have been put in."""
        return replace(
            counted,
            knots=self.knots.detach().cpu(),
            told_types=self.told_types.cpu(),
            later_types=self.later_types.cpu(),
        )

    def told(self, z: Tensor) -> Tensor:
        """Return what is added to every token of a record, `(d, width)` -> `(d, d_model)`."""
        assert self.of_latent is not None, "a decoder that was trained without a latent is told none"
        told: Tensor = self.of_latent(z)
        return told

    def steps(self, states: Tensor, timed: Tensor, table: Tensor, least: Tensor, age_hours: Tensor) -> Tensor:
        """Logits over `Step`, `(m, 4)` float32.

        An event of the same moment is the likelier the more data_types are due that can still come in it.

        Args:
            states: `(m, d_model)`.
            timed: `(m,)` bool, whether a timed event came already.
            table: `(v, d_model)`, the encoder's.
            least: `(m,)`, the first data_type that the same moment can have.
            age_hours: `(m, r)` float32, how long ago each of `told_types` came last; below 0 where it never did.
        """
        if self.came_by_now is not None:
            states = states + self.came_by_now(table[self.told_types], age_hours)
        logits = self.step(states).float() + self.step_bias.float()[timed.long()]
        if self.due is not None and self.of_due is not None:
            bias = self.what.type_bias.float()
            due = self.due(states, table[self.told_types], age_hours) + bias[self.told_types]
            due = due.masked_fill(self.told_types < least[:, None], _RAREST)
            # others that can come are as due as they are frequent, from each data_type on
            others = bias.detach().index_fill(0, self.told_types, _RAREST).flip(0).logcumsumexp(0).flip(0)
            due = torch.cat([due, others[least][:, None]], 1).logsumexp(1, keepdim=True)
            logits = logits + functional.pad(due * self.of_due(states).float(), (Step.SAME, len(Step) - Step.SAME - 1))
        never = timed[:, None] & (torch.arange(len(Step), device=states.device) == Step.STATIC)
        return logits.masked_fill(never, -torch.inf)

    def gaps(self, states: Tensor, table: Tensor, marks: Tensor, came_minute: Tensor, age_hours: Tensor) -> GapOutputs:
        """Return what states say of the gap.

        Args:
            states: `(m, d_model)`.
            table: `(v, d_model)`, the encoder's.
            marks: `(m, 60, f)`, see `Schedule.marks`; not read where gaps do not go by the clock.
            came_minute: `(m, r)`, minute of the hour at which each of `told_types` came last; as `marks`.
            age_hours: `(m, r)` float32, as in `steps`.
        """
        minutes, days = (one if one is None else one(states).float() for one in (self.minute, self.day))
        if minutes is not None and self.of_marks is not None:
            own = torch.einsum("mqf,mf->mq", marks, self.of_marks(states).float())
            if self.hours_after is not None:
                own = own + self.hours_after(states, table[self.told_types], came_minute, age_hours)
            minutes = minutes + functional.pad(own, (1, self.how.n_hours))
        return GapOutputs(self.gap(states).float(), minutes, days)

    def after(self, states: Tensor, step: Tensor, gap_hours: Tensor, minute: Tensor) -> Tensor:
        """States that know when the next event is, `(m, d_model)`.

        Args:
            states: `(m, d_model)`.
            step: `(m,)`.
            gap_hours: `(m,)` float32, 0 but where the step is later.
            minute: `(m,)`, its minute of the hour; of a static fact any.
        """
        when = self.of_step(step) + self.of_gap(log_minutes(gap_hours))
        if self.of_minute is not None:
            when = when + torch.where((step != Step.STATIC)[:, None], self.of_minute(minute), 0.0)
        known = states + when
        return known + self.outer(functional.gelu(self.inner(known)))

    def types(self, after: Tensor, table: Tensor, least: Tensor, age_hours: Tensor) -> Tensor:
        """Logits over data_types, `(m, v)`; none of those below the first that can come, `(m,)`.

        `age_hours` is as in `steps`, but of when the event comes.
        """
        if self.came_by_then is not None:
            after = after + self.came_by_then(table[self.told_types], age_hours)
        logits = self.what.types(after, table)
        if self.due is not None:
            due = self.due(after, table[self.told_types], age_hours)
            logits = logits + torch.zeros_like(logits, dtype=due.dtype).index_copy(1, self.told_types, due)
        return logits.masked_fill(torch.arange(len(table), device=logits.device) < least[:, None], -torch.inf)

    def typed(self, after: Tensor, data_type: Tensor, table: Tensor, last: Tensor, age_hours: Tensor) -> Tensor:
        """States that know the next event's data_type, `(m, d_model)`.

        Args:
            after: `(m, d_model)`.
            data_type: `(m,)`.
            table: `(v, d_model)`, the encoder's.
            last: `(m, d_model)`, state of the last event of the data_type; of anything where there is none.
            age_hours: `(m,)` float32, how long before the next event it was; below 0 where there is none.
        """
        there = (age_hours >= 0)[:, None]
        before = self.of_last(last) + self.of_age(log_minutes(age_hours.clamp_min(0)))
        return self.what.typed(after, data_type, table) + torch.where(there, before, 0.0)

    def numbers(
        self, typed: Tensor, data_type: Tensor, status: Tensor, table: Tensor, last: Tensor, level: Tensor, told: Tensor
    ) -> Tensor:
        """Outputs of `rank_log_density`, float32.

        Args:
            typed: `(m, d_model)`.
            data_type: `(m,)`.
            status: `(m,)`.
            table: `(v, d_model)`, the encoder's.
            last: `(m,)` float32, rank of the number of the same data_type before it; below 0 where there is none.
            level: `(m,)` float32, where all those before it lie, see `places.level`.
            told: `(m, 2, r)` float32, see `Others`.
        """
        known = typed + self.of_status(status)
        if self.of_number is None or self.of_level is None or self.follows is None:
            return self._numbers(functional.gelu(self.to_number(known)), data_type)
        aside = torch.where(last >= 0, last - 0.5, 0.0)
        before = self.of_number(2 * aside) + self.of_level(2 * level)
        known, around = known + torch.where((last >= 0)[:, None], before, 0.0), [aside, level]
        if self.others is not None and self.of_others is not None:
            others = self.others(functional.embedding(data_type, table), table[self.told_types], told)
            known, around = known + self.of_others(others), [*around, others.float().mean(1)]
        hidden = functional.gelu(self.to_number(known))
        shares = self.follows(hidden).float().unflatten(1, (len(around), self.how.n_numbers))
        places = (shares * torch.stack(around, 1)[..., None]).sum(1)
        return self._numbers(hidden, data_type) + functional.pad(places, (self.how.n_numbers, self.how.n_numbers))

    def _numbers(self, hidden: Tensor, data_type: Tensor) -> Tensor:
        return self.number(hidden).float() + self.number_bias(data_type).float()

    def values(self, data_type: Tensor, rank: Tensor) -> Tensor:
        """Return the normalized numbers at ranks, `(m,)` float64."""
        return values(self.knots, data_type, rank)


def _spread(quantiles: Tensor, n: int, narrowest: float) -> Tensor:
    """Outputs `(3 n,)` of a mixture of `n` equal shares that lies as evenly spaced quantiles do."""
    at = torch.linspace(0, len(quantiles) - 1, 2 * n + 1).round().long()
    low, middle, high = (quantiles[at[i : 2 * n + i : 2]].float() for i in (0, 1, 2))
    width = ((high - low) / 2 - narrowest).clamp_min(0.05)
    return torch.cat([torch.zeros(n), middle, width.expm1().log()])
