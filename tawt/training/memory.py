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
from tawt.room import bounds, is_end_of_memory, size, unlimited
from tawt.training.device import Compute

RUNTIME_BYTES = 450_000_000
"""What Python, torch and the mapped code take before the first tensor."""
CUDA_BYTES = 800_000_000
"""What the CUDA context and its libraries take on the device."""
EXAMPLE_BYTES = 120
"""What a triplet of a batch takes with its gaps, masks and truths."""


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
    return rows * d + blocks + pooled + projected


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
            f"{there / 1e9:,.1f} GB there", "lower model.d_model, model.d_ffn or model.n_layers",
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
) -> int:
    """Return the bytes of one process: weights, gradients, two moments, and one batch's backward pass.

    A layer keeps about 24 vectors of d_model and 4 of d_ffn per token; checkpointed, one vector, and one layer at a
    time whole. All batches of a step, `n_batches` of them, are held at once.
    """
    model, budget = config.model, config.batching.tokens_per_batch
    on_cuda = compute.device.type == "cuda"
    size = 4 if compute.dtype == torch.float32 else 2.5  # norms and residuals stay float32 under autocast
    per_layer = 24 * model.d_model + 4 * model.d_ffn
    layers = model.n_layers * model.d_model + per_layer if checkpointing else model.n_layers * per_layer
    activations = budget * n_batches * EXAMPLE_BYTES + budget * (layers + 20 * model.d_model) * size
    if not on_cuda:  # the CPU kernel keeps the distances within documents; a flash kernel keeps none
        lengths = document_lengths(train.split.lengths[train.subjects], config.batching.max_length).astype(float)
        activations += 4 * budget * (lengths @ lengths) / lengths.sum()
    share = n_processes if config.train.parallel == "fsdp" else 1
    return (CUDA_BYTES if on_cuda else RUNTIME_BYTES) + int(16 * n_parameters / share + activations)
