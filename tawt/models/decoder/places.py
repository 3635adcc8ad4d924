"""Numbers told by their rank among those of their data_type, and back: so a decoder's numbers lie as real ones do."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tawt.contracts.value_status import HAS_NUMBER_OF

KNOTS = 257
"""Points of the distribution of a data_type's numbers that ranks are counted by."""
_STRAIGHT = 1e-3
"""Below so much bend an outermost part is straight."""


def ranks(knots: Tensor, data_type: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of a data_type's numbers below a number, and not above it, `(m,)` each; mostly they are equal.

    Args:
        knots: `(v, KNOTS)`, see `Counted`.
        data_type: `(m,)`.
        value: `(m,)`, normalized.
    """
    own, value = knots[data_type].contiguous(), value.float()[:, None].contiguous()
    left, right = (torch.searchsorted(own, value, right=right)[:, 0] for right in (False, True))
    lower, upper = (left - 1).clamp(0, KNOTS - 2), left.clamp(1, KNOTS - 1)
    low, high = own.gather(1, lower[:, None])[:, 0], own.gather(1, upper[:, None])[:, 0]
    share = ((value[:, 0] - low) / (high - low).clamp_min(1e-30)).clamp(0, 1)
    share = _along(_bends(own), lower, share.double(), _passed).float()
    between = (lower + torch.where(high > low, share, 0.5)) / (KNOTS - 1)
    equal = right > left + 1  # several knots are this number
    first, last = left / (KNOTS - 1), (right - 1) / (KNOTS - 1)
    return torch.where(equal, first, between), torch.where(equal, last, between)


def rank_as_last(knots: Tensor, data_type: Tensor, value: Tensor, status: Tensor) -> Tensor:
    """Return the rank by which a number is told to the next one of its data_type, `(m,)` float32.

    It is the middle of those that equal ones share; -1 where the status, `(m,)`, has no number.
    """
    has = torch.from_numpy(HAS_NUMBER_OF)[status] & value.isfinite()
    low, high = ranks(knots, data_type, value)
    return torch.where(has, (low + high) / 2, -1.0)


def level(total: Tensor, n: Tensor) -> Tensor:
    """Return where the numbers of a data_type so far lie, `(m,)` float32: 0 = as all do, from -0.5 to 0.5.

    It is their mean, drawn to all numbers' as much as half a number would: of few it says little.

    Args:
        total: `(m,)` float64, sum of `rank - 0.5`, see `rank_as_last`.
        n: `(m,)`, how many they are.
    """
    return (total / (n + 0.5)).float()


def values(knots: Tensor, data_type: Tensor, rank: Tensor) -> Tensor:
    """Return the normalized numbers at ranks, `(m,)` float64; arguments as in `ranks`."""
    place = rank.double() * (KNOTS - 1)
    below = place.floor().clamp(0, KNOTS - 2).long()
    own = knots[data_type].double()
    low, high = (own.gather(1, (below + i)[:, None])[:, 0] for i in (0, 1))
    return low + (high - low) * _along(_bends(own), below, place - below, _reached)


def _bends(own: Tensor) -> tuple[Tensor, Tensor]:
    """How many times as long the lowest and the highest part are as the scale of an exponential tail, `(m,)` each.

    Such a tail leaves half of what lies beyond the last knot but two behind the next one: that is its scale. Straight,
    what lies beyond 255 in 256 would reach evenly as far as the outermost number, and tails be far too heavy.
    """
    steps = own.double().diff(dim=1)

    def bend(outer: Tensor, next_to: Tensor) -> Tensor:
        return torch.where(next_to > 0, outer / next_to.clamp_min(1e-300) * math.log(2), 0.0).clamp_max(500)

    return bend(steps[:, 0], steps[:, 1]), bend(steps[:, -1], steps[:, -2])


def _along(
    bends: tuple[Tensor, Tensor], part: Tensor, share: Tensor, how: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return shares of parts, `(m,)` each, bent where a part is an outermost one, which thin out towards the end."""
    low, high = bends
    share = torch.where(part == 0, 1 - how(1 - share, low), share)
    return torch.where(part == KNOTS - 2, how(share, high), share)


def _reached(share: Tensor, bend: Tensor) -> Tensor:
    """How far out a share of the numbers of a part reaches, as a share of its length."""
    bent = -torch.log1p(share * torch.expm1(-bend)) / bend.clamp_min(_STRAIGHT)
    return torch.where(bend < _STRAIGHT, share, bent).clamp(0, 1)


def _passed(share: Tensor, bend: Tensor) -> Tensor:
    """What share of the numbers of a part lies nearer than a share of its length."""
    bent = torch.expm1(-bend * share) / torch.expm1(-bend.clamp_min(_STRAIGHT))
    return torch.where(bend < _STRAIGHT, share, bent).clamp(0, 1)
