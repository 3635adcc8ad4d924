"""What a run will do, worked out before it does anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tawt.batching.loader import PackedLoader
from tawt.batching.windows import document_lengths
from tawt.config.train import PretrainConfig
from tawt.models.build import ParameterCounts
from tawt.training.checkpoint import Checkpoint
from tawt.training.device import Compute
from tawt.training.loop import batches_per_step

RUNTIME_BYTES = 450_000_000
"""What Python, torch and the mapped code take before the first tensor."""


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
    tokens_per_step: int
    """Token budget of one optimizer step."""
    n_steps: int
    """Optimizer steps in all."""
    start_step: int
    """Steps already made, from the checkpoint that is resumed."""
    n_epochs: float
    """Passes over train in all steps."""
    memory_bytes: int
    """Estimate of the process: runtime, weights, gradients, optimizer and one batch's backward pass."""
    compute: Compute
    """Device, precision and threads with their reasons."""
    reasons: dict[str, str]
    """Why, per choice, as shown to the user."""


def make_plan(
    run: Path,
    config: PretrainConfig,
    train: PackedLoader,
    parameters: ParameterCounts,
    compute: Compute,
    checkpoint: Checkpoint | None,
) -> PretrainPlan:
    """Work out a run's plan from what is loaded already; nothing is written."""
    per_step, n_batches = batches_per_step(config), train.n_batches(0)
    budget = config.batching.tokens_per_batch
    return PretrainPlan(
        run=run,
        config=config,
        parameters=parameters,
        n_subjects=len(train.subjects),
        n_tokens=train.n_tokens,
        n_batches=n_batches,
        packing_efficiency=train.n_tokens / (n_batches * budget),
        tokens_per_step=per_step * budget,
        n_steps=config.train.max_steps,
        start_step=checkpoint.step if checkpoint else 0,
        n_epochs=config.train.max_steps * per_step / n_batches,
        memory_bytes=_memory(config, parameters.total, train),
        compute=compute,
        reasons={
            **compute.reasons,
            "tokens_per_step": f"{per_step} packed batches of at most {budget} tokens",
            "start_step": f"resumed from {checkpoint.folder}" if checkpoint else "a new run",
        },
    )


def _memory(config: PretrainConfig, n_parameters: int, train: PackedLoader) -> int:
    """Runtime, weights, gradients and two moments, one batch's distances, and what its backward pass
    needs: about 24 vectors of d_model and 4 of d_ffn per token and layer."""
    model, budget = config.model, config.batching.tokens_per_batch
    per_layer = 24 * model.d_model + 4 * model.d_ffn
    activations = budget * (model.n_layers * per_layer + 20 * model.d_model)
    lengths = document_lengths(train.split.lengths[train.subjects], config.batching.max_length).astype(float)
    distances = budget * (lengths @ lengths) / lengths.sum()
    return RUNTIME_BYTES + int(4 * (4 * n_parameters + activations + distances))
