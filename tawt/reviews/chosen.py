"""Which records are shown, and in which order: a function of the seed that no one can read off the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tawt.arrays import Bools, Ints
from tawt.chance import draw, shuffled, uniform
from tawt.dataset.records import Cohort, OfSplit, Records, joined
from tawt.errors import ConfigError
from tawt.fidelity.portrait import Some

COIN, REAL, INVENTED = 71, 72, 73
"""Salts: of what each record is, and of which one it is."""
LEAST_SHARE = 4
"""One of so many at least is real, and one of so many invented."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The records of a review, in the order in which they are shown."""

    records: Records
    synthetic: Bools
    """`(n,)`, which are invented."""


def choose(real: Cohort, synthetic: Cohort, n: int, seed: int) -> Chosen:
    """Draw `n` records, each real or invented by a coin: who has rated all but one does not know the last.

    Args:
        real: Records of patients.
        synthetic: Invented ones, in the same vocabulary.
        n: How many to show.
        seed: Of the draw and the order.

    Raises:
        ConfigError: One of them has too few.
    """
    is_synthetic = coins(n, seed)
    drawn = []
    for cohort, salt, name, k in (
        (real, REAL, "real", int((~is_synthetic).sum())), (synthetic, INVENTED, "synthetic", int(is_synthetic.sum())),
    ):  # fmt: skip
        if cohort.n_subjects < k:
            what = f"needs {k} {name} records, more than there are, expected as many at most"
            raise ConfigError(f"--n {n}", what, "ask for fewer, or another split")
        drawn.append(taken(cohort, shuffled(cohort.n_subjects, salt, seed)[:k]))
    both = joined(drawn)
    place = np.empty(n, dtype=np.int64)
    place[np.flatnonzero(~is_synthetic)] = np.arange(drawn[0].n_subjects)
    place[np.flatnonzero(is_synthetic)] = drawn[0].n_subjects + np.arange(drawn[1].n_subjects)
    return Chosen(both.take(place), is_synthetic)


def coins(n: int, seed: int) -> Bools:
    """Return which of `n` are invented: a fair coin for each, and a quarter of each kind at least."""
    number = uniform(draw(np.arange(n), COIN, seed))
    least = max(1, n // LEAST_SHARE)
    n_synthetic = int(np.clip((number < 0.5).sum(), least, n - least))
    found: Bools = np.isin(np.arange(n), np.argsort(number, kind="stable")[:n_synthetic])
    return found


def taken(cohort: Cohort, subjects: Ints) -> Records:
    """Return some subjects of a cohort, by their numbers in it, in that order."""
    if isinstance(cohort, OfSplit):
        return cohort.take(subjects)
    order = np.sort(subjects)
    return joined(Some(cohort, order).parts()).take(np.searchsorted(order, subjects))
