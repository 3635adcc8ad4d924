"""What a card tells of a MEDS dataset, in counts that tell of no few people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from tawt.contracts.cells import SMALL_CELL, few, told
from tawt.contracts.dataset import SPLITS

_MOST_FAMILIES = 20
REST = "others"
"""Stands for the families that are not named."""


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of a MEDS dataset: counts as they are, and what its maker says."""

    name: str
    """What it calls itself."""
    description: str
    """What its source is, in one sentence."""
    license: str
    """Terms of use, as its maker gives them; empty = not stated."""
    made_by: Mapping[str, str]
    """What made it -> name or version."""
    calendar: str
    """What dates mean, as `PipelineConfig.calendar`."""
    n_subjects: Mapping[str, int]
    """Split -> subjects."""
    n_rows: Mapping[str, int]
    """Split -> rows."""
    people: Mapping[str, int]
    """Code -> subjects that have it; of a code that many have, at least as many."""
    years: Mapping[int, int]
    """Calendar year -> subjects with an event in it."""
    statuses: Mapping[str, int]
    """value_status -> rows."""
    columns: pa.Schema
    """Of its rows."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """Column -> what it means."""
    is_synthetic: bool = False
    """Whether its records are nobody's."""

    @property
    def splits(self) -> list[tuple[str, str, str]]:
        """Split, subjects and rows as they may be told, and their sums where no split's would follow from these."""
        rows = [(one, few(n := self.n_subjects.get(one, 0)), self._rows(one, n)) for one in SPLITS]
        if any(0 < self.n_subjects.get(one, 0) <= SMALL_CELL for one in SPLITS):
            return rows
        return [*rows, ("all", f"{sum(self.n_subjects.values()):,}", f"{sum(self.n_rows.values()):,}")]

    def _rows(self, split: str, n_subjects: int) -> str:
        return "not told" if 0 < n_subjects <= SMALL_CELL else f"{self.n_rows.get(split, 0):,}"

    @property
    def n_codes(self) -> tuple[int, int]:
        """How many codes there are, and of how many more than few subjects have an event."""
        return len(self.people), len(self._known)

    @property
    def families(self) -> list[tuple[str, int]]:
        """First part of codes that more than few subjects have -> how many such codes, the largest first."""
        counts: dict[str, int] = {}
        for code in self._known:
            name = code.partition("//")[0]
            counts[name] = counts.get(name, 0) + 1
        most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        rest = sum(n for _, n in most[_MOST_FAMILIES:])
        return [*most[:_MOST_FAMILIES], *([(REST, rest)] if rest else [])]

    @property
    def _known(self) -> list[str]:
        return [code for code, n in self.people.items() if n > SMALL_CELL]

    @property
    def time_range(self) -> str:
        """The first and the last year in which more than few subjects have an event, where years mean anything."""
        if self.calendar == "shifted":
            return "Dates are shifted by days, each subject's by its own: years mean nothing, times of day do."
        if self.calendar == "none":
            return "Times are counted from an admission: neither dates nor times of day mean anything."
        known = [year for year, n in self.years.items() if n > SMALL_CELL]
        if not known:
            return f"No calendar year has events of more than {SMALL_CELL} subjects: none is told."
        said = f"of {min(known)} to {max(known)}" if min(known) < max(known) else f"of {min(known)}"
        return f"Events are {said}; years of fewer than {SMALL_CELL + 1} subjects are not told."

    @property
    def values(self) -> list[tuple[str, str]]:
        """Each value_status, and its rows as they may be told; nothing where a split is of few."""
        if any(0 < n <= SMALL_CELL for n in self.n_subjects.values()):
            return []  # their sum is that of all rows, and the rows of the few are no others
        return list(told(self.statuses).items())
