"""`tawt evaluate`: how well runs answer a task, beside what is simpler, on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.commands.beside import Beside
from tawt.commands.carried import place_for
from tawt.contracts.workspace import EVALUATIONS
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.evaluation.baselines import Shuffled
from tawt.evaluation.predictions import Kind, Predictions, read_predictions, write_predictions
from tawt.evaluation.resample import N_DRAWS
from tawt.evaluation.table import Comparison, compare
from tawt.figures.common import matplotlib
from tawt.figures.evaluation import plot_models
from tawt.files import digest, made_folder, write_sealed
from tawt.heads.labels import LabelSet, label_file, read_labels
from tawt.heads.task import TaskSpec
from tawt.pipeline.fresh import hold_fresh, hold_labels
from tawt.runs.answer import LoadedTask, answer, load_task
from tawt.runs.find import find_run
from tawt.runs.load import same_vocabulary
from tawt.seals import sha256_file
from tawt.training.device import Compute, choose_compute

_KIND: dict[str, Kind] = {
    "binary": "binary", "labels": "multilabel", "classes": "multiclass", "numbers": "regression", "time": "survival",
}  # fmt: skip


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation found, and where it was written."""

    comparison: Comparison
    """Runs and baselines beside one another."""
    folder: Path
    """Holds `evaluation.json`, `evaluation.txt`, and the predictions of each model."""
    notes: tuple[str, ...]
    """What is to be known beside."""
    shuffled: Shuffled | None = None
    """What the first run's encoder finds in shuffled labels, where that was asked for."""
    plots: tuple[Path, ...] = ()
    """Figures that were drawn."""


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
    plots: bool = False,
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
        plots: Draw ROC, precision and recall, calibration and net benefit, or survival by risk, into the folder.
        stale_ok: Measure also on a dataset or labels that are older than what they were made from.
        report: Hears which model is at work, and notes.

    Raises:
        CheckpointError: A run is absent or broken, learned no task, or has another vocabulary.
        ConfigError: The labels do not hold, a run answers another kind of task, or a baseline is none.
        DatasetError: The dataset is absent or broken, or lacks the split.
        StaleError: The dataset or the labels are older than what they were made from.
        DeviceError: The device is not there.
    """
    workspace = Path(workspace)
    tell = report if report is not None else lambda event: None
    file = label_file(workspace, task)
    hold_labels(workspace, file, stale_ok)
    folders = [find_run(workspace, run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    if not folders:
        raise ConfigError("--run", "names no run, expected one at least", "give a run of `tawt finetune`")
    if plots:
        matplotlib()
    places = [place_for(workspace, folder, tell, stale_ok) for folder in folders]
    datasets = [open_dataset(at) for at in places]
    for at in dict.fromkeys(places):
        hold_fresh(at, stale_ok, lambda text: tell({"event": "note", "text": text}), file)
    labels = read_labels(file, kind)
    place = Path(out) if out is not None else workspace / EVALUATIONS / labels.name
    models: dict[str, Predictions] = {}
    first: tuple[LoadedTask, Compute] | None = None
    asked: Ints = np.empty(0, dtype=np.int64)
    notes: list[str] = []
    with made_folder(place):
        for folder, own in zip(folders, datasets, strict=True):
            tell({"event": "model", "name": folder.name})
            loaded = load_task(folder)
            same_vocabulary(str(folder), loaded.loaded.vocabulary, own.vocabulary, workspace)
            if loaded.spec.kind != labels.kind:
                raise ConfigError(
                    str(folder), f"answers a task of kind {loaded.spec.kind}, expected {labels.kind} as {labels.name}"
                )
            compute = choose_compute(device, loaded.loaded.config.train.precision, loaded.loaded.config.train.threads)
            first = first or (loaded, compute)
            asked, said, n_unseen = answer(loaded, own.split(split), labels, compute)
            if n_unseen:
                notes.append(f"{folder.name}: {n_unseen:,} rows of whom nothing was known are answered by the rates")
            models[folder.name] = _written(
                place, folder.name, labels, asked, said.astype(np.float64), loaded.spec, _hash(loaded)
            )
        assert first is not None, "there is one run at least"
        beside = Beside(datasets[0], labels, split, first[0], first[1], seed, notes.append)
        for name, told in beside.models(baselines, lambda name: tell({"event": "model", "name": name})):
            models[name] = _written(place, name, labels, asked, told, first[0].spec, digest([name, seed]))
        shuffled = beside.shuffled(baselines, n_draws)
        found = compare(models, folders[0].name, n_draws=n_draws, seed=seed)
        told_of = None if shuffled is None else {**asdict(shuffled), "is_at_chance": shuffled.is_at_chance}
        write_sealed(place / "evaluation.json", {**found.to_json(), "shuffled": told_of, "notes": notes})
        (place / "evaluation.txt").write_text(f"{found.text()}{shuffled_text(shuffled)}\n", encoding="utf-8")
        drawn = plot_models(models, place, labels.name) if plots else ()
    return EvaluateResult(found, place, tuple(notes), shuffled, tuple(drawn))


def shuffled_text(found: Shuffled | None) -> str:
    """Return in a line whether a probe of shuffled labels is at chance."""
    if found is None:
        return ""
    low, high = found.interval.low, found.interval.high
    if found.interval.value is None or low is None or high is None:
        return f"shuffled labels: {found.metric} is not defined"
    at = "at chance" if found.is_at_chance else f"not at chance ({found.chance:g}): something tells the labels"
    return f"shuffled labels: {found.metric} {found.interval.value:.3f} ({low:.3f} to {high:.3f}), {at}"


def _hash(task: LoadedTask) -> str:
    return sha256_file(task.loaded.weights)


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
