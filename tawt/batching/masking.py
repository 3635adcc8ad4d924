"""Which tokens of a batch are hidden, and the batch as the model may see it.

What is hidden leaves no trace in any input:

- a hidden **value** takes its number, its token (bin or category) and its status along;
- a hidden **data_type** takes along whatever only that data_type can explain: the scale and shift of its
  number (the number is read with those of [MASK]), its bin or category, its own gap to the previous event
  of its type, and the gaps of *others* to it. Same-type gaps are made anew over the tokens whose data_type
  is visible, so a later token of the same type counts from the last visible one, as if the hidden one had
  not been there;
- a hidden **event** is both.

Whether a token may lose its value follows from its data_type (does it carry values?), never from the
value's status.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.batching.batch import PackedBatch
from tawt.batching.chance import draw
from tawt.batching.gaps import US_PER_HOUR, gaps
from tawt.config.train import MaskedConfig
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import SPECIAL_CODES, Vocabulary

MASK = SPECIAL_CODES.index("[MASK]")
"""The data_type of a token whose own is hidden."""
HIDDEN = len(ValueStatus)
"""The status of a token whose value is hidden; only batches hold it, shards never do."""
TRAINING, VALIDATION = 4, 5
"""First salt of the masks of training and of validation batches."""


@dataclass(frozen=True)
class Masks:
    """What is hidden of each of `n` tokens; a hidden event is in both."""

    data_type: Tensor
    """`(n,)` bool, the data_type is hidden."""
    value: Tensor
    """`(n,)` bool, value, token and status are hidden."""


def may_lose(vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return `(v,)`: 0 for special data_types (nothing), 1 for those without values (data_type), 2 for the
    rest (all)."""
    return np.array([{"special": 0, "none": 1}.get(kind, 2) for kind in vocabulary.value_kind], dtype=np.int64)


def draw_masks(batch: PackedBatch, config: MaskedConfig, losable: NDArray[np.int64], *salts: int) -> Masks:
    """Choose what to hide: each token by one number, which only its position in the batch and `salts` decide.

    Args:
        batch: On CPU.
        config: The shares.
        losable: `(v,)`, see `may_lose`.
        salts: What the masks are for: `TRAINING` or `VALIDATION`, seed, number of the batch.
    """
    may = losable[batch.data_type.numpy()]
    chance = (draw(np.arange(batch.n_tokens), *salts) >> np.uint64(11)) * 2.0**-53
    event = (chance < config.event) & (may > 0)
    data_type = (chance >= config.event) & (chance < config.event + config.data_type) & (may > 0)
    rest = 1 - config.value
    value = (chance >= rest) & (may > 1)
    return Masks(torch.from_numpy(event | data_type), torch.from_numpy(event | value))


def hide(batch: PackedBatch, masks: Masks) -> PackedBatch:
    """Return the batch without what is hidden; a pure function of what is left visible."""
    # by index, which costs a third of filling by mask
    no_type, no_value = masks.data_type.nonzero()[:, 0], masks.value.nonzero()[:, 0]
    data_type = batch.data_type.index_fill(0, no_type, MASK)
    return replace(
        batch,
        data_type=data_type,
        value=batch.value.index_fill(0, no_value, 0.0),
        value_token=batch.value_token.index_fill(0, no_value, 0).index_fill_(0, no_type, 0),
        value_status=batch.value_status.index_fill(0, no_value, HIDDEN),
        type_gap_hours=_visible_type_gaps(batch, data_type).index_fill_(0, no_type, -1.0),
    )


def _visible_type_gaps(batch: PackedBatch, data_type: Tensor) -> Tensor:
    """Same-type gaps where hidden data_types are [MASK]: those of visible tokens count visible ones alone."""
    bounds = batch.cu_seqlens.numpy().astype(np.int64)
    n_static = np.add.reduceat(batch.is_static.numpy(), bounds[:-1], dtype=np.int64)
    us = np.rint(batch.hours.numpy() * US_PER_HOUR)
    return torch.from_numpy(gaps(us, data_type.numpy(), bounds[:-1] + n_static, bounds)[2])
