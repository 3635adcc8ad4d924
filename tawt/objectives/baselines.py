"""What a guess without a model costs: unigrams and means, counted on train."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tawt.contracts.value_status import HAS_NUMBER, ValueStatus
from tawt.dataset.shard import Columns
from tawt.dataset.vocabulary import Vocabulary

CHUNK_ROWS = 1 << 20
"""Rows counted at a time."""
MAX_ROWS = 20 * CHUNK_ROWS
"""Rows after which counting stops: enough for any table here, and a second or two of one core."""


@dataclass(frozen=True)
class Baselines:
    """The trivial prediction of each part; `v` data_types. Counts are smoothed by one, so that nothing is
    impossible."""

    log_type: Tensor
    """`(v,)`, log share of each data_type."""
    log_status: Tensor
    """`(v, 10)`, log share of each status within the data_type."""
    log_category: Tensor
    """`(n_category_rows,)`, log share of each category within the data_type."""
    mean: Tensor
    """`(v,)`, mean of the data_type's normalized, clipped numbers."""

    def to(self, device: torch.device) -> Baselines:
        """Return the tables on a device."""
        return Baselines(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def count_baselines(
    shards: Iterable[Columns], vocabulary: Vocabulary, max_value: float, max_rows: int = MAX_ROWS
) -> Baselines:
    """Count the first `max_rows` triplets.

    Args:
        shards: Mapped columns, in a fixed order.
        vocabulary: Their vocabulary.
        max_value: Numbers are clipped to +- this, as the objective does.
        max_rows: Where to stop.
    """
    v, n_status = len(vocabulary), len(ValueStatus)
    types = np.zeros(v, np.int64)
    statuses = np.zeros((v, n_status), np.int64)
    categories = np.zeros(vocabulary.n_category_rows, np.int64)
    total, numbers = np.zeros(v), np.zeros(v, np.int64)
    rows_left = max_rows
    for shard in shards:
        for start in range(0, min(len(shard.data_type), rows_left), CHUNK_ROWS):
            part = shard.rows(start, start + min(CHUNK_ROWS, rows_left))
            rows_left -= len(part.data_type)
            kind, status = part.data_type.astype(np.int64), part.value_status.astype(np.int64)
            types += np.bincount(kind, minlength=v)
            statuses += np.bincount(kind * n_status + status, minlength=v * n_status).reshape(v, n_status)
            has_number = np.isin(status, HAS_NUMBER)
            total += np.bincount(
                kind[has_number], np.clip(part.value[has_number].astype(float), -max_value, max_value), v
            )
            numbers += np.bincount(kind[has_number], minlength=v)
            place = part.value_token - vocabulary.n_bins[kind] - 1
            is_category = (place >= 0) & (vocabulary.n_categories[kind] > 0)
            rows = vocabulary.category_offset[kind[is_category]] + place[is_category]
            categories += np.bincount(rows, minlength=vocabulary.n_category_rows)
    return Baselines(
        log_type=_log_share(types[None])[0],
        log_status=_log_share(statuses),
        log_category=_log_share_within(categories, vocabulary),
        mean=torch.from_numpy(total / np.maximum(numbers, 1)).float(),
    )


def _log_share(counts: np.ndarray) -> Tensor:
    smooth = counts + 1.0
    return torch.from_numpy(np.log(smooth / smooth.sum(-1, keepdims=True))).float()


def _log_share_within(counts: np.ndarray, vocabulary: Vocabulary) -> Tensor:
    owner = np.zeros(len(counts), np.int64)
    owned = vocabulary.n_categories > 0
    owner[1:] = np.repeat(np.flatnonzero(owned), vocabulary.n_categories[owned])
    smooth = counts + 1.0
    totals = np.bincount(owner[1:], smooth[1:], len(vocabulary))
    share = np.ones(len(counts))
    share[1:] = smooth[1:] / totals[owner[1:]]
    return torch.from_numpy(np.log(share)).float()
