"""Urns of rows, one a kind, to draw from: filled while all rows pass by once, the same whatever the parts are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints, Words
from tawt.chance import Salt, draw
from tawt.dataset.records import Records

_HELD = 1 << 21
"""Rows that wait before those that no urn has room for are let go."""


class Filling:
    """Urns as they are filled, of at most `most` rows each: those whose random words are lowest.

    Args:
        most: Rows of each key.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._waiting: list[tuple[Ints, Words, dict[str, NDArray[Any]]]] = []
        self._n = 0

    def add(self, keys: Ints, words: Words, **columns: NDArray[Any]) -> None:
        """Let rows pass, `(n,)` each."""
        self._waiting.append((keys, words, columns))
        self._n += len(keys)
        if self._n > _HELD:
            self._settle()

    def done(self) -> Urns:
        """Return the urns; nothing comes any more."""
        self._settle()
        keys, _, columns = self._waiting[0]
        kinds, starts = np.unique(keys, return_index=True)
        return Urns(kinds, np.append(starts, len(keys)), columns)

    def _settle(self) -> None:
        keys = np.concatenate([keys for keys, _, _ in self._waiting])
        words = np.concatenate([words for _, words, _ in self._waiting])
        names = self._waiting[0][2]
        columns = {name: np.concatenate([one[name] for _, _, one in self._waiting]) for name in names}
        order = np.lexsort((words, keys))
        sorted_keys = keys[order]
        place = np.arange(len(order)) - np.searchsorted(sorted_keys, sorted_keys)
        order = order[place < self.most]
        self._waiting = [(keys[order], words[order], {name: column[order] for name, column in columns.items()})]
        self._n = len(order)


class Urns:
    """Rows to draw from, by key.

    Args:
        keys: `(k,)`, ascending.
        bounds: `(k + 1,)`, where the rows of each begin, and their number.
        columns: Of the rows.
    """

    def __init__(self, keys: Ints, bounds: Ints, columns: dict[str, NDArray[Any]]) -> None:
        self.keys, self.bounds, self.columns = keys, bounds, columns

    def rows(self, keys: Ints, chance: Floats) -> Ints:
        """Return a row of each key, `(m,)`, drawn by numbers in [0, 1); each key must have some."""
        at = np.searchsorted(self.keys, keys)
        first, n = self.bounds[at], self.bounds[at + 1] - self.bounds[at]
        found: Ints = first + (chance * n).astype(np.int64)
        return found

    def only(self, rows: Bools, by: str) -> Urns:
        """Return some of the rows, those of each key in the order of a column."""
        key = np.repeat(self.keys, np.diff(self.bounds))[rows]
        columns = {name: column[rows] for name, column in self.columns.items()}
        order = np.lexsort((columns[by], key))
        kinds, starts = np.unique(key[order], return_index=True)
        return Urns(kinds, np.append(starts, len(key)), {name: c[order] for name, c in columns.items()})


def row_words(part: Records) -> Words:
    """Return a random word of each triplet, `(n,)`: of its subject and its place in the record."""
    place = np.arange(len(part.time)) - part.bounds[:-1][part.subject]
    return draw(draw(part.subject_id)[part.subject] + place.astype(np.uint64), Salt.ROWS)


def values_of(part: Records) -> dict[str, NDArray[Any]]:
    """Return what a triplet's value is, as columns."""
    return {name: getattr(part, name) for name in ("value", "value_token", "value_status")}


def gaps_of(part: Records) -> tuple[Bools, Ints]:
    """Return whether each triplet is the first timed one of its record, and the time since the one before, us."""
    first = np.zeros(len(part.time), dtype=np.bool_)
    timed = np.flatnonzero(~part.is_static)
    first[timed[np.unique(part.subject[timed], return_index=True)[1]]] = True
    return first, np.where(first, part.time, np.diff(part.time, prepend=0))
