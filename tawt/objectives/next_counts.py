"""What the decoder's heads start at, counted on train: steps, gaps, and how each data_type's numbers lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.batching.host import HostBatch
from tawt.config.next_event import MOST_DAYS, MOST_WHOLE, NextConfig
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import HAS_NUMBER_OF
from tawt.dataset.clock import STEPS, coarsest_step
from tawt.dataset.scales import Scale
from tawt.dataset.shard import Columns
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.counted import Counted
from tawt.models.decoder.gaps import HOURS, whole
from tawt.models.decoder.heads import GAPS, Step
from tawt.models.decoder.places import KNOTS
from tawt.models.time_encoding import MINUTES
from tawt.objectives.later import count_rates, later_truths, rarer_types
from tawt.objectives.next_targets import make_targets

MOST_NUMBERS = 1 << 22
"""Rows after which numbers are not looked at any more."""
_RAREST = 0.01
"""Share of gaps beyond the outermost that a mixture starts at, on either side; so many as a small cell at least."""


def count_next(
    shards: Iterable[Columns],
    people: Sequence[NDArray[np.int64]],
    sample: Iterable[HostBatch],
    vocabulary: Vocabulary,
    shares: tuple[Tensor, Tensor, Tensor],
    how: NextConfig,
) -> Counted:
    """Count what the heads start at.

    Args:
        shards: Mapped columns, in a fixed order.
        people: Number of the subject of each of their rows.
        sample: The first batches of training, simultaneous triplets in the order of their data_types.
        vocabulary: Of the dataset.
        shares: Log shares of data_types, statuses and categories, see `Baselines`.
        how: How many data_types are told and asked of.
    """
    knots = torch.from_numpy(_knots(shards, people, vocabulary))
    none = torch.zeros(0, dtype=torch.int64)
    steps, logs, apart = np.ones((2, len(Step))), [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    hours, days = np.ones(MOST_WHOLE), np.ones(MOST_DAYS)
    later, truths = rarer_types(shares[0], how.n_later if how.later_weight else 0), []
    for batch in sample:
        truths.append(later_truths(batch, later))
        targets = make_targets(batch, vocabulary, knots, none, how=NextConfig())
        at = targets.step_timed.numpy().astype(np.int64) * len(Step) + targets.step_is.numpy()
        steps += np.bincount(at, minlength=steps.size).reshape(steps.shape)
        begins, ends = targets.gap_begins, targets.gap_ends
        for total, within in (
            (hours, whole(begins, ends, MINUTES)), (days, whole(begins // MINUTES, ends // MINUTES, HOURS)),
        ):  # fmt: skip
            total += np.bincount(within[(within >= 0) & (within < len(total))].numpy(), minlength=len(total))
        logs.append(np.log(targets.gap_is.numpy().astype(np.float64)))
        same = batch.document[1:] == batch.document[:-1]
        since: NDArray[np.int64] = batch.time[1:] - batch.time[:-1]
        apart.append(since[same & (since > 0)])
    steps[1, Step.STATIC] = 0
    with np.errstate(divide="ignore"):
        share = np.log(steps / steps.sum(1, keepdims=True))
    gaps = np.concatenate(logs)
    gaps = gaps if len(gaps) else np.array([-1.0, 1.0])
    rarest = min(max(_RAREST, (SMALL_CELL + 1) / len(gaps)), 0.5)
    return Counted(
        log_step=torch.from_numpy(np.maximum(share, -30)).float(),
        gap=torch.tensor([gaps.mean(), max(float(gaps.std()), 0.1)], dtype=torch.float64),
        gap_quantiles=torch.from_numpy(np.quantile(gaps, np.linspace(rarest, 1 - rarest, GAPS))),
        log_hours=torch.from_numpy(np.log(hours / hours.sum())),
        log_days=torch.from_numpy(np.log(days / days.sum())),
        resolution=_resolution(np.concatenate(apart)) / US_PER_HOUR,
        knots=knots,
        log_type=shares[0],
        log_status=shares[1],
        log_category=shares[2],
        later_types=later,
        later=count_rates(truths),
        told_types=shares[0].topk(min(how.n_due, len(vocabulary))).indices.sort().values,
    )


def _resolution(apart: NDArray[np.int64]) -> int:
    """Return the step of the clock that gaps keep to, us: few that are told more finely would have all drawn so."""
    multiples = np.array([np.count_nonzero(apart % step == 0) for step in STEPS])
    return coarsest_step(multiples, len(apart), int(np.gcd.reduce(apart, initial=0)))


def _knots(
    shards: Iterable[Columns], people: Sequence[NDArray[np.int64]], vocabulary: Vocabulary
) -> NDArray[np.float32]:
    """Return `(v, KNOTS)`: of each data_type's scale; 0 where fewer people have some than may be told."""
    kinds, numbers, whose, left = [], [], [], MOST_NUMBERS
    for shard, own in zip(shards, people, strict=True):
        part = shard.rows(0, left)
        has = HAS_NUMBER_OF[part.value_status] & np.isfinite(part.value)
        kinds.append(part.data_type[has].astype(np.int64))
        numbers.append(part.value[has])
        whose.append(own[: len(has)][has])
        left -= len(part.data_type)
        if left <= 0:
            break
    kind, number, person = np.concatenate(kinds), np.concatenate(numbers), np.concatenate(whose)
    order = np.lexsort((number, kind))
    kind, number, person = kind[order], number[order], person[order]
    ends = kind.searchsorted(np.arange(len(vocabulary) + 1))
    knots, shares = np.zeros((len(vocabulary), KNOTS), dtype=np.float32), np.linspace(0, 1, KNOTS)
    for i in np.flatnonzero(np.diff(ends)):
        those = slice(ends[i], ends[i + 1])
        knots[i] = Scale.of(number[those], person[those]).at(shares)
    return knots
