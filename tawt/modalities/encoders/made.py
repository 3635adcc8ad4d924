"""The modalities that a config names, in one order, with weights that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tawt.config.modalities import ContentConfig, ImageConfig, ModalitiesConfig
from tawt.errors import CheckpointError
from tawt.files import whole
from tawt.modalities.encoders.checkpoint import VisionCheckpoint
from tawt.modalities.encoders.images import Image
from tawt.modalities.encoders.modality import Modality
from tawt.modalities.encoders.waveform import Waveform
from tawt.readers import reading
from tawt.seals import LIST, hold, sha256_file

KINDS: dict[str, type[Modality]] = {"image": Image, "waveform": Waveform}
"""Modalities, by their section of the config."""
OF_RUN = "encoder.beside.modalities."
"""What names of the weights of encoders begin with in a run, before their places."""
OF_FOLDER = (".json", ".safetensors")
"""Files of a folder that its encoder may be made from."""
ENCODER = "encoder"
"""Metadata of a file of weights: what they are the weights of."""


def make_modalities(config: ModalitiesConfig, seed: int) -> tuple[Modality, ...]:
    """Return the modalities of a config; torch's own random state is left as it was.

    Weights that the config names are taken for frozen ones, of which no run keeps any; see `begin_at_weights`.

    Args:
        config: What is looked at.
        seed: Of the weights of those that start from nothing.

    Raises:
        CheckpointError: Weights are absent, broken or of another shape.
        ConfigError: A checkpoint wants a package that is not there.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = [_made(name, part) for name, part in config.named.items()]
    for modality in made:
        if modality.frozen:
            modality.eval().requires_grad_(False)
    return tuple(made)


def begin_at_weights(modalities: Sequence[Modality], config: ModalitiesConfig) -> None:
    """Give modalities that are about to learn the weights that their config names.

    Raises:
        CheckpointError: They are absent, broken or of another shape.
    """
    for modality, part in zip(modalities, config.named.values(), strict=True):
        if part.folder is None and part.file is not None and not part.frozen:
            load_weights(modality, part.file)


def with_hashes(config: ModalitiesConfig) -> ModalitiesConfig:
    """Return a config that says of which bytes each encoder is that no run keeps: the run is held to them."""
    return config.each(lambda _, part: part if part.sha256 else part.model_copy(update={"sha256": _hash(part)}))


def _hash(config: ContentConfig) -> str:
    """Return the SHA-256 of what is read of an encoder whenever its run is; empty where that is nothing, or not there.

    Of a folder that is all that it is made from: config and preprocessing decide as much as weights.
    """
    if config.folder is not None:
        files = sorted(path for path in config.folder.glob("*") if path.suffix in OF_FOLDER and path.is_file())
        listed = "".join(f"{path.name} {sha256_file(path)}\n" for path in files)
        return hashlib.sha256(listed.encode()).hexdigest() if files else ""
    file = config.file if config.frozen else None
    return sha256_file(file) if file is not None and file.is_file() else ""


def weight_files(config: ContentConfig) -> list[Path]:
    """Return the files of weights that a section names: one, or the parts that a folder has in its place."""
    if config.folder is not None and config.file is not None and not config.file.is_file():
        return sorted(config.folder.glob("*.safetensors"))
    return [config.file] if config.file is not None else []


def _made(name: str, config: ContentConfig) -> Modality:
    if config.sha256 and _hash(config) not in ("", config.sha256):
        raise CheckpointError(
            str(config.folder or config.file), f"is not what the run began with ({config.sha256[:12]}), expected the "
            "weights of its encoder, of a folder its config and preprocessing, too",
            "put them back; or train the run again",
        )  # fmt: skip
    if isinstance(config, ImageConfig) and config.checkpoint:
        return VisionCheckpoint(config)
    modality = KINDS[name](config)
    if config.file is not None and config.frozen:
        load_weights(modality, config.file)
    return modality


def save_weights(modality: Modality, path: Path) -> None:
    """Write the weights of an encoder, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in modality.state_dict().items()}
    with whole(path) as aside:
        save_file(tensors, aside, metadata={ENCODER: type(modality).__name__})


def load_weights(modality: Modality, path: Path) -> None:
    """Take the weights of a file: of an encoder alone, or of a run that learned one.

    Raises:
        CheckpointError: They are absent, broken, of another shape, or not as their run wrote them.
    """
    if path.is_file() and (path.parent / LIST).exists():
        hold(path.parent, (path.name,), "take it from a copy, or make the run again", CheckpointError)
    with reading(path, "a safetensors file", "name the file of an encoder that was trained", CheckpointError):
        tensors = load_file(path)
    shapes = {name: tensor.shape for name, tensor in modality.state_dict().items()}
    of_run = [_behind(f"{OF_RUN}{k}.", tensors) for k in range(len(KINDS))]
    found = [one for one in of_run if one] or [tensors]
    own = next((one for one in found if {name: t.shape for name, t in one.items()} == shapes), None)
    if own is None:
        others = {name for name in {*shapes} | {*found[0]}
                  if name not in shapes or name not in found[0] or shapes[name] != found[0][name].shape}  # fmt: skip
        raise CheckpointError(
            str(path), f"has {len(others)} tensors of other names or shapes, expected those of the config's encoder",
            "set the same sizes as when it was trained",
        )  # fmt: skip
    modality.load_state_dict(own)


def _behind(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
