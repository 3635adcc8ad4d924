"""The two densities of the decoder: log-normals of gaps, logistics within (0, 1) of quantile ranks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

NARROW_GAP, NARROW_RANK = 0.003, 0.004
"""Least width of a component: of a gap's logarithm, of a rank."""
_FINE = 0.05
"""Below so many widths an interval's chance is its density times its length; above, a difference of two chances."""
_LEAST = 1e-30
_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


def gap_log_chance(outputs: Tensor, hours: Tensor, resolution: float | Tensor) -> Tensor:
    """Return the log chance that a gap above 0 is what it is when it is told in whole multiples of a resolution.

    Args:
        outputs: `(m, 3 M)`: logits, means of the log hours and widths before softplus.
        hours: `(m,)` float32, gaps; they are told as the nearest multiple, one at least.
        resolution: Hours.

    Returns:
        `(m,)` float32, at most 0 but for rounding.
    """
    weight, mean, scale = _parts(outputs, NARROW_GAP)
    # in float64, in which minutes survive decades
    steps = (hours.double() / resolution).round().clamp_min(1)
    low, high = (((steps + side / 2) * resolution).log() for side in (-1, 1))
    middle, width = (x.float()[:, None] for x in ((low + high) / 2, high - low))
    each = _log_between((middle - mean) / scale, width / scale)
    return torch.logsumexp(weight + each, 1)


def gaps_longer(outputs: Tensor, hours: Tensor) -> Tensor:
    """Return the log chances that a gap is longer and of each component, `(m, M)` float64.

    Args:
        outputs: As `gap_log_chance`.
        hours: `(m,)`, at least 0.
    """
    weight, place, _, _ = _placed(outputs, hours)
    return weight + torch.special.log_ndtr(-place)


def gap_place(outputs: Tensor, uniforms: Tensor, beyond: Tensor, own: Tensor) -> Tensor:
    """Draw gaps of chosen components, `(m,)` float64 hours, longer than what has passed.

    Args:
        outputs: As `gap_log_chance`.
        uniforms: `(m,)` float64 in (0, 1).
        beyond: `(m,)` hours that have passed already.
        own: `(m, 1)`, the components.
    """
    place, mean, scale = (x.gather(1, own)[:, 0] for x in _placed(outputs, beyond)[1:])
    # from the far side, where what is left is a small number
    left = torch.special.log_ndtr(-place).exp() * (1 - uniforms)
    return (mean - scale * torch.special.ndtri(left.clamp(1e-300, 1 - 1e-12))).exp()


def _placed(outputs: Tensor, hours: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log weights, places of the hours, means and widths, `(m, M)` float64 each."""
    weight, mean, scale = (x.double() for x in _parts(outputs, NARROW_GAP))
    return weight, (hours.double().clamp_min(_LEAST).log()[:, None] - mean) / scale, mean, scale


def rank_log_density(outputs: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the log density of quantile ranks, `(m,)` float32; where many numbers are equal, the mean over theirs.

    Args:
        outputs: `(m, 3 K)`: logits, places and widths before softplus.
        low: `(m,)` in [0, 1], share of numbers below this one.
        high: `(m,)`, share of those not above it; equal to `low` where hardly any other is equal.
    """
    weight, place, scale = _parts(outputs, NARROW_RANK)
    a, b = (low[:, None] - place) / scale, (high[:, None] - place) / scale
    within = _logistic_between(-place / scale, (1 - place) / scale)
    wide = high > low
    middle = torch.where(wide[:, None], 0.0, a)
    dense = functional.logsigmoid(middle) + functional.logsigmoid(-middle) - scale.log()
    apart = torch.where(wide, high - low, 1.0)[:, None]
    between = _logistic_between(torch.where(wide[:, None], a, -1.0), torch.where(wide[:, None], b, 1.0)) - apart.log()
    return torch.logsumexp(weight + torch.where(wide[:, None], between, dense) - within, 1)


def draw_rank(outputs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw quantile ranks, `(m,)` float64 in [0, 1]; `uniforms` `(m, 2)` float64 in (0, 1)."""
    weight, place, scale = (x.double() for x in _parts(outputs, NARROW_RANK))
    own = chosen(weight, uniforms[:, :1])
    place, scale = place.gather(1, own)[:, 0], scale.gather(1, own)[:, 0]
    # from the side on which what lies within is a small number, in logarithms: a component may lie far outside
    below = place < 0.5
    place, share = torch.where(below, 1 - place, place), torch.where(below, 1 - uniforms[:, 1], uniforms[:, 1])
    first, last = functional.logsigmoid(-place / scale), functional.logsigmoid((1 - place) / scale)
    chance = torch.logaddexp(first + (-share).log1p(), last + share.log())
    rank = (place + scale * (chance - torch.log(-torch.expm1(chance)))).clamp(0, 1)
    return torch.where(below, 1 - rank, rank)


def _parts(outputs: Tensor, narrowest: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log weights, places and widths, `(m, c)` float32 each."""
    weight, place, scale = outputs.float().chunk(3, 1)
    return weight.log_softmax(1), place, functional.softplus(scale) + narrowest


def chosen(weight: Tensor, uniforms: Tensor) -> Tensor:
    """Choose components, `(m, 1)`, of log weights `(m, c)`."""
    return (weight.exp().cumsum(1) < uniforms).sum(1, keepdim=True).clamp_max(weight.shape[1] - 1)


def choose(logits: Tensor, chance: Tensor) -> Tensor:
    """Draw a class of each row of logits, `(b, c)` and `(b,)` float64 in (0, 1) -> `(b,)`."""
    total = logits.double().softmax(-1).cumsum(-1)
    return torch.searchsorted(total, (chance * total[:, -1])[:, None]).clamp_max(logits.shape[1] - 1)[:, 0]


def _log_between(middle: Tensor, width: Tensor) -> Tensor:
    """Log chance of a standard normal within `width` around `middle`, also far from 0 and for hardly any width."""
    fine = width < _FINE
    dense = -0.5 * middle.square() - _HALF_LOG_2_PI + width.clamp_min(_LEAST).log()
    # on the side below 0, where both chances are small numbers; gradients of what is not taken stay finite
    near, wide = torch.where(fine, -1.0, -middle.abs()), torch.where(fine, 1.0, width)
    above, below = (torch.special.log_ndtr(near + side * wide / 2) for side in (1, -1))
    return torch.where(fine, dense, above + torch.log1p(-(below - above).exp().clamp_max(1 - 1e-7)))


def _logistic_between(a: Tensor, b: Tensor) -> Tensor:
    """Log chance of a standard logistic between `a` and `b`, `a < b`."""
    return functional.logsigmoid(b) + functional.logsigmoid(-a) + torch.log(-torch.expm1((a - b).clamp_max(-1e-6)))
