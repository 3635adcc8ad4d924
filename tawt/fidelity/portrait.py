"""One pass over a set: all that its records are compared by, none of whose size grows with the number of events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from tawt.arrays import Ints
from tawt.chance import Salt, shuffled
from tawt.dataset.records import Cohort, Records
from tawt.errors import ContractError
from tawt.fidelity.groups import added, group_of
from tawt.fidelity.pairs import Pairs, pairs_of
from tawt.fidelity.pieces import pieces
from tawt.fidelity.structure import Structure, structure_of
from tawt.fidelity.temporal import Temporal, temporal_of
from tawt.fidelity.values import Values, values_of

_CELLS = 1 << 25
"""Of rows times data_types, and of subjects times pairs, that are held at once."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """What was counted of a set, by group of its subjects."""

    n_subjects: int
    pairs: Pairs
    values: Values
    structure: Structure
    temporal: Temporal


def portrait_of(cohort: Cohort, types: Ints, n_types: int) -> Portrait:
    """Go through a set once.

    Args:
        cohort: At least one subject.
        types: `(k,)`, data_types of which pairs are counted, ascending.
        n_types: `v`, data_types of the vocabulary.

    Raises:
        ContractError: Records have a data_type that the vocabulary has not.
    """
    k = max(1, len(types))
    some = pieces(cohort, max(1 << 10, _CELLS // k), max(1, _CELLS // k**2))
    return reduce(added, (_portrait(piece, group_of(first, piece.n_subjects), types, n_types) for first, piece in some))


def _portrait(piece: Records, group: Ints, types: Ints, n_types: int) -> Portrait:
    _hold(piece, n_types)
    return Portrait(
        piece.n_subjects, pairs_of(piece, group, types, n_types), values_of(piece, group, n_types),
        structure_of(piece, group), temporal_of(piece, group, n_types),
    )  # fmt: skip


def _hold(piece: Records, n_types: int) -> None:
    if len(piece.data_type) and (most := int(piece.data_type.max())) >= n_types:
        what = f"have data_type {most}, expected those of a vocabulary of {n_types:,}"
        raise ContractError("records", what, "bring all sets into one vocabulary")


@dataclass(frozen=True, eq=False)
class Some:
    """Some subjects of a cohort, drawn at random: as many as another set has."""

    cohort: Cohort
    subjects: Ints
    """`(s,)`, numbers in the cohort, ascending."""

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.subjects)

    def parts(self) -> Iterator[Records]:
        """Give their records."""
        done = 0
        for part in self.cohort.parts():
            a, b = np.searchsorted(self.subjects, (done, done + part.n_subjects))
            if b > a:
                yield part.take(self.subjects[a:b] - done)
            done += part.n_subjects


def some_of(n_subjects: int, n: int, seed: int) -> Ints:
    """Return the numbers of `n` subjects of a cohort, ascending."""
    return np.sort(shuffled(n_subjects, Salt.PORTRAIT, seed)[:n])


def frequent(cohort: Cohort, most: int, n_types: int) -> Ints:
    """Return the data_types that most subjects have, ascending."""
    people = np.zeros(n_types, dtype=np.int64)
    for _, piece in pieces(cohort):
        _hold(piece, n_types)
        people += piece.people(n_types)
    return np.sort(np.argsort(-people, kind="stable")[: min(most, int((people > 0).sum()))])
