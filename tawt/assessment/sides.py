"""Whom a synthetic set is held to: those it was learned from, real people it never saw, and others like them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tawt.arrays import Bools, Ints
from tawt.chance import Salt, shuffled
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.reader import Split, TripletDataset
from tawt.dataset.records import Cohort, OfSplit, Records
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, DatasetError
from tawt.fidelity.pieces import pieces
from tawt.fidelity.portrait import Some, some_of
from tawt.privacy.traces import copies, traces_of
from tawt.synthesis.controls import Draw, fitted
from tawt.synthesis.origins import Origins
from tawt.synthesis.rollout import MOST_EVENTS
from tawt.synthesis.shared import Shared, fit_shared

_MOST_KEPT = 1 << 21
"""Triplets."""
_ENOUGH, _MOST_QUASI = 0.5, 3


@dataclass(frozen=True, eq=False)
class Sides:
    """Real people, in three sets that have nobody in common."""

    train: OfSplit
    """Whom the set was learned from, or some of them."""
    test: OfSplit
    """Whom it is held to: nothing was learned from them."""
    reference: OfSplit
    """Others whom nothing was learned from: how far real sets are apart, and what an attacker may have."""
    n_train: int
    """All people of train."""
    chosen: str
    """Which splits these are, in words."""
    tuned: bool
    """Whether the reference is tuning: a run's best weights are chosen by it."""


def sides_of(dataset: TripletDataset, most: int, seed: int = 0) -> Sides:
    """Choose the three sets, of at most so many people each.

    Tuning is the reference where it has half as many people as held_out or more: both together are the most that there
    are. Else held_out is dealt out in halves.

    Args:
        dataset: The real records.
        most: People of each set.
        seed: Of who is drawn.

    Raises:
        DatasetError: Train has nobody.
    """
    train = dataset.split("train")
    if not train.n_subjects:
        raise DatasetError(str(dataset.folder), "has nobody in train, expected the records that a set was learned from",
                           "see `splits` of the pipeline")  # fmt: skip
    held, tuning = dataset.split("held_out"), dataset.split("tuning")
    tuned = 2 * tuning.n_subjects >= held.n_subjects
    order = shuffled(held.n_subjects, Salt.HALVES, seed)
    if tuned:
        test, reference = _some(held, most, seed), _some(tuning, most, seed)
        chosen = "test is held_out, the reference is tuning"
    else:
        half = held.n_subjects // 2
        test, reference = (OfSplit(held, np.sort(one[:most])) for one in (order[:half], order[half:]))
        chosen = "test is one half of held_out, the reference is the other, for tuning is small"
    return Sides(_some(train, most, seed), test, reference, train.n_subjects, chosen, tuned)


def _some(split: Split, most: int, seed: int) -> OfSplit:
    return OfSplit(split, some_of(split.n_subjects, min(most, split.n_subjects), seed))


def some(cohort: Cohort, most: int, seed: int = 0) -> Cohort:
    """Return at most so many people of a cohort, drawn."""
    n = cohort.n_subjects
    return cohort if n <= most else Some(cohort, some_of(n, most, seed))


class Redrawn:
    """Records that are drawn again whenever they are gone through, but for sets that are small enough to be kept.

    Args:
        draw: Numbers -> their records.
        n_subjects: The numbers from 0 on.
    """

    def __init__(self, draw: Draw, n_subjects: int) -> None:
        self.draw = draw
        self.n_subjects = n_subjects
        self._kept: list[Records] | None = None

    def parts(self) -> Iterator[Records]:
        """Give the records."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Records] = []
        room = _MOST_KEPT
        for invented in self.draw(np.arange(self.n_subjects)):
            part = invented.records
            room -= len(part.time)
            kept = [*kept, part] if room > 0 else []
            yield part
        self._kept = kept if room > 0 else None


def control(name: str, people: OfSplit, n: int, vocabulary: Vocabulary, seed: int = 0) -> Redrawn:
    """Fit a control to real people, and return as many records of it.

    Args:
        name: Of `CONTROLS`.
        people: Whom it is fitted to.
        n: Records.
        vocabulary: Of their dataset.
        seed: Of the records.
    """
    origins = Origins.of(people.split.origins[people.subjects])
    draw = fitted(
        name, people, lambda: _shared_of(people.split, vocabulary), seed, MOST_EVENTS,
        lambda which: origins.draw(which, seed),
    )  # fmt: skip
    return Redrawn(draw, n)


@lru_cache(maxsize=1)
def _shared_of(split: Split, vocabulary: Vocabulary) -> Shared:
    """Return what many people share of all of a split, however few of them a control is fitted to."""
    return fit_shared(OfSplit(split, np.arange(split.n_subjects)), vocabulary)


def quasi_types(reference: Cohort) -> Ints:
    """Return data_types that somebody may know of a person: static ones with categories that half of all have."""
    counts: dict[int, int] = {}
    n = 0
    for _, piece in pieces(reference):
        n += piece.n_subjects
        own: Bools = piece.is_static & (piece.value_status == ValueStatus.CATEGORY)
        for kind in np.unique((piece.subject[own] << 32) + piece.data_type[own]) & 0xFFFFFFFF:
            counts[int(kind)] = counts.get(int(kind), 0) + 1
    found = sorted((kind for kind in counts if counts[kind] >= _ENOUGH * n), key=lambda kind: (-counts[kind], kind))
    return np.sort(np.array(found[:_MOST_QUASI], dtype=np.int64))


def n_of_own(cohort: Cohort, dataset: TripletDataset) -> int:
    """Return how many records are those of real subjects under their own ids: the same id, origin and length."""
    splits = [dataset.split(name) for name in dataset.split_names]
    names = ("subject_ids", "origins", "lengths")
    ids, origins, lengths = (np.concatenate([getattr(split, name) for split in splits]) for name in names)
    order = np.argsort(ids)
    ids, origins, lengths = ids[order], origins[order], lengths[order]
    n = 0
    for part in cohort.parts():
        at = np.minimum(np.searchsorted(ids, part.subject_id), len(ids) - 1)
        same = (ids[at] == part.subject_id) & (origins[at] == part.origin) & (lengths[at] == part.lengths)
        n += int(same.sum())
    return n


def hold_no_own(folder: Path, cohort: Cohort, dataset: TripletDataset) -> None:
    """Refuse a set that holds real subjects under their own ids.

    Raises:
        ConfigError: It does.
    """
    if n_of_own(cohort, dataset):
        raise ConfigError(
            str(folder), "holds records of the workspace under their own ids, expected a synthetic set",
            "real people are held out by the workspace itself; a generator gives its records ids of their own",
        )  # fmt: skip


def copies_of_real(records: Records, dataset: TripletDataset, are_real: bool = False) -> Bools:
    """Return `(n,)`, which records are near copies of anybody of a dataset, whatever their ids.

    Args:
        records: Of a set, or some of the dataset.
        dataset: The real people.
        are_real: Whether they are of it: then they are held to the others.
    """
    own = traces_of(records)
    found = copies(own) if are_real else np.zeros(own.n, dtype=np.bool_)
    for split in map(dataset.split, dataset.split_names):
        for part in OfSplit(split, np.arange(split.n_subjects)).parts():
            among = traces_of(part)
            others = np.flatnonzero(~np.isin(part.subject_id, records.subject_id))
            found |= copies(own, among.take(others) if are_real else among)
    return found
