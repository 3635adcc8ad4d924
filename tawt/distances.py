"""Squared distances between points by a product of matrices, block by block: those of all pairs are never held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
"""Points that are looked at at once."""


def lengths(x: NDArray[Any]) -> NDArray[Any]:
    """Return the squared lengths of points `(n, f)`, `(n,)`."""
    found: NDArray[Any] = (x**2).sum(1)
    return found


def squared(x: NDArray[Any], y: NDArray[Any], of_x: NDArray[Any], of_y: NDArray[Any]) -> NDArray[Any]:
    """Return the squared distances of `x` `(n, f)` to `y` `(m, f)`, `(n, m)`; rounding may take one below 0.

    Args:
        x: Points.
        y: Others.
        of_x: `(n,)`, their squared lengths, or less: then distances are no more than they are.
        of_y: `(m,)`, the same of the others.
    """
    found: NDArray[Any] = of_x[:, None] + of_y
    found -= 2 * (x @ y.T)
    return found


def squares(x: NDArray[Any], y: NDArray[Any], rows: int | None = None) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Give squared distances of the points of `x` `(n, f)` to all of `y` `(m, f)`, some rows at a time."""
    of_y, rows = lengths(y), rows or BLOCK
    for start in range(0, len(x), rows):
        part = slice(start, min(start + rows, len(x)))
        found = squared(x[part], y, lengths(x[part]), of_y)
        yield part, np.maximum(found, 0, out=found)
