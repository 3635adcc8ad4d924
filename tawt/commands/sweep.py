"""`tawt sweep`: arms times seeds, run in turn and resumable, to one table of means and standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.commands.pretrain import pretrain
from tawt.commands.sweep_table import ArmResult, SweepRun, flat_arm, table_of, write_table
from tawt.config.load import load
from tawt.config.named import resolve_config
from tawt.config.sweep import SweepConfig, SweepRecord
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import fingerprint_of, open_dataset
from tawt.errors import ConfigError, RoomError, TawtError
from tawt.files import alone
from tawt.pipeline.fresh import hold_fresh
from tawt.readers import read_record
from tawt.room import room_error
from tawt.runs.find import flat
from tawt.seals import LIST
from tawt.shell import command
from tawt.training.best import is_over
from tawt.training.checkpoint import latest_checkpoint
from tawt.training.folder import MAY_CHANGE, Report, comparable, how_to_grow, longer
from tawt.training.metrics import lines_of, read_metrics
from tawt.training.outputs import LOCK, RECORD, refuse_no_sweep

_GROWS = ("train.max_steps", "train.warmup_steps")
_FREE = {f"{section}.{key}" for section, keys in MAY_CHANGE.items() for key in keys}
_OTHER = "give the changed YAML another name, or put back what it was; arms and seeds may be added"
NEW = "new"
"""Why a run is run that has not begun."""


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
    stale_ok: bool = False,
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
        stale_ok: Train also on a dataset that is older than what it was made from; the runs then say so.
        dry_run: Only say what would run, and why.
        report: Called with the events of each run, and with `run` events of the sweep itself.

    Raises:
        ConfigError: The YAML, or the config of an arm, does not hold, has changed since, or the sweep is running.
        DatasetError: The dataset is absent or broken.
        StaleError: The dataset is older than what it was made from.
        KeyboardInterrupt: A run was stopped; the same command goes on with it.
    """
    workspace, file = Path(workspace), Path(file)
    tell = report or (lambda event: None)
    plan = load(SweepConfig, file)
    base = _beside(file, plan.config)
    trees = {arm: resolve_config(base, (*plan.settings, *own))[1] for arm, own in plan.arms.items()}
    for note in _alike(trees):
        tell({"event": "note", "text": note})
    folder = workspace / "runs" / file.stem
    refuse_no_sweep(folder, workspace)
    read = what_is_read(workspace)  # where there is nothing, every run would fail
    hold_fresh(workspace, stale_ok, lambda text: tell({"event": "note", "text": text}))
    _refuse_changes(folder, plan, trees, read)
    todo = [(arm, seed, folder / f"{arm}-seed{seed}") for seed in plan.seeds for arm in plan.arms]
    if dry_run:
        runs = [SweepRun(arm, seed, path, *_state(path, trees[arm])) for arm, seed, path in todo]
        return SweepResult(folder, tuple(runs), table_of(runs, trees))
    folder.mkdir(parents=True, exist_ok=True)
    again = command("sweep", file, workspace=workspace, device=None if device == "auto" else device, stale_ok=stale_ok)
    in_use = ConfigError(str(folder), "is in use by another process, expected to sweep alone", "wait for it to end")
    with alone(folder / LOCK, in_use):
        return _run_all(workspace, folder, trees, read, todo, device, stale_ok, tell, again)


def what_is_read(workspace: Path) -> dict[str, str]:
    """Return the vocabulary and the dataset that a run in a workspace would be of, by their hashes.

    Raises:
        DatasetError: The dataset is absent or broken.
    """
    dataset = open_dataset(workspace)
    splits = [dataset.split(name) for name in ("train", "tuning") if name in dataset.split_names]
    return {"vocabulary": dataset.vocabulary.sha256, "dataset": fingerprint_of(splits)}


def _run_all(
    workspace: Path,
    folder: Path,
    trees: dict[str, PretrainConfig],
    read: dict[str, str],
    todo: Sequence[tuple[str, int, Path]],
    device: str,
    stale_ok: bool,
    tell: Report,
    again: str,
) -> SweepResult:
    def heard(event: dict[str, Any]) -> None:
        tell(event | {"resume": again} if event.get("event") == "stopped" else event)

    runs = [SweepRun(arm, seed, path, *_state(path, trees[arm])) for arm, seed, path in todo]
    for i, run in enumerate(runs):
        tell({"event": "run", "arm": run.arm, "seed": run.seed, "number": i + 1, "n_runs": len(runs), **_why(run)})
        if run.state != "finished":
            _refuse_others(workspace / "dataset", _others(read, what_is_read(workspace)))
            tree = _seeded(trees[run.arm], run.seed)
            try:
                resume = run.reason != NEW
                pretrain(workspace, tree, device=device, out=run.path, resume=resume, stale_ok=stale_ok, report=heard)
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
            else:
                _refuse_others(run.path, _other_run(run.path, tree, run.seed, read))
        write_table(folder, trees, read, runs)
    return SweepResult(folder, tuple(runs), table_of(runs, trees))


def _why(run: SweepRun) -> dict[str, str]:
    return {"state": "skipped" if run.state == "finished" else "running", "reason": run.reason}


def _state(path: Path, tree: PretrainConfig) -> tuple[str, str]:
    if (path / LIST).is_file():
        lines, newest = read_metrics(path / "metrics.jsonl"), latest_checkpoint(path)
        made = max((line["step"] for line in lines), default=0) if newest is None else newest.step
        if is_over(made, lines_of(lines, "tuning", made), tree.train):
            return "finished", "finished before"
        return "waiting", f"finished {made:,} steps: goes on to {tree.train.max_steps:,}"
    if (path / "checkpoints" / "latest").is_file():
        return "waiting", "broken off: goes on from its newest checkpoint"
    return "waiting", "broken off before its first checkpoint" if (path / "config.yaml").is_file() else NEW


def _alike(trees: dict[str, PretrainConfig]) -> list[str]:
    """Return what to say of arms whose runs would be equal, each beside the first that is like it."""
    arms = list(trees)
    first = {arm: next(other for other in arms if trees[other] == trees[arm]) for arm in arms}
    return [
        f"arm {arm} has the same config as arm {like}: its runs are equal to those"
        for arm, like in first.items() if arm != like
    ]  # fmt: skip


def _beside(file: Path, config: str) -> str:
    """Return a config's name, or the path of a YAML file as seen from the sweep's own folder."""
    path = Path(config)
    return str(file.parent / path) if path.suffix in (".yaml", ".yml") else config


def _other_run(run: Path, tree: PretrainConfig, seed: int, read: dict[str, str]) -> list[str]:
    """Return in what a run that has a checkpoint differs from what its name says, but for steps, which may grow."""
    made = latest_checkpoint(run)
    if made is None:
        return []
    was, now = flat(made.state.config), flat(comparable(_seeded(tree, seed)))
    keys = [key for key in was.keys() & now.keys() if key not in _GROWS and was[key] != now[key]]
    other = [f"{key} was {was[key]}, is {now[key]}" for key in sorted(keys)]
    return other + _others({what: getattr(made.state, what) for what in read}, read)


def _others(was: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return which of vocabulary and dataset are others; one that is not told is none."""
    return [f"{what} was {was[what][:12]}, is {now[what][:12]}" for what in was if was[what] != now[what]]


def _seeded(tree: PretrainConfig, seed: int) -> PretrainConfig:
    return tree.model_copy(update={"train": tree.train.model_copy(update={"seed": seed})})


def _refuse_others(where: Path, others: list[str]) -> None:
    if others:  # losses of different data would stand in one table
        raise ConfigError(
            str(where), f"is not what the sweep began with, expected the same: {'; '.join(others)}", _OTHER
        )


def _refuse_changes(folder: Path, plan: SweepConfig, trees: dict[str, PretrainConfig], read: dict[str, str]) -> None:
    old = read_record(
        folder / RECORD, SweepRecord, "move it away: it is written again", absent=SweepRecord(), sealed=True
    )
    changed: list[str] = []
    for arm, was in old.arms.items():
        if arm not in trees:
            changed.append(f"arm {arm} is gone")
            continue
        now = flat_arm(trees[arm])
        free = _FREE | _grown(was, trees[arm], [folder / f"{arm}-seed{seed}" for seed in old.seeds])
        keys = [key for key in {**was, **now} if key not in free and was.get(key) != now.get(key)]
        changed += [f"arm {arm}: {key} was {was.get(key)}, is {now.get(key)}" for key in keys]
        if _GROWS[0] in keys:
            train = {key.removeprefix("train."): value for key, value in was.items() if key.startswith("train.")}
            changed.append(how_to_grow(train))
    changed += [f"seed {seed} is gone" for seed in old.seeds if seed not in plan.seeds]
    changed += _others({what: was for what in read if (was := getattr(old, what))}, read)
    if not changed:
        runs = ((folder / f"{arm}-seed{seed}", tree, seed) for arm, tree in trees.items() for seed in plan.seeds)
        changed = [f"{run.name}: {other}" for run, tree, seed in runs for other in _other_run(run, tree, seed, read)]
    if changed:
        raise ConfigError(
            str(folder), f"holds another sweep, expected the same: {'; '.join(dict.fromkeys(changed))}",
            _OTHER,
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
