"""Time as part of a token: sines of continuous time, learned (`time2vec`) or fixed (`sinusoidal`), gaps to earlier
events (`delta`), the minute of the hour (`minute`) and waves of the record's clock (`calendar`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tawt.batching.gaps import PERIODS
from tawt.config.model import CalendarConfig, ModelConfig, WavelengthsConfig
from tawt.contracts.dataset import US_PER_HOUR

MINUTES = 60
"""Of the hour."""
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

    def __init__(self, config: WavelengthsConfig, d_model: int) -> None:
        super().__init__()
        self.register_buffer("grid", _frequencies(config), persistent=False)
        self.longest_hours = config.longest_hours
        self.phase = nn.Parameter(torch.rand(config.n_frequencies) * 2 * math.pi)
        self.drift = nn.Parameter(torch.zeros(config.n_frequencies))
        self.out = nn.Linear(config.n_frequencies + 1, d_model)
        nn.init.normal_(self.out.weight, std=TIME_NORM * (2 / (config.n_frequencies + 1) / d_model) ** 0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, hours: Tensor) -> Tensor:
        """`(t,)` float64 hours -> `(t, d_model)`."""
        angle = _angles(hours, self.grid)
        share = (hours / self.longest_hours).float()
        sines = torch.sin(angle + self.phase + share[:, None] * self.drift)
        trend = torch.sign(share) * (torch.log1p(hours.abs()) / math.log1p(self.longest_hours)).float()
        return self.out(torch.cat((sines, trend[:, None]), -1))


class Sinusoidal(nn.Module):
    """Sines and cosines of hours since origin on a fixed geometric grid, through one linear map.

    Source: the position encoding of Vaswani et al., 2017, on hours in place of places.
    """

    grid: Tensor

    def __init__(self, config: WavelengthsConfig, d_model: int) -> None:
        super().__init__()
        self.register_buffer("grid", _frequencies(config), persistent=False)
        self.out = nn.Linear(2 * config.n_frequencies, d_model)
        nn.init.normal_(self.out.weight, std=TIME_NORM * (config.n_frequencies * d_model) ** -0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, hours: Tensor) -> Tensor:
        """`(t,)` float64 hours -> `(t, d_model)`."""
        angle = _angles(hours, self.grid)
        return self.out(torch.cat((angle.sin(), angle.cos()), -1))


def _frequencies(config: WavelengthsConfig) -> Tensor:
    """`(f,)` float64, radians per hour, on a geometric grid of wavelengths."""
    steps = torch.linspace(0.0, 1.0, config.n_frequencies, dtype=torch.float64)
    return 2 * math.pi / (config.shortest_hours * (config.longest_hours / config.shortest_hours) ** steps)


def _angles(hours: Tensor, grid: Tensor) -> Tensor:
    """`(t, f)` float32 angles, reduced in float64: float32 holds no minutes in a count of hours over decades."""
    return torch.remainder(torch.outer(hours, grid), 2 * math.pi).float()


class Calendar(nn.Module):
    """Sines and cosines of the record's own clock, through one linear map.

    On a geometric grid no wavelength is a day, and one near it loses its step within weeks: no time of day is learned
    from it. How far the origin is into its day was counted in whole microseconds, and angles are reduced in float64.
    """

    period: Tensor
    column: Tensor

    def __init__(self, config: CalendarConfig, d_model: int) -> None:
        super().__init__()
        hours = torch.tensor([PERIODS[name] / US_PER_HOUR for name in config.periods], dtype=torch.float64)
        self.register_buffer("period", hours, persistent=False)
        self.register_buffer("column", torch.tensor([[*PERIODS].index(n) for n in config.periods]), persistent=False)
        self.n_harmonics = config.n_harmonics
        n_waves = len(config.periods) * config.n_harmonics
        self.out = nn.Linear(2 * n_waves, d_model)
        nn.init.normal_(self.out.weight, std=TIME_NORM * (n_waves * d_model) ** -0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, hours: Tensor, clock_hours: Tensor) -> Tensor:
        """`(t,)` float64 hours since an origin that is `(t, 3)` hours into its day, week and year -> `(t, d_model)`."""
        turns = (clock_hours.index_select(1, self.column) + hours[:, None]) / self.period
        turns = torch.cat([turns * n for n in range(1, self.n_harmonics + 1)], -1)
        angle = (2 * math.pi * (turns - turns.floor())).float()
        return self.out(torch.cat((angle.sin(), angle.cos()), -1))


class Minute(nn.Module):
    """A vector of each minute of the hour: who is charted by the clock comes back to the same ones, which no wave tells
    apart."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.of = nn.Embedding(MINUTES, d_model)
        nn.init.normal_(self.of.weight, std=TIME_NORM * d_model**-0.5)

    def forward(self, hours: Tensor, clock_hours: Tensor) -> Tensor:
        """`(t,)` float64 hours since an origin that is `(t, 3)` hours into its day, week and year -> `(t, d_model)`."""
        minutes = ((clock_hours[:, 0] + hours) * MINUTES + 1e-6).floor()
        out: Tensor = self.of(torch.remainder(minutes, MINUTES).long())
        return out


class Gaps(nn.Module):
    """Log gaps to the previous event and to the previous of the same data_type, which has its own vector
    for "none"."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.event = ScalarNetwork(d_model, norm=TIME_NORM)
        self.same_type = ScalarNetwork(d_model, norm=TIME_NORM)
        self.no_same_type = nn.Parameter(TIME_NORM * torch.randn(d_model) * d_model**-0.5)

    def of_events(self, gap_hours: Tensor) -> Tensor:
        """`(t,)` float32 hours since the previous event -> `(t, d_model)`."""
        return self.event(log_minutes(gap_hours))

    def of_types(self, type_gap_hours: Tensor) -> Tensor:
        """`(n,)` float32 hours since the previous event of the data_type, below 0 for none -> `(n, d_model)`."""
        earlier = self.same_type(log_minutes(type_gap_hours.clamp_min(0)))
        return torch.where((type_gap_hours < 0)[:, None], self.no_same_type, earlier)


def log_minutes(hours: Tensor) -> Tensor:
    """log1p of minutes over its value at a year, float32: about 0..1, and still sharp at a minute."""
    return torch.log1p(hours.float() * MINUTES) / math.log1p(MINUTES * 24 * 365)


_LAST = ("out.weight", "out.bias", "of.weight", "outer.weight", "no_same_type")
"""Parameters of an encoding that what it says is a multiple of."""


class TimeEncoding(nn.Module):
    """The sum of the chosen encodings; statics have one vector of their own instead.

    The hour and the gap to the previous event belong to a token, the gap within a data_type to a triplet.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d_model, on = config.d_model, config.time
        self.time2vec = Time2Vec(config.time2vec, d_model) if "time2vec" in on else None
        self.sinusoidal = Sinusoidal(config.sinusoidal, d_model) if "sinusoidal" in on else None
        self.calendar = Calendar(config.calendar, d_model) if "calendar" in on else None
        self.minute = Minute(d_model) if "minute" in on else None
        self.gaps = Gaps(d_model) if "delta" in on else None
        self.static = nn.Parameter(torch.randn(d_model) * d_model**-0.5)

    def named(self) -> dict[str, tuple[str, nn.Module]]:
        """Return the chosen encodings by what `model.time` calls them, each with its name in here."""
        return {"delta" if name == "gaps" else name: (name, one) for name, one in self.named_children()}

    def silence(self, name: str) -> None:
        """Let an encoding say nothing until it has learned to: the sum is as it was without it."""
        for place, parameter in self.named()[name][1].named_parameters():
            if place.endswith(_LAST):
                nn.init.zeros_(parameter)

    def of_tokens(self, hours: Tensor, gap_hours: Tensor, is_static: Tensor, clock_hours: Tensor) -> Tensor:
        """What a token has of time.

        Args:
            hours: `(t,)` float64, since the subject's origin.
            gap_hours: `(t,)` float32, since the previous timed event.
            is_static: `(t,)` bool.
            clock_hours: `(t, 3)` float64, of the origin, see `PackedBatch`.

        Returns:
            `(t, d_model)`.
        """
        timed = self.static.new_zeros(len(hours), len(self.static))
        for sines in (self.time2vec, self.sinusoidal):
            if sines is not None:
                timed = timed + sines(hours)
        if self.calendar is not None:
            timed = timed + self.calendar(hours, clock_hours)
        if self.minute is not None:
            timed = timed + self.minute(hours, clock_hours)
        if self.gaps is not None:
            timed = timed + self.gaps.of_events(gap_hours)
        return torch.where(is_static[:, None], self.static, timed)

    def of_triplets(self, type_gap_hours: Tensor, is_static: Tensor) -> Tensor | None:
        """What a triplet has of time beside, `(n,)` float32 hours and bool -> `(n, d_model)`; None = nothing."""
        if self.gaps is None:
            return None
        return self.gaps.of_types(type_gap_hours).masked_fill(is_static[:, None], 0.0)
