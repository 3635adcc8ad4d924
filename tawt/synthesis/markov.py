"""The control that knows one step: what follows what, how long after, and how much of a number stays to the next."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints, Words
from tawt.chance import draw, uniform
from tawt.contracts.value_status import HAS_NUMBER_OF
from tawt.dataset.records import Cohort, Records
from tawt.synthesis.urns import Filling, Urns, gaps_of, row_words, values_of

_STATIC, _PICK, _NEXT, _GAP, _VALUE, _NORMAL = range(80, 86)
_MOST_OF_TYPE, _MOST_OF_PAIR = 4096, 1024
_FEWEST_PAIRS = 30
"""Of fewer pairs of numbers nothing is said of how they go together."""
_GRID = np.linspace(0.5 / 8192, 1 - 0.5 / 8192, 8192)
_QUANTILES = np.array([NormalDist().inv_cdf(share) for share in _GRID.tolist()])


class Markov:
    """Each data_type follows from the one before, start and end too; a number from the last of its data_type by AR(1)
    among ranks, so that its distribution stays; statics come each by itself.

    Args:
        cohort: What it is fitted to, in two passes.
        n_types: Data_types of the vocabulary.
    """

    def __init__(self, cohort: Cohort, n_types: int) -> None:
        self.n_types = n_types
        self.ends = n_types
        """Stands for the start before a data_type, and for the end behind it."""
        self.width = n_types + 1
        gaps, values = Filling(_MOST_OF_PAIR), Filling(_MOST_OF_TYPE)
        pairs: dict[int, int] = {}
        having, n = np.zeros(n_types, dtype=np.int64), 0
        for part in cohort.parts():
            words, still, n = row_words(part), part.is_static, n + part.n_subjects
            having += part.keep(still).people(n_types)
            values.add(part.data_type + n_types * still, words, **values_of(part))
            first, gap = gaps_of(part)
            key = self._pairs(part, first)
            gaps.add(key[~still], words[~still], gap=gap[~still])
            for one, count in zip(*np.unique([*key[~still], *self._lasts(part)], return_counts=True), strict=True):
                pairs[int(one)] = pairs.get(int(one), 0) + int(count)
        self.static_share = having / max(n, 1)
        self.gaps, self.values = gaps.done(), values.done()
        self.pairs = np.array(sorted(pairs), dtype=np.int64)
        self.total = np.concatenate([[0], np.cumsum([pairs[key] for key in self.pairs.tolist()])])
        """Times that pairs up to each came."""
        self.numbers = self.values.only(HAS_NUMBER_OF[self.values.columns["value_status"]], "value")
        self.stays = self._correlations(cohort)
        """`(n_types,)`, correlation of the normal scores of a data_type's numbers with those of the ones before."""

    def _pairs(self, part: Records, first: Bools) -> Ints:
        """Return what came before each triplet and itself, as one number."""
        before = np.where(first, self.ends, np.roll(part.data_type, 1))
        key: Ints = before * np.int64(self.width) + part.data_type
        return key

    def _lasts(self, part: Records) -> Ints:
        """Return what each record ends with, and its end, as one number."""
        filled = part.lengths > 0
        last = np.full(part.n_subjects, self.ends, dtype=np.int64)
        at = part.bounds[1:][filled] - 1
        last[filled] = np.where(part.is_static[at], self.ends, part.data_type[at])
        return last * self.width + self.ends

    def _correlations(self, cohort: Cohort) -> Floats:
        sums = np.zeros((6, self.n_types))
        for part in cohort.parts():
            for kind, one, other in self._neighbours(part):
                for i, x in enumerate((np.ones_like(one), one, other, one * one, other * other, one * other)):
                    sums[i] += np.bincount(kind, x, minlength=self.n_types)
        n = np.maximum(sums[0], 1)
        mean, after, square, square_after, product = sums[1:] / n
        spread = np.sqrt(np.maximum((square - mean**2) * (square_after - after**2), 1e-12))
        found: Floats = np.where(sums[0] >= _FEWEST_PAIRS, np.clip((product - mean * after) / spread, -0.99, 0.99), 0.0)
        return found

    def _neighbours(self, part: Records) -> Iterator[tuple[Ints, Floats, Floats]]:
        """Give data_types of numbers that have one before them, and the normal scores of both."""
        rows = np.flatnonzero(part.has_number & ~part.is_static)
        if not len(rows):
            return
        rows = rows[np.lexsort((rows, part.data_type[rows], part.subject[rows]))]
        kind, subject = part.data_type[rows].astype(np.int64), part.subject[rows]
        score = _scores(self.numbers, kind, part.value[rows])
        same = (kind[1:] == kind[:-1]) & (subject[1:] == subject[:-1])
        yield kind[1:][same], score[:-1][same], score[1:][same]

    def records(self, words: Words, most: int) -> tuple[dict[str, NDArray[Any]], Bools]:
        """Draw records of random words, `(b,)`: the columns of their triplets, and which are whole."""
        b = len(words)
        steps = [self._statics(words)]
        before, time = np.full(b, self.ends), np.zeros(b, dtype=np.int64)
        alive = np.ones(b, dtype=np.bool_)
        last = np.zeros((b, self.n_types), dtype=np.float32)
        seen = np.zeros((b, self.n_types), dtype=np.bool_)
        for number in range(most):
            own = np.flatnonzero(alive)
            chance = [uniform(draw(words[own], what, number)) for what in (_NEXT, _GAP, _VALUE, _NORMAL)]
            kind = self._next(before[own], chance[0])
            alive[own[kind == self.ends]] = False
            there = kind != self.ends
            own, kind, chance = own[there], kind[there], [one[there] for one in chance]
            if not len(own):
                break
            wait = self.gaps.columns["gap"][self.gaps.rows(before[own] * self.width + kind, chance[1])]
            time[own] += wait
            value = self._values(own, kind, chance[2], chance[3], last, seen)
            steps.append({"subject": own, "is_static": np.zeros(len(own), np.bool_), "time": time[own],
                          "data_type": kind, **value})  # fmt: skip
            before[own] = kind
        columns = {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
        return columns, ~alive

    def _statics(self, words: Words) -> dict[str, NDArray[Any]]:
        kinds = np.flatnonzero(self.static_share)
        subject, kind = np.repeat(np.arange(len(words)), len(kinds)), np.tile(kinds, len(words))
        own = draw(words[subject] + kind.astype(np.uint64), _STATIC)
        there = uniform(own) < self.static_share[kind]
        subject, kind, own = subject[there], kind[there], own[there]
        rows = self.values.rows(kind + self.n_types, uniform(draw(own, _PICK)))
        columns = {"subject": subject, "is_static": np.ones(len(kind), dtype=np.bool_),
                   "time": np.zeros(len(kind), dtype=np.int64), "data_type": kind}  # fmt: skip
        return columns | {name: column[rows] for name, column in self.values.columns.items()}

    def _next(self, before: Ints, chance: Floats) -> Ints:
        low, high = (self.total[np.searchsorted(self.pairs, (before + i) * self.width)] for i in (0, 1))
        found: Ints = self.pairs[np.searchsorted(self.total, low + chance * (high - low), side="right") - 1]
        return found % self.width

    def _values(
        self, own: Ints, kind: Ints, chance: Floats, normal: Floats, last: NDArray[np.float32], seen: Bools
    ) -> dict[str, NDArray[Any]]:
        """Draw values, and note the scores of numbers in `last` and `seen`, `(b, n_types)`."""
        rows = self.values.rows(kind, chance)
        value = {name: column[rows] for name, column in self.values.columns.items()}
        is_number = HAS_NUMBER_OF[value["value_status"]]
        at, of = own[is_number], kind[is_number]
        fresh = np.interp(normal[is_number], _GRID, _QUANTILES)
        stays = np.where(seen[at, of], self.stays[of], 0.0)
        score = stays * last[at, of] + np.sqrt(1 - stays**2) * fresh
        last[at, of], seen[at, of] = score, True
        rank = np.interp(score, _QUANTILES, _GRID)
        picked = self.numbers.rows(of, rank)
        for name, column in self.numbers.columns.items():
            value[name][is_number] = column[picked]
        return value


def _scores(numbers: Urns, kind: Ints, value: NDArray[np.float32]) -> Floats:
    """Return the normal scores of numbers among those of their data_type; equal ones have the score of their middle."""
    score = np.zeros(len(kind))
    for one in np.unique(kind).tolist():
        at = kind == one
        place = int(np.searchsorted(numbers.keys, one))
        own = numbers.columns["value"][numbers.bounds[place] : numbers.bounds[place + 1]]
        low, high = (np.searchsorted(own, value[at], side=side) for side in ("left", "right"))
        score[at] = np.interp((low + high) / (2 * len(own)), _GRID, _QUANTILES)
    return score
