"""The unit that the name of a column says: `glucose_mg_dl`, `Weight (kg)`, `hb [g/dL]`, `temp_c`."""

from __future__ import annotations

import re
from functools import cache

from tawt.project import Project
from tawt.transforms.seeds import spellings_of
from tawt.transforms.units import CAPITAL

_IN_BRACKETS = re.compile(r".*\S\s*[(\[]\s*([^()\[\]]+(?:\[[^\]]*\][^()\[\]]*)?)\s*[)\]]\s*")
_MOST_WORDS = 3
_ALONE = (
    "kg", "kgs", "lb", "lbs", "cm", "mm", "bpm", "mmhg", "cmh2o", "kpa", "pct", "percent", "celsius", "degc",
    "fahrenheit", "degf", "ml", "fl", "pg",
)  # fmt: skip
"""Units that are hardly another word: `hr_min` is no number of minutes."""
_OF_TEMPERATURE = {"c": "degC", "f": "degF"}
_TEMPERATURE = re.compile(
    r"(body|core|skin|air|max|min|avg|mean)?temp(eratur[ae]?)?(max|min|avg|mean)?\d*|tmax|tmin|tcore"
)


def unit_named(column: str) -> str | None:
    """Return the unit that a name ends with, as the seeds write it; None = it names none that they know."""
    spelled, joined = _spellings()
    words = [word for word in re.split(r"[^A-Za-z0-9%/µμ°]+", column) if word.lower() not in ("", "per")]
    if len(words) > 1 and words[-1].lower() in _OF_TEMPERATURE:
        is_told = words[0].lower() == "t" or any(_TEMPERATURE.fullmatch(word.lower()) for word in words[:-1])
        return _OF_TEMPERATURE[words[-1].lower()] if is_told else None
    if (found := _IN_BRACKETS.fullmatch(column)) is not None:
        return None if CAPITAL.search(found[1]) else spelled.get(found[1].strip().lower())
    for n in range(min(_MOST_WORDS, len(words) - 1), 0, -1):
        tail = words[-n:]
        if CAPITAL.search("/".join(tail)):  # a capital that makes another unit, which no spelling has
            return None
        tail = [word.lower() for word in tail]
        last = tail[-1]
        if n > 1 and (unit := spelled.get("/".join(tail)) or (spelled.get("".join(tail)) if len(last) > 1 else None)):
            return unit
        if n == 1 and (last in _ALONE or "/" in last or last in joined):
            return spelled.get(last) or joined.get(last)
    return None


@cache
def _spellings() -> tuple[dict[str, str], dict[str, str]]:
    """Return the spellings that come with tawt, and those of two parts without the stroke: `mgdl`, `mmoll`."""
    spelled = spellings_of(Project()) | {unit.lower(): unit for unit in spellings_of(Project()).values() if unit}
    return spelled, {
        bare: unit for said, unit in spelled.items() if "/" in said and len(bare := said.replace("/", "")) > 3
    }
