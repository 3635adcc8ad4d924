"""The teacher of self-training: it learns from the labels, and answers where there is none.

It is the mean of a linear probe of the run's embeddings and, if wanted, of baselines on features, which err elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Bools
from tawt.config.label import SelfTrainingConfig
from tawt.dataset.reader import TripletDataset
from tawt.errors import ConfigError
from tawt.evaluation.baselines import baseline, baselines_of, task_of
from tawt.evaluation.rows import Rows
from tawt.heads.kinds import KINDS
from tawt.heads.probe import fit_probe
from tawt.heads.targets import Task
from tawt.runs.load import load_encoder
from tawt.runs.teacher import Taught
from tawt.training.device import Compute
from tawt.training.first_head import embed_asked


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


def _of_probe(run: Path, task: Task, dataset: TripletDataset, labelled: Bools, compute: Compute) -> Tensor:
    loaded = load_encoder(run)
    config = loaded.config
    loader = loaded.loader(dataset.split("train"), task.asked)
    assert loader.at is not None, "its documents are of prediction times"
    row, targets = loader.at.row, task.targets
    vectors = embed_asked(loaded.encoder.to(compute.device), loader, compute)
    vectors, own = np.concatenate((vectors, targets.facts[row]), 1), labelled[row]
    probe = fit_probe(
        vectors[own], targets.truth[row[own]], targets.weight[row[own]], task.asked.subject_id[row[own]], task.answers,
        config.train.seed,
    )  # fmt: skip
    outputs = task.answers.start().float().expand(len(labelled), -1).clone()  # of whom nothing was known
    outputs[torch.from_numpy(row)] = torch.from_numpy(vectors) @ probe.weight.T + probe.bias
    return outputs


def _of_baseline(name: str, task: Task, dataset: TripletDataset, labelled: Bools, train: Bools) -> Tensor:
    family = task_of(task.answers.family)
    if family is None:
        able = [name for name, one in KINDS.items() if task_of(one.family) is not None]
        raise ConfigError(
            "objective.label.self_training.with_baselines", f"is {name}, which answers no task of kind "
            f"{task.spec.kind}, expected a task of kind {', '.join(able)}", "leave it empty",
        )  # fmt: skip
    subject, truth = task.asked.subject_id, task.targets.truth.astype(np.float64)
    inside, tuning = np.isin(subject, subject[labelled]), np.zeros(len(subject), dtype=np.bool_)
    if "tuning" in dataset.split_names:
        tuning = np.isin(subject, dataset.split("tuning").subject_ids) & ~task.targets.taught
    asked = train & ~inside
    of_class = truth.argmax(1) if truth.shape[1] > 1 else truth[:, 0]
    rows = Rows(subject, task.asked.time, of_class.astype(np.float64), labelled, tuning, asked)
    said = baseline(name, dataset, rows, family, by=baselines_of(family))
    outputs = torch.full((len(subject), len(task.spec.outputs)), torch.nan)
    fitted = torch.from_numpy(said.reshape(int(asked.sum()), -1)).float()
    outputs[torch.from_numpy(asked)] = task.answers.outputs(fitted)
    return outputs


def names_of(config: SelfTrainingConfig) -> Sequence[str]:
    """Return who teaches, as it is told."""
    return ("a linear probe", *config.with_baselines)
