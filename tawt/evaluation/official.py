"""Official scores of public challenges, measured beside all else where a pipeline says that a label set is theirs.

Most judge decisions: rows of at least a threshold, which is chosen on other rows, are taken to be positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Floats
from tawt.config.pipeline import Score
from tawt.contracts.dataset import US_PER_HOUR
from tawt.evaluation.measure import ADDS_UP, Metric
from tawt.evaluation.metrics import Binary, at_threshold, best_threshold, one_class
from tawt.evaluation.predictions import Predictions

_N_DECILES, _NEVER_ZERO = 10, 0.001
_FALSE_ALARM = -0.05
_EARLY, _BEST, _LATE = -12.0, -6.0, 3.0
"""Hours after the onset of sepsis: from when on a warning is worth something, most, and nothing any more."""


@dataclass(frozen=True)
class Official:
    """What a challenge measures."""

    threshold: Callable[[Predictions], float | None]
    """The best one on some rows; None where they have one class."""
    metrics: Callable[[Predictions, float], tuple[Metric, ...]]
    """Of other rows, with a threshold."""


def event_one(threshold: float) -> Metric:
    """Return min(sensitivity, positive predictivity) at a threshold that was chosen before: Event 1 of PhysioNet-2012.

    Where no row reaches the threshold there is no positive predictivity, and the score is 0, for nobody was found.

    Source: Silva et al. 2012, Predicting in-hospital mortality of ICU patients, Computing in Cardiology 39.

    Args:
        threshold: Rows of at least this score are taken to be positive.
    """
    sensitivity, _, ppv = at_threshold(threshold)

    def score(outcome: Binary, weights: Floats) -> Floats:
        found, right = sensitivity.score(outcome, weights), ppv.score(outcome, weights)
        least = np.where(np.isnan(right), found, np.minimum(found, right))
        return np.where(outcome.two_classes(weights), least, np.nan)

    return Metric("event_1", "Event 1: min(Se, P+)", "larger", score, one_class)


def _event_two(outcome: Binary, weights: Floats) -> Floats:
    order = np.argsort(outcome.score, kind="stable")
    score, truth = outcome.score[order], outcome.truth[order]
    if not outcome.is_probability:
        return np.full(len(weights), np.nan)
    found = np.full(len(weights), np.nan)
    for i, row in enumerate(weights):
        held = row[order]
        place = np.append(0.0, held.cumsum())
        size = np.floor(place[-1] / _N_DECILES)
        if size < 1:
            continue
        # a row of some weight is as many equal rows, side by side: between two of them sums run straight
        edges = np.arange(_N_DECILES + 1) * size
        came, risk = (np.diff(np.interp(edges, place, np.append(0.0, (held * of).cumsum()))) for of in (truth, score))
        mean = risk / size
        h = ((came - risk) ** 2 / (size * mean * (1 - mean) + _NEVER_ZERO)).sum()
        if mean[-1] - mean[0] > 1e-12:  # less is what rounding leaves of equal risks
            found[i] = h / (mean[-1] - mean[0])
    return found


def _no_deciles(outcome: Binary, weights: Floats) -> str:
    if not outcome.is_probability:
        return "scores are not within 0 and 1"
    return "fewer than 10 rows" if weights.sum() < _N_DECILES else "lowest and highest tenth have the same risk"


# source: Silva et al. 2012, Computing in Cardiology 39; Hosmer and Lemeshow 2000, Applied logistic regression
EVENT_TWO = Metric("event_2", "Event 2: H / D", "smaller", _event_two, _no_deciles, ADDS_UP)
"""PhysioNet-2012's Event 2, H / D: ten groups of a tenth of the rows each by risk, rounded down; the riskiest rows that
are left over are in no group, as the official form has it. Among equal risks the order of the rows counts."""


def utilities(asked: Predictions) -> tuple[Floats, Floats]:
    """Return what a warning is worth at each row, and what silence is, `(n,)` each.

    Onset is 6 hours after the first row of a subject whose label is yes.

    Source: Reyna et al. 2020, Early prediction of sepsis from clinical data: the PhysioNet/Computing in Cardiology
    Challenge 2019, Critical Care Medicine 48.

    Args:
        asked: Yes or no, by the hour.
    """
    assert isinstance(asked.outcome, Binary)
    hour = asked.prediction_time / US_PER_HOUR
    _, subject = np.unique(asked.subject_id, return_inverse=True)
    first = np.full(len(hour), np.inf)
    yes = asked.outcome.truth == 1
    np.minimum.at(first, subject[yes], hour[yes])
    is_septic = np.isfinite(first[subject])
    since = np.where(is_septic, hour - first[subject] + _BEST, 0.0)
    before = since <= _BEST
    rising, falling = (since - _EARLY) / (_BEST - _EARLY), (_LATE - since) / (_LATE - _BEST)
    warned = np.where(before, np.maximum(rising, _FALSE_ALARM), falling)
    silent = np.where(before, 0.0, -2 * (since - _BEST) / (_LATE - _BEST))
    is_over = since > _LATE
    return (
        np.where(is_septic, np.where(is_over, 0.0, warned), _FALSE_ALARM),
        np.where(is_septic, np.where(is_over, 0.0, silent), 0.0),
    )


def utility(asked: Predictions, threshold: float) -> Metric:
    """Return the normalized utility of warning at or above a threshold: 0 is that of silence, 1 the best there is.

    Args:
        asked: The rows that it is to be measured on.
        threshold: Chosen on other rows.
    """
    warned, silent = utilities(asked)
    gain = warned - silent

    def score(outcome: Binary, weights: Floats) -> Floats:
        found: Floats = (weights @ (gain * (outcome.score >= threshold))) / (weights @ np.maximum(gain, 0))
        return np.where(outcome.two_classes(weights), found, np.nan)

    return Metric("utility", "utility", "larger", score, one_class)


def best_of_utility(asked: Predictions) -> float | None:
    """Return the score at and above which warnings are worth most; None where there is one class."""
    outcome = asked.outcome
    assert isinstance(outcome, Binary)
    if outcome.one_class(np.ones(outcome.n_rows)) or not outcome.n_rows:
        return None
    warned, silent = utilities(asked)
    worth = (warned - silent)[outcome.order].cumsum()[outcome.ends]
    best = int(worth.argmax())
    # where every warning does harm none of these rows gets one
    return float(
        outcome.score[outcome.order[outcome.ends[best]]] if worth[best] > 0 else np.nextafter(outcome.score.max(), 2)
    )


def _best_of_events(asked: Predictions) -> float | None:
    assert isinstance(asked.outcome, Binary)
    return best_threshold(asked.outcome)


OFFICIAL: dict[Score, Official] = {
    "physionet2012": Official(_best_of_events, lambda asked, at: (event_one(at), EVENT_TWO)),
    "physionet2019": Official(best_of_utility, lambda asked, at: (utility(asked, at),)),
}
"""By the names that a pipeline gives them under `scores`."""
