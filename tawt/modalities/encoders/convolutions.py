"""A small residual network of convolutions, over the rows and columns of an image or along a waveform."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDEST = 256
GROUPS = 8
"""Widths are multiples of it. Normalized is each input by itself: what else lies in a batch does not matter."""


class Residual(nn.Module):
    """Two convolutions with norms before them, added to what came in; the second one starts at zero."""

    def __init__(self, dimensions: int, width: int, kernel: int) -> None:
        super().__init__()
        self.first, self.second = (_convolution(dimensions, width, width, kernel) for _ in range(2))
        self.norm_first, self.norm_second = (nn.GroupNorm(GROUPS, width) for _ in range(2))
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(m, width, ...)` -> the same shape."""
        inner = self.first(functional.gelu(self.norm_first(x)))
        return x + self.second(functional.gelu(self.norm_second(inner)))


class ConvolutionalNet(nn.Module):
    """Stages of residual blocks, each at a fraction of the resolution of the one before and twice as wide.

    Args:
        dimensions: 2 of an image, 1 of a waveform.
        channels: What comes in at each place.
        width: Of the first stage, a multiple of 8; the widest has 256 at most, or this.
        n_stages: How many.
        depth: Blocks of each.
        d_embedding: What comes out: of mean and maximum over all places.
        kernel: Places that a convolution sees, in each direction.
        stride: Places of a stage that become one in the next.
    """

    def __init__(
        self,
        dimensions: int,
        channels: int,
        width: int,
        n_stages: int,
        depth: int,
        d_embedding: int,
        kernel: int = 3,
        stride: int = 2,
    ) -> None:
        super().__init__()
        widths = [min(width << i, max(width, WIDEST)) for i in range(n_stages)]
        parts: list[nn.Module] = [_convolution(dimensions, channels, width, kernel)]
        for before, own in zip([0, *widths], widths, strict=False):
            if before:
                parts.append(_convolution(dimensions, before, own, kernel, stride))
            parts += [Residual(dimensions, own, kernel) for _ in range(depth)]
        self.parts = nn.Sequential(*parts)
        self.norm = nn.GroupNorm(GROUPS, widths[-1])
        self.out = nn.Linear(2 * widths[-1], d_embedding)

    def forward(self, inputs: Tensor) -> Tensor:
        """`(m, channels, ...)` -> `(m, d_embedding)`."""
        x = functional.gelu(self.norm(self.parts(inputs))).flatten(2)
        return self.out(torch.cat((x.mean(2), x.amax(2)), 1))


def _convolution(dimensions: int, n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv1d | nn.Conv2d:
    kind = nn.Conv2d if dimensions == 2 else nn.Conv1d
    return kind(n_in, n_out, kernel, stride, kernel // 2, bias=False)
