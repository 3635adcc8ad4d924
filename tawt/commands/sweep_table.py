"""The table of a sweep: what its finished runs lose, by part and arm, as means and deviations over seeds."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.config.train import PretrainConfig
from tawt.files import write_hashes, write_sealed, write_text
from tawt.objectives.parts import weights
from tawt.runs.find import baseline_key, flat, loss_key, parts_of
from tawt.seals import LIST
from tawt.training.metrics import lines_of, read_metrics
from tawt.training.outputs import RECORD

TABLE = "sweep.csv"
"""File of a sweep's folder, which lists its hash and the record's."""


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep."""

    arm: str
    """Its arm."""
    seed: int
    """Its seed."""
    path: Path
    """WORKSPACE/runs/SWEEP/ARM-seedN."""
    state: str
    """finished, failed, or waiting."""
    reason: str
    """Why it was skipped, resumed or run, or what it failed of."""


@dataclass(frozen=True)
class ArmResult:
    """A part's final loss on `tuning`, over the finished seeds of one arm."""

    arm: str
    """Name of the arm."""
    part: str
    """The part, or `all` for the weighted sum."""
    weight: float | None
    """What it weighs in the arm's sum; None of the sum itself."""
    n_seeds: int
    """Finished seeds."""
    mean: float
    """Mean over seeds."""
    sd: float | None
    """Standard deviation over seeds (n - 1); None for one."""
    baseline: float
    """Mean of what the trivial prediction loses."""
    gap: float | None
    """Mean over equal seeds of this arm minus the first; below 0 this arm is better. None for the first arm."""
    gap_sd: float | None
    """Standard deviation of that difference over seeds (n - 1)."""


def table_of(runs: Sequence[SweepRun], trees: dict[str, PretrainConfig]) -> tuple[ArmResult, ...]:
    """Return the table over the finished runs, by part and then arm."""
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for run in runs:
        if run.state == "finished":
            lines = lines_of(read_metrics(run.path / "metrics.jsonl"), "tuning")
            if lines:
                last[run.arm, run.seed] = lines[-1]
    arms = list(dict.fromkeys(run.arm for run in runs))
    parts = dict.fromkeys(["all", *(part for line in last.values() for part in parts_of(line))])
    out: list[ArmResult] = []
    for part in parts:
        loss = {key: line[loss_key(part)] for key, line in last.items() if loss_key(part) in line}
        for arm in arms:
            seeds = [seed for a, seed in loss if a == arm]
            if not seeds:
                continue
            values = [loss[arm, seed] for seed in seeds]
            gaps = [loss[arm, s] - loss[arms[0], s] for s in seeds if (arms[0], s) in loss] if arm != arms[0] else []
            trivial = statistics.fmean(last[arm, seed][baseline_key(part)] for seed in seeds)
            out.append(
                ArmResult(
                    arm, part, weights(trees[arm].objective).get(part), len(seeds), statistics.fmean(values),
                    _sd(values), trivial, statistics.fmean(gaps) if gaps else None, _sd(gaps),
                )
            )  # fmt: skip
    return tuple(out)


def flat_arm(tree: PretrainConfig) -> dict[str, Any]:
    """Return the config of an arm, flat, without the seed."""
    resolved = flat(tree.model_dump(mode="json"))
    del resolved["train.seed"]
    return resolved


def _sd(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def write_table(folder: Path, trees: dict[str, PretrainConfig], read: dict[str, str], runs: Sequence[SweepRun]) -> None:
    """Write what a sweep is of, its runs and the table of those that are finished."""
    rows = [vars(row) for row in table_of(runs, trees)]
    # why a run was run hangs on what was broken off, and the same sweep is the same bytes
    told = [{**vars(run), "path": run.path.name, "reason": run.reason * (run.state == "failed")} for run in runs]
    arms = {arm: flat_arm(tree) for arm, tree in trees.items()}
    seeds = list(dict.fromkeys(run.seed for run in runs))
    (folder / LIST).unlink(missing_ok=True)  # what it lists changes from here on
    write_sealed(folder / RECORD, {**read, "arms": arms, "seeds": seeds, "runs": told, "table": rows})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ArmResult.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / TABLE, text.getvalue())
    # the list of each run that is in the table: another run in its place, or none, is found
    finished = (run.path / LIST for run in runs if run.state == "finished")
    write_hashes(folder, (RECORD, TABLE, *(path.relative_to(folder).as_posix() for path in finished)))
