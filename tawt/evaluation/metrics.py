"""Metrics of yes-or-no outcomes: how well scores tell the classes apart, and what errors of probability cost.

A row of weight 2 is the same as two equal rows. Equal scores are one threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Bools, Floats, Ints
from tawt.errors import ContractError
from tawt.evaluation.measure import Metric, held_weights, mean_of, numbers

LEAST = 1e-7
"""Probabilities are taken to be at least this far from 0 and 1 where a logarithm is taken of them."""


@dataclass(frozen=True, eq=False)
class Binary:
    """Whether something came, and the score that was given for it, of `n` rows."""

    truth: Floats
    """`(n,)`, 1 where it came, else 0."""
    score: Floats
    """`(n,)`, larger = likelier; a probability where it is to be measured as one."""

    def __init__(self, truth: ArrayLike, score: ArrayLike) -> None:
        """Hold both to what they are to be.

        Args:
            truth: `(n,)`, true or false, 1 or 0.
            score: `(n,)`, finite.

        Raises:
            ContractError: They differ in length, a truth is neither 0 nor 1, or a score is not finite.
        """
        told = numbers(truth, "truth")
        if n_other := int((~np.isin(told, (0, 1))).sum()):
            raise ContractError("truth", f"has {n_other:,} values beside 0 and 1, expected none")
        object.__setattr__(self, "truth", told)
        object.__setattr__(self, "score", numbers(score, "score", len(told)))

    @property
    def n_rows(self) -> int:
        """`n`."""
        return len(self.truth)

    def lacks(self, weights: Floats) -> str:
        """Return why nothing can be measured; "" where it can."""
        return "" if weights.any() else "no rows"

    def one_class(self, weights: Floats) -> str:
        """Return that there is one class only, where that is so."""
        kept = self.truth[weights > 0]
        return "one class" if len(kept) and kept.min() == kept.max() else ""

    def two_classes(self, weights: Floats) -> Bools:
        """Return `(k,)`, under which weights `(k, n)` both classes are there."""
        both: Bools = (weights @ self.truth > 0) & (weights @ (1 - self.truth) > 0)
        return both

    @cached_property
    def is_probability(self) -> bool:
        """Whether all scores lie within 0 and 1."""
        return not self.n_rows or bool(self.score.min() >= 0 and self.score.max() <= 1)

    @cached_property
    def logit(self) -> Floats:
        """`(n,)`, log odds of the probabilities, which stay `LEAST` from 0 and 1."""
        p = np.clip(self.score, LEAST, 1 - LEAST)
        return np.log(p) - np.log1p(-p)

    @cached_property
    def order(self) -> Ints:
        """`(n,)`, rows from the largest score to the smallest."""
        return np.argsort(-self.score, kind="stable")

    @cached_property
    def ends(self) -> Ints:
        """`(g,)`, place in `order` of the last row of each distinct score."""
        ranked = self.score[self.order]
        return np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)

    def steps(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return what lies at or above each distinct score: the weight of positives and of negatives, `(k, 1 + g)`.

        The first column stands for the threshold above all scores.
        """
        ranked = weights[:, self.order]
        total = _from_zero(ranked.cumsum(1)[:, self.ends])
        positive = _from_zero((ranked * self.truth[self.order]).cumsum(1)[:, self.ends])
        return positive, total - positive


def _from_zero(values: Floats) -> Floats:
    return np.concatenate((np.zeros((len(values), 1)), values), 1)


def _prevalence(outcome: Binary, weights: Floats) -> Floats:
    return mean_of(outcome.truth, weights)


def _auroc(outcome: Binary, weights: Floats) -> Floats:
    """Of a positive and a negative row, the chance that the positive has the larger score; equal ones count half.

    The trapezoids under the curve are the same as mid-ranks.
    """
    tp, fp = outcome.steps(weights)
    area = ((fp[:, 1:] - fp[:, :-1]) * (tp[:, 1:] + tp[:, :-1])).sum(1) / 2
    found: Floats = area / (tp[:, -1] * fp[:, -1])
    return found


def _precision_and_recall(outcome: Binary, weights: Floats) -> tuple[Floats, Floats]:
    """`(k, 1 + g)` each; before the first row precision is taken to be 1 and recall 0."""
    tp, fp = outcome.steps(weights)
    # with no negative row there is no curve to speak of, and 1.0 would say that the model is perfect
    both = outcome.two_classes(weights)[:, None]
    return np.where(tp + fp > 0, tp / (tp + fp), 1.0), np.where(both, tp / tp[:, -1:], np.nan)


def _average_precision(outcome: Binary, weights: Floats) -> Floats:
    precision, recall = _precision_and_recall(outcome, weights)
    found: Floats = ((recall[:, 1:] - recall[:, :-1]) * precision[:, 1:]).sum(1)
    return found


def _pr_auc(outcome: Binary, weights: Floats) -> Floats:
    precision, recall = _precision_and_recall(outcome, weights)
    found: Floats = ((recall[:, 1:] - recall[:, :-1]) * (precision[:, 1:] + precision[:, :-1])).sum(1) / 2
    return found


def _min_se_ppv(outcome: Binary, weights: Floats) -> Floats:
    precision, recall = _precision_and_recall(outcome, weights)
    found: Floats = np.minimum(precision, recall).max(1)
    return found


def _brier(outcome: Binary, weights: Floats) -> Floats:
    return _of_probability(outcome, weights, (outcome.score - outcome.truth) ** 2)


def _brier_skill(outcome: Binary, weights: Floats) -> Floats:
    share = _prevalence(outcome, weights)
    skill = 1 - _brier(outcome, weights) / (share * (1 - share))
    return np.where(outcome.two_classes(weights), skill, np.nan)


def _log_loss(outcome: Binary, weights: Floats) -> Floats:
    p = np.clip(outcome.score, LEAST, 1 - LEAST)
    return _of_probability(outcome, weights, -np.where(outcome.truth == 1, np.log(p), np.log1p(-p)))


def _of_probability(outcome: Binary, weights: Floats, loss: Floats) -> Floats:
    return mean_of(loss, weights) if outcome.is_probability else np.full(len(weights), np.nan)


def one_class(outcome: Binary, weights: Floats) -> str:
    """Return why a metric of two classes is not defined."""
    return outcome.one_class(weights)


def no_probability(outcome: Binary, weights: Floats) -> str:
    """Return why a metric of probabilities is not defined."""
    return outcome.one_class(weights) if outcome.is_probability else "scores are not within 0 and 1"


PREVALENCE = Metric("prevalence", "prevalence", "", _prevalence)
AUROC = Metric("auroc", "AUROC", "larger", _auroc, one_class)
# source: Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, section 8.4
AVERAGE_PRECISION = Metric("average_precision", "AP", "larger", _average_precision, one_class)
PR_AUC = Metric("pr_auc_trapezoid", "PR-AUC (trapezoid)", "larger", _pr_auc, one_class)
MIN_SE_PPV = Metric("min_se_ppv", "min(Se, P+)", "larger", _min_se_ppv, one_class)
# source: Brier 1950, Verification of forecasts expressed in terms of probability
BRIER = Metric("brier", "Brier", "smaller", _brier, no_probability)
BRIER_SKILL = Metric("brier_skill", "Brier skill", "larger", _brier_skill, no_probability)
LOG_LOSS = Metric("log_loss", "log loss", "smaller", _log_loss, no_probability)

DISCRIMINATION = (AUROC, AVERAGE_PRECISION, PREVALENCE, PR_AUC, MIN_SE_PPV)
"""What only the order of scores decides, and the prevalence beside it."""
PROBABILITY = (BRIER, BRIER_SKILL, LOG_LOSS)
"""What the scores cost as probabilities."""


def at_threshold(threshold: float) -> tuple[Metric, ...]:
    """Return sensitivity, specificity and positive predictivity at a threshold that was chosen before.

    Args:
        threshold: Rows of at least this score are taken to be positive.
    """

    def of(counts: Floats, weights: Floats, at: Bools) -> Floats:
        found: Floats = (weights @ (counts * at)) / (weights @ at.astype(np.float64))
        return found

    def sensitivity(outcome: Binary, weights: Floats) -> Floats:
        return of((outcome.score >= threshold).astype(np.float64), weights, outcome.truth == 1)

    def specificity(outcome: Binary, weights: Floats) -> Floats:
        return of((outcome.score < threshold).astype(np.float64), weights, outcome.truth == 0)

    def ppv(outcome: Binary, weights: Floats) -> Floats:
        return of(outcome.truth, weights, outcome.score >= threshold)

    return (
        Metric("sensitivity", "sensitivity", "larger", sensitivity, one_class),
        Metric("specificity", "specificity", "larger", specificity, one_class),
        Metric("ppv", "PPV", "larger", ppv, lambda outcome, w: "no row reaches the threshold"),
    )


def expit(z: Floats) -> Floats:
    """Return the chances of log odds, at any size of them."""
    return 0.5 * (1 + np.tanh(z / 2))


def best_threshold(outcome: Binary, weights: ArrayLike | None = None) -> float | None:
    """Return the score at which min(sensitivity, positive predictivity) is largest; None where there is one class.

    Of several, the largest. It is to be chosen on other rows than those which it is then measured on.
    """
    row = held_weights(weights, outcome.n_rows)
    if not row.any() or outcome.one_class(row):
        return None
    with np.errstate(invalid="ignore"):
        precision, recall = _precision_and_recall(outcome, row[None])
    best = int(np.minimum(precision, recall)[0, 1:].argmax())
    return float(outcome.score[outcome.order[outcome.ends[best]]])
