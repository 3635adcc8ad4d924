"""What of a run follows from its config, its processes and its device."""

from __future__ import annotations

from tawt.config.batching import BatchingConfig
from tawt.config.train import PretrainConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.models.attention.blocks import BLOCK, whole_steps
from tawt.training.checkpoint import Checkpoint
from tawt.training.device import Compute
from tawt.training.distributed import World

N_STEPS = 8
"""Static lengths of full batches: each is compiled once, and no batch is padded by more than a step."""
N_FINE_STEPS = 32
"""The same for the kernel of our own, whose graph serves all lengths."""


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


def loader_config(config: PretrainConfig, training: bool) -> BatchingConfig:
    """Return the token budget of what is loaded: in validation half of it where every document becomes two views.

    In training, views are made before documents are packed.

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
    return batching if training else batching.model_copy(update={"tokens_per_batch": half})


def static_step(config: PretrainConfig, kernel: str = "") -> int:
    """Return the tokens of whose multiple each batch is filled up where shapes must be few: an eighth of the budget,
    and less for a kernel that is compiled once for all of them.

    A batch has fewer tokens than its budget where they are moments, or where forecasting, views and augmentation took
    some away.
    """
    n = N_FINE_STEPS if kernel == "fused" else N_STEPS
    return whole_steps(-(-config.batching.tokens_per_batch // n), BLOCK)


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
    return True, f"auto: on for CUDA, at lengths of whole {static_step(config, kernel)} tokens"


def choose_replay(config: PretrainConfig, world: World, kernel: str, compiled: bool) -> tuple[bool, str]:
    """Return whether forward and backward of a batch are captured as CUDA graphs and replayed, and why."""
    bars = {
        "blocks are not compiled": not compiled,
        f"of `{kernel}`, what comes from the host differs from batch to batch": kernel != "fused",
        "gradients are exchanged between processes": world.several,
        "the contrastive loss goes over several batches": bool(config.objective.contrastive.weight),
        "of what lies beside records there is more or less in each step": config.modalities.is_on,
        "what reads a latent follows each batch's documents": config.objective.latent.is_on,
        "random numbers are drawn again in the backward pass": config.train.activation_checkpointing,
    }
    bar = next((why for why, there in bars.items() if there), None)
    return bar is None, f"not replayed as CUDA graphs: {bar}" if bar else "replayed as CUDA graphs"
