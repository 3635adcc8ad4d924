"""Metrics of one class out of several, and of several yes-or-no labels: each against the rest, and all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Bools, Floats, Ints
from tawt.errors import ContractError
from tawt.evaluation.measure import Metric, mean_of, numbers
from tawt.evaluation.metrics import AUROC, AVERAGE_PRECISION, LEAST, Binary

_NEAR_ONE = 1e-3
"""How far the sum of the probabilities of a row may be from 1."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Whether each of `c` things came, and the score of each, of `n` rows; of some it may not be known."""

    truth: Floats
    """`(n, c)`, 1 or 0; NaN where it is not known."""
    score: Floats
    """`(n, c)`."""
    names: tuple[str, ...]
    """`c` names."""

    @property
    def n_rows(self) -> int:
        """`n`."""
        return len(self.truth)

    def lacks(self, weights: Floats) -> str:
        """Return why nothing can be measured; "" where it can."""
        return "" if weights.any() else "no rows"

    def called(self, names: Mapping[str, str]) -> Self:
        """Return it with its columns under other names."""
        other = copy(self)
        object.__setattr__(other, "names", tuple(names[name] for name in self.names))
        return other

    @cached_property
    def parts(self) -> tuple[tuple[Ints, Binary], ...]:
        """Of each column the rows in which it is known, and those as a yes or no."""
        known = [np.flatnonzero(~np.isnan(column)) for column in self.truth.T]
        return tuple((at, Binary(self.truth[at, i], self.score[at, i])) for i, at in enumerate(known))

    @cached_property
    def together(self) -> tuple[Ints, Binary]:
        """All cells that are known, laid end to end: the row of each, and those as a yes or no."""
        rows = np.concatenate([at for at, _ in self.parts])
        truth = np.concatenate([part.truth for _, part in self.parts])
        return rows, Binary(truth, np.concatenate([part.score for _, part in self.parts]))

    def one_class(self, weights: Floats) -> str:
        """Return how many of the columns have one class only."""
        few = [not weights[at].any() or bool(part.one_class(weights[at])) for at, part in self.parts]
        return f"one class in {sum(few)} of {len(few)} columns" if any(few) else ""


@dataclass(frozen=True, eq=False)
class Labels(Columns):
    """Several labels of each row, of which any number may be true."""

    def __init__(self, truth: ArrayLike, score: ArrayLike, names: Sequence[str] = ()) -> None:
        """Hold both to what they are to be.

        Args:
            truth: `(n, c)`, 1 or 0, or NaN where a label is not known.
            score: `(n, c)`, finite.
            names: Of the labels; () = their numbers.

        Raises:
            ContractError: They differ in shape, or hold something else.
        """
        scores = numbers(score, "score", n_dims=2)
        told = np.array(truth, dtype=np.float64)
        if told.shape != scores.shape or not scores.shape[1]:
            raise ContractError("score", f"is {scores.shape}, expected {told.shape} and at least one column")
        if n_other := int((~(np.isin(told, (0, 1)) | np.isnan(told))).sum()):
            raise ContractError("truth", f"has {n_other:,} values beside 0, 1 and unknown, expected none")
        _fill(self, told, scores, names)


@dataclass(frozen=True, eq=False)
class Classes(Columns):
    """One class of each row out of `c`, and a probability of each."""

    number: Ints
    """`(n,)`, the class that came, from 0."""

    def __init__(self, number: ArrayLike, score: ArrayLike, names: Sequence[str] = ()) -> None:
        """Hold both to what they are to be.

        Args:
            number: `(n,)`, the class that came, from 0.
            score: `(n, c)`, probabilities that sum to 1 in each row.
            names: Of the classes; () = their numbers.

        Raises:
            ContractError: They differ in length, a class has no column, or the scores are no probabilities.
        """
        scores = numbers(score, "score", n_dims=2)
        told = numbers(number, "truth", len(scores))
        n_classes = scores.shape[1]
        if n_other := int((~np.isin(told, np.arange(n_classes))).sum()):
            raise ContractError("truth", f"has {n_other:,} classes without a column, expected 0 to {n_classes - 1}")
        apart = (scores < 0).any(1) | (np.abs(scores.sum(1) - 1) > _NEAR_ONE)
        if apart.any():
            raise ContractError("score", f"has {int(apart.sum()):,} rows that are no probabilities, expected sums of 1")
        object.__setattr__(self, "number", told.astype(np.int64))
        _fill(self, (told[:, None] == np.arange(n_classes)).astype(np.float64), scores, names)

    @cached_property
    def is_right(self) -> Floats:
        """`(n,)`, the share of the largest probabilities that is the class which came: 1 or 0 where one is largest."""
        largest = self.score == self.score.max(1, keepdims=True)
        return (largest & (self.truth == 1)).sum(1) / largest.sum(1)


def _fill(columns: Columns, truth: Floats, score: Floats, names: Sequence[str]) -> None:
    named = tuple(names) or tuple(str(i) for i in range(score.shape[1]))
    if len(named) != score.shape[1] or len({*named}) != len(named):
        raise ContractError("names", f"are {len({*named})} different ones, expected {score.shape[1]}")
    for name, value in (("truth", truth), ("score", score), ("names", named)):
        object.__setattr__(columns, name, value)


def _macro(metric: Metric) -> Callable[[Columns, Floats], Floats]:
    def score(outcome: Columns, weights: Floats) -> Floats:
        total = np.zeros(len(weights))
        for at, part in outcome.parts:
            total += metric.score(part, weights[:, at])
        return total / len(outcome.parts)

    return score


def _micro(metric: Metric) -> Callable[[Columns, Floats], Floats]:
    def score(outcome: Columns, weights: Floats) -> Floats:
        rows, part = outcome.together
        return metric.score(part, weights[:, rows])

    return score


def _lacking(outcome: Columns, weights: Floats) -> str:
    return outcome.one_class(weights)


def against_the_rest(names: Sequence[str], metric: Metric) -> tuple[Metric, ...]:
    """Return a metric of yes or no as one of each of the named columns against the rest."""

    def one(i: int, name: str) -> Metric:
        def score(outcome: Columns, weights: Floats) -> Floats:
            at, part = outcome.parts[i]
            return metric.score(part, weights[:, at])

        def why(outcome: Columns, weights: Floats) -> str:
            at, part = outcome.parts[i]
            own = weights[at]
            return part.lacks(own) or (metric.why(part, own) if metric.why else "")

        return Metric(f"{metric.name}:{name}", f"{metric.title}, {name}", metric.better, score, why)

    return tuple(one(i, name) for i, name in enumerate(names))


def _kept(outcome: Classes) -> Floats:
    at: Bools = outcome.truth == 1
    return np.clip(outcome.score[at], LEAST, 1.0)


MACRO_AUROC = Metric("macro_auroc", "AUROC, macro", "larger", _macro(AUROC), _lacking)
MICRO_AUROC = Metric("micro_auroc", "AUROC, micro", "larger", _micro(AUROC), _lacking)
MACRO_AP = Metric("macro_average_precision", "AP, macro", "larger", _macro(AVERAGE_PRECISION), _lacking)
MICRO_AP = Metric("micro_average_precision", "AP, micro", "larger", _micro(AVERAGE_PRECISION), _lacking)
ACCURACY = Metric("accuracy", "accuracy", "larger", lambda outcome, weights: mean_of(outcome.is_right, weights))
CLASSES_LOG_LOSS = Metric(
    "log_loss", "log loss", "smaller", lambda outcome, weights: mean_of(-np.log(_kept(outcome)), weights)
)
CLASSES_BRIER = Metric(
    "brier", "Brier", "smaller",
    lambda outcome, weights: mean_of(((outcome.score - outcome.truth) ** 2).sum(1), weights),
)  # fmt: skip

OF_LABELS = (MACRO_AUROC, MICRO_AUROC, MACRO_AP, MICRO_AP)
"""Of several labels. The macro is the plain mean of all columns, and none where one of them has no number."""
OF_CLASSES = (*OF_LABELS, ACCURACY, CLASSES_LOG_LOSS, CLASSES_BRIER)
"""Of one class out of several, each against the rest. Brier is the sum over the classes: 0 to 2."""
