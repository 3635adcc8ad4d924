"""A map of embeddings: each row a dot where two directions of most variance put it, coloured by its label."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats, Ints
from tawt.contracts.cells import SMALL_CELL, told
from tawt.figures.common import COLOURS, grid, line, save

MOST_FITTED = 20_000
"""Rows from which directions are taken."""
MOST_DRAWN = 10_000
"""Dots of one panel."""
_GREY = "#999999"
_NO_AND_YES = ("#9DB4C8", COLOURS[1])
"""Of two classes: the first is the ground on which the second is seen."""


@dataclass(frozen=True, eq=False)
class Panel:
    """`n` rows of one run, and one label of each."""

    title: str
    vectors: NDArray[np.float32]
    """`(n, width)`."""
    subject_id: Ints
    """`(n,)`, so that few people are not shown as a class of their own."""
    value: Floats
    """`(n,)`: a number, or which of the classes; NaN = not known, not drawn."""
    classes: tuple[str, ...] = ()
    """Names of the classes; none = `value` is a number."""


def principal(vectors: NDArray[np.float32], n: int = 2) -> tuple[Floats, Floats]:
    """Return where rows lie along the directions of most variance, and the share of the variance of each direction.

    Columns are centred and have one unit of deviation each, so that none counts for its scale. A direction points to
    where its largest weight is positive: equal vectors give equal places.

    Args:
        vectors: `(r, width)`.
        n: Directions.

    Returns:
        `(r, n)` and `(n,)`; 0 where there are fewer directions.
    """
    places, shares = np.zeros((len(vectors), n)), np.zeros(n)
    if not len(vectors):
        return places, shares
    some = vectors[_spaced(len(vectors), MOST_FITTED)].astype(np.float64)
    centre, scale = some.mean(0), some.std(0)
    # what hardly differs would be made as loud as the rest
    scale[scale <= 1e-6 * max(float(scale.max()), 1e-300)] = np.inf
    _, sizes, directions = np.linalg.svd((some - centre) / scale, full_matrices=False)
    k = min(n, int((sizes > 1e-9 * max(float(sizes[0]), 1e-300)).sum()))
    kept = directions[:k]
    kept = kept * np.sign(kept[np.arange(k), np.abs(kept).argmax(1)])[:, None]
    places[:, :k] = ((vectors - centre) / scale) @ kept.T
    shares[:k] = sizes[:k] ** 2 / (sizes**2).sum()
    return places, shares


def plot_map(panels: Sequence[Panel], path: Path, title: str) -> Path:
    """Draw maps beside one another, with no mark or text that is of a single person.

    A class of ten people or fewer is grey and has no name. Numbers are coloured by their rank, and a colour bar tells
    the 10th, 50th and 90th percentile, none where that would be somebody's.

    Args:
        panels: At least one.
        path: The PNG.
        title: Above all.

    Raises:
        ConfigError: matplotlib is not installed, or there is a file of the name that is no figure of tawt.
    """
    across = min(3, len(panels))
    figure, axes = grid(len(panels), columns=across, width=(6.6, 5.4, 4.6)[across - 1], height=4.8)
    handles: dict[str, Any] = {}
    for axis, panel in zip(axes, panels, strict=True):
        places, shares = principal(panel.vectors)
        known = np.flatnonzero(np.isfinite(panel.value))
        # one order for all classes: none lies on top of the others
        shown = np.random.default_rng(0).permutation(known)[:MOST_DRAWN]
        look = {"s": float(np.clip(30_000 / max(len(shown), 1), 5, 30)), "alpha": 0.65, "lw": 0, "rasterized": True}
        x, y = places[shown].T
        if panel.classes:
            colour, names = _coloured(panel, known)
            axis.scatter(x, y, c=[colour[int(i)] for i in panel.value[shown]], **look)
            handles |= {text: line(c, text, marker="o", ls="none", ms=7) for text, c in names.items()}
            for i in {int(i) for i in panel.value[known] if colour[int(i)] != _GREY}:
                middle = np.median(places[known[panel.value[known] == i]], 0)
                axis.scatter(*middle, c=colour[i], marker="D", s=90, edgecolors="black", lw=1.2, zorder=3)
        else:
            rank = np.searchsorted(np.sort(panel.value[known]), panel.value[shown]) / max(len(known), 1)
            dots = axis.scatter(x, y, c=rank, cmap="viridis", vmin=0, vmax=1, **look)
            bar = figure.colorbar(dots, ax=axis, label="label, coloured by its rank")
            ticks, texts = _ticks(panel.value[known], len(np.unique(panel.subject_id[known])))
            bar.set_ticks(ticks, labels=texts)
            bar.solids.set_alpha(1)
        _frame(axis, places[known], shares)
        axis.set_title(panel.title)
    if handles:
        handles[""] = line("white", "median of a class", marker="D", ls="none", ms=7, markeredgecolor="black")
    return save(figure, path, title, list(handles.values()))


def _coloured(panel: Panel, known: Ints) -> tuple[list[str], dict[str, str]]:
    """Return the colour of each class, and the texts of a legend with theirs."""
    number = panel.value[known].astype(np.int64)
    people = [len(np.unique(panel.subject_id[known[number == i]])) for i in range(len(panel.classes))]
    order = sorted((i for i, n in enumerate(people) if n > SMALL_CELL), key=lambda i: -people[i])
    named = sorted(order[: len(COLOURS) - 1])
    colour = [_GREY] * len(panel.classes)
    for place, i in enumerate(named):
        colour[i] = (_NO_AND_YES if len(panel.classes) == 2 else COLOURS)[place]
    rest = ~np.isin(number, named)
    n_rest = len(np.unique(panel.subject_id[known[rest]]))
    # few people must not follow from the other counts and the sum in the title
    few = {"": n_rest if n_rest <= SMALL_CELL else int(rest.sum())}
    counts = told(few | {panel.classes[i]: int((number == i).sum()) for i in named})
    texts = {f"{panel.classes[i]}, {counts[panel.classes[i]]}": colour[i] for i in named}
    if n_rest:
        texts |= {"classes of few people" if len(order) == len(named) else "other classes": _GREY}
    return colour, texts


def _ticks(values: Floats, n_people: int) -> tuple[list[float], list[str]]:
    """Return ranks of a colour bar and what stands there."""
    if n_people <= 10 * SMALL_CELL:
        return [0.0, 1.0], ["low", "high"]
    ranks = [0.1, 0.5, 0.9]
    return ranks, [f"{value:.3g}" for value in np.quantile(values, ranks)]


def _frame(axis: Any, places: Floats, shares: Floats) -> None:
    """Show where nearly all rows lie: a single one far away would squeeze the rest, and be somebody."""
    ticker = importlib.import_module("matplotlib.ticker")
    for i, (one, name, limit) in enumerate(
        ((axis.xaxis, "first", axis.set_xlim), (axis.yaxis, "second", axis.set_ylim))
    ):
        low, high = np.percentile(places[:, i], [0.5, 99.5]) if len(places) else (0.0, 1.0)
        room = 0.08 * (high - low) or 1.0
        limit(low - room, high + room)
        one.set_label_text(f"{name} component, {shares[i]:.0%} of the variance")
        one.set_major_locator(ticker.MaxNLocator(nbins=5))
        one.set_major_formatter(ticker.NullFormatter())  # a place has no unit, and its sign no meaning


def _spaced(n: int, most: int) -> Ints:
    """Return at most so many of `n` numbers, evenly spaced."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)
