"""Whether a model can learn to tell invented records from real ones: it is asked about subjects that it did not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.evaluation.baselines import lightgbm_module, sklearn_module
from tawt.evaluation.metrics import AUROC, Binary
from tawt.fidelity.groups import Figures, Measure, group_of, told, without_group
from tawt.fidelity.summaries import Matrix

N_FOLDS = 5
UNLEARNED = "cannot tell: what learns to tell the sets apart learned nothing of so few"
Model = Callable[[Matrix, Bools, Matrix, int], Floats]
"""Features `(m, f)` that are learned from, which of them are invented, features that are asked about, and a seed ->
scores, larger = rather invented."""
_STRENGTH = 1e-2
_TREES = {
    "objective": "binary", "num_leaves": 15, "min_child_samples": 20, "feature_fraction": 0.3, "learning_rate": 0.1,
    "lambda_l2": 5.0, "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True,
}  # fmt: skip
_N_TREES = 100


def logistic(x: Matrix, truth: Bools, asked: Matrix, seed: int) -> Floats:
    """Fit logistic regression of one penalty; features are standardised already."""
    model = sklearn_module("linear_model").LogisticRegression(C=_STRENGTH, max_iter=500).fit(x, truth)
    return np.asarray(model.decision_function(asked), dtype=np.float64)


def boosted(x: Matrix, truth: Bools, asked: Matrix, seed: int) -> Floats:
    """Fit LightGBM, 100 trees."""
    return np.asarray(booster(x, truth, seed).predict(asked), dtype=np.float64)


def booster(x: Matrix, truth: Bools, seed: int) -> Any:
    """Return LightGBM's booster of yes or no."""
    lightgbm = lightgbm_module()
    return lightgbm.train({**_TREES, "seed": seed}, lightgbm.Dataset(x, truth.astype(np.float64)), _N_TREES)


MODELS: Mapping[str, Model] = {"logistic": logistic, "boosted": boosted}


def folds(n: int) -> Ints:
    """Return the fold of each of `n` subjects; a group of the intervals lies in one."""
    return group_of(0, n) % N_FOLDS


def scored(model: Model, real: Matrix, other: Matrix, seed: int = 0) -> tuple[Floats, Floats]:
    """Return scores of both sets, `(n,)` and `(m,)`, each by a model that did not see the subject.

    Args:
        model: What learns.
        real: `(n, f)`.
        other: `(m, f)`.
        seed: Of the model.
    """
    found = np.empty(len(real)), np.empty(len(other))
    of = folds(len(real)), folds(len(other))
    for fold in range(N_FOLDS):
        inside = [own != fold for own in of]
        x = np.concatenate([real[inside[0]], other[inside[1]]])
        truth = np.repeat([False, True], [inside[0].sum(), inside[1].sum()])
        said = model(x, truth, np.concatenate([real[~inside[0]], other[~inside[1]]]), seed)
        found[0][~inside[0]], found[1][~inside[1]] = np.split(said, [int((~inside[0]).sum())])
    return found


def told_apart(real: Floats, other: Floats) -> Measure:
    """Return how well scores tell the sets apart, as an AUROC: 0.5 = not at all.

    Whatever gives the scores, each has to be of a model that did not learn from the subject. One score for all is of a
    model that learned nothing: that it tells nobody apart says nothing of the sets.

    Args:
        real: `(n,)`.
        other: `(m,)`, larger = rather invented.
    """

    both = np.concatenate([real, other])
    if len(both) and (both == both[0]).all():
        return Measure(None, reason=UNLEARNED)

    def without(group: int | None) -> Figures:
        sides = [one[without_group(len(one), group)] for one in (real, other)]
        truth = np.repeat([0, 1], [len(side) for side in sides])
        return {"auroc": AUROC(Binary(truth, np.concatenate(sides))).value}

    return told(without(None), without, min(len(real), len(other)))["auroc"]
