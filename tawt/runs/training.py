"""A training from its beginning to its end: what `tawt pretrain` and `tawt finetune` both do, by the same loop."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tawt.config.train import PretrainConfig
from tawt.contracts.run import say_unfinished
from tawt.dataset.reader import open_dataset
from tawt.files import write_hashes
from tawt.heads.lora import merged
from tawt.heads.targets import Task
from tawt.modalities.encoders.made import with_hashes
from tawt.pipeline.fresh import hold_fresh
from tawt.runs.card import CARD, was_edited, write_card
from tawt.runs.load import Saved, same_vocabulary
from tawt.runs.reader import start_reader
from tawt.runs.start import learned_before, start_from
from tawt.runs.teacher import Teacher, ask, with_teacher, write_taught
from tawt.seals import LIST, UNFINISHED
from tawt.training.best import ending, final_weights, is_over, keep_again
from tawt.training.checkpoint import WEIGHTS, full_weights, load_weights, name_latest, write_tensors
from tawt.training.describe import describe_config, describe_run
from tawt.training.distributed import World, one_voice
from tawt.training.first_head import start_at_probe
from tawt.training.folder import Report, alone_in, note_other_compute
from tawt.training.loggers import open_loggers
from tawt.training.loop import Trainer
from tawt.training.memory import explained
from tawt.training.metrics import lines_of, read_metrics
from tawt.training.outputs import refuse_no_run, remove_leftovers
from tawt.training.plan import PretrainPlan, looked_at, make_plan
from tawt.training.settle import settle
from tawt.training.setup import Setup, set_up
from tawt.training.signals import terminate_interrupts
from tawt.training.step import Entry, Stepper
from tawt.training.threads import measured_threads, one_pass


@dataclass(frozen=True)
class TrainingResult:
    """What a run did."""

    run: Path
    """The run folder."""
    plan: PretrainPlan
    """What it was to do."""
    weights: Path | None
    """RUN/model.safetensors; None after a dry run."""
    metrics: dict[str, dict[str, Any]]
    """The last line of metrics of `train`, `tuning` and `health`, as far as this process made them."""


@dataclass(frozen=True)
class Wanted:
    """What is to be trained."""

    workspace: Path
    """Holds `dataset/` and `vocabulary/`."""
    run: Path
    """The run folder."""
    config: PretrainConfig
    """Resolved."""
    again: str
    """The command line that continues it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    resume: bool = False
    """Whether to continue what is there."""
    start: Saved | None = None
    """Whose weights a new run starts from; None = those of its seed."""
    task: Task | None = None
    """What is learned from labels; None = the run pretrains."""
    teacher: Teacher | None = None
    """Who answers the prediction times of the task without a label; None = nobody."""
    stale_ok: bool = False
    """Whether the dataset or the labels may be older than what they were made from."""
    dry_run: bool = False
    """Whether only to say what would happen."""
    labels: Path | None = None
    """The file that the task is of."""
    at: Path | None = None
    """Holds the dataset instead, where it is carried into the vocabulary of another place."""
    reader: Saved | None = None
    """Whose encoder a latent of a new run reads with; None = there is none, or the run has it."""


def train(wanted: Wanted, world: World, tell: Report) -> TrainingResult:
    """Make or resume a run, as one of its processes.

    Args:
        wanted: What is to be trained.
        world: The processes.
        tell: Hears the events of the run.

    Raises:
        ConfigError: The config does not hold here, or the run folder is taken.
        DatasetError: The dataset is absent or broken.
        StaleError: The dataset is older than what it was made from.
        DeviceError: The device is not there.
        CheckpointError: What is to be resumed is broken, or has another config or vocabulary.
        TrainingError: A loss or gradient is not finite, or memory ran out.
        KeyboardInterrupt: The run was stopped; it can be resumed.
    """
    run, workspace, start = wanted.run, wanted.workspace, wanted.start
    tree = wanted.config.model_copy(update={"modalities": with_hashes(wanted.config.modalities)})

    def note(text: str) -> None:
        tell({"event": "note", "text": text})

    with ExitStack() as held:
        held.enter_context(terminate_interrupts())
        with one_voice(world, alike=True):
            refuse_no_run(run, workspace)
            at = wanted.at or workspace
            dataset = open_dataset(at)
            stale = hold_fresh(at, wanted.stale_ok, note, wanted.labels)
            if world.first and not wanted.dry_run:
                held.enter_context(alone_in(run, workspace, wanted.resume, tell, wanted.again))
                remove_leftovers(run)
            world.wait()
        # memory may run out in one process alone, which then must speak
        with explained(run, tree, wanted.device), one_voice(world, alike=True):
            for one in (start, wanted.reader):
                if one is not None:
                    same_vocabulary(str(one.weights), one.vocabulary, dataset.vocabulary, workspace)

            def decided(task: Task | None, report: Report = tell, dry_run: bool = wanted.dry_run) -> Setup:
                return set_up(
                    workspace, run, tree, dataset, wanted.device, world, resume=wanted.resume, dry_run=dry_run,
                    report=report, resume_command=wanted.again, init=start.weights if start is not None else None,
                    stale=stale, task=task,
                )  # fmt: skip

            task, taught = wanted.task, None
            if task is not None and wanted.teacher is not None:
                untaught = partial(decided, task, lambda event: None, True)
                taught = ask(wanted.teacher, task, run, world, untaught, note, wanted.dry_run)
                task = with_teacher(task, taught, wanted.teacher.config)
            setup = decided(task)
            if wanted.dry_run:
                return TrainingResult(run, looked_at(setup), None, {})
            setup = ready(setup, start, wanted.reader)
            plan = make_plan(setup)
            trainer = make_trainer(setup)
            if world.first and task is not None and wanted.teacher is not None and taught is not None:
                write_taught(run, task, taught, wanted.teacher.made_of)
        with one_voice(world, alike=False), explained(run, tree, wanted.device):
            setup.report({"event": "begun", "means": plan.means})
            for doubt in plan.doubts if plan.start_step < plan.n_steps else ():
                setup.note(doubt)
            metrics = trainer.fit()
            _finish(trainer)
        if dataset.has_changed():
            setup.note(f"{dataset.folder} has changed: the run is of what was there when it began")
        return TrainingResult(run, plan, run / WEIGHTS, metrics)


def ready(setup: Setup, start: Saved | None = None, reader: Saved | None = None) -> Setup:
    """Give the model the weights that the run starts from, put it on its device, and measure threads if need be.

    Args:
        setup: Its model is changed.
        start: Whose weights a new run starts from; None = those of its seed.
        reader: Whose encoder its latent reads with.
    """
    config, compute, model, checkpoint = setup.config, setup.compute, setup.model, setup.checkpoint
    model.start_at(setup.baselines)
    if reader is not None and model.latent is not None and checkpoint is None:
        setup.note(start_reader(model.latent, reader))
    if checkpoint is not None:
        load_weights(model, checkpoint.folder / WEIGHTS)
    elif start is not None:
        setup.note(start_from(start, model, config))
    learned = frozenset() if start is None else learned_before(start, model, config)
    for prepare in setup.prepare:
        prepare.baselines = model.kept(prepare.baselines)
    model.to(device=compute.device)
    model.prepare(
        compute.device,
        compute.dtype,
        static_step=setup.static,
        compiled=setup.compiled[0],
        activation_checkpointing=config.train.activation_checkpointing,
        max_seqlen=config.batching.max_length + config.model.with_cls,
        filled=setup.replayed[0],
    )
    if setup.task is not None and checkpoint is None and config.objective.label.start == "probe":
        n = f"{len(setup.task.spec.outputs):,} things" if len(setup.task.spec.outputs) > 1 else "one thing"
        setup.note(f"a linear probe of {n} is fitted first, on embeddings of all training labels")
        setup.note(start_at_probe(model, setup.train, setup.task, compute, config.train.seed))
    if setup.measures:
        prepare = setup.prepare[0]
        work = one_pass(Entry(model, tuple(prepare.parts)), prepare(setup.train.batch(0), 0), compute)
        compute = compute.with_threads(*measured_threads(setup.workspace, setup.shapes, work))
    return replace(setup.with_compute(compute), learned=learned)


def make_trainer(setup: Setup) -> Trainer:
    """Build the trainer of a run, and describe the run in its folder: last, so that what fails before leaves none."""
    run, world, start_step = setup.run, setup.world, setup.start_step
    tuning = lines_of(read_metrics(run / "metrics.jsonl"), "tuning", start_step)
    over = setup.checkpoint is not None and is_over(start_step, tuning, setup.config.train)
    if setup.checkpoint is not None and not over:
        note_other_compute(setup.checkpoint, setup.compute, world.size, setup.report)
    stepper = Stepper(setup)
    world.wait()  # every process has looked at the folder as it was
    if world.first:
        keep_again(run, tuning, setup.config.train)
    if world.first and not over:
        describe_run(setup)
        write_card(run)  # says from the first step on that the folder holds patients' data
        say_unfinished(run, start_step)
    elif world.first and setup.checkpoint is not None and not (run / LIST).exists():
        # it was broken off behind its last step, or was to grow, and is to end where it was
        describe_config(setup)
        name_latest(setup.checkpoint.folder)
        settle(run, start_step, tuning, setup.config.train)
    world.wait()
    loggers = open_loggers(setup.config, run, start_step=start_step, note=setup.note) if world.first else []
    return Trainer(setup, stepper, loggers)


def _finish(trainer: Trainer) -> None:
    """Write the final weights and the model card."""
    setup = trainer.setup
    run, last = setup.run, full_weights(setup.model)
    if not setup.world.first:
        return
    tuning = lines_of(read_metrics(run / "metrics.jsonl"), "tuning")
    chosen = final_weights(run, tuning, setup.config.train)
    for text in ending(tuning, setup.config.train):
        setup.note(text)
    write_tensors(merged(last) if chosen is None else chosen, run / WEIGHTS)
    if was_edited(run):
        setup.note(f"{run / CARD} was edited and stays as it is: remove it and resume for one of the run as it is now")
    write_card(run, data={"subjects": len(setup.train.subjects), "triplets": setup.train.n_tokens})
    write_hashes(run)
    (run / UNFINISHED).unlink(missing_ok=True)
