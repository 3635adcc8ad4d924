"""`tawt pretrain`: dataset -> packed batches -> a pretrained encoder, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tawt.batching.layout import Layout
from tawt.config.named import resolve_config
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.files import write_hashes
from tawt.models.attention import block_mask
from tawt.models.attention.blocks import whole_steps
from tawt.objectives.baselines import Baselines
from tawt.objectives.prepare import Preparer
from tawt.tasks.card import write_card
from tawt.tasks.choices import Asked, Choices, choose
from tawt.tasks.load import read_saved, start_from
from tawt.tasks.runs import find_run
from tawt.training.best import final_weights, is_over
from tawt.training.checkpoint import (
    WEIGHTS,
    CheckpointState,
    full_weights,
    load_optimizer,
    load_weights,
    remove_leftovers,
    write_tensors,
)
from tawt.training.device import Compute
from tawt.training.distributed import World, one_voice, open_world, spread
from tawt.training.folder import alone_in, comparable, describe_run, note_other_compute, resume_command
from tawt.training.loggers import open_loggers
from tawt.training.loop import Report, Trainer
from tawt.training.memory import explained
from tawt.training.metrics import lines_of, read_metrics
from tawt.training.optim import make_optimizer
from tawt.training.plan import PretrainPlan, first_batches
from tawt.training.scaler import LossScaler
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
        resume: Continue the run that is there, from its beginning where it has no checkpoint yet.
        init: A run, or a shared model, of the same vocabulary, whose weights a new run starts from.
        dry_run: Only say what would happen.
        report: Called with each event of the run: step, validation, checkpoint, stopped, note.

    Raises:
        ConfigError: The config does not hold, the run folder is taken, or there is no run to resume.
        DatasetError: The dataset is absent or broken.
        DeviceError: The device is not there.
        CheckpointError: What is to be resumed is broken, or has another config or vocabulary.
        TrainingError: A loss or gradient is not finite, or memory ran out.
        KeyboardInterrupt: The run was stopped; it can be resumed.
    """
    workspace = Path(workspace)
    with open_world(device) as world:
        tell: Report = report if report is not None and world.first else lambda event: None
        return _run(workspace, config, device, settings, out, resume, init, dry_run, world, tell)


def _run(
    workspace: Path,
    config: str | Path | PretrainConfig,
    device: str,
    settings: Sequence[str],
    out: Path | None,
    resume: bool,
    init: str | Path | None,
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
            if run.exists() and not run.is_dir():
                raise ConfigError(str(run), "is a file, expected a run folder", "choose another with `--out DIR`")
            again = resume_command(workspace, config, settings, device, out, init)
            dataset = open_dataset(workspace)
            start = read_saved(find_run(workspace, init)) if init is not None else None
            if world.first and not dry_run:
                held.enter_context(alone_in(run, resume, tell, again))
                remove_leftovers(run)
            world.wait()
        asked = Asked(workspace, run, tree, dataset, device, world, resume, dry_run, tell, again, start)
        # memory may run out in one process alone, which then must speak
        with explained(run, tree, device), one_voice(world, alike=True):
            plan, trainer = set_up(asked)
        if trainer is None:
            return PretrainResult(run, plan, None, {})
        with one_voice(world, alike=False), explained(run, tree, device):
            metrics = trainer.fit(plan.start_step)
            _finish(trainer)
        if dataset.has_changed():
            tell({"event": "note", "text": f"{dataset.folder} has changed: the run is of what was there when it began"})
        return PretrainResult(run, plan, run / WEIGHTS, metrics)


def set_up(asked: Asked) -> tuple[PretrainPlan, Trainer | None]:
    """Build everything that a run needs; the run folder comes last, so that what fails before leaves none behind."""
    chosen = choose(asked)
    baselines = chosen.baselines()
    if asked.dry_run:
        prepare = Preparer(asked.config, asked.dataset.vocabulary, baselines, True)
        plan, (reaching, silent) = chosen.plan(), first_batches(chosen.train, prepare)
        return replace(plan, reaching=reaching, doubts=(*plan.doubts, *silent)), None
    trainer = _build(chosen, baselines)
    plan = replace(chosen, compute=trainer.compute).plan()
    for doubt in plan.doubts if plan.start_step < plan.n_steps else ():
        asked.tell({"event": "note", "text": doubt})
    return plan, trainer


def _build(chosen: Choices, baselines: Baselines) -> Trainer:
    """Build the trainer of a run, and describe the run in its folder."""
    asked, compute, checkpoint = chosen.asked, chosen.compute, chosen.checkpoint
    tree, world, run, tell = asked.config, asked.world, asked.run, asked.tell
    vocabulary, model, train = asked.dataset.vocabulary, chosen.model, chosen.train
    model.start_at(baselines)
    if asked.init is not None and checkpoint is None:
        tell({"event": "note", "text": start_from(asked.init, model, tree)})
    if checkpoint is not None:
        load_weights(model, checkpoint.folder / WEIGHTS)
    mask = partial(_blocks, chosen.static) if chosen.kernel[0] == "flex" and chosen.static else None
    prepare = Preparer(tree, vocabulary, baselines, True, mask), Preparer(tree, vocabulary, baselines, False, mask)
    model.to(device=compute.device)
    longest = tree.batching.max_length + (tree.model.pooling == "cls")
    again = tree.train.activation_checkpointing
    model.encoder.prepare(compute.device, compute.dtype, chosen.static, chosen.compiled[0], again, longest)
    parts = Entry(model, tuple(prepare[0].parts))
    if chosen.measures:
        work = one_pass(parts, prepare[0](train.batch(0), 0), compute)
        compute = compute.with_threads(*measured_threads(asked.workspace, chosen.shapes, work))
    tree = tree.model_copy(update={"train": tree.train.model_copy(update={"threads": compute.threads})})
    start = checkpoint.step if checkpoint else 0
    over = is_over(start, lines_of(read_metrics(run / "metrics.jsonl"), "tuning", start), tree.train)
    if checkpoint is not None and not over:
        note_other_compute(checkpoint, compute, world.size, tell)
    entry = spread(parts, list(model.encoder.blocks), world, tree.train.parallel, compute.device)
    optimizer = make_optimizer(model, tree.train)
    scaler = LossScaler(compute.device, compute.dtype == torch.float16)
    if checkpoint is not None:
        load_optimizer(checkpoint, model, optimizer)
        scaler.load(checkpoint.state.scaler)
    world.wait()  # every process has looked at the folder as it was
    if world.first and not over:
        describe_run(run, tree, vocabulary, compute, world.size, start, asked.init.weights if asked.init else None)
        write_card(run)  # says from the first step on that the folder holds patients' data
    world.wait()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return Trainer(
        run=run,
        config=tree,
        vocabulary=vocabulary,
        compute=compute,
        world=world,
        model=model,
        whole=parts,
        stepper=Stepper(tree, compute, world, entry, named, optimizer, scaler),
        train=train,
        tuning=chosen.tuning,
        prepare=prepare,
        state=_state(tree, chosen, compute),
        batches_per_step=chosen.per_step,
        report=tell,
        loggers=open_loggers(tree, run, start_step=start, note=_note(tell)) if world.first else [],
        resume_command=asked.resume_command,
        skipped=checkpoint.state.skipped if checkpoint else 0,
    )


def _finish(trainer: Trainer) -> None:
    """Write the final weights and the model card."""
    run, config = trainer.run, trainer.config.train
    last = full_weights(trainer.model)
    if not trainer.world.first:
        return
    chosen = final_weights(run, lines_of(read_metrics(run / "metrics.jsonl"), "tuning"), config)
    write_tensors(last if chosen is None else chosen, run / WEIGHTS)
    write_card(run, data={"subjects": len(trainer.train.subjects), "triplets": trainer.train.n_tokens})
    write_hashes(run)


def _state(config: PretrainConfig, chosen: Choices, compute: Compute) -> CheckpointState:
    return CheckpointState(
        config=comparable(config),
        vocabulary=chosen.train.vocabulary.sha256,
        dataset=chosen.fingerprint,
        seed=config.train.seed,
        threads=compute.threads,
        precision=compute.precision,
        processes=chosen.asked.world.size,
        batches_per_step=chosen.per_step,
    )


def _blocks(step: int, layout: Layout) -> Any:
    return block_mask(layout.bounds, whole_steps(layout.n_tokens, step))


def _note(tell: Report) -> Callable[[str], None]:
    return lambda text: tell({"event": "note", "text": text})
