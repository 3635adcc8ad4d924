"""Where a task's head starts: at the best linear probe of the embeddings as they are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.arrays import Bools
from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.heads.probe import Probe, fit_probe
from tawt.heads.targets import Task
from tawt.models.encoder import Encoder
from tawt.objectives.pretrain_model import PretrainModel
from tawt.training.device import Compute


def embed_asked(
    encoder: Encoder, loader: PackedLoader, compute: Compute, chosen: Bools | None = None
) -> NDArray[np.float32]:
    """Return the embeddings `(c, d_embedding)` of the documents of a loader, in their order.

    Args:
        encoder: On its device; its mode is put back.
        loader: Of the documents.
        compute: Device and precision.
        chosen: `(d,)`, those that are wanted; None = all.
    """
    was = encoder.training
    encoder.eval()
    kept = np.ones(loader.n_documents, dtype=np.bool_) if chosen is None else chosen
    vectors = np.empty((int(kept.sum()), encoder.d_embedding), dtype=np.float32)
    asked = done = 0
    batch: PackedBatch
    for batch in loader.sequential():
        with torch.no_grad(), compute.autocast():
            found = encoder.embed(batch.to(compute.device)).float().cpu().numpy()
        found, asked = found[kept[asked : asked + len(found)]], asked + len(found)
        vectors[done : done + len(found)] = found
        done += len(found)
    assert asked == len(kept) and done == len(vectors), "each document has an embedding"
    encoder.train(was)
    return vectors


def fit_first(encoder: Encoder, loader: PackedLoader, task: Task, compute: Compute, seed: int) -> Probe:
    """Fit a linear probe to a task's labels of one split.

    Args:
        encoder: Whose embeddings it reads.
        loader: Of the split, with the task's prediction times.
        task: The labels.
        compute: Device and precision.
        seed: Of the folds.
    """
    assert loader.at is not None, "a task's documents are of its prediction times"
    targets, row = task.targets, loader.at.row
    labelled = ~targets.taught[row]
    row = row[labelled]
    read = np.concatenate((embed_asked(encoder, loader, compute, labelled), targets.facts[row]), 1)
    return fit_probe(
        read, targets.truth[row], targets.weight[row],
        task.asked.subject_id[row], task.answers, seed,
    )  # fmt: skip


def start_at_probe(model: PretrainModel, loader: PackedLoader, task: Task, compute: Compute, seed: int) -> str:
    """Start a model's head at the probe, and return what is told of it."""
    assert model.heads.label is not None, "only a task's run has a head of labels"
    probe = fit_first(model.encoder, loader, task, compute, seed)
    model.heads.label.start_at(probe.weight, probe.bias)
    n_labels = int((~task.targets.taught[loader.at.row]).sum())  # type: ignore[union-attr]
    return (
        f"the head starts at a linear probe of {n_labels:,} labels: of subjects left out loss "
        f"{probe.tried[probe.penalty]:.4f}, {probe.by_rates:.4f} by the others' rates alone; "
        f"penalty {probe.penalty:.3g}"
    )
