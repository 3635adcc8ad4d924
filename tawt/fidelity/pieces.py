"""A cohort piece by piece, so that what is held at once does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints
from tawt.dataset.records import Cohort, Records

ROWS = 1 << 19
"""Triplets that are looked at at once; one record may have more."""
SUBJECTS = 1 << 12
"""Subjects that are looked at at once."""
MOST = 10.0
"""Numbers beyond it count as it: one in a wrong unit is no mean, no spread and no dependence."""


def pieces(cohort: Cohort, rows: int | None = None, subjects: int | None = None) -> Iterator[tuple[int, Records]]:
    """Give the records of a cohort in pieces that are small, each with the number of its first subject.

    Args:
        cohort: Of whatever parts.
        rows: Triplets of a piece at most; None = the usual number.
        subjects: The same of subjects.
    """
    done, most = 0, min(subjects or SUBJECTS, SUBJECTS)
    rows = min(rows or ROWS, ROWS)
    for part in cohort.parts():
        start = 0
        while start < part.n_subjects:
            stop = int(np.searchsorted(part.bounds, part.bounds[start] + rows, side="right")) - 1
            stop = min(max(start + 1, stop), start + most)
            whole = start == 0 and stop >= part.n_subjects
            yield done + start, part if whole else part.take(np.arange(start, min(stop, part.n_subjects)))
            start = stop
        done += part.n_subjects


def begins_moment(records: Records) -> Bools:
    """Return whether each triplet is the first of its moment, `(n,)`.

    Simultaneous triplets of a subject are one moment; the statics of a subject are one too.
    """
    n = len(records.time)
    first = np.ones(n, dtype=np.bool_)
    if n:
        first[1:] = (np.diff(records.time) != 0) | (np.diff(records.is_static) != 0)
        first[records.bounds[:-1][records.lengths > 0]] = True
    return first


def cells_of(records: Records, group: Ints, n_types: int) -> Ints:
    """Return the place of each triplet in counts by group and data_type laid flat, `(n,)`.

    Args:
        records: The triplets.
        group: `(s,)`, of the subjects.
        n_types: `v`, data_types of the vocabulary.
    """
    found: Ints = group[records.subject] * n_types + records.data_type
    return found


def numbers_of(records: Records) -> tuple[Bools, NDArray[np.float32]]:
    """Return which triplets have a number, and all values as they are averaged, `(n,)` each."""
    return records.has_number & np.isfinite(records.value), np.clip(records.value, -MOST, MOST)
