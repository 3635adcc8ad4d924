"""The encoder's shape: what a token is made of, which attention knows time, how a document is read out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tawt.config.base import Section

Pooling = Literal["mean", "max", "cls", "attention"]


class Time2VecConfig(Section):
    """Sines of continuous time on a geometric grid of wavelengths."""

    n_frequencies: int = Field(32, ge=1)
    """Number of sines."""
    shortest_hours: float = Field(1.0, gt=0)
    """Shortest wavelength, hours."""
    longest_hours: float = Field(876_600.0, gt=0)
    """Longest wavelength, hours; a century, so that the oldest event of the oldest subject is still within
    one turn."""


class RotaryConfig(Section):
    """Queries and keys turned by continuous time."""

    fraction: float = Field(0.5, ge=0, le=1)
    """Part of each head that is turned; the rest matches by content alone, however far apart two events
    are."""
    shortest_hours: float = Field(0.25, gt=0)
    """Shortest wavelength, hours."""
    longest_hours: float = Field(438_300.0, gt=0)
    """Longest wavelength, hours (50 years)."""


class DecayConfig(Section):
    """Attention that fades by `slope * log1p(|dt| / tau)`: a power law of the gap, one slope per head."""

    tau_hours: float = Field(1.0, gt=0)
    """Gap at which the fading sets in, hours."""
    steepest: float = Field(1.0, gt=0)
    """Slope of the steepest head; each further head has half the slope of the one before."""
    n_free_heads: int = Field(1, ge=0)
    """Heads without decay, which see the whole history alike."""
    learned: bool = False
    """Whether the slopes are parameters, started at the geometric ones."""


class ModelConfig(Section):
    """The encoder."""

    d_model: int = Field(96, ge=8)
    """Width of a token's state."""
    n_layers: int = Field(3, ge=0)
    """Number of blocks."""
    n_heads: int = Field(4, ge=1)
    """Attention heads per block; must divide `d_model`."""
    d_ffn: int = Field(192, ge=8)
    """Width of the feed-forward layer."""
    ffn: Literal["gelu", "swiglu"] = "gelu"
    """`gelu` (two matrices) or `swiglu` (three)."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout on the embedding and on what each branch adds."""
    value: Literal["continuous", "tokens", "both"] = "both"
    """A value as a number through a small network, as its bin or category, or both. Categories are
    embedded by any of the three, for they have no number."""
    time: tuple[Literal["time2vec", "delta"], ...] = ("time2vec", "delta")
    """Time encodings, summed: `time2vec` (hours since origin) and `delta` (gap to the previous event, and
    to the previous of the same data_type)."""
    attention: tuple[Literal["rotary", "decay"], ...] = ("rotary", "decay")
    """How attention knows time; empty = not at all."""
    time2vec: Time2VecConfig = Time2VecConfig()
    """Settings of `time2vec`."""
    rotary: RotaryConfig = RotaryConfig()
    """Settings of `rotary`."""
    decay: DecayConfig = DecayConfig()
    """Settings of `decay`."""
    pooling: Pooling = "mean"
    """Readout of a document. `cls` and `attention` learn only under an objective on the embedding itself;
    untrained, `attention` equals `mean`."""

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")
        if self.decay.n_free_heads > self.n_heads:
            raise ValueError(f"decay.n_free_heads {self.decay.n_free_heads} is more than n_heads {self.n_heads}")
        for name, section in (("time2vec", self.time2vec), ("rotary", self.rotary)):
            if section.longest_hours < section.shortest_hours:
                raise ValueError(f"{name}.longest_hours is below shortest_hours")
        return self

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.d_model // self.n_heads
