"""The block mask of FlexAttention over packed documents, from their bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

BLOCK = 128
"""Tokens on a side of a block."""


def whole_steps(n: int, step: int) -> int:
    """Return the least multiple of `step` that is not below `n`, nor 0."""
    return max(1, -(-n // step)) * step


def with_padding(bounds: Sequence[int], static_length: int) -> list[int]:
    """Return the bounds of documents and of what is padded behind them: documents too, each of one block at most.

    As one document it would attend to itself over all its length, which is up to an eighth of a batch.
    """
    first = (bounds[-1] // BLOCK + 1) * BLOCK
    inner = range(first, static_length, BLOCK)
    return [*bounds, *inner, static_length] if bounds[-1] < static_length else list(bounds)


def block_mask(bounds: Sequence[int], static_length: int, causal: bool = False) -> BlockMask:
    """Return which blocks of queries and keys share a document: all of it (full), or some (partial).

    Documents lie end to end, so a block needs only its first and last document: nothing of the size of the square of
    the length is made. Meant for the loader's thread; what is padded is documents of one block.

    Args:
        bounds: Where each document starts, and the number of tokens.
        static_length: Length of the padded batch, a multiple of 128.
        causal: Whether a token sees only itself and what lies before it.

    Returns:
        A mask on the host, equal to that of `create_block_mask`.
    """
    from torch.nn.attention.flex_attention import BlockMask

    assert static_length % BLOCK == 0 and static_length >= bounds[-1], "a static length is a multiple of 128"
    lengths = torch.tensor(with_padding(bounds, static_length)).diff()
    document = torch.repeat_interleave(torch.arange(len(lengths), dtype=torch.int32), lengths)
    first, last = document[::BLOCK], document[BLOCK - 1 :: BLOCK]
    shares = (first[:, None] <= last) & (first <= last[:, None])
    one = first == last
    full = shares & one[:, None] & one
    if causal:
        shares, full = shares.tril(), full.tril(-1)
    return BlockMask.from_kv_blocks(
        *_listed(shares & ~full), *_listed(full), BLOCK_SIZE=BLOCK, mask_mod=same_document(document, causal)
    )


def same_document(document: Tensor, causal: bool = False) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the rule that tokens of one document see each other, or what lies before them; `document` `(t,)` int32."""

    def behind(batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (document[i] == document[j]) & (j <= i)

    def mask(batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return document[i] == document[j]

    return behind if causal else mask


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Number and places of the blocks of each row, `(1, 1, rows)` and `(1, 1, rows, columns)` int32."""
    places = torch.argsort(blocks.int(), dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[None, None], places.int()[None, None].contiguous()
