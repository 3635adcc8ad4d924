"""What is simpler than an encoder, on the same rows: prevalence, demographics, missingness, regression, boosted trees.

scikit-learn and LightGBM come with an extra and are imported when they are needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.chance import Salt, shuffled
from tawt.dataset.reader import TripletDataset
from tawt.errors import ConfigError, ContractError, nearest
from tawt.evaluation.families import Family, measures_of
from tawt.evaluation.features import ROWS_AT_ONCE, Features, Recipe, features_at
from tawt.evaluation.measure import Outcome
from tawt.evaluation.resample import N_DRAWS, Interval, draws_of, intervals
from tawt.evaluation.rows import Rows

Task = Literal["binary", "classes", "numbers"]
"""Families of which one model answers all that is asked."""
_STRENGTHS, _USUAL_STRENGTH = 10.0 ** np.arange(-4, 2.1, 0.5), 1e-2
_N_FOLDS, _MOST_TREES, _PATIENCE, _USUAL_TREES = 5, 2000, 150, 300
_TREES = {
    "num_leaves": 15, "min_child_samples": 40, "feature_fraction": 0.3, "bagging_fraction": 0.8, "bagging_freq": 1,
    "lambda_l2": 5.0, "learning_rate": 0.025, "verbosity": -1, "num_threads": 1, "deterministic": True,
    "force_row_wise": True,
}  # fmt: skip
_ALARM = 0.99
"""Level of the interval of shuffled labels: one of a hundred honest ones is off."""
_OBJECTIVES = {
    "binary": ("binary", "binary_logloss"),
    "classes": ("multiclass", "multi_logloss"),
    "numbers": ("l2", "l2"),
}


Say = Callable[[Floats], Floats]
"""Features `(m, f)` -> what is predicted of them: `(m,)`, or `(m, c)` of several classes."""


def prevalence(x: Floats, rows: Rows, task: Task, seed: int) -> Say:
    """Predict the same for all: the share of each class, or the mean, among what is learned from."""
    y = rows.truth[rows.fit]
    if task != "classes":
        mean = y.mean()
        return lambda asked: np.full(len(asked), mean)
    share = np.bincount(y.astype(np.int64), minlength=rows.n_classes) / len(y)
    return lambda asked: np.tile(share, (len(asked), 1))


def regression(x: Floats, rows: Rows, task: Task, seed: int, strength: float | None = None) -> Say:
    """Logistic regression, or ridge of numbers; the penalty by cross-validated loss on what is learned from.

    Features are standardized by what is learned from; where one is missing it has its mean and a flag says so.
    `strength` is the inverse of a penalty that was chosen already.
    """
    models = sklearn_module("linear_model")
    y, flags = rows.truth[rows.fit], flags_by(x[rows.fit])
    if task != "numbers" and len(np.unique(y)) < 2:
        return prevalence(x, rows, task, seed)
    x_fit = flags(x[rows.fit])
    if task == "numbers":
        model = models.RidgeCV(alphas=1 / _STRENGTHS[::-1]).fit(x_fit, y)
    else:
        chosen = _strength(x_fit, y, rows.subject_id[rows.fit], seed) if strength is None else strength
        model = models.LogisticRegression(C=chosen, max_iter=1000).fit(x_fit, y)
    if task == "numbers":
        return lambda asked: np.asarray(model.predict(flags(asked)), dtype=np.float64).reshape(len(asked))
    return lambda asked: spread(model.predict_proba(flags(asked)), model.classes_, rows.n_classes, task)


def strength_of(x: Floats, rows: Rows, seed: int) -> float:
    """Return the inverse of the penalty that `regression` would choose."""
    return _strength(flags_by(x[rows.fit])(x[rows.fit]), rows.truth[rows.fit], rows.subject_id[rows.fit], seed)


def _strength(x: Floats, y: Floats, subject: Ints, seed: int) -> float:
    models, selection = sklearn_module("linear_model"), sklearn_module("model_selection")
    fewest = int(np.unique(y, return_counts=True)[1].min())
    if len(np.unique(y)) < 2 or fewest < 2:
        return _USUAL_STRENGTH
    folds = selection.StratifiedGroupKFold(min(_N_FOLDS, fewest), shuffle=True, random_state=seed)
    losses = np.zeros(len(_STRENGTHS))
    for inside, outside in folds.split(x, y, subject):
        if len(np.unique(y[inside])) < len(np.unique(y)) or not len(outside):
            continue  # a class in one subject alone
        model = models.LogisticRegression(max_iter=200, tol=1e-3, warm_start=True)
        for i, c in enumerate(_STRENGTHS):
            model.set_params(C=c).fit(x[inside], y[inside])
            chance = np.clip(model.predict_proba(x[outside]), 1e-7, 1)
            losses[i] -= np.log(chance[np.arange(len(outside)), np.searchsorted(model.classes_, y[outside])]).sum()
    return float(_STRENGTHS[losses.argmin()])


def trees(x: Floats, rows: Rows, task: Task, seed: int) -> Say:
    """LightGBM; further rows decide when to stop, or there are 300 trees."""
    parts = [(x[part], rows.truth[part]) for part in (rows.fit, rows.stop)]
    more = {"num_class": rows.n_classes} if task == "classes" else {}
    booster = boosted(parts[0], parts[1], task, seed, more)
    return lambda asked: np.asarray(booster.predict(asked), dtype=np.float64)


def boosted(fit: tuple[Any, Floats], stop: tuple[Any, Floats], task: Task, seed: int, more: Mapping[str, Any]) -> Any:
    """Return LightGBM's booster of features, an array or a `lightgbm.Sequence`, and their truth; see `trees`."""
    lightgbm = lightgbm_module()
    objective, metric = _OBJECTIVES[task]
    settings = {**_TREES, "objective": objective, "metric": metric, "seed": seed, **more}
    data = lightgbm.Dataset(*fit)
    if not len(stop[1]) or (task != "numbers" and len(np.unique(stop[1])) < 2):
        return lightgbm.train(settings, data, _USUAL_TREES)
    quiet = [lightgbm.early_stopping(_PATIENCE, verbose=False)]
    return lightgbm.train(settings, data, _MOST_TREES, valid_sets=[data.create_valid(*stop)], callbacks=quiet)


def lightgbm_module() -> Any:
    """Return LightGBM, which has to be installed."""
    try:
        return importlib.import_module("lightgbm")
    except (ModuleNotFoundError, OSError):  # its library may lack what it links to
        raise _lacking("lightgbm") from None


Fit = Callable[[Floats, Rows, Task, int], Say]
"""Features `(n, f)` of rows, the rows, task, seed -> what predicts others by the same features."""
Baselines = Mapping[str, tuple[Recipe | None, Fit]]
"""Name -> what is known of a record, and what is fitted to it."""
_FOUR = "{}, four statistics"


def _baselines(constant: str, linear: str) -> Baselines:
    """Return them by the names of what is fitted: of numbers the linear model is another than of yes or no."""
    models: dict[str, Fit] = {linear: regression, "LightGBM": trees}
    return {
        constant: (None, prevalence),
        "demographics": ("demographics", regression),
        "missingness": ("missingness", trees),
        **{name: ("summaries", fit) for name, fit in models.items()},
        **{_FOUR.format(name): ("four", fit) for name, fit in models.items()},
    }


BASELINES = _baselines("prevalence", "logistic regression")
"""Those that need no weights."""
OF_NUMBERS = _baselines("mean", "ridge regression")
"""The same where numbers are asked for."""


def baselines_of(family: Family) -> Baselines:
    """Return the baselines for a family of measures."""
    return OF_NUMBERS if task_of(family) == "numbers" else BASELINES


def task_of(family: Family) -> Task | None:
    """Return what one baseline is fitted to for a family of measures; None where it takes several."""
    return "numbers" if family == "counts" else next((one for one in get_args(Task) if one == family), None)


def baseline(
    name: str, dataset: TripletDataset, rows: Rows, task: Task = "binary", seed: int = 0, by: Baselines = BASELINES
) -> Floats:
    """Fit one baseline and predict the test rows, in their order.

    Args:
        name: Of `by`.
        dataset: Whose records are looked at, up to each prediction time.
        rows: The labels and their parts.
        task: What is predicted.
        seed: Of all that is drawn.
        by: The baselines that there are.

    Returns:
        `(m,)` chances or numbers, or `(m, c)` chances of several classes.

    Raises:
        ConfigError: There is no such baseline, or its package is not installed.
        ContractError: The labels are not those of the task.
        DatasetError: A subject is not in the dataset.
    """
    if name not in by:
        raise ConfigError(f"baseline {name}", "is none, expected one that there is", nearest(name, by))
    seen = rows.truth[rows.fit | rows.stop]
    if task == "binary" and (n := int((~np.isin(seen, (0, 1))).sum())):
        raise ContractError("truth", f"has {n:,} values beside 0 and 1, expected none")
    if task == "classes" and (n := int(((seen < 0) | (seen % 1 != 0)).sum())):
        raise ContractError("truth", f"has {n:,} values that are no numbers of classes, expected 0, 1, 2 ...")
    recipe, fit = by[name]
    learned = rows.of(learned_from(fit, rows))
    told = features_for(recipe, dataset, learned)
    # nothing is known of anybody, or nobody is asked about
    fit = fit if told.names and rows.test.any() else prevalence
    return said_of_test(fit(told.matrix, learned, task, seed), told.names, recipe, dataset, rows)


def learned_from(fit: Fit, rows: Rows) -> Bools:
    """Return which rows a model looks at to learn: those that it stops by too, where it does."""
    return rows.fit if fit in (regression, prevalence) else rows.fit | rows.stop


def features_for(
    recipe: Recipe | None, dataset: TripletDataset, rows: Rows, at: Ints | slice = slice(None),
    names: Sequence[str] | None = None,
) -> Features:  # fmt: skip
    """Return what a baseline is told of rows; `names` are those of the features that it learned from."""
    subject, time = rows.subject_id[at], rows.prediction_time[at]
    if recipe is None:
        return Features(np.empty((len(subject), 0), dtype=np.float32), ())
    return features_at(dataset, subject, time, recipe, names)


def said_of_test(say: Say, names: Sequence[str], recipe: Recipe | None, dataset: TripletDataset, rows: Rows) -> Floats:
    """Predict the test rows, some at a time: their features are let go, so that memory does not grow with them."""
    at = np.flatnonzero(rows.test)
    parts = [at[i : i + ROWS_AT_ONCE] for i in range(0, max(1, len(at)), ROWS_AT_ONCE)]
    return np.concatenate([say(features_for(recipe, dataset, rows, part, names).matrix) for part in parts])


@dataclass(frozen=True)
class Shuffled:
    """What a model finds where there is nothing to find."""

    metric: str
    """auroc, macro_auroc, spearman or c_index."""
    interval: Interval
    """Of the shuffled labels of the test rows."""
    chance: float
    """What the metric is by chance."""

    @property
    def is_at_chance(self) -> bool | None:
        """Whether the interval holds what chance gives; None where there is none."""
        low, high = self.interval.low, self.interval.high
        return None if low is None or high is None else low <= self.chance <= high


def measured_shuffled(mixed: Outcome, subject_id: Ints, seed: int = 0, n_draws: int = N_DRAWS) -> Shuffled:
    """Measure what any model that was fitted to shuffled labels said of shuffled labels.

    Against their own labels, a model of nothing is still right or wrong throughout where its one feature happens to be
    a strong one.
    """
    metric, chance = measures_of(mixed).by_chance
    found = intervals([metric], mixed, draws_of(subject_id, n_draws, seed), _ALARM)[0]
    return Shuffled(metric.name, found[metric.name], chance)


def with_shuffled_labels(rows: Rows, seed: int) -> Rows:
    """Return the rows with the labels of each part dealt out anew among its own rows."""
    truth = rows.truth.copy()
    for salt, part in enumerate((rows.fit, rows.stop, rows.test)):
        at = np.flatnonzero(part)
        truth[at] = truth[at[shuffled(len(at), Salt.MIXED_ANSWERS, seed, salt)]]
    return Rows(rows.subject_id, rows.prediction_time, truth, rows.fit, rows.stop, rows.test)


def spread(chances: Floats, classes: Floats, n_classes: int, task: Task) -> Floats:
    """Return chances of the classes that a model saw as those of all classes; of yes or no, that of yes."""
    if task == "binary":
        return np.asarray(chances[:, 1], dtype=np.float64)
    out = np.zeros((len(chances), n_classes))
    out[:, classes.astype(np.int64)] = chances
    return out


def flags_by(fit: Floats) -> Callable[[Floats], Floats]:
    """Return what standardizes features by some rows, and flags what is missing: `(n, f)` -> `(n, 2 f)`."""
    missing = np.isnan(fit)
    n = np.maximum((~missing).sum(0), 1)
    mean = np.where(missing, 0.0, fit).sum(0, dtype=np.float64) / n
    spread = np.sqrt((np.where(missing, 0.0, fit - mean) ** 2).sum(0) / n)
    spread[spread < 1e-6] = np.inf  # what does not vary says nothing

    def flags(x: Floats) -> Floats:
        lacks = np.isnan(x)
        return np.concatenate((np.where(lacks, 0.0, (x - mean) / spread), lacks), 1)

    return flags


def sklearn_module(part: str) -> Any:
    """Return a module of scikit-learn, which has to be installed."""
    try:
        return importlib.import_module(f"sklearn.{part}")
    except ModuleNotFoundError:
        raise _lacking("scikit-learn") from None


def _lacking(package: str) -> ConfigError:
    return ConfigError("baselines", f"{package} cannot be imported, expected it", 'pip install "tawt[benchmarks]"')
