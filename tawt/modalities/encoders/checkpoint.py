"""A pretrained vision model from elsewhere: any folder that `transformers` can load, as RAD-DINO or a CLIP.

Nothing is downloaded, no code of the folder runs, and weights are safetensors alone.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tawt.config.modalities import ImageConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.modalities.encoders.images import as_float, centred, changed, coloured, resized
from tawt.modalities.encoders.modality import Modality
from tawt.readers import read_map
from tawt.room import hold_memory

CONFIG, IMAGES = "config.json", "preprocessor_config.json"
"""Files of the folder: what the model is, and what it wants of an image."""
_HINT = "name a folder with config.json, preprocessor_config.json and model.safetensors"
_MODES = {0: "nearest", 2: "bilinear", 3: "bicubic"}
_FIRST_TOKENS = ("cls_token", "class_embedding")


@dataclass(frozen=True)
class Wants:
    """What a model wants of an image, as its preprocessor says."""

    short: int
    """Pixels of the shorter side, before what is over is cut off at the edges; 0 = sides are stretched to `resized`."""
    resized: tuple[int, int]
    """Height and width, where `short` is 0."""
    shape: tuple[int, int]
    """Height and width of what comes out."""
    mode: str
    """How it becomes larger or smaller."""
    scale: float
    """What white is, before the next two."""
    mean: tuple[float, ...]
    """Taken off, by channel."""
    std: tuple[float, ...]
    """Divided by, by channel."""


class VisionCheckpoint(Modality):
    """A model of `transformers`, and what it wants of an image. It drops nothing out, in training neither."""

    prefix = "IMAGE//"

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        folder = config.folder
        assert folder is not None, "a checkpoint is a folder"
        self.config, self.frozen = config, config.frozen
        self._about = read_map(folder / CONFIG, _HINT, CheckpointError)
        self.wants = wants_of(folder)
        self.net = _loaded(folder, config.output)
        self.shape = (len(self.wants.mean), *self.wants.shape)
        image = torch.linspace(-1, 1, math.prod(self.shape)).view(1, *self.shape)
        try:
            with torch.no_grad():
                first, again = self(image), self(image)
        except Exception as error:
            hold_memory(error, folder)
            raise _fault(folder, f"takes no images of shape {self.shape} ({type(error).__name__})",
                         "a vision model that does") from None  # fmt: skip
        if not torch.equal(first, again):
            raise _fault(folder, "says something else of one image each time", "a model that hides nothing of it")
        self.d_embedding = first.shape[1]

    def prepared(self, array: NDArray[Any]) -> Tensor:
        """`(height, width, channels)` -> `(channels, height, width)` float32, as the model was trained on them."""
        wants, image = self.wants, coloured(as_float(array), self.shape[0])
        size = wants.resized
        if wants.short:
            shorter = min(image.shape[1:])
            size = (image.shape[1] * wants.short // shorter, image.shape[2] * wants.short // shorter)
        image = centred(resized(image, *size, wants.mode).clamp(0, 1), *wants.shape)
        mean, std = (image.new_tensor(numbers)[:, None, None] for numbers in (wants.mean, wants.std))
        return (image * wants.scale - mean) / std

    def augmented(self, inputs: Tensor, words: Any) -> Tensor:
        """Move, turn and stretch images, and make them darker or brighter."""
        mean, std = (inputs.new_tensor(numbers)[:, None, None] for numbers in (self.wants.mean, self.wants.std))
        plain = (inputs * std + mean) / self.wants.scale * 2 - 1
        return ((changed(plain, words, self.config.augment) + 1) / 2 * self.wants.scale - mean) / std

    def forward(self, inputs: Tensor) -> Tensor:
        """`(m, channels, height, width)` -> `(m, d_embedding)`."""
        # many models take no batch without an image
        out = self.net(pixel_values=inputs if len(inputs) else inputs.new_zeros(1, *self.shape))
        found: Tensor = out.last_hidden_state[:, 0] if self.config.output == "cls" else out.pooler_output.flatten(1)
        return found[: len(inputs)]

    def train(self, mode: bool = True) -> VisionCheckpoint:
        """Set whether it trains."""
        super().train(mode)
        self.net.eval()
        return self

    def says(self) -> dict[str, Any]:
        """Return what the folder says of the model and of images, and which output is taken."""
        return {"config": self._about, "wants": asdict(self.wants), "output": self.config.output}


def wants_of(folder: Path) -> Wants:
    """Read what a model wants of an image.

    Raises:
        CheckpointError: The folder does not say it.
    """
    path = folder / IMAGES
    said = read_map(path, _HINT, CheckpointError)
    try:
        size, crop = said.get("size"), said.get("crop_size") if said.get("do_center_crop") else None
        short = int(size.get("shortest_edge") or 0) if isinstance(size, dict) else 0
        resized = (short, short) if short else _sides(size)
        shape = _sides(crop) if crop is not None else resized
        mean, std = (tuple(map(float, said[key])) if said.get("do_normalize", True) else (other,) * 3
                     for key, other in (("image_mean", 0.0), ("image_std", 1.0)))  # fmt: skip
        scale = 255 * float(said["rescale_factor"] if said.get("do_rescale", True) else 1)
        mode = _MODES[int(said.get("resample", 2))]
        if len(mean) != len(std) or len(mean) not in (1, 3) or min(*std, *shape, *resized) <= 0:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        expected = "size, resample, rescale_factor, image_mean and image_std of a still image"
        raise CheckpointError(str(path), f"does not say how large and bright an image is to be, expected {expected}",
                              "take the file that the model came with") from None  # fmt: skip
    return Wants(short, resized, shape, mode, scale, mean, std)


def _sides(size: Any) -> tuple[int, int]:
    return (int(size["height"]), int(size["width"])) if isinstance(size, dict) else (int(size), int(size))


def _loaded(folder: Path, output: str) -> nn.Module:
    if not any(folder.glob("*.safetensors")):
        raise _fault(folder, "holds no safetensors file", "weights in that format: nothing else is opened")
    try:
        transformers: Any = importlib.import_module("transformers")
    except ModuleNotFoundError:
        raise ConfigError(
            str(folder), "is a checkpoint, and transformers is not installed, expected it", 'pip install "tawt[vision]"'
        ) from None
    try:
        with _quiet(transformers):
            model, told = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except Exception as error:
        hold_memory(error, folder)
        raise _fault(folder, f"cannot be loaded ({type(error).__name__})", "a vision model of transformers") from None
    tower = getattr(model, "vision_model", None)
    net: nn.Module = (model if tower is None else tower).float().eval()
    lacks = {name for name in told["missing_keys"] if tower is None or name.startswith("vision_model.")}
    unpooled = {name for name in lacks if "pooler." in name or name.startswith("pooler")}
    if lacks - unpooled:
        raise _fault(folder, f"lacks {len(lacks - unpooled)} tensors of its model", "all of its weights")
    if output == "pooled" and unpooled:
        raise _fault(folder, "was never taught to pool", "`output: cls`")
    if output == "cls" and not any(name.endswith(_FIRST_TOKENS) for name, _ in net.named_parameters()):
        raise _fault(folder, "has no first token that stands for the image", "`output: pooled`")
    return net


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Let the package say nothing of its own: what matters of it is said here."""
    log = transformers.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()


def _fault(folder: Path, what: str, expected: str) -> CheckpointError:
    return CheckpointError(str(folder), f"{what}, expected {expected}", _HINT)
