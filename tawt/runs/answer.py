"""What a run that learned a task says of a label set: one answer per subject and prediction time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.batching.at_times import Asked
from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.dataset.reader import Split
from tawt.errors import CheckpointError, DatasetError, TrainingError
from tawt.heads.head import TaskHead, beside
from tawt.heads.kinds import KINDS
from tawt.heads.label_set import LabelSet
from tawt.heads.statics import facts_at
from tawt.heads.task import TASK, TaskSpec
from tawt.readers import read_record
from tawt.runs.load import LoadedEncoder, load_encoder
from tawt.shell import command
from tawt.training.checkpoint import load_weights
from tawt.training.device import Compute


@dataclass(frozen=True)
class LoadedTask:
    """A run that learned a task, ready to use."""

    loaded: LoadedEncoder
    """Its encoder, in eval mode, on CPU."""
    spec: TaskSpec
    """What it was asked."""
    head: TaskHead
    """In eval mode, on CPU."""


def load_task(run: Path) -> LoadedTask:
    """Load a run that `tawt finetune` made.

    Raises:
        CheckpointError: There is no such run, it learned no task, or a file is not as it was written.
        ConfigError: Its config does not hold.
        DatasetError: Its vocabulary cannot be read.
    """
    loaded, spec = load_encoder(run), read_task(run)
    head = TaskHead(loaded.encoder.d_embedding, spec, loaded.config.objective.label)
    load_weights(head, loaded.weights, prefix="heads.label.")
    return LoadedTask(loaded, spec, head.eval())


def read_task(run: Path) -> TaskSpec:
    """Return what a run was asked.

    Raises:
        CheckpointError: It learned no task, or what it was asked is not as it was written.
    """
    if not (run / TASK).is_file():
        raise CheckpointError(
            str(run), "has learned no task, expected a run of `tawt finetune`",
            f"make one: `{command('finetune', 'TASK', workspace='WORKSPACE', run=run)}`",
        )  # fmt: skip
    again = "take it from a copy, or fine-tune again"
    spec = read_record(run / TASK, TaskSpec, again, CheckpointError, sealed=True)
    if spec.kind not in KINDS:
        what = f"is of a kind that this version of tawt does not have, expected one of {', '.join(KINDS)}"
        raise CheckpointError(str(run / TASK), what, "use the version that made it, or a newer one")
    return spec


def learned_kind(run: Path) -> str | None:
    """Return what kind of task a run has learned; None = it learned none.

    Raises:
        CheckpointError: What it was asked is not as it was written.
    """
    return read_task(run).kind if (run / TASK).is_file() else None


def answer_all(
    task: LoadedTask, splits: Sequence[Split], labels: LabelSet, compute: Compute
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Answer at the prediction times of several splits, as `answer` does of one."""
    each = [answer(task, split, labels, compute) for split in splits]
    rows, said = np.concatenate([one[0] for one in each]), np.concatenate([one[1] for one in each])
    order = np.argsort(rows)
    return rows[order], said[order], sum(one[2] for one in each)


def answer(
    task: LoadedTask, split: Split, labels: LabelSet, compute: Compute, tell: Callable[[int], None] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Answer at the prediction times of a label set.

    Args:
        task: The run; its encoder and head are put on the device.
        split: Whose subjects are asked about; labels of others are passed over.
        labels: Their prediction times.
        compute: Device and precision.
        tell: Hears how many answers there are so far.

    Returns:
        The rows of `labels` that were answered, `(n,)` ascending; the answers `(n, k)`, as of `Answers.predict`; and
        how many of them follow from the training labels alone, as nothing was known of the subject by then.

    Raises:
        DatasetError: A data_type in the shard is not in the vocabulary.
        TrainingError: An answer is not finite.
    """
    encoder, head, config = task.loaded.encoder, task.head, task.loaded.config
    encoder.to(compute.device)
    head.to(compute.device)
    own = np.flatnonzero(np.isin(labels.subject_id, split.subject_ids))
    told = np.tile(head.answers.predict(head.answers.start()[None]).numpy(), (len(labels), 1)).astype(np.float32)
    asked = Asked(labels.subject_id[own], labels.time[own])
    try:
        loader = PackedLoader(split, task.loaded.vocabulary, config.batching, config.train.seed, asked=asked)
    except DatasetError:
        if len(own) and split.n_triplets:  # of nobody anything was known
            return own, told[own], len(own)
        raise
    assert loader.at is not None
    place, done = own[loader.at.row], 0
    told_facts = torch.from_numpy(facts_at(
        split, task.loaded.vocabulary, labels.subject_id[place], labels.time[place], task.spec.statics
    )).to(compute.device)  # fmt: skip
    batch: PackedBatch
    for batch in loader.sequential():
        with torch.inference_mode(), compute.autocast():
            embedding = encoder.embed(batch.to(compute.device))
            outputs = head(beside(embedding, told_facts[done : done + len(embedding)]))
        said = head.answers.predict(outputs.float()).cpu().numpy()
        if not np.isfinite(said).all():
            raise TrainingError(
                str(task.loaded.weights), "gives an answer that is not finite, expected numbers",
                "look at the run's losses, or fine-tune again with a lower train.lr",
            )  # fmt: skip
        told[place[done : done + len(said)]] = said
        done += len(said)
        if tell is not None:
            tell(done)
    return own, told[own], len(loader.at.unseen)
