"""Low-rank updates of linear maps: `W + scale * b a`, of which `a` and `b` alone learn.

Source: Hu et al., LoRA: Low-rank adaptation of large language models, 2022.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

SCALE = 2.0
"""Of every update, whatever its rank: so one rate fits all ranks."""
_PART = re.compile(r"^(.*)\.parametrizations\.weight\.(original|0\.a|0\.b)$")


class LowRank(nn.Module):
    """The update of one weight `(out, in)`; at first it is 0."""

    def __init__(self, n_out: int, n_in: int, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, n_in) * n_in**-0.5)
        self.b = nn.Parameter(torch.zeros(n_out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with its update."""
        return weight + SCALE * (self.b @ self.a)


def add_low_rank(blocks: nn.Module, rank: int) -> None:
    """Give every linear map of some blocks an update that learns, in place of its weight."""
    for module in list(blocks.modules()):
        if isinstance(module, nn.Linear):
            module.weight.requires_grad_(False)
            update = LowRank(module.out_features, module.in_features, min(rank, *module.weight.shape))
            parametrize.register_parametrization(module, "weight", update)


def plain_name(name: str) -> str:
    """Return what a parameter is called where there are no updates."""
    found = _PART.match(name)
    return f"{found[1]}.weight" if found and found[2] == "original" else name


def is_update(name: str) -> bool:
    """Return whether a parameter is of an update."""
    found = _PART.match(name)
    return found is not None and found[2] != "original"


def merged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by name with their updates added: what a model without updates computes alike."""
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        found = _PART.match(name)
        if found is None:
            plain[name] = tensor
        elif found[2] == "original":
            a, b = (tensors[f"{found[1]}.parametrizations.weight.0.{x}"] for x in "ab")
            plain[f"{found[1]}.weight"] = tensor + SCALE * (b @ a)
    return plain
