"""What data_types and their values are called where a person reads them: names, units, numbers, usual ranges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats
from tawt.contracts.dataset import SPECIAL_CODES, UNKNOWN
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.synthesis.values import Meanings

Whole = NDArray[np.integer]
USUAL = (0.05, 0.95)
"""Quantiles of the numbers of train between which one is usual."""
_MOST_DECIMALS = 4
_DIGITS = 3
"""Significant digits that a low number of a data_type keeps; larger ones have as many decimals."""
_MISSING = {
    ValueStatus.ABSENT: "no value",
    ValueStatus.UNPARSED: "not a number",
    ValueStatus.UNIT_UNKNOWN: "in an unknown unit",
    ValueStatus.OUT_OF_RANGE: "out of range",
    ValueStatus.NOT_MEASURED: "not measured",
}
_BOUND = {ValueStatus.CENSORED_LOW: "<", ValueStatus.CENSORED_HIGH: ">"}
_COMMON = 3
"""What so many names of numbers end in says nothing of one."""
_UNITS = {"fahrenheit", "celsius", "f", "c", "lb", "lbs", "kg", "cm", "inch"}
"""Words in a name that tell its unit, which stands behind the number, and can be another by then."""
_SHORT = 3
"""A word of so many letters is taken for an abbreviation."""


class Readable:
    """How each data_type of a vocabulary is read.

    All hangs on the vocabulary and nothing on the record: a number has the decimals of its data_type, whoever made it.

    Args:
        vocabulary: What the records are written in.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        names = ["description", "unit", "quantiles"]
        rows = vocabulary.table().select(names).to_pylist()
        self.vocabulary = vocabulary
        self._told = Meanings(vocabulary)
        self.names = _short_names(
            [
                row["description"] or ("A code of few" if code == SPECIAL_CODES[UNKNOWN] else _spoken(code))
                for code, row in zip(vocabulary.codes, rows, strict=True)
            ],
            [bool(row["quantiles"]) for row in rows],
            [bool(row["unit"]) for row in rows],
        )
        """The description of each data_type, without what others say too; its code where it has none."""
        self.units = tuple(row["unit"] or "" for row in rows)
        """Of each, "" where it has none."""
        self.decimals = tuple(
            _decimals(row["quantiles"], float(std)) for row, std in zip(rows, vocabulary.std, strict=True)
        )
        """Decimals that numbers of each are read with."""
        self.usual: tuple[tuple[float, float] | None, ...] = tuple(
            (float(np.quantile(row["quantiles"], USUAL[0])), float(np.quantile(row["quantiles"], USUAL[1])))
            if row["quantiles"]
            else None
            for row in rows
        )
        """Between which numbers most of train lie; None where that is not known."""

    def title(self, data_type: int) -> str:
        """Return the name of a data_type with its unit."""
        name, unit = self.names[data_type], self.units[data_type]
        return f"{name} ({unit})" if unit else name

    def numbers(self, data_type: Whole, value: NDArray[np.float32], status: Whole) -> Floats:
        """Return numbers in their units, rounded as they are read, `(n,)`; NaN where there is none.

        Args:
            data_type: `(n,)`.
            value: `(n,)`, normalized.
            status: `(n,)`, see `ValueStatus`.
        """
        numbers = self._told.numbers(data_type, value, status)
        scale = 10.0 ** np.array(self.decimals)[data_type]
        rounded: Floats = np.round(numbers * scale) / scale + 0.0  # no -0
        return rounded

    def number(self, data_type: int, number: float) -> str:
        """Return a number of a data_type, with its decimals and without its unit."""
        return f"{number:,.{self.decimals[data_type]}f}"

    def values(self, data_type: Whole, number: Floats, token: Whole, status: Whole) -> list[str]:
        """Return what triplets say, `(n,)`, without units; "" where the data_type says it all."""
        texts = self._told.texts(data_type, token, status)
        rows = zip(data_type.tolist(), number.tolist(), status.tolist(), texts, strict=True)
        return [
            _BOUND.get(kind, "") + self.number(one, n) if np.isfinite(n) else _MISSING.get(kind, text or "")
            for one, n, kind, text in rows
        ]


def is_missing(status: Whole) -> Bools:
    """Return whether triplets say that a value is not known, `(n,)`."""
    return np.isin(status, [*_MISSING])


def _short_names(names: Sequence[str], has_numbers: Sequence[bool], has_unit: Sequence[bool]) -> tuple[str, ...]:
    """Return names without what dictionaries put behind them, where no other name begins so.

    `Potassium, Blood, Chemistry` is `Potassium`, and `Potassium, Blood` where there is one of urine; `Temperature
    Fahrenheit`, told in degrees Celsius, is `Temperature`, or `Temperature (given in Fahrenheit)` where there are both.
    """
    parts = [name.split(", ") for name in names]
    common = Counter(part for own, there in zip(parts, has_numbers, strict=True) if there for part in own[1:])
    begins = Counter(tuple(own[:k]) for own in parts for k in range(1, len(own) + 1))
    found: list[tuple[str, str]] = []
    for own, unit in zip(parts, has_unit, strict=True):
        kept = len(own)
        while kept > 1 and common[own[kept - 1]] >= _COMMON and begins[tuple(own[: kept - 1])] == 1:
            kept -= 1
        first, _, last = own[0].rpartition(" ")
        of_unit = last.strip("(.)")
        if not (first and unit and of_unit.lower() in _UNITS):
            first, of_unit = own[0], ""
        found.append((", ".join([first, *own[1:kept]]), of_unit))
    twice = Counter(name for name, _ in found)
    return tuple(f"{name} (given in {unit})" if unit and twice[name] > 1 else name for name, unit in found)


def _spoken(code: str) -> str:
    """Return a code that nobody described as words: `ICU_ADMISSION//SURGICAL` is `ICU admission: SURGICAL`."""
    family, *rest = code.split("//")
    first, *words = family.split("_") if family.isupper() else [family]
    head = first if len(first) <= _SHORT or not family.isupper() else first.capitalize()
    return ": ".join([" ".join([head, *(word.lower() for word in words)]), *rest])


def _decimals(quantiles: Sequence[float] | None, std: float) -> int:
    """Return with how many decimals a data_type is read: no more than its numbers have, nor than say something."""
    low, most = std, _MOST_DECIMALS
    if quantiles:
        numbers = np.array(quantiles)
        fits = (d for d in range(_MOST_DECIMALS) if np.allclose(np.round(numbers, d), numbers, rtol=1e-6, atol=1e-9))
        most = next(fits, _MOST_DECIMALS)
        low = float(np.quantile(np.abs(numbers[numbers != 0]), 0.1)) if numbers.any() else 1.0
    if not np.isfinite(low) or low <= 0:
        return 0
    return int(np.clip(_DIGITS - 1 - np.floor(np.log10(low)), 0, most))
