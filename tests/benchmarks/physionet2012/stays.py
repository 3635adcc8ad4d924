"""The stays: which are learned from, which are asked about, and whose labels are given in which draw."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints

FEWEST_TRIPLETS = 6
"""Stays with fewer are left out, as STraTS does."""
N_DRAWS, N_FOLDS = 10, 5
SEED = 123
"""Of the order of the stays, in STraTS as here."""
FOR_FIT, FOR_FIT_OF_OFFICIAL = 0.8, 0.9
"""Share of the stays that are no test whose labels are learned from; those of the others decide when to stop."""


@dataclass(frozen=True, eq=False)
class Stays:
    """The stays that count, in the order of the outcome files: b, c, a."""

    subject_id: Ints
    """`(s,)`."""
    died: Bools
    """`(s,)`, in the hospital."""
    set_name: NDArray[np.str_]
    """`(s,)`, a, b or c."""

    def of(self, which: Bools | Ints) -> Stays:
        """Return some of them."""
        return Stays(self.subject_id[which], self.died[which], self.set_name[which])


@dataclass(frozen=True, eq=False)
class Draw:
    """Whose labels are given."""

    name: str
    fit: Ints
    """Subjects whose labels every method learns from."""
    stop: Ints
    """Subjects whose labels decide when to stop; nothing else sees them."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Stays that are asked about, and those that are learned from: with labels, or without one as pretraining does."""

    name: str
    train: Ints
    tuning: Ints
    test: Ints
    draws: dict[int, list[Draw]]
    """Percent of the labels -> draws."""

    def splits(self) -> str:
        """Return the file that tells tawt the split of each subject."""
        parts = {"train": self.train, "tuning": self.tuning, "held_out": self.test}
        rows = sorted((int(subject), name) for name, part in parts.items() for subject in part)
        return "\n".join(["subject_id,split", *(f"{subject},{name}" for subject, name in rows), ""])


def read_outcomes(data: Path) -> Stays:
    """Read the outcome files that are there: they alone say which set a stay is of."""
    rows: list[tuple[int, bool, str]] = []
    for name in "bca":
        path = data / f"Outcomes-{name}.txt"
        if path.exists():
            with path.open(newline="") as file:
                rows += [(int(r["RecordID"]), r["In-hospital_death"] == "1", name) for r in csv.DictReader(file)]
    subject, died, names = zip(*rows, strict=True)
    return Stays(np.array(subject), np.array(died), np.array(names))


def published(stays: Stays, percents: Sequence[int]) -> list[Fold]:
    """Return the folds of protocol S: set-a is the test where it is there, else each fifth of b and c in turn.

    With set-a there are ten draws of 10 and of 50 % of the labels, one of all. Without it a fifth of the others is not
    learned from, so that fewer are left: as many labels are given as with set-a, so far as there are. The ten draws
    are then spread over the folds.

    Source: the split of STraTS (Tipirneni and Reddy, 2022).
    """
    pool = stays.of(stays.set_name != "a").subject_id.copy()
    np.random.RandomState(SEED).shuffle(pool)
    n_fit = int(FOR_FIT * len(pool))
    if (stays.set_name == "a").any():
        test = stays.subject_id[stays.set_name == "a"]
        draws = {p: _draws(pool[:n_fit], pool[n_fit:], p / 100, (n_fit, len(pool) - n_fit)) for p in percents}
        return [Fold("set-a", pool[:n_fit], pool[n_fit:], test, draws)]
    folds = []
    for i in range(N_FOLDS):
        # the first fold's test are those that the published split keeps to stop by
        rest = np.roll(pool, i * (len(pool) - n_fit))
        kept, test = rest[:n_fit], rest[n_fit:]
        train, tuning = kept[: 7 * len(kept) // 8], kept[7 * len(kept) // 8 :]
        every = {p: _draws(train, tuning, p / 100, (n_fit, len(pool) - n_fit)) for p in percents}
        draws = {
            p: [draw for n, draw in enumerate(found) if len(found) == 1 or n % N_FOLDS == i]
            for p, found in every.items()
        }
        folds.append(Fold(f"fold_{i}", train, tuning, test, draws))
    return folds


def official(stays: Stays, train: str) -> list[Fold]:
    """Return the challenge's own form: all labels of one or two sets, asked about set-c.

    Once a tenth of them decides when to stop, for what must be stopped; once all are learned from, by what is solved at once.

    Args:
        stays: With set-c, and the sets that are named.
        train: As in `b` or `ab`.
    """
    pool = stays.of(np.isin(stays.set_name, [*train])).subject_id.copy()
    np.random.RandomState(SEED).shuffle(pool)
    n_fit = int(FOR_FIT_OF_OFFICIAL * len(pool))
    parts = pool[:n_fit], pool[n_fit:]
    test = stays.subject_id[stays.set_name == "c"]
    return [
        Fold(f"{train}_to_c", *parts, test, {100: [Draw("all", *parts)]}),
        Fold(f"all_of_{train}_to_c", pool, pool[:0], test, {100: [Draw("all", pool, pool[:0])]}),
    ]


def _draws(train: Ints, tuning: Ints, share: float, of: tuple[int, int]) -> list[Draw]:
    """Return windows of both parts, evenly spread; each holds a share of so many labels."""
    if share == 1:
        return [Draw("all", train, tuning)]
    fit, stop = (_windows(part, min(len(part), int(share * n))) for part, n in zip((train, tuning), of, strict=True))
    return [Draw(f"draw_{i}", *pair) for i, pair in enumerate(zip(fit, stop, strict=True))]


def _windows(part: Ints, k: int) -> list[Ints]:
    return [part[a : a + k] for a in np.linspace(0, len(part) - k, N_DRAWS).astype(int)]
