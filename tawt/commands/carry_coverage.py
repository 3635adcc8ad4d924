"""What `tawt carry` found: how much of a place a run knows, what it misses, and how far numbers have moved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tawt.contracts.cells import SMALL_CELL, Part, told, untold_parts
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.dataset.vocabulary import Vocabulary
from tawt.pipeline.manifest import read_manifest
from tawt.pipeline.workspace import Workspace
from tawt.transforms.carry import CARRIED, WAYS, read_carried

_SHIFTED, _OF_CHANCE = 0.25, 2.0
"""A population stability index above which numbers are told to have moved, by the custom of who uses it; and so
many times what chance makes of so few people."""
_NAMED = 3
_MANY_UNKNOWN = 0.05
"""A share of rows from which on it is said what rows that are unknown do."""


@dataclass(frozen=True)
class Coverage:
    """Codes of this place that are known in one way."""

    way: str
    """code, name, concept, parents or unknown."""
    n_data_types: int
    n_rows: int | None
    """Of all splits; None = of few subjects, or it would tell the rows of few."""
    share: float | None
    """Of all rows; None as those."""
    n_subjects: int
    """Subjects who have a row of them; 0 where these are few, or all but few."""


@dataclass(frozen=True)
class Drift:
    """The numbers of a code here beside those that its data_type was fitted on."""

    code: str
    data_type: str
    """What it is read as."""
    way: str
    unit: str
    """Of this place; where it is another, what becomes of it."""
    n_rows: int
    distance: float | None
    """Of Kolmogorov and Smirnov, over the bins of there; None where numbers are refused or edges withheld."""
    shift: float | None
    """Population stability index over the same bins."""
    chance: float | None
    """What that is on average of so many people who do not differ."""

    @property
    def moved(self) -> bool:
        """Whether the numbers lie elsewhere than there."""
        return self.shift is not None and self.shift > max(_SHIFTED, _OF_CHANCE * (self.chance or 0.0))


@dataclass(frozen=True)
class Family:
    """Codes of this place that are alike up to their first `//`."""

    name: str
    n_rows: int
    n_known: int | None
    """Rows of codes that are known; None where these, or the others, are of few subjects, or would tell rows of few."""


@dataclass(frozen=True)
class CarryResult:
    """What `carry` made, and what it found."""

    place: Path
    """Holds the vocabulary, triplets and dataset."""
    of: str
    """What the run is called."""
    coverage: tuple[Coverage, ...]
    drift: tuple[Drift, ...]
    """Of codes with numbers of more than few people, those that have moved the farthest first."""
    families: tuple[Family, ...]
    """Families of more than few people, but for those that would tell the rows of few, the largest first."""
    met: float | None
    """Share of the rows that the run's vocabulary was fitted on that are of data_types which come here."""
    unmet: tuple[str, ...]
    """Data_types of more than few people that do not come here, the most frequent there first."""
    unknown: tuple[str, ...]
    """Codes of more than few people that are not known, the most frequent first. Rows are told of none: with their sum
    these could tell the rows of few."""
    times: tuple[str, ...]
    """What times and dates mean there and here, where that is not the same."""
    n_subjects: tuple[int, int]
    """Subjects who have a row that is known, and all."""
    made: bool
    """Whether anything was made; else all was there."""
    kept: bool = False
    """Whether it is the workspace's own vocabulary, which new records are read in."""
    n_fitted: int = 0
    """Rows that the vocabulary was fitted on."""

    def lines(self) -> list[str]:
        """Return what a person is to know before anything is computed, a line each."""
        known = sum(one.share or 0.0 for one in self.coverage if one.way in WAYS)
        how = ", ".join(f"{one.n_data_types:,} by {one.way}" for one in self.coverage if one.way in WAYS)
        gone = sum(one.n_data_types for one in self.coverage if one.way not in WAYS)
        which = "the vocabulary of {} is kept" if self.kept else "{} has another vocabulary than the workspace"
        told = [
            f"{which.format(self.of)}: it knows {known:.1%} of the rows (data_types: "
            f"{how or 'none'}; {gone:,} unknown), of {_of_all(*self.n_subjects)} subjects"
        ]
        lost = {one.name: one.n_rows - one.n_known for one in self.families if one.n_known is not None}
        if largest := sorted((name for name, n in lost.items() if n), key=lambda name: -lost[name]):
            told.append(f"unknown rows are of {_few([f'{name} ({lost[name]:,})' for name in largest])}")
        if self.unknown:
            told.append(f"codes that it does not know, the most frequent first: {_few(list(self.unknown))}")
        if (unknown := sum(one.share or 0.0 for one in self.coverage if one.way not in WAYS)) >= _MANY_UNKNOWN:
            told.append(
                f"{unknown:.1%} of the rows are [UNK] to it: they take room in its windows, and embeddings are not "
                "those without these rows; "
                f"`tawt {'build-vocab --extend' if self.kept else 'extend'}` gives new data_types rows of their own"
            )
        if self.met is not None and self.unmet:
            named = _few(list(self.unmet))
            told.append(f"{self.met:.1%} of what it learned from is of data_types that come here; {named} do not")
        told += self.times
        other = [one for one in self.drift if "->" in one.unit]
        refused = [one for one in self.drift if "refused" in one.unit]
        for said, rows in (("converted", other), ("left out, as no rule leads from their unit", refused)):
            if rows:
                told.append(f"numbers of {_few([f'{one.code} ({one.unit})' for one in rows])} are {said}")
        if self.kept and self.n_fitted and self.drift:
            told.append(
                f"the {self.n_fitted:,} rows of train that it was fitted on are among those whose numbers are told, "
                "as far as they are here yet: new ones alone may lie farther"
            )
        if moved := [one for one in self.drift if one.moved]:
            named = _few([f"{one.code} {one.shift:.2f}" for one in moved])
            told.append(
                f"numbers of {named} lie elsewhere than there (population stability index above {_SHIFTED}, and above "
                "what chance makes of so few)"
            )
        return told


def read_found(
    nested: Workspace, name: str, vocabulary: Vocabulary, made: bool, times: tuple[str, ...], kept: bool = False
) -> CarryResult:
    """Read what was found.

    Args:
        nested: What was carried.
        name: What the run is called.
        vocabulary: Of the run.
        made: Whether anything was made.
        times: What is to be said of times.
        kept: Whether it is the workspace's own vocabulary.
    """
    manifest = read_manifest(nested, "vocabulary")
    assert manifest is not None
    table = read_carried(pa.BufferReader((nested.output("vocabulary") / CARRIED).read_bytes()))
    facts: dict[str, Any] = manifest.facts
    total, subjects = sum(facts["n_rows"].values()), facts["n_subjects"]
    ways = sorted(facts["n_rows"].items(), key=lambda one: (*WAYS, one[0]).index(one[0]))
    untold = untold_parts([Part(way, n, subjects.get(way, 0)) for way, n in ways])
    coverage = tuple(
        Coverage(
            way, facts["n_data_types"][way], *_rows(n, total, subjects.get(way, 0), subjects["all"], way in untold)
        )
        for way, n in ways
    )
    drift = [
        Drift(
            row["code"], vocabulary.codes[row["data_type"]], row["way"], _unit(row), row["n_rows"], row["distance"],
            row["shift"], row.get("chance"),
        )
        for row in table.to_pylist()
        if row["way"] is not None and row["n_value_subjects"] > SMALL_CELL
    ]  # fmt: skip
    drift.sort(key=lambda one: (not one.moved, one.shift is None, -(one.shift or 0.0), one.code))
    rows = table.to_pylist()
    met, unmet = _met(vocabulary, {row["data_type"] for row in rows if row["way"] is not None})
    return CarryResult(
        nested.root, name, coverage, tuple(drift), _families(rows), met, unmet, _unknown(rows), times,
        (subjects["known"], subjects["all"]), made, kept, sum(n or 0 for n in vocabulary.table()["n_rows"].to_pylist()),
    )  # fmt: skip


def _unknown(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    found = [row for row in rows if row["way"] is None and row["n_subjects"] > SMALL_CELL]
    return tuple(row["code"] for row in sorted(found, key=lambda row: (-row["n_rows"], row["code"])))


def _families(rows: list[dict[str, Any]]) -> tuple[Family, ...]:
    """Return the families of codes that can be told, so that none that is not follows from them and their sums."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["code"].partition("//")[0], []).append(row)
    gone = untold_parts([_part(name, own) for name, own in found.items()])
    known = {name: [r for r in own if r["way"] is not None] for name, own in found.items()}
    unknown = {name: [r for r in own if r["way"] is None] for name, own in found.items()}
    half: set[str] = set()
    for side in (known, unknown):
        half |= untold_parts([_part(name, own) for name, own in side.items()])
    families = [
        Family(name, _part(name, own).n_rows, None if name in half else _part(name, known[name]).n_rows)
        for name, own in found.items()
        if name not in gone
    ]
    return tuple(sorted(families, key=lambda one: (-one.n_rows, one.name)))


def _part(name: str, rows: list[dict[str, Any]]) -> Part:
    return Part(name, sum(r["n_rows"] for r in rows), max((r["n_subjects"] for r in rows), default=0))


def _met(vocabulary: Vocabulary, come: set[int]) -> tuple[float | None, tuple[str, ...]]:
    """Return the share of a vocabulary's rows that is of data_types which come, and those that do not."""
    table = vocabulary.table()
    rows, people = table["n_rows"].to_pylist(), table["n_subjects"].to_pylist()
    own = [i for i, code in enumerate(vocabulary.codes) if code not in SPECIAL_CODES]
    total = sum(rows[i] for i in own)
    if not total:  # a shared model withholds them
        return None, ()
    gone = sorted((i for i in own if i not in come and people[i] > SMALL_CELL), key=lambda i: (-rows[i], i))
    names = table["description"].to_pylist()
    said = tuple(f"{vocabulary.codes[i]} ({names[i]})" if names[i] else vocabulary.codes[i] for i in gone)
    return sum(rows[i] for i in own if i in come) / total, said


def _unit(row: dict[str, Any]) -> str:
    here, there = row["unit"] or "no unit", row["unit_there"] or "no unit"
    if row["refused"]:
        return f"{here}, refused: {there} there"
    return here if (row["factor"], row["offset"]) == (1.0, 0.0) else f"{here} -> {there}"


def _rows(n: int, total: int, n_subjects: int, n_all: int, untold: bool) -> tuple[int | None, float | None, int]:
    """Return rows, their share and whose they are, as far as these can be told."""
    n_told = n_subjects if n_subjects > SMALL_CELL and not 0 < n_all - n_subjects <= SMALL_CELL else 0
    return (None, None, n_told) if untold else (n, n / max(1, total), n_told)


def _of_all(n_subjects: int, n_all: int) -> str:
    """Return how many of all subjects, where neither they nor the others are told if they are few."""
    return f"{told({'known': n_subjects, 'unknown': n_all - n_subjects})['known']} of {told({'all': n_all})['all']}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
