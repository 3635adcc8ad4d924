"""One process or several: who writes, what is summed over all, and how a model is spread.

A collective on CPU tensors goes through gloo and one on CUDA tensors through NCCL. So the hosts agree on counts and
on when to stop without waiting for their devices.
"""

from __future__ import annotations

import gc
import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tawt.errors import ConfigError, DeviceError, TawtError
from tawt.training.watch import AllStop

_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "[gloo")
FSDP_ON_CPU = (2, 11)
"""Oldest torch with which FSDP2 was right on CPU; 2.7 halves its gradients there."""
TIMEOUT, PATIENCE = timedelta(minutes=10), timedelta(days=7)
"""How long a process waits for the others before it takes them for dead: within steps, and where one works for all.
One that has ended is noticed at once."""


@dataclass(frozen=True)
class World:
    """The processes of a run."""

    rank: int = 0
    """Number of this one."""
    size: int = 1
    """How many there are."""
    local_size: int = 1
    """How many there are on its machine."""
    patient: Any = None
    """The group in which all wait for what one of them does for all."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    def wait(self, patient: bool = False) -> None:
        """Wait until every process is here; `patient` where one of them has worked for all."""
        if self.several:  # a barrier would go through NCCL where it is there
            dist.all_reduce(torch.zeros(1), group=self.patient if patient else None)

    def from_first(self, make: Callable[[], Tensor], shape: Sequence[int]) -> Tensor:
        """Return to all processes the float32 tensor on CPU that the first one alone makes."""
        tensor = make() if self.first else torch.empty(tuple(shape))
        if self.several:
            dist.broadcast(tensor, 0, group=self.patient)
        return tensor

    def total(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.several:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, by rank; their shapes must be equal."""
        if not self.several:
            return [tensor]
        out = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(out, tensor.contiguous())
        return out


@contextmanager
def open_world(device: str) -> Iterator[World]:
    """Join the other processes that `torchrun` started, and leave them at the end.

    What is spread over the processes must be out of scope by then: call a function within that makes it.

    Args:
        device: As asked for: auto, cpu, cuda or cuda:N.

    Raises:
        ConfigError: One GPU was named for several processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    names = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, local_rank, local_size = (int(os.environ.get(name, "0")) for name in names)
    if device.startswith("cuda:"):
        raise ConfigError(
            f"--device {device}", f"names one GPU for {size} processes, expected one each", "use `--device cuda`"
        )
    on_cuda = device != "cpu" and torch.cuda.is_available()
    if on_cuda:
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_cuda else "gloo", timeout=TIMEOUT)
    world = World(rank, size, max(local_size, 1), dist.new_group(timeout=PATIENCE, backend="gloo"))
    try:
        yield world
        world.wait()  # nobody hangs up while another still listens
    except BaseException as error:
        _let_go(error)
        raise
    finally:
        # gloo's threads abort a process in which a model still holds on to the group when Python ends
        gc.collect()
        dist.destroy_process_group()


def _let_go(error: BaseException | None) -> None:
    """Empty the frames that an error and those before it have left, so that nothing in them stays alive."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def spread(entry: nn.Module, blocks: Sequence[nn.Module], world: World, how: str, device: torch.device) -> nn.Module:
    """Make a model that is equal in all processes one model over all of them.

    Args:
        entry: The module whose `forward` is called; every parameter must get a gradient from it.
        blocks: Its parts that are gathered one at a time under `fsdp`.
        world: The processes.
        how: `ddp`, which copies the weights, or `fsdp`, which shares them out.
        device: Where the model is.

    Returns:
        What to call instead of `entry`; the gradients are means over the processes.

    Source: Zhao et al., PyTorch FSDP, 2023; `torch.distributed.fsdp.fully_shard`.
    """
    if not world.several:
        return entry
    if how == "ddp":
        # buffers follow from the vocabulary and are equal everywhere; the argument was named anew in torch 2.13
        ddp = nn.parallel.DistributedDataParallel
        new = "forward_sync_buffers" in inspect.signature(ddp.__init__).parameters
        still: Any = {"forward_sync_buffers" if new else "broadcast_buffers": False}
        return ddp(entry, gradient_as_bucket_view=True, **still)
    if device.type == "cpu" and torch_version() < FSDP_ON_CPU:
        raise DeviceError(
            "train.parallel", f"fsdp on CPU gives wrong gradients with torch {torch.__version__}, expected "
            f"{'.'.join(map(str, FSDP_ON_CPU))} or newer", "use `--set train.parallel=ddp`",
        )  # fmt: skip
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (world.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(entry, mesh=mesh)
    return entry


def torch_version() -> tuple[int, ...]:
    """Return torch's version as far as it is compared: major and minor."""
    return tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])


@contextmanager
def reducing(entry: nn.Module, now: bool) -> Iterator[None]:
    """Exchange gradients in the backward passes within only if it is the last of the step."""
    if isinstance(entry, nn.parallel.DistributedDataParallel) and not now:
        with entry.no_sync():
            yield
        return
    fully_sharded: Any = entry
    if hasattr(entry, "set_requires_gradient_sync"):
        fully_sharded.set_requires_gradient_sync(now)
    yield


def put_away(entry: nn.Module) -> None:
    """Under `fsdp`, let go of the weights that a forward pass without a backward pass left gathered.

    Until then the model's parameters are copies, which the optimizer does not know.
    """
    fully_sharded: Any = entry
    if hasattr(entry, "reshard"):
        fully_sharded.reshard()


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor that is shared out; any other tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor that is shared out in full; every process must ask for it."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def shared_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Share out a full tensor, which all processes hold, as another one is."""
    if not hasattr(like, "device_mesh"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    shared: Any = like
    out: Tensor = distribute_tensor(tensor.to(like.device), shared.device_mesh, shared.placements)
    return out


@contextmanager
def one_voice(world: World, alike: bool) -> Iterator[None]:
    """Let one process speak of an error; the others end without a word.

    Args:
        world: The processes.
        alike: Whether all processes do the same here, so that all come upon the same error.
    """
    try:
        yield
    except KeyboardInterrupt:
        if world.first:
            raise
        raise SystemExit(130) from None
    except Exception as error:
        same = not world.first and (alike or isinstance(error, AllStop)) and isinstance(error, TawtError)
        if world.several and (same or _another_is_gone(error)):
            raise SystemExit(1) from None
        raise


def _another_is_gone(error: Exception) -> bool:
    """Return whether a collective broke because another process has ended; that one has said why."""
    return isinstance(error, dist.DistError) or any(text in str(error) for text in _GONE)
