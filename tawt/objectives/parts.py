"""The parts of the loss: their names, and what each weighs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tawt.batching.example import Example, NextTargets
from tawt.config.latent import KL
from tawt.config.next_event import NEXT
from tawt.config.objective import MASKED, ObjectiveConfig
from tawt.objectives.contrastive import apart

FORECAST = ("forecast_value", "forecast_presence")
"""Parts of forecasting."""
LABEL = "label"
"""The part of a task."""
CONTRASTIVE, PAIRED = "contrastive", "paired"
"""Parts in which all documents of a step are compared; of these one is on at most."""
PARTS = (*MASKED, *FORECAST, *NEXT, KL, CONTRASTIVE, PAIRED, LABEL)
"""All parts, in the order they are logged."""
ON_EMBEDDING = ("summary", *FORECAST, CONTRASTIVE, PAIRED, LABEL)
"""Parts that are predicted from a document's embedding: only these teach a readout."""


def weights(config: ObjectiveConfig) -> dict[str, float]:
    """Return the weight of each part that is on: its objective's weight times its own, in the order of `PARTS`."""
    contrastive = {CONTRASTIVE: config.contrastive.weight} if config.contrastive.weight else {}
    paired = {PAIRED: config.paired.weight} if config.paired.weight else {}
    label = {LABEL: config.label.weight} if config.label.weight else {}
    kl = {KL: config.next.weight * config.latent.beta} if config.latent.is_on else {}
    return config.masked.parts | config.forecast.parts | config.next.parts | kl | contrastive | paired | label


def divisors(count: Mapping[str, int]) -> dict[str, int]:
    """Return what the sum of each part is divided by in the loss: its own positions, so that each weighs the same.

    With a latent, all are divided by the events: only then does the loss say what a record costs, which is what its
    divergence is held to.

    Args:
        count: Positions of each part.
    """
    return {part: max(count["next_type"] if KL in count else own, 1) for part, own in count.items()}


def kl_share(config: ObjectiveConfig, step: int) -> float:
    """Return which share of its weight the divergence has in step `step`, counted from 0."""
    return min(1.0, (step + 1) / max(config.latent.warmup_steps, 1))


def subjects_of(example: Example, part: str) -> Tensor:
    """Return the subjects `(s,)` int64, each once, that a part has a position of."""
    batch, hidden, ahead = example.batch, example.masked, example.forecast
    if part == PAIRED:
        keys: Tensor = example.pairs.keys
        return keys[apart(keys).any(1), 0].unique()
    if part == CONTRASTIVE:
        subject, n = batch.subject_id.unique(return_counts=True)
        return subject[n > 1]
    if part == LABEL:
        assert example.label is not None
        return batch.subject_id[example.label.weight.any(1)].unique()
    if part == KL:
        return batch.subject_id.unique()
    if part in NEXT:
        assert example.next is not None
        assert batch.layout is not None
        return batch.subject_id[batch.layout.document[_tokens_of(example.next, part)]].unique()
    if part in FORECAST:
        assert ahead is not None
        document = ahead.document if part == "forecast_presence" else ahead.document[ahead.value_row]
    else:
        at: Tensor = getattr(hidden, "type_at" if part == "data_type" else f"{part}_at")
        document = at if part == "summary" else batch.document[at]
    return batch.subject_id[document].unique()


def _tokens_of(targets: NextTargets, part: str) -> Tensor:
    """Return the tokens from which a part of the next event is predicted."""
    if part == "step":
        return targets.step_at
    if part == "later":
        return targets.later_at
    rows = {"gap": targets.gap_at, "next_number": targets.number_at, "next_category": targets.category_at}
    return targets.before[rows[part]] if part in rows else targets.before
