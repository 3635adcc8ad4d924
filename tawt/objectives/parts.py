"""The parts of the loss: their names, and what each weighs."""

from __future__ import annotations

from torch import Tensor

from tawt.batching.example import Example
from tawt.config.objective import ObjectiveConfig

MASKED = ("data_type", "value", "token", "category", "status", "summary")
"""Parts of masked reconstruction."""
FORECAST = ("forecast_value", "forecast_presence")
"""Parts of forecasting."""
PARTS = (*MASKED, *FORECAST, "contrastive")
"""All parts, in the order they are logged."""
ON_EMBEDDING = ("summary", *FORECAST, "contrastive")
"""Parts that are predicted from a document's embedding: only these teach a readout."""


def never_asked(config: ObjectiveConfig) -> frozenset[str]:
    """Return the parts that the config itself keeps from having a position: it hides nothing of their kind."""
    masked = config.masked
    stretches = {masked.span_hides if masked.spans else "", masked.variable_hides if masked.variables else ""}
    values = masked.value or masked.event or stretches - {""}
    types = masked.data_type or masked.event or "event" in stretches
    return frozenset((() if types else ("data_type",)) + (() if values else ("value", "token", "category", "status")))


def weights(config: ObjectiveConfig) -> dict[str, float]:
    """Return the weight of each part that is on: its objective's weight times its own, in the order of `PARTS`."""
    masked, forecast = config.masked, config.forecast
    found = {part: masked.weight * getattr(masked, f"{part}_weight") for part in MASKED}
    found["forecast_value"] = forecast.weight * forecast.value_weight
    found["forecast_presence"] = forecast.weight * forecast.presence_weight
    found["contrastive"] = config.contrastive.weight
    return {part: weight for part, weight in found.items() if weight > 0}


def subjects_of(example: Example, part: str) -> Tensor:
    """Return the subjects `(s,)` int64, each once, that a part has a position of."""
    batch, hidden, ahead = example.batch, example.masked, example.forecast
    if part == "contrastive":
        subject, n = batch.subject_id.unique(return_counts=True)
        return subject[n > 1]
    if part in FORECAST:
        assert ahead is not None
        document = ahead.document if part == "forecast_presence" else ahead.document[ahead.value_row]
    else:
        at: Tensor = getattr(hidden, "type_at" if part == "data_type" else f"{part}_at")
        document = at if part == "summary" else batch.document[at]
    return batch.subject_id[document].unique()
