"""`tawt evaluate`: how well runs answer a task, beside what is simpler, on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.config.base import one_or_more
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.errors import ConfigError, nearest
from tawt.evaluation.baselines import BASELINES, Rows, baseline
from tawt.evaluation.baselines import Task as BaselineTask
from tawt.evaluation.predictions import Kind, Predictions, read_predictions, write_predictions
from tawt.evaluation.resample import N_DRAWS
from tawt.evaluation.table import Comparison, compare
from tawt.files import digest, made_folder, write_sealed
from tawt.heads.labels import LabelSet, label_file, read_labels
from tawt.heads.task import TaskSpec
from tawt.pipeline.stale import hold_fresh
from tawt.runs.answer import LoadedTask, answer, load_task
from tawt.runs.find import find_run
from tawt.runs.load import same_vocabulary
from tawt.seals import sha256_file
from tawt.training.device import choose_compute

_KIND: dict[str, Kind] = {
    "binary": "binary", "labels": "multilabel", "classes": "multiclass", "numbers": "regression", "time": "survival",
}  # fmt: skip
_BASELINE: dict[str, BaselineTask] = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation found, and where it was written."""

    comparison: Comparison
    """Runs and baselines beside one another."""
    folder: Path
    """Holds `evaluation.json`, `evaluation.txt`, and the predictions of each model."""
    notes: tuple[str, ...]
    """What is to be known beside."""


def evaluate(
    workspace: Path,
    task: str | Path,
    runs: str | Path | Sequence[str | Path],
    *,
    split: str = "held_out",
    baselines: str | Sequence[str] | None = None,
    kind: Any = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
    stale_ok: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> EvaluateResult:
    """Measure runs on a split that they did not learn from, beside baselines fitted to the same training labels.

    Args:
        workspace: Holds `dataset/`.
        task: Name of a label set in WORKSPACE/labels, or a Parquet file of labels.
        runs: Runs of `tawt finetune`; the first is what the others are compared with.
        split: Whose labels are asked about.
        baselines: Names; None = all that belong to the kind of task and are installed.
        kind: What is asked, where the columns of the labels leave it open.
        n_draws: Draws of subjects for intervals.
        seed: Of the draws and the baselines.
        device: auto, cpu, cuda or cuda:N.
        out: A folder; default WORKSPACE/evaluations/TASK.
        stale_ok: Measure also on a dataset that is older than what it was made from.
        report: Hears which model is at work, and notes.

    Raises:
        CheckpointError: A run is absent or broken, learned no task, or has another vocabulary.
        ConfigError: The labels do not hold, a run answers another kind of task, or a baseline is none.
        DatasetError: The dataset is absent or broken, or lacks the split.
        StaleError: The dataset is older than what it was made from.
        DeviceError: The device is not there.
    """
    workspace = Path(workspace)
    tell = report if report is not None else lambda event: None
    labels, dataset = read_labels(label_file(workspace, task), kind), open_dataset(workspace)
    hold_fresh(workspace, stale_ok, lambda text: tell({"event": "note", "text": text}))
    chosen = dataset.split(split)
    folders = [find_run(workspace, run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    if not folders:
        raise ConfigError("--run", "names no run, expected one at least", "give a run of `tawt finetune`")
    place = Path(out) if out is not None else workspace / "evaluations" / labels.name
    models: dict[str, Predictions] = {}
    notes: list[str] = []
    with made_folder(place):
        for folder in folders:
            tell({"event": "model", "name": folder.name})
            loaded = load_task(folder)
            same_vocabulary(str(folder), loaded.loaded.vocabulary, dataset.vocabulary, workspace)
            if loaded.spec.kind != labels.kind:
                raise ConfigError(
                    str(folder), f"answers a task of kind {loaded.spec.kind}, expected {labels.kind} as {labels.name}"
                )
            compute = choose_compute(device, loaded.loaded.config.train.precision, loaded.loaded.config.train.threads)
            rows, said, n_unseen = answer(loaded, chosen, labels, compute)
            if n_unseen:
                notes.append(f"{folder.name}: {n_unseen:,} rows of whom nothing was known are answered by the rates")
            models[folder.name] = _written(
                place, folder.name, labels, rows, said.astype(np.float64), loaded.spec, _hash(loaded)
            )
        for name, told in _baselines(dataset, labels, split, baselines, _KIND[labels.kind], seed, tell, notes):
            rows = np.flatnonzero(np.isin(labels.subject_id, chosen.subject_ids))
            spec = load_task(folders[0]).spec
            models[name] = _written(place, name, labels, rows, told, spec, digest([name, seed]))
        found = compare(models, folders[0].name, n_draws=n_draws, seed=seed)
        write_sealed(place / "evaluation.json", found.to_json())
        (place / "evaluation.txt").write_text(found.text(), encoding="utf-8")
    return EvaluateResult(found, place, tuple(notes))


def _hash(task: LoadedTask) -> str:
    return sha256_file(task.loaded.weights)


def _baselines(
    dataset: TripletDataset,
    labels: LabelSet,
    split: str,
    wanted: str | Sequence[str] | None,
    kind: Kind,
    seed: int,
    tell: Callable[[dict[str, Any]], None],
    notes: list[str],
) -> Iterable[tuple[str, Floats]]:
    """Yield what each baseline says of the split."""
    names = [*BASELINES] if wanted is None else one_or_more(wanted)
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"--baseline {name}", "is none, expected one that there is", nearest(name, BASELINES))
    if kind not in _BASELINE:
        if names:
            notes.append(f"there are no baselines of {kind} yet: runs are beside one another alone")
        return
    inside = [np.isin(labels.subject_id, dataset.split(name).subject_ids) for name in ("train", "tuning", split)]
    any_of = np.logical_or.reduce(inside)
    truth = labels.value[:, 0]
    rows = Rows(labels.subject_id[any_of], labels.time[any_of], truth[any_of], *(part[any_of] for part in inside))
    for name in names:
        tell({"event": "model", "name": name})
        try:
            yield name, baseline(name, dataset, rows, _BASELINE[kind], seed)
        except ConfigError as error:
            if wanted is not None:
                raise
            notes.append(f"{name} is left out: {error.what}; {error.hint}")


def _written(
    place: Path, name: str, labels: LabelSet, rows: Ints, said: Floats, spec: TaskSpec, model: str
) -> Predictions:
    """Write the predictions of one model, and return them as they are read again."""
    own = labels.rows(rows)
    columns: dict[str, Any] = {"subject_id": own.subject_id, "prediction_time": own.time}
    kind = _KIND[labels.kind]
    names: tuple[str, ...] = ()
    horizons: tuple[float, ...] = ()
    if kind == "binary":
        columns |= {"boolean_value": own.value[:, 0] > 0, "predicted_boolean_probability": said.reshape(-1)}
    elif kind == "multiclass":
        names = spec.outputs
        columns |= {
            "categorical_value": [labels.classes[int(i)] for i in own.value[:, 0]],
            "predicted_categorical_probabilities": said.tolist(),
        }
    elif kind == "multilabel":
        names = spec.outputs
        truth = np.full((len(own), len(names)), np.nan)
        for i, one in enumerate(labels.asked):
            truth[:, names.index(one)] = own.value[:, i]
        told = [[None if np.isnan(x) else x for x in row] for row in truth.tolist()]
        columns |= {"multilabel_value": told, "predicted_multilabel_probabilities": said.tolist()}
    elif kind == "regression":
        columns |= {"float_value": own.value[:, 0], "predicted_float_value": said.reshape(len(own), -1)[:, 0]}
    else:
        horizons = spec.edges
        columns |= {
            "time_to_event": own.duration[:, 0], "event_observed": own.value[:, 0] > 0,
            "predicted_risk": 1 - said.mean(1), "predicted_survival": said.tolist(),
        }  # fmt: skip
    path = place / f"{name}.parquet"
    write_predictions(path, columns, kind, model=model, labels=labels.sha256, names=names, horizons=horizons)
    return read_predictions(path)
