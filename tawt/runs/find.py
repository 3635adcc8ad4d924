"""A run folder as it is read afterwards: its config as flat keys, its lines of metrics, its vocabulary's hash."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tawt.config.latent import KL
from tawt.config.load import build, read_yaml
from tawt.config.next_event import NEXT
from tawt.config.train import PretrainConfig
from tawt.contracts.dataset import VOCABULARY
from tawt.contracts.workspace import hold_workspace
from tawt.errors import CheckpointError, TawtError, nearest
from tawt.places import real
from tawt.seals import UNFINISHED, sha256_file
from tawt.shell import command, shell_line
from tawt.training.metrics import lines_of, read_metrics
from tawt.training.versions import Start, read_versions


def find_run(workspace: Path, run: str | Path) -> Path:
    """Return the folder of a run: the name of one in WORKSPACE/runs, or a folder.

    Raises:
        CheckpointError: It is neither.
        ConfigError: There is no workspace.
    """
    runs = workspace / "runs"
    for folder in (runs / run, Path(run)):
        if folder.is_dir():
            return folder
    hold_workspace(workspace)
    # one of a workspace beside this is called by both names in what is told of it
    name, _, home = str(run).rpartition("-of-")
    beside = [workspace.parent / home / "runs" / name] if home and name else []
    beside += [path.parent for path in workspace.parent.glob(f"*/runs/{glob.escape(Path(run).name)}/config.yaml")]
    known = [at.parent.relative_to(runs).as_posix() for way in ("*", "*/*") for at in runs.glob(f"{way}/config.yaml")]
    make = f"make one with `{command('pretrain', workspace=workspace)}`"
    if at := next((path for path in beside if (path / "config.yaml").is_file()), None):
        elsewhere = f"a run of another workspace is given by its folder: `--run {shell_line(str(at))}`"
        raise CheckpointError(
            f"run {run}", f"is no run of {workspace}, expected one, or a folder",
            elsewhere if known else f"{make}; {elsewhere}",
        )  # fmt: skip
    raise CheckpointError(
        f"run {run}", f"is neither a run of {workspace} nor a folder, expected one or the other",
        nearest(str(run), known) or make,
    )  # fmt: skip


def broken_off(workspace: Path) -> list[Path]:
    """Return the runs of a workspace that were pretrained for a while and are not finished; damaged ones are none."""
    found = []
    for at in sorted((workspace / "runs").glob(f"*/{UNFINISHED}")):
        with suppress(TawtError):
            if not flat_config(at.parent)["objective.label.weight"] and any(at.parent.glob("checkpoints/step-*")):
                found.append(at.parent)
    return found


def no_run(run: Path, what: str) -> CheckpointError:
    """Return the error of a folder that is none, with the runs in it (of a sweep), that around it (of a checkpoint), or
    how one is made."""
    within = [f"`{path.parent}`" for path in sorted(run.glob("*/config.yaml"))][:3]
    around = next((at for at in list(run.parents)[:2] if (at / "config.yaml").is_file()), None)
    if not within and around is not None:
        return CheckpointError(str(run), what, f"give the run that it is of, `{around}`")
    workspace = workspace_of(run)
    make = f"make one with `{command('pretrain', workspace=workspace)}`" if workspace else "give one of `tawt pretrain`"
    return CheckpointError(str(run), what, f"give one in it, as {' or '.join(within)}" if within else make)


def workspace_of(run: Path) -> Path | None:
    """Return the workspace that a run lies in, by itself or in its sweep; None where it lies elsewhere."""
    return next((at.parent for at in list(run.parents)[:2] if at.name == "runs"), None)


def called(workspace: Path, run: Path) -> str:
    """Return what a run is called in a workspace: one of another by both names, as many runs are called alike."""
    home = workspace_of(run.resolve())
    of_another = home is not None and real(home) != real(workspace)
    return f"{run.resolve().name}-of-{home.name}" if home is not None and of_another else run.resolve().name


@dataclass(frozen=True)
class RunFolder:
    """One run, finished or not."""

    path: Path
    """Where it is."""
    name: str
    """Name of the folder, with as many of its parents as it takes to tell runs apart."""
    config: dict[str, Any]
    """The resolved config, `section.key` -> value."""
    metrics: tuple[dict[str, Any], ...]
    """Lines of metrics.jsonl."""

    @cached_property
    def init(self) -> Start | None:
        """The weights that it was begun from; None where they are those of its seed."""
        made = read_versions(self.path)
        return made.init if made is not None else None

    @cached_property
    def vocabulary(self) -> str:
        """SHA-256 of the vocabulary; empty where there is none."""
        path = self.path / VOCABULARY
        return sha256_file(path) if path.is_file() else ""

    def weight(self, part: str) -> float | None:
        """Return what a part weighs in the sum; None where the config does not say."""
        objective, own = "masked", part
        if part in NEXT:
            objective, own = "next", part.removeprefix("next_")
        elif part.startswith("forecast_"):
            objective, _, own = part.partition("_")
        keys: tuple[str, ...] = (f"{objective}.weight", f"{objective}.{own}_weight")
        if part in ("contrastive", "paired"):
            keys = (f"{part}.weight",)
        elif part == KL:
            keys = ("next.weight", "latent.beta")
        found = [self.config[name] for key in keys if (name := f"objective.{key}") in self.config]
        return math.prod(found) if len(found) == len(keys) else None

    def lines(self, split: str) -> list[dict[str, Any]]:
        """Return the lines of one split, by step."""
        return lines_of(self.metrics, split)


def read_runs(folders: Iterable[Path]) -> list[RunFolder]:
    """Read run folders.

    Raises:
        CheckpointError: One has no config.yaml.
        ConfigError: A config.yaml is no YAML.
    """
    paths = [Path(folder) for folder in folders]
    return [
        RunFolder(path, name, flat_config(path), tuple(read_metrics(path / "metrics.jsonl")))
        for path, name in zip(paths, _names(paths), strict=True)
    ]


def flat_config(run: Path) -> dict[str, Any]:
    """Return the keys of RUN/config.yaml, `section.key` -> value.

    Raises:
        CheckpointError: There is none.
        ConfigError: It is no YAML, or no config.
    """
    if not (run / "config.yaml").is_file():
        raise no_run(run, "has no config.yaml, expected a run folder")
    tree, places = read_yaml(run / "config.yaml")
    try:  # keys that have come since the run are at their defaults
        tree = PretrainConfig.model_validate(tree).model_dump(mode="json")
    except ValidationError as error:  # keys that have gone since the run are shown as they are
        if any(wrong["type"] != "extra_forbidden" for wrong in error.errors()):
            build(PretrainConfig, tree, str(run / "config.yaml"), places)
    return flat(tree)


def flat(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Return a nested mapping as one of dotted keys."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= flat(value, f"{at}{key}.") if isinstance(value, Mapping) else {f"{at}{key}": value}
    return out


def parts_of(line: Mapping[str, Any]) -> list[str]:
    """Return the parts of the loss that a line of metrics has."""
    return [key.removeprefix("loss_") for key in line if key.startswith("loss_")]


def loss_key(part: str) -> str:
    """Return the key of a part's loss; `all` is the weighted sum."""
    return "loss" if part == "all" else f"loss_{part}"


def baseline_key(part: str) -> str:
    """Return the key of a part's trivial baseline."""
    return "baseline" if part == "all" else f"baseline_{part}"


def _names(paths: list[Path]) -> list[str]:
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names
