"""Self-training: what a teacher said where there is no label, and how a run learns from it.

It is kept in the run's folder, so that a run that is resumed learns from the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from tawt.config.label import SelfTrainingConfig
from tawt.errors import CheckpointError
from tawt.files import digest, whole
from tawt.heads.targets import Targets, Task
from tawt.readers import reading

TEACHER = "teacher.parquet"
"""File of a run folder: what the teacher said of each prediction time that the run learns from."""


@dataclass(frozen=True, eq=False)
class Taught:
    """What a teacher said."""

    outputs: NDArray[np.float32]
    """`(r, k)`, of each prediction time of the task; NaN where it was not asked."""

    @property
    def sha256(self) -> str:
        """Of what was said."""
        return digest([self.outputs.shape, self.outputs.tobytes().hex()])


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
