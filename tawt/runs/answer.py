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
from tawt.dataset.reader import Split
from tawt.errors import DatasetError, TrainingError
from tawt.heads.head import TaskHead
from tawt.heads.label_set import LabelSet
from tawt.heads.statics import facts_at
from tawt.heads.task import TaskSpec
from tawt.modalities.fusion.looking import Change
from tawt.objectives.answered import answered
from tawt.runs.learned import read_task
from tawt.runs.load import LoadedEncoder, load_encoder
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


def answer_all(
    task: LoadedTask, splits: Sequence[Split], labels: LabelSet, compute: Compute, changed: Change | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Answer at the prediction times of several splits, as `answer` does of one."""
    each = [answer(task, split, labels, compute, changed=changed) for split in splits]
    rows, said = np.concatenate([one[0] for one in each]), np.concatenate([one[1] for one in each])
    order = np.argsort(rows)
    return rows[order], said[order], sum(one[2] for one in each)


def answer(
    task: LoadedTask,
    split: Split,
    labels: LabelSet,
    compute: Compute,
    tell: Callable[[int], None] | None = None,
    changed: Change | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Answer at the prediction times of a label set.

    Args:
        task: The run; its encoder and head are put on the device.
        split: Whose subjects are asked about; labels of others are passed over.
        labels: Their prediction times.
        compute: Device and precision.
        tell: Hears how many answers there are so far.
        changed: What the run looks at in place of what lies beside records; None = that.

    Returns:
        The rows of `labels` that were answered, `(n,)` ascending; the answers `(n, k)`, as of `Answers.predict`; and
        how many of them follow from the training labels alone, as nothing was known of the subject by then.

    Raises:
        DatasetError: A data_type in the shard is not in the vocabulary.
        TrainingError: An answer is not finite.
    """
    encoder, head = task.loaded.encoder, task.head
    encoder.to(compute.device)
    head.to(compute.device)
    own = np.flatnonzero(np.isin(labels.subject_id, split.subject_ids))
    told = np.tile(head.answers.predict(head.answers.start()[None]).numpy(), (len(labels), 1)).astype(np.float32)
    asked = Asked(labels.subject_id[own], labels.time[own])
    try:
        loader = task.loaded.loader(split, asked, changed)
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
            batch = batch.to(compute.device)
            embedding = encoder.embed(batch)
            outputs = answered(encoder, head, embedding, told_facts[done : done + len(embedding)], batch)
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
