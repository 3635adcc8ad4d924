"""All contents of a document in one: weights that fade with age, however many there are and in whatever order."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.models.segments import segment_softmax, segment_sum

_KNOTS, _STEP = 24, 0.5


class TimeBias(nn.Module):
    """A learned number per head for each age, linear between knots of `log1p(age / tau)`.

    It starts at `-slope * log1p(age / tau)`, where each head has half the slope of the one before, and the last none.

    Args:
        n_heads: How many.
        tau_hours: Age at which the fading sets in, hours.
    """

    def __init__(self, n_heads: int, tau_hours: float) -> None:
        super().__init__()
        self.tau_hours = tau_hours
        slopes = torch.tensor([*(2.0**-i for i in range(n_heads - 1)), 0.0])
        self.knots = nn.Parameter(-torch.arange(_KNOTS)[:, None] * _STEP * slopes)

    def forward(self, age_hours: Tensor) -> Tensor:
        """`(m,)` -> `(m, n_heads)`."""
        place = (torch.log1p(age_hours / self.tau_hours) / _STEP).clamp_max(_KNOTS - 1)
        low = place.long().clamp_max(_KNOTS - 2)
        share = (place - low)[:, None]
        return (1 - share) * functional.embedding(low, self.knots) + share * functional.embedding(low + 1, self.knots)


class Summed(nn.Module):
    """Contents of each segment in one vector: each head weighs its own share of the columns.

    Args:
        width: Of a content.
        n_heads: How many heads.
        tau_hours: See `TimeBias`.
    """

    def __init__(self, width: int, n_heads: int, tau_hours: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.key = nn.Linear(width, n_heads, bias=False)
        nn.init.zeros_(self.key.weight)
        self.by_time = TimeBias(n_heads, tau_hours)

    def forward(self, contents: Tensor, age_hours: Tensor, segment: Tensor, n_segments: int) -> Tensor:
        """`(m, width)`, `(m,)` and `(m,)` -> `(n_segments, width)`; one without contents is 0."""
        return weighed(self.key(contents) + self.by_time(age_hours), contents, segment, n_segments)


def weighed(scores: Tensor, values: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Sum values `(m, width)` over segments by the softmax of scores `(m, n_heads)`: `(n_segments, width)`."""
    weights = segment_softmax(scores, segment, n_segments)
    parts = weights[:, :, None] * values.view(len(values), scores.shape[1], values.shape[1] // scores.shape[1])
    return segment_sum(parts.flatten(1), segment, n_segments)
