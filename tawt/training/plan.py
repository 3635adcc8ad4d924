"""What a run will do, worked out before it does anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tawt.batching.example import Example
from tawt.config.train import PretrainConfig
from tawt.models.attention.blocks import whole_steps
from tawt.objectives.compared import compared_of
from tawt.objectives.parts import ON_EMBEDDING, weights
from tawt.objectives.pretrain_model import ParameterCounts, count_parameters
from tawt.training.device import Compute
from tawt.training.memory import memory_estimate, memory_there
from tawt.training.memory_beside import beside_bytes
from tawt.training.optim import warmup_steps
from tawt.training.setup import Setup
from tawt.training.step import tally

N_LOOKED_AT = 4
"""Batches that a dry run makes to see what reaches the model."""
LITTLE_LEFT = 0.1
"""Share of a pass's tokens below which a dry run of forecasting says how more would reach the model."""
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
    """Share of the batches' token budget that holds tokens, once documents are cut, thinned and doubled."""
    reaching: float | None
    """Share of the token budget that reaches the model, moments made of triplets, in the first batches; None = not
    looked at, as only a dry run does."""
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

    @property
    def means(self) -> dict[str, tuple[str, str]]:
        """What it runs on, each with its reason."""
        compute = {key: (str(getattr(self.compute, key)), why) for key, why in self.compute.reasons.items()}
        return compute | {"attention": (self.kernel, self.reasons["kernel"])}


def make_plan(setup: Setup, reached: tuple[int, int] | None = None, examples: Sequence[Example] = ()) -> PretrainPlan:
    """Work out a run's plan from its set-up; nothing is written.

    Args:
        setup: Of the run.
        reached: Triplets and tokens that the fullest batch brings to the model; None = not looked at: the budget.
        examples: The batches that were looked at.
    """
    config, train, compute, world = setup.config, setup.train, setup.compute, setup.world
    per_step, checkpoint, parameters = setup.batches_per_step, setup.checkpoint, count_parameters(setup.model)
    n_batches = train.n_batches(0)
    budget = config.batching.tokens_per_batch
    beside = beside_bytes(setup.looking, train, per_step // world.size, examples)
    fused = setup.kernel[0] == "fused" and setup.compiled[0]
    memory = [
        memory_estimate(
            config, parameters.total, train, compute, world.size, per_step // world.size, kept, fused,
            reached if fused else None, beside,
        )
        for kept in (False, True)
    ]  # fmt: skip
    n_epochs = config.train.max_steps * per_step / n_batches
    n_documents = train.n_documents * per_step / n_batches
    checkpointing = config.train.activation_checkpointing
    on_machine = memory[checkpointing] * (1 if compute.device.type == "cuda" else world.local_size)
    views = " (two views of each document)" if config.objective.contrastive.weight else ""
    batches = "batch" if per_step == 1 else "batches"
    each = f", {per_step // world.size} for each process" if world.several else ""
    return PretrainPlan(
        run=setup.run,
        config=config,
        parameters=parameters,
        n_subjects=len(train.subjects),
        n_tokens=train.n_tokens,
        n_batches=n_batches,
        packing_efficiency=train.n_left(0) / (n_batches * budget),
        reaching=None,
        tokens_per_step=per_step * budget,
        n_steps=config.train.max_steps,
        start_step=setup.start_step,
        n_epochs=n_epochs,
        memory_bytes=memory[checkpointing],
        compute=compute,
        processes=world.size,
        compiled=setup.compiled[0],
        kernel=setup.kernel[0],
        reasons={
            **compute.reasons,
            "tokens_per_step": f"{per_step} packed {batches} of at most {budget:,} tokens{views}{each}",
            "start_step": f"resumed from {checkpoint.folder}"
            if checkpoint
            else "a new run" + (f" from the weights of {setup.init}" if setup.init is not None else ""),
            "memory": f"{memory[0] / 1e9:.1f} GB without activation checkpointing, {memory[1] / 1e9:.1f} GB with it",
            "processes": f"{config.train.parallel}, started by torchrun" if world.several else "one, not torchrun",
            "kernel": setup.kernel[1],
            "compiled": f"{setup.compiled[1]}; {setup.replayed[1]}" if setup.compiled[0] else setup.compiled[1],
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
    compared = compared_of(config.objective)
    if compared is not None and n_documents < FEW_DOCUMENTS:
        yield (
            f"about {n_documents:.0f} documents a step: objective.{compared.part} has little to tell apart; raise "
            "batching.tokens_per_batch or train.accumulate_tokens"
        )
    views = config.objective.contrastive.views
    if config.objective.contrastive.weight and not any(views.model_dump().values()) and not config.model.dropout:
        yield (
            "the two views of a document are equal: nothing says which differences mean nothing; set one of "
            "objective.contrastive.views, or model.dropout"
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


def looked_at(setup: Setup) -> PretrainPlan:
    """Return the plan with what a look at the first batches tells: how much reaches the model, and which parts of the
    loss have no position."""
    prepare = setup.prepare[0]
    examples = [prepare(setup.train.batch(number), number) for number in range(N_LOOKED_AT)]
    tokens = [example.batch.layout.n_tokens for example in examples if example.batch.layout is not None]
    compared = compared_of(setup.config.objective)
    counts = [tally(example, tuple(prepare.parts), compared)[0] for example in examples]
    silent = [part for part in prepare.parts if not any(count[part] for count in counts)]
    share = sum(tokens) / (N_LOOKED_AT * setup.config.batching.tokens_per_batch)
    doubts = [without_position(part, f"the first {N_LOOKED_AT} batches") for part in silent]
    left = setup.train.n_left(0) / setup.train.n_tokens
    if left < LITTLE_LEFT and setup.config.objective.forecast.weight:
        doubts.append(
            f"only {left:.1%} of the tokens reaches the model: documents are cut at a prediction time, early in "
            "long records; raise objective.forecast.window_hours and objective.forecast.earliest_hours for these"
        )
    most = (max(example.n_tokens for example in examples), max(tokens))
    reached = whole_steps(most[0], setup.static or 1), whole_steps(most[1], setup.static or 1)
    plan = make_plan(setup, reached, examples)
    return replace(plan, reaching=share, doubts=(*plan.doubts, *doubts))


def without_gradient(names: Sequence[str], step: int) -> str:
    """Say that parameters learn nothing."""
    named = ", ".join(f"`{name}`" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"in {step} steps no gradient has reached {named}: no part of the loss hangs on them, or the data have nothing "
        "of the kind"
    )


def without_position(part: str, where: str) -> str:
    """Say that a part of the loss learns nothing."""
    return f"the part `{part}` has no position in {where}: nothing of the kind is in the data, or nothing is hidden"
