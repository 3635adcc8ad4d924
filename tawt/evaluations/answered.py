"""What one model says of the labels of an evaluation: kept as predictions, with what is settled on tuning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.config.label import LabelConfig
from tawt.config.pipeline import Score
from tawt.contracts.cells import SMALL_CELL
from tawt.evaluation.classes import Columns
from tawt.evaluation.measure import Outcome
from tawt.evaluation.metrics import Binary, best_threshold
from tawt.evaluation.official import OFFICIAL
from tawt.evaluation.predictions import Predictions, read_predictions, write_predictions
from tawt.evaluation.predictions import outcome_of as predicted
from tawt.evaluation.regression import Counts, Numbers
from tawt.evaluation.settle import Settled, interval_width
from tawt.evaluation.withheld import has_small_cell, n_subjects
from tawt.heads.kinds import KINDS, answers
from tawt.heads.label_set import LabelSet
from tawt.heads.task import TaskSpec


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
        return self.is_few(~self.measured)

    def is_few(self, which: Bools) -> bool:
        """Return whether some of the rows, `(n,)`, are of few subjects, or of few with an answer."""
        own = self.labels.rows(self.rows[which])
        if KINDS[self.labels.kind].family == "binary":
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
            low, high = here[:, 0] - width, here[:, 0] + width
            if isinstance(tuning, Counts):  # no count is below 0, and so no row is lost
                low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
            further = {"predicted_float_low": low, "predicted_float_high": high}
        elif isinstance(tuning, Binary) and (at := best_threshold(tuning)) is not None:
            further = {"predicted_boolean_value": here[:, 0] >= at}
        made = self._written(self.folder / f"{name}.parquet", self.measured, said, spec, model, further)
        if isinstance(tuning, Binary) and isinstance(made.outcome, Binary):
            return made, Settled.of(tuning, made.outcome, best)
        return made, None

    def _written(
        self, path: Path, which: Bools, said: Floats, spec: TaskSpec, model: str, further: dict[str, Any]
    ) -> Predictions:
        own, how = self.labels.rows(self.rows[which]), answers(spec, LabelConfig())
        told = how.said(own, said[which], self.horizons)
        columns = {"subject_id": own.subject_id, "prediction_time": own.time} | told.columns | further
        write_predictions(
            path, columns, how.family, model=model, labels=self.labels.sha256, names=told.names, horizons=told.horizons
        )
        return read_predictions(path)


def outcome_of(labels: LabelSet, said: Floats, spec: TaskSpec) -> Outcome:
    """Return what came beside what a model says of the same rows.

    Args:
        labels: `n` rows.
        said: `(n, k)`.
        spec: What the model was asked.
    """
    how = answers(spec, LabelConfig())
    told = how.said(labels, said)
    return predicted(how.family, told.columns, told.names, told.horizons)
