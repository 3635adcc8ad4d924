"""How much memory a run needs, and what to set when there is less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tawt.batching.loader import PackedLoader
from tawt.batching.windows import document_lengths
from tawt.config.train import PretrainConfig
from tawt.errors import TrainingError
from tawt.machine import available_bytes
from tawt.training.device import Compute

RUNTIME_BYTES = 450_000_000
"""What Python, torch and the mapped code take before the first tensor."""
CUDA_BYTES = 800_000_000
"""What the CUDA context and its libraries take on the device."""
EXAMPLE_BYTES = 120
"""What a triplet of a batch takes with its gaps, masks and truths."""
_NO_MEMORY = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""How torch says that memory ran out, where it is a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    typed = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return typed or any(text in str(error) for text in _NO_MEMORY)


@contextmanager
def explained(run: Path, config: PretrainConfig, device: str) -> Iterator[None]:
    """Say what to set where memory runs out within.

    Args:
        run: The run folder.
        config: Of the run.
        device: As asked for.

    Raises:
        TrainingError: Memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        on_cuda = device != "cpu" and torch.cuda.is_available()
        raise _out_of_memory(run, config, on_cuda, error) from None


def _out_of_memory(run: Path, config: PretrainConfig, on_cuda: bool, error: BaseException) -> TrainingError:
    batching = config.batching
    ways = ["halve batching.tokens_per_batch (and set train.accumulate_tokens to what it was)"]
    ways.append("halve batching.max_length")
    if not config.train.activation_checkpointing:
        ways.append("set train.activation_checkpointing=true")
    if on_cuda and config.train.precision == "fp32":
        ways.append("set train.precision=bf16")
    return TrainingError(
        str(run),
        f"memory ran out ({type(error).__name__}) with batches of {batching.tokens_per_batch} tokens "
        f"and documents of up to {batching.max_length}, expected to fit",
        ", or ".join(ways),
    )


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
