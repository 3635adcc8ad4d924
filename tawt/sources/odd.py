"""Cells that are hardly what their column is of: what stands for a missing one, and numbers with their unit."""

from __future__ import annotations

import re
from collections.abc import Mapping

MARKS = ("NA", "N/A", "n/a", "NULL", "null", "\\N", "None", "NaN", "nan", ".", "-", "?")
"""Texts that often stand for a missing cell."""
MISSING = ("NA", "N/A", "n/a", "NULL", "null", "\\N", "NaN", "nan")
"""Those that are no word of a result: `None`, `-`, `?` and `.` may be one."""
NO_NUMBER = (
    "k.a.", "k. a.", "n.b.", "n. b.", "entf.", "entfällt", "folgt", "unbekannt", "nicht bestimmt", "unknown", "missing",
    "not done", "not available", "pending", "inconnu", "desconocido", "onbekend", "sconosciuto", "--", "---",
)  # fmt: skip
"""Texts that stand for a missing number among numbers, and may be a word among words; in small letters."""
_SENTINELS = (-1, -9, -99, -999, -9999, 99, 99.9, 999, 999.9, 9999, 99999, 888, 8888)
_OFTEN = 5
"""So many cells at least, for one may be an error."""
_WITH_UNIT = re.compile(r"\s*(?:[<>]=?)?\s*[-+]?\d+(?:[.,]\d+)?\s*[^\d\s.,:/+-][^\d]{0,11}\s*", re.ASCII)


def sentinels_in(counted: Mapping[str | None, int]) -> tuple[str, ...]:
    """Return the numbers among cells that may stand for a missing one: far from all others, and of one digit."""
    numbers: dict[float, int] = {}
    for cell, n in counted.items():
        try:
            number = float(cell or "")
        except ValueError:
            continue
        numbers[number] = numbers.get(number, 0) + n
    rest = [number for number in numbers if number not in _SENTINELS]
    if not rest:
        return ()
    least, most = min(rest), max(rest)
    odd = [one for one in _SENTINELS if numbers.get(one, 0) >= _OFTEN and (one < 0 <= least or one > 2 * most > 0)]
    return tuple(f"{one:g}" for one in odd)


def n_with_unit(counted: Mapping[str | None, int]) -> int:
    """Return how many cells are a number and a word or sign behind it, as `97 %`."""
    return sum(n for cell, n in counted.items() if cell and _WITH_UNIT.fullmatch(cell))


def is_no_number(mark: str) -> bool:
    """Return whether a mark is a word that stands for a missing number."""
    return mark.lower() in NO_NUMBER
