"""What `tawt risk` says of a task: answers of each estimator, what they cost, and the checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tawt.evaluation.table import Comparison
from tawt.evaluation.withheld import withheld_text
from tawt.evaluation.zero_shot import Check
from tawt.risks.estimates import Estimates
from tawt.risks.simulate import BEST

RECORD, TABLE = "risk.json", "risk.txt"


@dataclass(frozen=True)
class RiskResult:
    """What simulation says of a task."""

    comparison: Comparison | None
    """The estimators on the same labels; None of a dry run."""
    folder: Path
    """Holds `risk.json`, `risk.txt`, and the answers of each estimator as predictions."""
    n_rows: int | None
    """Labels; None = of few subjects."""
    n_unseen: int
    """Labels of whom nothing was known: they are left out."""
    n_open: int = 0
    """Labels of which no continuation has an answer: they are left out too."""
    told: Estimates | None = None
    """What continuations say, label by label; None of a dry run, and of few people."""
    checks: tuple[Check, ...] = ()
    """The five that go with an answer without learning; of tasks that are a yes or no."""
    plain: bool = True
    """Whether the task is just whether a code comes: then there are three estimators, else Monte Carlo alone."""
    split: str = "held_out"
    """Whose labels were asked about."""
    only: int | None = None
    """So many labels were asked about of more that there are; None = all were."""

    @property
    def complete(self) -> float:
        """Share of continuations that were followed to the end of what is asked."""
        return self.told.shares["M0"] if self.told is not None else 0.0

    @property
    def checks_of(self) -> str:
        """The estimator that the checks are of."""
        return BEST[self.plain]

    @property
    def steps(self) -> dict[str, float]:
        """Estimator -> events drawn for a label, a mean."""
        return self.told.steps if self.told is not None else {}

    @property
    def cost(self) -> dict[str, float]:
        """Estimator -> variance of one continuation times its events: what an equal error costs."""
        return self.told.cost if self.told is not None else {}

    @property
    def gain(self) -> dict[str, float]:
        """Estimator -> by how much fewer events than Monte Carlo it needs for an equal error."""
        return {name: self.cost["M0"] / cost for name, cost in self.cost.items() if cost}

    def text(self, width: int = 160) -> str:
        """Return the table, what was drawn for it, and the checks."""
        assert self.comparison is not None, "of a dry run there is no text"
        if self.told is None:
            return withheld_text(self.split, self.comparison.n_subjects, self.only) + "\n"
        lines = [self.comparison.text(width=width).rstrip(), ""]
        cut = ""
        if self.complete < 1:
            cut = "counts as a no, so that each chance is the least that is possible" if self.plain else "is left out"
            cut = f"; the rest was cut, and {cut}: a larger `--most` cuts less"
        if not self.plain:
            lines.append("the task is more than whether a code comes: it was resolved on records, by Monte Carlo alone")
        for name in self.told.steps:
            less = (
                f"; {self.gain[name]:.1f} times fewer than M0 for an equal error{cut and ', what was cut left aside'}"
                if name != "M0" and self.gain.get(name)
                else ""
            )
            lines.append(f"{name}: {self.steps[name]:,.0f} events a label{less}")
        lines.append(f"{self.complete:.1%} of continuations were followed to the end of what is asked{cut}")
        if self.checks:
            lines.append(f"performance, calibration and shortcuts are those of {self.checks_of}")
        return "\n".join([*lines, *(f"\n{check.text()}" for check in self.checks)]) + "\n"
