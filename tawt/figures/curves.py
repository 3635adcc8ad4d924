"""Losses against the step, one panel a part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Floats
from tawt.figures.common import COLOURS, DASHES, colours, grid, line, save, whole_ticks
from tawt.runs.find import RunFolder, baseline_key, loss_key, parts_of

NUMBER_LOSSES = {"squared": "squared error", "huber": "Huber loss"}
"""How the losses of numbers are called on an axis."""


def plot_losses(runs: Sequence[RunFolder], path: Path) -> Path:
    """Draw the loss of each part against the step: `tuning` as a line, `train` behind it, the trivial baseline dashed.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    logged = [row for run in runs for row in run.metrics if "loss" in row]
    parts = ["all", *dict.fromkeys(part for row in logged for part in parts_of(row))]
    if len(parts) == 2:
        parts = parts[1:]
    figure, axes = grid(len(parts), columns=3, width=4.2, height=2.9)
    for axis, part in zip(axes, parts, strict=True):
        for run, colour in zip(runs, colours(len(runs)), strict=True):
            steps, loss = _series(run.lines("train"), loss_key(part))
            if len(steps):
                axis.plot(steps, loss, color=colour, alpha=0.3, lw=0.7)
                axis.plot(steps, smoothed(loss), color=colour, alpha=0.55, lw=1.3)
            steps, loss = _series(run.lines("tuning"), loss_key(part))
            if len(steps):
                axis.plot(steps, loss, color=colour, marker="o" if len(steps) <= 12 else None, ms=4, lw=2.0)
            steps, trivial = _series(run.lines("tuning") or run.lines("train"), baseline_key(part))
            if len(steps) == 1:
                steps, trivial = [*_reach(logged)], trivial * 2
            if len(steps):
                axis.plot(steps, trivial, color=colour if len(runs) > 1 else "#555555", ls=DASHES, lw=1.2)
        axis.set_title("weighted sum" if part == "all" else part.replace("_", " ") + _weight(part, runs))
        axis.set_ylabel(_unit(part, runs))
        axis.set_xlim(*_reach(logged))
        _frame(axis, runs, part)
    for axis in axes[-3:]:
        axis.set_xlabel("optimizer step")
    for axis in axes:
        whole_ticks(axis)
    several = len(runs) > 1
    handles = [line(c, run.name, lw=2.0) for run, c in zip(runs, colours(len(runs)), strict=True) if several]
    colour = "#555555" if several else COLOURS[0]
    handles += [
        line(colour, "tuning", lw=2.0), line(colour, "train, smoothed", lw=1.3, alpha=0.55),
        line(colour, "train, as logged", lw=0.7, alpha=0.3),
        line("#555555", "trivial baseline", ls=DASHES, lw=1.2),
    ]  # fmt: skip
    return save(figure, path, "Loss by part" if several else f"Loss by part of {runs[0].name}", handles)


def _weight(part: str, runs: Sequence[RunFolder]) -> str:
    """Return how a title says what a part weighs in the sum of each run that has it, where that is not 1 in all."""
    having = [run for run in runs if any(loss_key(part) in row for row in run.metrics)]
    found = list(dict.fromkeys(weight for run in having if (weight := run.weight(part)) is not None))
    return f", weight {' or '.join(f'{one:g}' for one in found)}" if set(found) - {1.0} else ""


def _series(lines: Iterable[dict[str, Any]], key: str) -> tuple[list[float], list[float]]:
    there = [(row["step"], row[key]) for row in lines if key in row]
    return [step for step, _ in there], [value for _, value in there]


def smoothed(values: Sequence[float]) -> Floats:
    """Return the running mean over a thirtieth of the values on either side, shorter at the ends."""
    reach = len(values) // 30
    total = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    at = np.arange(len(values))
    first, stop = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return (total[stop] - total[first]) / (stop - first)


def _reach(lines: Iterable[dict[str, Any]]) -> tuple[float, float]:
    """Return the span of steps that all panels show."""
    steps = [row["step"] for row in lines]
    room = 0.02 * (max(steps) - min(steps) or 1)
    return min(steps) - room, max(steps) + room


def _frame(axis: Any, runs: Sequence[RunFolder], part: str) -> None:
    """Let single outliers of `train` run out of the panel, not squeeze the rest."""
    seen: list[float] = []
    for run in runs:
        train, tuning = run.lines("train"), run.lines("tuning")
        seen += np.percentile(_series(train, loss_key(part))[1] or [np.nan], [1, 99]).tolist()
        seen += _series(tuning, loss_key(part))[1] + _series(tuning, baseline_key(part))[1]
    finite = [value for value in seen if np.isfinite(value)]
    if finite and max(finite) > min(finite):
        room = 0.06 * (max(finite) - min(finite))
        axis.set_ylim(min(finite) - room, max(finite) + room)


def _unit(part: str, runs: Sequence[RunFolder]) -> str:
    if part == "all":
        return "loss"
    if part not in ("value", "summary", "forecast_value"):
        return "nats"
    section = f"objective.{'forecast' if part == 'forecast_value' else 'masked'}"
    found = set()
    for run in runs:
        if not any(loss_key(part) in row for row in run.metrics):
            continue  # a run without the part has no unit of it
        of_ranks = " of ranks" if run.config.get(f"{section}.value_scale") == "rank" else ""
        found.add(NUMBER_LOSSES[run.config.get(f"{section}.value_loss", "squared")] + of_ranks)
    return " or ".join(sorted(found))
