"""Counts and summaries of records up to prediction times: what simple models are given beside an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.dataset import SPECIAL_CODES, US_PER_HOUR
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.reader import TripletDataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.evaluation.known import Known, known_at

Recipe = Literal["summaries", "four", "missingness", "demographics"]
"""Twelve statistics a numeric variable and counts; four statistics a numeric variable; which variables there are at
all; static facts and age alone."""
N_TYPES = 256
"""Data_types that are summarized: the most frequent ones of train."""
ROWS_AT_ONCE = 20_000
"""Prediction times whose triplets are held at once."""
_EDGE = 12 * US_PER_HOUR
_TWELVE = (
    "mean", "min", "max", "std", "first", "last", "count", "h_since_last", "h_since_first", "slope",
    "first_12h", "last_12h",
)  # fmt: skip
_FOUR = ("mean", "std", "mean_change", "std_change")


@dataclass(frozen=True, eq=False)
class Features:
    """`f` features of `n` rows."""

    matrix: Floats
    """`(n, f)`, NaN where there is nothing to summarize; in single precision where there may be many rows."""
    names: tuple[str, ...]
    """`f` names: the data_type and what is said of it."""

    def of(self, names: Sequence[str]) -> Features:
        """Return some of the features."""
        if self.names == (*names,):
            return self
        place = {name: i for i, name in enumerate(self.names)}
        return Features(self.matrix[:, [place[name] for name in names]], (*names,))


def features_of(known: Known, dataset: TripletDataset, recipe: Recipe, n_types: int = N_TYPES) -> Features:
    """Summarize what was known.

    Args:
        known: Of `n` rows.
        dataset: Whose vocabulary the triplets are in.
        recipe: What is said of them.
        n_types: How many data_types, the most frequent ones of train.
    """
    found = _all_of(known, dataset, recipe, n_types)
    return _told(found) if recipe == "demographics" else found


def _all_of(known: Known, dataset: TripletDataset, recipe: Recipe, n_types: int) -> Features:
    vocabulary = dataset.vocabulary
    chosen = _most_frequent(vocabulary, n_types)
    if recipe == "demographics":
        static = _counts(known.of(known.is_static), vocabulary, chosen)
        numbers = _statistics(known.of(known.is_static & HAS_NUMBER_OF[known.status]), vocabulary, chosen, ("last",))
        born = Features(known.age[:, None], ("age_years",)) if dataset.time_origin == "birth" else None
        return _joined([static, numbers, *([born] if born else [])])
    if recipe == "missingness":
        counted = _by_type(known, chosen)
        return Features((counted > 0).astype(np.float64), tuple(f"{vocabulary.codes[i]}:known" for i in chosen))
    with_number = known.of(HAS_NUMBER_OF[known.status])
    if recipe == "four":
        return _statistics(with_number, vocabulary, chosen, _FOUR)
    return _joined([_statistics(with_number, vocabulary, chosen, _TWELVE), _counts(known, vocabulary, chosen)])


def features_at(
    dataset: TripletDataset, subject_id: ArrayLike, prediction_time: ArrayLike, recipe: Recipe,
    names: Sequence[str] | None = None,
) -> Features:  # fmt: skip
    """Summarize what was known of subjects at prediction times, some rows at a time: it is not held for all at once.

    Args:
        dataset: All of whose splits are looked into.
        subject_id: `(n,)`.
        prediction_time: `(n,)`, us since 1970-01-01.
        recipe: What is said of them.
        names: Of the features that are wanted; None = all that say something of these rows.

    Raises:
        DatasetError: A subject is in no split.
    """
    subject, time = np.asarray(subject_id), np.asarray(prediction_time)
    whole = Features(np.empty((len(subject), 0), dtype=np.float32), ())
    for i in range(0, max(1, len(subject)), ROWS_AT_ONCE):
        part = slice(i, i + ROWS_AT_ONCE)
        found = _all_of(known_at(dataset, subject[part], time[part]), dataset, recipe, N_TYPES)
        found = found if names is None else found.of(names)
        if i == 0:
            whole = Features(np.empty((len(subject), len(found.names)), dtype=np.float32), found.names)
        whole.matrix[part] = found.matrix
    return _told(whole) if recipe == "demographics" and names is None else whole


def statics_at(dataset: TripletDataset, subject_id: ArrayLike, prediction_time: ArrayLike) -> Known:
    """Look up the static facts that were known of subjects at prediction times; other triplets are let go, some rows at
    a time.

    Raises:
        DatasetError: A subject is in no split.
    """
    subject, time = np.asarray(subject_id), np.asarray(prediction_time)
    parts: list[Known] = []
    for i in range(0, max(1, len(subject)), ROWS_AT_ONCE):
        known = known_at(dataset, subject[i : i + ROWS_AT_ONCE], time[i : i + ROWS_AT_ONCE])
        parts.append(replace(known.of(known.is_static), row=known.row[known.is_static] + i))
    whole = {
        one.name: np.concatenate([getattr(part, one.name) for part in parts])
        for one in fields(Known) if one.name != "n_rows"
    }  # fmt: skip
    return Known(len(subject), **whole)


def numeric_types(known: Known, vocabulary: Vocabulary, n_types: int) -> tuple[Ints, Ints, Ints, Floats, int]:
    """Return row, variable, us before the prediction time and value of each number of the most frequent data_types.

    Args:
        known: Of `n` rows.
        vocabulary: Of the dataset.
        n_types: How many data_types at most.

    Returns:
        `(k,)` four times, and how many variables there are; variables are counted from 0.
    """
    chosen = _numeric(vocabulary, _most_frequent(vocabulary, n_types))
    of = known.of(~known.is_static & HAS_NUMBER_OF[known.status])
    column = _column(of, chosen)
    at = np.flatnonzero(column >= 0)
    return of.row[at], column[at], of.ago[at], of.value[at], len(chosen)


def _numeric(vocabulary: Vocabulary, chosen: Ints) -> Ints:
    return chosen[np.array([vocabulary.value_kind[i] in ("numeric", "mixed") for i in chosen.tolist()], dtype=bool)]


def _most_frequent(vocabulary: Vocabulary, n_types: int) -> Ints:
    own = np.arange(len(SPECIAL_CODES), len(vocabulary))
    most = own[np.lexsort((own, -vocabulary.n_rows[own]))][:n_types]
    return np.sort(most)


def _by_type(known: Known, chosen: Ints) -> Floats:
    """How many triplets of each chosen data_type each row has, `(n, t)`."""
    column = _column(known, chosen)
    at = column >= 0
    n, t = known.n_rows, len(chosen)
    counted = np.bincount(known.row[at] * t + column[at], minlength=n * t)
    return counted.reshape(n, t).astype(np.float64)


def _column(known: Known, chosen: Ints) -> Ints:
    place = np.searchsorted(chosen, known.data_type)
    found = np.minimum(place, len(chosen) - 1)
    return np.where(chosen[found] == known.data_type, found, -1) if len(chosen) else np.full(len(place), -1)


def _counts(known: Known, vocabulary: Vocabulary, chosen: Ints) -> Features:
    """How often each data_type without numbers is there, and each category of one that has some."""
    columns, names = [], []
    for i in chosen.tolist():
        kind, code = vocabulary.value_kind[i], vocabulary.codes[i]
        of = known.of(known.data_type == i)
        if kind == "none":
            columns.append(np.bincount(of.row, minlength=known.n_rows))
            names.append(f"{code}:count")
        n_categories = int(vocabulary.n_categories[i])
        for category in range(n_categories):
            at = (of.status == ValueStatus.CATEGORY) & (of.token == vocabulary.n_bins[i] + 1 + category)
            columns.append(np.bincount(of.row[at], minlength=known.n_rows))
            names.append(f"{code}:category_{category}")
    return Features(_side_by_side(columns, known.n_rows), tuple(names))


def _statistics(known: Known, vocabulary: Vocabulary, chosen: Ints, wanted: tuple[str, ...]) -> Features:
    """Statistics of the numbers of each data_type that has some; simultaneous numbers are one, their mean, in order."""
    numeric = _numeric(vocabulary, chosen)
    column = _column(known, numeric)
    at = np.flatnonzero(column >= 0)
    cell = known.row[at] * len(numeric) + column[at]
    order = np.lexsort((-known.ago[at], cell))
    cell, at = cell[order], at[order]
    where, start, count = np.unique(cell, return_index=True, return_counts=True)
    value, ago, row = known.value[at], known.ago[at], known.row[at]
    moment = np.flatnonzero(np.append(True, (np.diff(cell) != 0) | (np.diff(ago) != 0))) if len(at) else start
    in_moment = np.diff(np.append(moment, len(at)))
    level = np.add.reduceat(value, moment) / in_moment if len(at) else value
    first: Ints = np.asarray(np.searchsorted(moment, start), dtype=np.int64)
    last = np.append(first[1:], len(moment)) - 1
    empty = np.full(known.n_rows * len(numeric), np.nan)

    def mean(values: Floats, of: Bools) -> Floats:
        n = _sums(of.astype(np.float64), start)
        return np.divide(_sums(np.where(of, values, 0.0), start), n, out=np.full(len(n), np.nan), where=n > 0)

    def spread(values: Floats, own: Floats, begins: Ints, n: Ints) -> Floats:
        squares = _sums((values - np.repeat(own, n)) ** 2, begins)
        wide: Floats = np.sqrt(np.divide(squares, n, out=np.full(len(n), np.nan), where=n > 0))
        return wide

    def change() -> tuple[Floats, Floats]:
        """Mean and spread of the steps from one moment to the next; NaN where there is one moment."""
        n_steps = last - first
        steps = np.diff(level)[np.diff(cell[moment]) == 0] if len(at) else level
        begins = n_steps.cumsum() - n_steps
        moves = n_steps > 0
        middle, width = np.full(len(where), np.nan), np.full(len(where), np.nan)
        middle[moves] = _sums(steps, begins[moves]) / n_steps[moves]
        width[moves] = spread(steps, middle[moves], begins[moves], n_steps[moves])
        return middle, width

    hours = ago / US_PER_HOUR
    whole = np.ones(len(at), dtype=bool)
    apart = hours[moment[first]] - hours[moment[last]] if len(at) else level
    of: dict[str, Callable[[], Floats]] = {
        "mean": lambda: mean(value, whole),
        "min": lambda: np.minimum.reduceat(value, start),
        "max": lambda: np.maximum.reduceat(value, start),
        "std": lambda: spread(value, mean(value, whole), start, count),
        "first": lambda: level[first],
        "last": lambda: level[last],
        "count": lambda: count.astype(np.float64),
        "h_since_last": lambda: hours[moment[last]],
        "h_since_first": lambda: hours[moment[first]],
        "slope": lambda: np.divide(level[last] - level[first], apart, out=np.zeros(len(where)), where=apart > 0),
        "first_12h": lambda: mean(value, known.begin[row] - ago < _EDGE),
        "last_12h": lambda: mean(value, ago < _EDGE),
        "mean_change": lambda: change()[0],
        "std_change": lambda: change()[1],
    }
    columns = []
    for name in wanted:
        filled = np.zeros_like(empty) if name == "count" else empty.copy()
        if len(at):
            filled[where] = of[name]()
        columns.append(filled.reshape(known.n_rows, len(numeric)))
    names = [f"{vocabulary.codes[i]}:{name}" for i in numeric.tolist() for name in wanted]
    return Features(np.stack(columns, 2).reshape(known.n_rows, len(names)), tuple(names))


def _sums(values: Floats, start: Ints) -> Floats:
    return np.add.reduceat(values, start) if len(start) else np.empty(0)


def _side_by_side(columns: list[Ints], n_rows: int) -> Floats:
    return np.stack(columns, 1).astype(np.float64) if columns else np.empty((n_rows, 0))


def _joined(parts: list[Features]) -> Features:
    return Features(np.concatenate([one.matrix for one in parts], 1), tuple(n for one in parts for n in one.names))


def _told(features: Features) -> Features:
    """Leave out what nobody has a static fact of: it says nothing."""
    kept = np.flatnonzero((np.nan_to_num(features.matrix) != 0).any(0))
    return Features(features.matrix[:, kept], tuple(features.names[i] for i in kept))
