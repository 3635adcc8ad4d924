"""What a guess without a model costs: shares and means, counted on train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.batching.cut import cut
from tawt.batching.host import HostBatch
from tawt.config.objective import ForecastConfig, MaskedConfig, ObjectiveConfig
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.shard import Columns
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.counted import Counted
from tawt.objectives.next_counts import count_next
from tawt.objectives.targets import as_targets

CHUNK_ROWS = 1 << 20
"""Rows counted at a time."""
MAX_ROWS = 20 * CHUNK_ROWS
"""Rows after which counting stops: enough for any table here, and a second or two of one core."""
SAMPLE_BATCHES = 16
"""Training batches that are cut at prediction times to count what comes in a window: the first ones."""


@dataclass(frozen=True)
class Baselines:
    """The trivial prediction of each part; `v` data_types, `f` forecast ones. Counts are smoothed by one, so that
    nothing is impossible."""

    log_type: Tensor
    """`(v,)`, log share of each data_type."""
    log_status: Tensor
    """`(v, 10)`, log share of each status within the data_type."""
    log_category: Tensor
    """`(n_category_rows,)`, log share of each category within the data_type."""
    log_bin: Tensor
    """`(v, max_bins)`, log share of each quantile bin within the data_type; 0 beyond its own."""
    mean: Tensor
    """`(v,)`, mean of the data_type's numbers as masked reconstruction predicts them."""
    forecast_mean: Tensor
    """`(v,)`, the same as forecasting predicts them."""
    presence: Tensor
    """`(f,)`, share of windows in which the data_type comes; a half where nothing was counted."""
    next: Counted | None
    """What follows an event; None = the objective is off."""


def forecast_types(vocabulary: Vocabulary, n_types: int) -> NDArray[np.int64]:
    """Return `(f,)`, the at most `n_types` most frequent data_types with numbers, in index order.

    Where none has numbers (a record of codes alone), the most frequent of all: whether they come can still be asked.
    """
    kinds = np.array(vocabulary.value_kind)
    found = np.flatnonzero(np.isin(kinds, ("numeric", "mixed")))
    if not len(found):
        found = np.flatnonzero(kinds != "special")
    frequent = np.argsort(-vocabulary.n_rows[found], kind="stable")[:n_types]
    return np.sort(found[frequent])


def count_baselines(
    shards: Iterable[Columns],
    vocabulary: Vocabulary,
    config: ObjectiveConfig,
    sample: Iterable[HostBatch] = (),
    max_rows: int = MAX_ROWS,
    people: Callable[[], Sequence[NDArray[np.int64]]] = tuple,
) -> Baselines:
    """Count the first `max_rows` triplets, and what comes after the prediction times of a sample.

    Args:
        shards: Mapped columns, in a fixed order.
        vocabulary: Their vocabulary.
        config: What numbers are predicted as.
        sample: The first `SAMPLE_BATCHES` training batches, with prediction times; looked at only if `forecast` is on.
        max_rows: Where to stop.
        people: `Split.people`, of the shards; where the next event is asked for.
    """
    v, n_status, n_bins = len(vocabulary), len(ValueStatus), max(1, vocabulary.max_bins)
    types = np.zeros(v, np.int64)
    statuses = np.zeros((v, n_status), np.int64)
    bins = np.zeros((v, n_bins), np.int64)
    categories = np.zeros(vocabulary.n_category_rows, np.int64)
    # both objectives mostly predict numbers alike, and are counted once then
    keys = [(objective.value_scale, objective.max_value) for objective in (config.masked, config.forecast)]
    by: dict[tuple[str, float], MaskedConfig | ForecastConfig] = {keys[1]: config.forecast, keys[0]: config.masked}
    totals, numbers = {key: np.zeros(v) for key in by}, np.zeros(v, np.int64)
    shards = list(shards)
    rows_left = max_rows
    for shard in shards:
        for start in range(0, min(len(shard.data_type), rows_left), CHUNK_ROWS):
            part = shard.rows(start, start + min(CHUNK_ROWS, rows_left))
            rows_left -= len(part.data_type)
            kind, status = part.data_type.astype(np.int64), part.value_status.astype(np.int64)
            token = part.value_token.astype(np.int64)
            types += np.bincount(kind, minlength=v)
            statuses += np.bincount(kind * n_status + status, minlength=v * n_status).reshape(v, n_status)
            # a number that is not finite spoils its own batch, which training names, not the heads' start
            has_number = HAS_NUMBER_OF[status] & np.isfinite(part.value)
            found = kind[has_number], part.value[has_number], token[has_number]
            for objective, total in totals.items():
                total += np.bincount(found[0], as_targets(vocabulary, by[objective], *found).astype(float), v)
            numbers += np.bincount(kind[has_number], minlength=v)
            is_bin = has_number & (token > 0) & (token <= vocabulary.n_bins[kind])
            bins += np.bincount(kind[is_bin] * n_bins + token[is_bin] - 1, minlength=v * n_bins).reshape(v, n_bins)
            place = token - vocabulary.n_bins[kind] - 1
            is_category = (place >= 0) & (vocabulary.n_categories[kind] > 0)
            rows = vocabulary.category_offset[kind[is_category]] + place[is_category]
            categories += np.bincount(rows, minlength=vocabulary.n_category_rows)
    mean, forecast_mean = (torch.from_numpy(totals[key] / np.maximum(numbers, 1)).float() for key in keys)
    shares = _log_share(types[None])[0], _log_share(statuses), _log_share_within(categories, vocabulary)
    return Baselines(
        log_type=shares[0],
        log_status=shares[1],
        log_category=shares[2],
        log_bin=_log_share(bins, np.arange(n_bins) < vocabulary.n_bins[:, None]),
        mean=mean,
        forecast_mean=forecast_mean,
        presence=_presence(sample if config.forecast.weight else (), vocabulary, config.forecast),
        next=count_next(shards, people(), sample, vocabulary, shares, config.next) if config.next.weight else None,
    )


def _presence(sample: Iterable[HostBatch], vocabulary: Vocabulary, config: ForecastConfig) -> Tensor:
    columns = forecast_types(vocabulary, config.n_types)
    came, windows = np.zeros(len(columns)), 0
    for batch in sample:
        _, coming = cut(batch, config, columns)
        came += coming.present.sum(0)
        windows += len(coming.document)
    return torch.from_numpy((came + 1) / (windows + 2)).float()


def _log_share(counts: NDArray[np.int64], possible: NDArray[np.bool_] | None = None) -> Tensor:
    smooth = counts + 1.0 if possible is None else np.where(possible, counts + 1.0, 0)
    share = smooth / np.maximum(smooth.sum(-1, keepdims=True), 1)
    return torch.from_numpy(np.log(np.where(smooth > 0, share, 1))).float()


def _log_share_within(counts: NDArray[np.int64], vocabulary: Vocabulary) -> Tensor:
    owner = np.zeros(len(counts), np.int64)
    owned = vocabulary.n_categories > 0
    owner[1:] = np.repeat(np.flatnonzero(owned), vocabulary.n_categories[owned])
    smooth = counts + 1.0
    totals = np.bincount(owner[1:], smooth[1:], len(vocabulary))
    share = np.ones(len(counts))
    share[1:] = smooth[1:] / totals[owner[1:]]
    return torch.from_numpy(np.log(share)).float()
