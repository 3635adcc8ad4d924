"""Tiles of a document's scores, and which of their weights are dropped: a pure function of a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tawt.chance import draw

TILE_FLOATS = 1 << 18
"""Scores held at once on CPU: about 1 MB, which stays in a core's cache; speed is flat from half to eight times."""
TILE_FLOATS_CUDA = 1 << 26
"""The same on CUDA, where few large products are faster than many small ones."""
LEVELS = 1 << 16
"""Chances are multiples of 1 / LEVELS: four draws come out of one 64-bit number."""


def tiles(length: int, n_heads: int, cuda: bool = False) -> list[tuple[int, int]]:
    """Cut a document's query rows into even runs of about `TILE_FLOATS` scores."""
    rows = max(16, (TILE_FLOATS_CUDA if cuda else TILE_FLOATS) // (n_heads * length))
    rows = -(-length // -(-length // rows))
    return [(a, min(length, a + rows)) for a in range(0, length, rows)]


def kept(seed: int, document: int, row: int, shape: Sequence[int], dropout: float, device: torch.device) -> Tensor:
    """Return `shape` bool, true where the weight of a tile stays; the tile begins at `row` of `document`."""
    generator = torch.Generator(device).manual_seed(int(draw([row], seed, document)[0]) >> 1)
    n = math.prod(shape)
    numbers = torch.empty(-(-n // 4), dtype=torch.int64, device=device).random_(-(1 << 63), None, generator=generator)
    dropped = min(round(dropout * LEVELS), LEVELS - 1)
    return (numbers.view(torch.int16)[:n] >= dropped - LEVELS // 2).view(*shape)


def kept_of_document(
    seed: int, document: int, n_heads: int, length: int, dropout: float, device: torch.device
) -> Tensor:
    """Return `(n_heads, length, length)` bool, the tiles of a document put together."""
    return torch.cat(
        [
            kept(seed, document, row, (n_heads, end - row, length), dropout, device)
            for row, end in tiles(length, n_heads, device.type == "cuda")
        ],
        1,
    )
