"""Units: one canonical unit per data_type; every other spelling, unit or number is converted, or marked.

A number whose unit no rule leads to the canonical one is `unit_unknown`: it is kept as `raw_value` and never
averaged in. A number without any unit counts as unknown too where the data_type has a unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from tawt.config.pipeline import DataType, PipelineConfig
from tawt.errors import ConfigError, nearest
from tawt.project import Project
from tawt.transforms.seeds import conversions_of, ranges_of, spellings_of

CAPITAL = re.compile(
    r"\b(?:[MGTP](?:g|mol|I?U|Eq|[Oo]sm|Pa|Hz|Bq|Gy|Sv|J|W|V|Ci|cal|eV|CFU|cfu|cells|copies)|[GT]/[uµμmn]?[Ll]"
    r"|[munpf][MS])\b", re.ASCII
)  # fmt: skip
"""A capital that makes another unit, as in `sql/shared/macros/unit_letters.sql`."""
SHOWN_FROM = 11
"""Rows from which on a unit, which is a cell of the source, is named."""


@dataclass(frozen=True)
class Rule:
    """What happens to the numbers of one data_type that come in one unit."""

    unit: str | None
    """Canonical unit."""
    factor: float
    offset: float
    """number * factor + offset is in the canonical unit."""
    name: str | None
    """`spelling`, `convert:FROM->TO`, `unknown`, or None where nothing was needed."""
    low: float
    high: float
    """Plausible range in the canonical unit, inclusive; infinite where there is none."""

    @property
    def known(self) -> bool:
        """Whether the number can be used."""
        return self.name != "unknown"


@dataclass(frozen=True)
class Units:
    """The seeds that come with tawt, and what a pipeline says of its data_types."""

    spellings: dict[str, str]
    conversions: dict[tuple[str, str, str], tuple[float, float]]
    ranges: dict[str, tuple[str, float, float]]
    data_types: dict[str, DataType]

    @classmethod
    def of(cls, pipeline: PipelineConfig, project: Project | None = None) -> Units:
        """Read the seeds, a project's before those that come with tawt.

        Raises:
            ConfigError: A seed is absent, says one thing twice, or a number in it is none or can be none.
        """
        files = project or Project()
        seeds = spellings_of(files), conversions_of(files), ranges_of(files)
        return cls(*seeds, dict(pipeline.data_types))

    def hold(self, pairs: pa.Table | None = None) -> None:
        """Hold what a pipeline says of its data_types to names that are there.

        Args:
            pairs: `code`, `unit` and `n` rows with a number, as they came; None = units are not looked at. Where all of
                a code came without a unit, the one that is said is theirs.

        Raises:
            ConfigError: A concept is of no seed, or a unit is of none and no number comes in it.
        """
        concepts = {*self.ranges, *(concept for concept, _, _ in self.conversions)} - {""}
        known = {*self.spellings.values(), *(unit for unit, _, _ in self.ranges.values())}
        known |= {unit for _, *both in self.conversions for unit in both}
        came: dict[str | None, int] = {}
        with_unit: set[str] = set()
        for row in pairs.to_pylist() if pairs is not None else ():
            with_unit |= {row["code"]} if row["unit"] is not None else set()
            came[self.spelled(row["unit"])] = came.get(self.spelled(row["unit"]), 0) + row["n"]
        for code, data_type in self.data_types.items():
            if data_type.concept is not None and data_type.concept not in concepts:
                raise ConfigError(
                    f"data_types.{code}.concept", f"`{data_type.concept}` is of no seed, expected one that has a range "
                    "or a conversion", nearest(data_type.concept, concepts),
                )  # fmt: skip
            unit = data_type.unit
            if code in with_unit and unit is not None and unit not in {*known, *came}:
                # a unit that hardly any row has may be somebody's cell
                named = known | {one for one, n in came.items() if one is not None and n >= SHOWN_FROM}
                raise ConfigError(
                    f"data_types.{code}.unit", f"`{unit}` is of no seed, and no number comes in it, expected a unit "
                    "that is somewhere", nearest(unit, named - {""}),
                )  # fmt: skip

    def spelled(self, unit: str | None) -> str | None:
        """Return the canonical spelling of a unit; a unit that no seed knows is its own."""
        if unit is None:
            return None
        plain = unit.strip()
        # spellings are in small letters: where a capital makes another unit, none is meant
        return plain or None if CAPITAL.search(plain) else self.spellings.get(plain.lower(), plain) or None

    def canonical(self, code: str, counts: dict[str | None, int]) -> str | None:
        """Return the canonical unit of a data_type: the pipeline's, else that of its range, else the most frequent.

        Args:
            code: The data_type.
            counts: Unit as it came -> rows in train with a number.
        """
        known = self.data_types.get(code)
        if known is not None and known.unit is not None:
            return known.unit
        merged: dict[str | None, int] = {}
        for unit, n in counts.items():
            merged[self.spelled(unit)] = merged.get(self.spelled(unit), 0) + n
        if known is not None and known.concept in self.ranges and any(merged):
            return self.ranges[known.concept][0] or None
        # "no unit" can be the most frequent one, as for an index; a tie goes to a real unit, then by name
        return min(merged, key=lambda unit: (-merged[unit], unit is None, unit or ""), default=None)

    def rule(self, code: str, unit: str | None, canonical: str | None, has_units: bool) -> Rule:
        """Return what happens to the numbers of a data_type that come in a unit.

        Args:
            code: The data_type.
            unit: The unit as it came.
            canonical: See `canonical`.
            has_units: Whether train gives any unit for this data_type; if not, a number without one is believed.
        """
        known = self.data_types.get(code, DataType())
        concept = known.concept or ""
        low, high = float("-inf"), float("inf")
        if concept in self.ranges and (canonical is None or self.ranges[concept][0] in (canonical, "")):
            _, low, high = self.ranges[concept]
        low = low if known.low is None else known.low
        high = high if known.high is None else known.high
        spelled = self.spelled(unit)
        if spelled is None and not has_units:
            return Rule(canonical, 1.0, 0.0, None, low, high)
        if spelled == canonical:
            return Rule(canonical, 1.0, 0.0, None if unit == canonical else "spelling", low, high)
        for name in (concept, ""):
            conversion = self.conversions.get((name, spelled or "", canonical or ""))
            if conversion is not None:
                factor, offset = conversion
                return Rule(canonical, factor, offset, f"convert:{spelled}->{canonical}", low, high)
        return Rule(canonical, 1.0, 0.0, "unknown", low, high)
