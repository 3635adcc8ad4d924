"""`tawt pretrain`: dataset -> packed batches -> a pretrained encoder, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tawt.config.named import resolve_config
from tawt.config.train import PretrainConfig
from tawt.contracts.run import say_unfinished
from tawt.dataset.reader import open_dataset
from tawt.files import write_hashes
from tawt.pipeline.stale import hold_fresh
from tawt.runs.card import CARD, was_edited, write_card
from tawt.runs.find import find_run
from tawt.runs.load import Saved, read_saved, same_vocabulary, start_from
from tawt.seals import LIST, UNFINISHED
from tawt.training.best import final_weights, is_over, keep_again
from tawt.training.checkpoint import WEIGHTS, full_weights, load_weights, write_tensors
from tawt.training.describe import describe_config, describe_run
from tawt.training.distributed import World, one_voice, open_world
from tawt.training.folder import Report, alone_in, note_other_compute, resume_command
from tawt.training.loggers import open_loggers
from tawt.training.loop import Trainer
from tawt.training.memory import explained
from tawt.training.metrics import lines_of, read_metrics
from tawt.training.outputs import refuse_no_run, remove_leftovers
from tawt.training.plan import PretrainPlan, looked_at, make_plan
from tawt.training.setup import Setup, set_up
from tawt.training.signals import terminate_interrupts
from tawt.training.step import Entry, Stepper
from tawt.training.threads import measured_threads, one_pass


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
    """The last line of metrics of `train`, `tuning` and `health`, as far as this process made them."""


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
        init: A run, or a shared model, of the same vocabulary, whose weights a new run starts from.
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
        return _run(workspace, config, device, settings, out, resume, init, stale_ok, dry_run, world, tell)


def _run(
    workspace: Path,
    config: str | Path | PretrainConfig,
    device: str,
    settings: Sequence[str],
    out: Path | None,
    resume: bool,
    init: str | Path | None,
    stale_ok: bool,
    dry_run: bool,
    world: World,
    tell: Report,
) -> PretrainResult:
    """Do what `pretrain` says, as one of its processes."""
    with ExitStack() as held:
        held.enter_context(terminate_interrupts())
        with one_voice(world, alike=True):
            name, tree = resolve_config(config, settings)
            run = Path(out) if out is not None else workspace / "runs" / name
            refuse_no_run(run, workspace)
            again = resume_command(workspace, config, settings, device, out, init, stale_ok)
            dataset = open_dataset(workspace)
            stale = hold_fresh(workspace, stale_ok, lambda text: tell({"event": "note", "text": text}))
            start = read_saved(find_run(workspace, init)) if init is not None else None
            if world.first and not dry_run:
                held.enter_context(alone_in(run, workspace, resume, tell, again))
                remove_leftovers(run)
            world.wait()
        # memory may run out in one process alone, which then must speak
        with explained(run, tree, device), one_voice(world, alike=True):
            if start is not None:
                same_vocabulary(str(start.weights), start.vocabulary, dataset.vocabulary, workspace)
            setup = set_up(
                workspace, run, tree, dataset, device, world, resume=resume, dry_run=dry_run, report=tell,
                resume_command=again,
                init=start.weights if start is not None else None, stale=stale,
            )  # fmt: skip
            if dry_run:
                return PretrainResult(run, looked_at(setup), None, {})
            setup = ready(setup, start)
            plan = make_plan(setup)
            trainer = make_trainer(setup)
        with one_voice(world, alike=False), explained(run, tree, device):
            for doubt in plan.doubts if plan.start_step < plan.n_steps else ():
                setup.note(doubt)
            metrics = trainer.fit()
            _finish(trainer)
        if dataset.has_changed():
            setup.note(f"{dataset.folder} has changed: the run is of what was there when it began")
        return PretrainResult(run, plan, run / WEIGHTS, metrics)


def ready(setup: Setup, start: Saved | None = None) -> Setup:
    """Give the model the weights that the run starts from, put it on its device, and measure threads if need be.

    Args:
        setup: Its model is changed.
        start: Whose weights a new run starts from; None = those of its seed.
    """
    config, compute, model, checkpoint = setup.config, setup.compute, setup.model, setup.checkpoint
    model.start_at(setup.baselines)
    if checkpoint is not None:
        load_weights(model, checkpoint.folder / WEIGHTS)
    elif start is not None:
        setup.note(start_from(start, model, config))
    model.to(device=compute.device)
    model.prepare(
        compute.device,
        compute.dtype,
        static_step=setup.static,
        compiled=setup.compiled[0],
        activation_checkpointing=config.train.activation_checkpointing,
        max_seqlen=config.batching.max_length + (config.model.pooling == "cls"),
        filled=setup.replayed[0],
    )
    if setup.measures:
        prepare = setup.prepare[0]
        work = one_pass(Entry(model, tuple(prepare.parts)), prepare(setup.train.batch(0), 0), compute)
        compute = compute.with_threads(*measured_threads(setup.workspace, setup.shapes, work))
    return setup.with_compute(compute)


def make_trainer(setup: Setup) -> Trainer:
    """Build the trainer of a run, and describe the run in its folder: last, so that what fails before leaves none."""
    run, world, start_step = setup.run, setup.world, setup.start_step
    tuning = lines_of(read_metrics(run / "metrics.jsonl"), "tuning", start_step)
    over = is_over(start_step, tuning, setup.config.train)
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
    elif world.first and not (run / LIST).exists():  # it was to grow, was broken off, and is to end where it was
        describe_config(setup)
    world.wait()
    loggers = open_loggers(setup.config, run, start_step=start_step, note=setup.note) if world.first else []
    return Trainer(setup, stepper, loggers)


def _finish(trainer: Trainer) -> None:
    """Write the final weights and the model card."""
    setup = trainer.setup
    run, last = setup.run, full_weights(setup.model)
    if not setup.world.first:
        return
    chosen = final_weights(run, lines_of(read_metrics(run / "metrics.jsonl"), "tuning"), setup.config.train)
    write_tensors(last if chosen is None else chosen, run / WEIGHTS)
    if was_edited(run):
        setup.note(f"{run / CARD} was edited and stays as it is: remove it and resume for one of the run as it is now")
    write_card(run, data={"subjects": len(setup.train.subjects), "triplets": setup.train.n_tokens})
    write_hashes(run)
    (run / UNFINISHED).unlink(missing_ok=True)
