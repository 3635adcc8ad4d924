"""When each of some data_types comes next: what a decoder is asked beside the next event.

What is told early and matters late, as who dies hangs on a first day, is of no use for the events between: a decoder
that is asked for the next event alone lets go of it, and finds it again only by chance (docs/log.md). Asked at each of
them what is still to come, it keeps it. A process with a rate that is constant within spans, as of MOTOR
(arXiv 2301.03150), so a record that ends within a span tells of the part that it has seen.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

SPANS = (0.0, 1.0, 6.0, 24.0, 72.0, 240.0, 1000.0, 8766.0, 17532.0)
"""Hours from now between which spans lie; what comes after the last is not asked for."""
N_SPANS = len(SPANS) - 1
_MOST = 3.0
"""Log of the rate that none reaches: who is sure of what does not come would pay for it without end."""


class Later(nn.Module):
    """Log of how often a data_type comes within each span, were it to come again and again.

    Args:
        d_model: Width of states and embeddings.
        n_types: Data_types that are asked of.
    """

    def __init__(self, d_model: int, n_types: int) -> None:
        super().__init__()
        self.of_state = nn.Linear(d_model, N_SPANS * d_model)
        nn.init.zeros_(self.of_state.weight)
        nn.init.zeros_(self.of_state.bias)
        self.bias = nn.Parameter(torch.zeros(n_types, N_SPANS))

    @torch.no_grad()
    def start_at(self, rates: Tensor) -> None:
        """Start from rates `(n_types, N_SPANS)`, logs, that were counted."""
        room = (_MOST - rates).clamp_min(1e-3)
        self.bias.copy_(_MOST - (room + torch.log(-torch.expm1(-room))))

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """`(m, d_model)` and `(r, d_model)` -> `(m, r, spans)` float32."""
        asked = self.of_state(states).view(len(states), N_SPANS, table.shape[1])
        rates = torch.einsum("msd,rd->mrs", asked, table).float() + self.bias.float()
        return _MOST - functional.softplus(_MOST - rates)


def seen(hours: Tensor) -> Tensor:
    """Return what share of each span is over after some hours, `(...)` -> `(..., spans)`."""
    # by one span after the other: nothing comes from the host, so a device may replay it
    return torch.stack([((hours - begin) / (end - begin)).clamp(0, 1) for begin, end in pairwise(SPANS)], -1)


def span_of(hours: Tensor) -> Tensor:
    """Return in which span some hours lie, `(...)` int64; behind all of them in the last."""
    return torch.stack([hours >= begin for begin in SPANS[1:-1]]).sum(0)


def later_cost(rates: Tensor, hours: Tensor, came: Tensor) -> Tensor:
    """Sum what it costs in nats, over all data_types: minus the log likelihood, times in units of their spans.

    Args:
        rates: `(m, r, spans)`, logs.
        hours: `(m, r)` float32, until the data_type came or the record ended.
        came: `(m, r)` bool, whether it came.
    """
    own = rates.gather(-1, span_of(hours)[..., None])[..., 0]
    return (rates.exp() * seen(hours)).sum() - torch.where(came & (hours < SPANS[-1]), own, 0.0).sum()
