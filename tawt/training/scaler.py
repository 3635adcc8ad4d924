"""The loss scaler of fp16: small gradients are lifted above what fp16 rounds to zero."""

from __future__ import annotations

import torch
from torch import Tensor

from tawt.training.checkpoint import ScalerState

START, LEAST, PATIENCE = 2.0**16, 2.0**-10, 2000
"""First scale, the scale below which a run is given up, and the good steps after which it doubles."""


class LossScaler:
    """A factor on the loss that halves when a gradient overflows and doubles after many steps without.

    All of it happens on the device. The factor is a power of two, so it rounds nothing.

    Args:
        device: Where the losses are.
        enabled: False leaves the factor at 1.

    Source: Micikevicius et al., Mixed precision training, 2018.
    """

    def __init__(self, device: torch.device, enabled: bool) -> None:
        self.enabled = enabled
        self.scale: Tensor = torch.tensor(START if enabled else 1.0, device=device)
        self._good = torch.zeros((), device=device)

    def update(self, overflowed: Tensor) -> None:
        """Follow a step; `overflowed` is a bool on the device."""
        if not self.enabled:
            return
        good = torch.where(overflowed, 0.0, self._good + 1)
        grow = good >= PATIENCE
        # in place: a graph that was captured reads it where it is
        self.scale.copy_(torch.where(overflowed, self.scale / 2, torch.where(grow, self.scale * 2, self.scale)))
        self._good = torch.where(grow, 0.0, good)

    def state(self) -> ScalerState | None:
        """Return what a checkpoint must hold; waits for the device."""
        return ScalerState(scale=self.scale.item(), good=self._good.item()) if self.enabled else None

    def load(self, state: ScalerState | None) -> None:
        """Go on from a checkpoint."""
        if self.enabled and state is not None:
            self.scale.fill_(state.scale)
            self._good = torch.full_like(self._good, state.good)
