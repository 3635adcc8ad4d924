"""Horizons of a time to an event: how they are called, and chances at others than those that were predicted."""

from __future__ import annotations

import numpy as np

from tawt.arrays import Floats

_DAYS_FROM = 96.0


def in_words(hours: float) -> str:
    """Return a horizon as a person reads it: in days where these are four whole ones at least."""
    return f"{hours / 24:g} d" if hours >= _DAYS_FROM and hours % 24 == 0 else f"{hours:g} h"


def survival_at(horizons: Floats, survival: Floats, wanted: Floats) -> Floats:
    """Return chances at other horizons, `(n, w)`: between horizons survival falls straight, from 1 at time 0.

    Args:
        horizons: `(h,)`, ascending.
        survival: `(n, h)`.
        wanted: `(w,)`, none beyond the last of `horizons`.
    """
    at, chance = np.append(0.0, horizons), np.concatenate((np.ones((len(survival), 1)), survival), 1)
    place = np.clip(np.searchsorted(at, wanted, side="left"), 1, len(at) - 1)
    share = (wanted - at[place - 1]) / (at[place] - at[place - 1])
    found: Floats = chance[:, place - 1] * (1 - share) + chance[:, place] * share
    return found
