"""Baselines of tasks that ask several things at once, on the same features: one model for each, all of one penalty, and
boosted trees of intervals of time, which are one model that is told the interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.dataset.reader import TripletDataset
from tawt.evaluation.baselines import (
    BASELINES,
    Baselines,
    Fit,
    Say,
    boosted,
    features_for,
    learned_from,
    lightgbm_module,
    prevalence,
    regression,
    said_of_test,
    strength_of,
    trees,
)
from tawt.evaluation.rows import Rows

FEWEST = 2
"""Answers of each kind, below which nothing is fitted and the rate is told."""


@dataclass(frozen=True, eq=False)
class Several:
    """What is asked of each of `n` rows: `k` things, yes or no."""

    truth: Floats
    """`(n, k)`, 1 or 0."""
    known: Bools
    """`(n, k)`, whether it is known; of an interval of time, whether somebody was still watched then."""
    in_time: bool = False
    """Whether they are intervals of time, one after the other."""


def several(
    name: str, dataset: TripletDataset, rows: Rows, asked: Several, seed: int = 0,
    tell: Callable[[str], None] = lambda text: None, by: Baselines = BASELINES,
) -> Floats:  # fmt: skip
    """Fit a baseline to each thing that is asked, and predict the test rows.

    Args:
        name: Of `by`.
        dataset: Whose records are looked at.
        rows: The parts; their truth is not looked at.
        asked: The truth.
        seed: Of all that is drawn.
        tell: Hears of things with too few answers to learn from.
        by: The baselines that there are.

    Returns:
        `(m, k)` chances; of intervals of time, those of nothing up to the end of each.

    Raises:
        ConfigError: The package of the baseline is not installed.
        DatasetError: A subject is not in the dataset.
    """
    recipe, fit = by[name]
    which = learned_from(fit, rows)
    learned, own = rows.of(which), Several(asked.truth[which], asked.known[which], asked.in_time)
    told = features_for(recipe, dataset, learned)
    say = _fitted(name, told.matrix, fit, learned, own, seed, tell)
    found = said_of_test(say, told.names, recipe, dataset, rows)
    return _to_survival(found) if asked.in_time else found


def _fitted(name: str, x: Floats, fit: Fit, rows: Rows, asked: Several, seed: int, tell: Callable[[str], None]) -> Say:
    """Return what predicts `(m, k)` chances by features `(m, f)`."""
    parts = [_of(rows, asked, i) for i in range(asked.truth.shape[1])]
    fewest = [min(int(one.truth[one.fit].sum()), int((1 - one.truth[one.fit]).sum())) if one else 0 for one in parts]
    if fit is trees and asked.in_time and max(fewest) >= FEWEST and x.shape[1]:
        return _trees_in_time(x, rows, asked, seed)
    most = parts[int(np.argmax(fewest))]
    if fit is regression and most is not None and max(fewest) >= FEWEST and x.shape[1]:
        # chosen once, where most is known: it costs many times what one thing costs
        fit = partial(regression, strength=strength_of(x, most, seed))
    said: list[Say] = []
    for one, n in zip(parts, fewest, strict=True):
        if one is None:
            said.append(lambda at: np.full(len(at), 0.5))
        else:
            said.append((fit if n >= FEWEST and x.shape[1] else prevalence)(x, one, "binary", seed))
    if few := sum(n < FEWEST for n in fewest):
        tell(f"{name}: {few} of {len(parts)} things have too few answers to learn from, and are told by rates")
    return lambda at: np.stack([say(at) for say in said], 1)


def _of(rows: Rows, asked: Several, i: int) -> Rows | None:
    """Return the rows of one thing; None where nothing is known of it."""
    learned = rows.fit & asked.known[:, i]
    if not learned.any():
        return None
    own = np.where(asked.known[:, i], asked.truth[:, i], 0.0)
    return Rows(rows.subject_id, rows.prediction_time, own, learned, rows.stop & asked.known[:, i], rows.test)


def _trees_in_time(x: Floats, rows: Rows, asked: Several, seed: int) -> Say:
    """Fit one model to all intervals: a row for each in which somebody was still watched, with its number beside.

    The rows are made as they are read: side by side they would take as many times the memory as there are intervals.
    """

    class InTime(lightgbm_module().Sequence):  # type: ignore[misc]
        batch_size = 1024

        def __init__(self, x: Floats, row: Ints, interval: Ints) -> None:
            self.x, self.row, self.interval = x, row, interval

        def __len__(self) -> int:
            return len(self.row)

        def __getitem__(self, at: Any) -> Floats:
            # rows that are handed over one by one are in double precision
            return np.concatenate((self.x[self.row[at]], np.asarray(self.interval[at], np.float64)[..., None]), -1)

    def watched(part: Bools) -> tuple[InTime, Floats]:
        row, interval = np.nonzero(asked.known & part[:, None])
        return InTime(x, row, interval), asked.truth[row, interval]

    # else it hangs on how rows are handed over which features of few are drawn from
    booster = boosted(watched(rows.fit), watched(rows.stop), "binary", seed, {"feature_pre_filter": False})

    def say(at: Floats) -> Floats:
        row = np.arange(len(at))
        said = [booster.predict(InTime(at, row, np.full(len(at), i))[:]) for i in range(asked.truth.shape[1])]
        return np.stack(said, 1).astype(np.float64)

    return say


def _to_survival(hazard: Floats) -> Floats:
    """Chances of an event within each interval, `(m, k)`, of who was there at its start -> chances of none so far.

    Source: Singer and Willett, It's about time: discrete-time survival analysis, 1993.
    """
    return np.asarray(np.cumprod(1 - np.clip(hazard, 0, 1), axis=1), dtype=np.float64)
