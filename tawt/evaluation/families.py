"""Families of measures, by one word each: the columns of their predictions, their metrics, and what chance gives.

What a head can be asked (`tawt.heads.kinds`) names the family that judges it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tawt.errors import ContractError
from tawt.evaluation.calibration import CALIBRATION
from tawt.evaluation.classes import MACRO_AUROC, OF_CLASSES, OF_LABELS, Classes, Labels, against_the_rest
from tawt.evaluation.measure import Metric, Outcome
from tawt.evaluation.metrics import AUROC, AVERAGE_PRECISION, DISCRIMINATION, PROBABILITY, Binary, at_threshold
from tawt.evaluation.regression import OF_COUNTS, OF_NUMBERS, SPEARMAN, Counts, Numbers
from tawt.evaluation.survival import HARRELL, OF_SURVIVAL, Survival, at_horizons

Family = Literal["binary", "labels", "classes", "numbers", "counts", "time"]
Column = Callable[[str], Any]
"""Name of a column -> its rows; None where one that a family may have is not there."""


@dataclass(frozen=True)
class Measures:
    """One family."""

    outcome: type[Outcome]
    """What came and what was said."""
    columns: tuple[str, ...]
    """Those that a file of predictions has."""
    may_have: tuple[str, ...]
    """Those that it may have."""
    read: Callable[[Column, Sequence[str], Sequence[float]], Outcome]
    """Columns, names of classes or labels, horizons -> the outcome."""
    metrics: Callable[[Any], tuple[Metric, ...]]
    """Outcome -> all that is measured."""
    main: tuple[str, ...]
    """What a text shows where nothing else is asked for; JSON has all."""
    by_chance: tuple[Metric, float]
    """What is measured of shuffled labels, and what it is by chance."""


def metrics_of(outcome: Outcome, threshold: float | None = None) -> tuple[Metric, ...]:
    """Return all metrics of an outcome's family.

    Args:
        outcome: What came and what was said.
        threshold: Chosen before, on other rows; what comes of it is among those of yes or no.
    """
    further = () if threshold is None or not isinstance(outcome, Binary) else at_threshold(threshold)
    return (*measures_of(outcome).metrics(outcome), *further)


def measures_of(outcome: Outcome) -> Measures:
    """Return the family of an outcome."""
    return next(one for one in FAMILIES.values() if type(outcome) is one.outcome)


def _binary(column: Column, names: Sequence[str], horizons: Sequence[float]) -> Binary:
    outcome = Binary(column("boolean_value"), column("predicted_boolean_probability"))
    if not outcome.is_probability:
        raise ContractError("predicted_boolean_probability", "is not within 0 and 1, expected probabilities")
    return outcome


def _classes(column: Column, names: Sequence[str], horizons: Sequence[float]) -> Classes:
    known, truth = {name: i for i, name in enumerate(names)}, column("categorical_value")
    if n := sum(value not in known for value in truth):
        raise ContractError("categorical_value", f"has {n:,} rows of no class of the metadata, expected its own")
    return Classes([known[value] for value in truth], column("predicted_categorical_probabilities"), names)


def _labels(column: Column, names: Sequence[str], horizons: Sequence[float]) -> Labels:
    return Labels(column("multilabel_value"), column("predicted_multilabel_probabilities"), names)


def _numbers(column: Column, names: Sequence[str], horizons: Sequence[float]) -> Numbers:
    ends = column("predicted_float_low"), column("predicted_float_high")
    return Numbers(column("float_value"), column("predicted_float_value"), *ends)


def _counts(column: Column, names: Sequence[str], horizons: Sequence[float]) -> Counts:
    found = _numbers(column, names, horizons)
    return Counts(found.truth, found.predicted, found.low, found.high)


def _time(column: Column, names: Sequence[str], horizons: Sequence[float]) -> Survival:
    came = column("time_to_event"), column("event_observed")
    return Survival(*came, column("predicted_risk"), horizons, column("predicted_survival"))


def _each(outcome: Classes | Labels) -> tuple[Metric, ...]:
    return against_the_rest(outcome.names, AUROC) + against_the_rest(outcome.names, AVERAGE_PRECISION)


FAMILIES: dict[Family, Measures] = {
    "binary": Measures(
        Binary, ("boolean_value", "predicted_boolean_probability"), ("predicted_boolean_value",), _binary,
        lambda outcome: (*DISCRIMINATION, *PROBABILITY, *CALIBRATION),
        ("auroc", "average_precision", "prevalence", "brier_skill", "ece", "calibration_slope"), (AUROC, 0.5),
    ),
    "classes": Measures(
        Classes, ("categorical_value", "predicted_categorical_probabilities"), (), _classes,
        lambda outcome: OF_CLASSES + _each(outcome),
        ("macro_auroc", "macro_average_precision", "accuracy", "log_loss"), (MACRO_AUROC, 0.5),
    ),
    "labels": Measures(
        Labels, ("multilabel_value", "predicted_multilabel_probabilities"), (), _labels,
        lambda outcome: OF_LABELS + _each(outcome),
        ("macro_auroc", "micro_auroc", "macro_average_precision", "micro_average_precision"), (MACRO_AUROC, 0.5),
    ),
    "numbers": Measures(
        Numbers, ("float_value", "predicted_float_value"), ("predicted_float_low", "predicted_float_high"), _numbers,
        lambda outcome: OF_NUMBERS, ("mae", "rmse", "r2", "spearman", "coverage"), (SPEARMAN, 0.0),
    ),
    "counts": Measures(
        Counts, ("float_value", "predicted_float_value"), ("predicted_float_low", "predicted_float_high"), _counts,
        lambda outcome: OF_COUNTS, ("poisson_deviance", "mae", "rmse", "r2", "spearman", "coverage"), (SPEARMAN, 0.0),
    ),
    "time": Measures(
        Survival, ("time_to_event", "event_observed"), ("predicted_risk", "predicted_survival"), _time,
        lambda outcome: OF_SURVIVAL + at_horizons(outcome.horizons),
        ("c_index_ipcw", "c_index", "integrated_brier", "d_calibration"), (HARRELL, 0.5),
    ),
}  # fmt: skip
