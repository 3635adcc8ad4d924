"""What a run will do, worked out before it does anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.config.train import PretrainConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.models.attention.blocks import BLOCK, whole_steps
from tawt.objectives.parts import ON_EMBEDDING, weights
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import ParameterCounts
from tawt.training.checkpoint import Checkpoint
from tawt.training.device import Compute
from tawt.training.distributed import World
from tawt.training.memory import memory_estimate, memory_there
from tawt.training.optim import warmup_steps
from tawt.training.step import tally

N_STEPS = 8
"""Static lengths of full batches: each is compiled once, and no batch is padded by more than a step."""

N_LOOKED_AT = 4
"""Batches that a dry run makes to see what reaches the model."""
FEW_DOCUMENTS = 16
"""Documents a step below which a plan doubts a contrastive loss."""
MANY_EPOCHS = 50
"""Passes over train above which a plan wonders; on real records a small model gained nothing beyond 8."""


@dataclass(frozen=True)
class PretrainPlan:
    """What a run will do, and why."""

    run: Path
    """The run folder."""
    config: PretrainConfig
    """Resolved."""
    parameters: ParameterCounts
    """Of tables, encoder and heads."""
    n_subjects: int
    """Subjects of train that have a document."""
    n_tokens: int
    """Tokens of one pass over train."""
    n_batches: int
    """Packed batches of the first pass."""
    packing_efficiency: float
    """Share of the batches' token budget that holds tokens."""
    reaching: float | None
    """Share of the token budget that reaches the model after cutting, augmenting and making moments of triplets, in
    the first batches; None = not looked at, as only a dry run does."""
    tokens_per_step: int
    """Token budget of one optimizer step, over all processes."""
    n_steps: int
    """Optimizer steps in all."""
    start_step: int
    """Steps already made, from the checkpoint that is resumed."""
    n_epochs: float
    """Passes over train in all steps."""
    memory_bytes: int
    """Estimate of one process (its GPU's memory where it has one): weights, gradients, optimizer and one batch."""
    compute: Compute
    """Device, precision and threads with their reasons."""
    processes: int
    """Processes that train together."""
    compiled: bool
    """Whether blocks are compiled."""
    kernel: str
    """The attention kernel."""
    reasons: dict[str, str]
    """Why, per choice, as shown to the user."""
    doubts: tuple[str, ...]
    """What may not be meant so."""


def make_plan(
    run: Path,
    config: PretrainConfig,
    train: PackedLoader,
    parameters: ParameterCounts,
    compute: Compute,
    checkpoint: Checkpoint | None,
    world: World,
    per_step: int,
    kernel: tuple[str, str],
    compiled: tuple[bool, str],
    init: Path | None = None,
) -> PretrainPlan:
    """Work out a run's plan from what is loaded already; nothing is written."""
    n_batches = train.n_batches(0)
    budget = config.batching.tokens_per_batch
    own = train.config.tokens_per_batch
    memory = [
        memory_estimate(config, parameters.total, train, compute, world.size, per_step // world.size, kept)
        for kept in (False, True)
    ]
    n_epochs = config.train.max_steps * per_step / n_batches
    n_documents = train.n_documents * per_step / n_batches
    checkpointing = config.train.activation_checkpointing
    on_machine = memory[checkpointing] * (1 if compute.device.type == "cuda" else world.local_size)
    views = " (two views of each document)" if own < budget else ""
    batches = "batch" if per_step == 1 else "batches"
    each = f", {per_step // world.size} for each process" if world.several else ""
    return PretrainPlan(
        run=run,
        config=config,
        parameters=parameters,
        n_subjects=len(train.subjects),
        n_tokens=train.n_tokens,
        n_batches=n_batches,
        packing_efficiency=train.n_tokens / (n_batches * own),
        reaching=None,
        tokens_per_step=per_step * budget,
        n_steps=config.train.max_steps,
        start_step=checkpoint.step if checkpoint else 0,
        n_epochs=n_epochs,
        memory_bytes=memory[checkpointing],
        compute=compute,
        processes=world.size,
        compiled=compiled[0],
        kernel=kernel[0],
        reasons={
            **compute.reasons,
            "tokens_per_step": f"{per_step} packed {batches} of at most {budget:,} tokens{views}{each}",
            "start_step": f"resumed from {checkpoint.folder}"
            if checkpoint
            else "a new run" + (f" from the weights of {init}" if init is not None else ""),
            "memory": f"{memory[0] / 1e9:.1f} GB without activation checkpointing, {memory[1] / 1e9:.1f} GB with it",
            "processes": f"{config.train.parallel}, started by torchrun" if world.several else "one, not torchrun",
            "kernel": kernel[1],
            "compiled": compiled[1],
        },
        doubts=tuple(_doubts(config, train.split.calendar, n_epochs, n_documents, on_machine, compute.device)),
    )


def _doubts(
    config: PretrainConfig, calendar: str, n_epochs: float, n_documents: float, memory: int, device: torch.device
) -> Iterator[str]:
    train, there = config.train, memory_there(device)
    if "calendar" in config.model.time and calendar == "none":
        yield "the clock of these records tells no time of day: `calendar` in model.time learns nothing; take it out"
    if "calendar" in config.model.time and calendar == "shifted" and set(config.model.calendar.periods) != {"day"}:
        yield (
            "the dates of these records are shifted: of `calendar` only the day's wave means something; "
            "`--set model.calendar.periods=[day]`"
        )
    if n_epochs > MANY_EPOCHS:
        yield f"{n_epochs:,.0f} passes over train: on real records more than 8 gained nothing; lower train.max_steps"
    if memory > there:
        yield (
            f"about {memory / 1e9:,.1f} GB are needed and {there / 1e9:,.1f} GB are there: lower "
            "batching.tokens_per_batch, or set train.activation_checkpointing=true"
        )
    if config.objective.contrastive.weight and n_documents < FEW_DOCUMENTS:
        yield (
            f"about {n_documents:.0f} documents a step: the contrastive objective has little to tell apart; raise "
            "batching.tokens_per_batch or train.accumulate_tokens"
        )
    attention, decay = config.model.attention, config.model.decay
    if "decay" in attention and decay.n_free_heads == config.model.n_heads:
        yield (
            f"all {config.model.n_heads} heads are free of decay: `decay` does nothing; lower "
            "model.decay.n_free_heads, or take it out of model.attention"
        )
    pooling, parts = config.model.pooling, weights(config.objective)
    if pooling in ("cls", "attention", "per_type") and not parts.keys() & set(ON_EMBEDDING):
        yield (
            f"nothing trains the readout `{pooling}`: it stays as it starts; add objective.forecast, "
            "objective.contrastive or objective.masked.summary_weight, or use `model.pooling=mean`"
        )
    if warmup_steps(train) < train.warmup_steps:
        yield f"warmup_steps {train.warmup_steps} is cut to {warmup_steps(train)}, a tenth of max_steps"


def first_batches(train: PackedLoader, prepare: Preparer) -> tuple[float, tuple[str, ...]]:
    """Look at what reaches the model in the first batches.

    Returns:
        The share of the token budget that they fill, and a doubt for each part of the loss without a position.
    """
    examples = [prepare(train.batch(number), number) for number in range(N_LOOKED_AT)]
    n_tokens = sum(example.batch.layout.n_tokens for example in examples if example.batch.layout is not None)
    counts = [tally(example, tuple(prepare.parts))[0] for example in examples]
    silent = [part for part in prepare.parts if not any(count[part] for count in counts)]
    doubts = tuple(without_position(part, f"the first {N_LOOKED_AT} batches") for part in silent)
    return n_tokens / (N_LOOKED_AT * prepare.config.batching.tokens_per_batch), doubts


def without_position(part: str, where: str) -> str:
    """Say that a part of the loss learns nothing."""
    return f"the part `{part}` has no position in {where}: nothing of the kind is in the data, or nothing is hidden"


def batches_per_step(config: PretrainConfig, n_processes: int = 1, checkpoint: Checkpoint | None = None) -> int:
    """Return how many packed batches make up one optimizer step: a multiple of the number of processes.

    Raises:
        CheckpointError: The steps of the run that is resumed cannot be dealt out evenly.
    """
    wanted = -(-config.train.accumulate_tokens // config.batching.tokens_per_batch)
    if checkpoint is not None:
        k, before = checkpoint.state.batches_per_step, checkpoint.state.processes
        if k != before * max(1, -(-wanted // before)):
            raise CheckpointError(
                str(checkpoint.folder), f"makes a step of {k} packed batches, expected as many as its config and its "
                f"{before} processes give", "name another checkpoint in `checkpoints/latest`",
            )  # fmt: skip
        if k % n_processes:
            raise CheckpointError(
                str(checkpoint.folder), f"makes a step of {k} packed batches, expected a multiple of "
                f"{n_processes} processes", f"resume with a number of processes that divides {k}",
            )  # fmt: skip
        return k
    return n_processes * max(1, -(-wanted // n_processes))


def loader_config(config: PretrainConfig) -> BatchingConfig:
    """Return the token budget of what is loaded: half of it where every document becomes two views.

    Raises:
        ConfigError: The longest document does not fit twice.
    """
    batching = config.batching
    if not config.objective.contrastive.weight:
        return batching
    half = batching.tokens_per_batch // 2
    if batching.max_length > half:
        raise ConfigError(
            "batching.max_length", f"is {batching.max_length}, expected at most {half}: with the contrastive "
            f"objective a batch of {batching.tokens_per_batch} tokens holds each document twice",
            f"use `--set batching.tokens_per_batch={2 * batching.max_length}`",
        )  # fmt: skip
    return batching.model_copy(update={"tokens_per_batch": half})


def static_step(config: PretrainConfig) -> int:
    """Return the tokens of whose multiple each batch is filled up where shapes must be few: an eighth of the budget.

    A batch has fewer tokens than its budget where they are moments, or where forecasting, views and augmentation took
    some away.
    """
    return whole_steps(-(-config.batching.tokens_per_batch // N_STEPS), BLOCK)


def choose_compile(config: PretrainConfig, compute: Compute, world: World, kernel: str) -> tuple[bool, str]:
    """Return whether to compile the blocks, and why.

    Raises:
        ConfigError: It is asked for, and the kernel's loops over documents would make new graphs for every batch.
    """
    asked = config.train.compile
    if kernel in ("packed", "reference"):
        if asked == "on":
            raise ConfigError(
                "train.compile", f"is on with the kernel `{kernel}`, whose loops follow each batch's documents, "
                "expected a kernel of CUDA", "use `--set train.compile=auto`",
            )  # fmt: skip
        return False, f"off: the loops of `{kernel}` follow each batch's documents"
    if asked != "auto":
        return asked == "on", "asked for"
    if world.several and config.train.parallel == "fsdp":
        return False, "auto: off under fsdp, whose hooks break the graph"
    return True, f"auto: on for CUDA, at lengths of whole {static_step(config)} tokens"
