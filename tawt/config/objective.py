"""What a pretraining run learns from: objectives, their parts and weights. An objective of weight 0 is off."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tawt.config.augment import AugmentConfig
from tawt.config.base import Conflict, Section
from tawt.config.label import LabelConfig
from tawt.config.latent import LatentConfig
from tawt.config.model import LEAST_HOURS, MOST_HOURS
from tawt.config.next_event import NextConfig

MASKED = ("data_type", "value", "token", "category", "status", "summary")
"""Parts of masked reconstruction."""


def _above_0(weights: dict[str, float]) -> dict[str, float]:
    return {part: weight for part, weight in weights.items() if weight > 0}


class MaskedConfig(Section):
    """Masked reconstruction: which tokens lose what, and how much each part weighs."""

    weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the objective; 0 = off."""
    value: float = Field(0.15, ge=0, le=1)
    """Share of tokens whose value is hidden (value, token and status), the data_type stays."""
    data_type: float = Field(0.05, ge=0, le=1)
    """Share of tokens whose data_type is hidden; the normalized number stays, rounded to halves."""
    event: float = Field(0.10, ge=0, le=1)
    """Share of tokens that lose both; only the time stays."""
    spans: int = Field(0, ge=0, le=1000)
    """Spans in time per document, runs of its moments, in which every token is hidden."""
    span_share: float = Field(0.3, gt=0, le=1)
    """Longest span, as a share of the document's moments."""
    span_hides: Literal["value", "event"] = "value"
    """What tokens inside a span lose."""
    variables: float = Field(0.0, ge=0, lt=1)
    """Chance of each data_type of a document to be hidden wherever it occurs."""
    variable_hides: Literal["value", "event"] = "value"
    """What tokens of a hidden variable lose."""
    data_type_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the cross-entropy of hidden data_types, nats per token."""
    value_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the loss of hidden numbers."""
    value_loss: Literal["squared", "huber"] = "squared"
    """Loss of a number, in units of the normalized value; `huber` is linear beyond 1."""
    value_scale: Literal["normalized", "rank"] = "normalized"
    """What a number is predicted as: itself, `normalized` and clipped, or its quantile `rank` (of variance 1 where
    ties leave it its bins), in which skewed data_types weigh as much as others."""
    token_weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the cross-entropy of hidden quantile bins, nats; 0 = not predicted."""
    category_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the cross-entropy of hidden categories, nats."""
    status_weight: float = Field(0.2, ge=0, le=1e6)
    """Weight of the cross-entropy of hidden statuses, nats; small, since most are foreseen by the
    data_type."""
    summary_weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the loss of the mean number of each hidden variable, predicted from the document's embedding: what
    teaches a readout of its own under this objective. Needs `variables`."""
    max_value: float = Field(10.0, gt=0, le=1e6)
    """Normalized numbers are clipped to +- this as targets, so that one outlier cannot own a step; the baseline is
    clipped alike. Of ranks there is nothing to clip."""

    @property
    def parts(self) -> dict[str, float]:
        """Weights of the parts that are on: they weigh something, and something of their kind is hidden."""
        stretches = {self.span_hides if self.spans else "", self.variable_hides if self.variables else ""}
        values = self.value or self.event or stretches - {""}
        types = self.data_type or self.event or "event" in stretches
        asked = [part for part in MASKED if (types if part == "data_type" else values)]
        return _above_0({part: self.weight * getattr(self, f"{part}_weight") for part in asked})

    @model_validator(mode="after")
    def _fits(self) -> MaskedConfig:
        if self.value + self.data_type + self.event > 1:
            raise Conflict("value + data_type + event must be at most 1", "value", "data_type", "event")
        if self.weight and not self.value + self.data_type + self.event + self.spans + self.variables:
            keys = ("value", "data_type", "event", "spans", "variables")
            raise Conflict(f"nothing is masked: one of {', '.join(keys)} must be above 0", *keys)
        if self.summary_weight and not self.variables:
            raise Conflict("summary_weight needs variables above 0", "summary_weight", "variables")
        if self.weight and not self.parts:
            weighty = tuple(f"{part}_weight" for part in MASKED)
            said = f"nothing that is hidden weighs anything: one of {', '.join(weighty)} must be above 0"
            raise Conflict(said, *weighty)
        return self


class ForecastConfig(Section):
    """Forecasting: cut the document at a prediction time, predict its next window from the embedding."""

    weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the objective; 0 = off."""
    window_hours: float = Field(2.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Length of the window that is predicted, hours."""
    earliest_hours: float = Field(4.0, ge=0, le=MOST_HOURS)
    """Prediction times lie at least so long after the document's first timed event, hours; gaps longer than
    `longest_gap_hours` aside."""
    longest_gap_hours: float | None = Field(None, ge=LEAST_HOURS, le=MOST_HOURS)
    """Prediction times lie at most so long after the event before, hours, so that they are drawn where a record tells
    something, not in the decades between birth and a first admission; null = 12 windows."""
    whole_share: float = Field(0.3, ge=0, lt=1)
    """Share of documents that stay whole: nothing is forecast of them."""
    n_types: int = Field(128, ge=1, le=65_536)
    """Data_types that are forecast: the most frequent numeric ones; where none has numbers, the most frequent ones."""
    value_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the loss of the first number of each data_type in the window, where one came."""
    value_loss: Literal["squared", "huber"] = "squared"
    """As in `masked`."""
    value_scale: Literal["normalized", "rank"] = "normalized"
    """As in `masked`."""
    presence_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the cross-entropy of whether a data_type comes in the window, nats."""
    max_value: float = Field(10.0, gt=0, le=1e6)
    """As in `masked`."""

    @property
    def longest_gap(self) -> float:
        """Hours of a gap within which prediction times are drawn."""
        return 12 * self.window_hours if self.longest_gap_hours is None else self.longest_gap_hours

    @property
    def parts(self) -> dict[str, float]:
        """Weights of the parts that are on."""
        each = {"forecast_value": self.value_weight, "forecast_presence": self.presence_weight}
        return _above_0({part: self.weight * weight for part, weight in each.items()})

    @model_validator(mode="after")
    def _fits(self) -> ForecastConfig:
        if self.weight and not self.parts:
            keys = ("value_weight", "presence_weight")
            raise Conflict(
                f"nothing that is forecast weighs anything: one of {' and '.join(keys)} must be above 0", *keys
            )
        return self


class ContrastiveConfig(Section):
    """InfoNCE: two views of a document are to be found among the views of all others."""

    weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the objective; 0 = off. On, each document becomes two, so a batch holds half as many subjects."""
    temperature: float = Field(0.1, ge=1e-4, le=1e4)
    """Divides the cosine similarities."""
    d_projection: int = Field(64, ge=2, le=65_536)
    """Width of the projection in which views are compared."""
    views: AugmentConfig = AugmentConfig(
        variable_dropout=0.1, event_dropout=0.3, crop=0.3, jitter=0.1, scaling=0.05, time_warp=0.05
    )
    """How a view differs from its document."""


class PairedConfig(Section):
    """InfoNCE between a record up to an image and that image: which of all images is its own, and the other way."""

    weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the objective; 0 = off. On, the record of whoever has an image ends before one of them, drawn anew in
    each pass."""
    temperature: float = Field(0.1, ge=1e-4, le=1e4)
    """Divides the cosine similarities."""
    d_projection: int = Field(64, ge=2, le=65_536)
    """Width of the projections in which records and images are compared."""
    whole_share: float = Field(0.3, ge=0, lt=1)
    """Share of documents with an image that stay whole: other objectives see what came after it. 0 where nothing but
    pairs is learned."""


class ObjectiveConfig(Section):
    """A weighted sum of objectives."""

    masked: MaskedConfig = MaskedConfig()
    """What was hidden of a triplet."""
    forecast: ForecastConfig = ForecastConfig()
    """What comes next."""
    contrastive: ContrastiveConfig = ContrastiveConfig()
    """Which two views are of one subject."""
    paired: PairedConfig = PairedConfig()
    """Which image, or other content, belongs to a record."""
    next: NextConfig = NextConfig()
    """What follows each event: when, what, with which value."""
    latent: LatentConfig = LatentConfig()
    """What a decoder is told of the whole record."""
    label: LabelConfig = LabelConfig()
    """What a task asks."""

    @model_validator(mode="after")
    def _one_is_on(self) -> ObjectiveConfig:
        ends = self.forecast.weight + self.contrastive.weight + self.label.weight
        others = self.masked.weight + self.paired.weight + ends
        if not others + self.next.weight:
            keys = ("masked.weight", "forecast.weight", "contrastive.weight", "paired.weight", "next.weight")
            raise Conflict("all objectives have weight 0: one must be above", *keys)
        if self.next.weight and others:
            raise Conflict(
                "what follows each event is asked of whole records: no other objective may hide, cut or double them",
                "next.weight", "masked.weight", "forecast.weight", "contrastive.weight", "paired.weight",
                "label.weight",
            )  # fmt: skip
        if self.paired.weight and ends:
            raise Conflict(
                "for pairs, records end before an image: no other objective may end or double them",
                "paired.weight", "forecast.weight", "contrastive.weight", "label.weight",
            )  # fmt: skip
        if self.next.weight and not self.next.parts:
            raise Conflict("nothing of the next event weighs anything: one of its weights must be above 0", "next")
        if self.latent.is_on and not self.next.type_weight * self.next.weight:
            said = "a latent is told to a decoder: objective.next and its data_types must weigh something"
            raise Conflict(said, "latent.encoder", "next.weight", "next.type_weight")
        if self.label.weight and self.forecast.weight + self.contrastive.weight:
            raise Conflict(
                "with labels, documents end at their prediction times: nothing else may cut or double them",
                "forecast.weight", "contrastive.weight",
            )  # fmt: skip
        return self

    def teaches(self, fusion: str) -> bool:
        """Return whether anything is learned where contents join in a way; of pairs alone, it is not."""
        if fusion == "late":
            return bool(self.label.weight)
        ends = self.forecast.weight + self.contrastive.weight + self.label.weight
        on_tokens = self.masked.weight + self.next.weight if fusion == "token" else 0
        return bool(ends + on_tokens) or "summary" in self.masked.parts
