"""What runs have cost, and how far they have moved what they say of the same subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.embeddings import about_embeddings
from tawt.evaluation.alike import linear_cka
from tawt.runs.embedding_file import read_embeddings, usual_file
from tawt.runs.find import RunFolder
from tawt.seals import sha256_file
from tawt.shell import command


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    run: str
    """Name of the run."""
    steps: int
    """Steps that it made."""
    tokens: int | None
    """In these, by the mean of those that its metrics tell; None where they tell none."""
    seconds: float | None
    """The same of time."""
    begun_from: str | None
    """The run whose weights it was begun from, whose own cost is not counted."""


@dataclass(frozen=True)
class Alike:
    """How alike the embeddings of a run are to those of the first."""

    run: str
    """Name of the run."""
    n_subjects: int
    """Subjects whom both have embedded."""
    cka: float
    """Linear centred kernel alignment: 1 = the same but for rotation and scale."""


def cost(run: RunFolder) -> Cost:
    """Return what a run took, by its metrics."""
    lines = run.lines("train")
    steps = lines[-1]["step"] if lines else 0

    def of_all(what: str) -> float | None:
        each = [float(line[what]) for line in lines if what in line]
        return fmean(each) * steps if each else None

    tokens = of_all("tokens")
    begun = Path(run.init.weights).parent.name if run.init is not None else None
    return Cost(run.name, steps, None if tokens is None else round(tokens), of_all("seconds"), begun)


def alike(workspace: Path, runs: Sequence[RunFolder]) -> Iterator[Alike]:
    """Yield how alike the embeddings of subjects, as their records end, are to those of the first run.

    Of runs that `tawt embed` has written them for, with the weights that they have now; few subjects are not told of.
    """
    first = _embeddings(workspace, runs[0])
    for run in runs[1:] if first is not None else ():
        if (other := _embeddings(workspace, run)) is not None and first is not None:
            _, i, j = np.intersect1d(first[0], other[0], return_indices=True)
            if len(i) > SMALL_CELL:
                yield Alike(run.name, len(i), linear_cka(first[1][i], other[1][j]))


def lacking(workspace: Path, runs: Sequence[RunFolder]) -> list[str]:
    """Return what is to be known of runs without embeddings of their weights."""
    return [
        f"{run.name} has no embeddings that could be compared: `{_mend(workspace, run)}`"
        for run in runs
        if _file(workspace, run) is None
    ]


def _mend(workspace: Path, run: RunFolder) -> str:
    return command("embed", workspace=workspace, run=run.name)


def _file(workspace: Path, run: RunFolder) -> Path | None:
    """Return the file of the embeddings of a run, where it is of the weights that the run has now."""
    path = usual_file(workspace, run.path)
    if not path.is_file():
        return None
    about = about_embeddings(path)  # what is no such file is told by who reads it
    return path if about is None or about.get("weights") == weights_of(run.path) else None


def _embeddings(workspace: Path, run: RunFolder) -> tuple[Ints, Floats] | None:
    if (path := _file(workspace, run)) is None:
        return None
    subject, _, matrix = read_embeddings(path, f"make them again: `{_mend(workspace, run)}`")
    return subject, matrix


def weights_of(run: Path) -> str | None:
    """Return the hash of the weights of a run; None where it has none."""
    path = run / "model.safetensors"
    return sha256_file(path) if path.is_file() else None
