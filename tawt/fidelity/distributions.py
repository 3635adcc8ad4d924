"""Distributions of numbers of many kinds: of each some thousand are kept, by hash, the same whatever the pieces are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints, Words
from tawt.chance import Salt, draw
from tawt.dataset.records import Records
from tawt.fidelity.groups import N_GROUPS

MOST = 1 << 13
"""Numbers that are kept of each kind."""
_WAYS = 60
"""In which the groups of patients are dealt out anew."""
_48, _16 = np.uint64(48), np.uint64(16)


@dataclass(frozen=True, eq=False)
class Distributions:
    """Numbers, in the order of their kinds and within each of the numbers; of each kind those with the least words."""

    kind: Ints
    """`(m,)`, as data_types are, below 65,536."""
    value: NDArray[np.float32]
    """`(m,)`."""
    group: NDArray[np.uint8]
    """`(m,)`, of the subject."""
    word: Words
    """`(m,)`, by which it is kept or not."""
    starts: Ints = field(init=False)
    """`(k + 1,)`, where each kind begins."""

    def __post_init__(self) -> None:
        size = int(self.kind.max(initial=0)) + 2
        object.__setattr__(self, "starts", np.searchsorted(self.kind, np.arange(size)))

    def of(self, kind: int) -> NDArray[np.float32]:
        """Return the numbers of a kind, ascending."""
        return self.value[self._rows(kind)]

    def groups_of(self, kind: int) -> NDArray[np.uint8]:
        """Return the groups of the numbers of a kind, in their order."""
        return self.group[self._rows(kind)]

    def sizes(self, n: int) -> Ints:
        """Return how many there are of each kind below `n`, `(n,)`."""
        return np.bincount(self.kind, minlength=n)[:n]

    def _rows(self, kind: int) -> slice:
        return slice(self.starts[kind], self.starts[kind + 1]) if kind + 1 < len(self.starts) else slice(0, 0)

    def added(self, other: Distributions) -> Distributions:
        """Return both as one, with no more of a kind than are kept."""
        names = ("kind", "value", "group", "word")
        return _kept(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    def without(self, group: int | None) -> Distributions:
        """Return it without the numbers of a group of subjects."""
        if group is None:
            return self
        own = self.group != group
        return Distributions(self.kind[own], self.value[own], self.group[own], self.word[own])


def distributions_of(
    records: Records, rows: Bools | Ints, kind: NDArray[np.integer], value: NDArray[np.number], group: Ints
) -> Distributions:
    """Keep numbers that belong to some triplets.

    Args:
        records: Whose they are.
        rows: `(m,)` numbers of triplets, or which of all.
        kind: `(m,)`, of each number.
        value: `(m,)`.
        group: `(s,)`, of the subjects.
    """
    at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    subject = np.searchsorted(records.bounds, at, side="right") - 1
    place = (at - records.bounds[subject]).astype(np.uint64)
    word = draw(draw(records.subject_id, Salt.VALUES)[subject] + place)
    return _kept(kind.astype(np.int64), value.astype(np.float32), group[subject].astype(np.uint8), word)


def _kept(kind: Ints, value: NDArray[np.float32], group: NDArray[np.uint8], word: Words) -> Distributions:
    if len(kind) and np.bincount(kind).max() > MOST:
        order = np.argsort((kind.astype(np.uint64) << _48) + (word >> _16), kind="stable")
        ranked = kind[order]
        first = np.searchsorted(ranked, ranked, side="left")
        own = order[np.arange(len(order)) - first < MOST]
        kind, value, group, word = kind[own], value[own], group[own], word[own]
    order = np.lexsort((value, kind))
    return Distributions(kind[order], value[order], group[order], word[order])


def apart(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[float, float]:
    """Return the largest gap between the distribution functions of two ascending sets of numbers (KS), and the area
    between them (the first Wasserstein distance)."""
    both = np.sort(np.concatenate([x, y]), kind="stable")
    gap = np.abs(np.searchsorted(x, both, side="right") / len(x) - np.searchsorted(y, both, side="right") / len(y))
    return float(gap.max()), float(gap[:-1] @ np.diff(both.astype(np.float64)))


def limit(x: Distributions, y: Distributions, kind: int) -> float:
    """Return the KS distance that two halves of two sets of one origin stay below in 95 of 100, patients being dealt
    out anew.

    Args:
        x: Of one set.
        y: Of the other.
        kind: Of the numbers.
    """
    value = np.concatenate([x.of(kind), y.of(kind)])
    group = np.concatenate([x.groups_of(kind).astype(np.int64), y.groups_of(kind).astype(np.int64) + N_GROUPS])
    order = np.argsort(value, kind="stable")
    value, group = value[order], group[order]
    ends = np.append(np.diff(value) > 0, True)
    rng = np.random.default_rng(Salt.VALUES)
    found = np.zeros(_WAYS)
    for i in range(_WAYS):
        first = np.isin(group, rng.permutation(2 * N_GROUPS)[:N_GROUPS])
        weight: Floats = np.where(first, 1 / max(first.sum(), 1), -1 / max((~first).sum(), 1))
        found[i] = np.abs(weight.cumsum()[ends]).max()
    return float(np.quantile(found, 0.95))
