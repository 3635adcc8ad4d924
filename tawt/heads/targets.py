"""What the labels of a task are to a head: its truth, and what of it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints
from tawt.batching.at_times import Asked
from tawt.config.label import LabelConfig
from tawt.errors import ConfigError
from tawt.heads.kinds import KINDS, answers
from tawt.heads.kinds.kind import Kind, Numbers
from tawt.heads.label_set import LabelSet
from tawt.heads.task import TaskSpec


@dataclass(frozen=True, eq=False)
class Targets:
    """Of `r` prediction times, for the `k` outputs of a task."""

    truth: NDArray[np.float32]
    """`(r, k)`: 1 or 0 for yes or no, the class that it is, the interval of the event; numbers in standard
    deviations, counts as they are. 0 where nothing is known."""
    weight: NDArray[np.float32]
    """`(r, k)`: how much each counts; 0 = not known, or not watched any more."""

    cost: Numbers
    """`(r,)`, loss of whoever knows the training labels' rates alone."""
    taught: Bools
    """`(r,)`, whether there is no label, so that a teacher is to answer."""
    facts: NDArray[np.float32]
    """`(r, f)`, what the head is told beside the embedding; see `tawt.heads.statics`."""

    @classmethod
    def of(
        cls, truth: Numbers, weight: Numbers, how: Kind, taught: Bools | None = None,
        facts: NDArray[np.float32] | None = None,
    ) -> Targets:  # fmt: skip
        """Return the targets, with their cost."""
        truths, weights = (torch.from_numpy(x.astype(np.float32)) for x in (truth, weight))
        cost = how.losses(how.start().expand_as(truths), truths.double(), weights.double())
        nobody = np.zeros(len(truth), dtype=np.bool_)
        return cls(
            truths.numpy(),
            weights.numpy(),
            cost.numpy(),
            nobody if taught is None else taught,
            np.zeros((len(truth), 0), dtype=np.float32) if facts is None else facts,
        )

    def rows(self, at: Ints) -> Targets:
        """Return some rows."""
        return Targets(self.truth[at], self.weight[at], self.cost[at], self.taught[at], self.facts[at])

    @property
    def known(self) -> Bools:
        """`(r,)`, whether anything is known."""
        return np.asarray((self.weight > 0).any(1))


@dataclass(frozen=True, eq=False)
class Task:
    """What a run learns from labels."""

    spec: TaskSpec
    """What is asked."""
    asked: Asked
    """Of whom, and when: `r` prediction times."""
    targets: Targets
    """The truth there."""
    answers: Kind
    """How it is answered."""


def make_task(labels: LabelSet, spec: TaskSpec, config: LabelConfig) -> Task:
    """Return the task of a run: of the labels of which something is known, and of those that a teacher is to answer."""
    targets = make_targets(labels, spec, config)
    at = np.flatnonzero(targets.known | targets.taught)
    asked = Asked(labels.subject_id[at], labels.time[at])
    return Task(spec, asked, targets.rows(at), answers(spec, config))


def describe(labels: LabelSet, train: Bools, config: LabelConfig) -> TaskSpec:
    """Say what a task asks, with all that its training labels decide.

    Args:
        labels: Of all splits.
        train: `(r,)`, which of them are training labels.
        config: How the head is made.

    Raises:
        ConfigError: Among the training labels there is nothing to tell apart.
    """
    rows = labels.rows(train & ~labels.without)
    if not len(rows):
        raise ConfigError(
            labels.name, "has no label of a subject of train, expected some",
            "label subjects of this workspace: `subject_id` must be theirs",
        )  # fmt: skip
    about = KINDS[labels.kind].described(rows, config)
    return TaskSpec(name=labels.name, kind=labels.kind, labels_sha256=labels.sha256, **about)


def make_targets(labels: LabelSet, spec: TaskSpec, config: LabelConfig) -> Targets:
    """Return what a head is to say at each prediction time.

    Args:
        labels: Of the kind of `spec`, its classes or targets among those of it.
        spec: The task as a run knows it.
        config: How the head is made.

    Raises:
        ConfigError: The labels ask for something else.
    """
    if labels.kind != spec.kind:
        raise ConfigError(labels.name, f"is of kind {labels.kind}, expected {spec.kind}, as the run learned")
    how = answers(spec, config)
    return Targets.of(*how.targets(labels), how, labels.without)
