"""What an evaluation is held to before a model is at work: its labels, groups and horizons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.label_set import label_path
from tawt.contracts.workspace import is_workspace
from tawt.dataset.reader import TripletDataset
from tawt.errors import ConfigError
from tawt.evaluation.attributes import attributes_of
from tawt.evaluation.features import statics_at
from tawt.evaluation.horizons import in_words
from tawt.evaluations.simpler import TUNING
from tawt.heads.kinds import KINDS
from tawt.heads.label_set import LabelSet
from tawt.heads.task import TaskSpec
from tawt.pipeline.workspace import open_workspace
from tawt.runs.learned import read_task


def inside(dataset: TripletDataset, split: str, labels: LabelSet) -> LabelSet:
    """Return the labels of subjects of a split."""
    own = dataset.split(split).subject_ids if split in dataset.split_names else ()
    return labels.rows(np.isin(labels.subject_id, own))


def looked_at(dataset: TripletDataset, labels: LabelSet, split: str, group: Sequence[str] | None) -> list[str]:
    """Hold what is asked to what is there, before a model is at work, and return what is to be known of the labels.

    Raises:
        ConfigError: No label is of a subject of the split, or a group is none.
        DatasetError: The dataset lacks the split.
    """
    dataset.split(split)
    own, told = inside(dataset, split, labels), []
    if not len(own):
        there = [one for one in dataset.split_names if len(inside(dataset, one, labels))]
        hint = f"`--split {there[0]}` has some" if there else "`subject_id` must be those of this workspace"
        raise ConfigError(labels.name, f"has no label of a subject of {split}, expected some to measure", hint)
    if group is not None:
        attributes_of(statics_at(dataset, own.subject_id, own.time), dataset, group)
    many = len(np.unique(own.subject_id)) > SMALL_CELL  # of few, even this would tell of each
    if many and KINDS[labels.kind].family in ("binary", "classes") and len(np.unique(own.value)) < 2:
        what = "nothing can be told apart there, and no figure of it is defined"
        told.append(f"{labels.name}: all labels of {split} have one answer: {what}")
    if split != TUNING and not len(inside(dataset, TUNING, labels)):
        told.append(
            f"{labels.name}: no label is of a subject of {TUNING}: no threshold, calibration or interval is settled"
        )
    return told


def said_of(workspace: Path, file: Path, labels: LabelSet) -> PipelineConfig | None:
    """Return the pipeline, which may name a score or a unit of a label set of its own; None = they are another's."""
    is_own = is_workspace(workspace) and file == label_path(workspace, labels.name)
    return open_workspace(workspace).pipeline if is_own else None


def hold_task(name: str, run: Path, labels: LabelSet, horizons: Sequence[float]) -> list[str]:
    """Hold that a run can be asked about labels, at these horizons, and return what is to be known of it.

    Raises:
        CheckpointError: It learned no task.
        ConfigError: It answers another kind of task, was asked no time to an event, or learned none so late.
    """
    spec = read_task(run)
    if spec.kind != labels.kind:
        raise ConfigError(
            str(run), f"answers a task of kind {spec.kind}, expected {labels.kind} as {labels.name}"
        )  # fmt: skip
    _hold_horizons(name, spec, horizons)
    return [f"{name} learned `{spec.name}`, and is asked about `{labels.name}`"] if spec.name != labels.name else []


def _hold_horizons(name: str, spec: TaskSpec, horizons: Sequence[float]) -> None:
    if horizons and KINDS[spec.kind].family != "time":
        raise ConfigError("--horizon", f"is given for a task of kind {spec.kind}, expected a time to an event")
    if horizons and max(horizons) > spec.edges[-1]:
        raise ConfigError(
            f"--horizon {in_words(max(horizons))}", f"lies beyond {in_words(spec.edges[-1])}, to which {name} learned, "
            "expected none later",
            f"fine-tune again with `--set 'objective.label.horizons=[{', '.join(f'{one:g}' for one in horizons)}]'`",
        )  # fmt: skip
