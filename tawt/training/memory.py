"""How much memory a run needs, and what to set when there is less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tawt.batching.loader import PackedLoader
from tawt.batching.windows import document_lengths
from tawt.config.train import PretrainConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import TrainingError
from tawt.machine import available_bytes
from tawt.modalities.encoders.size import count_parameters
from tawt.room import bounds, is_end_of_memory, size, unlimited
from tawt.training.device import Compute

RUNTIME_BYTES = 450_000_000
"""What Python, torch and the mapped code take before the first tensor."""
CUDA_BYTES = 800_000_000
"""What the CUDA context and its libraries take on the device."""
EXAMPLE_BYTES = 120
"""What a triplet of a batch takes with its gaps, masks and truths."""
FUSED_BYTES = {False: (22, 4, 85), True: (42, 8, 190)}
"""Whether all is in float32 -> bytes that a token keeps: of each layer for each of d_model and of d_ffn, and outside of
the layers for each of d_model. Counted for the layers (two residuals, two masks, and queries to the inner of the
feed-forward in the format of products); the rest was measured (`docs/benchmarks.md`)."""


@contextmanager
def explained(run: Path, config: PretrainConfig, device: str, ways: str = "") -> Iterator[None]:
    """Say what to set where memory runs out within.

    Args:
        run: The run folder.
        config: Of the run.
        device: As asked for.
        ways: What needs less; by default, what to set of a training.

    Raises:
        TrainingError: Memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not is_end_of_memory(error):
            raise
        on_cuda = device != "cpu" and torch.cuda.is_available()
        there = f"the {size(memory_there(torch.device('cuda')))} of the GPU" if on_cuda else bounds()
        raise TrainingError(
            str(run),
            f"memory ran out ({type(error).__name__}) with batches of {config.batching.tokens_per_batch} tokens and "
            f"documents of up to {config.batching.max_length}, expected to fit in {there}",
            ", or ".join([*([] if on_cuda else unlimited()), ways or _ways(config, on_cuda)]),
        ) from None  # fmt: skip


def least_parameters(config: PretrainConfig, vocabulary: Vocabulary) -> int:
    """Return how many parameters a model has in its large tables and matrices, without making it."""
    model, readout, d = config.model, config.model.readout, config.model.d_model
    rows = len(vocabulary) + vocabulary.n_category_rows + vocabulary.max_bins
    blocks = model.n_layers * d * (4 * d + (3 if model.ffn == "swiglu" else 2) * model.d_ffn)
    of_types = min(len(readout.types) or readout.n_types, len(vocabulary)) * readout.d_type
    pooled = of_types * 6 * (2 + readout.d_value + readout.d_state) if model.pooling == "per_type" else 0
    projected = 2 * config.objective.contrastive.d_projection**2 if config.objective.contrastive.weight else 0
    if config.objective.paired.weight:
        projected = 2 * 2 * config.objective.paired.d_projection**2
    beside = count_parameters(config.modalities, frozen=False)
    reads, read = config.objective.latent.model, 0
    if reads is not None:
        read = least_parameters(PretrainConfig(model=reads), vocabulary)
    return rows * d + blocks + pooled + projected + beside + read


def hold_weights(run: Path, n_parameters: int, device: torch.device, each: int = 16) -> None:
    """Refuse a model that cannot fit, before it is made: the system might end the process without a word.

    Args:
        run: The run folder.
        n_parameters: Of the model.
        device: Where it is to be.
        each: Bytes of a parameter: its weight, gradient and two moments.

    Raises:
        TrainingError: Weights alone need more than there is.
    """
    needed, there = each * n_parameters, memory_there(device)
    if needed > there:
        raise TrainingError(
            str(run), f"a model of {n_parameters:,} parameters needs {needed / 1e9:,.1f} GB, expected at most the "
            f"{there / 1e9:,.1f} GB there",
            "lower model.d_model, model.d_ffn or model.n_layers, or the sizes of `modalities`",
        )  # fmt: skip


def _ways(config: PretrainConfig, on_cuda: bool) -> str:
    ways = ["halve batching.tokens_per_batch (and set train.accumulate_tokens to what it was)"]
    ways.append("halve batching.max_length")
    if not config.train.activation_checkpointing:
        ways.append("set train.activation_checkpointing=true")
    if on_cuda and config.train.precision == "fp32":
        ways.append("set train.precision=bf16")
    return ", or ".join(ways)


def memory_there(device: torch.device) -> int:
    """Return the bytes that the device has; of CPUs, the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return available_bytes()


def memory_estimate(
    config: PretrainConfig,
    n_parameters: int,
    train: PackedLoader,
    compute: Compute,
    n_processes: int,
    n_batches: int,
    checkpointing: bool,
    fused: bool = False,
    reached: tuple[int, int] | None = None,
    beside: int = 0,
) -> int:
    """Return the bytes of one process: weights, gradients, two moments, and one batch's backward pass.

    A layer keeps about 24 vectors of d_model and 4 of d_ffn per token; compiled around the kernel of our own, what
    `FUSED_BYTES` says. Checkpointed, one vector, and one layer at a time whole. All batches of a step, `n_batches` of
    them, are held at once.

    Args:
        config: Of the run.
        n_parameters: Of the model.
        train: Its batches.
        compute: What it computes on.
        n_processes: Of the run.
        n_batches: Of one process and step.
        checkpointing: Whether blocks are computed again in the backward pass.
        fused: Whether blocks are compiled around the kernel of our own.
        reached: Triplets and tokens of the fullest batch; None = the budget of both.
        beside: Bytes that contents add, see `beside_bytes`.
    """
    model, budget = config.model, config.batching.tokens_per_batch
    triplets, tokens = reached or (budget, budget)
    on_cuda, whole = compute.device.type == "cuda", compute.dtype == torch.float32
    size = 4 if whole else 2.5  # norms and residuals stay float32 under autocast
    per_layer, kept, around = (24 * model.d_model + 4 * model.d_ffn) * size, size, 20 * model.d_model * size
    if fused:
        of_d, of_ffn, of_rest = FUSED_BYTES[whole]
        per_layer, kept, around = of_d * model.d_model + of_ffn * model.d_ffn, 4, of_rest * model.d_model
    layers = model.n_layers * model.d_model * kept + per_layer if checkpointing else model.n_layers * per_layer
    activations = triplets * (n_batches * EXAMPLE_BYTES + around) + tokens * layers
    if (reads := config.objective.latent.model) is not None:  # of one that does not learn, a layer at a time is held
        held = reads.n_layers if config.objective.latent.trains_encoder else 1
        activations += budget * (EXAMPLE_BYTES + size * (24 * reads.d_model + 4 * reads.d_ffn) * held)
    if not on_cuda:  # the CPU kernel keeps the distances within documents; a flash kernel keeps none
        lengths = document_lengths(train.split.lengths[train.subjects], config.batching.max_length).astype(float)
        activations += 4 * tokens * (lengths @ lengths) / lengths.sum()
    share = n_processes if config.train.parallel == "fsdp" else 1
    return (CUDA_BYTES if on_cuda else RUNTIME_BYTES) + beside + int(16 * n_parameters / share + activations)
