"""Triplets back to what a record says: codes, numbers in their canonical unit, texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats, Ints
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.transforms.triplets import Coder

Whole = NDArray[np.integer]
OTHER = "OTHER"
"""The text of a category that no dictionary has."""
_DIGITS = range(2, 10)
"""Significant digits of a number that is told: as few as lead to its value again."""


class Meanings:
    """What numbers and categories of a vocabulary stand for.

    Args:
        vocabulary: Of the run; with its quantiles, where numbers were normalized by them.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._codes = np.array(vocabulary.codes, dtype=object)
        self.coder = Coder.of(vocabulary.table())
        """What leads from numbers to values again."""
        self._units = np.array(vocabulary.table()["unit"].to_pylist(), dtype=object)

    def codes(self, data_type: Whole) -> NDArray[np.object_]:
        """Return the codes, `(n,)`."""
        found: NDArray[np.object_] = self._codes[data_type]
        return found

    def units(self, data_type: Whole, status: Whole) -> NDArray[np.object_]:
        """Return the units of numbers, `(n,)`; None where there is none."""
        found: NDArray[np.object_] = self._units[data_type]
        found[~HAS_NUMBER_OF[status]] = None
        return found

    def numbers(self, data_type: Whole, value: NDArray[np.float32], status: Whole) -> Floats:
        """Return the numbers in their canonical units, `(n,)`; NaN where there is none.

        Args:
            data_type: `(n,)`.
            value: `(n,)`, normalized.
            status: `(n,)`, see `ValueStatus`.
        """
        found = np.full(len(value), np.nan)
        left = np.flatnonzero(HAS_NUMBER_OF[status])
        kind, value = data_type.astype(np.int64), value.astype(np.float32)
        found[left] = self._about(kind[left], value[left])
        for digits in _DIGITS:
            with np.errstate(all="ignore"):  # what is beyond all numbers has no digits, and stays as it is
                short = _rounded(found[left], digits)
                same = self.coder.normalize(kind[left], short.astype(np.float32).astype(np.float64)) == value[left]
            found[left[same]] = short[same]
            left = left[~same]
        return found

    def _about(self, kind: Ints, value: NDArray[np.float32]) -> Floats:
        numbers: Floats = value.astype(np.float64) * self.vocabulary.scale[kind] + self.vocabulary.center[kind]
        for one, quantiles in self.coder.quantiles.items():
            own = kind == one
            place = (value[own] / np.sqrt(12) + 0.5) * (len(quantiles) - 1)
            numbers[own] = np.interp(place, np.arange(len(quantiles)), quantiles)
        return numbers

    def texts(self, data_type: Whole, token: Whole, status: Whole) -> list[str | None]:
        """Return the categories, `(n,)`; None where there is none.

        Args:
            data_type: `(n,)`.
            token: `(n,)`, see `PackedBatch.value_token`.
            status: `(n,)`.
        """
        place = token - self.vocabulary.n_bins[data_type] - 1
        named = status == ValueStatus.CATEGORY
        categories = self.vocabulary.categories
        return [
            (categories[kind][at - 1] if at > 0 else OTHER) if there else None
            for kind, at, there in zip(data_type.tolist(), place.tolist(), named.tolist(), strict=True)
        ]


def _rounded(numbers: Floats, digits: int) -> Floats:
    """Return numbers of so many significant digits."""
    size = np.where(numbers == 0, 0, np.floor(np.log10(np.abs(numbers))))
    scale = 10.0 ** (digits - 1 - size)
    found: Floats = np.round(numbers * scale) / scale
    return found
