"""Records with a trait that no event names: all numbers of one lie high, or all lie low."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from world import World

HIGH = 0.7
"""Share of records whose numbers lie high."""
APART = 2.0
"""How far from 0 either way; around it a number has variance 1."""


class Traits(World):
    """Walks of the automaton, each with its own level."""

    def records(self, n: int, seed: int, *args, **kwargs):
        """Walk `n` times."""
        level = np.where(np.random.default_rng([7, seed]).random(n) < HIGH, APART, -APART)
        walks = super().records(n, seed, *args, **kwargs)
        return [
            [(time, kind, None if number is None else number + own) for time, kind, number in walk]
            for walk, own in zip(walks, level, strict=True)
        ]


def levels(bounds: np.ndarray, value: np.ndarray, status: np.ndarray) -> np.ndarray:
    """Return the mean number of each record; NaN where it has none."""
    means = [value[a:b][status[a:b] == 1] for a, b in pairwise(bounds)]
    return np.array([own.mean() if len(own) else np.nan for own in means])
