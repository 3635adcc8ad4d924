"""What is settled on tuning and held to other rows: a threshold, mended probabilities, and intervals of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from tawt.errors import printable
from tawt.evaluation.baselines import Shuffled
from tawt.evaluation.calibration import decision_curve
from tawt.evaluation.measure import Measure
from tawt.evaluation.metrics import PREVALENCE, Binary, best_threshold
from tawt.evaluation.printed import in_cell, printed
from tawt.evaluation.recalibrate import before_and_after
from tawt.evaluation.regression import Numbers
from tawt.evaluation.subgroups import Subgroup
from tawt.evaluation.table import Comparison

COVERED = 0.9
"""Share of rows that an interval of numbers is to hold."""
_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
_AT_IT = ("sensitivity", "specificity", "ppv")
_SHOWN = ("ece", "calibration_slope")


@dataclass(frozen=True)
class Settled:
    """What was settled for one model of yes or no, and what came of it on the rows that are measured."""

    threshold: float | None
    """Where min(sensitivity, positive predictivity) of tuning is largest; None = one class there."""
    calibration: dict[str, dict[str, Measure]]
    """`before`, and after a temperature, a line, a curve and steps: metrics by name."""
    official: float | None
    """Where the official score of a challenge is largest on tuning; None = there is none."""
    net_benefit: dict[str, list[float]] | None
    """Of acting at each `threshold`: by the `model`, of all, per row; None where there is no probability."""

    @staticmethod
    def of(tuning: Binary, test: Binary, official: float | None = None) -> Settled:
        """Settle on some rows, and measure on others; the threshold of an official score is settled already."""
        at = best_threshold(tuning)
        curve = decision_curve(test, _THRESHOLDS) if test.is_probability and test.n_rows else None
        benefit = None
        if curve is not None:
            benefit = {
                "threshold": [*_THRESHOLDS], "model": curve.model.tolist(), "treat_all": curve.treat_all.tolist()
            }  # fmt: skip
        return Settled(at, before_and_after(tuning, test), official, benefit)

    def without(self, reasons: Mapping[str, str], few_tuning: bool) -> Settled:
        """Return it without figures that are not told, by their reasons, nor what is of few subjects of tuning."""
        calibration = {
            how: {name: Measure(None, reasons[name]) if name in reasons else one for name, one in of.items()}
            for how, of in self.calibration.items()
        }
        return Settled(
            None if few_tuning else self.threshold, calibration, None if few_tuning else self.official,
            None if PREVALENCE.name in reasons else self.net_benefit,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        return asdict(self)


def interval_width(tuning: Numbers, covered: float = COVERED) -> float:
    """Return by how much a number may be off either way so that a share of tuning, and of rows like it, is within.

    Infinite where there are too few rows to say.

    Source: Lei et al., Distribution-free predictive inference for regression, 2018 (split conformal).
    """
    error = np.sort(np.abs(tuning.error))
    place = int(np.ceil((len(error) + 1) * covered)) - 1
    return float(error[place]) if place < len(error) else float("inf")


def settled_text(models: Mapping[str, Settled], n_tuning: int | None, measured: Comparison, width: int = 160) -> str:
    """Return the table of what was settled, beside what comes of it on the rows that are measured."""
    return printed([*models], lambda names: _settled(models, n_tuning, measured, names), width)


def _settled(
    models: Mapping[str, Settled], n_tuning: int | None, measured: Comparison, names: Mapping[str, str]
) -> RichTable:
    n = "few" if n_tuning is None else f"{n_tuning:,}"
    table = RichTable(title=f"settled on {n} rows of tuning, held to the rows above")
    of = {row.name: row.metrics for row in measured.rows}
    for name in ("model", "threshold", *(f"{measured.titles.get(one, one)}\nat it" for one in _AT_IT)):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for name in ("ECE", "slope"):
        table.add_column(f"{name}, and after\na temperature", justify="right")
    for name, one in models.items():
        at_it = [of[name].get(one) for one in _AT_IT]
        cells = [
            _number(Measure(one.threshold)),
            *("-" if own is None else in_cell(own) for own in at_it),
        ]
        for metric in _SHOWN:
            cells.append(" -> ".join(_number(one.calibration[how][metric]) for how in ("before", "temperature")))
        table.add_row(Text(names[name]), *cells)
    return table


def groups_text(
    model: str, groups: Mapping[str, Sequence[Subgroup]], titles: Mapping[str, str], width: int = 160
) -> str:
    """Return the table of one model's groups; what is withheld says so."""
    several = "a subject counts in each group that a row of it is in: groups may add up to more than there are"
    table = RichTable(title=f"{printable(model)} by group", caption=several)
    for name in ("by", "group", "subjects"):
        table.add_column(name, overflow="fold")
    for title in titles.values():
        table.add_column(title, justify="right")
    for attribute, parts in groups.items():
        for one in parts:
            n = "-" if one.n_subjects is None else f"{one.n_subjects:,}"
            cells = ["withheld" if one.withheld else in_cell(one.metrics[name], between=" ") for name in titles]
            table.add_row(Text(printable(attribute)), Text(printable(one.name)), n, *cells)
    out = StringIO()
    Console(file=out, width=width, no_color=True, highlight=False).print(table)
    return out.getvalue()


def shuffled_text(found: Shuffled | None) -> str:
    """Return in a line whether a probe of shuffled labels is at chance."""
    if found is None:
        return ""
    low, high = found.interval.low, found.interval.high
    if found.interval.value is None or low is None or high is None:
        return f"shuffled labels: {found.metric}: {found.interval.reason or 'not defined'}"
    at = "at chance" if found.is_at_chance else f"not at chance ({found.chance:g}): something tells the labels"
    return f"shuffled labels: {found.metric} {found.interval.value:.3f} ({low:.3f} to {high:.3f}), {at}"


def _number(one: Measure) -> str:
    return "-" if one.value is None else f"{one.value:.3f}"
