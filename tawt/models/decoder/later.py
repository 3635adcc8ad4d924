"""When each of some data_types comes next: what a decoder is asked beside the next event.

What is told early and matters late, as who dies hangs on a first day, is of no use for the events between: a decoder
that is asked for the next event alone lets go of it, and finds it again only by chance (docs/log.md). Asked at each of
them what is still to come, it keeps it. A process with a rate that is constant within spans, as of MOTOR
(arXiv 2301.03150), so a record that ends within a span tells of the part that it has seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SPANS = (0.0, 1.0, 6.0, 24.0, 72.0, 240.0, 1000.0, 8766.0)
"""Hours from now at which spans begin; the last one has no end, and its rate is that of as long a time again."""
_MOST = 12.0
"""Log of the highest rate."""


class Later(nn.Module):
    """Log of how often a data_type comes within each span, were it to come again and again.

    Args:
        d_model: Width of states and embeddings.
        n_types: Data_types that are asked of.
    """

    def __init__(self, d_model: int, n_types: int) -> None:
        super().__init__()
        self.of_state = nn.Linear(d_model, len(SPANS) * d_model)
        nn.init.zeros_(self.of_state.weight)
        nn.init.zeros_(self.of_state.bias)
        self.bias = nn.Parameter(torch.zeros(n_types, len(SPANS)))

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """`(m, d_model)` and `(r, d_model)` -> `(m, r, spans)` float32."""
        asked = self.of_state(states).view(len(states), len(SPANS), table.shape[1])
        rates: Tensor = torch.einsum("msd,rd->mrs", asked, table).float() + self.bias.float()
        return rates.clamp_max(_MOST)


def seen(hours: Tensor) -> Tensor:
    """Return what share of each span is over after some hours, `(...)` -> `(..., spans)`; of the last 1 and more."""
    begin = torch.tensor(SPANS, device=hours.device)
    length = torch.cat([begin.diff(), begin[-1:]])
    share = ((hours[..., None] - begin) / length).clamp_min(0)
    return torch.cat([share[..., :-1].clamp_max(1), share[..., -1:]], -1)


def span_of(hours: Tensor) -> Tensor:
    """Return in which span some hours lie, `(...)` int64."""
    begin = torch.tensor(SPANS[1:], device=hours.device)
    return torch.searchsorted(begin, hours.contiguous(), right=True)


def later_cost(rates: Tensor, hours: Tensor, came: Tensor) -> Tensor:
    """Sum what it costs in nats, over all data_types: minus the log likelihood, times in units of their spans.

    Args:
        rates: `(m, r, spans)`, logs.
        hours: `(m, r)` float32, until the data_type came or the record ended; below 0 where nothing is asked.
        came: `(m, r)` bool, whether it came.
    """
    own = rates.gather(-1, span_of(hours)[..., None])[..., 0]
    return (rates.exp() * seen(hours)).sum() - torch.where(came, own, 0.0).sum()
