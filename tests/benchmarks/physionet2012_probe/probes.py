"""What is fitted on the labels of one draw: logistic regression and boosted trees, and how they are measured."""

from __future__ import annotations

import lightgbm
import numpy as np
from numpy.typing import NDArray
from records import Draw, Floats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

STRENGTHS = 10.0 ** np.arange(-4, 2.1, 0.5)
"""Candidates for C, the inverse of the penalty."""
N_FOLDS = 5
TREES = {
    "objective": "binary", "metric": "auc", "num_leaves": 15, "min_child_samples": 40, "feature_fraction": 0.3,
    "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0, "learning_rate": 0.025, "verbosity": -1,
    "num_threads": 1, "deterministic": True,
}  # fmt: skip
MOST_TREES, PATIENCE = 2000, 150

Truth = NDArray[np.bool_]


def logistic_regression(x: Floats, died: Truth, draw: Draw) -> tuple[Floats, float]:
    """Return the scores of the test stays and the C that cross-validation chose by log loss within the labelled stays."""
    x_fit, y = x[draw.fit], died[draw.fit]
    losses = np.zeros(len(STRENGTHS))
    for inside, outside in StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(x_fit, y):
        model = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True)
        for i, c in enumerate(STRENGTHS):
            model.set_params(C=c).fit(x_fit[inside], y[inside])
            losses[i] += log_loss(y[outside], model.predict_proba(x_fit[outside])[:, 1])
            if i and losses[i] > 2 * losses[: i + 1].min():  # weaker penalties only do worse
                losses[i + 1 :] = np.inf
                break
    c = float(STRENGTHS[losses.argmin()])
    model = LogisticRegression(C=c, max_iter=1000).fit(x_fit, y)
    return model.decision_function(x[draw.test]), c


def boosted_trees(x: Floats, died: Truth, draw: Draw) -> tuple[Floats, int]:
    """Return the scores of the test stays and the number of trees, which the AUROC of further labelled stays chose."""
    fit, stop = (lightgbm.Dataset(x[rows], died[rows].astype(int)) for rows in (draw.fit, draw.stop))
    booster = lightgbm.train(
        {**TREES, "seed": 0},
        fit,
        MOST_TREES,
        valid_sets=[stop],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return np.asarray(booster.predict(x[draw.test])), int(booster.best_iteration)


def centred(embedding: Floats) -> Floats:
    """Subtract the mean; the scale of each number stays, for those that hardly vary are noise."""
    return embedding - embedding.mean(0)


def flagged(features: Floats, fit: NDArray[np.int64]) -> Floats:
    """Standardize features by the labelled stays, put the mean where one is missing, and add a flag for it."""
    missing = np.isnan(features)
    seen = np.where(missing[fit], np.nan, features[fit])
    count = np.maximum((~missing[fit]).sum(0), 1)
    mean = np.nansum(seen, 0) / count
    spread = np.sqrt(np.nansum((seen - mean) ** 2, 0) / count)
    spread[spread < 1e-6] = 1.0
    filled = np.where(missing, 0.0, np.clip((features - mean) / spread, -8, 8))
    return np.concatenate((filled, missing[:, missing[fit].any(0)] - missing[fit].mean(0)[missing[fit].any(0)]), 1)


def measure(score: Floats, died: Truth, draw: Draw) -> tuple[float, float]:
    """Return AUROC and average precision on the test stays."""
    truth = died[draw.test]
    return float(roc_auc_score(truth, score)), float(average_precision_score(truth, score))
