"""The run folder: one process at a time trains in it, and it tells how it was made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tawt.config.train import PretrainConfig, TrainConfig
from tawt.contracts.run import METRICS, read_unfinished
from tawt.errors import CheckpointError, ConfigError, nearest
from tawt.files import alone, made_folder
from tawt.places import refuse_links
from tawt.seals import LIST, changed_files, hold, sha256_file
from tawt.shell import command, shell_line
from tawt.training.best import lost_best
from tawt.training.checkpoint import ANOTHER, OPTIMIZER, WEIGHTS, Checkpoint, latest_checkpoint
from tawt.training.device import Compute
from tawt.training.metrics import HINT, lines_of, read_metrics
from tawt.training.optim import same_steps, warmup_steps
from tawt.training.outputs import LOCK, is_run
from tawt.training.versions import read_versions

MAY_CHANGE = {
    "train": ("checkpoint_every", "keep_checkpoints", "threads", "parallel", "activation_checkpointing", "compile",
              "loggers", "log_every", "health_every"),
    "batching": ("prefetch",),
    "model": ("kernel",),
}  # fmt: skip
"""Keys that a resumed run may set anew: they change no result, but for rounding."""
Report = Callable[[dict[str, Any]], None]
"""Hears the events of a run."""


@contextmanager
def alone_in(run: Path, workspace: Path, resume: bool, report: Report, again: str) -> Iterator[None]:
    """Keep the run folder to this process, made where it is not there; what of it stays empty goes again.

    A resumed run waits for the process that is still training in it; two would overwrite each other's checkpoints.
    `again` is the command that resumes it, for the hint.

    Raises:
        ConfigError: Another process trains in it, and this one is not to resume.
        FileError: It is or holds a link to another folder, or lies behind one in its workspace.
    """
    refuse_links(workspace, run, inner=True)
    made = not run.exists()

    def waiting() -> None:
        report({"event": "note", "text": f"another process is training in {run}: waiting for it to end"})

    in_use = ConfigError(
        str(run), "is in use by another process, expected a new run folder",
        f"wait for it with `{again}`, or choose another with `--out DIR`",
    )  # fmt: skip
    with made_folder(run), alone(run / LOCK, waiting if resume else in_use):
        try:
            yield
        finally:
            if made and [path.name for path in run.iterdir()] == [LOCK]:
                (run / LOCK).unlink()


def starting_point(
    run: Path,
    resume: bool,
    config: PretrainConfig,
    vocabulary: str,
    dataset: str,
    report: Report,
    workspace: Path,
    again: str,
) -> Checkpoint | None:
    """Return the checkpoint to go on from; None for a new run.

    Args:
        run: The run folder.
        resume: Whether a run may be there.
        config: It must be the same, but for `MAY_CHANGE`.
        vocabulary: Hash of the vocabulary, which must be the same.
        dataset: Fingerprint of the dataset, which must be the same.
        report: Hears a note.
        workspace: Holds the dataset; for hints.
        again: The command that resumes the run; for hints.

    Raises:
        ConfigError: There is a run already, and it is not to be resumed.
        CheckpointError: What is there is broken, or has another config, vocabulary or dataset.
    """
    if not resume:
        if run.exists() and any(path.name != LOCK for path in run.iterdir()):
            raise ConfigError(
                str(run), "is there already, expected a new run folder",
                f"continue it with `{again}`, or choose another with `--out DIR`",
            )  # fmt: skip
        return None
    # its files will be listed as they are then: what is damaged now would be listed as good; checkpoints have lists of
    # their own, and another may have been chosen; the card is the user's to fill in
    for name in changed_files(run) or ():
        if (run / name).exists() and not name.startswith("checkpoints/") and name != "README.md":
            raise CheckpointError(
                str(run / name), "is not as it was written, expected the file that was listed by its hash",
                "take it from a copy, or start a new run with `--out DIR`",
            )  # fmt: skip
    checkpoint, told = latest_checkpoint(run), read_unfinished(run)
    if checkpoint is None and ((told is not None and told.step) or (run / LIST).exists()):
        raise CheckpointError(
            str(run / "checkpoints"), "holds no checkpoint, expected those of the steps that the run has made",
            "take them from a copy, or start a new run with `--out DIR`",
        )  # fmt: skip
    if checkpoint is None:
        # no error: whoever starts a job again and again asks for `--resume` from the first time on
        if run.is_dir() and any(path.name != LOCK for path in run.iterdir()):
            text = f"{run} has no checkpoint yet: starting from the beginning"
        else:
            if not run.is_absolute() and is_run(named := workspace / "runs" / run):
                raise CheckpointError(
                    str(run), f"is new, and {named} is a run, expected the folder of the run to go on with",
                    f"give `--out {shell_line(str(named))}`, or leave out `--resume` for a new run in {run}",
                )  # fmt: skip
            meant = nearest(run.name, [path.parent.name for path in run.parent.glob("*/config.yaml")])
            text = f"{run} is new: nothing to resume, a run starts there" + (f" ({meant})" if meant else "")
        report({"event": "note", "text": text})
        return None
    hold(checkpoint.folder, (WEIGHTS, OPTIMIZER), ANOTHER, CheckpointError)
    for name, here in (("vocabulary", vocabulary), ("dataset", dataset)):
        there = getattr(checkpoint.state, name)
        if there != here:
            raise CheckpointError(
                str(checkpoint.folder), f"belongs to {name} {there[:12]}, expected {here[:12]}",
                "give the workspace as it was when the run was made, or start a new run with `--out DIR`",
            )  # fmt: skip
    was, now = _as_now(checkpoint.state.config), comparable(config)
    more = longer(was, config.train, checkpoint.step)
    if changed := _differences(was | ({"train": {**was["train"], **more}} if more else {}), now):
        if any(text.startswith("train.max_steps ") for text in changed):
            changed.append(how_to_grow(was.get("train", {})))
        raise CheckpointError(
            str(checkpoint.folder), f"was made with another config, expected the same: {'; '.join(changed)}",
            f"resume with `{resume_command(workspace, run / 'config.yaml', (), 'auto', run)}`, or start a new run with "
            "`--out DIR`",
        )  # fmt: skip
    if checkpoint.step > config.train.max_steps:
        raise CheckpointError(
            str(checkpoint.folder), f"is of step {checkpoint.step:,}, expected at most {config.train.max_steps:,}, the "
            "last of the run", "name an earlier one in `checkpoints/latest`, or start a new run with `--out DIR`",
        )  # fmt: skip
    if more:
        text = f"train.max_steps was {was['train']['max_steps']:,} and is {config.train.max_steps:,}"
        report({"event": "note", "text": text})
    if not (run / "checkpoints" / "latest").exists():
        report({"event": "note", "text": "checkpoints/latest is not there: the newest whole checkpoint is taken"})
    report({"event": "note", "text": f"resuming {shell_line(str(run))} after step {checkpoint.step}"})
    metrics, step = run / METRICS, checkpoint.step
    made = [line for line in read_metrics(metrics, step) if line["step"] <= step]
    if told is not None and not told.lines_hold(metrics):
        what = f"has not the lines that it had after step {told.step:,}, expected them as they were written"
        raise CheckpointError(str(metrics), what, HINT)
    lost_best(run, lines_of(made, "tuning"), config.train)
    # no line may have been due: `log_every` may have been another
    if not metrics.exists() or (not made and 0 < config.train.validate_every <= step):
        text = "metrics.jsonl has no line of the steps made: curves, keep_best and patience begin here"
        report({"event": "note", "text": text})
    return checkpoint


def note_other_compute(checkpoint: Checkpoint, compute: Compute, n_processes: int, report: Report) -> None:
    """Say where the rest of a run will not be bit-equal to what an uninterrupted one had made."""
    now = {"threads": compute.threads, "precision": compute.precision, "processes": n_processes}
    for name, value in now.items():
        was = getattr(checkpoint.state, name)
        if was != value:
            text = f"{name} was {was} and is {value}: what follows is equal but for rounding"
            report({"event": "note", "text": text})


def refuse_other_start(run: Path, init: Path | None, checkpoint: Checkpoint | None) -> None:
    """Refuse to go on with a run from other weights than it was begun from.

    One that has a checkpoint needs not be given them again: it goes on from its own.

    Raises:
        ConfigError: It is to.
    """
    versions = read_versions(run)
    if versions is None or (init is None and checkpoint is not None):
        return
    began = versions.init
    if (began.sha256 if began else None) != (sha256_file(init) if init is not None else None):
        weights = f"the weights {os.path.normpath(run / began.weights)}" if began else "the weights of its seed"
        give = (
            "leave out `--init`: it goes on from its checkpoint" if checkpoint else "give `--init` as it was given then"
        )
        raise ConfigError(
            str(run), f"was begun from {weights}, expected the same", f"{give}, or a new run with `--out DIR`"
        )


def comparable(config: PretrainConfig) -> dict[str, Any]:
    """Return the config without what a resumed run may change."""
    tree: dict[str, Any] = config.model_dump(mode="json")
    for section, keys in MAY_CHANGE.items():
        for key in keys:
            tree[section].pop(key)
    return tree


def resume_command(
    workspace: Path,
    config: str | Path | PretrainConfig,
    settings: Sequence[str],
    device: str,
    out: Path | None,
    init: str | Path | None = None,
    stale_ok: bool = False,
) -> str:
    """Return the command line that continues a run."""
    named = not isinstance(config, PretrainConfig) and str(config) != "pretrain_small"
    return command(
        "pretrain", workspace=workspace, config=config if named else None, device=None if device == "auto" else device,
        set=list(settings), out=out, init=init, stale_ok=stale_ok, resume=True,
    )  # fmt: skip


def _as_now(config: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's config with the keys that have come since, at their defaults."""
    try:
        return comparable(PretrainConfig.model_validate(config))
    except ValidationError:  # a key has gone, or means something else: what differs is told
        return config


def longer(was: dict[str, Any], now: TrainConfig, steps: int) -> dict[str, int]:
    """Return `max_steps` and `warmup_steps` as they are now, if steps grew and those made were the same."""
    try:
        before = TrainConfig.model_validate(was["train"])
    except (KeyError, ValidationError):
        return {}
    grown = before.max_steps < now.max_steps and same_steps(before, now, steps)
    return {"max_steps": now.max_steps, "warmup_steps": now.warmup_steps} if grown else {}


def how_to_grow(was: dict[str, Any]) -> str:
    """Return how the steps of a `train` section may grow: under which schedules, and with the warm-up that was cut."""
    said = "`train.max_steps` may grow under `stable`, before its decay, `inverse_sqrt` and `constant`"
    try:
        before = TrainConfig.model_validate(was)
    except ValidationError:
        return said
    cut = warmup_steps(before)
    return said + (f", with `train.warmup_steps={cut}`, to which max_steps had cut it" * (cut < before.warmup_steps))


def _differences(was: Any, now: Any, at: str = "") -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [*was, *(key for key in now if key not in was)]
        return [d for key in keys for d in _differences(was.get(key), now.get(key), f"{at}.{key}".strip("."))]
    return [] if was == now else [f"{at} was {was}, is {now}"]
