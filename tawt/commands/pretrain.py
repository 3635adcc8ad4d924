"""`tawt pretrain`: dataset -> packed batches -> a pretrained encoder, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tawt.commands.carried import place_for
from tawt.config.named import resolve_config
from tawt.config.train import PretrainConfig
from tawt.errors import ConfigError, TawtError
from tawt.runs.find import broken_off, find_run
from tawt.runs.load import read_saved
from tawt.runs.reader import with_reader
from tawt.runs.start import with_learned
from tawt.runs.training import TrainingResult, Wanted, train
from tawt.shell import command
from tawt.training.checkpoint import latest_checkpoint
from tawt.training.distributed import one_voice, open_world
from tawt.training.folder import Report, resume_command
from tawt.training.versions import read_versions

PretrainResult = TrainingResult


def pretrain(
    workspace: Path,
    config: str | Path | PretrainConfig = "pretrain_small",
    *,
    device: str = "auto",
    settings: Sequence[str] = (),
    out: Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> PretrainResult:
    """Pretrain an encoder on the train split of a workspace, with the other processes of `torchrun` if there are any.

    Args:
        workspace: Holds `dataset/` and `vocabulary/`.
        config: Name of a config that comes with tawt, a YAML file, or a config.
        device: auto, cpu, cuda or cuda:N.
        settings: Overrides, as in `["train.max_steps=80"]`.
        out: The run folder; default WORKSPACE/runs/NAME OF THE CONFIG.
        resume: Continue the run that is there; start it where there is no checkpoint yet.
        init: A run, or a shared model, whose weights a new run starts from, and whose vocabulary it reads.
        stale_ok: Train also on a dataset that is older than what it was made from; the run then says so.
        dry_run: Only say what would happen.
        report: Called with each event of the run: step, validation, checkpoint, stopped, note.

    Raises:
        ConfigError: The config does not hold, or the run folder is taken.
        DatasetError: The dataset is absent or broken.
        StaleError: The dataset is older than what it was made from.
        DeviceError: The device is not there.
        CheckpointError: What is to be resumed is broken, or has another config or vocabulary.
        TrainingError: A loss or gradient is not finite, or memory ran out.
        KeyboardInterrupt: The run was stopped; it can be resumed.
    """
    workspace = Path(workspace)
    with open_world(device) as world:
        tell: Report = report if report is not None and world.first else lambda event: None
        with one_voice(world, alike=True):
            name, tree = resolve_config(config, settings)
            if tree.objective.label.weight:
                raise ConfigError(
                    "objective.label.weight", "is above 0, expected no labels: `tawt pretrain` has none",
                    "learn from labels by `tawt finetune TASK`",
                )  # fmt: skip
            run = Path(out) if out is not None else workspace / "runs" / name
            again = resume_command(workspace, config, settings, device, out, init, stale_ok)
            begun = find_run(workspace, init) if init is not None else run if resume and _has_begun_from(run) else None
            start = read_saved(begun) if init is not None and begun is not None else None
            if start is not None:
                tree = tree.model_copy(update={"modalities": with_learned(tree.modalities, start)})
            at = None
            if begun is not None:
                at = place_for(workspace, begun, tell, stale_ok, makes=world.first, dry_run=dry_run)
                world.wait(patient=True)
            tree, reader = with_reader(workspace, run, tree, resume)
        wanted = Wanted(
            workspace, run, tree, again, device, resume, start, stale_ok=stale_ok, dry_run=dry_run, reader=reader, at=at
        )
        return train(wanted, world, tell)


def to_go_on_with(workspace: Path, default: str) -> Path | None:
    """Return the run that `--resume` means where none is named: the only one that was broken off; None = the default's.

    Raises:
        ConfigError: Several were.
    """
    runs = broken_off(workspace)
    if not runs or workspace / "runs" / default in runs:
        return None
    if len(runs) > 1:
        raise ConfigError(
            "--resume", f"may mean {' or '.join(run.name for run in runs)}, expected the folder of one",
            f"`{command('pretrain', workspace=workspace, out=runs[0], resume=True)}`",
        )  # fmt: skip
    return runs[0]


def _has_begun_from(run: Path) -> bool:
    """Whether a run that goes on has begun from weights, in whose vocabulary it reads.

    What is damaged, or no run's, has not: whoever goes on with it is told so.
    """
    with suppress(TawtError):
        made = read_versions(run)
        return made is not None and made.init is not None and latest_checkpoint(run) is not None
    return False
