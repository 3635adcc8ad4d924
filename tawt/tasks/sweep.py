"""`tawt sweep`: arms times seeds, run in turn and resumable, to one table of means and standard deviations."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.commands import command
from tawt.config.load import load
from tawt.config.named import resolve_config
from tawt.config.sweep import SweepConfig, SweepRecord
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError, RoomError, TawtError
from tawt.files import alone, write_hashes, write_sealed, write_text
from tawt.objectives.parts import weights
from tawt.readers import read_record
from tawt.room import room_error
from tawt.seals import LIST
from tawt.tasks.pretrain import pretrain
from tawt.tasks.runs import baseline_key, flat, loss_key, parts_of
from tawt.training.best import counted, ends_early
from tawt.training.checkpoint import latest_checkpoint
from tawt.training.folder import MAY_CHANGE, Report, how_to_grow, longer
from tawt.training.metrics import lines_of, read_metrics
from tawt.training.outputs import LOCK, RECORD, refuse_no_sweep

TABLE = "sweep.csv"
"""File of a sweep's folder, which lists its hash and the record's."""
_GROWS = ("train.max_steps", "train.warmup_steps")
_FREE = {f"{section}.{key}" for section, keys in MAY_CHANGE.items() for key in keys}
NEW = "new"
"""Why a run is run that has not begun."""


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


@dataclass(frozen=True)
class SweepResult:
    """What `sweep` did."""

    folder: Path
    """WORKSPACE/runs/SWEEP."""
    runs: tuple[SweepRun, ...]
    """Every run, seed by seed."""
    table: tuple[ArmResult, ...]
    """By part, then arm, of what is finished; also in sweep.json and sweep.csv."""

    @property
    def n_failed(self) -> int:
        """Runs that failed."""
        return sum(run.state == "failed" for run in self.runs)


def sweep(
    workspace: Path,
    file: str | Path,
    *,
    device: str = "auto",
    dry_run: bool = False,
    report: Report | None = None,
) -> SweepResult:
    """Pretrain every arm with every seed, one after the other.

    Asked again, it skips what is finished, goes on with what was broken off, and tries again what failed. Arms and
    seeds may be added to the YAML; what was there must stay as it was, but for what a resumed run
    may set anew. All arms of a seed come before the next seed, so that the table compares arms early.

    Args:
        workspace: Holds `dataset/` and `vocabulary/`.
        file: A YAML file, see the config reference; its name names the sweep.
        device: auto, cpu, cuda or cuda:N.
        dry_run: Only say what would run, and why.
        report: Called with the events of each run, and with `run` events of the sweep itself.

    Raises:
        ConfigError: The YAML, or the config of an arm, does not hold, has changed since, or the sweep is running.
        DatasetError: The dataset is absent or broken.
        KeyboardInterrupt: A run was stopped; the same command goes on with it.
    """
    workspace, file = Path(workspace), Path(file)
    tell = report or (lambda event: None)
    plan = load(SweepConfig, file)
    base = _beside(file, plan.config)
    trees = {arm: resolve_config(base, (*plan.settings, *own))[1] for arm, own in plan.arms.items()}
    folder = workspace / "runs" / file.stem
    refuse_no_sweep(folder, workspace)
    open_dataset(workspace)  # where there is none, every run would fail
    _refuse_changes(folder, plan, trees)
    todo = [(arm, seed, folder / f"{arm}-seed{seed}") for seed in plan.seeds for arm in plan.arms]
    if dry_run:
        runs = [SweepRun(arm, seed, path, *_state(path, trees[arm])) for arm, seed, path in todo]
        return SweepResult(folder, tuple(runs), _table(runs, trees))
    folder.mkdir(parents=True, exist_ok=True)
    again = command("sweep", file, workspace=workspace, device=None if device == "auto" else device)
    in_use = ConfigError(str(folder), "is in use by another process, expected to sweep alone", "wait for it to end")
    with alone(folder / LOCK, in_use):
        return _run_all(workspace, folder, trees, todo, device, tell, again)


def _run_all(
    workspace: Path,
    folder: Path,
    trees: dict[str, PretrainConfig],
    todo: Sequence[tuple[str, int, Path]],
    device: str,
    tell: Report,
    again: str,
) -> SweepResult:
    def heard(event: dict[str, Any]) -> None:
        tell(event | {"resume": again} if event.get("event") == "stopped" else event)

    runs = [SweepRun(arm, seed, path, *_state(path, trees[arm])) for arm, seed, path in todo]
    for i, run in enumerate(runs):
        tell({"event": "run", "arm": run.arm, "seed": run.seed, "number": i + 1, "n_runs": len(runs), **_why(run)})
        if run.state != "finished":
            tree = trees[run.arm]
            tree = tree.model_copy(update={"train": tree.train.model_copy(update={"seed": run.seed})})
            try:
                pretrain(workspace, tree, device=device, out=run.path, resume=run.reason != NEW, report=heard)
                runs[i] = SweepRun(run.arm, run.seed, run.path, "finished", run.reason)
            except RoomError:  # which the others would end at too
                raise
            except TawtError as error:
                said = f"{error} (hint: {error.hint})" if error.hint else str(error)
                runs[i] = SweepRun(run.arm, run.seed, run.path, "failed", said)
            except Exception as error:  # one run must not lose the others; a foreign error's text can quote cells
                if (full := room_error(error, run.path)) is not None:
                    raise full from None
                runs[i] = SweepRun(run.arm, run.seed, run.path, "failed", type(error).__name__)
            if runs[i].state == "failed":
                tell({"event": "note", "text": f"{run.arm}, seed {run.seed} failed: {runs[i].reason}"})
        _write(folder, trees, runs)
    return SweepResult(folder, tuple(runs), _table(runs, trees))


def _why(run: SweepRun) -> dict[str, str]:
    return {"state": "skipped" if run.state == "finished" else "running", "reason": run.reason}


def _state(path: Path, tree: PretrainConfig) -> tuple[str, str]:
    if (path / LIST).is_file():
        lines, asked = read_metrics(path / "metrics.jsonl"), tree.train.max_steps
        made = max((line["step"] for line in lines), default=0)  # a config may have asked for more
        if made >= asked or ends_early(counted(lines_of(lines, "tuning"), tree.train), tree.train.patience):
            return "finished", "finished before"
        return "waiting", f"finished {made:,} steps: goes on to {asked:,}"
    if (path / "checkpoints" / "latest").is_file():
        return "waiting", "broken off: goes on from its newest checkpoint"
    return "waiting", "broken off before its first checkpoint" if (path / "config.yaml").is_file() else NEW


def _beside(file: Path, config: str) -> str:
    """Return a config's name, or the path of a YAML file as seen from the sweep's own folder."""
    path = Path(config)
    return str(file.parent / path) if path.suffix in (".yaml", ".yml") else config


def _refuse_changes(folder: Path, plan: SweepConfig, trees: dict[str, PretrainConfig]) -> None:
    old = read_record(folder / RECORD, SweepRecord, "move it away: it is written again", absent=SweepRecord())
    changed: list[str] = []
    for arm, was in old.arms.items():
        if arm not in trees:
            changed.append(f"arm {arm} is gone")
            continue
        now = _arm(trees[arm])
        free = _FREE | _grown(was, trees[arm], [folder / f"{arm}-seed{seed}" for seed in old.seeds])
        keys = [key for key in {**was, **now} if key not in free and was.get(key) != now.get(key)]
        changed += [f"arm {arm}: {key} was {was.get(key)}, is {now.get(key)}" for key in keys]
        if _GROWS[0] in keys:
            train = {key.removeprefix("train."): value for key, value in was.items() if key.startswith("train.")}
            changed.append(how_to_grow(train))
    changed += [f"seed {seed} is gone" for seed in old.seeds if seed not in plan.seeds]
    if changed:
        raise ConfigError(
            str(folder), f"holds another sweep, expected the same: {'; '.join(dict.fromkeys(changed))}",
            "give the changed YAML another name, or put back what it was; arms and seeds may be added",
        )  # fmt: skip


def _grown(was: dict[str, Any], tree: PretrainConfig, runs: Sequence[Path]) -> set[str]:
    """Return the keys that name the steps, if those grew and every run of an arm may go on as `--resume` lets one."""
    now = tree.train
    if was[_GROWS[0]] >= now.max_steps:
        return set()
    made = [checkpoint for run in runs if (checkpoint := latest_checkpoint(run)) is not None]
    before = [(checkpoint.state.config, checkpoint.step) for checkpoint in made]
    may = all(config["train"]["max_steps"] == now.max_steps or longer(config, now, step) for config, step in before)
    return set(_GROWS) if may else set()


def _arm(tree: PretrainConfig) -> dict[str, Any]:
    resolved = flat(tree.model_dump(mode="json"))
    del resolved["train.seed"]
    return resolved


def _table(runs: Sequence[SweepRun], trees: dict[str, PretrainConfig]) -> tuple[ArmResult, ...]:
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


def _sd(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _write(folder: Path, trees: dict[str, PretrainConfig], runs: Sequence[SweepRun]) -> None:
    rows = [vars(row) for row in _table(runs, trees)]
    told = [{**vars(run), "path": run.path.name} for run in runs]
    arms = {arm: _arm(tree) for arm, tree in trees.items()}
    seeds = list(dict.fromkeys(run.seed for run in runs))
    (folder / LIST).unlink(missing_ok=True)  # what it lists changes from here on
    write_sealed(folder / RECORD, {"arms": arms, "seeds": seeds, "runs": told, "table": rows})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ArmResult.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / TABLE, text.getvalue())
    write_hashes(folder, (RECORD, TABLE))
