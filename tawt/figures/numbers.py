"""The sheet of a task of numbers: predicted against true, calibration, errors and intervals, and never a single row."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError
from tawt.evaluation.regression import MAE, R2, Numbers
from tawt.evaluation.settle import COVERED
from tawt.figures.common import DASHES, entry, grid, line, looks, matplotlib, save

_GREY, _MOST_CELLS, _N_BINS = "#888888", 24, 10
_REACH = (0.01, 0.98)
"""Quantiles between which cells lie: what is beyond are few rows."""


def fewest(n_bins: int = _N_BINS) -> int:
    """Return of how many rows there must be more for a sheet with so many bins."""
    return n_bins * SMALL_CELL


def plot_numbers(
    models: Mapping[str, Numbers],
    path: Path,
    title: str = "Evaluation",
    own: Collection[str] | None = None,
    unit: str = "",
) -> Path:
    """Draw what models say of numbers: density, calibration, errors of the first one, and how often intervals hold.

    All is of cells and bins of more than 10 rows.

    Args:
        models: By name, in the order of the legend; the first is drawn as a density.
        path: The PNG.
        title: Above all.
        own: Those of the runs, which are drawn strong; None = all.
        unit: Of the numbers; "" where it is not known.

    Raises:
        ConfigError: matplotlib is not installed, or a bin would have 10 rows or fewer.
    """
    name, first = next(iter(models.items()), ("", None))
    if first is None or first.n_rows <= fewest(_N_BINS):
        n = 0 if first is None else first.n_rows
        raise ConfigError(
            "figures", f"would have {_N_BINS} bins of {n:,} rows, expected more than {SMALL_CELL} in each"
        )
    figure, (density, calibration, error, last) = grid(4, columns=2, width=4.8, height=4.0)
    look, of = looks([*models], own), f", {unit}" if unit else ""
    marks = {one: {"marker": "o", "ms": 4} if own is None or one in own else {} for one in models}
    _density(figure, density, first, name, of)
    lows: list[float] = []
    highs: list[float] = []
    for label, model in models.items():
        bins = _bins(model.predicted)
        if bins is None:  # it says the same of all
            continue
        x, y = ([float(values[rows].mean()) for rows in bins] for values in (model.predicted, model.truth))
        calibration.plot(x, y, **look[label], **marks[label])
        lows, highs = [*lows, min(*x, *y)], [*highs, max(*x, *y)]
    if lows:
        ends = [min(lows), max(highs)]
        calibration.plot(ends, ends, color=_GREY, ls=DASHES, lw=1.0, zorder=0)
    _said(calibration, f"Calibration in {_N_BINS} bins of equal size", f"mean predicted{of}", f"mean of what came{of}")
    _errors(error, first, name, look[name]["color"], of)
    if any(model.low is not None for model in models.values()):
        _coverage(last, models, look, of)
    else:
        _within(last, models, look, of)
    handles = [entry(look[one], f"{one}: {_told(model, unit)}", **marks[one]) for one, model in models.items()]
    handles.append(line(_GREY, "perfect", ls=DASHES, lw=1.0))
    return save(figure, path, f"{title}: {first.n_rows:,} rows", handles)


def _density(figure: Any, axis: Any, model: Numbers, name: str, of: str) -> None:
    """Draw in how many rows what was predicted and what came lie in each cell; cells of few rows stay empty."""
    low, high = np.quantile(np.concatenate((model.truth, model.predicted)), _REACH)
    n_cells = int(np.clip(np.sqrt(model.n_rows / SMALL_CELL), 6, _MOST_CELLS))
    edges = np.linspace(low, high if high > low else low + 1, n_cells + 1)
    counts = np.histogram2d(model.predicted, model.truth, (edges, edges))[0]
    shown = np.where(counts > SMALL_CELL, counts, np.nan)
    hidden = model.n_rows - int(np.nansum(shown))
    colours_of = importlib.import_module("matplotlib.colors")
    top = float(np.nanmax(shown)) if np.isfinite(shown).any() else SMALL_CELL + 2.0
    mesh = axis.pcolormesh(
        edges, edges, shown.T, cmap=matplotlib().colormaps["viridis_r"],
        norm=colours_of.LogNorm(SMALL_CELL + 1, max(top, SMALL_CELL + 2)), rasterized=True,
    )  # fmt: skip
    axis.plot(edges[[0, -1]], edges[[0, -1]], color=_GREY, ls=DASHES, lw=1.0)
    drawn = np.isfinite(shown)
    if drawn.any():  # to the last cell that is drawn, and one more
        last = min(n_cells, int(np.flatnonzero(drawn.any(0) | drawn.any(1)).max()) + 2)
        axis.set(xlim=(edges[0], edges[last]), ylim=(edges[0], edges[last]))
    bar = figure.colorbar(mesh, ax=axis)
    bar.set_label("rows in a cell", fontsize=9)
    ticker = importlib.import_module("matplotlib.ticker")
    bar.ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    bar.ax.yaxis.set_minor_formatter(ticker.NullFormatter())
    share = hidden / model.n_rows
    title = f"{name}\n{share:.0%} of rows in cells of {SMALL_CELL} or fewer, not drawn"
    _said(axis, title, f"predicted{of}", f"what came{of}")


def _errors(axis: Any, model: Numbers, name: str, colour: Any, of: str) -> None:
    """Draw where errors lie along what was predicted: the middle one, half of them, and eight of ten."""
    bins = _bins(model.predicted)
    if bins is None:
        bins = [np.arange(model.n_rows)]
    x = [float(model.predicted[rows].mean()) for rows in bins]
    at = np.array([np.quantile(model.error[rows], [0.1, 0.25, 0.5, 0.75, 0.9]) for rows in bins])
    axis.axhline(0, color=_GREY, ls=DASHES, lw=1.0)
    axis.fill_between(x, at[:, 0], at[:, 4], color=colour, alpha=0.15, lw=0)
    axis.fill_between(x, at[:, 1], at[:, 3], color=colour, alpha=0.3, lw=0)
    axis.plot(x, at[:, 2], color=colour, marker="o", ms=4, lw=1.4)
    title = f"Errors of {name}\nmiddle, half and 8 of 10 of each bin"
    _said(axis, title, f"mean predicted{of}", f"predicted less what came{of}")


def _coverage(axis: Any, models: Mapping[str, Numbers], look: Mapping[str, Any], of: str) -> None:
    """Draw how often the intervals hold what came, along what was predicted."""
    least = COVERED
    axis.axhline(COVERED, color=_GREY, ls=DASHES, lw=1.0)
    for name, model in models.items():
        bins = _bins(model.predicted)
        if model.low is None or model.high is None:
            continue
        inside = (model.low <= model.truth) & (model.truth <= model.high)
        parts = bins if bins is not None else [np.arange(model.n_rows)]
        y = [float(inside[rows].mean()) for rows in parts]
        # of who says the same of all there is one point
        mark = {"marker": "o", "ms": 4} if len(y) == 1 or look[name]["lw"] > 2 else {}
        axis.plot([float(model.predicted[rows].mean()) for rows in parts], y, **look[name], **mark)
        least = min(least, *y)
    axis.set_ylim(max(0.0, least - 0.08), 1.02)
    _said(axis, f"Intervals that are to hold {COVERED:.0%}", f"mean predicted{of}", "share that they hold")


def _within(axis: Any, models: Mapping[str, Numbers], look: Mapping[str, Any], of: str) -> None:
    """Draw what share of rows is off by no more than so much."""
    shares = np.linspace(0.05, 0.95, 91)
    for name, model in models.items():
        axis.plot(np.quantile(np.abs(model.error), shares), shares, **look[name])
    axis.set_ylim(0, 1)
    axis.set_xlim(left=0)
    _said(axis, "Size of errors", f"off by at most{of}", "share of rows")


def _bins(predicted: Floats) -> list[Ints] | None:
    """Return rows in bins of equal size by what was predicted; None where all predictions are equal."""
    if np.ptp(predicted) == 0:
        return None
    order: Ints = np.argsort(predicted, kind="stable")
    return list(np.array_split(order, _N_BINS))


def _told(model: Numbers, unit: str) -> str:
    values = [(metric.title, metric(model).value, of) for metric, of in ((MAE, f" {unit}" if unit else ""), (R2, ""))]
    return ", ".join(f"{title} {value:.3g}{of}" for title, value, of in values if value is not None)


def _said(axis: Any, title: str, x: str, y: str) -> None:
    axis.set_title(title)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
