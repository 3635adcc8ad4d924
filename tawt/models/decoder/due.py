"""How due each data_type is: what it says of the next event that one came so long ago.

A laboratory value that was measured an hour ago is hardly measured again now, and one of yesterday is. A decoder could
keep the time of every data_type in its state; told of it, it needs no room for that (docs/log.md). What keeps to the
clock comes again after whole hours, and hardly a few minutes before: that is told beside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tawt.models.time_encoding import log_minutes

WAYS = 4
"""Curves of each data_type; the state says how much of each."""
POINTS = 28
"""Points of a curve: evenly from now to a year in log minutes, and one that stands for never."""
_NEAR = 1 / 120
"""Hours from a whole one that are none of it: half a minute."""
_MANY = 10.0
"""What a sum over all data_types that came is divided by, not by how many there are: more may be added to a decoder."""


class Due(nn.Module):
    """Scores of data_types by how long ago each came last; 0 at the start.

    A data_type's curves are read off its embedding, so that of a new one begins like those that it is like.

    Args:
        d_model: Width of states and embeddings.
        by_hour: Whether whole hours have curves of their own.
    """

    def __init__(self, d_model: int, by_hour: bool = False) -> None:
        super().__init__()
        self.curves = nn.Linear(d_model, WAYS * POINTS, bias=False)
        nn.init.zeros_(self.curves.weight)
        self.of_whole = nn.Linear(d_model, WAYS * POINTS, bias=False) if by_hour else None
        """How these differ from the others."""
        if self.of_whole is not None:
            nn.init.zeros_(self.of_whole.weight)
        self.of_state = nn.Linear(d_model, WAYS)

    def forward(self, states: Tensor, table: Tensor, age_hours: Tensor) -> Tensor:
        """Return `(m, r)` float32.

        Args:
            states: `(m, d_model)`.
            table: `(r, d_model)`, embeddings of the data_types.
            age_hours: `(m, r)` float32, how long ago each came last; below 0 where it never did.
        """
        curves = self.curves(table).float().view(-1, WAYS)  # of one data_type after the other
        last = POINTS - 2
        place = (log_minutes(age_hours.clamp_min(0)) * last).clamp_max(last)
        low = place.floor().clamp_max(last - 1)
        low, share = (torch.where(age_hours < 0, never, x) for x, never in ((low, last + 1.0), (place - low, 0.0)))
        row = low.long() + torch.arange(len(table), device=table.device) * POINTS
        if self.of_whole is not None:
            whole = (age_hours.round() >= 1) & ((age_hours - age_hours.round()).abs() < _NEAR)
            whole &= place < last  # of decades float32 does not tell minutes
            row = row + whole * len(curves)
            curves = torch.cat([curves, curves + self.of_whole(table).float().view(-1, WAYS)])
        # its gradient sums repeated rows in a fixed order
        here, then = (functional.embedding(at, curves) for at in (row, (row + 1).clamp_max(len(curves) - 1)))
        told = torch.lerp(here, then, share[..., None])
        return torch.einsum("mrw,mw->mr", told, self.of_state(states).float())


class Came(nn.Module):
    """What is added to a state for which data_types came and how long ago each came last; 0 at the start.

    Scores of data_types are products with their embeddings, so each that came makes each other one more or less likely:
    by a moment that it shares, for having come at all, and the more the longer ago.

    Args:
        d_model: Width of states and embeddings.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.of_came = nn.Linear(3 * d_model, d_model, bias=False)
        nn.init.zeros_(self.of_came.weight)

    def forward(self, table: Tensor, age_hours: Tensor) -> Tensor:
        """Return `(m, d_model)`; arguments as in `Due`."""
        ever = (age_hours >= 0).to(table.dtype) / _MANY
        ago = ever * log_minutes(age_hours.clamp_min(0)).to(table.dtype)
        told: Tensor = self.of_came(torch.cat([(age_hours == 0).to(table.dtype) @ table, ever @ table, ago @ table], 1))
        return told
