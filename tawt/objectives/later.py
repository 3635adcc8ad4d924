"""When each of some data_types comes next, as far as a record tells: the truths that a decoder is asked for beside."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.batching.host import HostBatch
from tawt.contracts.dataset import US_PER_HOUR
from tawt.models.decoder.later import N_SPANS, SPANS, seen, span_of
from tawt.models.decoder.past import NEVER, last_times

EVERY = 4
"""Of so many events one is asked of."""
Truths = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]


def rarer_types(log_share: Tensor, n_types: int) -> Tensor:
    """Return `n_types` data_types, ascending: the most frequent of those that are rarer than those of events typically
    are, and where they are too few the rarest of the others."""
    typical = (log_share.exp() * log_share).sum()
    score = torch.where(log_share < typical, log_share, log_share.min() + typical - log_share)
    return score.topk(min(n_types, len(log_share))).indices.sort().values


def later_truths(batch: HostBatch, types: Tensor) -> Truths:
    """Return which triplets are asked of, `(m,)`, and `hours` and `came` of `later_cost`, `(m, q)` each.

    Args:
        batch: Documents, each as far as it goes.
        types: `(q,)`, data_types that are asked of; where there are none, nothing is asked.
    """
    n = batch.n_tokens
    within = np.arange(n) - batch.bounds[:-1][batch.document]
    at = np.flatnonzero(~batch.is_static & (within % EVERY == EVERY - 1)) if len(types) else np.zeros(0, np.int64)
    # what comes after is what came before, read from behind
    behind, _ = last_times(batch.data_type[::-1], -batch.time[::-1], n - batch.bounds[::-1], types.numpy())
    next_time = behind[::-1][at]
    came = next_time > NEVER
    final = batch.time[batch.bounds[1:] - 1][batch.document[at]]
    until = np.where(came, -next_time, final[:, None]) - batch.time[at][:, None]
    return at, (until / US_PER_HOUR).astype(np.float32), came


def count_rates(truths: list[Truths]) -> Tensor:
    """Return the log of the rate of each data_type in each span, `(q, spans)` float32, smoothed by one in the whole."""
    hours, came = (torch.from_numpy(np.concatenate(x)) for x in list(zip(*truths, strict=True))[1:])
    came &= hours < SPANS[-1]
    own = torch.nn.functional.one_hot(span_of(hours), N_SPANS) * came[..., None]
    overall = (1 + came.sum()) / (1 + seen(hours).sum())
    rates: Tensor = ((own.sum(0) + overall) / (seen(hours).sum(0) + 1)).log().float()
    return rates
