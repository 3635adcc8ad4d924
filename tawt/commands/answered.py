"""What one model says of the labels of an evaluation: kept as predictions, with what is settled on tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.config.pipeline import Score
from tawt.contracts.cells import SMALL_CELL
from tawt.evaluation.classes import Classes, Columns, Labels
from tawt.evaluation.horizons import survival_at
from tawt.evaluation.measure import Outcome
from tawt.evaluation.metrics import Binary, best_threshold
from tawt.evaluation.official import OFFICIAL
from tawt.evaluation.predictions import Kind, Predictions, read_predictions, write_predictions
from tawt.evaluation.regression import Numbers
from tawt.evaluation.settle import Settled, interval_width
from tawt.evaluation.survival import Survival
from tawt.evaluation.withheld import has_small_cell, n_subjects
from tawt.heads.labels import LabelSet
from tawt.heads.task import TaskSpec

_KIND: dict[str, Kind] = {
    "binary": "binary", "labels": "multilabel", "classes": "multiclass", "numbers": "regression", "time": "survival",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """The labels that all models of an evaluation answer."""

    labels: LabelSet
    rows: Ints
    """`(n,)`, those of the labels that are asked about."""
    measured: Bools
    """`(n,)`, whether a row is of the split that is measured; the others are of tuning."""
    folder: Path
    """Where predictions go; those of tuning into a folder `tuning` in it."""
    horizons: tuple[float, ...] = ()
    """Hours at which a time to an event is measured; none = those that the run learned."""
    score: Score | None = None
    """The official score that the labels have; of yes or no alone."""

    @property
    def few_tuning(self) -> bool:
        """Whether what comes of tuning is of few subjects, or of few with an answer."""
        own = self.labels.rows(self.rows[~self.measured])
        if self.labels.kind == "binary":
            return has_small_cell(Binary(own.value[:, 0], own.value[:, 0]), own.subject_id)
        return 0 < n_subjects(own.subject_id, np.ones(len(own), dtype=bool)) <= SMALL_CELL

    def told(self, one: Predictions) -> Predictions:
        """Return predictions whose answers are called by the names that may be told."""
        if not isinstance(one.outcome, Columns):
            return one
        return replace(one, outcome=one.outcome.called(self.labels.named(one.outcome.names)))

    def answered(self, name: str, said: Floats, spec: TaskSpec, model: str) -> tuple[Predictions, Settled | None]:
        """Write what a model says, and settle what is to be settled on tuning.

        Args:
            name: Of the model.
            said: `(n, k)`.
            spec: What it was asked.
            model: Hash of what predicts.

        Returns:
            The predictions of the split that is measured, as they are read again; and what was settled, of yes or no.
        """
        further: dict[str, Any] = {}
        said, tuning, best = said.reshape(len(self.rows), -1), None, None
        if not self.measured.all():
            (self.folder / "tuning").mkdir(exist_ok=True)
            kept = self._written(self.folder / "tuning" / f"{name}.parquet", ~self.measured, said, spec, model, {})
            tuning, best = kept.outcome, None if self.score is None else OFFICIAL[self.score].threshold(kept)
        here = said[self.measured]
        if isinstance(tuning, Numbers) and np.isfinite(width := interval_width(tuning)):
            further = {"predicted_float_low": here[:, 0] - width, "predicted_float_high": here[:, 0] + width}
        elif isinstance(tuning, Binary) and (at := best_threshold(tuning)) is not None:
            further = {"predicted_boolean_value": here[:, 0] >= at}
        made = self._written(self.folder / f"{name}.parquet", self.measured, said, spec, model, further)
        if isinstance(tuning, Binary) and isinstance(made.outcome, Binary):
            return made, Settled.of(tuning, made.outcome, best)
        return made, None

    def _written(
        self, path: Path, which: Bools, said: Floats, spec: TaskSpec, model: str, further: dict[str, Any]
    ) -> Predictions:
        own, kind, here = self.labels.rows(self.rows[which]), _KIND[self.labels.kind], said[which]
        columns: dict[str, Any] = {"subject_id": own.subject_id, "prediction_time": own.time}
        names: tuple[str, ...] = ()
        horizons: tuple[float, ...] = ()
        if kind == "binary":
            columns |= {"boolean_value": own.value[:, 0] > 0, "predicted_boolean_probability": here[:, 0]}
        elif kind == "multiclass":
            names = spec.outputs
            columns |= {
                "categorical_value": [self.labels.classes[int(i)] for i in own.value[:, 0]],
                "predicted_categorical_probabilities": here.tolist(),
            }
        elif kind == "multilabel":
            names = spec.outputs
            truth = _placed(own, names)
            told = [[None if np.isnan(x) else x for x in row] for row in truth.tolist()]
            columns |= {"multilabel_value": told, "predicted_multilabel_probabilities": here.tolist()}
        elif kind == "regression":
            columns |= {"float_value": own.value[:, 0], "predicted_float_value": here[:, 0]}
        else:
            horizons = self.horizons or spec.edges
            at = survival_at(np.array(spec.edges), here, np.array(horizons))
            columns |= {
                "time_to_event": own.duration[:, 0], "event_observed": own.value[:, 0] > 0,
                "predicted_risk": 1 - here.mean(1), "predicted_survival": at.tolist(),
            }  # fmt: skip
        write_predictions(
            path, columns | further, kind, model=model, labels=self.labels.sha256, names=names, horizons=horizons
        )
        return read_predictions(path)


def outcome_of(labels: LabelSet, said: Floats, spec: TaskSpec) -> Outcome:
    """Return what came beside what a model says of the same rows.

    Args:
        labels: `n` rows.
        said: `(n, k)`.
        spec: What the model was asked.
    """
    match labels.kind:
        case "binary":
            return Binary(labels.value[:, 0], said[:, 0])
        case "labels":
            return Labels(_placed(labels, spec.outputs), said, spec.outputs)
        case "classes":
            return Classes(labels.value[:, 0], said / said.sum(1, keepdims=True))
        case "numbers":
            return Numbers(labels.value[:, 0], said[:, 0])
        case "time":
            return Survival(labels.duration[:, 0], labels.value[:, 0], 1 - said.mean(1), spec.edges, said)


def _placed(labels: LabelSet, names: Sequence[str]) -> Floats:
    """Return the answers in the order of a head's outputs, `(n, k)`; NaN = not known."""
    truth = np.full((len(labels), len(names)), np.nan)
    for i, one in enumerate(labels.asked):
        truth[:, names.index(one)] = labels.value[:, i]
    return truth
