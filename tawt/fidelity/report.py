"""What was found of invented records: numbers of each set with their intervals, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from tawt.arrays import Floats
from tawt.contracts.cells import SMALL_CELL, few
from tawt.errors import printable
from tawt.evaluation.printed import in_cell, printed
from tawt.fidelity.groups import Measure
from tawt.fidelity.metrics import metric_of
from tawt.fidelity.portrait import Portrait

FORMAT = "tawt.fidelity/1"
"""What the JSON names as its format."""


@dataclass(frozen=True)
class Worst:
    """A data_type whose numbers are far from the real ones."""

    data_type: int
    """Its index."""
    ks: float | None
    """How far."""
    w1: float | None
    """How far, in interquartile ranges of the real ones."""
    limit: float | None
    """KS that real sets stay below in 95 of 100."""


@dataclass(frozen=True)
class Fidelity:
    """Sets compared with real records."""

    n_subjects: int
    """Of each set."""
    sets: Mapping[str, Mapping[str, Measure]]
    """Set -> metric -> its number: `synthetic`, `real`, then the controls."""
    worst: tuple[Worst, ...]
    """Data_types of the synthetic set, the farthest first."""
    not_finite: Mapping[str, int] = field(default_factory=dict)
    """Set, `test` too -> its numbers that are none or infinite, which no measure looks at."""
    portraits: Mapping[str, Portrait] = field(default_factory=dict)
    """What pictures are drawn of, of each set and of `test`; counts of few people are in it."""
    scores: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Discriminator -> its scores of real and of synthetic subjects."""

    @property
    def metrics(self) -> list[str]:
        """All metrics that some set has a number of, in order."""
        names = dict.fromkeys(name for of in self.sets.values() for name in of)
        return [name for name in names if any(of[name].value is not None for of in self.sets.values() if name in of)]

    @property
    def lost(self) -> list[str]:
        """What no measure looked at, a line a set."""
        return [f"{printable(name)}: {few(n)} numbers that are none or infinite are left out of all that is measured"
                for name, n in self.not_finite.items() if n]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON: what is not defined is null, with its reason beside it."""
        names = dict.fromkeys(name for of in self.sets.values() for name in of)
        return {
            "format": FORMAT,
            "n_subjects": None if self.n_subjects <= SMALL_CELL else self.n_subjects,
            "metrics": {name: {"title": (one := metric_of(name)).title, "better": one.better} for name in names},
            "sets": {name: {metric: asdict(one) for metric, one in of.items()} for name, of in self.sets.items()},
            "worst": [asdict(one) for one in self.worst],
            "not_finite": {name: few(n) for name, n in self.not_finite.items()},
        }

    def render(self) -> Table:
        """Return a table with a row a metric and a column a set; intervals stand beside each number."""
        table = Table(
            title=f"{few(self.n_subjects)} subjects of each set, held to as many real ones",
            caption=Text("95 %, by leaving out a twentieth of the subjects in turn"),
        )
        table.add_column("metric", overflow="fold")
        table.add_column("best", justify="right")
        for name in self.sets:
            table.add_column(printable(name), justify="right", overflow="fold")
        for name in self.metrics:
            own = metric_of(name)
            cells = (in_cell(of.get(name), between=" ", digits=3) for of in self.sets.values())
            table.add_row(printable(own.title), own.better, *cells)
        return table

    def text(self, width: int = 160) -> str:
        """Return the table as plain text, with the reasons below it."""
        table = printed([], lambda names: self.render(), width).rstrip()
        return "\n".join([table, *self.reasons])

    @property
    def reasons(self) -> list[str]:
        """Why numbers or intervals are missing, and of how many."""
        found = Counter(one.reason for of in self.sets.values() for one in of.values() if one.reason)
        return [f"{n:,} number{'s' * (n > 1)}: {why}" for why, n in found.items()]
