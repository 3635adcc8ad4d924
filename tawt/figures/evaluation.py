"""Sheets of an evaluation: ROC, precision and recall, calibration, net benefit, numbers, and survival by risk."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError, listed
from tawt.evaluation.calibration import bins_of, decision_curve
from tawt.evaluation.classes import Columns
from tawt.evaluation.measure import Metric, wilson
from tawt.evaluation.metrics import AUROC, AVERAGE_PRECISION, Binary
from tawt.evaluation.predictions import Predictions
from tawt.evaluation.regression import Numbers
from tawt.evaluation.survival import Survival
from tawt.evaluation.withheld import has_small_cell
from tawt.figures.common import DASHES, entry, grid, line, looks, save
from tawt.figures.numbers import fewest, plot_numbers
from tawt.figures.survival import groups_of_risk, plot_survival

_N_BINS, _GREY, _MOST_SHEETS = 10, "#888888", 9
_WORDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below", "%": "percent"}


def plot_models(
    models: Mapping[str, Predictions], folder: Path, title: str, tell: Callable[[str], None] = lambda text: None,
    own: Collection[str] | None = None, unit: str = "",
) -> list[Path]:  # fmt: skip
    """Draw what models say of the same rows: a sheet, one of each class or label, or survival of each model.

    There is none of 10 rows or fewer of a bin or a group of risk, nor of a cell of 10 subjects or fewer.

    Args:
        models: By name; of one kind.
        folder: Where the PNGs go.
        title: Of the task.
        tell: Hears what is not drawn.
        own: Those of the runs, which are drawn strong; None = all.
        unit: Of numbers; "" where it is not known.

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
            drawn.append(plot_binary(sheet, folder / file, of, own))
    numbers = {name: one for name, one in outcomes.items() if isinstance(one, Numbers)}
    is_small = has_small_cell(first, subject)
    if numbers and first.n_rows > fewest() and not is_small:
        drawn.append(plot_numbers(numbers, folder / "numbers.png", title, own, unit))
    elif numbers:
        tell(f"{title}: {fewest():,} rows or fewer, or {SMALL_CELL} subjects, are not drawn in bins")
    alone = []
    for name, survival in outcomes.items():
        if not isinstance(survival, Survival):
            continue
        if len(groups_of_risk(survival, subject)) < 2:
            alone.append(name)
            continue
        path = folder / f"survival-{_as_file(name)}.png"
        drawn.append(plot_survival(survival, path, f"{title}: survival by risk, {name}", subject))
    if alone:
        why = f"each with more than {SMALL_CELL} subjects with the event, and without it"
        tell(f"{title}: no two groups of risk {why}, in what {listed(alone)} says: not drawn")
    return drawn


def _as_file(name: str) -> str:
    """Return a name in letters, digits and hyphens, with words for signs that a file cannot have."""
    for sign, word in _WORDS.items():
        name = name.replace(sign, f" {word} ")
    name = re.sub(r"(?<!\w)-(?=\d)", "minus ", name)
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "other"


def plot_binary(
    models: Mapping[str, Binary], path: Path, title: str = "Evaluation", own: Collection[str] | None = None
) -> Path:
    """Draw ROC, precision against recall, calibration and net benefit of several models of the same rows.

    Args:
        models: By name, in the order of the legend.
        path: The PNG.
        title: Above all.
        own: Those of the runs, which are drawn strong; None = all.

    Raises:
        ConfigError: matplotlib is not installed, there are no models, or the rows have one class.
    """
    first = next(iter(models.values()), None)
    if first is None or not first.n_rows or first.one_class(np.ones(first.n_rows)):
        raise ConfigError("figures", "have no model, no rows or one class, expected both classes to draw curves")
    figure, (roc, pr, calibration, benefit) = grid(4, columns=2, width=4.8, height=4.0)
    looks_of = looks([*models], own)
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
        look, is_own = looks_of[name], own is None or name in own
        roc.plot(fp / fp[-1], tp / tp[-1], **look)
        recall, precision = tp[1:] / tp[-1], tp[1:] / (tp[1:] + fp[1:])
        # precision holds until the next threshold finds one more
        pr.plot(np.append(0.0, recall), np.append(precision[:1], precision), drawstyle="steps-pre", **look)
        if not model.is_probability:
            continue
        bins = bins_of(model, np.ones((1, model.n_rows)), n_bins)
        enough = bins.weight[0] > SMALL_CELL
        at, came = bins.predicted[0][enough], bins.came[0][enough]
        calibration.plot(at, came, **look, **({"marker": "o", "ms": 5} if is_own or len(at) == 1 else {"alpha": 0.7}))
        if is_own:
            low, high = wilson(came, bins.weight[0][enough])
            calibration.vlines(at, low, high, color=look["color"], lw=1.2, alpha=0.5, zorder=3)
        n_drawn += int(enough.sum()) > 1
        shown = np.concatenate((at, came, [farthest]))
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
        entry(looks_of[name], f"{name}: AUROC {_told(AUROC, one)}, AP {_told(AVERAGE_PRECISION, one)}")
        for name, one in models.items()
    ]
    handles += [line(_GREY, "act on all", lw=1.0), line(_GREY, "chance, perfect, or act on none", ls=DASHES, lw=1.0)]
    return save(figure, path, f"{title}: {first.n_rows:,} rows, {share:.1%} positive", handles)


def _told(metric: Metric, model: Binary) -> str:
    value = metric(model).value
    return "-" if value is None else f"{value:.3f}"


def _said(axis: Any, title: str, x: str, y: str) -> None:
    axis.set_title(title)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
