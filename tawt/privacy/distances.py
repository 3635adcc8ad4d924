"""What distances between synthetic and real records give away, and how far chance may have moved each number.

    dcr_share          of synthetic records, how many are nearer to a train record than to any of the test
    nndr               how much nearer the nearest real record is than the second; its 5th percentile
    nnaar              how much better train than test can be mistaken for the synthetic set
    authenticity       of synthetic records, how many are not nearer to a train record than its own neighbours are
    identifiability    of train records, how many have a synthetic record nearer than any other of train

Draws with replacement say nothing here: a record that is drawn twice is its own neighbour. An interval comes from
quarters of all sets, without replacement, for which neighbours are looked up again. Their spread is that of the whole
times the root of 3, or somewhat more: intervals are a little too wide, never too narrow.

Source: Shao and Wu 1989, A general theory for jackknife variance estimation (many subjects deleted at once).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.chance import Salt, shuffled
from tawt.evaluation.measure import Z
from tawt.privacy.found import Found, missing
from tawt.privacy.nearest import Matrix, Neighbours, nearest

N_QUARTERS = 100
_K, _LEAST = 24, 40
"""Neighbours that are kept: of one in 1,000 records none of them is in a quarter. Records that a set has at least."""
_BINS, _LEAST_ENTROPY = 20, 0.1


def dcr_share(to_train: Floats, to_test: Floats) -> float:
    """Return the share of synthetic records that are nearer to train than to as large a test; equal ones as half.

    Args:
        to_train: `(n,)`, distance to the nearest of train.
        to_test: `(n,)`, the same of the test.
    """
    return float(_above(to_test, to_train).mean())


def nndr(first: Floats, second: Floats) -> Floats:
    """Return `(n,)`, the nearest distance as a share of the second nearest; 1 where both are 0."""
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(second > 0, first / second, 1.0)
    return found


def adversarial_accuracy(a_to_b: Floats, a_to_a: Floats, b_to_a: Floats, b_to_b: Floats) -> float:
    """Return how well the nearest neighbour tells two sets apart: .5 = not at all; equal distances as half.

    Args:
        a_to_b: `(n,)`, from each of the first set to the nearest of the second.
        a_to_a: `(n,)`, to the nearest other one of its own set.
        b_to_a: `(m,)`, the same of the second set.
        b_to_b: `(m,)`.

    Source: Yale et al. 2020, Generation and evaluation of privacy preserving synthetic health data.
    """
    return float(0.5 * (_above(a_to_b, a_to_a).mean() + _above(b_to_a, b_to_b).mean()))


def authenticity(to_train: Neighbours, train_to_train: Floats) -> float:
    """Return the share of synthetic records that are farther from their nearest train record than its neighbour is.

    Args:
        to_train: Of each synthetic record.
        train_to_train: `(r,)`, from each train record to the nearest other one.

    Source: Alaa et al. 2022, How faithful is your synthetic data?
    """
    return float((to_train.distance[:, 0] > train_to_train[to_train.index[:, 0]]).mean())


def entropy_weights(train: Matrix) -> Floats:
    """Return what each feature weighs where the rare is to count more: 1 / (entropy + .1), 1 on average.

    Entropies are those of 20 cells of equal width between the smallest and the largest number of train.
    """
    n, d = train.shape
    low, high = train.min(0), train.max(0)
    width = np.where(high > low, high - low, 1)
    entropy = np.empty(d)
    for j in range(d):
        cell = np.minimum((train[:, j] - low[j]) / width[j] * _BINS, _BINS - 1).astype(np.int64)
        p = np.bincount(cell) / n
        entropy[j] = -(p[p > 0] * np.log(p[p > 0])).sum()
    weights: Floats = 1 / (entropy + _LEAST_ENTROPY)
    return weights / weights.mean()


def _above(a: Floats, b: Floats) -> Floats:
    found: Floats = (a > b) + 0.5 * (a == b)
    return found


class Near:
    """Neighbours of the rows of each set in each other one, found when they are first asked for."""

    def __init__(self, sets: Mapping[str, Matrix]) -> None:
        self.sets = sets
        self._found: dict[tuple[str, str], Neighbours] = {}

    def __call__(self, a: str, b: str) -> Neighbours:
        """Return the neighbours of the rows of `a` in `b`; a row is none of its own."""
        if (a, b) not in self._found:
            own = np.arange(len(self.sets[a])) if a == b else None
            self._found[a, b] = nearest(self.sets[a], self.sets[b], _K, own)
        return self._found[a, b]


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of each set, as if there were no others."""

    near: Near
    kept: Mapping[str, Bools]
    """Set -> `(n,)`."""
    found: dict[tuple[str, str], Neighbours] = field(default_factory=dict)
    """What was looked up already."""

    def neighbours(self, a: str, b: str) -> Neighbours:
        """Return the nearest and the second nearest kept one of `b` of the kept rows of `a`, of all rows' numbers."""
        if (a, b) not in self.found:
            found, rows = self.near(a, b), np.flatnonzero(self.kept[a])
            there, places = self.kept[b][found.index[rows]], []
            for _ in range(2):
                there[:, -1] = True  # where none is kept, the last one stands for what lies farther
                places.append(there.argmax(1))
                there[np.arange(len(rows)), places[-1]] = False
            at = rows[:, None], np.stack(places, 1)
            self.found[a, b] = Neighbours(found.index[at], found.distance[at])
        return self.found[a, b]

    def distance(self, a: str, b: str) -> Floats:
        """Return `(n,)`, from each kept row of `a` to the nearest kept one of `b`."""
        return self.neighbours(a, b).distance[:, 0]


def _measure(plain: Part, weighted: Part) -> dict[str, float]:
    found = {"dcr_share": dcr_share(plain.distance("synthetic", "train"), plain.distance("synthetic", "test"))}
    for real in ("train", "test"):
        two = plain.neighbours("synthetic", real).distance
        found[f"nndr_p5_{real}"] = float(np.quantile(nndr(two[:, 0], two[:, 1]), 0.05))
        found[f"aa_{real}"] = adversarial_accuracy(
            plain.distance(real, "synthetic"), plain.distance(real, real),
            plain.distance("synthetic", real), plain.distance("synthetic", "synthetic"),
        )  # fmt: skip
        own = np.full(len(plain.kept[real]), np.inf)
        own[plain.kept[real]] = plain.distance(real, real)
        name = "" if real == "train" else "_test"
        found[f"authenticity{name}"] = authenticity(plain.neighbours("synthetic", real), own)
        nearer = weighted.distance(real, "synthetic") < weighted.distance(real, real)
        found[f"identifiability{name}"] = float(nearer.mean())
    p5 = found["nndr_p5_train"], found["nndr_p5_test"]
    found["nndr_ratio"] = p5[0] / p5[1] if p5[1] else (1.0 if not p5[0] else np.nan)
    found["nnaar"] = found["aa_test"] - found["aa_train"]
    return found


_COUNTED = {"authenticity": "synthetic", "authenticity_test": "synthetic", "identifiability": "train",
            "identifiability_test": "test", "dcr_share": "synthetic"}  # fmt: skip


def distance_attacks(
    train: Matrix, test: Matrix, synthetic: Matrix, n_draws: int = N_QUARTERS, seed: int = 0
) -> dict[str, Found]:
    """Return all numbers of distances by name, with intervals of 95 %.

    Args:
        train: `(n, d)`, scaled so that a step of each feature means about the same.
        test: `(n, d)`, as many: the nearest of more is nearer.
        synthetic: `(n, d)`.
        n_draws: Quarters that the intervals come from.
        seed: Of the quarters.
    """
    sets = {"train": train, "test": test, "synthetic": synthetic}
    sizes = {name: len(matrix) for name, matrix in sets.items()}
    assert len(set(sizes.values())) == 1
    if min(sizes.values()) < _LEAST:
        return {}
    weights = np.sqrt(entropy_weights(train)).astype(np.float32)
    near, weighted = Near(sets), Near({name: matrix * weights for name, matrix in sets.items()})

    def of(kept: Mapping[str, Bools]) -> dict[str, float]:
        return _measure(Part(near, kept), Part(weighted, kept))

    whole = of({name: np.ones(n, dtype=np.bool_) for name, n in sizes.items()})
    quarters = [
        of({name: _quarter(n, i, place, seed) for place, (name, n) in enumerate(sizes.items())}) for i in range(n_draws)
    ]
    found = {}
    for name, value in whole.items():
        if not np.isfinite(value):
            found[name] = missing("not defined: real records are alike", sizes["train"])
            continue
        spread = Z * float(np.nanstd([quarter[name] for quarter in quarters])) / 3**0.5
        lowest = -1.0 if name == "nnaar" else 0.0
        highest = np.inf if name == "nndr_ratio" else 1.0
        n = sizes["train"]
        hits = round(value * n) if name in _COUNTED else None
        found[name] = Found(value, max(lowest, value - spread), min(highest, value + spread), n, hits)
    return found


def _quarter(n: int, draw: int, place: int, seed: int) -> Bools:
    kept = np.zeros(n, dtype=np.bool_)
    kept[shuffled(n, Salt.QUARTERS, seed, draw, place)[: n // 4]] = True
    return kept


def prefix(n: int, most: int, seed: int) -> Ints:
    """Return the numbers of at most so many of `n` subjects, drawn; fewer are a part of more."""
    return np.sort(shuffled(n, Salt.PREFIX, seed)[:most])
