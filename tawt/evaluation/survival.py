"""Times until an event, of which some are cut short: who is told to come first, how far chances at horizons are off.

Rows that are cut short before a horizon count through those who were still watched then: each of these weighs one over
the chance to be watched so long. That chance comes from the same rows, by the Kaplan-Meier curve of cutting short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Bools, Floats, Ints
from tawt.errors import ContractError
from tawt.evaluation.horizons import in_words
from tawt.evaluation.measure import ADDS_UP, Metric, numbers
from tawt.evaluation.metrics import AUROC, Binary

_N_BINS = 10
_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Survival:
    """How long each of `n` rows was watched, whether the event ended it, and what was predicted."""

    time: Floats
    """`(n,)`, until the event or the end of watching, in one unit."""
    event: Bools
    """`(n,)`, whether the event came; else it was cut short."""
    risk: Floats
    """`(n,)`, larger = sooner."""
    horizons: Floats
    """`(h,)`, ascending, in the unit of time."""
    survival: Floats
    """`(n, h)`, predicted chance that the event comes later than each horizon."""

    def __init__(
        self,
        time: ArrayLike,
        event: ArrayLike,
        risk: ArrayLike | None = None,
        horizons: ArrayLike = (),
        survival: ArrayLike | None = None,
    ) -> None:
        """Hold all to what they are to be.

        Args:
            time: `(n,)`, not negative.
            event: `(n,)`, 1 where the event came, 0 where it was cut short.
            risk: `(n,)`; None = the chance that the event comes by the last horizon.
            horizons: `(h,)`, ascending and above 0.
            survival: `(n, h)`, within 0 and 1, never rising from one horizon to the next.

        Raises:
            ContractError: They differ in length, or hold something else; there is neither a risk nor survival.
        """
        watched, at = numbers(time, "time"), numbers(horizons, "horizons")
        came = numbers(event, "event", len(watched))
        if (watched < 0).any() or (~np.isin(came, (0, 1))).any():
            raise ContractError("time, event", "have times below 0 or events beside 0 and 1, expected none")
        if (at <= 0).any() or (np.diff(at) <= 0).any():
            raise ContractError("horizons", "do not ascend from above 0, expected that they do")
        if survival is None:
            chances = np.empty((len(watched), 0))
        else:
            chances = numbers(survival, "survival", len(watched), n_dims=2)
        if chances.shape[1] != (0 if survival is None else len(at)):
            raise ContractError("survival", f"has {chances.shape[1]} columns, expected {len(at)}, one for each horizon")
        if ((chances < 0) | (chances > 1)).any() or (np.diff(chances, axis=1) > 1e-9).any():
            raise ContractError("survival", "rises, or is not within 0 and 1, expected chances that never rise")
        if risk is None and not chances.shape[1]:
            raise ContractError("risk", "is not there, nor is survival, expected one of them")
        given = 1 - chances[:, -1] if risk is None else numbers(risk, "risk", len(watched))
        for name, value in (("time", watched), ("event", came == 1), ("risk", given), ("horizons", at)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "survival", chances)

    @property
    def n_rows(self) -> int:
        """`n`."""
        return len(self.time)

    def lacks(self, weights: Floats) -> str:
        """Return why nothing can be measured; "" where it can."""
        return "" if weights.any() else "no rows"

    @cached_property
    def places(self) -> tuple[Floats, Ints]:
        """The distinct times, `(g,)` ascending, and the number of each row's among them `(n,)`."""
        at, number = np.unique(self.time, return_inverse=True)
        return at, number.astype(np.int64)

    def watched(self, weights: Floats) -> Floats:
        """Return the chance to be watched up to just before each row's time, `(k, n)`, and beyond all: `(k, n + h)`.

        The last `h` columns are of the horizons: to be watched at least so long.
        """
        at, number = self.places
        n_events, n_cut, n_left = counts(number, self.event, weights, len(at))
        # who has the event at a time is not there any more to be cut short at it
        left = n_left - n_events
        kept = np.where(left > 0, 1 - n_cut / np.where(left > 0, left, 1), 1.0).cumprod(1)
        before = np.concatenate((np.ones((len(weights), 1)), kept), 1)
        beyond = np.searchsorted(at, self.horizons, side="right")
        return before[:, np.concatenate((number, beyond))]


def counts(number: Ints, event: Bools, weights: Floats, n_times: int) -> tuple[Floats, Floats, Floats]:
    """Return events, cut short and still there at each distinct time, `(k, g)` each."""

    def at_each(values: Floats) -> Floats:
        cell = number + np.arange(len(values))[:, None] * n_times
        summed = np.bincount(cell.reshape(-1), values.reshape(-1), len(values) * n_times).astype(np.float64)
        return summed.reshape(len(values), n_times)

    n_events, n_all = at_each(weights * event), at_each(weights)
    return n_events, n_all - n_events, n_all[:, ::-1].cumsum(1)[:, ::-1]


def until(time: ArrayLike, event: ArrayLike, horizon: float) -> tuple[Floats, Bools]:
    """Return times and events as if watching had ended at a horizon: later events are cut short there."""
    watched, came = numbers(time, "time"), np.asarray(event).astype(bool)
    return np.minimum(watched, horizon), came & (watched <= horizon)


def _over(weights: Floats, chance: Floats) -> Floats:
    # who is not in a draw may have a time beyond all that are
    return np.where(weights > 0, weights / np.where(weights > 0, chance, 1), 0)


def concordance(outcome: Survival, weights: Floats, tau: float | None = None, corrected: bool = True) -> Floats:
    """Return the share of pairs in which the sooner event has the larger risk, equal risks as half, `(k,)`.

    A pair counts where one has its event by `tau` while the other is still watched.

    Args:
        outcome: Of `n` rows.
        weights: `(k, n)`.
        tau: In the unit of time; None = beyond all.
        corrected: Whether each pair weighs one over the squared chance to be watched so long.
    """
    # source: Uno et al. 2011, On the C-statistics for evaluating overall adequacy of risk prediction procedures
    # source: Harrell et al. 1982, Evaluating the yield of medical tests (where it is not corrected)
    chosen = np.flatnonzero(outcome.event & ((outcome.time <= tau) if tau is not None else True))
    own = weights[:, chosen]
    if corrected:
        own = _over(own, outcome.watched(weights)[:, chosen] ** 2)
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    at_once = max(1, _PAIRS_AT_ONCE // max(1, outcome.n_rows))
    for first in range(0, len(chosen), at_once):
        mine = chosen[first : first + at_once]
        later = outcome.time[mine, None] < outcome.time
        later |= (outcome.time[mine, None] == outcome.time) & ~outcome.event
        over = later * ((outcome.risk[mine, None] > outcome.risk) + 0.5 * (outcome.risk[mine, None] == outcome.risk))
        held = own[:, first : first + at_once]
        right += (held * (weights @ over.T)).sum(1)
        pairs += (held * (weights @ later.T.astype(np.float64))).sum(1)
    return np.where(pairs > 0, right / pairs, np.nan)


def brier_at(outcome: Survival, weights: Floats) -> Floats:
    """Return the Brier score at each horizon `(k, h)`, as if nobody had been cut short; NaN where nobody was left."""
    # source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data
    chance, total = outcome.watched(weights), weights.sum(1)
    came, n = np.where(outcome.event, 1.0, 0.0), outcome.n_rows
    columns = []
    for i, horizon in enumerate(outcome.horizons[: outcome.survival.shape[1]]):
        s, left = outcome.survival[:, i], outcome.time > horizon
        early = _over(weights, chance[:, :n]) @ (came * ~left * s**2)
        late = weights @ (left * (1 - s) ** 2)
        seen = chance[:, n + i]
        later = np.where(late > 0, late / np.where(seen > 0, seen, 1), 0)
        columns.append(np.where(seen > 0, (early + later) / total, np.nan))
    return np.stack(columns, 1) if columns else np.full((len(weights), 0), np.nan)


def auc_at(outcome: Survival, weights: Floats, i: int) -> Floats:
    """Return the AUROC of an event by horizon number `i` against none by then, `(k,)`.

    The score is the chance of the event by that horizon where it was predicted, else the risk.
    """
    # source: Uno et al. 2007, Evaluating prediction rules for t-year survivors with censored regression models
    left = outcome.time > outcome.horizons[i]
    known = np.flatnonzero(left | outcome.event)
    score = 1 - outcome.survival[:, i] if outcome.survival.shape[1] else outcome.risk
    own = _over(weights, outcome.watched(weights)[:, : outcome.n_rows])
    own = np.where(left, weights, own)[:, known]
    return AUROC.of(Binary(~left[known], score[known]), own)


def own_survival(outcome: Survival) -> tuple[Floats, Bools]:
    """Return the predicted survival at each row's own time `(n,)`, and whether the event is seen to come then.

    Between horizons survival falls straight, from 1 at time 0. What lies beyond the last horizon is cut short there.
    """
    at = np.append(0.0, outcome.horizons)
    chance = np.concatenate((np.ones((outcome.n_rows, 1)), outcome.survival), 1)
    time, event = until(outcome.time, outcome.event, float(at[-1]))
    place = np.clip(np.searchsorted(at, time, side="left"), 1, len(at) - 1)
    share = (time - at[place - 1]) / (at[place] - at[place - 1])
    row = np.arange(outcome.n_rows)
    return chance[row, place - 1] * (1 - share) + chance[row, place] * share, event


def _d_calibration(outcome: Survival, weights: Floats) -> Floats:
    if not outcome.survival.shape[1]:
        return np.full(len(weights), np.nan)
    s, event = own_survival(outcome)
    low = np.arange(_N_BINS) / _N_BINS
    inside = np.minimum((s * _N_BINS).astype(np.int64), _N_BINS - 1)[:, None] == np.arange(_N_BINS)
    # who is cut short has the event later, at a survival that is anything below the one of that time
    below = np.clip(s[:, None] - low, 0, 1 / _N_BINS) / np.where(s > 0, s, 1)[:, None]
    below[s == 0, 0] = 1
    found = weights @ np.where(event[:, None], inside, below)
    expected = weights.sum(1, keepdims=True) / _N_BINS
    statistic: Floats = ((found - expected) ** 2 / expected).sum(1)
    return statistic


def d_calibration_p(statistic: float) -> float:
    """Return how likely chance alone makes a D-calibration statistic so large: chi-squared of 9 degrees."""
    x = statistic / 2
    total = math.erfc(math.sqrt(x))
    for half in range(_N_BINS // 2 - 1):
        total += x ** (half + 0.5) * math.exp(-x) / math.gamma(half + 1.5)
    return total


def _integrated(outcome: Survival, weights: Floats) -> Floats:
    if outcome.survival.shape[1] < 2:
        return np.full(len(weights), np.nan)
    each, at = brier_at(outcome, weights), outcome.horizons
    area: Floats = ((each[:, 1:] + each[:, :-1]) / 2 * np.diff(at)).sum(1) / (at[-1] - at[0])
    return area


def _no_pairs(outcome: Survival, weights: Floats) -> str:
    return "no event" if not outcome.event[weights > 0].any() else "no pair of which one is seen to be sooner"


def _no_curve(outcome: Survival, weights: Floats) -> str:
    if outcome.survival.shape[1] < 2:
        return "survival was not predicted at two horizons"
    return "nobody is watched to the last horizon"


C_INDEX = Metric("c_index_ipcw", "C (IPCW)", "larger", concordance, _no_pairs)
HARRELL = Metric("c_index", "C (Harrell)", "larger", lambda o, w: concordance(o, w, corrected=False), _no_pairs)
INTEGRATED_BRIER = Metric("integrated_brier", "integrated Brier", "smaller", _integrated, _no_curve)
# source: Haider et al. 2020, Effective ways to build and evaluate individual survival distributions
D_CALIBRATION = Metric(
    "d_calibration",
    "D-calibration",
    "smaller",
    _d_calibration,
    lambda o, w: "no survival predicted",
    ADDS_UP,
)
OF_SURVIVAL = (C_INDEX, HARRELL, INTEGRATED_BRIER, D_CALIBRATION)
"""Of times until an event."""


def at_horizons(horizons: ArrayLike) -> tuple[Metric, ...]:
    """Return C, AUROC and Brier at each horizon, in hours; those of the outcome are to be the same."""

    def three(i: int, h: float) -> tuple[Metric, ...]:
        at = in_words(h)
        return (
            Metric(f"c_index_ipcw:{h:g}", f"C to {at}", "larger", lambda o, w: _c_to(o, w, i), _no_pairs),
            Metric(f"auroc:{h:g}", f"AUROC at {at}", "larger", lambda o, w: auc_at(o, w, i), lambda o, w: "one class"),
            Metric(f"brier:{h:g}", f"Brier at {at}", "smaller", lambda o, w: _one_brier(o, w, i), _no_horizon),
        )

    return tuple(metric for i, h in enumerate(numbers(horizons, "horizons")) for metric in three(i, float(h)))


def _c_to(outcome: Survival, weights: Floats, i: int) -> Floats:
    risk = 1 - outcome.survival[:, i] if outcome.survival.shape[1] else outcome.risk
    return concordance(Survival(outcome.time, outcome.event, risk), weights, float(outcome.horizons[i]))


def _one_brier(outcome: Survival, weights: Floats, i: int) -> Floats:
    return brier_at(outcome, weights)[:, i] if outcome.survival.shape[1] else np.full(len(weights), np.nan)


def _no_horizon(outcome: Survival, weights: Floats) -> str:
    return "nobody is watched so long" if outcome.survival.shape[1] else "no survival predicted"
