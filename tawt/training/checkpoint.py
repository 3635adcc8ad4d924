"""Checkpoints: RUN/checkpoints/step-000080/{model.safetensors, optimizer.safetensors, state.json}, whole or not there.

The folder is written aside, flushed to disk and renamed; only then does `latest` name it. Files hold no times or paths:
equal weights are equal bytes. No random state is needed, for batches, masks and dropout follow from (seed, step).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tawt.config.base import Section
from tawt.config.train import MAX_STEPS
from tawt.errors import CheckpointError
from tawt.files import whole, whole_folder, write_hashes, write_json, write_text
from tawt.heads.lora import merged
from tawt.readers import read_record, read_text, reading
from tawt.seals import BLANK, changed_files, fill, hold
from tawt.training.distributed import shared_like
from tawt.training.distributed import whole as all_of

FORMAT = "tawt.checkpoint/1"
WEIGHTS, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_FIELDS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight."""
_NAME = re.compile(r"^step-([0-9]{6,10})$")
ANOTHER = "name another checkpoint in `checkpoints/latest`, or start again with `--out DIR`"
_OTHER = "give the run that has this config and vocabulary"


class ScalerState(Section):
    """The loss scaler of fp16."""

    scale: float = Field(gt=0)
    good: float = Field(ge=0)


class CheckpointState(Section):
    """What state.json says."""

    format: Literal["tawt.checkpoint/1"] = "tawt.checkpoint/1"
    step: int = Field(0, ge=0, le=MAX_STEPS)
    """Optimizer steps made."""
    config: dict[str, Any]
    """What a resumed run may not change of the config."""
    vocabulary: str
    """SHA-256 of the vocabulary."""
    dataset: str
    """Hash of the splits that are read."""
    seed: int = Field(ge=0)
    threads: int = Field(ge=1, le=1024)
    precision: Literal["fp32", "bf16", "fp16"]
    processes: int = Field(ge=1)
    batches_per_step: int = Field(ge=1)
    """Over all processes."""
    scaler: ScalerState | None = None
    skipped: int = Field(0, ge=0)
    """Steps that the loss scaler skipped."""

    @field_validator("config")
    @classmethod
    def _tells_its_steps(cls, config: dict[str, Any]) -> dict[str, Any]:
        train = config.get("train")
        if not isinstance(train, dict) or not isinstance(train.get("max_steps"), int):
            raise ValueError("has no train.max_steps")
        return config


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path
    """RUN/checkpoints/step-NNNNNN."""
    state: CheckpointState
    """What state.json holds."""
    idle: tuple[str, ...] = ()
    """Parameters that no gradient has reached, as far as whoever saved it saw."""

    @property
    def step(self) -> int:
        """Optimizer steps made."""
        return self.state.step


def full_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's parameters on the host; of one that is shared out, whole, and every process must ask.

    Buffers follow from config and vocabulary.
    """
    return {name: _on_host(parameter) for name, parameter in model.named_parameters()}


def write_tensors(tensors: dict[str, Tensor], path: Path, about: dict[str, str] | None = None) -> None:
    """Write tensors, and texts about them, to a safetensors file, whole or not at all; `BLANK` as a text is a seal.

    Raises:
        OSError: It cannot be written: no space, no right.
    """
    with whole(path) as aside:
        try:
            save_file(tensors, aside, about)
        except SafetensorError as error:
            # what the system said, as any other file's writer would have raised it
            found = re.search(r"(?:os error|code:) (\d+)", str(error))
            number = int(found[1]) if found else errno.EIO
            raise OSError(number, os.strerror(number), str(path)) from None
        if about is not None and BLANK in about.values():
            fill(aside)


def load_weights(model: nn.Module, path: Path, prefix: str = "") -> None:
    """Read parameters into a model.

    Args:
        model: What they are for.
        path: A safetensors file.
        prefix: Only names that start so are read, without it.

    Raises:
        CheckpointError: The file is absent or broken, its names or shapes are not the model's, or a weight is no
            finite number.
    """
    read = merged(read_tensors(path)) if prefix else read_tensors(path)
    tensors = {name[len(prefix) :]: t for name, t in read.items() if name.startswith(prefix)}
    put_weights(dict(model.named_parameters()), tensors, path)


def put_weights(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors of a file into the parameters of their names.

    Raises:
        CheckpointError: Names, shapes or types are not those of the parameters, or a weight is no finite number.
    """
    _hold(path, tensors, {name: (parameter.shape, parameter.dtype) for name, parameter in parameters.items()})
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def _hold(path: Path, tensors: Mapping[str, Tensor], wanted: dict[str, tuple[torch.Size, torch.dtype]]) -> None:
    """Hold that tensors have the names, shapes and types that are wanted, and are finite."""
    for name in sorted(wanted.keys() ^ tensors.keys()):
        have = "lacks" if name in wanted else "has"
        raise CheckpointError(str(path), f"{have} the tensor `{name}`, expected those of this model", _OTHER)
    for name, (shape, dtype) in wanted.items():
        own = tensors[name]
        if own.shape != shape or own.dtype != dtype:
            what = f"has shape {tuple(own.shape)} and type {own.dtype}, expected {tuple(shape)} and {dtype}"
            raise CheckpointError(str(path), f"tensor `{name}` {what}", _OTHER)
        if not own.isfinite().all():
            raise CheckpointError(str(path), f"tensor `{name}` is not finite, expected numbers", ANOTHER)


def save_checkpoint(
    run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: CheckpointState, writes: bool = True
) -> Checkpoint:
    """Write a checkpoint and name it in `latest`; those before stay for now.

    It holds whole tensors, so it does not know how many processes made it.

    Args:
        run: The run folder.
        model: Its parameters are saved.
        optimizer: Over parameters of the model.
        state: What is said of it.
        writes: False in all processes but the first, which only take part in the gathering.
    """
    folder = run / "checkpoints" / f"step-{state.step:06d}"
    weights, moments = full_weights(model), _optimizer_tensors(model, optimizer)
    if not writes:
        return Checkpoint(folder, state)
    with whole_folder(folder) as aside:
        write_tensors(weights, aside / WEIGHTS)
        write_tensors(moments, aside / OPTIMIZER)
        write_json(aside / STATE, state.model_dump(mode="json", exclude_none=True))
        write_hashes(aside)
    name_latest(folder)
    trains = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    moved = {name for name in trains if (moment := moments.get(f"{name}/exp_avg_sq")) is not None and moment.any()}
    return Checkpoint(folder, state, tuple(name for name in trains if name not in moved))


def name_latest(folder: Path) -> None:
    """Say in `latest` which checkpoint is the newest."""
    write_text(folder.parent / "latest", f"{folder.name}\n")


def by_step(root: Path) -> list[tuple[int, Path]]:
    """The checkpoints in a folder and their steps; what has another name is none."""
    found = ((_NAME.match(path.name), path) for path in root.iterdir() if path.is_dir())
    return [(int(match[1]), path) for match, path in found if match]


def latest_checkpoint(run: Path) -> Checkpoint | None:
    """Return the checkpoint that `latest` names, or the newest whole one where it is not there; None without any.

    Who reads its tensors holds them to its list first.

    Raises:
        CheckpointError: The checkpoint is not there, broken, or of another format, or none is whole.
    """
    pointer = run / "checkpoints" / "latest"
    hint = "write one of the folders beside it into it, as `step-000200`"
    if not os.path.lexists(pointer):
        return _newest(pointer, hint)
    name = read_text(pointer, hint, CheckpointError, "the name of a checkpoint").strip()
    if not (match := _NAME.match(name)):
        raise CheckpointError(str(pointer), "names no checkpoint, expected one as `step-000200`", hint)
    return _opened(pointer.parent / name, int(match[1]))


def _newest(pointer: Path, hint: str) -> Checkpoint | None:
    made = sorted(by_step(pointer.parent), reverse=True) if pointer.parent.is_dir() else []
    for step, folder in made:
        if changed_files(folder) == []:
            return _opened(folder, step)
    if made:
        raise CheckpointError(str(pointer), "is not there, and no checkpoint beside it is whole, expected one", hint)
    return None


def _opened(folder: Path, step: int) -> Checkpoint:
    state = read_record(folder / STATE, CheckpointState, ANOTHER, CheckpointError)
    if state.step != step:
        raise CheckpointError(
            str(folder / STATE), f"is of step {state.step:,}, expected that of its folder", ANOTHER
        )  # fmt: skip
    hold(folder, (STATE,), ANOTHER, CheckpointError)
    return Checkpoint(folder, state)


def load_optimizer(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's optimizer state back, shared out as the model's parameters are.

    Raises:
        CheckpointError: The file is absent or broken, or does not fit the model and the steps made.
    """
    path = checkpoint.folder / OPTIMIZER
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    tensors = read_tensors(path)
    scalar = torch.Size(())
    wanted = {
        f"{name}/{field}": (scalar if field == "step" else p.shape, torch.float32)
        for name, p in parameters.items()
        for field in _FIELDS
        if checkpoint.step  # before the first one nothing is kept
    }
    _hold(path, tensors, wanted)
    for key, tensor in tensors.items():
        name, _, field = key.rpartition("/")
        if field != "exp_avg" and tensor.numel() and tensor.min() < 0:
            raise CheckpointError(str(path), f"tensor `{key}` has a number below 0, expected none", ANOTHER)
        if field == "step" and tensor > checkpoint.step:
            raise CheckpointError(
                str(path), f"tensor `{key}` is of a later step, expected at most {checkpoint.step:,}", ANOTHER
            )
        # a copy: the file's buffer is not aligned as torch's own memory is
        own = tensor.to(parameters[name].device, copy=True)
        optimizer.state[parameters[name]][field] = shared_like(own, parameters[name]) if own.dim() else own


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It is absent or broken.
    """
    with reading(path, "safetensors weights", ANOTHER, CheckpointError):
        return load_file(path)


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{field}": _on_host(tensor)
        for name, parameter in model.named_parameters()
        for field, tensor in optimizer.state.get(parameter, {}).items()
    }


def _on_host(tensor: Tensor) -> Tensor:
    return all_of(tensor.detach()).cpu().contiguous()
