"""Numbers as they are predicted: what a loss compares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tawt.config.objective import ForecastConfig, MaskedConfig
from tawt.dataset.vocabulary import Vocabulary


def as_targets(
    vocabulary: Vocabulary,
    config: MaskedConfig | ForecastConfig,
    data_type: NDArray[np.integer],
    value: NDArray[np.float32],
    token: NDArray[np.integer] | None = None,
) -> NDArray[np.float32]:
    """Return normalized numbers clipped, or their quantile ranks.

    Args:
        vocabulary: Of the dataset.
        config: Which of the two, and where to clip.
        data_type: `(k,)`.
        value: `(k,)`.
        token: `(k,)`, their bins, where they are at hand.
    """
    if config.value_scale == "rank":
        return vocabulary.ranks(data_type, value, token)
    return np.clip(value, -config.max_value, config.max_value)
