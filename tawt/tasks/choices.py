"""What is decided of a pretraining run before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import Split, TripletDataset, fingerprint_of
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError
from tawt.models.attention import choose_kernel
from tawt.objectives.baselines import SAMPLE_BATCHES, Baselines, count_baselines
from tawt.objectives.pretrain_model import PretrainModel, build_model, count_parameters
from tawt.tasks.load import Saved, same_vocabulary
from tawt.training.checkpoint import Checkpoint
from tawt.training.device import Compute, choose_compute
from tawt.training.distributed import World
from tawt.training.folder import comparable, starting_point
from tawt.training.loggers import require_loggers
from tawt.training.loop import Report
from tawt.training.memory import hold_weights, least_parameters
from tawt.training.plan import PretrainPlan, batches_per_step, choose_compile, loader_config, make_plan, static_step
from tawt.training.threads import known_threads


@dataclass(frozen=True)
class Asked:
    """What a run is asked to be: the arguments of `pretrain`, resolved."""

    workspace: Path
    """Holds `dataset/` and `vocabulary/`."""
    run: Path
    """The run folder."""
    config: PretrainConfig
    """Resolved."""
    dataset: TripletDataset
    """Of the workspace."""
    device: str
    """auto, cpu, cuda or cuda:N."""
    world: World
    """The processes."""
    resume: bool = False
    """Whether to continue what is there."""
    dry_run: bool = False
    """Whether only to say what would happen."""
    tell: Report = lambda event: None
    """Hears the events of the run."""
    resume_command: str = ""
    """The command line that continues it."""
    init: Saved | None = None
    """Whose weights a new run starts from; None = those of its seed."""


@dataclass(frozen=True)
class Choices:
    """Where a run starts, on what, and how."""

    asked: Asked
    """What was asked for."""
    checkpoint: Checkpoint | None
    """What it goes on from; None for a new run."""
    fingerprint: str
    """Of the splits that are read."""
    compute: Compute
    """Device, precision and threads."""
    measures: bool
    """Whether the thread count is to be measured on the first batch."""
    shapes: list[Any]
    """What a measurement of threads holds for."""
    train: PackedLoader
    """Batches of train."""
    tuning: PackedLoader | None
    """Batches of validation, if there is anybody to validate on."""
    model: PretrainModel
    """With the weights of its seed, on CPU."""
    per_step: int
    """Batches of an optimizer step, over all processes."""
    kernel: tuple[str, str]
    """The attention kernel, and why."""
    compiled: tuple[bool, str]
    """Whether blocks are compiled, and why."""
    static: int | None
    """Tokens to whose multiple batches are padded; None = as long as they are."""

    def baselines(self) -> Baselines:
        """Count what trivial guesses cost."""
        train = self.train
        sample = (train.batch(number) for number in range(SAMPLE_BATCHES))
        return count_baselines(train.split.shards, train.vocabulary, self.asked.config.objective, sample)

    def plan(self) -> PretrainPlan:
        """Return what the run will do, and why."""
        asked = self.asked
        return make_plan(
            asked.run, asked.config, self.train, count_parameters(self.model), self.compute, self.checkpoint,
            asked.world, self.per_step, self.kernel, self.compiled, asked.init.weights if asked.init else None,
        )  # fmt: skip


def choose(asked: Asked) -> Choices:
    """Decide; nothing is written.

    Raises:
        ConfigError: The config does not hold here, or the run folder is taken.
        CheckpointError: What is to be resumed is broken or of something else.
        DatasetError: The dataset is broken.
        DeviceError: The device is not there.
    """
    config, dataset, world, vocabulary = asked.config, asked.dataset, asked.world, asked.dataset.vocabulary
    require_loggers(config)
    if asked.init is not None:
        same_vocabulary(str(asked.init.weights), asked.init.vocabulary, vocabulary, asked.workspace)
    train = dataset.split("train")
    tuning = dataset.split("tuning") if "tuning" in dataset.split_names else None
    fingerprint = fingerprint_of(split for split in (train, tuning) if split is not None)
    checkpoint = starting_point(
        asked.run,
        asked.resume,
        config,
        vocabulary.sha256,
        fingerprint,
        asked.tell,
        asked.workspace,
        asked.resume_command,
    )
    kept = checkpoint.state.threads if checkpoint is not None and not config.train.threads else 0
    compute = choose_compute(asked.device, config.train.precision, config.train.threads or kept)
    if kept:
        compute = compute.with_threads(kept, "as the run began")
    shapes = [comparable(config)["model"], config.batching.model_dump(), compute.precision, len(vocabulary)]
    measures = not (config.train.threads or kept) and compute.device.type == "cpu"
    if measures and world.several:
        compute = compute.with_threads(1, f"one for each of {world.local_size} processes")
    elif measures and asked.dry_run:
        known = known_threads(asked.workspace, shapes)
        compute = compute.with_threads(*(known or (1, "to be measured when the run starts")))
    kernel = choose_kernel(config.model, compute.device, compute.dtype)
    compiled = choose_compile(config, compute, world, kernel[0])
    hold_weights(asked.run, least_parameters(config, vocabulary), compute.device, 4 if world.several else 16)
    return Choices(
        asked=asked,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        compute=compute,
        measures=measures and not world.several,
        shapes=shapes,
        train=_loader(train, vocabulary, config),
        tuning=_tuning(tuning, asked),
        model=build_model(config, vocabulary, config.train.seed),
        per_step=batches_per_step(config, world.size, checkpoint),
        kernel=kernel,
        compiled=compiled,
        static=static_step(config) if compiled[0] or kernel[0] == "flex" else None,
    )


def _tuning(split: Split | None, asked: Asked) -> PackedLoader | None:
    config = asked.config
    if split is not None and split.n_triplets:
        return _loader(split, asked.dataset.vocabulary, config)
    if config.train.final != "last":
        raise ConfigError(
            "train.final", f"is `{config.train.final}` and there is no tuning subject, expected one to choose by",
            "use `--set train.final=last`",
        )  # fmt: skip
    asked.tell({"event": "note", "text": "there is no tuning subject: no validation"})
    return None


def _loader(split: Split, vocabulary: Vocabulary, config: PretrainConfig) -> PackedLoader:
    # cutting asks when a record could be read
    return PackedLoader(
        split, vocabulary, loader_config(config), config.train.seed,
        with_available=bool(config.objective.forecast.weight),
    )  # fmt: skip
