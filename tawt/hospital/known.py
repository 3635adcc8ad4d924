"""The risk of the invented patients whose images tell something, and the AUC that nobody can beat.

A patient has `u`, told by the record, and `v`, told by the image, both standard normal and independent. Who dies is
drawn with `p = sigmoid(RECORD u + IMAGE v + OFFSET)`. Of whom one of them is not known, the best answer is the mean of
`p` over it; that is an integral over one normal variable, for a sum of normal ones is normal, and `numpy` has its
nodes (Gauss and Hermite). No ranking has a larger AUC than that by the chance given all that is known (Neyman and
Pearson), so the largest is that of these means.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tawt.arrays import Floats

RECORD, IMAGE, OFFSET = 1.5, 1.5, -1.0


class Looks(NamedTuple):
    """What somebody looks at who answers."""

    record: bool
    image: bool


LOOKS = {"both": Looks(True, True), "record": Looks(True, False), "image": Looks(False, True)}

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
_SHARES = _WEIGHTS / _WEIGHTS.sum()
_GRID = np.linspace(-8, 8, 4001)
"""Standard normal values, of which the density beyond is nothing."""


def chance(u: Floats, v: Floats) -> Floats:
    """Return the chance to die of whom `u` and `v`, `(n,)`, are known; NaN = not known, and integrated out."""
    spread = np.hypot(RECORD * np.isnan(u), IMAGE * np.isnan(v))
    logit = OFFSET + RECORD * np.nan_to_num(u) + IMAGE * np.nan_to_num(v)
    return _over(logit, spread)


def seen(u: Floats, v: Floats, looks: Looks) -> Floats:
    """Return the best answer of who looks at one of them, or at both; NaN in `v` = there is no image."""
    nothing = np.full_like(u, np.nan)
    return chance(u if looks.record else nothing, v if looks.image else nothing)


def best_auc(looks: Looks, with_image: float) -> float:
    """Return the AUC that is expected of the best answer, by integration over all patients.

    Args:
        looks: What is looked at.
        with_image: Share of the patients of whom there is an image in time.
    """
    density = np.exp(-(_GRID**2) / 2)
    density /= density.sum()
    risks, weights = [], []
    for has_image, share in ((True, with_image), (False, 1 - with_image)):
        # of all that is known nothing but the sum matters, and that is normal; all that is not is integrated out
        known = np.array([looks.record * RECORD, looks.image * has_image * IMAGE])
        left = np.hypot(*(np.array([RECORD, IMAGE]) - known))
        risks.append(_over(OFFSET + np.hypot(*known) * _GRID, np.full_like(_GRID, left)))
        weights.append(share * density)
    risk, weight = np.concatenate(risks), np.concatenate(weights)
    return auc(risk, weight * risk, weight * (1 - risk))


def auc(score: Floats, yes: Floats, no: Floats) -> float:
    """Return how often a score of who dies is above one of who does not, equal ones as half.

    Args:
        score: `(n,)`.
        yes: `(n,)`, how many die that have it.
        no: `(n,)`, how many do not.
    """
    _, rank = np.unique(score, return_inverse=True)
    died, lived = (np.bincount(rank, weights=of) for of in (yes, no))
    below = np.cumsum(lived) - lived / 2
    return float((died * below).sum() / (died.sum() * lived.sum()))


def _over(logit: Floats, spread: Floats) -> Floats:
    """Return the mean of the logistic function over normal variables with these means and deviations, `(n,)`."""
    found: Floats = (1 / (1 + np.exp(-(logit[:, None] + spread[:, None] * _NODES)))) @ _SHARES
    return found
