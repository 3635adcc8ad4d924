"""Kaplan and Meier's curve: how many are still without the event, where some are watched for longer than others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Floats
from tawt.evaluation.measure import Z, held_weights
from tawt.evaluation.survival import Survival, counts


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """The share that is still without the event after each of `g` distinct times."""

    time: Floats
    """`(g,)`, ascending."""
    survival: Floats
    """`(g,)`."""
    low: Floats
    """`(g,)`, lower end of the 95 % interval of each point; NaN where there is none."""
    high: Floats
    """`(g,)`, upper end."""
    n_left: Floats
    """`(g,)`, watched up to each time."""

    def at(self, times: ArrayLike) -> Floats:
        """Return the share after some times; 1 before the first."""
        place = np.searchsorted(self.time, np.asarray(times, dtype=np.float64), side="right")
        return np.append(1.0, self.survival)[place]


def kaplan_meier(time: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None) -> KaplanMeier:
    """Return Kaplan and Meier's curve, with intervals on the scale of log(-log).

    Raises:
        ContractError: As of `Survival`.
    """
    # source: Kaplan and Meier 1958; Greenwood 1926; Kalbfleisch and Prentice 1980, section 1.3
    rows = Survival(time, event, np.zeros(len(np.asarray(time))))
    at, number = rows.places
    n_events, _, n_left = (a[0] for a in counts(number, rows.event, held_weights(weights, rows.n_rows)[None], len(at)))
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = (1 - n_events / n_left).cumprod()
        variance = (n_events / (n_left * (n_left - n_events))).cumsum()
        reach = np.exp(Z * np.sqrt(variance) / np.log(survival))
        low, high = survival ** (1 / reach), survival**reach
    return KaplanMeier(at, survival, low, high, n_left)
