"""Self-training: what a teacher said where there is no label, and how a run learns from it.

It is kept in the run's folder, so that a run that is resumed learns from the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.config.label import SelfTrainingConfig
from tawt.contracts.workspace import is_outside
from tawt.errors import CheckpointError
from tawt.files import digest, whole
from tawt.heads.targets import Targets, Task
from tawt.readers import reading
from tawt.training.checkpoint import latest_checkpoint
from tawt.training.distributed import World

TEACHER = "teacher.parquet"
"""File of a run folder: what the teacher said of each prediction time that the run learns from."""
_MADE_OF = b"made_of"


@dataclass(frozen=True, eq=False)
class Taught:
    """What a teacher said."""

    outputs: NDArray[np.float32]
    """`(r, k)`, of each prediction time of the task; NaN where it was not asked."""

    @property
    def sha256(self) -> str:
        """Of what was said."""
        return digest([self.outputs.shape, self.outputs.tobytes().hex()])


@dataclass(frozen=True)
class Teacher:
    """Who answers where there is no label."""

    config: SelfTrainingConfig
    """How much it counts."""
    names: Sequence[str]
    """Who teaches, as it is told."""
    made_of: str
    """Hash of all that its answers hang on."""
    says: Callable[[], Taught]
    """Lets it learn, and answer; which may take minutes."""


def ask(
    teacher: Teacher, task: Task, run: Path, world: World, hold: Callable[[], object], tell: Callable[[str], None],
    dry_run: bool,
) -> Taught:  # fmt: skip
    """Return what a teacher says, or said when the run began; one process asks it for all.

    Args:
        teacher: Who is asked.
        task: Its prediction times.
        run: The run folder.
        world: The processes.
        hold: Refuses what would be refused later, before the teacher learns.
        tell: Hears what it said.
        dry_run: Whether a teacher that has not spoken is left alone.

    Raises:
        CheckpointError: What it said is absent or broken, or of something else, and steps were made with it.
        TawtError: As of `hold` and of the teacher.
    """
    kept = read_taught(run, task, teacher.made_of)
    if kept is None and not dry_run:
        hold()

    def said() -> Tensor:
        if kept is not None or dry_run:
            return torch.from_numpy(kept.outputs) if kept is not None else torch.full(shape, torch.nan)
        outputs = teacher.says().outputs
        n = int((~np.isnan(outputs).any(1) & task.targets.taught).sum())
        tell(f"{n:,} prediction times without a label are answered by {' and '.join(teacher.names)}")
        return torch.from_numpy(outputs)

    shape = len(task.asked.subject_id), len(task.spec.outputs)
    return Taught(world.from_first(said, shape).numpy())


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
    new = Targets.of(
        share * truth.numpy() + (1 - share) * targets.truth, known, task.answers, targets.taught, targets.facts
    )
    return replace(task, targets=new, spec=task.spec.model_copy(update={"taught_sha256": taught.sha256}))


def write_taught(run: Path, task: Task, taught: Taught, made_of: str) -> None:
    """Keep what a teacher said in the folder of the run, with the hash of what it was made of."""
    table = pa.table({
        "subject_id": task.asked.subject_id, "prediction_time": pa.array(task.asked.time, pa.timestamp("us")),
        "outputs": pa.array(list(taught.outputs), pa.list_(pa.float32())),
    })  # fmt: skip
    with whole(run / TEACHER, is_outside(run)) as aside:
        pq.write_table(table.replace_schema_metadata({_MADE_OF: made_of}), aside, compression="zstd")


def read_taught(run: Path, task: Task, made_of: str) -> Taught | None:
    """Read what a teacher said when the run began; None where it is to be asked, for no step was made with it.

    Raises:
        CheckpointError: A run that has made steps lacks it, or it is broken or of something else.
    """
    path, begun = run / TEACHER, latest_checkpoint(run) is not None
    if not path.exists() and not begun:
        return None
    again = "take it from a copy, or start a new run with `--out DIR`"
    with reading(path, "what the teacher of the run said", again, CheckpointError):
        table = pq.read_table(path, partitioning=None)
        subject, time = table["subject_id"].to_numpy(), table["prediction_time"].cast(pa.int64()).to_numpy()
        outputs = np.array(table["outputs"].to_pylist(), dtype=np.float32)
    same = np.array_equal(subject, task.asked.subject_id) and np.array_equal(time, task.asked.time)
    if same and (table.schema.metadata or {}).get(_MADE_OF) == made_of.encode():
        return Taught(outputs)
    if not begun:
        return None
    raise CheckpointError(
        str(path), "is of other labels, records, settings or another run, expected what the run was begun with",
        "give them as they were then, or start a new run with `--out DIR`",
    )  # fmt: skip
