"""What is asked of the next event, and what is known of it by then: of all triplets of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Bools, Ints
from tawt.batching.example import NextTargets
from tawt.batching.host import HostBatch
from tawt.config.next_event import NextConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.gaps import US_PER_MINUTE
from tawt.models.decoder.heads import Step
from tawt.models.decoder.past import (
    hours_since,
    last_of_type,
    last_times,
    marks_before,
    minute_of,
    numbers_before,
    numbers_of_others,
)
from tawt.models.decoder.places import ranks
from tawt.models.time_encoding import MINUTES
from tawt.objectives.later import later_truths

Arrays = dict[str, NDArray[Any] | Tensor]
"""Columns of `NextTargets`, by name."""


def make_targets(
    batch: HostBatch,
    vocabulary: Vocabulary,
    knots: Tensor,
    told_types: Tensor,
    *,
    how: NextConfig,
    quiet_hours: float = 0.0,
    later_types: Tensor | None = None,
) -> NextTargets:
    """Say what follows each token.

    Not asked are the first timed event of a window that begins within a record, and the end of one that ends there.

    Args:
        batch: Simultaneous triplets in the order of their data_types; with `begins` and `ends`.
        vocabulary: Of the dataset.
        knots: `(v, KNOTS)`, see `Counted`.
        told_types: `(r,)`, see `Counted`.
        how: What the decoder is told.
        quiet_hours: See `NextConfig`; 0 where nothing is learned.
        later_types: `(q,)`, see `Counted`; None = nothing is asked of what comes later.
    """
    assert batch.begins is not None and batch.ends is not None
    way, ended = _way(batch), np.flatnonzero(batch.ends)
    at = np.flatnonzero(~way.opening | batch.begins[batch.document])
    came, behind = last_times(batch.data_type, batch.time, batch.bounds, told_types.numpy())
    later_types = torch.zeros(0, dtype=torch.int64) if later_types is None else later_types
    arrays = (
        _steps(batch, way, at, ended, np.concatenate([came[at], behind[ended]]))
        | _events(batch, way, at, came, quiet_hours)
        | _gaps(batch, way, at, came, how)
        | _numbers(batch, at, knots, told_types.numpy() if how.numbers_of_others else np.zeros(0, dtype=np.int64))
        | _categories(batch, at, vocabulary)
        | _later(batch, later_types)
    )
    tensors: dict[str, Any] = {
        name: x if isinstance(x, Tensor) else torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items()
    }
    named = batch.data_type[at][arrays["category_at"]]
    return NextTargets(**tensors, n_categories=int(vocabulary.n_categories[named].sum()))


@dataclass(frozen=True)
class _Way:
    """How each of `n` triplets is reached from the one before it."""

    opening: Bools
    """Whether it is the first timed one of its document: its gap is from the moment that times count from."""
    timed: Bools
    """Whether a timed one came before it."""
    since: Ints
    """us."""
    step: Ints
    """The `Step`."""
    gap_hours: NDArray[np.float32]
    """0 but where the step is later."""
    clock: Ints
    """us, when it comes."""


def _way(batch: HostBatch) -> _Way:
    since = np.zeros(batch.n_tokens, dtype=np.int64)
    since[1:] = batch.time[1:] - batch.time[:-1]
    opening: Bools = np.zeros(batch.n_tokens, dtype=np.bool_)
    opening[batch.first_timed[batch.first_timed < batch.bounds[1:]]] = True
    since = np.where(opening, np.maximum(batch.time, 0), since)
    step = np.where(batch.is_static, Step.STATIC, np.where(since > 0, Step.LATER, Step.SAME))
    gap_hours = np.where(step == Step.LATER, since / US_PER_HOUR, 0.0).astype(np.float32)
    return _Way(opening, ~batch.is_static & ~opening, since, step, gap_hours, batch.origin[batch.document] + batch.time)


def _steps(batch: HostBatch, way: _Way, at: Ints, ended: Ints, came: Ints) -> Arrays:
    """Which kind of step leads to each triplet that is asked for, and to the ends of records."""
    final = batch.bounds[1:][ended] - 1
    has_timed = (batch.first_timed < batch.bounds[1:])[ended]
    kinds = batch.data_type.astype(np.int64)
    now = [np.where(way.timed, batch.time - way.since, 0)[at], np.where(has_timed, batch.time[final], 0)]
    reached = [np.where(way.timed, kinds[np.arange(len(kinds)) - 1], 0)[at], np.where(has_timed, kinds[final], 0)]
    return {
        "step_at": np.concatenate([(_token(batch) - 1)[at], batch.bounds[1:][ended] + ended]),
        "step_is": np.concatenate([way.step[at], np.full(len(ended), Step.END)]),
        "step_timed": np.concatenate([way.timed[at], has_timed]),
        "step_least": np.concatenate(reached),
        "step_ages": hours_since(came, np.concatenate(now)),
    }


def _events(batch: HostBatch, way: _Way, at: Ints, came: Ints, quiet_hours: float) -> Arrays:
    """What each triplet that is asked for is, and when."""
    kinds = batch.data_type.astype(np.int64)
    follows = (batch.document[1:] == batch.document[:-1]) & (way.step[1:] != Step.LATER) & ~way.opening[1:]
    least, then = np.zeros(len(kinds), dtype=np.int64), np.flatnonzero(follows) + 1
    # a static fact is told once; where one comes twice all the same, it is one more of its kind
    least[then] = np.minimum(kinds[then - 1] + batch.is_static[then], kinds[then])
    last = last_of_type(kinds, batch.document)
    age = np.where(last >= 0, (batch.time - batch.time[last]) / US_PER_HOUR, -1.0).astype(np.float32)
    quiet = np.where(way.opening, np.float32(0), np.minimum(way.gap_hours, np.float32(quiet_hours)))
    minute = np.where(batch.is_static, 0, way.clock // US_PER_MINUTE % MINUTES)
    return {
        "before": (_token(batch) - 1)[at], "step": way.step[at], "gap_hours": way.gap_hours[at], "minute": minute[at],
        "type_is": kinds[at], "type_least": least[at], "type_weight": (1 + quiet)[at],
        "type_ages": hours_since(came[at], batch.time[at]), "status_is": batch.value_status[at].astype(np.int64),
        "last": np.where(last >= 0, _token(batch)[last], 0)[at], "age_hours": age[at],
    }  # fmt: skip


def _gaps(batch: HostBatch, way: _Way, at: Ints, came: Ints, how: NextConfig) -> Arrays:
    """How long the gaps to later moments are, and what was measured at which minute until then."""
    later = np.flatnonzero(way.step[at] == Step.LATER)
    own = at[later]
    begins, minutes = torch.from_numpy(((way.clock - way.since) // US_PER_MINUTE)[own]), way.clock // US_PER_MINUTE
    marks = torch.zeros(len(own), MINUTES, 0)
    last = came[own] if how.hours_after else np.zeros((len(own), 0), dtype=np.int64)
    now = np.where(way.timed, batch.time - way.since, 0)[own]
    if how.n_hours:
        opens_later = way.timed & (way.step == Step.LATER)
        marks = marks_before(batch.document, minutes, opens_later, way.opening, own, begins)
    return {"gap_at": later, "gap_is": way.gap_hours[own], "gap_begins": begins, "gap_ends": minutes[own],
            "gap_marks": marks, "gap_came": minute_of(last, batch.origin[batch.document[own]]),
            "gap_ages": hours_since(last, now)}  # fmt: skip


def _numbers(batch: HostBatch, at: Ints, knots: Tensor, others: Ints) -> Arrays:
    """Where numbers lie among those of their data_type, and those before them, of other data_types too."""
    has = HAS_NUMBER_OF[batch.value_status] & np.isfinite(batch.value)
    kinds = batch.data_type[has].astype(np.int64)
    low, high = ranks(knots, torch.from_numpy(kinds), torch.from_numpy(batch.value[has]))
    rank, document = ((low + high) / 2).numpy(), batch.document[has]
    last, so_far = numbers_before(rank, kinds, document)
    of_others = numbers_of_others(rank, kinds, document, others)
    own = (np.cumsum(has) - 1)[at[has[at]]]
    return {"number_at": np.flatnonzero(has[at]), "number_low": low[own], "number_high": high[own],
            "number_last": last[own], "number_level": so_far[own], "number_others": of_others[own]}  # fmt: skip


def _categories(batch: HostBatch, at: Ints, vocabulary: Vocabulary) -> Arrays:
    """Which of the categories of their data_type triplets have."""
    kinds, status, token = (x[at].astype(np.int64) for x in (batch.data_type, batch.value_status, batch.value_token))
    own = token - vocabulary.n_bins[kinds] - 1
    named = np.flatnonzero((status == ValueStatus.CATEGORY) & (own >= 0) & (vocabulary.n_categories[kinds] > 0))
    return {"category_at": named, "category_is": own[named]}


def _later(batch: HostBatch, types: Tensor) -> Arrays:
    """When data_types that are asked of come next."""
    asked, hours, came = later_truths(batch, types)
    return {"later_at": _token(batch)[asked], "later_hours": hours, "later_came": came}


def _token(batch: HostBatch) -> Ints:
    """The token of each triplet: [CLS] tokens of its own document and of those before it lie before."""
    found: Ints = np.arange(batch.n_tokens) + batch.document + 1
    return found
