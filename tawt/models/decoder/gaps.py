"""How long it is to the next moment: anywhere, as log-normals have it, or to a minute of the hour.

Charting keeps to the clock: whoever is measured at seven minutes past each hour is measured so again, whatever came
between. How long a gap to that minute is hangs on the minute at which it begins, so no log-normal holds it. A share of
the chance is therefore told by the minute of the hour at which the gap ends and the whole hours within it.
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


@dataclass(frozen=True)
class GapOutputs:
    """What a state says of the gap, of `m` states."""

    free: Tensor
    """`(m, 3 M)` float32, of log-normals, see `gap_log_chance`."""
    minutes: Tensor | None
    """`(m, 1 + 60 + h)` float32: log-odds that it is told by the clock, logits of the minute of the hour at which it
    ends and of the whole hours before it; None = log-normals alone."""

    def _by_clock(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-odds `(m,)`, log chances of minutes `(m, 60)` and of whole hours `(m, h)`."""
        assert self.minutes is not None
        odds, minute, hours = self.minutes.split([1, MINUTES, self.minutes.shape[1] - 1 - MINUTES], 1)
        return odds[:, 0], minute.log_softmax(1), hours.log_softmax(1)

    def log_chance(self, hours: Tensor, resolution: Tensor, minute: Tensor, whole: Tensor) -> Tensor:
        """Return the log chance of gaps above 0 that are told in whole multiples of a resolution, `(m,)` float32.

        Args:
            hours: `(m,)` float32, gaps.
            resolution: Hours; one that divides a minute, or whole minutes.
            minute: `(m,)`, minute of the hour at which they end.
            whole: `(m,)`, whole hours within them, see `whole_hours`.
        """
        free = gap_log_chance(self.free, hours, resolution)
        if self.minutes is None:
            return free
        odds, of_minute, of_whole = self._by_clock()
        most = of_whole.shape[1]
        each = of_minute.gather(1, minute[:, None])[:, 0]
        each = each + of_whole.gather(1, whole.clamp(0, most - 1)[:, None])[:, 0]
        each = each - (1 / MINUTES / resolution).clamp_min(1).log().float()  # any time within the minute alike
        each = each.masked_fill((whole < 0) | (whole >= most), -torch.inf)
        return torch.logaddexp(free + functional.logsigmoid(-odds), each + functional.logsigmoid(odds))

    def log_longer(self, beyond: Tensor, now: Tensor, resolution: int) -> Tensor:
        """Return the log chance that a gap is longer, `(m,)` float64; arguments as in `draw`."""
        return torch.logsumexp(self._joint(beyond, now, resolution), 1)

    def draw(self, uniforms: Tensor, beyond: Tensor, now: Tensor, resolution: int) -> Tensor:
        """Draw gaps, `(m,)` us, whole multiples of the resolution and at least one.

        Args:
            uniforms: `(m, 2)` float64 in (0, 1).
            beyond: `(m,)` us that have passed already: the gap is longer.
            now: `(m,)` us, of the clock when it begins.
            resolution: us.
        """
        own = chosen(self._joint(beyond, now, resolution).log_softmax(1), uniforms[:, :1])
        n_free = self.free.shape[1] // 3
        hours = gap_place(self.free, uniforms[:, 1], _least(beyond, resolution), own.clamp_max(n_free - 1))
        steps = (hours * US_PER_HOUR / resolution).round().clamp_max(2.0**62 / resolution).long()
        gap = torch.maximum(steps, beyond // resolution + 1) * resolution
        if self.minutes is None:
            return gap
        at = (own - n_free).clamp_min(0)
        first, n_left, _ = (x.gather(1, at)[:, 0] for x in _within(beyond, now, resolution, self._n_hours))
        place = (uniforms[:, 1] * n_left).long().clamp(max=n_left - 1)
        return torch.where(own[:, 0] >= n_free, (first + place) * resolution, gap)

    @property
    def _n_hours(self) -> int:
        return self.minutes.shape[1] - 1 - MINUTES if self.minutes is not None else 0

    def _joint(self, beyond: Tensor, now: Tensor, resolution: int) -> Tensor:
        """Log chances that it is longer and of a log-normal, or ends in a minute from now, `(m, M + 60 h)` float64."""
        free = gaps_longer(self.free, _least(beyond, resolution))
        if self.minutes is None:
            return free
        odds, of_minute, of_whole = (x.double() for x in self._by_clock())
        ahead = torch.arange(1, MINUTES * self._n_hours + 1, device=now.device)
        minute = ((now // US_PER_MINUTE)[:, None] + ahead) % MINUTES
        each = of_minute.gather(1, minute) + of_whole.repeat_interleave(MINUTES, 1)
        _, n_left, n = _within(beyond, now, resolution, self._n_hours)
        each = each + (n_left.double() / n.clamp_min(1)).log() + functional.logsigmoid(odds)[:, None]
        return torch.cat([free + functional.logsigmoid(-odds)[:, None], each], 1)


def whole_hours(before: Tensor, after: Tensor) -> Tensor:
    """Return the whole hours within gaps from one minute to another, `(m,)` each; -1 where they are of one minute."""
    return torch.where(after > before, (after - before - 1) // MINUTES, -1)


def _least(beyond: Tensor, resolution: int) -> Tensor:
    """Hours from which on a gap is told as longer than what has passed, `(m,)` float64."""
    return (beyond // resolution + 0.5) * (resolution / US_PER_HOUR)


def _within(beyond: Tensor, now: Tensor, resolution: int, n_hours: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first multiple of the resolution that ends in each minute from now and is longer, how many there are, and how
    many there were if none had passed, `(m, 60 h)` each."""
    ahead = torch.arange(1, MINUTES * n_hours + 1, device=now.device) * US_PER_MINUTE
    opens = ahead - (now % US_PER_MINUTE)[:, None]
    first, end = -(-opens // resolution), -(-(opens + US_PER_MINUTE) // resolution)
    left = torch.maximum(first, (beyond // resolution + 1)[:, None])
    return left, (end - left).clamp_min(0), end - first
