"""What each number of fidelity is called, and which is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tawt.fidelity.groups import Measure

Better = Literal["1", "0", "0.5", "real"]
"""Where a perfect set lies: at 1, at 0, at a half, or where real ones lie."""


@dataclass(frozen=True)
class Metric:
    """A number that tells how like real records invented ones are."""

    title: str
    """What a table calls it."""
    better: Better
    """Where a perfect set of endless size lies."""
    least: float = 0.0
    """No set can have less."""
    most: float = math.inf
    """No set can have more."""
    jumps: bool = False
    """Whether a patient more or less moves it not at all or by a whole data_type: then it has no interval."""

    def bounded(self, one: Measure) -> Measure:
        """Return a measure with an interval that ends where the metric does."""
        if self.jumps and one.low is not None:
            return Measure(one.value, reason="no interval: it counts data_types")
        if one.low is None or one.high is None:
            return one
        return replace(one, low=max(one.low, self.least), high=min(one.high, self.most))


_ANY = -math.inf
_OF_PAIRS = {"cooccurrence": "co-occurrence", "cooccurrence_24h": "co-occurrence within 24 h", "sequence": "sequence"}
METRICS: Mapping[str, Metric] = {
    "prevalence": Metric("prevalence R2", "1", least=_ANY, most=1),
    "prevalence_log": Metric("prevalence R2, log", "1", least=_ANY, most=1),
    "new_types": Metric("data_types that no real one has, share by prevalence", "0"),
    "missing_types": Metric("data_types that are missing, share by prevalence", "0"),
    **{name: Metric(f"{title} R2", "1", least=_ANY, most=1) for name, title in _OF_PAIRS.items()},
    **{f"{name}_false": Metric(f"{title}, share that no real one has", "0") for name, title in _OF_PAIRS.items()},
    "ks": Metric("values, KS, median", "0"),
    "ks_farthest": Metric("values, KS, of the farthest data_type", "0"),
    "ks_weighted": Metric("values, KS, weighted", "0"),
    "ks_above": Metric("values, share beyond real sets' KS", "0", jumps=True),
    "w1": Metric("values, W1 / IQR, median", "0"),
    "w1_weighted": Metric("values, W1 / IQR, weighted", "0"),
    "categories": Metric("categories, total variation", "0"),
    "statuses": Metric("value statuses, total variation", "0"),
    "events": Metric("events of a subject, KS", "0"),
    "span": Metric("span, KS", "0"),
    "gaps": Metric("gaps, KS", "0"),
    "gaps_by_type": Metric("gaps of each data_type, KS", "0"),
    "at_once": Metric("events of a moment, KS", "0"),
    "hours": Metric("hour of day, total variation", "0"),
    "weekdays": Metric("day of week, total variation", "0"),
    "autocorrelation": Metric("autocorrelation, gap", "0"),
    "autocorrelation_by_type": Metric("autocorrelation, gap of each data_type", "0"),
    "variogram": Metric("variogram, gap", "0"),
    "recurrence": Metric("recurrence, gap", "0"),
    "correlation": Metric("correlation of summaries, gap", "0"),
    "mmd": Metric("MMD squared", "0", least=_ANY),
    "precision": Metric("precision", "real"),
    "recall": Metric("recall", "real"),
    "density": Metric("density", "real"),
    "coverage": Metric("coverage", "real"),
    "discriminator": Metric("discriminator AUROC", "0.5", most=1),
    "trtr": Metric("AUROC, learned and asked on real ones", "real"),
    "tstr": Metric("AUROC, learned from the set", "real"),
    "trts": Metric("AUROC, asked on the set", "real"),
    "augmented": Metric("AUROC, learned from both", "real"),
    "ratio": Metric("AUROC learned from the set / from real ones", "1"),
    "kept": Metric("AUROC above chance that is kept", "1", least=_ANY),
    "importances": Metric("rank correlation of importances", "real"),
}


def metric_of(name: str) -> Metric:
    """Return the metric of a number, `discriminator_NAME` and `NAME:TASK` among them."""
    what, _, task = name.partition(":")
    if what.startswith("discriminator_"):
        own = METRICS["discriminator"]
        return replace(own, title=f"{own.title}, {what.removeprefix('discriminator_')}")
    own = METRICS[what]
    return replace(own, title=f"{own.title}, {task}") if task else own
