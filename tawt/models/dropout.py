"""Dropout by random bytes that were drawn before.

A random number that is made within a compiled pass costs more than the pass: torch makes four and uses one, for every
number. Bytes for all layers at once are drawn at the speed of memory, and take its place where a mask would be kept.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

LEVELS = 256
"""Chances by bytes are multiples of 1 / LEVELS, and at least one."""


class Dropout(nn.Dropout):
    """torch's dropout, which can take its chances from outside."""

    def forward(self, x: Tensor, chances: Tensor | None = None) -> Tensor:
        """Drop numbers of `x` in training.

        Args:
            x: Any shape.
            chances: Uint8 of the same shape, drawn by `draw_bytes`; None = they are drawn here.
        """
        if chances is None or not self.training or not self.p:
            return super().forward(x)
        dropped = min(max(round(self.p * LEVELS), 1), LEVELS - 1)
        return torch.where(chances >= dropped, x * (LEVELS / (LEVELS - dropped)), 0.0)


def stop_dropping(model: nn.Module) -> bool:
    """Drop nothing from now on, in training neither; return whether something was dropped before."""
    dropping = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.p]
    for module in dropping:
        module.p = 0.0
    return bool(dropping)


def draw_bytes(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return uniform bytes of torch's seeded stream."""
    n = prod(shape)
    words = torch.empty(-(-n // 8), dtype=torch.int64, device=device).random_(-(1 << 63), None)
    return words.view(torch.uint8)[:n].view(shape)
