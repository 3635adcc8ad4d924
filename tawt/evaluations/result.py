"""What an evaluation found: models beside one another, groups of subjects, and the first run with less to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tawt.evaluation.baselines import Shuffled
from tawt.evaluation.families import FAMILIES
from tawt.evaluation.resample import Interval
from tawt.evaluation.settle import Settled, groups_text, settled_text, shuffled_text
from tawt.evaluation.subgroups import Subgroup
from tawt.evaluation.table import Comparison
from tawt.evaluation.withheld import withheld_text


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation found, and where it was written."""

    comparison: Comparison
    """Runs and baselines beside one another."""
    folder: Path
    """Holds `evaluation.json`, `evaluation.txt`, and the predictions of each model."""
    notes: tuple[str, ...]
    """What is to be known beside."""
    shuffled: Shuffled | None = None
    """What the first run's encoder finds in shuffled labels, where that was asked for."""
    plots: tuple[Path, ...] = ()
    """Figures that were drawn."""
    settled: Mapping[str, Settled] = field(default_factory=dict)
    """Name of each model of yes or no -> what was settled on tuning."""
    groups: Mapping[str, Sequence[Subgroup]] = field(default_factory=dict)
    """What subjects are told apart by -> the first run in each group."""
    fewer: Comparison | None = None
    """The first run with fewer images, or with those of others; None where it looks at none."""
    n_tuning: int | None = 0
    """Rows of tuning; None = of few subjects."""
    split: str = "held_out"
    """What was measured."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it but the plots."""
        shuffled = self.shuffled
        return {
            **self.comparison.to_json(),
            "settled": {name: one.to_json() for name, one in self.settled.items()},
            "n_tuning": self.n_tuning,
            "groups": {attribute: [asdict(one) for one in parts] for attribute, parts in self.groups.items()},
            "fewer_contents": None if self.fewer is None else self.fewer.to_json(),
            "shuffled": None if shuffled is None else {**asdict(shuffled), "is_at_chance": shuffled.is_at_chance},
            "notes": [*self.notes],
        }

    def rows(self) -> list[dict[str, str]]:
        """Return a row a model and metric, as texts: the number, its interval, and what it is less the first model."""
        told = []
        for row in (*self.comparison.rows, *(self.fewer.rows[1:] if self.fewer is not None else ())):
            for name, one in row.metrics.items():
                less = row.differences[name] if row.differences is not None else None
                cells = {"model": row.name, "metric": name, **_cells("", one), **_cells("less_first_", less)}
                told.append(cells | {"reason": one.reason or ""})
        return told

    def text(self, width: int = 160) -> str:
        """Return the tables: models beside one another, each class or label, what was settled, and groups of subjects.

        A sentence where no figure may be told.
        """
        if self.comparison.is_withheld:
            return withheld_text(self.split, self.comparison.n_subjects) + "\n"
        of_each = (self.comparison.text(names, width) for names in self.comparison.of_each)
        parts = [self.comparison.text(width=width), *of_each]
        if self.settled:
            parts.append(settled_text(self.settled, self.n_tuning, self.comparison, width))
        groups = {name: of for name, of in self.groups.items() if not all(one.withheld for one in of)}
        if groups:
            shown = [name for name in FAMILIES[self.comparison.kind].main[:2] if name in self.comparison.titles]
            titles = {name: self.comparison.titles[name] for name in shown}
            parts.append(groups_text(self.comparison.reference, groups, titles, width))
        if self.fewer is not None:
            title = f"{self.fewer.reference}, where images or other contents are lost"
            parts.append(f"\n{title}\n{self.fewer.text(width=width)}")
        return "".join([*parts, shuffled_text(self.shuffled), "\n"])


def _cells(mark: str, one: Interval | None) -> dict[str, str]:
    numbers = (None, None, None) if one is None else (one.value, one.low, one.high)
    names = (f"{mark}value", f"{mark}low", f"{mark}high")
    return {name: "" if x is None else repr(x) for name, x in zip(names, numbers, strict=True)}
