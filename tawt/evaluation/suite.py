"""Which metrics belong to which kind of prediction."""

from __future__ import annotations

from tawt.evaluation.calibration import CALIBRATION, EVENT_TWO
from tawt.evaluation.classes import OF_CLASSES, OF_LABELS, Classes, Labels, against_the_rest
from tawt.evaluation.measure import Metric, Outcome
from tawt.evaluation.metrics import AUROC, AVERAGE_PRECISION, DISCRIMINATION, PROBABILITY, Binary, event_one
from tawt.evaluation.regression import OF_NUMBERS, Numbers
from tawt.evaluation.survival import OF_SURVIVAL, Survival, at_horizons


def metrics_of(outcome: Outcome, threshold: float | None = None) -> tuple[Metric, ...]:
    """Return all metrics of an outcome's kind.

    Args:
        outcome: What came and what was said.
        threshold: Chosen before, on other rows; with it the two events of PhysioNet-2012 are among those of yes or no.
    """
    match outcome:
        case Binary():
            events = () if threshold is None else (event_one(threshold), EVENT_TWO)
            return (*DISCRIMINATION, *PROBABILITY, *CALIBRATION, *events)
        case Classes() | Labels():
            own = OF_CLASSES if isinstance(outcome, Classes) else OF_LABELS
            return own + against_the_rest(outcome.names, AUROC) + against_the_rest(outcome.names, AVERAGE_PRECISION)
        case Numbers():
            return OF_NUMBERS
        case Survival():
            return OF_SURVIVAL + at_horizons(outcome.horizons)
    raise AssertionError(f"no metrics of {type(outcome).__name__}")
