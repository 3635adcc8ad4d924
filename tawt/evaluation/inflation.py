"""How much better a probe looks with a leak than without it: the same regression, without some codes or rows."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats
from tawt.evaluation.baselines import flags_by
from tawt.evaluation.features import Features
from tawt.evaluation.metrics import AUROC, Binary
from tawt.labels.leaks.verdict import Inflation

_STRENGTH = 1e-2


def inflation(
    features: Features, truth: Floats, fit: Bools, test: Bools, codes: Collection[str], rows: Bools | None = None,
    others: Collection[str] = (),
) -> Inflation | None:  # fmt: skip
    """Fit logistic regression with and without what leaks.

    Args:
        features: Of `n` rows.
        truth: `(n,)`, 1 or 0.
        fit: `(n,)`, what is learned from.
        test: `(n,)`, what is measured on.
        codes: Those that leak, whose features go.
        rows: `(n,)`, the rows that are honest, where it is rows that leak; None = all.
        others: Codes that leak otherwise, which neither has.

    Returns:
        None where scikit-learn is not installed, or either part has one class alone.
    """
    of = [name.rpartition(":")[0] for name in features.names]
    kept = np.array([one not in codes and one not in others for one in of], dtype=bool)
    more = np.array([one in codes or one not in others for one in of], dtype=bool)
    honest = np.ones(len(truth), dtype=bool) if rows is None else rows
    found = []
    for columns, chosen in ((more, np.ones(len(truth), dtype=bool)), (kept, honest)):
        learned, asked = fit & chosen, test & chosen
        if len(np.unique(truth[learned])) < 2 or len(np.unique(truth[asked])) < 2 or not columns.any():
            return None
        said = probe(features.matrix[:, columns], truth, learned, asked)
        if said is None:
            return None
        value = AUROC(Binary(truth[asked], said)).value
        assert value is not None, "both classes are there"
        found.append(value)
    return Inflation(AUROC.name, *found)


def probe(x: Floats, truth: Floats, fit: Bools, test: Bools) -> Floats | None:
    """Return chances of the test rows by logistic regression of one penalty; None where scikit-learn is not there."""
    try:
        linear: Any = importlib.import_module("sklearn.linear_model")
    except ModuleNotFoundError:
        return None
    flags = flags_by(x[fit])
    model = linear.LogisticRegression(C=_STRENGTH, max_iter=500).fit(flags(x[fit]), truth[fit])
    return np.asarray(model.predict_proba(flags(x[test]))[:, 1], dtype=np.float64)
