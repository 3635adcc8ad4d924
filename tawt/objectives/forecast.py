"""Forecasting: what comes in the window after the prediction time, from the document's embedding."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.batching.cut import Coming
from tawt.batching.example import ForecastTargets
from tawt.config.objective import ForecastConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.heads import EmbeddingHeads
from tawt.objectives.baselines import Baselines
from tawt.objectives.losses import number_loss, presence_loss
from tawt.objectives.targets import as_targets


def loss_sums(
    heads: EmbeddingHeads, embedding: Tensor, targets: ForecastTargets, config: ForecastConfig
) -> dict[str, Tensor]:
    """Return the loss of each part that `heads` has, summed over its positions: float32 scalars.

    Args:
        heads: Of the parts that are on.
        embedding: `(d, d_embedding)`, of documents that end at their prediction time.
        targets: What came after it.
        config: Which loss numbers have.
    """
    cut, sums = embedding[targets.document], {}
    if heads.forecast_value is not None:
        guess = heads.forecast_value(cut)[targets.value_row, targets.value_column]
        sums["forecast_value"] = number_loss(guess, targets.value_is, config.value_loss)
    if heads.forecast_presence is not None:
        logits = heads.forecast_presence(cut).float()
        sums["forecast_presence"] = presence_loss(logits, targets.present)
    return sums


def make_targets(
    coming: Coming, columns: NDArray[np.int64], vocabulary: Vocabulary, config: ForecastConfig
) -> ForecastTargets:
    """Return what came as tensors, its numbers as they are predicted."""
    numbers = as_targets(vocabulary, config, columns[coming.column], coming.value)
    arrays = coming.document, coming.present, coming.row, coming.column, numbers
    return ForecastTargets(*map(torch.from_numpy, arrays))


def counts(targets: ForecastTargets) -> dict[str, int]:
    """Return the number of positions of each part: numbers that came, and pairs of document and data_type."""
    return {"forecast_value": len(targets.value_is), "forecast_presence": targets.present.numel()}


def baseline_sums(
    baselines: Baselines, targets: ForecastTargets, columns: NDArray[np.int64], config: ForecastConfig
) -> dict[str, float]:
    """Return what the data_type's mean and its share of windows cost, summed as the losses are; on CPU."""
    mean = baselines.forecast_mean[torch.from_numpy(columns)][targets.value_column]
    logits = baselines.presence.logit().expand_as(targets.present)
    return {
        "forecast_value": number_loss(mean, targets.value_is, config.value_loss).item(),
        "forecast_presence": presence_loss(logits, targets.present).item(),
    }
