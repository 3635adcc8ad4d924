"""What all figures share: the extra that draws them, their look, a grid of panels, and time on a logarithmic axis."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.errors import ConfigError, printable
from tawt.files import whole
from tawt.shell import shell_line

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which people with any colour vision tell apart."""
DASHES = (0, (4, 3))
_TICKS = {1 / 60: "1 min", 1.0: "1 h", 24.0: "1 d", 720.0: "1 mo", 8766.0: "1 y", 87_660.0: "10 y"}
_STYLE = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e6e6e6", "grid.linewidth": 0.8, "axes.edgecolor": "#888888", "axes.axisbelow": True,
    "xtick.color": "#444444", "ytick.color": "#444444", "legend.frameon": False, "figure.facecolor": "white",
}  # fmt: skip
_DPI = 150
_OF_WIDTH = 0.97
"""A legend takes no more: entries at both ends keep away from the edge."""
_MINE = b"Software\0tawt"
"""Near the start of every PNG that is saved here."""


def matplotlib() -> Any:
    """Import matplotlib.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        raise ConfigError(
            "plots", "matplotlib is not installed, expected it to draw with", 'pip install "tawt[plots]"'
        ) from None


def hold_png(path: Path, option: str) -> None:
    """Hold that a file is to be what is drawn, before anything is.

    Raises:
        ConfigError: It is a folder, or its name does not end as a PNG's.
    """
    if not path.is_dir() and path.suffix.lower() == ".png":
        return
    what, one = ("is a folder", path / "curves") if path.is_dir() else ("does not end in .png", path)
    hint = f"give one, as `{option} {shell_line(str(one.with_suffix('.png')))}`"
    raise ConfigError(f"{option} {path}", f"{what}, expected a PNG file", hint)


def colours(n: int) -> list[str]:
    """Return a colour for each of `n` runs."""
    return [COLOURS[i % len(COLOURS)] for i in range(n)]


_QUIET = 0.45
"""How much of its colour a model keeps that stands beside the runs; the rest is grey."""


def looks(names: Sequence[str], own: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """Return how the line of each model looks: runs strong, and what stands beside them thin and in greyish colours.

    Args:
        names: Of all, in their order.
        own: Those of the runs; None = all.
    """
    found: dict[str, dict[str, Any]] = {}
    beside = [name for name in names if own is not None and name not in own]
    runs = [name for name in names if name not in beside]
    for i, name in enumerate(runs):
        found[name] = {"color": COLOURS[i % len(COLOURS)], "ls": _ls(i, len(COLOURS)), "lw": 2.4, "zorder": 4}
    free = COLOURS[len(runs) :] or COLOURS  # not the colours of runs, as far as there are others
    for i, name in enumerate(beside):
        colour = np.array([int(free[i % len(free)][k : k + 2], 16) / 255 for k in (1, 3, 5)])
        quiet = tuple(_QUIET * colour + (1 - _QUIET) * 0.65)
        found[name] = {"color": quiet, "ls": _ls(i, len(free)), "lw": 1.1, "zorder": 2.5}
    return {name: found[name] for name in names}


def _ls(i: int, n_colours: int) -> Any:
    return ("-", DASHES, (0, (1, 1.5)))[i // n_colours % 3]


def shades(n: int) -> list[Any]:
    """Return `n` colours in an order that the eye sees, dark to light."""
    return list(matplotlib().colormaps["viridis"](np.linspace(0, 0.88, n)))


def grid(n: int, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """Return a figure and its `n` panels, in rows of at most `columns`; sizes in inches.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figures, _ = matplotlib(), importlib.import_module("matplotlib.figure")
    with figures.rc_context(_STYLE):
        across = min(columns, n)
        down = -(-n // across)
        # no pyplot: nothing of the user's own session changes, and no window is asked for
        figure = figures.figure.Figure(figsize=(width * across, height * down + 0.75), dpi=_DPI, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12)  # inches: a label keeps away from the panel beside it
        return figure, [figure.add_subplot(down, across, i + 1) for i in range(n)]


def plain(text: str) -> str:
    """Return a text as matplotlib draws it as it stands: no formula between dollars, no line break of a name.

    What no font has and a terminal obeys is written out: a warning would say it.
    """
    return printable(" ".join(text.split())).replace("$", r"\$")


def line(colour: Any, label: str, **style: Any) -> Any:
    """Return an entry of a legend."""
    # a label that begins with a line below would be left out
    text = plain(label) if not label.startswith("_") else f" {plain(label)}"
    return importlib.import_module("matplotlib.lines").Line2D([], [], color=colour, label=text, **style)


def entry(look: Mapping[str, Any], label: str, **style: Any) -> Any:
    """Return an entry of a legend for a line that looks so."""
    return line(look["color"], label, ls=look["ls"], lw=look["lw"], **style)


def time_axis(axis: Any, hours: NDArray[np.float64], label: str, vertical: bool = False) -> None:
    """Make an axis logarithmic in hours, its ticks minutes to decades."""
    one = axis.yaxis if vertical else axis.xaxis
    (axis.set_yscale if vertical else axis.set_xscale)("log")
    (axis.set_ylim if vertical else axis.set_xlim)(hours[0], hours[-1])
    ticks = {at: text for at, text in _TICKS.items() if hours[0] <= at * 1.01 and at <= hours[-1] * 1.01}
    one.set_ticks(list(ticks), list(ticks.values()))
    one.set_ticks([], minor=True)
    one.set_label_text(label)


def whole_ticks(axis: Any) -> None:
    """Make the ticks of a horizontal axis whole numbers."""
    ticker = importlib.import_module("matplotlib.ticker")
    axis.xaxis.set_major_locator(ticker.MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def weight_axis(axis: Any, curves: Sequence[NDArray[np.float64]]) -> None:
    """Make the vertical axis logarithmic, from the least weight that matters to the largest of all curves."""
    ticker = importlib.import_module("matplotlib.ticker")
    low = max(min(float(curve.min()) for curve in curves), 1e-3) * 0.8
    high = max(float(curve.max()) for curve in curves) * 1.25
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 30 else (1,)))
    axis.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(ticker.NullFormatter())


def _is_mine(path: Path) -> bool:
    with path.open("rb") as file:
        return _MINE in file.read(len(_MINE) + 512)


def save(figure: Any, path: Path, title: str, handles: Sequence[Any]) -> Path:
    """Write a figure as PNG, aside and renamed, and return its path.

    Raises:
        ConfigError: There is a file of the name that is no figure of tawt.
    """
    if path.is_file() and not _is_mine(path):
        raise ConfigError(
            str(path), "is no figure of tawt, expected a new file or one, which is replaced",
            "move it away, or choose another place",
        )  # fmt: skip
    with matplotlib().rc_context(_STYLE):
        n_letters = len(title)
        shown = figure.suptitle(plain(title), x=0.01, ha="left", fontsize=13, fontweight="bold")
        while n_letters > 1 and (ratio := shown.get_window_extent().width / (0.98 * figure.bbox.width)) > 1:
            n_letters = min(n_letters - 1, int(n_letters / ratio) + 1)
            shown.set_text("\n".join(map(plain, wrap(title, n_letters))))
        if handles:
            for n in range(min(6, len(handles)), 0, -1):  # in as few lines as the figure is wide enough for
                legend = figure.legend(handles=list(handles), loc="outside lower center", ncols=n, fontsize=9.5)
                if n == 1 or legend.get_window_extent().width <= _OF_WIDTH * figure.bbox.width:
                    break
                legend.remove()
        with whole(path) as aside:
            figure.savefig(aside, format="png", dpi=_DPI, metadata={"Software": "tawt"})
    return path
