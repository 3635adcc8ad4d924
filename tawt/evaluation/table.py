"""Models beside one another: each metric with its interval, and its difference to a reference on the same draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from rich.table import Table as RichTable
from rich.text import Text

from tawt.arrays import Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError, joined, listed, nearest, printable
from tawt.evaluation.families import FAMILIES, Family, metrics_of
from tawt.evaluation.measure import Metric
from tawt.evaluation.predictions import Predictions, aligned
from tawt.evaluation.printed import chosen_of, in_cell, printed
from tawt.evaluation.regression import IN_UNIT
from tawt.evaluation.resample import N_DRAWS, Difference, Interval, differences, draws_of, intervals
from tawt.evaluation.withheld import WITHHELD, without

FORMAT = "tawt.evaluation/1"
"""What the JSON names as its format."""
_LEVEL, _MOST_COLUMNS = 0.95, 6


@dataclass(frozen=True)
class Row:
    """One model."""

    name: str
    """As it was called."""
    model: str | None
    """Hash of what predicted."""
    metrics: dict[str, Interval]
    """By the metric's name."""
    differences: dict[str, Difference] | None
    """To the reference; None of the reference itself."""


@dataclass(frozen=True)
class Comparison:
    """Models on the same rows."""

    kind: Family
    """What they predict."""
    reference: str
    """The name of the model that the others are compared with."""
    titles: dict[str, str]
    """What a table calls each metric."""
    rows: tuple[Row, ...]
    """In the order in which they were given."""
    n_rows: int | None
    """Predictions of each; None = of few subjects."""
    n_subjects: int | None
    """Whose they are; None = few."""
    n_draws: int
    """Draws of subjects."""
    seed: int
    """Of the draws."""
    level: float
    """Share of draws within an interval."""
    balanced: bool
    """Whether each subject weighs the same."""
    labels: str | None
    """Hash of the label set."""
    official: tuple[str, ...] = ()
    """Metrics that are the score of a challenge; they are shown first."""
    further: tuple[str, ...] = ()
    """Metrics that a text shows beside the main ones."""

    @property
    def shown(self) -> list[str]:
        """The metrics that a text shows where nothing else is asked for."""
        main = (*self.official, *FAMILIES[self.kind].main, *self.further)
        return [name for name in main if name in self.titles]

    @property
    def of_each(self) -> list[list[str]]:
        """Metrics of one class or label each, as many as a table holds in one list; none of other kinds."""
        if self.kind not in ("classes", "labels"):
            return []
        each = [name for name in self.titles if ":" in name]
        return [
            names[i : i + _MOST_COLUMNS]
            for _, of in groupby(each, key=lambda name: name.partition(":")[0])
            for names in [[*of]]
            for i in range(0, len(names), _MOST_COLUMNS)
        ]

    @property
    def is_withheld(self) -> bool:
        """Whether not a figure of it may be told."""
        return all((one.reason or "").startswith(WITHHELD) for row in self.rows for one in row.metrics.values())

    def without(self, reasons: Mapping[str, str]) -> Comparison:
        """Return it without some metrics of all models, each with the reason that stands instead."""
        none = {name: without(why) for name, why in reasons.items()}
        apart = {name: Difference(None, None, None, 0, 0, why) for name, why in reasons.items()}
        rows = (
            replace(row, metrics=row.metrics | none, differences=row.differences and row.differences | apart)
            for row in self.rows
        )
        few = (self.n_subjects or 0) <= SMALL_CELL
        return replace(
            self, rows=tuple(rows), n_rows=None if few else self.n_rows, n_subjects=None if few else self.n_subjects
        )  # fmt: skip

    def in_unit(self, unit: str) -> Comparison:
        """Return it with a unit in the titles of metrics that have one; "" = it is not known."""
        own = {name: f"{title}, {unit}" for name, title in self.titles.items() if unit and name in IN_UNIT}
        return replace(self, titles=self.titles | own)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON: what is not defined is null, with its reason beside it."""
        return {"format": FORMAT, **asdict(self)}

    def render(self, metrics: Sequence[str] | None = None, names: Mapping[str, str] | None = None) -> RichTable:
        """Return a table with a row a model and a column a metric; differences stand below each number.

        Args:
            metrics: Names; None = the main ones of the kind.
            names: What each model is called; None = by its name.

        Raises:
            ConfigError: There is no such metric.
        """
        chosen = chosen_of(metrics, self.shown, self.titles)
        what = "weighing the same" if self.balanced else "with all their rows"
        below = f"; below less {printable(self.reference)}" if len(self.rows) > 1 else ""
        of = (
            f"fewer than {SMALL_CELL + 1}"
            if self.n_subjects is None
            else f"{self.n_rows:,} rows of {self.n_subjects:,}"
        )
        table = RichTable(
            title=f"{of} subjects",
            caption=Text(f"{100 * self.level:g} % of {self.n_draws:,} draws of subjects, {what}{below}"),
            show_lines=True,
        )
        table.add_column("model", overflow="fold")
        for name in chosen:
            table.add_column(self.titles[name], justify="right", overflow="fold")
        for row in self.rows:
            cells = [Text(in_cell(row.metrics[name])) for name in chosen]
            for cell, name in zip(cells, chosen, strict=True):
                # a prevalence less itself says nothing
                if row.differences is not None and name != "prevalence":
                    cell.append("\n" + in_cell(row.differences[name], sign="+"), style="dim")
            table.add_row(Text(printable(row.name) if names is None else names[row.name]), *cells)
        return table

    def text(self, metrics: Sequence[str] | None = None, width: int = 160) -> str:
        """Return the table as plain text, with the reasons of what is not defined below it.

        Raises:
            ConfigError: There is no such metric.
        """
        names = [row.name for row in self.rows]
        return printed(names, lambda names: self.render(metrics, names), width, self.notes(metrics))

    def notes(self, metrics: Sequence[str] | None = None) -> list[str]:
        """Return why numbers are missing, and how many draws had to be left out: a line for what is alike.

        Args:
            metrics: Names; None = those that the table shows.
        """
        wanted = self.shown if metrics is None else metrics
        of: dict[tuple[str, str], list[str]] = {}
        for row in self.rows:
            for name, one in row.metrics.items():
                why = one.reason
                if why is None and one.n_degenerate:
                    why = f"{one.n_degenerate:,} of {self.n_draws:,} draws are not defined and left out"
                if why is not None and name in wanted:
                    of.setdefault((name, why), []).append(printable(row.name))
        alike: dict[tuple[str, ...], list[str]] = {}
        for (name, why), rows in of.items():
            whose = [] if len(rows) == len(self.rows) else rows  # of all, none is named
            alike.setdefault((*whose, why), []).append(self.titles[name])
        return [f"{joined([*whose, *titles])}: {why}" for (*whose, why), titles in alike.items()]


def compare(
    models: Mapping[str, Predictions],
    reference: str,
    *,
    threshold: Mapping[str, float] | None = None,
    official: Mapping[str, Sequence[Metric]] | None = None,
    only: Collection[str] | None = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    level: float = _LEVEL,
    balanced: bool = False,
) -> Comparison:
    """Measure models on the same rows, with the same draws of subjects.

    Args:
        models: By name, in the order of the table.
        reference: The name of the one that the others are compared with.
        threshold: Of each model, chosen on other rows; None = what comes of it is left out.
        official: Of each model the scores of a challenge, at a threshold chosen on other rows.
        only: Names of metrics that are measured; None = all of the kind.
        n_draws: Draws of subjects.
        seed: Of the draws.
        level: Share of draws within an interval.
        balanced: Whether each subject weighs the same, however many rows it has.

    Raises:
        ConfigError: There is no such reference, or a model lacks its threshold.
        ContractError: The models were not asked about the same rows.
    """
    if reference not in models:
        raise ConfigError(f"reference {reference}", "is none of the models, expected one", nearest(reference, models))
    if threshold is not None and (lacking := [name for name in models if name not in threshold]):
        raise ConfigError("threshold", f"is not given for {listed(lacking)}, expected one for each model")
    aligned(models)
    first = models[reference]
    draws = draws_of(first.subject_id, n_draws, seed, balanced)
    chosen: dict[str, tuple[Metric, ...]] = {
        name: metrics_of(one.outcome, None if threshold is None else threshold[name])
        + (() if official is None else (*official[name],))
        for name, one in models.items()
    }
    if only is not None:
        chosen = {name: tuple(one for one in of if one.name in only) for name, of in chosen.items()}
    found = {name: intervals(chosen[name], one.outcome, draws, level) for name, one in models.items()}
    rows = tuple(
        Row(
            name,
            models[name].about.get("model"),
            own[0],
            None if name == reference else differences(chosen[name], own, found[reference], level),
        )
        for name, own in found.items()
    )
    titles = {metric.name: metric.title for metric in chosen[reference]}
    return Comparison(
        first.kind, reference, titles, rows, first.outcome.n_rows, draws.n_subjects, n_draws, seed, level, balanced,
        first.about.get("labels"), () if official is None else tuple(one.name for one in official[reference]),
    )  # fmt: skip


def unmeasured(
    kind: Family, models: Sequence[str], subject_id: Ints, n_draws: int, seed: int, labels: str
) -> Comparison:
    """Return a comparison of models on rows `(n,)` of subjects, before anything of it is measured."""
    rows = tuple(Row(name, None, {}, None) for name in models)
    whose = len(np.unique(subject_id))
    found = Comparison(
        kind, models[0], {}, rows, len(subject_id), whose, n_draws, seed, _LEVEL, balanced=False, labels=labels
    )
    return found.without({})
