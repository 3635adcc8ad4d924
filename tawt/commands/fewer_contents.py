"""How a run answers with fewer images, or other contents beside the record, and with those of somebody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from tawt.contracts.cells import SMALL_CELL
from tawt.dataset.reader import Split
from tawt.evaluation.predictions import Predictions
from tawt.evaluation.table import Comparison, compare
from tawt.evaluations.answered import Asked
from tawt.modalities.contents import open_contents
from tawt.modalities.fusion.looking import Change
from tawt.runs.answer import LoadedTask, answer_all
from tawt.training.device import Compute

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the events that lose their contents."""
SHUFFLED = "dealt out anew"
"""Contents of each code, among its events: whose they are is lost."""
MOST_TELLING = ("100% lost", SHUFFLED, "50% lost", "25% lost", "75% lost")
"""In which order they are told, where few people do not allow all; without the first one none is."""


def with_fewer(
    asked: Asked, task: LoadedTask, name: str, splits: Sequence[Split], said: Predictions, compute: Compute,
    n_draws: int, seed: int, tell: Callable[[str], None],
) -> Comparison | None:  # fmt: skip
    """Return a run beside itself with fewer contents; None where it looks at nothing beside, or few have any.

    Args:
        asked: The labels that it answered.
        task: The run.
        name: What it is called.
        splits: Whose labels they are.
        said: What it answered on the split that is measured.
        compute: Device and precision.
        n_draws: Draws of subjects for intervals.
        seed: Of the draws, and of what is lost.
        tell: Hears why there is none.
    """
    beside, workspace = task.loaded.encoder.beside, splits[0].workspace
    if beside is None or workspace is None or open_contents(workspace) is None:
        return None
    ways: dict[str, Change] = {f"{share:.0%} lost": _loses(share, seed) for share in SHARES}
    ways[SHUFFLED] = lambda contents: contents.shuffled(seed)
    answers = {way: answer_all(task, splits, asked.labels, compute, changed)[1] for way, changed in ways.items()}
    told = [answer_all(task, splits, asked.labels, compute)[1]]
    kept: set[str] = set()
    for way in MOST_TELLING if not _is_few(asked, answers[MOST_TELLING[0]], told[0]) else ():
        # rows that one of them tells and another does not could be read off both
        if not any(_is_few(asked, answers[way], other) for other in told):
            told.append(answers[way])
            kept.add(way)
    if left := [way for way in ways if way not in kept]:
        which = f": {', '.join(left)}" if kept else ""
        tell(
            f"what is said where contents are lost is not told{which}: too few people have some; each step has to "
            f"change what is said of {SMALL_CELL + 1} or more with each answer"
        )
    if not kept:
        return None
    models = {name: said}
    with TemporaryDirectory(dir=asked.folder) as folder:
        for way in (way for way in ways if way in kept):
            aside = replace(asked, folder=Path(folder))
            made, _ = aside.answered(way, answers[way].astype(np.float64), task.spec, said.about["model"])
            models[way] = asked.told(made)
    return compare(models, name, n_draws=n_draws, seed=seed)


def _is_few(asked: Asked, one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether two ways differ in what they say of few."""
    differ = (one != other).any(1) & asked.measured
    return bool(differ.any()) and asked.is_few(differ)


def _loses(share: float, seed: int) -> Change:
    return lambda contents: contents.without(share, seed)
