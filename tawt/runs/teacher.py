"""Self-training: a teacher that learned from the labels answers where there is none, and the run learns from both.

The teacher is the mean of a linear probe of the run's embeddings and, if wanted, of baselines on features, which err
elsewhere. What it says is kept in the run's folder, so that a run that is resumed learns from the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Bools
from tawt.batching.loader import PackedLoader
from tawt.config.label import SelfTrainingConfig
from tawt.dataset.reader import TripletDataset
from tawt.errors import CheckpointError, ConfigError
from tawt.evaluation.baselines import Rows, baseline
from tawt.evaluation.baselines import Task as BaselineTask
from tawt.files import digest, whole
from tawt.heads.probe import fit_probe
from tawt.heads.targets import Targets, Task
from tawt.heads.task import Kind
from tawt.readers import reading
from tawt.runs.load import load_encoder
from tawt.training.device import Compute
from tawt.training.first_head import embed_asked

TEACHER = "teacher.parquet"
"""File of a run folder: what the teacher said of each prediction time that the run learns from."""
_BASELINE: dict[Kind, BaselineTask] = {"binary": "binary", "classes": "multiclass", "numbers": "regression"}
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Taught:
    """What a teacher said."""

    outputs: NDArray[np.float32]
    """`(r, k)`, of each prediction time of the task; NaN where it was not asked."""

    @property
    def sha256(self) -> str:
        """Of what was said."""
        return digest([self.outputs.shape, self.outputs.tobytes().hex()])


def teach(run: Path, task: Task, dataset: TripletDataset, config: SelfTrainingConfig, compute: Compute) -> Taught:
    """Fit the teacher to the training labels, and ask it about all prediction times of train.

    Args:
        run: Whose encoder it reads.
        task: With the prediction times without a label, see `make_task`.
        dataset: Its train split.
        config: Who teaches.
        compute: Where the encoder works.

    Raises:
        CheckpointError: The run is absent or broken.
        ConfigError: A baseline is none, not installed, or answers no task of this kind.
    """
    train = np.isin(task.asked.subject_id, dataset.split("train").subject_ids)
    labelled = train & task.targets.known & ~task.targets.taught
    each = [_of_probe(run, task, dataset, labelled, compute)]
    each += [_of_baseline(name, task, dataset, labelled, train) for name in config.with_baselines]
    # a baseline does not answer those whom it learned from: it knows them by heart
    outputs: NDArray[np.float32] = torch.stack(each).nanmean(0).numpy()
    outputs[~train] = np.nan
    return Taught(outputs)


def with_teacher(task: Task, taught: Taught, config: SelfTrainingConfig) -> Task:
    """Return a task in which what the teacher said is learned where there is no label, and a share of it elsewhere.

    Args:
        task: As of `teach`.
        taught: Of its prediction times.
        config: How much it counts.
    """
    targets = task.targets
    said = ~np.isnan(taught.outputs).any(1)
    truth, watched = task.answers.taught(torch.from_numpy(np.nan_to_num(taught.outputs)))
    soft = said & targets.taught
    mixed = said & ~targets.taught
    share = np.where(soft, 1.0, np.where(mixed, config.of_labels, 0.0))[:, None]
    known = np.where(soft[:, None], config.weight * watched.numpy(), targets.weight)
    new = Targets.of(share * truth.numpy() + (1 - share) * targets.truth, known, task.answers, targets.taught)
    return replace(task, targets=new, spec=task.spec.model_copy(update={"taught_sha256": taught.sha256}))


def write_taught(run: Path, task: Task, taught: Taught) -> None:
    """Keep what a teacher said in the folder of the run."""
    table = pa.table({
        "subject_id": task.asked.subject_id, "prediction_time": pa.array(task.asked.time, pa.timestamp("us")),
        "outputs": pa.array(list(taught.outputs), pa.list_(pa.float32())),
    })  # fmt: skip
    with whole(run / TEACHER) as aside:
        pq.write_table(table, aside, compression="zstd")


def read_taught(run: Path, task: Task) -> Taught:
    """Read what a teacher said when the run began.

    Raises:
        CheckpointError: It is absent or broken, or was asked about other prediction times.
    """
    path = run / TEACHER
    with reading(path, "what the teacher of the run said", "begin the run again, without `--resume`", CheckpointError):
        table = pq.read_table(path, partitioning=None)
        subject, time = table["subject_id"].to_numpy(), table["prediction_time"].cast(pa.int64()).to_numpy()
        outputs = np.array(table["outputs"].to_pylist(), dtype=np.float32)
    if not (np.array_equal(subject, task.asked.subject_id) and np.array_equal(time, task.asked.time)):
        raise CheckpointError(
            str(path), "is of other prediction times, expected those of the labels",
            "begin the run again, without `--resume`, or put the labels back",
        )  # fmt: skip
    return Taught(outputs)


def _of_probe(run: Path, task: Task, dataset: TripletDataset, labelled: Bools, compute: Compute) -> Tensor:
    loaded = load_encoder(run)
    config = loaded.config
    loader = PackedLoader(
        dataset.split("train"), dataset.vocabulary, config.batching, config.train.seed, asked=task.asked
    )
    assert loader.at is not None, "its documents are of prediction times"
    vectors, row = embed_asked(loaded.encoder.to(compute.device), loader, compute), loader.at.row
    own, targets = labelled[row], task.targets
    probe = fit_probe(
        vectors[own], targets.truth[row[own]], targets.weight[row[own]], task.asked.subject_id[row[own]], task.answers,
        config.train.seed,
    )  # fmt: skip
    outputs = task.answers.start().float().expand(len(labelled), -1).clone()  # of whom nothing was known
    outputs[torch.from_numpy(row)] = torch.from_numpy(vectors) @ probe.weight.T + probe.bias
    return outputs


def _of_baseline(name: str, task: Task, dataset: TripletDataset, labelled: Bools, train: Bools) -> Tensor:
    kind = _BASELINE.get(task.spec.kind)
    if kind is None:
        raise ConfigError(
            "objective.label.self_training.with_baselines", f"is {name}, which answers no task of kind "
            f"{task.spec.kind}, expected a task of kind {', '.join(_BASELINE)}", "leave it empty",
        )  # fmt: skip
    subject, truth = task.asked.subject_id, task.targets.truth.astype(np.float64)
    inside, tuning = np.isin(subject, subject[labelled]), np.zeros(len(subject), dtype=np.bool_)
    if "tuning" in dataset.split_names:
        tuning = np.isin(subject, dataset.split("tuning").subject_ids) & ~task.targets.taught
    asked = train & ~inside
    of_class = truth.argmax(1) if kind == "multiclass" else truth[:, 0]
    rows = Rows(subject, task.asked.time, of_class.astype(np.float64), labelled, tuning, asked)
    said = baseline(name, dataset, rows, kind)
    outputs = torch.full((len(subject), len(task.spec.outputs)), torch.nan)
    chances = torch.from_numpy(said.reshape(int(asked.sum()), -1)).float()
    if kind == "binary":
        chances = chances.clamp(_LEAST, 1 - _LEAST).logit()
    elif kind == "multiclass":
        chances = chances.clamp_min(_LEAST).log()
    outputs[torch.from_numpy(asked)] = chances
    return outputs


def names_of(config: SelfTrainingConfig) -> Sequence[str]:
    """Return who teaches, as it is told."""
    return ("a linear probe", *config.with_baselines)
