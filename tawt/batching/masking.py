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
from tawt.batching.gaps import US_PER_HOUR, timed_start, type_gaps
from tawt.config.train import MaskedConfig
from tawt.contracts.dataset import SPECIAL_CODES
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary

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
    # 53 random bits, compared as integers with a share of 2^53
    chance = draw(np.arange(batch.n_tokens), *salts) >> np.uint64(11)
    event, data_type, rest = (
        np.uint64(share * 2.0**53) for share in (config.event, config.event + config.data_type, 1 - config.value)
    )
    no_type = (chance < data_type) & (may > 0)
    no_value = ((chance < event) & (may > 0)) | ((chance >= rest) & (may > 1))
    return Masks(torch.from_numpy(no_type), torch.from_numpy(no_value))


def hide(batch: PackedBatch, masks: Masks) -> PackedBatch:
    """Return the batch without what is hidden; a pure function of what is left visible."""
    # by index and in numpy, whose calls are short beside those of torch: a batch is a few thousand numbers
    no_type, no_value = np.flatnonzero(masks.data_type.numpy()), np.flatnonzero(masks.value.numpy())
    data_type, value = batch.data_type.numpy().copy(), batch.value.numpy().copy()
    token, status = batch.value_token.numpy().copy(), batch.value_status.numpy().copy()
    data_type[no_type] = MASK
    value[no_value] = 0
    token[no_value] = 0
    token[no_type] = 0
    status[no_value] = HIDDEN
    type_gap = _visible_type_gaps(batch, data_type)
    type_gap[no_type] = -1
    return replace(
        batch,
        data_type=torch.from_numpy(data_type),
        value=torch.from_numpy(value),
        value_token=torch.from_numpy(token),
        value_status=torch.from_numpy(status),
        type_gap_hours=torch.from_numpy(type_gap),
    )


def _visible_type_gaps(batch: PackedBatch, data_type: NDArray[np.int64]) -> NDArray[np.float32]:
    """Same-type gaps where hidden data_types are [MASK]: those of visible tokens count visible ones alone."""
    bounds = batch.cu_seqlens.numpy()
    n_static = np.add.reduceat(batch.is_static.numpy(), bounds[:-1], dtype=np.int64)
    us = np.rint(batch.hours.numpy() * US_PER_HOUR)
    return type_gaps(us, data_type, timed_start(bounds[:-1] + n_static, bounds))
