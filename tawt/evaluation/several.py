"""Baselines of tasks that ask several things at once: one model for each, all on the same features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Bools, Floats
from tawt.dataset.reader import TripletDataset
from tawt.evaluation.baselines import BASELINES, Baselines, features_for, prevalence
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
        `(m, k)` chances.

    Raises:
        ConfigError: The package of the baseline is not installed.
        DatasetError: A subject is not in the dataset.
    """
    x, fit = features_for(by[name][0], dataset, rows), by[name][1]
    said, few = [], 0
    for i in range(asked.truth.shape[1]):
        own = np.where(asked.known[:, i], asked.truth[:, i], 0.0)
        learned = rows.fit & asked.known[:, i]
        if not learned.any():
            said.append(np.full(int(rows.test.sum()), 0.5))
            few += 1
            continue
        part = Rows(rows.subject_id, rows.prediction_time, own, learned, rows.stop & asked.known[:, i], rows.test)
        enough = min(own[learned].sum(), (1 - own[learned]).sum()) >= FEWEST
        few += not enough
        said.append((fit if enough and x.shape[1] else prevalence)(x, part, "binary", seed))
    if few:
        tell(
            f"{name}: {few} of {asked.truth.shape[1]} things have too few answers to learn from, and are told by rates"
        )
    return np.stack(said, 1)


def to_survival(hazard: Floats) -> Floats:
    """Chances of an event within each interval, `(m, k)`, of who was there at its start -> chances of none so far.

    Source: Singer and Willett, It's about time: discrete-time survival analysis, 1993.
    """
    return np.asarray(np.cumprod(1 - np.clip(hazard, 0, 1), axis=1), dtype=np.float64)
