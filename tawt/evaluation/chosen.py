"""Where a threshold was chosen: on tuning, where it may, or on the rows that it is reported on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tawt.arrays import Floats
from tawt.evaluation.metrics import Binary
from tawt.labels.leaks.verdict import Inflation, Verdict, clean, unverified

_LEAST = 1e-9
Score = Callable[[Floats, Floats, float, float], Floats]
CRITERIA: dict[str, Score] = {
    "sensitivity + specificity - 1": lambda tp, fp, p, n: tp / p - fp / n,
    "F1": lambda tp, fp, p, n: 2 * tp / (tp + fp + p),
    "distance to the corner of ROC": lambda tp, fp, p, n: -np.hypot(1 - tp / p, fp / n),
    "|sensitivity - specificity|": lambda tp, fp, p, n: -np.abs(tp / p - (1 - fp / n)),
    "min(sensitivity, positive predictivity)": lambda tp, fp, p, n: np.minimum(tp / p, tp / np.maximum(tp + fp, 1)),
    "accuracy": lambda tp, fp, p, n: (tp + n - fp) / (p + n),
}
"""By what thresholds are chosen: true and false positives, positives and others -> the larger the better."""


def audit_threshold(threshold: float, tuning: Binary, held_out: Binary) -> Verdict:
    """Say whether a threshold is the best of held_out by a criterion, and not that of tuning.

    Args:
        threshold: Who is at or above it counts as positive; it may have been rounded.
        tuning: What the model says of tuning.
        held_out: What it says of the rows that the threshold is reported on.
    """
    code = "EVALUATION_REUSE"
    best = {name: [_is_best(threshold, one, of) for one in (tuning, held_out)] for name, of in CRITERIA.items()}
    by_tuning = [name for name, (in_tuning, _) in best.items() if in_tuning]
    on = [name for name, (_, in_held) in best.items() if in_held]
    if by_tuning and not {*on} - {*by_tuning}:
        return clean(code, f"the threshold {threshold:g} is the best of tuning by {by_tuning[0]}")
    if by_tuning:
        other = next(name for name in on if name not in by_tuning)
        told = f"the threshold {threshold:g} is the best of tuning by {by_tuning[0]}, and that of held_out by {other}"
        return unverified(code, f"{told}: say by which it was chosen")
    if not on:
        return clean(code, f"the threshold {threshold:g} is the best of held_out by none of {', '.join(CRITERIA)}")
    of = CRITERIA[on[0]]
    with_leak, without = (_at(held_out, cut, of) for cut in (threshold, _best_cut(tuning, of)))
    told = f"the threshold {threshold:g} is the best of held_out by {on[0]}, and not that of tuning"
    return Verdict(code, "leak", told, inflation=Inflation(on[0], with_leak, without))


def _counts(rows: Binary, cuts: Floats) -> tuple[Floats, Floats, float, float]:
    """Return true and false positives at each cut, and how many positives and others there are."""
    p = float(rows.truth.sum())
    yes, no = (np.sort(rows.score[rows.truth == value]) for value in (1, 0))
    tp, fp = (len(one) - np.searchsorted(one, cuts, side="left") for one in (yes, no))
    return tp.astype(np.float64), fp.astype(np.float64), p, rows.n_rows - p


def _at(rows: Binary, cut: float, of: Score) -> float:
    return float(of(*_counts(rows, np.array([cut])))[0])


def _best_cut(rows: Binary, of: Score) -> float:
    cuts = np.unique(rows.score)
    return float(cuts[of(*_counts(rows, cuts)).argmax()])


def _is_best(threshold: float, rows: Binary, of: Score) -> bool:
    """Return whether no other cut is better, or the best one is the threshold before it was rounded."""
    cuts = np.unique(rows.score)
    told = of(*_counts(rows, cuts))
    if not len(cuts) or _at(rows, threshold, of) >= told.max() - _LEAST:
        # where nobody, or everybody, is above any good cut, a threshold says nothing of its choice
        return bool(len(cuts)) and bool(cuts[0] < threshold <= cuts[-1])
    digits = len(f"{threshold:.12g}".partition(".")[2])
    best = cuts[told >= told.max() - _LEAST]
    return bool((np.round(best, digits) == round(threshold, digits)).any())
