"""Sheets of an evaluation: ROC, precision and recall, calibration, net benefit, numbers, and survival by risk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Floats
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError
from tawt.evaluation.calibration import bins_of, decision_curve
from tawt.evaluation.classes import Columns
from tawt.evaluation.kaplan_meier import kaplan_meier
from tawt.evaluation.measure import Metric
from tawt.evaluation.metrics import AUROC, AVERAGE_PRECISION, Binary
from tawt.evaluation.predictions import Predictions
from tawt.evaluation.regression import Numbers
from tawt.evaluation.survival import Survival
from tawt.evaluation.withheld import has_small_cell
from tawt.figures.common import COLOURS, DASHES, colours, grid, line, save, shades
from tawt.figures.numbers import fewest, plot_numbers

_N_BINS, _GREY, _DAYS_FROM = 10, "#888888", 96.0
_MOST_SHEETS, N_GROUPS = 9, 3
_WORDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below", "%": "percent"}


def plot_models(
    models: Mapping[str, Predictions], folder: Path, title: str, tell: Callable[[str], None] = lambda text: None
) -> list[Path]:
    """Draw what models say of the same rows: a sheet, one of each class or label, or survival of each model.

    There is none of 10 rows or fewer of a bin or a group of risk, nor of a cell of 10 subjects or fewer.

    Args:
        models: By name; of one kind.
        folder: Where the PNGs go.
        title: Of the task.
        tell: Hears what is not drawn.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    outcomes = {name: one.outcome for name, one in models.items()}
    first, subject = next((one.outcome, one.subject_id) for one in models.values())
    sheets: dict[str, dict[str, Binary]] = {}
    whose = {"": subject}
    if isinstance(first, Binary):
        sheets[""] = {name: one for name, one in outcomes.items() if isinstance(one, Binary)}
    elif isinstance(first, Columns):
        for i, column in enumerate(first.names[:_MOST_SHEETS]):
            known = ~np.isnan(first.truth[:, i])
            whose[column] = subject[known]
            sheets[column] = {
                name: Binary(one.truth[known, i], one.score[known, i])
                for name, one in outcomes.items() if isinstance(one, Columns)
            }  # fmt: skip
        if (n := len(first.names) - len(sheets)) > 0:
            tell(f"{title}: {n:,} answers beyond the first {_MOST_SHEETS} are not drawn")
    drawn = []
    for number, (name, sheet) in enumerate(sheets.items(), 1):
        one = next(iter(sheet.values()))
        of = f"{title}, {name}" if name else title
        if one.one_class(np.ones(one.n_rows)) or has_small_cell(one, whose[name]):
            tell(f"{of}: {SMALL_CELL} subjects or fewer of one answer are not drawn")
        else:
            file = f"curves-{number}-{_as_file(name)}.png" if name else "curves.png"
            drawn.append(plot_binary(sheet, folder / file, of))
    numbers = {name: one for name, one in outcomes.items() if isinstance(one, Numbers)}
    is_small = has_small_cell(first, subject)
    if numbers and first.n_rows > fewest() and not is_small:
        drawn.append(plot_numbers(numbers, folder / "numbers.png", title))
    elif numbers:
        tell(f"{title}: {fewest():,} rows or fewer, or {SMALL_CELL} subjects, are not drawn in bins")
    for name, survival in outcomes.items():
        if isinstance(survival, Survival) and len(np.unique(survival.risk)) < N_GROUPS:
            tell(f"{name}: its answers tell no {N_GROUPS} groups of risk apart, and are not drawn")
        elif isinstance(survival, Survival) and survival.n_rows // N_GROUPS > SMALL_CELL and not is_small:
            path = folder / f"survival-{_as_file(name)}.png"
            drawn.append(plot_survival(survival, path, f"{title}: survival by risk, {name}"))
    if isinstance(first, Survival) and (is_small or first.n_rows // N_GROUPS <= SMALL_CELL):
        tell(f"{title}: too few rows for {N_GROUPS} groups of risk are not drawn")
    return drawn


def _as_file(name: str) -> str:
    """Return a name in letters, digits and hyphens, with words for signs that a file cannot have."""
    for sign, word in _WORDS.items():
        name = name.replace(sign, f" {word} ")
    name = re.sub(r"(?<!\w)-(?=\d)", "minus ", name)
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "other"


def plot_binary(models: Mapping[str, Binary], path: Path, title: str = "Evaluation") -> Path:
    """Draw ROC, precision against recall, calibration and net benefit of several models of the same rows.

    Args:
        models: By name, in the order of the legend.
        path: The PNG.
        title: Above all.

    Raises:
        ConfigError: matplotlib is not installed, there are no models, or the rows have one class.
    """
    first = next(iter(models.values()), None)
    if first is None or not first.n_rows or first.one_class(np.ones(first.n_rows)):
        raise ConfigError("figures", "have no model, no rows or one class, expected both classes to draw curves")
    figure, (roc, pr, calibration, benefit) = grid(4, columns=2, width=4.8, height=4.0)
    own = dict(zip(models, colours(len(models)), strict=True))
    dash: dict[str, Any] = {name: "-" if i < len(COLOURS) else DASHES for i, name in enumerate(models)}
    share = float(first.truth.mean())
    roc.plot([0, 1], [0, 1], color=_GREY, ls=DASHES, lw=1.0)
    pr.axhline(share, color=_GREY, ls=DASHES, lw=1.0)
    calibration.plot([0, 1], [0, 1], color=_GREY, ls=DASHES, lw=1.0)
    # beyond three times the share few would act; where it is common the whole range is of use
    thresholds = np.linspace(0.005, min(0.99, max(0.3, 3 * share)), 200)
    n_bins = max(1, min(_N_BINS, first.n_rows // (SMALL_CELL + 1)))
    farthest, n_drawn = 0.05, 0
    for name, model in models.items():
        tp, fp = (steps[0] for steps in model.steps(np.ones((1, model.n_rows))))
        look: dict[str, Any] = {"color": own[name], "ls": dash[name], "lw": 1.6}
        roc.plot(fp / fp[-1], tp / tp[-1], **look)
        recall, precision = tp[1:] / tp[-1], tp[1:] / (tp[1:] + fp[1:])
        # precision holds until the next threshold finds one more
        pr.plot(np.append(0.0, recall), np.append(precision[:1], precision), drawstyle="steps-pre", **look)
        if not model.is_probability:
            continue
        bins = bins_of(model, np.ones((1, model.n_rows)), n_bins)
        enough = bins.weight[0] > SMALL_CELL
        calibration.plot(bins.predicted[0][enough], bins.came[0][enough], marker="o", ms=4, **look)
        n_drawn += int(enough.sum()) > 1
        shown = np.concatenate((bins.predicted[0][enough], bins.came[0][enough], [farthest]))
        farthest = float(shown.max())
        benefit.plot(thresholds, decision_curve(model, thresholds).model, **look)
    everybody = decision_curve(Binary(first.truth, first.truth), thresholds).treat_all
    benefit.plot(thresholds, everybody, color=_GREY, lw=1.0)
    benefit.axhline(0, color=_GREY, ls=DASHES, lw=1.0)
    benefit.set_ylim(-0.1 * share, 1.1 * share)
    benefit.set_xlim(0, thresholds[-1])
    top = min(1.0, 1.08 * farthest)
    calibration.set(xlim=(0, top), ylim=(0, top))
    for axis in (roc, pr):
        axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    _said(roc, "ROC", "share of others above", "share of positives above (recall)")
    _said(pr, "Precision and recall", "recall", "precision")
    _said(calibration, f"Calibration in {n_bins} bins of equal size", "mean predicted", "share that came")
    _said(benefit, "Decision curve", "threshold of acting", "net benefit, true positives a row")
    if not n_drawn:
        text = f"too few rows: a bin is drawn\nof more than {SMALL_CELL}"
        calibration.text(0.5, 0.5, text, transform=calibration.transAxes, ha="center", va="center", color=_GREY)
    handles = [
        line(own[name], f"{name}: AUROC {_told(AUROC, one)}, AP {_told(AVERAGE_PRECISION, one)}", ls=dash[name], lw=1.8)
        for name, one in models.items()
    ]
    handles += [line(_GREY, "act on all", lw=1.0), line(_GREY, "chance, perfect, or act on none", ls=DASHES, lw=1.0)]
    return save(figure, path, f"{title}: {first.n_rows:,} rows, {share:.1%} positive", handles)


def plot_survival(
    outcome: Survival, path: Path, title: str = "Survival by predicted risk", n_groups: int = N_GROUPS
) -> Path:
    """Draw Kaplan and Meier's curve of groups of equal size by risk, each with its 95 % interval.

    A curve ends where 10 or fewer are still watched: what lies beyond says more of people than of the model.

    Args:
        outcome: Of the rows; times in hours.
        path: The PNG.
        title: Above it.
        n_groups: Groups, from the lowest risk to the highest.

    Raises:
        ConfigError: matplotlib is not installed, or a group would have 10 rows or fewer.
    """
    if n_groups < 1 or outcome.n_rows // n_groups <= SMALL_CELL:
        what = f"would have {n_groups} groups of {outcome.n_rows:,} rows"
        raise ConfigError("figures", f"{what}, expected more than {SMALL_CELL} rows in each")
    figure, (axis,) = grid(1, columns=1, width=6.4, height=4.4)
    unit = 24.0 if outcome.time.max() > _DAYS_FROM else 1.0
    order = np.argsort(outcome.risk, kind="stable")
    handles = []
    for number, (rows, colour) in enumerate(zip(np.array_split(order, n_groups), shades(n_groups), strict=True)):
        curve = kaplan_meier(outcome.time[rows] / unit, outcome.event[rows])
        shown = curve.n_left > SMALL_CELL
        at = np.append(0.0, curve.time[shown])

        def after(values: Floats, shown: Any = shown) -> Floats:
            return np.append(1.0, values[shown])

        axis.plot(at, after(curve.survival), color=colour, lw=1.8, drawstyle="steps-post")
        low, high = (np.where(np.isnan(after(e)), after(curve.survival), after(e)) for e in (curve.low, curve.high))
        axis.fill_between(at, low, high, color=colour, alpha=0.15, lw=0, step="post")
        handles.append(line(colour, f"{_tertile(number, n_groups)}, {len(rows):,} rows", lw=1.8))
    axis.set(ylim=(0, 1.02))
    axis.set_xlim(left=0)
    _said(axis, "", f"{'days' if unit > 1 else 'hours'} since the prediction", "share without the event")
    return save(figure, path, title, handles)


def _told(metric: Metric, model: Binary) -> str:
    value = metric(model).value
    return "-" if value is None else f"{value:.3f}"


def _tertile(number: int, n_groups: int) -> str:
    if n_groups == 1:
        return "all"
    if number in (0, n_groups - 1):
        return "highest risk" if number else "lowest risk"
    return "middle" if n_groups == 3 else f"group {number + 1}"


def _said(axis: Any, title: str, x: str, y: str) -> None:
    axis.set_title(title)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
