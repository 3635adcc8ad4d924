"""Which records are shown, and in which order: a function of the seed that no one can read off the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tawt.arrays import Bools, Ints
from tawt.chance import Salt, draw, shuffled, uniform
from tawt.contracts.cells import SMALL_CELL, few
from tawt.dataset.records import Cohort, OfSplit, Records, joined
from tawt.errors import ConfigError
from tawt.fidelity.portrait import Some

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
    _hold_enough(n, real.n_subjects, synthetic.n_subjects)
    is_synthetic = coins(n, seed, real.n_subjects, synthetic.n_subjects)
    drawn = []
    for cohort, salt, k in ((real, Salt.REAL, (~is_synthetic).sum()), (synthetic, Salt.INVENTED, is_synthetic.sum())):
        drawn.append(taken(cohort, shuffled(cohort.n_subjects, salt, seed)[:k]))
    both = joined(drawn)
    place = np.empty(n, dtype=np.int64)
    place[np.flatnonzero(~is_synthetic)] = np.arange(drawn[0].n_subjects)
    place[np.flatnonzero(is_synthetic)] = drawn[0].n_subjects + np.arange(drawn[1].n_subjects)
    return Chosen(both.take(place), is_synthetic)


def _hold_enough(n: int, n_real: int, n_synthetic: int) -> None:
    """Refuse more records than there are, or so many that a quarter of them is more than there are of a kind."""
    fewest = min(n_real, n_synthetic)
    most = min(n_real + n_synthetic, LEAST_SHARE * fewest + LEAST_SHARE - 1) if fewest else 0
    if n > most:
        fits = f"ask for {most} at most" if fewest > SMALL_CELL else "generate more records"
        raise ConfigError(
            f"--n {n}", f"needs more than there are, {few(n_real)} real and {few(n_synthetic)} synthetic records, "
            "expected so few that they suffice, and a quarter of each kind",
            f"{fits}, or take another split: `--split tuning`",
        )  # fmt: skip


def coins(n: int, seed: int, n_real: int, n_synthetic: int) -> Bools:
    """Return which of `n` are invented: by a fair coin, a quarter of each kind at least, and no more than there are."""
    number = uniform(draw(np.arange(n), Salt.COIN, seed))
    least = max(1, n // LEAST_SHARE)
    n_invented = int(np.clip((number < 0.5).sum(), max(least, n - n_real), min(n - least, n_synthetic)))
    found: Bools = np.isin(np.arange(n), np.argsort(number, kind="stable")[:n_invented])
    return found


def taken(cohort: Cohort, subjects: Ints) -> Records:
    """Return some subjects of a cohort, by their numbers in it, in that order."""
    if isinstance(cohort, OfSplit):
        return cohort.take(subjects)
    order = np.sort(subjects)
    return joined(Some(cohort, order).parts()).take(np.searchsorted(order, subjects))
