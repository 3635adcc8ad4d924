"""Whether invented records teach what real ones teach: a task learned from one set, and answered on another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.evaluation.metrics import AUROC, Binary
from tawt.evaluation.regression import SPEARMAN, Numbers
from tawt.fidelity.discriminate import booster, logistic
from tawt.fidelity.groups import Figures, Measure, group_of, told
from tawt.fidelity.summaries import Matrix


@dataclass(frozen=True, eq=False)
class Labelled:
    """Subjects, what is known of them, and what came."""

    features: Matrix
    """`(n, f)`, standardised by the same set in all sets."""
    label: Bools
    """`(n,)`."""
    subject: Ints | None = None
    """`(n,)`, whose each row is; None = no two are one subject's."""

    def place(self) -> Ints:
        """Return the number of each row's subject, from 0 on, `(n,)`."""
        n = len(self.label)
        return np.arange(n) if self.subject is None else np.unique(self.subject, return_inverse=True)[1].reshape(n)


def utility(train: Labelled, test: Labelled, other: Labelled, seed: int = 0) -> dict[str, Measure]:
    """Learn a task of yes or no from real and from invented records. AUROCs; a model is the mean rank of two.

    `trtr` learns from real and is asked about real ones, `tstr` learns from invented ones, `trts` is asked about them,
    `augmented` learns from both. `ratio` is tstr over trtr,
    `kept` the same of what both are above chance, (tstr - .5) / (trtr - .5); `importances` is the rank correlation
    of what trees learned on real and on invented records rest on. Intervals are over the subjects who are asked about.

    Args:
        train: Real, learned from.
        test: Real, asked about.
        other: Invented, or other real ones.
        seed: Of the models.
    """
    both = Labelled(np.concatenate([train.features, other.features]), np.append(train.label, other.label))
    learned = {"trtr": (train, test), "tstr": (other, test), "trts": (train, other), "augmented": (both, test)}
    said = {name: _answers(a, b, seed) for name, (a, b) in learned.items()}
    places = {name: asked.place() for name, (_, asked) in learned.items()}
    groups = {name: group_of(0, 1 + int(place.max(initial=-1)))[place] for name, place in places.items()}

    def without(group: int | None) -> Figures:
        found: dict[str, float | None] = {}
        for name, (_, asked) in learned.items():
            own = groups[name] != (-1 if group is None else group)
            answers = said[name]
            found[name] = None if answers is None else AUROC(Binary(asked.label[own], answers[own])).value
        real, invented = found["trtr"], found["tstr"]
        for name, chance in (("ratio", 0.0), ("kept", 0.5)):
            # what learned nothing from real records keeps nothing of it
            some = real is not None and invented is not None and real > chance
            found[name] = (invented - chance) / (real - chance) if some else None  # type: ignore[operator]
        return found

    found = told(without(None), without, min(1 + int(places[name].max(initial=-1)) for name in ("tstr", "trts")))
    return {**found, "importances": Measure(_importances(train, other, seed))}


def _answers(learned: Labelled, asked: Labelled, seed: int) -> Floats | None:
    if len(np.unique(learned.label)) < 2:
        return None
    trees = booster(learned.features, learned.label, seed).predict(asked.features)
    return _ranks(np.asarray(trees)) + _ranks(logistic(learned.features, learned.label, asked.features, seed))


def _ranks(values: Floats) -> Floats:
    """Return ranks from 0 on; equal values share their mean rank."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(times) - (times + 1) / 2)[place]
    return found


def _importances(train: Labelled, other: Labelled, seed: int) -> float | None:
    if min(len(np.unique(one.label)) for one in (train, other)) < 2:
        return None
    gains = [booster(one.features, one.label, seed).feature_importance("gain") for one in (train, other)]
    return SPEARMAN(Numbers(*gains)).value
