"""Nearest neighbours, exactly, in blocks: matrices may lie on disk, and none of all distances is ever made.

A first look in single precision bounds every distance from below; what the bound cannot exclude is measured again in
double precision, from differences. So equal rows are at distance 0, and a neighbour is never lost to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats, Ints
from tawt.distances import lengths, squared
from tawt.errors import ContractError

Matrix = NDArray[np.floating]
"""`(n, d)`, a row a subject; may be memory-mapped."""
_QUERIES, _POINTS, _REFINED = 1024, 4096, 1 << 22
_SPARE = 12
"""Points beside those asked for that are measured exactly, a query itself among them: so the bound mostly holds."""
_LARGEST = 1e15


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The `k` nearest points of each of `n` queries, the nearest first; equally near ones by their number."""

    index: Ints
    """`(n, k)`, number of the point; -1 where there are not so many."""
    distance: Floats
    """`(n, k)`, Euclidean; inf where there are not so many."""


def nearest(queries: Matrix, points: Matrix, k: int = 1, own: Ints | None = None) -> Neighbours:
    """Find the `k` nearest points of each query.

    Args:
        queries: `(n, d)`.
        points: `(m, d)`.
        k: At least 1.
        own: `(n,)`, number of the point that a query is itself, and which is no neighbour of it, however near others
            lie; None = no query is among the points.

    Raises:
        ContractError: The matrices do not fit each other, or hold what is no finite number.
    """
    for name, matrix in (("queries", queries), ("points", points)):
        if matrix.ndim != 2 or matrix.shape[1] != points.shape[-1]:
            raise ContractError(name, f"have the shape {matrix.shape}, expected as many columns as the points")
    n, m = len(queries), len(points)
    index, distance = np.full((n, k), -1, dtype=np.int64), np.full((n, k), np.inf)
    center = _center(points)
    for start in range(0, n, _QUERIES):
        part = slice(start, start + _QUERIES)
        block = _held(queries[part], "queries")
        itself = None if own is None else own[part]
        at, bound = _candidates(block, points, center, min(m, k + _SPARE))
        found, far = _refined(block, points, at, itself)
        n_found = min(k, found.shape[1])
        index[part, :n_found], distance[part, :n_found] = found[:, :n_found], far[:, :n_found]
        if m > at.shape[1]:
            for row in np.flatnonzero(far[:, n_found - 1] > bound):
                index[start + row], distance[start + row] = _plainly(
                    block[row], points, k, None if itself is None else int(itself[row])
                )
    index[np.isinf(distance)] = -1
    return Neighbours(index, np.sqrt(distance))


def _held(block: Matrix, name: str) -> Floats:
    held: Floats = np.asarray(block, dtype=np.float64)
    if not (np.abs(held) < _LARGEST).all():
        raise ContractError(name, f"hold numbers that are not finite or beyond {_LARGEST:g}, expected none")
    return held


def _center(points: Matrix) -> Floats:
    total = np.zeros(points.shape[1])
    for start in range(0, len(points), _POINTS):
        total += _held(points[start : start + _POINTS], "points").sum(0)
    return total / max(1, len(points))


def _candidates(block: Floats, points: Matrix, center: Floats, kept: int) -> tuple[Ints, Floats]:
    """Return the points of the smallest lower bounds, `(b, kept)`, and `(b,)` what no other is nearer than, squared."""
    slack = 1 - (points.shape[1] + 16) * float(np.finfo(np.float32).eps)  # of norms, of rounding and of the product
    queries = (block - center).astype(np.float32)
    size = (slack * lengths(queries.astype(np.float64))).astype(np.float32)
    at, low = np.empty((len(block), 0), dtype=np.int64), np.empty((len(block), 0), dtype=np.float32)
    for start in range(0, len(points), _POINTS):
        own_points = (np.asarray(points[start : start + _POINTS], dtype=np.float64) - center).astype(np.float32)
        own_size = (slack * lengths(own_points.astype(np.float64))).astype(np.float32)
        bounds = squared(queries, own_points, size, own_size)
        few = min(kept, bounds.shape[1])
        chosen = np.argpartition(bounds, few - 1, axis=1)[:, :few]
        at = np.concatenate([at, chosen + start], 1)
        low = np.concatenate([low, np.take_along_axis(bounds, chosen, 1)], 1)
        if at.shape[1] > kept:
            chosen = np.argpartition(low, kept - 1, axis=1)[:, :kept]
            at, low = np.take_along_axis(at, chosen, 1), np.take_along_axis(low, chosen, 1)
    return at, low.max(1, initial=0).astype(np.float64)


def _refined(block: Floats, points: Matrix, at: Ints, own: Ints | None) -> tuple[Ints, Floats]:
    """Return candidates in order of their squared distances from differences, and these."""
    squared = np.empty(at.shape)
    step = max(1, _REFINED // max(1, at.shape[1] * block.shape[1]))
    for start in range(0, len(block), step):
        part = slice(start, start + step)
        gaps = np.asarray(points[at[part]], dtype=np.float64) - block[part, None]
        squared[part] = np.einsum("bkd,bkd->bk", gaps, gaps)
    if own is not None:
        squared[at == own[:, None]] = np.inf
    order = np.lexsort((at, squared), axis=1)
    return np.take_along_axis(at, order, 1), np.take_along_axis(squared, order, 1)


def _plainly(query: Floats, points: Matrix, k: int, own: int | None) -> tuple[Ints, Floats]:
    """Measure one query against all points, where many are so near that single precision cannot tell them apart."""
    squared = np.empty(len(points))
    for start in range(0, len(points), _POINTS):
        gaps = np.asarray(points[start : start + _POINTS], dtype=np.float64) - query
        squared[start : start + _POINTS] = (gaps**2).sum(1)
    if own is not None and own >= 0:
        squared[own] = np.inf
    order = np.argsort(squared, kind="stable")[:k]
    return order, squared[order]
