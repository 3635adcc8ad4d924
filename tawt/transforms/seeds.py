"""The seeds: spellings of units, conversions between them and plausible ranges, held to what each can be."""

from __future__ import annotations

import csv
import math

from tawt.errors import ConfigError
from tawt.project import Project
from tawt.readers import MAX_WRITTEN_BYTES, read_text

_PLACE = "\0place"
"""Key of a seed's row: its file and line."""


def spellings_of(files: Project) -> dict[str, str]:
    """Return spelling, in small letters -> unit.

    Raises:
        ConfigError: As of `ranges_of`.
    """
    spellings = {}
    for row in _seed(files, "unit_spellings", "unit", keys=("spelling",)):
        spellings[row["spelling"].lower()] = row["unit"]
    return spellings


def conversions_of(files: Project) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return concept, unit and unit -> the factor and offset that lead from the one to the other.

    Raises:
        ConfigError: As of `ranges_of`, or a conversion makes one number of all.
    """
    conversions = {}
    for row in _seed(files, "unit_conversions", "factor", "offset", keys=("concept", "from_unit", "to_unit")):
        factor, offset = _number(row, "factor"), _number(row, "offset", "0")
        if factor == 0 or not (math.isfinite(factor) and math.isfinite(offset)):
            raise ConfigError(row[_PLACE], "makes one number of all, or none, expected a factor and an offset",
                              "a factor is finite and not 0, an offset finite")  # fmt: skip
        conversions[row["concept"], row["from_unit"], row["to_unit"]] = (factor, offset)
    return conversions


def ranges_of(files: Project) -> dict[str, tuple[str, float, float]]:
    """Return concept -> unit, smallest and largest plausible number.

    Raises:
        ConfigError: A seed is absent, says one thing twice, or a number in it is none.
    """
    ranges = {}
    for row in _seed(files, "plausible_ranges", "unit", "low", "high", keys=("concept",)):
        low, high = _number(row, "low", "-inf"), _number(row, "high", "inf")
        if not low <= high:
            raise ConfigError(row[_PLACE], "has no number between `low` and `high`, expected a range", "mend it there")
        ranges[row["concept"]] = (row["unit"], low, high)
    return ranges


def _seed(files: Project, name: str, *others: str, keys: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a seed, each with its place; no two have the same keys."""
    columns = (*keys, *others)
    path = files.find(f"sql/shared/seeds/{name}.csv")
    if path is None:
        raise ConfigError(f"sql/shared/seeds/{name}.csv", "is not there, expected a seed of tawt", "reinstall tawt")
    reader = csv.DictReader(read_text(path, "mend the file", ConfigError, "a seed", MAX_WRITTEN_BYTES).splitlines())
    rows = [{_PLACE: f"{path}:{reader.line_num}"} | {c: (row.get(c) or "").strip() for c in columns} for row in reader]
    mend = "mend it, or take it out of the project" if files.owns(path) else "reinstall tawt"
    if lacking := [column for column in columns if reader.fieldnames and column not in reader.fieldnames]:
        raise ConfigError(str(path), f"lacks the column `{lacking[0]}`, expected {', '.join(columns)}", mend)
    if not rows:
        what = "has a header alone" if reader.fieldnames else "is empty"
        raise ConfigError(str(path), f"{what}, expected a header and rows", mend)
    first: dict[tuple[str, ...], str] = {}
    for row in rows:
        key = tuple(row[name].lower() for name in keys)
        if (place := first.setdefault(key, row[_PLACE])) != row[_PLACE]:
            line = place.rpartition(":")[2]
            raise ConfigError(
                row[_PLACE], f"says again what line {line} says, expected each {', '.join(keys)} once", mend
            )
    return rows


def _number(row: dict[str, str], column: str, default: str = "") -> float:
    try:
        return float(row[column] or default)
    except ValueError:
        raise ConfigError(row[_PLACE], f"`{column}` is no number, expected one", "mend it there") from None
