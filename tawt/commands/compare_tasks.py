"""How runs answer tasks that they, or runs that learned from them, were evaluated on: on the same draws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tawt.commands.compare_costs import weights_of
from tawt.contracts.workspace import EVALUATION, EVALUATIONS
from tawt.evaluation.families import FAMILIES
from tawt.evaluation.predictions import Predictions, read_predictions
from tawt.evaluation.table import Comparison as Measured
from tawt.evaluation.table import compare as measured
from tawt.evaluation.withheld import FEW, WITHHELD, withheld
from tawt.heads.task import TASK
from tawt.readers import read_map
from tawt.runs.find import RunFolder, flat_config
from tawt.shell import command
from tawt.training.versions import read_versions


@dataclass(frozen=True)
class OnTask:
    """Runs on the rows of one task."""

    task: str
    """Name of the evaluation."""
    mode: str
    """How each learned the task: a probe, or what of it was trained."""
    models: dict[str, str]
    """Run -> the run that learned the task from it, as the evaluation calls it."""
    measured: Measured
    """By the names of the runs that are compared; the main metrics alone."""

    def told(self, width: int) -> str:
        """Return the table as text; a sentence where no figure may be told."""
        if self.measured.is_withheld:
            return f"no figure is told: {FEW.removeprefix(WITHHELD)}\n"
        return self.measured.text(width=width)


@dataclass(frozen=True)
class _Heir:
    run: str
    """Which of those compared it learned the task from."""
    mode: str


def on_tasks(workspace: Path, runs: Sequence[RunFolder]) -> tuple[list[OnTask], list[str]]:
    """Return what evaluations of the workspace tell of two runs or more, and what is to be known beside.

    Runs are laid beside one another that learned a task in the same way, each from the weights that it has now.

    Raises:
        FileError: A file of an evaluation is not as it was written.
    """
    heirs = _heirs(workspace, runs)
    found: list[OnTask] = []
    alone: list[str] = []
    for path in sorted((workspace / EVALUATIONS).glob(f"*/{EVALUATION}")):
        record = read_map(path)
        by_mode: dict[str, dict[str, str]] = defaultdict(dict)
        for row in record["rows"]:
            if (heir := heirs.get(row["model"])) is not None:
                by_mode[heir.mode].setdefault(heir.run, row["name"])
        pairs = {mode: models for mode, models in by_mode.items() if len(models) > 1}
        for mode, models in pairs.items():
            ordered = {run.name: models[run.name] for run in runs if run.name in models}
            found.append(OnTask(path.parent.name, mode, ordered, _measured(path.parent, record, ordered)))
        if by_mode and not pairs:
            alone.append(_alone(workspace, path.parent.name, by_mode))
    return found, alone


def _alone(workspace: Path, task: str, by_mode: Mapping[str, Mapping[str, str]]) -> str:
    told = ", ".join(f"{run} ({mode})" for mode, models in by_mode.items() for run in models)
    one = next(name for models in by_mode.values() for name in models.values())
    again = command("evaluate", task, workspace=workspace, run=[one, "OTHER"])
    return f"{task}: no two runs that learned it in one way were evaluated together, but {told}: `{again}`"


def _heirs(workspace: Path, runs: Sequence[RunFolder]) -> dict[str, _Heir]:
    """Return the runs that learned a task from those that are compared, by the hash of their weights."""
    bases = {weights: run.name for run in runs if (weights := weights_of(run.path)) is not None}
    at = workspace / "runs"
    learned = [path.parent for way in ("*", "*/*") for path in sorted(at.glob(f"{way}/{TASK}"))]
    learned += [run.path for run in runs if (run.path / TASK).is_file()]
    found = {}
    for folder in learned:
        weights = weights_of(folder)
        base = bases.get(weights or "") or _base(folder, bases)
        if weights is not None and base is not None:
            found[weights] = _Heir(base, _mode(folder))
    return found


def _base(folder: Path, bases: Mapping[str, str]) -> str | None:
    """Return which run a task was learned from, itself or by steps that each learned one; None = another."""
    passed: set[Path] = set()
    while (folder / TASK).is_file() and folder.resolve() not in passed:
        passed.add(folder.resolve())
        made = read_versions(folder)
        if made is None or made.init is None:
            return None
        if made.init.sha256 in bases:
            return bases[made.init.sha256]
        folder = (folder / made.init.weights).parent
    return None


def _mode(run: Path) -> str:
    config = flat_config(run)
    return "probe" if config["train.max_steps"] == 0 else str(config["objective.label.trains"])


def _measured(folder: Path, record: Mapping[str, Any], models: Mapping[str, str]) -> Measured:
    """Measure runs by the predictions that an evaluation has kept, with its draws; what it withheld stays untold."""
    said: dict[str, Predictions] = {run: read_predictions(folder / f"{name}.parquet") for run, name in models.items()}
    first = next(iter(said.values()))
    main = FAMILIES[first.kind].main
    made = measured(said, next(iter(said)), only=main, n_draws=record["n_draws"], seed=record["seed"])
    kept = {
        name: one["reason"]
        for row in record["rows"]
        for name, one in row["metrics"].items()
        if name in made.titles and str(one["reason"]).startswith(WITHHELD)
    }
    titles = {name: record["titles"].get(name, title) for name, title in made.titles.items()}
    reasons = kept | withheld(made.titles, first.outcome, first.subject_id)
    return replace(made.without(reasons), titles=titles)
