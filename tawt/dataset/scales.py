"""Scales of numbers that nobody shares: each point is a mean over many people, so no number of anybody stands in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL


@dataclass(frozen=True, eq=False)
class Scale:
    """Numbers as many people have them; of numbers that few have there is none."""

    points: Floats
    """`(k,)`, ascending means; what lies beyond the outermost is told as those."""
    places: Floats
    """`(k,)`, share of the numbers that lie below each."""
    common: Floats
    """`(c,)`, ascending: numbers that more than few people share, which are told as they are."""

    @classmethod
    def of(cls, number: NDArray[np.float32] | Floats | Ints, person: Ints) -> Scale:
        """Look at numbers, `(n,)`, and whose they are.

        What few people pass counts for nothing, or one number beyond all measure could be read off the outermost mean.
        Of so few people that the rest would be few, one point is all that is told.
        """
        who = np.unique(person, return_inverse=True)[1]
        if not len(who) or who.max() < SMALL_CELL:
            return cls(*np.zeros((3, 0)))
        order = np.lexsort((who, number))
        number, who = np.asarray(number, dtype=np.float64)[order], who[order]
        n = len(number)
        low, high = (np.sort(np.unique(side, return_index=True)[1])[SMALL_CELL] for side in (who, who[::-1]))
        first, end = np.searchsorted(number, number[low]), np.searchsorted(number, number[n - 1 - high], side="right")
        inner, of = number[first:end], who[first:end]
        bounds = _bounds(of)
        if len(bounds) < 2:
            own = np.bincount(who, number) / np.bincount(who)
            point = np.clip(own, *np.quantile(own, [0.25, 0.75])).mean()
            return cls(np.array([point]), np.array([0.5]), _common(number, who))
        block = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        once = np.unique(block * (who.max() + 1) + of, return_index=True)[1]  # each counts once, however much is theirs
        points = np.bincount(block[once], inner[once]) / np.bincount(block[once])
        return cls(points, (first + (bounds[:-1] + bounds[1:]) / 2) / n, _common(number, who))

    def within(self, number: Floats) -> Floats:
        """Return numbers, `(n,)`, drawn in to the scale."""
        return number.clip(self.points[0], self.points[-1]) if len(self.points) else np.zeros(len(number))

    def anew(self, number: Floats, chance: Floats) -> Floats:
        """Return others for numbers, `(n,)`, from between the same points of the scale; what many share stays.

        Args:
            number: Of people.
            chance: `(n,)`, in [0, 1).
        """
        if len(self.points) < 2:
            told = np.repeat(self.points, len(number)) if len(self.points) else np.zeros(len(number))
        else:
            edges = np.concatenate([self.points[:1], (self.points[1:] + self.points[:-1]) / 2, self.points[-1:]])
            cell = (np.searchsorted(edges, number, side="right") - 1).clip(0, len(self.points) - 1)
            told = edges[cell] + chance * (edges[cell + 1] - edges[cell])
        return np.where(self.has_common(number), number, told)

    def has_common(self, number: Floats) -> Bools:
        """Return whether each is a number that many people share, `(n,)`."""
        found: Bools = np.isin(number, self.common)
        return found

    def at(self, shares: Floats) -> Floats:
        """Return the numbers below which some shares lie, `(m,)`; 0 where there is no scale."""
        return np.interp(shares, self.places, self.points) if len(self.points) else np.zeros(len(shares))


def _bounds(who: Ints) -> Ints:
    """Return where blocks of rows begin that each hold more than few people, and their end."""
    bounds, held = [0], set[int]()
    size = SMALL_CELL + 1
    for start in range(0, len(who), size):
        held.update(who[start : start + size].tolist())
        if len(held) > SMALL_CELL:
            bounds.append(min(start + size, len(who)))
            held.clear()
    if len(bounds) > 1:
        bounds[-1] = len(who)  # the last few are told with those before
    return np.array(bounds)


def _common(number: Floats, who: Ints) -> Floats:
    """Return which of sorted numbers more than few people have; rows of one number are in the order of people."""
    first = np.append(True, np.diff(number) != 0)
    new = first | np.append(True, np.diff(who) != 0)
    n_people = np.add.reduceat(new.astype(np.int64), np.flatnonzero(first))
    return number[first][n_people > SMALL_CELL]
