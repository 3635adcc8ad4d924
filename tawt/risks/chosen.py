"""Which labels are asked about where not all are: so many people more or less that no two answers tell of few by how
they differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tawt.arrays import Bools, Ints
from tawt.chance import Salt, shuffled
from tawt.contracts.cells import SMALL_CELL
from tawt.heads.kinds import KINDS
from tawt.heads.label_set import LabelSet

_BLOCK = SMALL_CELL + 1


def chosen(labels: LabelSet, least: int, seed: int) -> Ints:
    """Return which labels are asked about, ascending: all of some people, of at least so many labels where there are.

    People are drawn in an order of the seed, and taken up to where neither those since the place before nor those that
    are left are few, or few with an answer, or without it. Where all of them are few in that sense, nothing of any of
    them is told, and they are taken by elevens. The places are eleven people apart at least, so that where one lies
    says of no single one what his answer is.

    Args:
        labels: Of whom there are.
        least: How many are wanted.
        seed: Of the draw.
    """
    people, own = np.unique(labels.subject_id, return_inverse=True)
    place = np.empty(len(people), dtype=np.int64)
    place[shuffled(len(people), Salt.CHOSEN, seed)] = np.arange(len(people))
    row = place[own]
    n_labels = np.cumsum(np.bincount(row, minlength=len(people)))
    having = np.stack([np.isin(np.arange(len(people)), row[of]) for of in _answered(labels)])
    so_far = np.cumsum(np.insert(having, 0, 0, axis=1), axis=1, dtype=np.int64)
    if _is_few(so_far[:, -1]):
        so_far = so_far[:1]
    begin = 0
    for end in range(_BLOCK, len(people), _BLOCK):
        if not (_is_few(so_far[:, end] - so_far[:, begin]) or _is_few(so_far[:, -1] - so_far[:, end])):
            begin = end
            if n_labels[end - 1] >= least:
                return np.flatnonzero(row < end)
    return np.arange(len(labels))


def _answered(labels: LabelSet) -> Iterator[Bools]:
    """Give which labels there are, and which of them have each answer, and which another, `(r,)` each."""
    yield np.ones(len(labels), dtype=np.bool_)
    answers = range(len(labels.classes)) if labels.classes else (1,) if KINDS[labels.kind].words else ()
    for answer in answers:
        for column in labels.value.T:
            yield column == answer
            yield ~np.isnan(column) & (column != answer)


def _is_few(people: Ints) -> bool:
    return bool(((people > 0) & (people <= SMALL_CELL)).any())
