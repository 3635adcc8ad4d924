"""Sets of subjects as clouds of points, of summaries or of embeddings: how alike as a whole, and which part of one lies
within the other.

All distances are made block by block, so memory is that of the points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Floats
from tawt.chance import Salt, shuffled
from tawt.distances import squares
from tawt.fidelity.groups import N_GROUPS, Figures, Measure, group_of, measured, share_told, told, without_group
from tawt.fidelity.summaries import Matrix

NEIGHBOURS, MOST_POINTS = 5, 5000
"""Neighbours that make a point's surroundings; points of each set at most: time grows by their square."""
_PAIRS = 1000


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of features, by group of subjects or of all."""

    n: Floats
    """`(g,)`."""
    sums: Floats
    """`(g, f)`."""
    products: Floats
    """`(g, f, f)`."""


def correlations(real: Matrix, other: Matrix) -> dict[str, Measure]:
    """Compare how features of subjects hang together: the mean gap between two correlation matrices.

    Args:
        real: `(n, f)`.
        other: `(m, f)`.
    """
    return measured(_correlations_compared, _moments(real), _moments(other), min(len(real), len(other)))


def _moments(x: Matrix) -> Moments:
    wide, group = x.astype(np.float64), group_of(0, len(x))
    parts = [wide[group == g] for g in range(N_GROUPS)]
    return Moments(
        np.array([len(part) for part in parts], dtype=np.float64), np.stack([part.sum(0) for part in parts]),
        np.stack([part.T @ part for part in parts]),
    )  # fmt: skip


def _correlation(of: Moments) -> Floats:
    mean = of.sums / of.n
    spread = of.products / of.n - np.outer(mean, mean)
    scale = np.sqrt(np.maximum(np.diag(spread), 0))
    scale = np.where(scale > 1e-6, scale, np.nan)
    found: Floats = spread / np.outer(scale, scale)
    return found


def _correlations_compared(real: Moments, other: Moments) -> Callable[[Moments, Moments], Figures]:
    upper = np.triu_indices(len(real.sums), 1)
    # what never varies in a set is nothing there that could hang together
    whole = np.isfinite(_correlation(real)[upper]) & np.isfinite(_correlation(other)[upper])

    def look(real: Moments, other: Moments) -> Figures:
        gap = np.abs(_correlation(real)[upper][whole] - _correlation(other)[upper][whole])
        gap = gap[np.isfinite(gap)]
        return {"correlation": float(gap.mean()) if len(gap) else math.nan}

    return look


def drawn(x: Matrix, most: int = MOST_POINTS) -> Matrix:
    """Return at most so many points, drawn at random."""
    return x if len(x) <= most else x[np.sort(shuffled(len(x), Salt.POINTS)[:most])]


def mmd(real: Matrix, other: Matrix) -> dict[str, Measure]:
    """Return the maximum mean discrepancy of two sets: squared, unbiased, and so about 0, or below, of equal ones.

    The kernel is Gaussian, as wide as the median distance of two real points.

    Args:
        real: `(n, f)`.
        other: `(m, f)`.
    """
    # source: Gretton et al. 2012, A kernel two-sample test, equation 3
    x, y = drawn(real), drawn(other)
    some = drawn(x, _PAIRS)
    apart = np.concatenate([square for _, square in squares(some, some)])[np.triu_indices(len(some), 1)]
    width = float(np.median(apart)) or 1.0
    a, b, both = (_kernel_sums(*pair, width) for pair in ((x, x), (y, y), (x, y)))
    n, m = (np.bincount(group_of(0, len(one)), minlength=N_GROUPS).astype(np.float64) for one in (x, y))

    def without(group: int | None) -> Figures:
        own = without_group(N_GROUPS, group)
        k, l = n[own].sum(), m[own].sum()  # noqa: E741
        if min(k, l) < 2:
            return {"mmd": None}
        inner = [float(one[own][:, own].sum()) for one in (a, b, both)]
        # a point's kernel with itself is 1
        return {"mmd": (inner[0] - k) / (k * (k - 1)) + (inner[1] - l) / (l * (l - 1)) - 2 * inner[2] / (k * l)}

    return told(without(None), without, min(len(x), len(y)))


def _kernel_sums(x: Matrix, y: Matrix, width: float) -> Floats:
    """Return the sums of the kernel over pairs of groups of points, `(g, g)`; a point with itself counts 1."""
    found = np.zeros((N_GROUPS, N_GROUPS))
    of_x, of_y = group_of(0, len(x)), group_of(0, len(y))
    order = np.argsort(of_y, kind="stable")
    starts = np.searchsorted(of_y[order], np.arange(N_GROUPS))
    some = min(len(y), N_GROUPS)
    for rows, square in squares(x, y[order]):
        if x is y:
            square[np.arange(len(square)), np.argsort(order)[rows]] = 0
        kernel = np.exp(square / np.float32(-2 * width))
        np.add.at(found[:, :some], of_x[rows], np.add.reduceat(kernel, starts[:some], axis=1, dtype=np.float64))
    return found


def radii(x: Matrix, k: int = NEIGHBOURS) -> Matrix:
    """Return the squared distance of each point to its `k`-th neighbour, itself left out by its number, `(n,)`."""
    found = np.empty(len(x), dtype=np.float32)
    for rows, square in squares(x, x):
        square[np.arange(len(square)), np.arange(rows.start, rows.stop)] = np.inf
        found[rows] = np.partition(square, k - 1, axis=1)[:, k - 1]
    return found


def surroundings(real: Matrix, other: Matrix) -> dict[str, Measure]:
    """Return precision, recall, density and coverage.

    A point's surroundings reach to its fifth neighbour in its own set. Precision is the share of the others within
    those of a real point, recall of the real ones within those of another; density counts how many real ones each of
    the others is near, over five; coverage is the share of real points with another in their surroundings. Intervals
    leave out points that are asked about, not neighbours.

    Args:
        real: `(n, f)`.
        other: `(m, f)`.
    """
    # source: Kynkaanniemi et al. 2019 (precision, recall), Naeem et al. 2020 (density, coverage)
    x, y, k = drawn(real), drawn(other), NEIGHBOURS
    if min(len(x), len(y)) <= k:
        return {name: Measure(None, reason=f"fewer than {k + 2} subjects") for name in SURROUNDINGS}
    of_x, of_y = radii(x, k), radii(y, k)
    recall, coverage, near = np.zeros(len(x), dtype=np.bool_), np.zeros(len(x), dtype=np.bool_), np.zeros(len(y))
    for rows, square in squares(x, y):
        within = square < of_x[rows, None]
        near += within.sum(0)
        recall[rows], coverage[rows] = (square < of_y).any(1), within.any(1)
    each = {"precision": near > 0, "recall": recall, "coverage": coverage}

    def without(group: int | None) -> Figures:
        found = {name: one[without_group(len(one), group)] for name, one in each.items()}
        shares = {name: share_told(float(one.sum()), len(one)) for name, one in found.items()}
        return shares | {"density": float(near[without_group(len(near), group)].mean()) / k}

    return told(without(None), without, min(len(x), len(y)))


SURROUNDINGS = ("precision", "recall", "density", "coverage")
