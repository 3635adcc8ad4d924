"""The sheet of times until an event: survival of groups by predicted risk, and never a step of few people."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError
from tawt.evaluation.kaplan_meier import kaplan_meier
from tawt.evaluation.survival import Survival
from tawt.figures.common import grid, line, save, shades

N_GROUPS, _DAYS_FROM, _N_STEPS, _N_TOLD = 3, 96.0, 60, 6
_ROUNDED = 10
"""Numbers still watched are rounded down to tens: two of them one after the other tell of no few people."""
_NAMES = {
    1: ("all",), 2: ("lower risk", "higher risk"), 3: ("lowest risk", "middle", "highest risk"),
}  # fmt: skip


def plot_survival(
    outcome: Survival,
    path: Path,
    title: str = "Survival by predicted risk",
    subject: Ints | None = None,
    n_groups: int = N_GROUPS,
) -> Path:
    """Draw Kaplan and Meier's curve of groups by risk, each with its 95 % interval, and how many are still watched.

    Equal risks are in one group. A group of few subjects, or of few with the event or without it, goes into the one
    beside it. A curve is drawn at times between which more than 10 subjects had the event, straight between them, and
    ends where 10 or fewer are still watched.

    Args:
        outcome: Of the rows; times in hours.
        path: The PNG.
        title: Above it.
        subject: `(n,)`, whose each row is; None = each of another.
        n_groups: Groups of about equal size at most, from the lowest risk to the highest.

    Raises:
        ConfigError: matplotlib is not installed, or all rows together are of few subjects, or of few with the event or
            without it.
    """
    whose = np.arange(outcome.n_rows) if subject is None else subject
    groups = groups_of_risk(outcome, whose, n_groups)
    if not groups:
        what = f"would tell of {SMALL_CELL} subjects or fewer, or of so few with the event or without it"
        raise ConfigError("figures", f"{what}, expected more of both")
    figure, (axis,) = grid(1, columns=1, width=6.4, height=5.0)
    unit = 24.0 if outcome.time.max() > _DAYS_FROM else 1.0
    names = _NAMES.get(len(groups)) or [f"group {i + 1} of {len(groups)} by risk" for i in range(len(groups))]
    handles, still = [], []
    for name, rows, colour in zip(names, groups, shades(len(groups)), strict=True):
        time, event = outcome.time[rows] / unit, outcome.event[rows]
        at = times_told(time, event, whose[rows])
        curve = kaplan_meier(time, event)
        place = np.searchsorted(curve.time, at, side="right")
        survival, low, high = (np.append(1.0, one)[place] for one in (curve.survival, curve.low, curve.high))
        low, high = (np.where(np.isnan(end), survival, end) for end in (low, high))
        axis.plot(at, survival, color=colour, lw=1.8, marker="o", ms=3)
        axis.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
        handles.append(line(colour, f"{name}, {len(rows):,} rows", lw=1.8))
        still.append((name, colour, time, whose[rows]))
    axis.set(ylim=(0, 1.02), ylabel="share without the event")
    axis.set_xlim(left=0)
    _told_below(axis, still, f"{'days' if unit > 1 else 'hours'} since the prediction")
    return save(figure, path, title, handles)


def groups_of_risk(outcome: Survival, subject: Ints, n_groups: int = N_GROUPS) -> list[Ints]:
    """Return rows in groups by risk, of about equal size, no risk in two; none where all together are of few people."""
    order = np.argsort(outcome.risk, kind="stable")
    risk = outcome.risk[order]
    between = np.flatnonzero(risk[1:] > risk[:-1]) + 1  # where a group may end
    wanted = [len(order) * i / n_groups for i in range(1, n_groups)]
    cuts = sorted({int(between[np.abs(between - at).argmin()]) for at in wanted}) if len(between) else []
    groups: list[Ints] = []
    for rows in np.split(order, cuts):
        # one of few takes in the next; what few are left at the end go back into the last
        if groups and _is_few(outcome, subject, groups[-1]):
            groups[-1] = np.concatenate((groups[-1], rows))
        else:
            groups.append(rows)
    while groups and _is_few(outcome, subject, groups[-1]):
        last = groups.pop()
        if groups:
            groups[-1] = np.concatenate((groups[-1], last))
    return groups


def _is_few(outcome: Survival, subject: Ints, rows: Ints) -> bool:
    event = outcome.event[rows]
    n = [len(np.unique(subject[rows][which])) for which in (event, ~event)]
    return sum(n) <= SMALL_CELL or any(0 < one <= SMALL_CELL for one in n)


def times_told(time: Floats, event: Bools, subject: Ints) -> Floats:
    """Return times, from 0, between which more than 10 subjects had the event: round ones, not those of people.

    The last one is where more than 10 are still watched; the few events since the one before count there.
    """
    longest: dict[int, float] = {}
    for whose, at in zip(subject.tolist(), time.tolist(), strict=True):
        longest[whose] = max(at, longest.get(whose, 0.0))
    watched = sorted(longest.values(), reverse=True)
    end = watched[SMALL_CELL] if len(watched) > SMALL_CELL else 0.0
    grid_of = [at for at in _round_times(end, _N_STEPS) if at > 0]
    told, seen, since = [0.0], set[int](), 0.0
    for at in grid_of:
        seen |= {*subject[event & (time > since) & (time <= at)].tolist()}
        since = at
        if len(seen) > SMALL_CELL:
            told, seen = [*told, at], set()
    if grid_of and told[-1] < grid_of[-1]:
        told = [*told[: -1 if seen and len(told) > 1 else len(told)], grid_of[-1]]
    return np.array(told)


def _round_times(end: float, most: int) -> list[float]:
    """Return at most about so many round times from 0 to an end."""
    ticks = importlib.import_module("matplotlib.ticker").MaxNLocator(most, steps=[1, 2, 5, 10])
    return [float(at) for at in ticks.tick_values(0.0, end) if 0 <= at <= end]


def _told_below(axis: Any, still: list[tuple[str, Any, Floats, Ints]], what: str) -> None:
    """Write below an axis how many subjects of each group are still watched at its ticks."""
    right = float(axis.get_xlim()[1])
    ticks = _round_times(right, _N_TOLD)
    axis.set_xticks(ticks)
    axis.set_xlim(0, right)
    axis.set_xlabel(f"{what}\n\nsubjects still watched, rounded down to tens" + "\n" * (len(still) + 1))
    for i, (_, colour, time, subject) in enumerate(still):
        for at in ticks:
            n = len(np.unique(subject[time >= at]))
            text = f"{n // _ROUNDED * _ROUNDED:,}" if n > SMALL_CELL else "-"
            axis.annotate(
                text, (at, 0), (0, -62 - 13 * i), xycoords=("data", "axes fraction"), textcoords="offset points",
                ha="center", va="top", fontsize=9, color=colour, annotation_clip=False,
            )  # fmt: skip
