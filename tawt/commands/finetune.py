"""`tawt finetune`: a pretrained encoder and a label set -> a run that answers a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tawt.batching.loader import PackedLoader
from tawt.commands.carried import place_for
from tawt.commands.teach import names_of, teach
from tawt.config.base import one_or_more
from tawt.config.load import build, merge, overrides, read_yaml
from tawt.config.modalities import Fusion
from tawt.config.named import config_file
from tawt.config.train import PretrainConfig
from tawt.contracts.cells import few
from tawt.dataset.reader import TripletDataset, fingerprint_of, open_dataset
from tawt.errors import ConfigError, nearest
from tawt.files import digest
from tawt.heads.label_set import LabelSet
from tawt.heads.labels import label_file, read_labels
from tawt.heads.statics import with_statics
from tawt.heads.targets import Task, describe, make_task
from tawt.modalities.contents import open_contents
from tawt.modalities.encoders.made import KINDS
from tawt.pipeline.fresh import hold_labels
from tawt.runs.find import called, find_run
from tawt.runs.load import Saved, read_saved
from tawt.runs.start import with_learned
from tawt.runs.teacher import Taught, Teacher
from tawt.runs.training import TrainingResult, Wanted, train
from tawt.seals import sha256_file
from tawt.shell import command
from tawt.training.device import choose_compute
from tawt.training.distributed import one_voice, open_world
from tawt.training.folder import Report

Mode = Literal["probe", "head", "last-k", "lora", "full"]
VALIDATIONS = 2
"""A pass over the training labels is validated so often."""
_TRAINS = {"probe": "head", "head": "head", "last-k": "last", "lora": "lora", "full": "full"}


def finetune(
    workspace: Path,
    task: str | Path,
    run: str | Path,
    *,
    mode: Mode = "full",
    config: str | Path = "finetune",
    epochs: float = 8.0,
    kind: str | None = None,
    fusion: Fusion | None = None,
    device: str = "auto",
    settings: Sequence[str] = (),
    out: Path | None = None,
    resume: bool = False,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> TrainingResult:
    """Learn a task from labels, starting from a pretrained encoder; by the same loop as `pretrain`, and as resumable.

    Args:
        workspace: Holds `dataset/` and `vocabulary/`.
        task: Name of a label set in WORKSPACE/labels, or a Parquet file of labels.
        run: A run folder, the name of one in WORKSPACE/runs, or a shared model.
        mode: What learns: a linear probe of the embeddings, solved at once; the head alone; it and the last blocks; it
            and low-rank updates; everything.
        config: Name of a config that comes with tawt, or a YAML file; `model` and `batching` are those of the run.
        epochs: Passes over the training labels.
        kind: What is asked, where the columns of the labels leave it open.
        fusion: How images and waveforms of the workspace join the record; None = as config and run say.
        device: auto, cpu, cuda or cuda:N.
        settings: Overrides, as in `["train.lr=3e-4"]`.
        out: The run folder; default WORKSPACE/runs/RUN-TASK-MODE, where a run of another
            workspace is called RUN-of-WORKSPACE.
        resume: Continue the run that is there; start it where there is no checkpoint yet.
        stale_ok: Train also on a dataset or labels that are older than what they were made from; the run then says so.
        dry_run: Only say what would happen.
        report: Called with each event of the run.

    Raises:
        ConfigError: The labels or the config do not hold, or the run folder is taken.
        CheckpointError: The run is absent or broken, has another vocabulary, or cannot be resumed.
        DatasetError: The dataset is absent or broken.
        StaleError: The dataset or the labels are older than what they were made from.
        DeviceError: The device is not there.
        TrainingError: A loss or gradient is not finite, or memory ran out.
        KeyboardInterrupt: The run was stopped; it can be resumed.
    """
    workspace = Path(workspace)
    if mode == "probe" and fusion is not None:
        raise ConfigError(
            f"--fusion {fusion}", "joins by what is learned, and a probe learns none of it, expected another mode",
            "use `--mode head`: all else of the run stays as it is",
        )  # fmt: skip
    if mode not in _TRAINS:
        raise ConfigError(f"--mode {mode}", f"is none, expected one of {', '.join(_TRAINS)}", nearest(mode, _TRAINS))
    with open_world(device) as world:
        tell: Report = report if report is not None and world.first else lambda event: None
        with one_voice(world, alike=True):
            file = label_file(workspace, task)
            hold_labels(workspace, file, stale_ok)
            folder = find_run(workspace, run)
            saved = read_saved(folder)
            at = place_for(workspace, folder, tell, stale_ok, makes=world.first, dry_run=dry_run)
            world.wait(patient=True)
            dataset = open_dataset(at)
            tree = _config(saved, config, mode, settings, {} if fusion is None else _looking(at, fusion))
            learns = tree.objective.label.self_training
            labels = read_labels(file, kind, unlabelled=learns.weight > 0)
            made = _task(labels, dataset, tree, tell)
            tree = _with_steps(tree, mode, epochs, dataset, made, settings)
            place = (
                Path(out)
                if out is not None
                else workspace / "runs" / f"{called(workspace, folder)}-{labels.name}-{mode}"
            )
            again = command(
                "finetune", task, workspace=workspace, run=run, mode=mode, config=config, epochs=epochs, kind=kind,
                fusion=fusion, device=None if device == "auto" else device, set=list(one_or_more(settings)), out=out,
                stale_ok=stale_ok, resume=True,
            )  # fmt: skip
            teacher = _teacher(folder, saved, made, dataset, tree, device) if learns.weight else None
        wanted = Wanted(
            workspace, place, tree, again, device, resume, saved, made, teacher, stale_ok, dry_run, file, at
        )
        return train(wanted, world, tell)


def _teacher(
    run: Path, saved: Saved, task: Task, dataset: TripletDataset, tree: PretrainConfig, device: str
) -> Teacher:
    """Return who answers the prediction times without a label; it learns when it is asked."""
    if not task.targets.taught.any():
        raise ConfigError(
            "objective.label.self_training.weight",
            "is above 0 and each prediction time of train has a label, expected some without",
            "leave the value of such rows empty in the label set, or set it to 0",
        )  # fmt: skip
    config, label = tree.objective.label.self_training, tree.objective.label
    splits = [dataset.split(name) for name in ("train", "tuning") if name in dataset.split_names]
    made_of = digest([
        sha256_file(saved.weights), fingerprint_of(splits), task.spec.model_dump(mode="json"), label.n_bins,
        list(config.with_baselines),
    ])  # fmt: skip

    def says() -> Taught:
        compute = choose_compute(device, tree.train.precision, tree.train.threads)
        return teach(run, task, dataset, config, compute)

    return Teacher(config, names_of(config), made_of, says)


def _looking(workspace: Path, fusion: Fusion) -> dict[str, Any]:
    """Return what is looked at beside the records: all that the workspace has, joined in a way."""
    if fusion not in get_args(Fusion):
        ways = get_args(Fusion)
        raise ConfigError(f"--fusion {fusion}", f"is none, expected one of {', '.join(ways)}", nearest(fusion, ways))
    contents = open_contents(workspace)
    codes = () if contents is None else contents.codes
    found: dict[str, Any] = {
        name: {} for name, one in KINDS.items() if any(code.startswith(one.prefix) for code in codes)
    }
    if not found:
        prefixes = ", ".join(f"{one.prefix}..." for one in KINDS.values())
        raise ConfigError(
            f"--fusion {fusion}", f"finds no contents of events {prefixes} in {workspace}, expected some",
            "ingest them (docs/guides/images.md), or leave it out",
        )  # fmt: skip
    return {"modalities": {**found, "fusion": {"how": fusion}}}


def _config(
    saved: Saved, config: str | Path, mode: Mode, settings: Sequence[str], looking: dict[str, Any]
) -> PretrainConfig:
    """Return the run's model and windows, with what the config and the settings say of the rest."""
    path = config_file(config)
    given, places = read_yaml(path)
    own = saved.config.model_dump()
    plain = PretrainConfig().model_dump()
    tree: dict[str, Any] = {**plain, **{key: own[key] for key in ("model", "batching", "modalities")}}
    tree = merge(merge(tree, given), looking)
    if mode == "probe":
        tree = merge(tree, {"train": {"keep_best": 0, "final": "last", "patience": 0}, "augment": plain["augment"]})
    label = {"weight": tree["objective"]["label"].get("weight") or 1.0, "trains": _TRAINS[mode]}
    tree = merge(tree, {"objective": {"label": label}})
    made = build(PretrainConfig, merge(tree, overrides(settings)), str(path), places, one_or_more(settings))
    return made.model_copy(update={"modalities": with_learned(made.modalities, saved)})


def _task(labels: LabelSet, dataset: TripletDataset, tree: PretrainConfig, tell: Report) -> Task:
    """Return the task, and tell whom it leaves out."""
    known = {name: np.isin(labels.subject_id, dataset.split(name).subject_ids) for name in dataset.split_names}
    labels = labels.rows(known["train"] | ~labels.without)  # elsewhere nothing is learned
    known = {name: np.isin(labels.subject_id, dataset.split(name).subject_ids) for name in dataset.split_names}
    outside = int((~np.any(list(known.values()), axis=0)).sum())
    if outside:
        text = f"{labels.name}: {few(outside)} of {len(labels):,} labels are of subjects whom the dataset does not have"
        tell({"event": "note", "text": text})
    spec = describe(labels, known["train"], tree.objective.label)
    task = make_task(labels, spec, tree.objective.label)
    if not tree.objective.label.statics:
        return task
    names = [name for name in ("train", *dataset.split_names) if name in dataset.split_names]
    return with_statics(task, [dataset.split(name) for name in dict.fromkeys(names)], dataset.vocabulary)


def _with_steps(
    tree: PretrainConfig, mode: Mode, epochs: float, dataset: TripletDataset, task: Task, settings: Sequence[str]
) -> PretrainConfig:
    """Return the config with its steps, of so many passes over the training labels, where it does not name them."""
    if mode == "probe":
        train = tree.train.model_copy(update={"max_steps": 0, "validate_batches": 1_000_000})
        return tree.model_copy(update={"train": train})
    loader = PackedLoader(
        dataset.split("train"), dataset.vocabulary, tree.batching, tree.train.seed, asked=task.asked
    )  # fmt: skip
    wanted = -(-tree.train.accumulate_tokens // tree.batching.tokens_per_batch)
    each = max(1, loader.n_batches(0) // max(1, wanted))
    every = max(1, each // VALIDATIONS)
    steps = {"max_steps": max(1, round(epochs * each)), "validate_every": every, "checkpoint_every": every}
    named = {key.partition("=")[0] for key in one_or_more(settings)}
    new = {key: n for key, n in steps.items() if f"train.{key}" not in named} | {"validate_batches": 1_000_000}
    return tree.model_copy(update={"train": tree.train.model_copy(update=new)})
