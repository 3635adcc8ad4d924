"""How long it is to the next moment: anywhere, as log-normals have it, or to a minute of the hour, or of the day.

Charting keeps to the clock: whoever is measured at seven minutes past each hour is measured so again, whatever came
between. How long a gap to that minute is hangs on the minute at which it begins, so no log-normal holds it. A share of
the chance is therefore told by the minute of the hour at which the gap ends and the whole hours within it; another by
the hour of the day, its minute, and the whole days within, as rounds and what is told by the day have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tawt.contracts.dataset import US_PER_HOUR
from tawt.models.decoder.mixtures import chosen, gap_log_chance, gap_place, gaps_longer
from tawt.models.time_encoding import MINUTES

US_PER_MINUTE = US_PER_HOUR // MINUTES
HOURS = 24
"""Of a day."""


@dataclass(frozen=True)
class GapOutputs:
    """What a state says of the gap, of `m` states."""

    free: Tensor
    """`(m, 3 M)` float32, of log-normals, see `gap_log_chance`."""
    minutes: Tensor | None = None
    """`(m, 1 + 60 + h)` float32: log-odds that it is told by the clock, logits of the minute of the hour at which it
    ends and of the whole hours before it; None = log-normals alone."""
    days: Tensor | None = None
    """`(m, 1 + 60 + 24 + d)` float32: log-odds that it is told by the day, logits of the minute and the hour of the day
    at which it ends and of the whole days before it; None = not by the day."""

    def log_chance(self, hours: Tensor, resolution: Tensor, begins: Tensor, ends: Tensor) -> Tensor:
        """Return the log chance of gaps above 0 that are told in whole multiples of a resolution, `(m,)` float32.

        Args:
            hours: `(m,)` float32, gaps.
            resolution: Hours; one that divides a minute, or whole minutes.
            begins: `(m,)`, minutes of the clock at which they begin.
            ends: `(m,)`, and end.
        """
        chance = gap_log_chance(self.free, hours, resolution)
        step = (resolution * MINUTES).round()
        within = (1 / MINUTES / resolution).clamp_min(1).log().float()  # any time within the minute alike
        if self.minutes is not None:
            odds, of_minute, of_whole = _told(self.minutes, begins, step, MINUTES)
            each = _of(of_minute, ends % MINUTES) + _of(of_whole, whole(begins, ends, MINUTES))
            chance = torch.logaddexp(chance + functional.logsigmoid(-odds), each - within + functional.logsigmoid(odds))
        if self.days is not None:
            odds, of_minute, of_hour, of_whole = _told(self.days, begins, step, MINUTES, HOURS)
            hour = ends // MINUTES
            each = _of(of_minute, ends % MINUTES) + _of(of_hour, hour % HOURS)
            each = each + _of(of_whole, whole(begins // MINUTES, hour, HOURS))
            chance = torch.logaddexp(chance + functional.logsigmoid(-odds), each - within + functional.logsigmoid(odds))
        return chance

    def log_longer(self, beyond: Tensor, now: Tensor, resolution: int) -> Tensor:
        """Return the log chance that a gap is longer, `(m,)` float64; arguments as in `draw`."""
        return torch.logsumexp(torch.cat(self._joint(beyond, now, resolution), 1), 1)

    def draw(self, uniforms: Tensor, beyond: Tensor, now: Tensor, resolution: int) -> Tensor:
        """Draw gaps, `(m,)` us, whole multiples of the resolution and at least one.

        Args:
            uniforms: `(m, 2)` float64 in (0, 1).
            beyond: `(m,)` us that have passed already: the gap is longer.
            now: `(m,)` us, of the clock when it begins.
            resolution: us.
        """
        parts = self._joint(beyond, now, resolution)
        own = chosen(torch.cat(parts, 1).log_softmax(1), uniforms[:, :1])
        n_free, n_minutes, n_hours = (one.shape[1] for one in parts)
        hours = gap_place(self.free, uniforms[:, 1], _least(beyond, resolution), own.clamp_max(n_free - 1))
        steps = (hours * US_PER_HOUR / resolution).round().clamp_max(2.0**62 / resolution).long()
        gap = torch.maximum(steps, beyond // resolution + 1) * resolution
        at = own - n_free
        if n_minutes:
            ends = (at.clamp(0, n_minutes - 1) + 1) * US_PER_MINUTE - (now % US_PER_MINUTE)[:, None]
            by_clock = _placed(uniforms[:, 1], _within(ends, beyond, resolution))
            gap = torch.where(at[:, 0] >= 0, by_clock * resolution, gap)
        at = at - n_minutes
        if self.days is not None and n_hours:
            ends = _minutes_of(at.clamp(0, n_hours - 1), now)
            of_minute = _told(self.days, now // US_PER_MINUTE, _step(resolution), MINUTES, HOURS)[1]
            by_day = _placed(uniforms[:, 1], _within(ends, beyond, resolution), of_minute)
            gap = torch.where(at[:, 0] >= 0, by_day * resolution, gap)
        return gap

    def _joint(self, beyond: Tensor, now: Tensor, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
        """Log chances that it is longer and of a log-normal, ends in a minute from now, or, by the day, in an hour from
        now, `(m, M)`, `(m, 60 h)` and `(m, 24 d)` float64."""
        free = gaps_longer(self.free, _least(beyond, resolution))
        by_clock = by_day = free.new_zeros(len(free), 0)
        begins, step = now // US_PER_MINUTE, _step(resolution)
        if self.minutes is not None:
            odds, of_minute, of_whole = (x.double() for x in _told(self.minutes, begins, step, MINUTES))
            ahead = torch.arange(1, MINUTES * of_whole.shape[1] + 1, device=now.device)
            each = of_minute.gather(1, (begins[:, None] + ahead) % MINUTES)
            _, left, n = _within(ahead * US_PER_MINUTE - (now % US_PER_MINUTE)[:, None], beyond, resolution)
            each = each + of_whole.repeat_interleave(MINUTES, 1) + (left.double() / n.clamp_min(1)).log()
            by_clock = each + functional.logsigmoid(odds)[:, None]
            free = free + functional.logsigmoid(-odds)[:, None]
        if self.days is not None:
            odds, of_minute, of_hour, of_whole = (x.double() for x in _told(self.days, begins, step, MINUTES, HOURS))
            ahead = torch.arange(HOURS * of_whole.shape[1], device=now.device)
            each = of_hour.gather(1, ((now // US_PER_HOUR)[:, None] + ahead + 1) % HOURS)
            each = each + of_whole.repeat_interleave(HOURS, 1)
            # what has passed may end within one of the hours; of those before nothing is left, of those behind all
            passed = ((now + beyond) // US_PER_HOUR - now // US_PER_HOUR - 1)[:, None]
            _, left, n = _within(_minutes_of(passed, now), beyond, resolution)
            some = (of_minute.exp() * left / n.clamp_min(1)).sum(1, keepdim=True)
            share = torch.where(ahead > passed, 1.0, torch.where(ahead == passed, some, 0.0))
            by_day = each + share.log() + functional.logsigmoid(odds)[:, None]
            free, by_clock = (x + functional.logsigmoid(-odds)[:, None] for x in (free, by_clock))
        return free, by_clock, by_day


def whole(before: Tensor, after: Tensor, period: int) -> Tensor:
    """Return the whole periods within gaps from one count of the clock to another, `(m,)` each; -1 where it is one."""
    return torch.where(after > before, (after - before - 1) // period, -1)


def _told(outputs: Tensor, begins: Tensor, step: Tensor, *counts: int) -> tuple[Tensor, ...]:
    """Log-odds `(m,)`, and log chances of so many outputs each, minutes first, and of the rest.

    Times are told in whole minutes: a gap from a minute ends in every `step`-th from there, and no other has a chance.
    Nothing is told by a clock whose steps are longer than an hour.
    """
    odds, minute, *logits = outputs.split([1, *counts, outputs.shape[1] - 1 - sum(counts)], 1)
    apart = (torch.arange(MINUTES, device=begins.device) - begins[:, None]) % step.clamp_min(1)
    minute = minute.masked_fill((apart != 0) & (step <= MINUTES), -torch.inf)
    odds = odds[:, 0].masked_fill(step > MINUTES, -torch.inf)
    return odds, *(x.log_softmax(1) for x in (minute, *logits))


def _step(resolution: int) -> Tensor:
    """Minutes of a resolution, us."""
    return torch.tensor(resolution / US_PER_MINUTE, dtype=torch.float64).round()


def _of(log_chance: Tensor, which: Tensor) -> Tensor:
    """Log chance of one each, `(m, c)` and `(m,)` -> `(m,)`; of what is not among them none."""
    most = log_chance.shape[1]
    own = log_chance.gather(1, which.clamp(0, most - 1)[:, None])[:, 0]
    return own.masked_fill((which < 0) | (which >= most), -torch.inf)


def _least(beyond: Tensor, resolution: int) -> Tensor:
    """Hours from which on a gap is told as longer than what has passed, `(m,)` float64."""
    return (beyond // resolution + 0.5) * (resolution / US_PER_HOUR)


def _minutes_of(ahead: Tensor, now: Tensor) -> Tensor:
    """Us from now at which each minute of an hour opens, `(m, 60)`; `ahead` `(m, 1)`, 0 = the hour after now's."""
    opens = (ahead + 1) * US_PER_HOUR - (now % US_PER_HOUR)[:, None]
    return opens + torch.arange(MINUTES, device=now.device) * US_PER_MINUTE


def _within(opens: Tensor, beyond: Tensor, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first multiple of the resolution that ends in each minute and is longer, how many there are, and how many
    there were if none had passed, `(m, c)` each; `opens`: us from now at which it opens."""
    first, end = -(-opens // resolution), -(-(opens + US_PER_MINUTE) // resolution)
    left = torch.maximum(first, (beyond // resolution + 1)[:, None])
    return left, (end - left).clamp_min(0), end - first


def _placed(uniform: Tensor, within: tuple[Tensor, Tensor, Tensor], of_minute: Tensor | None = None) -> Tensor:
    """Draw one of the multiples that are left in some minutes, each minute by its log chance, `(m,)`."""
    first, left, n = within
    mass = (left.double() / n.clamp_min(1)) * (1.0 if of_minute is None else of_minute.double().exp())
    total = mass.cumsum(1)
    at = uniform[:, None] * total[:, -1:]
    own = (total <= at).sum(1, keepdim=True).clamp_max(mass.shape[1] - 1)
    first, left, mass, total = (x.gather(1, own) for x in (first, left, mass, total))
    share = ((at - total + mass) / mass.clamp_min(1e-300)).clamp(0, 1)
    return torch.minimum(first + (share * left).long(), first + (left - 1).clamp_min(0))[:, 0]
