"""What a cell is by its letters alone: a number, a time, a text."""

from __future__ import annotations

import math
import re

from tawt.sources.numerals import is_number
from tawt.sources.odd import MARKS
from tawt.sources.time_forms import seen_time

_WHOLE = re.compile(r"\s*[-+]?\d{1,18}\s*", re.ASCII)
_COMPARED = re.compile(r"\s*[<>]=?\s*\d+([.,]\d+)?\s*\S{0,12}", re.ASCII)
_CLOCK = re.compile(r"\s*\d{1,4}:\d{2}(:\d{2}(\.\d+)?)?\s*", re.ASCII)


def kind_of(cell: str) -> str:
    """Return the shape of a cell."""
    if not cell.strip():
        return "empty"
    if cell.strip() in MARKS:
        return "mark"
    if _WHOLE.fullmatch(cell):
        return "whole"
    if seen_time(cell) is not None:
        return "time"
    if _is_decimal(cell):
        return "decimal"
    if _CLOCK.fullmatch(cell):
        return "clock"
    if _COMPARED.fullmatch(cell):
        return "compared"
    return "signed" if is_number(cell) else "text"


def _is_decimal(cell: str) -> bool:
    try:
        return "_" not in cell and math.isfinite(float(cell))
    except ValueError:
        return False
