"""What the ratings say: whether raters tell invented records from real ones, with intervals over records and raters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import few
from tawt.evaluation.resample import N_DRAWS, Interval, draws_of, ends
from tawt.reviews.agreement import alpha
from tawt.reviews.answers import FLAGS, Ratings

ALL = "all"
LEAST_RATERS, MANY_RATERS = 3, 8
"""From so many raters on they are drawn too; an interval over fewer than the second number is rough."""
_UNSURE = 3
"""The middle of the scale: half a yes."""
Parts = tuple[Floats, Floats]
"""Numerator and denominator of a mean over draws, `(k,)` each."""


@dataclass(frozen=True)
class Measured:
    """One number of one rater, or of all."""

    rater: str
    """`all`, or initials."""
    measure: str
    interval: Interval
    n: int
    """Ratings it is of."""


@dataclass(frozen=True)
class Flagged:
    """How often something was said to be impossible."""

    flag: str
    synthetic: int
    """Ratings of invented records that say so."""
    of_synthetic: int
    """Ratings of invented records."""
    real: str
    """Ratings of real records that say so: few are not told."""
    of_real: int
    """Ratings of real records."""


@dataclass(frozen=True)
class Judged:
    """What comes of a review."""

    n_items: int
    n_raters: int
    measured: tuple[Measured, ...]
    flagged: tuple[Flagged, ...]
    said: tuple[tuple[int, str, str, str], ...]
    """Record, real or synthetic, rater, and what was written."""
    notes: tuple[str, ...]
    """What limits all this."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it as keys."""
        return asdict(self)


def judge(ratings: Ratings, synthetic: Bools, n_draws: int = N_DRAWS, seed: int = 0) -> Judged:
    """Measure what raters told.

    Records are drawn with replacement, real and invented ones apart, and raters too where there are enough. Each rating
    weighs the same, of the AUC each pair of an invented and a real record that one rater rated.

    Args:
        ratings: Of `r` raters and `n` records.
        synthetic: `(n,)`, which are invented.
        n_draws: How many draws.
        seed: Of the draws.
    """
    r, n = ratings.invented.shape
    items = np.concatenate([np.ones((1, n)), _items(synthetic, n_draws, seed)])
    drawn = np.concatenate([np.ones((1, r)), _raters(r, n_draws, seed)])
    found = _measured(ALL, ratings, np.arange(r), synthetic, items, drawn)
    for name, scale in (("agreement, invented", ratings.invented), ("agreement, plausible", ratings.plausible)):
        n_both = int((np.isfinite(scale).sum(0) > 1).sum())
        found.append(Measured(ALL, name, _interval(alpha(scale, items)), n_both))
    for i, rater in enumerate(ratings.raters if r > 1 else ()):
        found += _measured(rater, ratings, np.array([i]), synthetic, items, np.ones_like(drawn))
    said = tuple(
        (item, "synthetic" if synthetic[item - 1] else "real", rater, note) for item, rater, note in ratings.notes
    )
    return Judged(n, r, tuple(found), _flagged(ratings, synthetic), said, tuple(_limits(ratings)))


def _measured(
    rater: str, ratings: Ratings, own: Ints, synthetic: Bools, items: Floats, raters: Floats
) -> list[Measured]:
    """Return the measures of some raters together; draws of records `(k, n)` and of raters `(k, r)`."""
    over, n_of = {}, {}
    for name, (of, scale, kind) in _MEASURES.items():
        rows = ratings.invented if scale == "invented" else ratings.plausible
        parts = [of(rows[i], synthetic, items) for i in own]
        above, below = (np.sum([raters[:, i] * one[k] for i, one in zip(own, parts, strict=True)], 0) for k in (0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            over[name] = np.where(below > 0, above / below, np.nan)
        n_of[name] = int((np.isfinite(rows[own]) & (True if kind is None else synthetic == kind)).sum())
    over[LESS] = over[OF_REAL] - over[OF_SYNTHETIC]
    n_of[LESS] = n_of[OF_REAL] + n_of[OF_SYNTHETIC]
    return [Measured(rater, name, _interval(one), n_of[name]) for name, one in over.items()]


def _items(synthetic: Bools, n_draws: int, seed: int) -> Floats:
    found = np.empty((n_draws, len(synthetic)))
    for kind, own_seed in ((False, 2 * seed), (True, 2 * seed + 1)):
        own = np.flatnonzero(synthetic == kind)
        found[:, own] = draws_of(own, n_draws, own_seed).weights(0, n_draws)
    return found


def _raters(r: int, n_draws: int, seed: int) -> Floats:
    if r < LEAST_RATERS:
        return np.ones((n_draws, r))
    return draws_of(np.arange(r), n_draws, seed + _OF_RATERS).weights(0, n_draws)


_OF_RATERS = 1 << 20
"""Raters are drawn by another seed than records."""


def _mean(rating: Floats, own: Bools, weights: Floats) -> Parts:
    there = own & np.isfinite(rating)
    return weights[:, there] @ rating[there], weights[:, there].sum(1)


def _sensitivity(invented: Floats, synthetic: Bools, weights: Floats) -> Parts:
    return _mean((np.sign(invented - _UNSURE) + 1) / 2, synthetic, weights)


def _specificity(invented: Floats, synthetic: Bools, weights: Floats) -> Parts:
    return _mean((np.sign(_UNSURE - invented) + 1) / 2, ~synthetic, weights)


def _auc(invented: Floats, synthetic: Bools, weights: Floats) -> Parts:
    fake, real = (own & np.isfinite(invented) for own in (synthetic, ~synthetic))
    more = (np.sign(invented[fake][:, None] - invented[real]) + 1) / 2
    of_fake, of_real = weights[:, fake], weights[:, real]
    return ((of_fake @ more) * of_real).sum(1), of_fake.sum(1) * of_real.sum(1)


def _of_real(plausible: Floats, synthetic: Bools, weights: Floats) -> Parts:
    return _mean(plausible, ~synthetic, weights)


def _of_synthetic(plausible: Floats, synthetic: Bools, weights: Floats) -> Parts:
    return _mean(plausible, synthetic, weights)


OF_REAL, OF_SYNTHETIC, LESS = "plausible, real", "plausible, synthetic", "plausible, real less synthetic"
_MEASURES: dict[str, tuple[Callable[[Floats, Bools, Floats], Parts], str, bool | None]] = {
    "AUC": (_auc, "invented", None),
    "sensitivity": (_sensitivity, "invented", True),
    "specificity": (_specificity, "invented", False),
    OF_REAL: (_of_real, "plausible", False),
    OF_SYNTHETIC: (_of_synthetic, "plausible", True),
}
"""Measure -> what it is, of which scale, and of which records: invented, real, or both."""


def _interval(over: Floats) -> Interval:
    """Return the interval of a number, the first, by its draws, the others."""
    value, draws = float(over[0]), over[1:]
    low, high, n, reason = ends(draws)
    if np.isnan(value):
        return Interval(None, None, None, n, len(draws) - n, "not defined for these ratings")
    return Interval(value, low, high, n, len(draws) - n, reason)


def _flagged(ratings: Ratings, synthetic: Bools) -> tuple[Flagged, ...]:
    rated = np.isfinite(ratings.invented) | np.isfinite(ratings.plausible) | ratings.flags.any(2)
    found = []
    for i, flag in enumerate(FLAGS):
        yes = ratings.flags[:, :, i]
        of_synthetic, of_real = int((rated & synthetic).sum()), int((rated & ~synthetic).sum())
        told = few(int((yes & ~synthetic).sum()))
        found.append(Flagged(flag, int((yes & synthetic).sum()), of_synthetic, told, of_real))
    return tuple(found)


def _limits(ratings: Ratings) -> list[str]:
    r, n = ratings.invented.shape
    found = []
    if r < LEAST_RATERS:
        who = "one rater says" if r == 1 else f"{r} raters say"
        found.append(f"intervals are over records alone: {who} nothing of others who might rate")
    elif r < MANY_RATERS:
        found.append(f"intervals over {r} raters are rough: they are likely to be too narrow")
    if part := [name for name, k in zip(ratings.raters, ratings.n_items.tolist(), strict=True) if k < n]:
        found.append(f"rated a part of the {n} records: {', '.join(part)}")
    if ratings.n_replaced:
        found.append(f"answers in whose place a later one of the same rater counts: {ratings.n_replaced}")
    return found
