"""Negative controls of a run that learned a task, which take an encoder or a network of their own to say.

An encoder that learned nothing, with the same probe; the run's own encoder, with a probe of shuffled labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.chance import Salt, shuffled
from tawt.dataset.reader import Split
from tawt.errors import DatasetError
from tawt.heads.head import TaskHead
from tawt.heads.label_set import LabelSet
from tawt.heads.statics import with_facts
from tawt.heads.targets import make_task
from tawt.modalities.fusion.looking import with_beside
from tawt.models.encoder import Encoder
from tawt.runs.answer import LoadedTask, answer_all
from tawt.training.device import Compute
from tawt.training.first_head import fit_first


def untrained(task: LoadedTask, seed: int) -> LoadedTask:
    """Return the run with weights that never learned; its head is to be probed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = with_beside(
            Encoder(task.loaded.config.model, task.loaded.vocabulary), task.loaded.config, len(task.spec.outputs)
        ).eval()
    return replace(task, loaded=replace(task.loaded, encoder=encoder))


def probed(task: LoadedTask, train: Split, labels: LabelSet, compute: Compute, seed: int) -> LoadedTask:
    """Return the run with a head that is the best linear map of its embeddings to the labels of a split.

    Where nothing was known of anybody by then, it answers by the rates.

    Args:
        task: Its encoder is put on the device.
        train: Whose labels are learned from.
        labels: Of the kind of the task.
        compute: Device and precision.
        seed: Of the folds.
    """
    config = task.loaded.config
    made = make_task(labels.rows(np.isin(labels.subject_id, train.subject_ids)), task.spec, config.objective.label)
    made = with_facts(made, [train], task.loaded.vocabulary)
    head = TaskHead(task.loaded.encoder.d_embedding, task.spec, config.objective.label.model_copy(update={"hidden": 0}))
    try:
        loader = task.loaded.loader(train, made.asked)
    except DatasetError:
        return replace(task, head=head.eval())
    probe = fit_first(task.loaded.encoder.to(compute.device), loader, made, compute, seed)
    head.start_at(probe.weight, probe.bias)
    return replace(task, head=head.eval())


def answer_untrained(
    task: LoadedTask, train: Split, chosen: Sequence[Split], labels: LabelSet, compute: Compute, seed: int
) -> NDArray[np.float32]:
    """Answer by an encoder of fresh weights and the probe that a run's head starts at: `(n, k)` of the splits' rows."""
    return answer_all(probed(untrained(task, seed), train, labels, compute, seed), chosen, labels, compute)[1]


def with_labels_shuffled(labels: LabelSet, splits: tuple[Split, ...], seed: int) -> LabelSet:
    """Return the labels of each split dealt out anew among its own rows."""
    value, duration = labels.value.copy(), labels.duration.copy()
    for salt, split in enumerate(splits):
        at = np.flatnonzero(np.isin(labels.subject_id, split.subject_ids))
        dealt = at[shuffled(len(at), Salt.MIXED_LABELS, seed, salt)]
        value[at], duration[at] = labels.value[dealt], labels.duration[dealt]
    return replace(labels, value=value, duration=duration)
