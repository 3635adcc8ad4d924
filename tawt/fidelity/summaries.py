"""A record as a row of numbers: how often and how high, on average and last, is what is most frequent; its times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.records import Cohort, Records
from tawt.fidelity.pieces import MOST, begins_moment, numbers_of, pieces

Matrix = NDArray[np.float32]
MOST_TYPES, MOST_CATEGORIES = 100, 100
"""Data_types and categories that have features."""
_OF_TIME = ("events", "moments", "span", "gap", "gap_spread")


@dataclass(frozen=True, eq=False)
class Summary:
    """Which features there are, and what they are standardised by: those of a reference set."""

    types: Ints
    """`(a,)`, data_types with features, ascending."""
    has_number: Bools
    """`(a,)`, which of them have numbers."""
    categories: NDArray[np.int64]
    """`(b, 2)`, data_type and value_token of categories."""
    mean: Floats
    """`(f,)`, of the reference."""
    std: Floats
    """`(f,)`, of the reference; 1 where nothing varies."""

    @property
    def n_features(self) -> int:
        """`f`."""
        return len(self.types) + 2 * int(self.has_number.sum()) + len(self.categories) + len(_OF_TIME)

    def names(self, codes: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the features' names.

        Args:
            codes: Of the data_types of the vocabulary; None = data_types are called by their number.
        """
        of = [str(i) for i in range(1 + int(self.types.max(initial=0)))] if codes is None else codes
        numbers = self.types[self.has_number]
        return (
            *(f"{of[i]}:count" for i in self.types), *(f"{of[i]}:mean" for i in numbers),
            *(f"{of[i]}:last" for i in numbers), *(f"{of[i]}:category {token}" for i, token in self.categories),
            *_OF_TIME,
        )  # fmt: skip

    def of(self, cohort: Cohort) -> Matrix:
        """Return the features of each subject, `(n, f)`, standardised.

        What a record lacks is 0, as the mean of the reference is. Nothing is farther than 10 from it: no single
        number makes up a distance.
        """
        found = self.raw(cohort)
        found -= self.mean.astype(np.float32)
        found /= self.std.astype(np.float32)
        np.nan_to_num(found, copy=False, nan=0.0)
        return np.clip(found, -MOST, MOST, out=found)

    def raw(self, cohort: Cohort) -> Matrix:
        """Return the features as they are, `(n, f)`, NaN where a record has none."""
        found = np.empty((cohort.n_subjects, self.n_features), dtype=np.float32)
        for start, piece in pieces(cohort):
            found[start : start + piece.n_subjects] = self._piece(piece)
        return found

    def _piece(self, piece: Records) -> Matrix:
        s, a = piece.n_subjects, len(self.types)
        place = places(piece.data_type, self.types)
        cell = piece.subject * (a + 1) + place
        count = np.bincount(cell, minlength=s * (a + 1)).reshape(s, a + 1)[:, :a]
        has, value = numbers_of(piece)
        own = has & (place < a)
        mean, last = _means(cell[own], piece.time[own], value[own], s * (a + 1))
        numbers = np.append(self.has_number, False)
        columns = [np.log1p(count), mean.reshape(s, a + 1)[:, numbers], last.reshape(s, a + 1)[:, numbers]]
        columns += [self._shares(piece, count), _of_time(piece)]
        return np.concatenate(columns, 1).astype(np.float32)

    def _shares(self, piece: Records, count: Ints) -> Floats:
        """Return the share of each category among a subject's events of its data_type."""
        if not len(self.categories):
            return np.empty((piece.n_subjects, 0))
        b = len(self.categories)
        place = places(_keys(piece), _pair_keys(self.categories))
        own = (piece.value_status == ValueStatus.CATEGORY) & (place < b)
        cell = piece.subject[own] * b + place[own]
        times = np.bincount(cell, minlength=piece.n_subjects * b).reshape(-1, b)
        among = count[:, np.searchsorted(self.types, self.categories[:, 0])]
        return np.divide(times, among, out=np.full(times.shape, np.nan), where=among > 0)


def summary_of(reference: Cohort, most_types: int = MOST_TYPES, most_categories: int = MOST_CATEGORIES) -> Summary:
    """Choose features and their scale by a reference set: its most frequent data_types, by subjects who have them.

    Args:
        reference: Real records; with its own scale each set would look alike.
        most_types: Data_types at most.
        most_categories: Categories at most, of these data_types.
    """
    people: Counter[int] = Counter()
    numbers: Counter[int] = Counter()
    categories: Counter[int] = Counter()
    for _, piece in pieces(reference):
        _count(people, np.unique((piece.subject << 32) + piece.data_type) & 0xFFFFFFFF)
        _count(numbers, piece.data_type[piece.has_number])
        _count(categories, _keys(piece)[piece.value_status == ValueStatus.CATEGORY])
    types = np.array(sorted(_most(people, most_types)), dtype=np.int64)
    among = set(types.tolist())
    kept = sorted(_most(Counter({key: n for key, n in categories.items() if key >> 32 in among}), most_categories))
    pairs = np.array([(key >> 32, key & 0xFFFFFFFF) for key in kept], dtype=np.int64).reshape(-1, 2)
    has_number = np.array([numbers[kind] > 0 for kind in types.tolist()], dtype=np.bool_)
    plain = Summary(types, has_number, pairs, np.empty(0), np.empty(0))
    matrix = plain.raw(reference)
    known = np.maximum((~np.isnan(matrix)).sum(0), 1)
    mean = np.nansum(matrix, axis=0, dtype=np.float64) / known
    std = np.sqrt(np.maximum(np.nansum((matrix - mean.astype(np.float32)) ** 2, axis=0, dtype=np.float64) / known, 0))
    return Summary(plain.types, plain.has_number, pairs, mean, np.where(std > 1e-6, std, 1.0))


def _count(counts: Counter[int], keys: NDArray[np.integer]) -> None:
    found, times = np.unique(keys, return_counts=True)
    for key, n in zip(found.tolist(), times.tolist(), strict=True):
        counts[key] += n


def _most(counts: Counter[int], most: int) -> list[int]:
    return sorted(counts, key=lambda key: (-counts[key], key))[:most]


def places(wanted: NDArray[np.integer], among: Ints) -> Ints:
    """Return where each is among ascending ones; their number where it is none of them."""
    place = np.minimum(np.searchsorted(among, wanted), max(len(among) - 1, 0))
    return np.where(among[place] == wanted, place, len(among)) if len(among) else np.zeros(len(wanted), dtype=np.int64)


def _keys(piece: Records) -> Ints:
    return (piece.data_type.astype(np.int64) << 32) + piece.value_token


def _pair_keys(pairs: Ints) -> Ints:
    keys: Ints = (pairs[:, 0] << 32) + pairs[:, 1]
    return keys


def _means(cell: Ints, time: Ints, value: Matrix, n: int) -> tuple[Floats, Floats]:
    """Return the mean of each cell's values, and of those of its last moment, `(n,)` each, NaN where there are none."""
    latest = np.zeros(n, dtype=np.int64)
    latest[cell] = time  # rows are in order: the last one stays
    at_last = time == latest[cell]
    found = []
    for where in (slice(None), at_last):
        times = np.bincount(cell[where], minlength=n)
        total = np.bincount(cell[where], value[where], minlength=n)
        found.append(np.divide(total, times, out=np.full(n, np.nan), where=times > 0))
    return found[0], found[1]


def _of_time(piece: Records) -> Floats:
    """Return log counts of events and moments, log hours of the span, mean and spread of the log gaps, `(s, 5)`."""
    s, subject = piece.n_subjects, piece.subject
    timed = begins_moment(piece) & ~piece.is_static
    who, when = subject[timed], piece.time[timed]
    n_moments = np.bincount(who, minlength=s)
    gap = np.log1p(np.diff(when)[who[1:] == who[:-1]] / US_PER_HOUR)
    of = who[1:][who[1:] == who[:-1]]
    n_gaps = np.bincount(of, minlength=s)
    none = np.full(s, np.nan)
    mean = np.divide(np.bincount(of, gap, minlength=s), n_gaps, out=none.copy(), where=n_gaps > 0)
    square = np.divide(np.bincount(of, gap**2, minlength=s), n_gaps, out=none.copy(), where=n_gaps > 0)
    begin, end = np.zeros(s), np.zeros(s)
    begin[who[::-1]], end[who] = when[::-1], when
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return np.stack(
        [np.log1p(piece.lengths), np.log1p(n_moments), np.log1p((end - begin) / US_PER_HOUR), mean, spread], 1
    )
