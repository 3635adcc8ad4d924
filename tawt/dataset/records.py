"""Whole records of subjects: what is invented, and the real ones that it is held beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints
from tawt.contracts.value_status import HAS_NUMBER_OF
from tawt.dataset.reader import Split

AT_ONCE = 1 << 20
"""Triplets that are held at once; one record may have more."""
_OF_SUBJECTS = ("subject_id", "origin")
_OF_SHARD = ("timestamp", "data_type", "value", "value_token", "value_status")


@dataclass(frozen=True, eq=False)
class Records:
    """Records of `s` subjects, one after the other, `n` triplets in all: of each the statics first, then in time;
    simultaneous ones in the order of their data_types."""

    subject_id: Ints
    """`(s,)`."""
    origin: Ints
    """`(s,)`, what times count from, us since 1970-01-01."""
    bounds: Ints
    """`(s + 1,)`, where each record starts, and n."""
    is_static: Bools
    """`(n,)`."""
    time: Ints
    """`(n,)`, us since the origin; 0 for a static."""
    data_type: NDArray[np.int32]
    """`(n,)`, vocabulary index."""
    value: NDArray[np.float32]
    """`(n,)`, normalized; 0 where there is none."""
    value_token: NDArray[np.int32]
    """`(n,)`, bin or category; 0 = none."""
    value_status: NDArray[np.uint8]
    """`(n,)`, see `ValueStatus`."""

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.subject_id)

    @property
    def lengths(self) -> Ints:
        """`(s,)`, triplets of each."""
        return np.diff(self.bounds)

    @property
    def subject(self) -> Ints:
        """`(n,)`, number of each triplet's record."""
        return np.repeat(np.arange(self.n_subjects), self.lengths)

    @property
    def has_number(self) -> Bools:
        """`(n,)`, whether the value is a number."""
        found: Bools = HAS_NUMBER_OF[self.value_status]
        return found

    def people(self, n_types: int) -> Ints:
        """Return how many of the records have each data_type of a vocabulary, `(n_types,)`."""
        own = np.unique(self.subject * n_types + self.data_type)
        return np.bincount(own % n_types, minlength=n_types)

    def take(self, subjects: Ints) -> Records:
        """Return some of the records, `(m,)` numbers, in that order; one may be named several times."""
        lengths = self.lengths[subjects]
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.bounds[:-1][subjects] - bounds[:-1], lengths) + np.arange(bounds[-1])
        return self._of(subjects, rows, bounds)

    def keep(self, rows: Bools) -> Records:
        """Return all records, with some of their triplets, `(n,)`."""
        bounds = np.concatenate([[0], np.cumsum(rows)])[self.bounds]
        return self._of(np.arange(self.n_subjects), np.flatnonzero(rows), bounds)

    def parts(self) -> Iterator[Records]:
        """Give all of them at once: what is in memory is its own cohort."""
        yield self

    def _of(self, subjects: Ints, rows: Ints, bounds: Ints) -> Records:
        of_subjects = {name: getattr(self, name)[subjects] for name in _OF_SUBJECTS}
        of_rows = {name: getattr(self, name)[rows] for name in OF_TRIPLETS}
        return Records(bounds=bounds, **of_subjects, **of_rows)


OF_TRIPLETS = tuple(one.name for one in fields(Records) if one.name not in (*_OF_SUBJECTS, "bounds"))
"""Names of the columns that have a row for each triplet."""


class Cohort(Protocol):
    """Records of `s` subjects that need not fit into memory; they may be gone through again and again."""

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""

    def parts(self) -> Iterator[Records]:
        """Give the records, always in the same parts and order."""


class Drawable(Cohort, Protocol):
    """A cohort of which any records can be had at once."""

    def take(self, subjects: Ints) -> Records:
        """Return some records, `(m,)` numbers, in that order; one may be named several times."""


@dataclass(frozen=True, eq=False)
class OfSplit:
    """Some subjects of a split as a cohort."""

    split: Split
    subjects: Ints
    """`(s,)`, numbers in the split."""

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.subjects)

    def parts(self) -> Iterator[Records]:
        """Give the records, some at a time."""
        ends = np.cumsum(self.split.lengths[self.subjects])
        start = 0
        while start < len(self.subjects):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + AT_ONCE, side="right")))
            yield self._records(self.subjects[start:stop])
            start = stop

    def take(self, subjects: Ints) -> Records:
        """Return the records of some of them, `(m,)` places in `subjects`, in that order; also one several times."""
        return self._records(self.subjects[subjects])

    def _records(self, subjects: Ints) -> Records:
        split, lengths = self.split, self.split.lengths[subjects]
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        owner = np.repeat(np.arange(len(subjects)), lengths)
        place = np.arange(bounds[-1]) - bounds[:-1][owner]
        row, shard = split.starts[subjects][owner] + place, split.shard[subjects][owner]
        dtypes = {name: getattr(split.shards[0], name).dtype for name in _OF_SHARD}
        columns: dict[str, NDArray[Any]] = {name: np.empty(len(row), dtype) for name, dtype in dtypes.items()}
        for number in np.unique(shard):
            own = shard == number
            for name, column in columns.items():
                column[own] = getattr(split.shards[number], name)[row[own]]
        is_static = place < split.n_static[subjects][owner]
        time = columns.pop("timestamp")
        order = in_order(owner, is_static, time, columns["data_type"])
        return Records(
            split.subject_ids[subjects], split.origins[subjects], bounds, is_static[order], time[order],
            **{name: column[order] for name, column in columns.items()},
        )  # fmt: skip


def in_order(subject: Ints, is_static: Bools, time: Ints, data_type: NDArray[np.integer]) -> Ints:
    """Return the rows of triplets in the order of records, `(n,)`, of columns `(n,)`; equal ones stay as they come."""
    return np.lexsort((data_type, time, ~is_static, subject))


def joined(parts: Iterable[Records]) -> Records:
    """Return the records of several parts as one; of no part there is none.

    Args:
        parts: At least one.
    """
    held = list(parts)
    lengths = np.concatenate([part.lengths for part in held])
    columns = {name: np.concatenate([getattr(part, name) for part in held]) for name in (*_OF_SUBJECTS, *OF_TRIPLETS)}
    return Records(bounds=np.concatenate([[0], np.cumsum(lengths)]), **columns)
