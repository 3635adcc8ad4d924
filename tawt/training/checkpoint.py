"""Checkpoints: RUN/checkpoints/step-000080/{model.safetensors, optimizer.safetensors, state.json}, whole
or not there.

The folder is written aside, flushed to disk and renamed; only then does `latest` name it. Files hold no
times and no paths, so equal weights are equal bytes. A checkpoint needs no random state, for batches,
masks and dropout follow from (seed, step).
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tawt.errors import CheckpointError
from tawt.files import publish, write_hashes, write_json, write_text
from tawt.files import publish_file as publish_file
from tawt.training.distributed import shared_like, whole

FORMAT = "tawt.checkpoint/1"
WEIGHTS = "model.safetensors"
_AGAIN = "name another checkpoint in `checkpoints/latest`, or start again with `--out DIR`"
_OTHER = "give the run that has this config and vocabulary"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path
    """RUN/checkpoints/step-NNNNNN."""
    state: dict[str, Any]
    """What state.json holds: step, config, vocabulary, threads."""

    @property
    def step(self) -> int:
        """Optimizer steps made."""
        return int(self.state["step"])


def full_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's parameters on the host; of one that is shared out, whole, and every process must ask.

    Buffers follow from config and vocabulary.
    """
    return {name: _on_host(parameter) for name, parameter in model.named_parameters()}


def write_tensors(tensors: dict[str, Tensor], path: Path, about: dict[str, str] | None = None) -> None:
    """Write tensors, and texts about them, to a safetensors file, aside and renamed.

    Raises:
        OSError: It cannot be written: no space, no right.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        save_file(tensors, aside, about)
    except SafetensorError as error:
        # what the system said, as any other file's writer would have raised it
        found = re.search(r"(?:os error|code:) (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from None
    publish_file(aside, path)


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's parameters, aside and renamed."""
    write_tensors(full_weights(model), path)


def load_weights(model: nn.Module, path: Path, prefix: str = "") -> None:
    """Read parameters into a model.

    Args:
        model: What they are for.
        path: A safetensors file.
        prefix: Only names that start so are read, without it.

    Raises:
        CheckpointError: The file is absent or broken, or its names or shapes are not the model's.
    """
    tensors = {name[len(prefix) :]: t for name, t in read_tensors(path).items() if name.startswith(prefix)}
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() ^ tensors.keys()):
        have = "lacks" if name in parameters else "has"
        raise CheckpointError(str(path), f"{have} the weight `{name}`, expected the weights of this model", _OTHER)
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != tensors[name].shape:
                raise CheckpointError(
                    str(path),
                    f"weight `{name}` has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}",
                    _OTHER,
                )
            parameter.copy_(tensors[name])


def save_checkpoint(
    run: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    keep: int,
    writes: bool = True,
) -> Checkpoint:
    """Write a checkpoint, name it in `latest` and remove all but the newest `keep`.

    It holds whole tensors, so it does not know how many processes made it.

    Args:
        run: The run folder.
        model: Its parameters are saved.
        optimizer: Over parameters of the model.
        state: JSON-able; must hold `step`.
        keep: Checkpoints that stay.
        writes: False in all processes but the first, which only take part in the gathering.
    """
    root = run / "checkpoints"
    folder = root / f"step-{state['step']:06d}"
    whole_state = {"format": FORMAT, **state}
    weights, moments = full_weights(model), _optimizer_tensors(model, optimizer)
    if not writes:
        return Checkpoint(folder, whole_state)
    root.mkdir(parents=True, exist_ok=True)
    aside = root / f".{folder.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    write_tensors(weights, aside / WEIGHTS)
    write_tensors(moments, aside / "optimizer.safetensors")
    write_json(aside / "state.json", whole_state)
    write_hashes(aside)
    publish(aside, folder)
    write_text(root / "latest", folder.name + "\n")
    by_step = sorted((int(path.name.removeprefix("step-")), path) for path in root.glob("step-*"))
    earlier = [path for step, path in by_step if step <= state["step"]]
    # later ones are of a run that was taken up again before them: what follows them is made anew
    later = [path for step, path in by_step if step > state["step"]]
    for old in [*earlier[:-keep], *later]:
        shutil.rmtree(old, ignore_errors=True)
    return Checkpoint(folder, whole_state)


def latest_checkpoint(run: Path) -> Checkpoint | None:
    """Return the checkpoint that `latest` names, None where a run has none yet.

    Raises:
        CheckpointError: It names a checkpoint that is not there, is broken or is of another format.
    """
    pointer = run / "checkpoints" / "latest"
    if not pointer.exists():
        return None
    try:
        folder = pointer.parent / pointer.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read ({type(error).__name__}), expected the name of a checkpoint beside it"
        raise CheckpointError(str(pointer), what, "write one of them into it, as `step-000200`") from None
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            str(folder / "state.json"), f"cannot be read ({type(error).__name__}), expected a checkpoint",
            _AGAIN,
        ) from None  # fmt: skip
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(str(folder / "state.json"), f"is of another format, expected {FORMAT}", _AGAIN)
    return Checkpoint(folder, state)


def load_optimizer(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's optimizer state back, shared out as the model's parameters are.

    Raises:
        CheckpointError: The file is absent or broken, or does not fit the model.
    """
    path = checkpoint.folder / "optimizer.safetensors"
    parameters = dict(model.named_parameters())
    for key, tensor in read_tensors(path).items():
        name, _, field = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(
                str(path), f"has state of `{name}`, expected only that of this model's weights", _OTHER
            )
        parameter = parameters[name]
        # a copy: the file's buffer is not aligned as torch's own memory is
        own = tensor.to(parameter.device, copy=True)
        optimizer.state[parameter][field] = shared_like(own, parameter) if own.dim() else own


def load_checkpoint(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's weights and optimizer state back.

    Raises:
        CheckpointError: A file is absent or broken, or does not fit the model.
    """
    load_weights(model, checkpoint.folder / WEIGHTS)
    load_optimizer(checkpoint, model, optimizer)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It is absent or broken.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            str(path), f"cannot be read ({type(error).__name__}), expected safetensors weights", _AGAIN
        ) from None


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{field}": _on_host(tensor)
        for name, parameter in model.named_parameters()
        for field, tensor in optimizer.state.get(parameter, {}).items()
    }


def _on_host(tensor: Tensor) -> Tensor:
    return whole(tensor.detach()).cpu().contiguous()
