"""Which values data_types have: the distributions of numbers, of categories and of what is missing, one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.records import Records
from tawt.fidelity.distributions import Distributions, apart, distributions_of, limit
from tawt.fidelity.groups import N_GROUPS, Figures, mean_of
from tawt.fidelity.pieces import cells_of, numbers_of

LEAST_VALUES = 30
"""Values that a data_type has in both sets, or it is not compared."""


@dataclass(frozen=True, eq=False)
class Values:
    """Samples of values and counts of statuses, by group of subjects or of all."""

    numbers: Distributions
    """Normalized, by data_type."""
    categories: Distributions
    """Tokens, by data_type."""
    status: Floats
    """`(g, v, 10)`, rows."""
    not_finite: Floats
    """`(g,)`, numbers that are none or infinite: no measure looks at them."""


def values_of(piece: Records, group: Ints, n_types: int) -> Values:
    """Collect the values of some records.

    Args:
        piece: The records.
        group: `(s,)`, of the subjects.
        n_types: `v`, data_types of the vocabulary.
    """
    kind, n = piece.data_type.astype(np.int64), len(ValueStatus)
    numbers, _ = numbers_of(piece)
    named = piece.value_status == ValueStatus.CATEGORY
    cell = cells_of(piece, group, n_types) * n + piece.value_status
    lost = group[piece.subject[piece.has_number & ~numbers]]
    return Values(
        distributions_of(piece, numbers, kind[numbers], piece.value[numbers], group),
        distributions_of(piece, named, kind[named], piece.value_token[named], group),
        np.bincount(cell, minlength=N_GROUPS * n_types * n).reshape(N_GROUPS, n_types, n).astype(np.float64),
        np.bincount(lost, minlength=N_GROUPS).astype(np.float64),
    )


def compared_types(real: Distributions, other: Distributions, n_types: int) -> Ints:
    """Return the data_types that have enough values in both sets."""
    return np.flatnonzero((real.sizes(n_types) >= LEAST_VALUES) & (other.sizes(n_types) >= LEAST_VALUES))


def distances(real: Values, other: Values, types: Ints) -> tuple[Floats, Floats]:
    """Return KS, and the Wasserstein distance in interquartile ranges of the real ones, of each data_type `(k,)`."""
    ks, w1 = np.full(len(types), np.nan), np.full(len(types), np.nan)
    for i, kind in enumerate(types):
        x, y = real.numbers.of(kind), other.numbers.of(kind)
        if len(x) and len(y):
            ks[i], area = apart(x, y)
            middle = float(np.subtract(*np.quantile(x.astype(np.float64), (0.75, 0.25))))
            w1[i] = area / middle if middle > 0 else math.nan
    return ks, w1


def limits(real: Values, ceiling: Values) -> Floats:
    """Return the KS that two real sets of the same patients, dealt out anew, stay below in 95 of 100, by data_type;
    NaN where there are too few values."""
    n_types = len(real.status)
    found = np.full(n_types, np.nan)
    for kind in compared_types(real.numbers, ceiling.numbers, n_types):
        found[kind] = limit(real.numbers, ceiling.numbers, int(kind))
    return found


def total_variation(p: NDArray[Any], q: NDArray[Any]) -> float:
    """Return half the sum of how far shares are apart, of counts `(k,)`; NaN where either set has none."""
    return float(0.5 * np.abs(p / p.sum() - q / q.sum()).sum()) if p.sum() and q.sum() else math.nan


def values_compared(within: Floats) -> Callable[[Values, Values], Callable[[Values, Values], Figures]]:
    """Return what compares the values of two sets.

    Args:
        within: `(v,)`, KS that real sets stay below: see `limits`.
    """

    def compare(real: Values, other: Values) -> Callable[[Values, Values], Figures]:
        n_types = len(real.status)
        types = compared_types(real.numbers, other.numbers, n_types)
        named = compared_types(real.categories, other.categories, n_types)
        weights = real.status.sum(1)
        enough: Bools = (weights >= LEAST_VALUES) & (other.status.sum(1) >= LEAST_VALUES)

        def look(real: Values, other: Values) -> Figures:
            ks, w1 = distances(real, other, types)
            known = np.isfinite(ks) & np.isfinite(within[types])
            own = np.isfinite(w1)
            tv = np.array([_categories_apart(real.categories, other.categories, kind) for kind in named])
            statuses = zip(real.status[enough], other.status[enough], strict=True)
            missing = np.array([total_variation(p, q) for p, q in statuses])
            return {
                "ks": float(np.median(ks)) if len(ks) else None,
                "ks_farthest": float(ks.max()) if len(ks) else None,
                "ks_weighted": mean_of(ks, weights[types]),
                "ks_above": float((ks > within[types])[known].mean()) if known.any() else None,
                "w1": float(np.median(w1[own])) if own.any() else None,
                "w1_weighted": mean_of(w1, weights[types]),
                "categories": mean_of(tv, weights[named]),
                "statuses": mean_of(missing, weights[enough]),
            }

        return look

    return compare


def _categories_apart(real: Distributions, other: Distributions, kind: int) -> float:
    x, y = real.of(kind), other.of(kind)
    tokens = np.union1d(x, y)
    p, q = (np.searchsorted(own, tokens, "right") - np.searchsorted(own, tokens, "left") for own in (x, y))
    return total_variation(p, q)
