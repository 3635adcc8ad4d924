"""Time as part of a token: continuous sines (`time2vec`) and gaps to earlier events (`delta`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tawt.batching.batch import PackedBatch
from tawt.config.model import ModelConfig, Time2VecConfig

TIME_NORM = 0.3
"""Length of a time's vector at the start, in units where a data_type's is 4: when comes after what."""


class ScalarNetwork(nn.Module):
    """A number to a vector: 1 -> sqrt(d) -> tanh -> d.

    Source: the continuous value embedding of STraTS (Tipirneni and Reddy, 2022).
    """

    def __init__(self, d_model: int, norm: float = 1.0) -> None:
        super().__init__()
        self.d_hidden = max(1, math.isqrt(d_model))
        self.inner = nn.Linear(1, self.d_hidden)
        self.outer = nn.Linear(self.d_hidden, d_model, bias=False)
        # saturated hidden numbers give a vector of length `norm`
        nn.init.normal_(self.outer.weight, std=norm * (self.d_hidden * d_model) ** -0.5)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """`(n,)` -> `(n, d_model)`; `scale` and `shift` `(n, d_hidden)` change the hidden numbers before
        tanh."""
        hidden = torch.addcmul(self.inner.bias, x[:, None], self.inner.weight[:, 0])
        if scale is not None and shift is not None:
            hidden = torch.addcmul(hidden, hidden, scale) + shift
        return self.outer(hidden.tanh())


class Time2Vec(nn.Module):
    """Sines of hours since origin, and their logarithm as the one term that never repeats.

    Wavelengths stand on a fixed geometric grid, and the angle on that grid is reduced in float64: over a
    century a freely learned frequency would need more digits than float32 has, and its gradient would grow
    with the hour. What is learned is each sine's phase and its drift over the longest wavelength, both of
    which move the angle by at most themselves.

    Source: Kazemi et al., Time2Vec, 2019.
    """

    grid: Tensor

    def __init__(self, config: Time2VecConfig, d_model: int) -> None:
        super().__init__()
        steps = torch.linspace(0.0, 1.0, config.n_frequencies, dtype=torch.float64)
        wavelengths = config.shortest_hours * (config.longest_hours / config.shortest_hours) ** steps
        self.register_buffer("grid", 2 * math.pi / wavelengths, persistent=False)
        self.longest_hours = config.longest_hours
        self.phase = nn.Parameter(torch.rand(config.n_frequencies) * 2 * math.pi)
        self.drift = nn.Parameter(torch.zeros(config.n_frequencies))
        self.out = nn.Linear(config.n_frequencies + 1, d_model)
        nn.init.normal_(self.out.weight, std=TIME_NORM * (2 / (config.n_frequencies + 1) / d_model) ** 0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, hours: Tensor) -> Tensor:
        """`(n,)` float64 hours -> `(n, d_model)`."""
        angle = torch.remainder(torch.outer(hours, self.grid), 2 * math.pi).float()
        share = (hours / self.longest_hours).float()
        sines = torch.sin(angle + self.phase + share[:, None] * self.drift)
        trend = torch.sign(share) * (torch.log1p(hours.abs()) / math.log1p(self.longest_hours)).float()
        return self.out(torch.cat((sines, trend[:, None]), -1))


class Gaps(nn.Module):
    """Log gaps to the previous event and to the previous of the same data_type, which has its own vector
    for "none"."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.event = ScalarNetwork(d_model, norm=TIME_NORM)
        self.same_type = ScalarNetwork(d_model, norm=TIME_NORM)
        self.no_same_type = nn.Parameter(TIME_NORM * torch.randn(d_model) * d_model**-0.5)

    def forward(self, gap_hours: Tensor, type_gap_hours: Tensor) -> Tensor:
        """`(n,)` float32 hours each -> `(n, d_model)`; a negative `type_gap_hours` is "none"."""
        earlier = self.same_type(_log_minutes(type_gap_hours.clamp_min(0)))
        return self.event(_log_minutes(gap_hours)) + torch.where(
            (type_gap_hours < 0)[:, None], self.no_same_type, earlier
        )


def _log_minutes(hours: Tensor) -> Tensor:
    """log1p of minutes over its value at a year: about 0..1, and still sharp at a minute."""
    return torch.log1p(hours * 60) / math.log1p(60 * 24 * 365)


class TimeEncoding(nn.Module):
    """The sum of the chosen encodings; statics have one vector of their own instead."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.time2vec = Time2Vec(config.time2vec, config.d_model) if "time2vec" in config.time else None
        self.gaps = Gaps(config.d_model) if "delta" in config.time else None
        self.static = nn.Parameter(torch.randn(config.d_model) * config.d_model**-0.5)

    def forward(self, batch: PackedBatch) -> Tensor:
        """Return `(n, d_model)`."""
        timed = self.static.new_zeros(batch.n_tokens, self.static.shape[0])
        if self.time2vec is not None:
            timed = timed + self.time2vec(batch.hours)
        if self.gaps is not None:
            timed = timed + self.gaps(batch.gap_hours, batch.type_gap_hours)
        return torch.where(batch.is_static[:, None], self.static, timed)
