"""What a run is before it makes a step: what was asked, what was decided, and what is loaded.

A dry run stops after it. The plan is made from it, then the trainer, and nothing of it is decided again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tawt.batching.layout import Layout
from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import Split, TripletDataset, fingerprint_of
from tawt.dataset.vocabulary import Vocabulary
from tawt.files import digest
from tawt.heads.targets import Task
from tawt.modalities.contents import Contents, open_contents
from tawt.modalities.encoders.made import begin_at_weights
from tawt.modalities.fusion.fused import Fused
from tawt.modalities.fusion.looking import Looking, hold_found, look
from tawt.models.attention import block_mask, choose_kernel
from tawt.models.attention.blocks import whole_steps
from tawt.objectives.baselines import SAMPLE_BATCHES, Baselines, count_baselines
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import PretrainModel, build_model
from tawt.training.checkpoint import Checkpoint, CheckpointState
from tawt.training.choices import batches_per_step, choose_compile, choose_replay, static_step
from tawt.training.device import Compute, choose_compute
from tawt.training.distributed import World
from tawt.training.folder import Report, comparable, refuse_other_start, starting_point
from tawt.training.loaded import found_in, hold_pairs, loader_of, tuning_loader
from tawt.training.loggers import require_loggers
from tawt.training.memory import hold_weights, least_parameters
from tawt.training.threads import TO_BE_MEASURED, known_threads


@dataclass(frozen=True)
class Setup:
    """One run, as one of its processes sees it."""

    workspace: Path
    """Holds `dataset/` and `vocabulary/`."""
    run: Path
    """The run folder."""
    config: PretrainConfig
    """Resolved."""
    vocabulary: Vocabulary
    """Of the dataset."""
    splits: tuple[Split, ...]
    """What is read of it."""
    world: World
    """The processes."""
    report: Report
    """Hears the events of the run."""
    resume_command: str
    """The command line that continues it."""
    init: Path | None
    """Weights that a new run starts from; None = those of its seed."""
    checkpoint: Checkpoint | None
    """What it goes on from; None for a new run."""
    compute: Compute
    """Device, precision and threads."""
    train: PackedLoader
    """Batches of train."""
    tuning: PackedLoader | None
    """Batches of validation, if there is anybody to validate on."""
    baselines: Baselines
    """What trivial guesses cost."""
    prepare: tuple[Preparer, Preparer]
    """What makes examples of batches: of training, of validation."""
    model: PretrainModel
    """With the weights of its seed, on CPU, until `ready` changes it."""
    batches_per_step: int
    """Batches of an optimizer step, over all processes; a multiple of their number."""
    kernel: tuple[str, str]
    """The attention kernel, and why."""
    compiled: tuple[bool, str]
    """Whether blocks are compiled, and why."""
    static: int | None
    """Tokens to whose multiple batches are padded; None = as long as they are."""
    replayed: tuple[bool, str]
    """Whether forward and backward are replayed as CUDA graphs, and why."""
    task: Task | None
    """What is learned from labels; None = the run pretrains."""
    contents: Contents | None
    """All that lies beside the records; None = nothing is looked at."""
    looking: Looking | None
    """What is looked at of it."""
    stale: str | None
    """Why the dataset is older than what it was made from, where that is no hindrance; None where it is not."""
    learned: frozenset[str] = frozenset()
    """Names of weights that were learned before this run."""

    @property
    def start_step(self) -> int:
        """Steps already made."""
        return self.checkpoint.step if self.checkpoint is not None else 0

    @property
    def sharded(self) -> bool:
        """Whether weights are shared out over the processes."""
        return self.world.several and self.config.train.parallel == "fsdp"

    @property
    def measures(self) -> bool:
        """Whether the thread count is to be measured on the first batch."""
        return _unsaid(self.config, self.compute, self.checkpoint) and not self.world.several

    @property
    def shapes(self) -> list[Any]:
        """What a measurement of threads holds for."""
        return _shapes(self.config, self.compute, self.vocabulary)

    def note(self, text: str) -> None:
        """Tell what is worth knowing."""
        self.report({"event": "note", "text": text})

    def with_compute(self, compute: Compute) -> Setup:
        """Return it with other threads, which the config then names."""
        train = self.config.train.model_copy(update={"threads": compute.threads})
        return replace(self, compute=compute, config=self.config.model_copy(update={"train": train}))

    def state(self, **changes: Any) -> CheckpointState:
        """Return what a checkpoint's state.json holds."""
        return CheckpointState(
            config=comparable(self.config),
            vocabulary=self.vocabulary.sha256,
            dataset=_made_of(self.splits, self.task, self.contents),
            seed=self.config.train.seed,
            threads=self.compute.threads,
            precision=self.compute.precision,
            processes=self.world.size,
            batches_per_step=self.batches_per_step,
            **changes,
        )


def set_up(
    workspace: Path,
    run: Path,
    config: PretrainConfig,
    dataset: TripletDataset,
    device: str,
    world: World,
    *,
    resume: bool = False,
    dry_run: bool = False,
    report: Report = lambda event: None,
    resume_command: str = "",
    init: Path | None = None,
    stale: str | None = None,
    task: Task | None = None,
) -> Setup:
    """Decide all that a run needs, and load it; nothing is written.

    Args:
        workspace: Holds `dataset/` and `vocabulary/`.
        run: The run folder.
        config: Resolved.
        dataset: Of the workspace.
        device: auto, cpu, cuda or cuda:N.
        world: The processes.
        resume: Whether to continue what is there.
        dry_run: Whether only to say what would happen.
        report: Hears the events of the run.
        resume_command: The command line that continues it.
        init: Weights that a new run starts from.
        stale: Why the dataset is older than what it was made from.
        task: What is learned from labels.

    Raises:
        ConfigError: The config does not hold here, or the run folder is taken.
        CheckpointError: What is to be resumed is broken or of something else.
        DatasetError: The dataset is broken.
        DeviceError: The device is not there.
        TrainingError: The model cannot fit.
    """
    require_loggers(config)
    vocabulary, train = dataset.vocabulary, dataset.split("train")
    tuning = dataset.split("tuning") if "tuning" in dataset.split_names else None
    splits = tuple(split for split in (train, tuning) if split is not None)
    contents = open_contents(dataset.folder.parent) if config.modalities.is_on else None
    known = vocabulary.sha256, _made_of(splits, task, contents)
    checkpoint = starting_point(run, resume, config, *known, report, workspace, resume_command)
    if resume:
        refuse_other_start(run, init, checkpoint)
    compute = _compute(workspace, config, vocabulary, device, world, checkpoint, dry_run)
    kernel = choose_kernel(config.model, compute.device, compute.dtype)
    compiled = choose_compile(config, compute, world, kernel[0])
    static = static_step(config, kernel[0]) if compiled[0] or kernel[0] == "flex" else None
    hold_weights(run, least_parameters(config, vocabulary), compute.device, 4 if world.several else 16)
    model = build_model(config, vocabulary, config.train.seed, None if task is None else task.spec)
    if checkpoint is None and isinstance(model.encoder.beside, Fused):
        begin_at_weights(model.encoder.beside.looked_at, config.modalities)
    looking = _looking(model, contents, dataset.folder.parent, compute, world, not dry_run)
    found = found_in(looking, train, vocabulary, config, True)
    tuned = found_in(looking, tuning, vocabulary, config, False)
    loader = loader_of(train, vocabulary, config, True, task, found)
    if found.pairing is not None:
        hold_pairs(loader)
    sample = (loader.batch(number) for number in range(SAMPLE_BATCHES))
    validation = tuning_loader(tuning, vocabulary, config, report, task, tuned)
    targets = None if task is None else task.targets
    per_step = batches_per_step(config, world.size, checkpoint)
    baselines = count_baselines(train.shards, vocabulary, config.objective, sample, people=train.people)
    mask = partial(_blocks, static, config.model.causal) if kernel[0] == "flex" and static else None
    return Setup(
        workspace=workspace,
        run=run,
        config=config,
        vocabulary=vocabulary,
        splits=splits,
        world=world,
        report=report,
        resume_command=resume_command,
        init=init,
        checkpoint=checkpoint,
        compute=compute,
        train=loader,
        tuning=validation,
        baselines=baselines,
        prepare=(
            Preparer(config, vocabulary, baselines, True, mask, targets, found.finder, found.pairing),
            Preparer(config, vocabulary, baselines, False, mask, targets, tuned.finder, tuned.pairing),
        ),
        model=model,
        batches_per_step=per_step,
        kernel=kernel,
        compiled=compiled,
        static=static,
        replayed=choose_replay(config, world, kernel[0], compiled[0]),
        task=task,
        contents=contents,
        looking=looking,
        stale=stale,
    )


def _looking(
    model: PretrainModel, contents: Contents | None, workspace: Path, compute: Compute, world: World, encodes: bool
) -> Looking | None:
    """Return what a model looks at beside records; what is frozen encodes in the first process, for all."""
    beside = model.encoder.beside
    if not isinstance(beside, Fused):
        return None
    held = hold_found(beside.looked_at, contents, workspace)
    see = partial(look, beside, held, workspace, compute.device, encodes)
    found = see() if world.first else None
    world.wait(patient=True)
    return found if world.first else see()


def _made_of(splits: tuple[Split, ...], task: Task | None, contents: Contents | None) -> str:
    """Return a hash of all that steps are made of."""
    made = fingerprint_of(splits)
    made = made if contents is None else digest([made, contents.fingerprint()])
    return made if task is None else digest([made, task.spec.model_dump(mode="json")])


def _unsaid(config: PretrainConfig, compute: Compute, checkpoint: Checkpoint | None) -> bool:
    """Return whether nobody has said how many threads there are to be: a run keeps those that it began with."""
    return not config.train.threads and checkpoint is None and compute.device.type == "cpu"


def _compute(
    workspace: Path,
    config: PretrainConfig,
    vocabulary: Vocabulary,
    device: str,
    world: World,
    checkpoint: Checkpoint | None,
    dry_run: bool,
) -> Compute:
    kept = checkpoint.state.threads if checkpoint is not None and not config.train.threads else 0
    compute = choose_compute(device, config.train.precision, config.train.threads or kept)
    if kept:
        return compute.with_threads(kept, "as the run began")
    if _unsaid(config, compute, checkpoint) and world.several:
        return compute.with_threads(1, f"one for each of {world.local_size} processes")
    if _unsaid(config, compute, checkpoint) and dry_run:
        known = known_threads(workspace, _shapes(config, compute, vocabulary))
        return compute.with_threads(*(known or (1, TO_BE_MEASURED)))
    return compute


def _shapes(config: PretrainConfig, compute: Compute, vocabulary: Vocabulary) -> list[Any]:
    return [comparable(config)["model"], config.batching.model_dump(), compute.precision, len(vocabulary)]


def _blocks(step: int, causal: bool, layout: Layout) -> Any:
    return block_mask(layout.bounds, whole_steps(layout.n_tokens, step), causal)
