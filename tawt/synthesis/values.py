"""Triplets back to what a record says: codes, numbers in their canonical unit, texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats, Ints
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.vocabulary import Vocabulary

OTHER = "OTHER"
"""The text of a category that no dictionary has."""
_DIGITS = 6
"""Significant digits of a number that is told: about what a normalized float32 keeps."""


class Units:
    """What numbers and categories of a vocabulary stand for.

    Args:
        vocabulary: Of the run; with its quantiles, where numbers were normalized by them.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        table = vocabulary.table().select(["normalization", "quantiles"]).to_pylist()
        self._quantiles: list[Floats | None] = [
            np.array(row["quantiles"]) if row["normalization"] == "quantile" and row["quantiles"] else None
            for row in table
        ]
        self._codes = np.array(vocabulary.codes, dtype=object)

    def codes(self, data_type: Ints) -> NDArray[np.object_]:
        """Return the codes, `(n,)`."""
        found: NDArray[np.object_] = self._codes[data_type]
        return found

    def numbers(self, data_type: Ints, value: NDArray[np.float32], status: Ints) -> Floats:
        """Return the numbers in their canonical units, `(n,)`; NaN where there is none.

        Args:
            data_type: `(n,)`.
            value: `(n,)`, normalized.
            status: `(n,)`, see `ValueStatus`.
        """
        numbers = value.astype(np.float64) * self.vocabulary.scale[data_type] + self.vocabulary.center[data_type]
        for kind in np.unique(data_type):
            if (quantiles := self._quantiles[kind]) is not None:
                own = data_type == kind
                place = (value[own] / np.sqrt(12) + 0.5) * (len(quantiles) - 1)
                numbers[own] = np.interp(place, np.arange(len(quantiles)), quantiles)
        with np.errstate(divide="ignore"):
            size = np.where(numbers == 0, 0, np.floor(np.log10(np.abs(numbers))))
        scale = 10.0 ** (_DIGITS - 1 - size)
        return np.where(HAS_NUMBER_OF[status], np.round(numbers * scale) / scale, np.nan)

    def texts(self, data_type: Ints, token: Ints, status: Ints) -> list[str | None]:
        """Return the categories, `(n,)`; None where there is none.

        Args:
            data_type: `(n,)`.
            token: `(n,)`, see `PackedBatch.value_token`.
            status: `(n,)`.
        """
        place = token - self.vocabulary.n_bins[data_type] - 1
        named = (status == ValueStatus.CATEGORY) & (place >= 0)
        categories = self.vocabulary.categories
        return [
            (categories[kind][at - 1] if at else OTHER) if there else None
            for kind, at, there in zip(data_type.tolist(), place.tolist(), named.tolist(), strict=True)
        ]
