"""Which data_types records have, which together, and which follow which: shares of subjects."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.records import Records
from tawt.fidelity.groups import N_GROUPS, Figures, by_group, share_told
from tawt.fidelity.pieces import begins_moment
from tawt.fidelity.summaries import places

LEAST_COUNT = 5
_DAY = 24 * US_PER_HOUR


@dataclass(frozen=True, eq=False)
class Pairs:
    """Counts of subjects, by group of them or of all."""

    n: Floats
    """`(g,)`, how many there are."""
    people: Floats
    """`(g, v)`, who have a data_type."""
    together: NDArray[np.float32]
    """`(g, k, k)`, who have both."""
    near: NDArray[np.float32]
    """`(g, k, k)`, who have both within 24 hours."""
    after: NDArray[np.float32]
    """`(g, k, k)`, who have the second in the moment right after one with the first."""


def pairs_of(piece: Records, group: Ints, types: Ints, n_types: int) -> Pairs:
    """Count in some records.

    Args:
        piece: The records.
        group: `(s,)`, of the subjects.
        types: `(k,)`, data_types of which pairs are counted, ascending.
        n_types: `v`.
    """
    s, k, subject = piece.n_subjects, len(types), piece.subject
    has = np.unique(subject * n_types + piece.data_type)
    cell = group[has // n_types] * n_types + has % n_types
    people = np.bincount(cell, minlength=N_GROUPS * n_types).reshape(-1, n_types)
    place = places(piece.data_type, types)
    there = np.zeros((s, k + 1), dtype=np.float32)
    there[subject, place] = 1
    together = np.zeros((len(people), k, k), dtype=np.float32)
    for g in np.unique(group):
        own = there[group == g, :k]
        together[g] = own.T @ own
    near, after = _in_time(piece, place, k)
    near |= near.transpose(0, 2, 1)
    n = np.bincount(group, minlength=len(people)).astype(np.float64)
    return Pairs(n, people.astype(np.float64), together, by_group(near, group), by_group(after, group))


def _in_time(piece: Records, place: Ints, k: int) -> tuple[Bools, Bools]:
    """Return who has the second of a pair at most 24 hours before the first, and who in the moment after it,
    `(s, k, k)` each."""
    timed = ~piece.is_static
    first = begins_moment(piece) & timed
    who, when, number = piece.subject[first], piece.time[first], np.cumsum(first) - 1
    there = np.zeros((len(who), k), dtype=np.bool_)
    own = timed & (place < k)
    there[number[own], place[own]] = True
    follows = np.zeros_like(there)
    follows[:-1] = there[1:] & (who[1:] == who[:-1])[:, None]
    # one clock for all, on which no two subjects are within a day of each other
    step = np.diff(when, prepend=when[:1])
    clock = np.cumsum(np.where(np.diff(who, prepend=who[:1]) != 0, 2 * _DAY, step))
    latest = np.where(there, clock[:, None], -2 * _DAY)
    np.maximum.accumulate(latest, axis=0, out=latest)
    near = clock[:, None] - latest <= _DAY
    at, code = np.nonzero(there)
    key = who[at] * k + code
    order = np.argsort(key, kind="stable")
    key, at = key[order], at[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    found = []
    for vectors in (near, follows):
        whole = np.zeros((piece.n_subjects * k, k), dtype=np.bool_)
        if len(starts):
            whole[key[starts]] = np.logical_or.reduceat(vectors[at], starts, axis=0)
        found.append(whole.reshape(piece.n_subjects, k, k))
    return found[0], found[1]


def r_squared(p: Floats, q: Floats) -> float:
    """Return how much of what varies in `p` the line p = q explains; below 0 where it is worse than a mean."""
    around = float(((p - p.mean()) ** 2).sum()) if len(p) else 0.0
    return 1 - float(((p - q) ** 2).sum()) / around if around > 0 else math.nan


def pairs_compared(real: Pairs, other: Pairs) -> Callable[[Pairs, Pairs], Figures]:
    """Choose data_types and pairs by the whole sets, and return what compares the sets or parts of them."""
    n = float(real.n)
    either = (real.people > 0) | (other.people > 0)
    upper = np.triu_indices(len(real.together), 1)
    one_way: Any = slice(None)
    kinds = {"together": ("cooccurrence", upper), "near": ("cooccurrence_24h", upper), "after": ("sequence", one_way)}
    enough = {name: getattr(real, name)[where] >= LEAST_COUNT for name, (_, where) in kinds.items()}
    none = {name: getattr(real, name)[where] == 0 for name, (_, where) in kinds.items()}
    new, gone = real.people == 0, other.people == 0

    def look(real: Pairs, other: Pairs) -> Figures:
        p, q = real.people / real.n, other.people / other.n
        found: dict[str, float | None] = {
            "prevalence": r_squared(p[either], q[either]),
            "prevalence_log": r_squared(np.log10(np.maximum(p[either], 1 / n)), np.log10(np.maximum(q[either], 1 / n))),
            "new_types": _share(other.people, new),
            "missing_types": _share(real.people, gone),
        }
        for name, (title, where) in kinds.items():
            of_real = getattr(real, name)[where].astype(np.float64) / real.n
            of_other = getattr(other, name)[where].astype(np.float64) / other.n
            found[title] = r_squared(of_real[enough[name]], of_other[enough[name]])
            found[f"{title}_false"] = _share(getattr(other, name)[where], none[name])
        return found

    return look


def _share(counts: Floats, of: Bools) -> float:
    return share_told(float(counts[of].sum()), float(counts.sum()))
