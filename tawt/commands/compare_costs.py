"""What runs have cost, and how far they have moved what they say of the same subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.contracts.embeddings import about_embeddings
from tawt.evaluation.alike import linear_cka
from tawt.readers import read_parquet
from tawt.runs.embedding_file import usual_file
from tawt.runs.find import RunFolder
from tawt.seals import sha256_file


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    run: str
    """Name of the run."""
    steps: int
    """Steps that it made."""
    seconds: float | None
    """Of these, by the mean of those that its metrics tell; None where they tell none."""
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
    each = [float(line["seconds"]) for line in lines if "seconds" in line]
    begun = Path(run.init.weights).parent.name if run.init is not None else None
    return Cost(run.name, lines[-1]["step"] if lines else 0, fmean(each) * lines[-1]["step"] if each else None, begun)


def alike(workspace: Path, runs: Sequence[RunFolder]) -> Iterator[Alike]:
    """Yield how alike the embeddings of subjects, as their records end, are to those of the first run.

    Of runs that `tawt embed` has written them for, with the weights that they have now.
    """
    first = _embeddings(workspace, runs[0])
    for run in runs[1:] if first is not None else ():
        if (other := _embeddings(workspace, run)) is not None and first is not None:
            _, i, j = np.intersect1d(first[0], other[0], return_indices=True)
            if len(i) > 1:
                yield Alike(run.name, len(i), linear_cka(first[1][i], other[1][j]))


def _embeddings(workspace: Path, run: RunFolder) -> tuple[Ints, Floats] | None:
    path = usual_file(workspace, run.path)
    if not path.is_file() or (about_embeddings(path) or {}).get("weights") != _weights(run.path):
        return None
    table = read_parquet(path, ["subject_id", "embedding"])
    matrix = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    return table["subject_id"].to_numpy(), matrix


def _weights(run: Path) -> str | None:
    path = run / "model.safetensors"
    return sha256_file(path) if path.is_file() else None
