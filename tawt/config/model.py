"""The encoder's shape: what a token is made of, which attention knows time, how a document is read out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tawt.config.base import Conflict, Section

Pooling = Literal["mean", "max", "cls", "attention", "per_type"]
Kernel = Literal["auto", "reference", "packed", "fused", "flex", "varlen"]
LEAST_HOURS, MOST_HOURS = 1e-6, 1e8
"""Bounds of a time: some milliseconds, ten thousand years."""


class WavelengthsConfig(Section):
    """Sines of continuous time on a geometric grid of wavelengths."""

    n_frequencies: int = Field(32, ge=1, le=4096)
    """Number of sines."""
    shortest_hours: float = Field(1.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Shortest wavelength, hours."""
    longest_hours: float = Field(876_600.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Longest wavelength, hours; a century, so that the oldest event of the oldest subject is still within
    one turn."""


class CalendarConfig(Section):
    """Sines and cosines of the record's own clock, of exact wavelengths: the time of day, week and year."""

    periods: tuple[Literal["day", "week", "year"], ...] = Field(("day", "week", "year"), min_length=1)
    """Which waves. Dates that are shifted by days, as for de-identification, keep the day's alone."""
    n_harmonics: int = Field(2, ge=1, le=24)
    """Waves of each period: the whole of it, a half, a third and so on; more tell finer differences."""


class RotaryConfig(Section):
    """Queries and keys turned by continuous time; the wavelengths of all heads together are one geometric grid."""

    fraction: float = Field(0.5, ge=0, le=1)
    """Part of each head that is turned; the rest matches by content alone, however far apart two events
    are."""
    shortest_hours: float = Field(0.25, ge=LEAST_HOURS, le=MOST_HOURS)
    """Shortest wavelength, hours."""
    longest_hours: float = Field(438_300.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Longest wavelength, hours (50 years)."""


class DecayConfig(Section):
    """Attention that fades with the gap, one slope per head."""

    shape: Literal["log", "linear"] = "log"
    """`log`: `slope * log1p(|dt| / tau)`, a power law of the gap; `linear`: `slope * |dt| / tau`, an exponential."""
    tau_hours: float = Field(1.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Gap at which the fading sets in, hours."""
    steepest: float = Field(1.0, gt=0, le=1e6)
    """Slope of the steepest head; each further head has half the slope of the one before."""
    n_free_heads: int = Field(1, ge=0, le=1024)
    """Heads without decay, which see the whole history alike."""
    learned: bool = False
    """Whether the slopes are parameters, started at the geometric ones."""


class BucketConfig(Section):
    """A learned bias per head and per bucket of |dt|, on a geometric grid; started as the steps of the decay's
    logarithm."""

    n_buckets: int = Field(32, ge=3, le=4096)
    """Number of buckets: the first holds gaps below `shortest_hours`, the last those above `longest_hours`."""
    shortest_hours: float = Field(0.1, ge=LEAST_HOURS, le=MOST_HOURS)
    """Upper edge of the first bucket, hours."""
    longest_hours: float = Field(87_660.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Lower edge of the last bucket, hours (10 years)."""


class CosineConfig(Section):
    """A learned sum of cosines of the gap, `sum_m a_m cos(w_m dt)` per head, carried by extra channels of queries
    and keys, so that any attention kernel can run it."""

    n_frequencies: int = Field(8, ge=1, le=4096)
    """Cosines per head; two channels each."""
    shortest_hours: float = Field(1.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Shortest wavelength, hours."""
    longest_hours: float = Field(8766.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Longest wavelength, hours (a year)."""


class RecencyConfig(Section):
    """Keys fade with their age at the prediction time, `slope * log1p(age / tau)`: one extra channel, exact in any
    kernel."""

    tau_hours: float = Field(1.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Age at which the fading sets in, hours."""
    steepest: float = Field(1.0, gt=0, le=1e6)
    """Slope of the steepest head; each further head has half the slope of the one before, the last has none."""


class ReadoutConfig(Section):
    """The readouts with parameters of their own: `per_type`, and the queries of `per_type` and `attention`."""

    types: tuple[str, ...] = ()
    """`per_type`: codes that get poolings of their own; empty = the most frequent numeric ones."""
    n_types: int = Field(48, ge=1, le=65_536)
    """`per_type`: how many, where `types` names none."""
    d_type: int = Field(16, ge=1, le=4096)
    """`per_type`: numbers per data_type in the embedding."""
    d_value: int = Field(6, ge=0, le=4096)
    """`per_type`: numbers per pooling from the value's encoding, before any attention."""
    d_state: int = Field(8, ge=0, le=4096)
    """`per_type`: numbers per pooling from the encoder's states."""
    n_queries: int = Field(8, ge=1, le=4096)
    """`per_type`: queries over the whole document, which fade with age at the prediction time."""
    d_query: int = Field(16, ge=1, le=4096)
    """`per_type`: numbers per query in the embedding."""
    tau_hours: float = Field(1.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Age at which the fading of queries and poolings sets in, hours."""


class ModelConfig(Section):
    """The encoder."""

    d_model: int = Field(96, ge=8, le=65_536)
    """Width of a token's state."""
    n_layers: int = Field(3, ge=0, le=1024)
    """Number of blocks."""
    n_heads: int = Field(4, ge=1, le=1024)
    """Attention heads per block; must divide `d_model`."""
    d_ffn: int = Field(192, ge=8, le=262_144)
    """Width of the feed-forward layer."""
    ffn: Literal["gelu", "swiglu"] = "gelu"
    """`gelu` (two matrices) or `swiglu` (three)."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout on the embedding and on what each branch adds; within compiled blocks in multiples of 1/256."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on attention weights."""
    granularity: Literal["triplet", "timestamp"] = "triplet"
    """What a token is: one triplet, or all triplets of one moment, their embeddings summed (shorter sequences)."""
    value: Literal["continuous", "tokens", "both"] = "both"
    """A value as a number through a small network, as its bin or category, or both. Categories are
    embedded by any of the three, for they have no number."""
    time: tuple[Literal["time2vec", "sinusoidal", "delta", "minute", "calendar"], ...] = ("time2vec", "delta")
    """Time encodings, summed: `time2vec` (learned sines of hours since origin), `sinusoidal` (fixed ones), `delta` (gap
    to the previous moment, and to the previous one with the same data_type), `minute` (a vector of each minute of the
    hour of the record's clock) and `calendar` (waves of its day, week and year)."""
    combine: Literal["sum", "concat"] = "sum"
    """How data_type, value, status and time become one vector: summed, or laid side by side and projected."""
    attention: tuple[Literal["rotary", "decay", "bucket", "cosine", "recency"], ...] = ("rotary", "decay")
    """How attention knows time; empty = not at all. `rotary`, `cosine` and `recency` need only an ordinary flash
    kernel; `decay` and `bucket` need one that adds a bias."""
    causal: bool = False
    """Whether a token sees only itself and what lies before it in its document: what an encoder must be that predicts
    what comes next (`objective.next`)."""
    kernel: Kernel = "auto"
    """Which attention kernel: `auto` chooses by device and `attention`, and a run states its reason."""
    time2vec: WavelengthsConfig = WavelengthsConfig()
    """Settings of `time2vec`."""
    sinusoidal: WavelengthsConfig = WavelengthsConfig()
    """Settings of `sinusoidal`."""
    calendar: CalendarConfig = CalendarConfig()
    """Settings of `calendar`."""
    rotary: RotaryConfig = RotaryConfig()
    """Settings of `rotary`."""
    decay: DecayConfig = DecayConfig()
    """Settings of `decay`."""
    bucket: BucketConfig = BucketConfig()
    """Settings of `bucket`."""
    cosine: CosineConfig = CosineConfig()
    """Settings of `cosine`."""
    recency: RecencyConfig = RecencyConfig()
    """Settings of `recency`."""
    pooling: Pooling = "mean"
    """Readout of a document. `cls`, `attention` and `per_type` learn only under an objective on the embedding itself
    (`forecast`, `contrastive`)."""
    readout: ReadoutConfig = ReadoutConfig()
    """Settings of the readouts that have parameters."""

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.d_model % self.n_heads:
            raise Conflict(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}", "d_model", "n_heads")
        if self.decay.n_free_heads > self.n_heads:
            said = f"decay.n_free_heads {self.decay.n_free_heads} is more than n_heads {self.n_heads}"
            raise Conflict(said, "decay.n_free_heads", "n_heads")
        for name in ("time2vec", "sinusoidal", "rotary", "bucket", "cosine"):
            section = getattr(self, name)
            if section.longest_hours < section.shortest_hours:
                said = f"{name}.longest_hours is below shortest_hours"
                raise Conflict(said, f"{name}.longest_hours", f"{name}.shortest_hours")
        if "rotary" in self.attention and int(self.d_head * self.rotary.fraction) < 2:
            said = f"rotary.fraction {self.rotary.fraction} of {self.d_head} dimensions turns none of them"
            raise Conflict(said, "rotary.fraction", "d_model", "n_heads")
        if self.causal and "recency" in self.attention:
            said = "with causal, `recency` would tell each token how far away the document's end is"
            raise Conflict(said, "causal", "attention")
        if self.causal and self.pooling == "cls":
            raise Conflict(
                "with causal, a document's first token sees nothing: `cls` reads nothing", "causal", "pooling"
            )
        for name, chosen in (
            ("time", self.time), ("attention", self.attention), ("calendar.periods", self.calendar.periods),
        ):  # fmt: skip
            if len(set(chosen)) < len(chosen):
                raise Conflict(f"{name} names one of its kinds twice", name)
        return self

    @property
    def with_cls(self) -> bool:
        """Whether each document begins with a [CLS] token: read out by `cls`, or what a first event follows from."""
        return self.pooling == "cls" or self.causal

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.d_model // self.n_heads
