"""What comes whole hours after another: to each minute of the hour it is told which data_types came last at it.

A panel comes fourteen hours after the last one, a stay ends so many hours after it began, a heart rate is charted at
its own minute and urine at another. Which of the minutes at which a record was measured comes again hangs on what was
measured there (docs/log.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tawt.models.heads import zeroed
from tawt.models.time_encoding import MINUTES, log_minutes

_RARELY, _LATELY = -3.0, 4.0
"""At the start: the score of what came a year ago, and how much higher that of what came now is."""
_MOST = 60.0
"""Scores up to which a minute without any is told apart from one with some in float32."""


class HoursAfter(nn.Module):
    """Scores of minutes of the hour by what came last at each and how long ago; 0 where nothing did.

    What a state says of a data_type is a product with its embedding, so a new one begins like those that it is like.

    Args:
        d_model: Width of states and embeddings.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.of_type = zeroed(nn.Linear(d_model, d_model, bias=False))
        self.lately = nn.Linear(d_model, 2)
        nn.init.zeros_(self.lately.weight)
        with torch.no_grad():
            self.lately.bias.copy_(torch.tensor([_RARELY, _LATELY]))

    def forward(self, states: Tensor, table: Tensor, minute: Tensor, age_hours: Tensor) -> Tensor:
        """Return `(m, 60)` float32, by minute of the hour: `log(1 + sum of exp of scores of what came last at it)`.

        Args:
            states: `(m, d_model)`.
            table: `(r, d_model)`, embeddings of the data_types.
            minute: `(m, r)`, minute of the hour at which each came last.
            age_hours: `(m, r)` float32, how long ago that was; below 0 where it never came.
        """
        rarely, lately = self.lately(states).float().split(1, 1)
        recent = (1 - log_minutes(age_hours.clamp_min(0))).clamp_min(0)
        score = (self.of_type(states) @ table.T).float() + rarely + lately * recent
        score = score.masked_fill(age_hours < 0, -torch.inf)
        most = score.detach().amax(1, keepdim=True).clamp(0, _MOST)
        sums = score.new_zeros(len(score), MINUTES).scatter_add(1, minute.long(), (score - most).exp())
        return (sums + (-most).exp()).log() + most
