"""What the labels of a task are to a head: its truth, and what of it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints
from tawt.batching.at_times import Asked
from tawt.config.label import LabelConfig
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError
from tawt.heads.kinds import Answers, answers
from tawt.heads.labels import LabelSet
from tawt.heads.task import TaskSpec

Numbers = NDArray[np.float64]
LEAST_EVENTS = 2
"""Of each answer among the training labels."""
EVENTS_PER_BIN = 10
"""Training labels with an event that an interval of time has at least, unless there is but one interval."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Of `r` prediction times, for the `k` outputs of a task."""

    truth: NDArray[np.float32]
    """`(r, k)`: 1 or 0 for yes or no, the class that it is, the interval of the event; numbers in standard deviations.
    0 where nothing is known."""
    weight: NDArray[np.float32]
    """`(r, k)`: how much each counts; 0 = not known, or not watched any more."""

    cost: Numbers
    """`(r,)`, loss of whoever knows the training labels' rates alone."""
    taught: Bools
    """`(r,)`, whether there is no label, so that a teacher is to answer."""

    @classmethod
    def of(cls, truth: Numbers, weight: Numbers, how: Answers, taught: Bools | None = None) -> Targets:
        """Return the targets, with their cost."""
        truths, weights = (torch.from_numpy(x.astype(np.float32)) for x in (truth, weight))
        cost = how.losses(how.start().expand_as(truths), truths.double(), weights.double())
        nobody = np.zeros(len(truth), dtype=np.bool_)
        return cls(truths.numpy(), weights.numpy(), cost.numpy(), nobody if taught is None else taught)

    def rows(self, at: Ints) -> Targets:
        """Return some rows."""
        return Targets(self.truth[at], self.weight[at], self.cost[at], self.taught[at])

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
    answers: Answers
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
    value, called = rows.value, labels.named(labels.classes or labels.asked).values()
    about: dict[str, Any] = {"name": labels.name, "kind": labels.kind, "labels_sha256": labels.sha256}
    if labels.kind == "numbers":
        mean, scale = np.nanmean(value, 0), np.nanstd(value, 0)
        if not (scale > 0).all():
            raise ConfigError(labels.name, "has one number for all of train, expected several")
        zero = (0.0,) * len(labels.asked)
        return TaskSpec(outputs=labels.asked, prior=zero, mean=_tuple(mean), scale=_tuple(scale), **about)
    if labels.kind == "time":
        return TaskSpec(**_of_times(rows, config), **about)
    if labels.kind == "classes":
        counts = np.bincount(value[:, 0].astype(int), minlength=len(labels.classes))
        _held(labels, dict(zip(called, counts.tolist(), strict=True)))
        weight = counts.sum() / (len(counts) * counts)
        chosen = _tuple(weight) if config.class_weight == "balanced" else ()
        return TaskSpec(outputs=labels.classes, prior=_tuple(counts / counts.sum()), class_weight=chosen, **about)
    yes, known = np.nansum(value, 0), (~np.isnan(value)).sum(0)
    for name, a, b in zip(called, yes.tolist(), known.tolist(), strict=True):
        _held(labels, {f"{name}: yes": int(a), f"{name}: no": int(b - a)})
    weight = np.concatenate([known / (2 * (known - yes)), known / (2 * yes)])
    chosen = _tuple(weight) if config.class_weight == "balanced" else ()
    return TaskSpec(outputs=labels.asked, prior=_tuple(yes / known), class_weight=chosen, **about)


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
    if spec.kind == "time":
        seen, watched = _intervals(labels.value[:, 0] > 0, labels.duration[:, 0], np.array(spec.edges))
        without = labels.without
        watched[without] = 0.0
        return Targets.of(seen, watched, answers(spec, config), without)
    value = np.full((len(labels), len(spec.outputs)), np.nan)
    if spec.kind == "classes":
        place = np.array([_place(labels, spec, name) for name in labels.classes])
        value[:] = 0.0
        value[np.arange(len(labels)), place[np.nan_to_num(labels.value[:, 0]).astype(int)]] = 1.0
        value[labels.without] = np.nan
    else:
        for i, name in enumerate(labels.asked):
            value[:, _place(labels, spec, name)] = labels.value[:, i]
    known = ~np.isnan(value)
    truth = np.where(known, value, 0.0)
    if spec.kind == "numbers":
        truth = np.where(known, (truth - np.array(spec.mean)) / np.array(spec.scale), 0.0)
    weight = known.astype(np.float64)
    if spec.class_weight and spec.kind == "classes":
        weight *= (truth * np.array(spec.class_weight)).sum(1, keepdims=True)
    elif spec.class_weight:
        of_no, of_yes = np.array(spec.class_weight).reshape(2, -1)
        weight *= np.where(truth > 0, of_yes, of_no)
    return Targets.of(truth, weight, answers(spec, config), labels.without)


def _place(labels: LabelSet, spec: TaskSpec, name: str) -> int:
    if name not in spec.outputs:
        what = f"asks for `{labels.named([name])[name]}`, expected one of the {len(spec.outputs)} answers of the run"
        raise ConfigError(labels.name, what, "give the labels that the run learned, or learn these")
    return spec.outputs.index(name)


def _of_times(rows: LabelSet, config: LabelConfig) -> dict[str, Any]:
    """Return the intervals, of equal numbers of events and up to the horizons that are asked for, and each's hazard."""
    seen, duration = rows.value[:, 0] > 0, rows.duration[:, 0]
    _held(rows, {"an event that was seen": int(seen.sum())})
    for horizon in config.horizons:
        if (duration >= horizon).sum() <= SMALL_CELL:
            what = f"has {horizon:g} h, and {SMALL_CELL} training labels or fewer of {rows.name} are watched so long"
            raise ConfigError("objective.label.horizons", f"{what}, expected more", "give earlier ones")
    n_bins = max(1, min(config.n_bins, int(seen.sum()) // EVENTS_PER_BIN))  # of fewer, a rate is mostly chance
    came = np.sort(duration[seen])
    # the longest times are of few people: watching ends before them, and no edge is anybody's own time
    came = came[: len(came) - SMALL_CELL] if len(came) > 2 * SMALL_CELL else came
    edges = _rounded_up(np.quantile(came, np.arange(1, n_bins + 1) / n_bins, method="higher"))
    edges = np.unique(np.append(edges, config.horizons))
    truth, weight = _intervals(seen, duration, edges)
    hazard = (truth * weight).sum(0) / np.maximum(weight.sum(0), 1)
    return {"outputs": tuple(f"{edge:g} h" for edge in edges), "prior": _tuple(hazard), "edges": _tuple(edges)}


def _rounded_up(numbers: Numbers) -> Numbers:
    """Return numbers of two digits that are not below some others, each once."""
    step = 10.0 ** (np.floor(np.log10(np.maximum(numbers, 1e-3))) - 1)
    return np.unique(np.round(np.ceil(np.round(numbers / step, 9)) * step, 6))


def _intervals(seen: Bools, duration: Numbers, edges: Numbers) -> tuple[Numbers, Numbers]:
    """Return `(r, k)` in which interval an event came, and `(r, k)` in which there was somebody to watch.

    An interval in which watching ended is not counted: who was there for a part of it says less than a whole no.
    """
    of_event = np.searchsorted(edges, duration)  # of a time on an edge, the interval that ends there
    number = np.arange(len(edges))
    survived = np.searchsorted(edges, duration, side="right")
    watched = number < np.where(seen, of_event + 1, survived)[:, None]
    truth = (number == of_event[:, None]) & seen[:, None]
    return truth.astype(np.float64), watched.astype(np.float64)


def _held(labels: LabelSet, counts: dict[str, int]) -> None:
    few = [name for name, n in counts.items() if n < LEAST_EVENTS]
    if few:
        raise ConfigError(
            labels.name, f"has fewer than {LEAST_EVENTS} training labels of `{few[0]}`, expected some of each answer",
            "label more subjects of train, or leave that answer out",
        )  # fmt: skip


def _tuple(numbers: Numbers) -> tuple[float, ...]:
    return tuple(map(float, numbers))
