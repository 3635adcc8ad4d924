"""`tawt plot --labels`: embeddings at the times of a label set, coloured by its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tawt.arrays import Ints
from tawt.contracts.embeddings import LABELS, OF, about_embeddings
from tawt.errors import ConfigError
from tawt.figures.map import Panel, plot_map
from tawt.heads.kinds import KINDS
from tawt.heads.label_set import LabelSet
from tawt.heads.labels import label_file, read_labels
from tawt.runs.embedding_file import read_embeddings, usual_file
from tawt.runs.find import called
from tawt.runs.load import read_saved
from tawt.seals import sha256_file
from tawt.shell import command

_MOST_PANELS = 9


def draw_map(workspace: Path, runs: Sequence[Path], task: str | Path, folder: Path, kind: str | None = None) -> Path:
    """Draw a panel for each run, and for each of several things that are asked at one time.

    Args:
        workspace: Whose embeddings.
        runs: Run folders.
        task: Name of a label set in WORKSPACE/labels, or a Parquet file.
        folder: Where `map-TASK.png` goes.
        kind: What is asked, where the columns of the labels leave it open.

    Raises:
        ConfigError: The labels do not hold, a run has no embeddings at their times, or ones of other labels or weights.
    """
    labels = read_labels(label_file(workspace, task), kind)
    panels = [panel for run in runs for panel in _panels(workspace, run, task, labels)]
    title = f"{labels.name}: embeddings at {len(panels[0].value):,} prediction times"
    return plot_map(panels[:_MOST_PANELS], folder / f"map-{labels.name}.png", title)


def _panels(workspace: Path, run: Path, task: str | Path, labels: LabelSet) -> list[Panel]:
    subject, time, vectors = _embeddings(workspace, run, task, labels)
    # both are sorted by subject and time, each pair once
    pairs = np.stack([np.concatenate([labels.subject_id, subject]), np.concatenate([labels.time, time])], 1)
    _, of = np.unique(pairs, axis=0, return_inverse=True)
    _, ours, theirs = np.intersect1d(of[: len(labels)], of[len(labels) :], assume_unique=True, return_indices=True)
    names = labels.classes or KINDS[labels.kind].words
    several, name = len(labels.asked) > 1, called(workspace, run)
    return [
        Panel(
            f"{name}, {asked}" if several else name, vectors[theirs], subject[theirs], labels.value[ours, i],
            names,
        )
        for i, asked in enumerate(labels.asked)
    ]  # fmt: skip


def _embeddings(workspace: Path, run: Path, task: str | Path, labels: LabelSet) -> tuple[Ints, Ints, np.ndarray]:
    """Return subjects, times and vectors of a run at the times of a label set."""
    path = usual_file(workspace, run, labels.name)
    runs = workspace / "runs"
    name = run.relative_to(runs).as_posix() if run.is_relative_to(runs) else str(run)
    hint = f"make them: `{command('embed', workspace=workspace, run=name, labels=task)}`"
    about = about_embeddings(path) if path.is_file() else None
    if about is None:
        raise ConfigError(str(path), "is not there, expected the run's embeddings at the times of the labels", hint)
    if about.get(LABELS) != labels.sha256:
        raise ConfigError(str(path), f"is of another label set than {labels.name} is now, expected one of it", hint)
    if about.get(OF[2]) != sha256_file(read_saved(run).weights):
        raise ConfigError(str(path), f"is not of the weights of {run.name}, expected embeddings of them", hint)
    return read_embeddings(path, hint, ConfigError)
