"""`tawt pretrain`: dataset -> packed batches -> a pretrained encoder, resumable."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tawt.batching.loader import PackedLoader
from tawt.config.load import build, dump, load, merge, overrides
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import Split, TripletDataset, open_dataset
from tawt.errors import CheckpointError, ConfigError, nearest
from tawt.files import alone, publish_file, write_json, write_text
from tawt.models.build import build_model, count_parameters
from tawt.objectives.baselines import count_baselines
from tawt.resources import asset, asset_root
from tawt.training.checkpoint import WEIGHTS, Checkpoint, latest_checkpoint, load_checkpoint, save_weights
from tawt.training.device import Compute, choose_compute
from tawt.training.loop import Report, Trainer
from tawt.training.optim import make_optimizer
from tawt.training.plan import PretrainPlan, make_plan

LOCK = ".lock"
"""File of a run folder that the process which trains in it holds."""
MAY_CHANGE = ("checkpoint_every", "keep_checkpoints", "threads")
"""Keys of `train` that a resumed run may set anew: they leave the schedule and the data as they were."""


@dataclass(frozen=True)
class PretrainResult:
    """What a run did."""

    run: Path
    """The run folder."""
    plan: PretrainPlan
    """What it was to do."""
    weights: Path | None
    """RUN/model.safetensors; None after a dry run."""
    metrics: dict[str, dict[str, Any]]
    """The last line of metrics of `train` and `tuning`, as far as this process made them."""


def pretrain(
    workspace: Path,
    config: str | Path | PretrainConfig = "pretrain_small",
    *,
    device: str = "auto",
    settings: Sequence[str] = (),
    out: Path | None = None,
    resume: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> PretrainResult:
    """Pretrain an encoder on the train split of a workspace.

    Args:
        workspace: Holds `dataset/` and `vocabulary/`.
        config: Name of a config that comes with tawt, a YAML file, or a config.
        device: auto, cpu, cuda or cuda:N.
        settings: Overrides, as in `["train.max_steps=80"]`.
        out: The run folder; default WORKSPACE/runs/NAME OF THE CONFIG.
        resume: Continue the run that is there; start it where there is no checkpoint yet.
        dry_run: Only say what would happen.
        report: Called with each event of the run: step, validation, checkpoint, stopped, note.

    Raises:
        ConfigError: The config does not hold, or the run folder is taken.
        DatasetError: The dataset is absent or broken.
        DeviceError: The device is not there.
        CheckpointError: What is to be resumed is broken, or has another config or vocabulary.
        TrainingError: A loss or gradient is not finite, or memory ran out.
        KeyboardInterrupt: The run was stopped; it can be resumed.
    """
    workspace = Path(workspace)
    tell = report or (lambda event: None)
    name, tree = resolve_config(config, settings)
    run = Path(out) if out is not None else workspace / "runs" / name
    if run.exists() and not run.is_dir():
        raise ConfigError(str(run), "is a file, expected a run folder", "choose another with `--out DIR`")
    dataset = open_dataset(workspace)
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(_alone_in(run, resume, tell))
        checkpoint = _starting_point(run, resume, tree, dataset, tell)
        compute = choose_compute(device, tree.train.precision, tree.train.threads)
        if checkpoint is not None:
            _note_other_compute(checkpoint, compute, tell)
        train = _loader(dataset.split("train"), dataset, tree)
        model = build_model(tree.model, dataset.vocabulary, tree.train.seed)
        plan = make_plan(run, tree, train, count_parameters(model), compute, checkpoint)
        if dry_run:
            return PretrainResult(run, plan, None, {})
        tuning = _tuning(dataset, tree, tell)
        baselines = count_baselines(train.split.shards, dataset.vocabulary, tree.objective.max_value)
        model.heads.start_at(baselines.log_type, baselines.log_category, baselines.log_status)
        model.to(compute.device)
        optimizer = make_optimizer(model, tree.train)
        if checkpoint is not None:
            load_checkpoint(checkpoint, model, optimizer)
        # the folder comes last: what fails before leaves none behind
        _open_run(run, tree, workspace, compute)
        trainer = Trainer(
            run=run,
            config=tree,
            vocabulary=dataset.vocabulary,
            compute=compute,
            model=model,
            optimizer=optimizer,
            baselines=baselines.to(compute.device),
            train=train,
            tuning=tuning,
            state=_state(tree, dataset, compute),
            report=tell,
            resume_command=_resume_command(workspace, config, settings, device, out),
        )
        metrics = trainer.fit(plan.start_step)
        save_weights(model, run / WEIGHTS)
        return PretrainResult(run, plan, run / WEIGHTS, metrics)


def resolve_config(config: str | Path | PretrainConfig, settings: Sequence[str]) -> tuple[str, PretrainConfig]:
    """Return a config's name and its tree with the overrides laid on.

    Raises:
        ConfigError: There is no such config, or it does not hold.
    """
    if isinstance(config, PretrainConfig):
        return "pretrain", build(PretrainConfig, merge(config.model_dump(), overrides(settings)), "config")
    path = Path(config)
    if path.suffix not in (".yaml", ".yml"):
        shipped = asset_root() / "pipelines" / f"{config}.yaml"
        if not shipped.exists():
            known = [file.stem for file in asset("pipelines").glob("pretrain*.yaml")]
            raise ConfigError(
                f"--config {config}", "is no config, expected a name or a .yaml file", nearest(str(config), known)
            )
        path = shipped
    name = path.parent.name if path.stem == "config" else path.stem
    return name, load(PretrainConfig, path, settings)


@contextmanager
def _alone_in(run: Path, resume: bool, tell: Report) -> Iterator[None]:
    """Keep the run folder to this process, made where it is not there; one that stays empty goes again.

    A resumed run waits for the process that is still training in it; two would overwrite each other's checkpoints.
    """
    made = not run.exists()
    run.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        tell({"event": "note", "text": f"another process is training in {run}: waiting for it to end"})

    try:
        with ExitStack() as held:
            try:
                held.enter_context(alone(run / LOCK, waiting if resume else None))
            except BlockingIOError:
                raise ConfigError(
                    str(run), "is in use by another process, expected a new run folder",
                    "wait for it with `--resume`, or choose another with `--out DIR`",
                ) from None  # fmt: skip
            yield
    finally:
        if made and [path.name for path in run.iterdir()] == [LOCK]:
            (run / LOCK).unlink()
            run.rmdir()


def _starting_point(
    run: Path, resume: bool, config: PretrainConfig, dataset: TripletDataset, tell: Report
) -> Checkpoint | None:
    if not resume:
        if run.exists() and any(path.name != LOCK for path in run.iterdir()):
            raise ConfigError(
                str(run), "is there already, expected a new run folder",
                "continue it with `--resume`, or choose another with `--out DIR`",
            )  # fmt: skip
        return None
    checkpoint = latest_checkpoint(run)
    if checkpoint is None:
        tell({"event": "note", "text": f"{run} has no checkpoint yet: starting from the beginning"})
        return None
    vocabulary = checkpoint.state.get("vocabulary")
    if vocabulary != dataset.vocabulary.sha256:
        raise CheckpointError(
            str(checkpoint.folder),
            f"belongs to vocabulary {str(vocabulary)[:12]}, expected {dataset.vocabulary.sha256[:12]}",
            "give the workspace that the run was made in, or start a new run with `--out DIR`",
        )
    changed = _differences(checkpoint.state.get("config", {}), _comparable(config))
    if changed:
        raise CheckpointError(
            str(checkpoint.folder), f"was made with another config, expected the same: {'; '.join(changed)}",
            f"resume with `--config {run / 'config.yaml'} --out {run} --resume`, or start a new run with `--out DIR`",
        )  # fmt: skip
    tell({"event": "note", "text": f"resuming {run} after step {checkpoint.step}"})
    return checkpoint


def _note_other_compute(checkpoint: Checkpoint, compute: Compute, tell: Report) -> None:
    """Say where the rest of a run will not be bit-equal to what an uninterrupted one had made."""
    for name in ("threads", "precision"):
        was, now = checkpoint.state.get(name), getattr(compute, name)
        if was != now:
            text = f"{name} was {was} and is {now}: what follows is equal but for rounding"
            tell({"event": "note", "text": text})


def _comparable(config: PretrainConfig) -> dict[str, Any]:
    tree: dict[str, Any] = config.model_dump(mode="json")
    for key in MAY_CHANGE:
        tree["train"].pop(key)
    return tree


def _differences(was: Any, now: Any, at: str = "") -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [*was, *(key for key in now if key not in was)]
        return [d for key in keys for d in _differences(was.get(key), now.get(key), f"{at}.{key}".strip("."))]
    return [] if was == now else [f"{at} was {was}, is {now}"]


def _open_run(run: Path, config: PretrainConfig, workspace: Path, compute: Compute) -> None:
    run.mkdir(parents=True, exist_ok=True)
    write_text(run / "config.yaml", dump(config))
    aside = run / ".vocabulary.parquet.tmp"
    shutil.copyfile(workspace / "vocabulary" / "vocabulary.parquet", aside)
    publish_file(aside, run / "vocabulary.parquet")
    packages = ("tawt", "torch", "numpy", "pyarrow", "pydantic", "safetensors")
    versions = {name: metadata.version(name) for name in packages}
    about = {
        "packages": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": str(compute.device),
        "precision": compute.precision,
        "threads": compute.threads,
        "seed": config.train.seed,
        "reasons": compute.reasons,
    }
    write_json(run / "versions.json", about)


def _state(config: PretrainConfig, dataset: TripletDataset, compute: Compute) -> dict[str, Any]:
    return {
        "config": _comparable(config),
        "vocabulary": dataset.vocabulary.sha256,
        "seed": config.train.seed,
        "threads": compute.threads,
        "precision": compute.precision,
    }


def _tuning(dataset: TripletDataset, config: PretrainConfig, tell: Report) -> PackedLoader | None:
    split = dataset.split("tuning") if "tuning" in dataset.split_names else None
    if split is None or not split.n_triplets:
        tell({"event": "note", "text": "there is no tuning subject: no validation"})
        return None
    return _loader(split, dataset, config)


def _loader(split: Split, dataset: TripletDataset, config: PretrainConfig) -> PackedLoader:
    # masking makes the same-type gaps anew over what it leaves visible
    return PackedLoader(split, dataset.vocabulary, config.batching, config.train.seed, with_type_gaps=False)


def _resume_command(
    workspace: Path, config: str | Path | PretrainConfig, settings: Sequence[str], device: str, out: Path | None
) -> str:
    words = ["tawt pretrain -w", str(workspace)]
    if not isinstance(config, PretrainConfig) and str(config) != "pretrain_small":
        words += ["--config", str(config)]
    words += [] if device == "auto" else ["--device", device]
    words += [word for setting in settings for word in ("--set", setting)]
    words += ["--out", str(out)] if out is not None else []
    return " ".join([*words, "--resume"])
