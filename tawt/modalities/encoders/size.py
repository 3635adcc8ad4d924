"""How large encoders of contents are, and what a training keeps of each content."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tawt.config.modalities import ModalitiesConfig
from tawt.modalities.encoders.made import KINDS, weight_files
from tawt.modalities.encoders.modality import Modality

BYTES = 4
"""Of a number."""


def count_parameters(config: ModalitiesConfig, frozen: bool) -> int:
    """Return the parameters of the encoders that learn, or of the frozen ones, without making them."""
    n = 0
    for name, part in config.named.items():
        if part.frozen != frozen:
            continue
        if part.folder is not None:
            # who makes it tells if there are none
            n += sum(file.stat().st_size for file in weight_files(part)) // BYTES
            continue
        with torch.device("meta"):
            made = KINDS[name](part)
        n += sum(parameter.numel() for parameter in made.parameters())
    return n


def kept_bytes(modality: Modality) -> int:
    """Return the bytes that a backward pass needs of one input: none of a frozen encoder."""
    if modality.frozen:
        return 0
    device = next(modality.parameters()).device
    own = {parameter.untyped_storage().data_ptr() for parameter in modality.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        modality(torch.zeros(1, *modality.shape, device=device))
    return sum(tensor.untyped_storage().nbytes() for at, tensor in kept.items() if at not in own)


def input_bytes(modality: Modality) -> int:
    """Return the bytes of one input as it comes to the step."""
    return BYTES * (modality.d_embedding if modality.frozen else math.prod(modality.shape))
