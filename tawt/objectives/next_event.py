"""The next event: how it differs from the trivial guess, part by part, each a log likelihood in nats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tawt.batching.example import NOT_ASKED, NextTargets
from tawt.batching.host import HostBatch
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.due import NEVER, last_times
from tawt.models.decoder.gaps import US_PER_MINUTE
from tawt.models.decoder.heads import Counted, NextHeads, Step
from tawt.models.decoder.later import later_cost
from tawt.models.decoder.mixtures import gap_log_chance, rank_log_density
from tawt.models.decoder.places import level, ranks
from tawt.models.decoder.schedule import Schedule
from tawt.models.time_encoding import MINUTES
from tawt.objectives.later import later_truths
from tawt.objectives.losses import cross_entropy, ragged_cross_entropy

RANK_WIDTH = 2 * math.sqrt(3)
"""Ranks are told on the scale on which they have variance 1, as elsewhere: a guess without a model costs its log."""
MOST_LOGITS = 1 << 24
"""Logits over data_types that are made at once; more are made again in the backward pass."""


def make_targets(
    batch: HostBatch,
    vocabulary: Vocabulary,
    knots: Tensor,
    told_types: Tensor,
    *,
    by_clock: bool,
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
        by_clock: Whether gaps are told by the clock, for which marks are made.
        quiet_hours: See `NextConfig`.
        later_types: `(q,)`, see `Counted`; None = nothing is asked of what comes later.
    """
    assert batch.begins is not None and batch.ends is not None
    n = batch.n_tokens
    document, place = batch.document, np.arange(n)
    first = batch.first_timed
    opens_late = np.zeros(n + 1, dtype=np.bool_)
    opens_late[first[~batch.begins & (first < batch.bounds[1:])]] = True
    at = np.flatnonzero(~opens_late[:-1])
    none = torch.zeros(0, dtype=torch.int64)
    before = place + document  # the token of each triplet has the [CLS] tokens of its own document and those before
    since = np.zeros(n, dtype=np.int64)
    since[1:] = batch.time[1:] - batch.time[:-1]
    # the first timed event has its gap from the moment that times count from; before it nothing is told
    opening = np.zeros(n + 1, dtype=np.bool_)
    opening[first[first < batch.bounds[1:]]] = True
    since = np.where(opening[:-1], np.maximum(batch.time, 0), since)
    step = np.where(batch.is_static, Step.STATIC, np.where(since > 0, Step.LATER, Step.SAME))
    timed = ~batch.is_static & ~opening[:-1]
    gap = np.where(step == Step.LATER, since / US_PER_HOUR, 0.0).astype(np.float32)
    clock = batch.origin[document] + batch.time
    minutes = clock // US_PER_MINUTE
    kinds = batch.data_type.astype(np.int64)
    least = np.zeros(n, dtype=np.int64)
    follows = np.flatnonzero((document[1:] == document[:-1]) & (step[1:] != Step.LATER) & ~opening[1:-1]) + 1
    # a static fact is told once; where one comes twice all the same, it is one more of its kind
    least[follows] = np.minimum(kinds[follows - 1] + batch.is_static[follows], kinds[follows])
    last = _last_of_type(kinds, document)
    age = np.where(last >= 0, (batch.time - batch.time[last]) / US_PER_HOUR, -1.0).astype(np.float32)
    ended = np.flatnonzero(batch.ends)
    end_token = batch.bounds[1:][ended] + ended
    kind, status, token = (x[at].astype(np.int64) for x in (batch.data_type, batch.value_status, batch.value_token))
    has = HAS_NUMBER_OF[batch.value_status] & np.isfinite(batch.value)
    number, own_number = np.flatnonzero(has[at]), (np.cumsum(has) - 1)[at[has[at]]]
    own = token - vocabulary.n_bins[kind] - 1
    named = np.flatnonzero((status == ValueStatus.CATEGORY) & (own >= 0) & (vocabulary.n_categories[kind] > 0))
    later = np.flatnonzero(step[at] == Step.LATER)
    begins, ends = (torch.from_numpy(x[at[later]]) for x in ((clock - since) // US_PER_MINUTE, minutes))
    marks = torch.zeros(len(later), MINUTES, 0)
    if by_clock:
        marks = _marks(document, minutes, timed & (step == Step.LATER), opening[:-1], at[later], begins)
    came, came_in_all = last_times(batch.data_type, batch.time, batch.bounds, told_types.numpy())
    has_timed = first < batch.bounds[1:]
    final = batch.bounds[1:][ended] - 1
    now = np.concatenate([np.where(timed, batch.time - since, 0)[at], np.where(has_timed[ended], batch.time[final], 0)])
    reached = np.concatenate([np.where(timed, kinds[place - 1], 0)[at], np.where(has_timed[ended], kinds[final], 0)])
    asked, until, comes = later_truths(batch, none if later_types is None else later_types)
    low, high = ranks(knots, torch.from_numpy(kinds[has]), torch.from_numpy(batch.value[has]))
    number_last, number_level = _before(((low + high) / 2).numpy(), kinds[has], document[has])
    arrays: dict[str, NDArray[Any]] = {
        "step_at": np.concatenate([before[at], end_token]),
        "step_is": np.concatenate([step[at], np.full(len(ended), Step.END)]),
        "step_timed": np.concatenate([timed[at], has_timed[ended]]),
        "step_least": reached, "step_ages": _hours(now, np.concatenate([came[at], came_in_all[ended]])),
        "before": before[at], "step": step[at], "gap_hours": gap[at],
        "minute": np.where(batch.is_static, 0, minutes % MINUTES)[at], "type_is": kind,
        "type_least": least[at],
        "type_weight": 1 + np.where(opening[at], np.float32(0), np.minimum(gap[at], np.float32(quiet_hours))),
        "type_ages": _hours(batch.time[at], came[at]), "status_is": status,
        "last": np.where(last >= 0, last + document + 1, 0)[at], "age_hours": age[at],
        "gap_at": later, "gap_is": gap[at[later]],
        "later_at": asked + document[asked] + 1, "later_hours": until, "later_came": comes,
        "number_at": number, "category_at": named, "category_is": own[named],
    }  # fmt: skip
    tensors: dict[str, Any] = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items()}
    return NextTargets(
        **tensors, gap_begins=begins, gap_ends=ends, gap_marks=marks, number_low=low[own_number],
        number_high=high[own_number], number_last=number_last[own_number], number_level=number_level[own_number],
        n_categories=int(vocabulary.n_categories[kind[named]].sum()),
    )  # fmt: skip


def _marks(
    document: NDArray[Any], minutes: NDArray[np.int64], later: NDArray[np.bool_], opening: NDArray[np.bool_],
    asked: NDArray[np.int64], now: Tensor,
) -> Tensor:  # fmt: skip
    """Return the marks of the moments before some triplets that open a later one; none before a document's first."""
    moments = later | opening
    own = np.flatnonzero(moments)
    schedule = Schedule.of_moments(document[own].astype(np.int64), minutes[own])
    before = torch.from_numpy((np.cumsum(moments) - 2)[asked])
    marks = schedule.of(before.clamp_min(0)).marks(now)
    return marks.masked_fill_(torch.from_numpy(opening[asked])[:, None, None], 0.0)


def _hours(time: NDArray[np.int64], came: NDArray[np.int64]) -> NDArray[np.float32]:
    """Hours from when each data_type came to times `(m,)`, `(m, r)`; -1 where it never did."""
    return np.where(came > NEVER, np.maximum(time[:, None] - came, 0) / US_PER_HOUR, -1).astype(np.float32)


def _before(rank: NDArray[np.float32], kinds: NDArray[np.int64], document: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Return the rank of the number of the same data_type before each of numbers, and the `level` of all before it."""
    order = np.lexsort((kinds, document))
    opens = np.ones(len(order), dtype=np.bool_)
    opens[1:] = (kinds[order][1:] != kinds[order][:-1]) | (document[order][1:] != document[order][:-1])
    first = np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))
    total = np.concatenate([[0.0], np.cumsum(rank[order] - 0.5, dtype=np.float64)])
    last, so_far, n = (np.empty(len(order), dtype=kind) for kind in (np.float32, np.float64, np.int64))
    last[order] = np.where(opens, -1, rank[np.roll(order, 1)])
    so_far[order], n[order] = total[:-1] - total[first], np.arange(len(order)) - first
    return torch.from_numpy(last), level(torch.from_numpy(so_far), torch.from_numpy(n))


def _last_of_type(data_type: NDArray[np.integer], document: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return `(n,)`, place of the one of the same data_type before each in its document; -1 where there is none."""
    order = np.lexsort((data_type, document))  # stable: within a data_type as they stand
    last = np.full(len(order), -1, dtype=np.int64)
    same = (document[order[1:]] == document[order[:-1]]) & (data_type[order[1:]] == data_type[order[:-1]])
    last[order[1:][same]] = order[:-1][same]
    return last


def loss_sums(
    heads: NextHeads, tables: tuple[Tensor, Tensor], tokens: Tensor, targets: NextTargets, parts: Any
) -> dict[str, Tensor]:
    """Return the loss of each part that is on, summed over its positions: float32 scalars, nats.

    Args:
        heads: Of the next event.
        tables: The encoder's embeddings of data_types `(v, d_model)` and of categories `(n_category_rows, d_model)`.
        tokens: `(t, d_model)`, states of a causal encoder.
        targets: What follows them.
        parts: Names of those that are on.
    """
    table, category_rows = tables
    t, sums = targets, {}

    def take(at: Tensor, rows: Tensor = tokens) -> Tensor:
        return functional.embedding(at, rows)  # whose gradient sums repeated rows in a fixed order

    states = take(t.before)
    after = heads.after(states, t.step, t.gap_hours, t.minute)
    known = t.type_is.clamp_min(0)
    typed = heads.typed(after, known, table, take(t.last), t.age_hours)
    if "step" in parts:
        own = heads.steps(take(t.step_at), t.step_timed, table, t.step_least, t.step_ages)
        sums["step"] = cross_entropy(own, t.step_is)
    if "gap" in parts:
        asked = t.gap_is != NOT_ASKED
        hours = torch.where(asked, t.gap_is, 1.0)
        told = heads.gaps(take(t.gap_at, states), t.gap_marks)
        chance = told.log_chance(hours, heads.resolution, t.gap_begins, t.gap_ends)
        sums["gap"] = -torch.where(asked, chance, 0.0).sum()
    if "next_type" in parts:
        sums["next_type"] = _type_sum(heads, after, table, t.type_is, t.type_weight, t.type_least, t.type_ages)
    if "next_status" in parts:
        sums["next_status"] = cross_entropy(heads.what.statuses(typed, known), t.status_is)
    if "next_number" in parts:
        asked = t.number_low != NOT_ASKED
        own, status = known[t.number_at], t.status_is.clamp_min(0)[t.number_at]
        low, high = (torch.where(asked, x, 0.5) for x in (t.number_low, t.number_high))
        numbers = heads.numbers(take(t.number_at, typed), own, status, t.number_last, t.number_level)
        density = rank_log_density(numbers, low, high)
        sums["next_number"] = torch.where(asked, math.log(RANK_WIDTH) - density, 0.0).sum()
    if "next_category" in parts:
        own = known[t.category_at]
        logits = heads.what.categories(take(t.category_at, typed), own, category_rows, t.n_categories)
        sums["next_category"] = ragged_cross_entropy(*logits, t.category_is)
    if "later" in parts:
        assert heads.later is not None
        told = heads.later(take(t.later_at), table.index_select(0, heads.later_types))
        sums["later"] = later_cost(told, t.later_hours, t.later_came)
    return sums


def _type_sum(heads: NextHeads, after: Tensor, table: Tensor, *asked: Tensor) -> Tensor:
    def cost(states: Tensor, table: Tensor, truth: Tensor, weight: Tensor, *told: Tensor) -> Tensor:
        return cross_entropy(heads.types(states, table, *told), truth, weight)

    rows = max(1, MOST_LOGITS // len(table))
    if len(after) <= rows:
        return cost(after, table, *asked)
    each = [
        checkpoint(cost, states, table, *own, use_reentrant=False)
        for states, *own in zip(after.split(rows), *(x.split(rows) for x in asked), strict=True)
    ]
    return torch.stack(each).sum()


def counts(targets: NextTargets) -> dict[str, int]:
    """Return the number of positions of each part."""
    lists = targets.step_is, targets.gap_is, targets.type_is, targets.status_is, targets.number_low, targets.category_is
    names = "step", "gap", "next_type", "next_status", "next_number", "next_category"
    return {name: len(x) for name, x in zip(names, lists, strict=True)} | {"later": len(targets.later_at)}


def baseline_sums(counted: Counted, targets: NextTargets, vocabulary: Vocabulary) -> dict[str, float]:
    """Return what shares, one log-normal of all gaps and the ranks' own distribution cost, summed as the losses are."""
    t, offset = targets, torch.from_numpy(vocabulary.category_offset)
    mean, deviation = counted.gap.tolist()
    one = torch.tensor([[0.0, mean, math.log(math.expm1(max(deviation, 0.03)))]]).expand(len(t.gap_is), 3)
    tail = counted.log_type.flip(0).logcumsumexp(0).flip(0)  # of all data_types from one on
    sums = {
        "step": -counted.log_step[t.step_timed.long(), t.step_is].sum(),
        "gap": -gap_log_chance(one, t.gap_is, counted.resolution).sum(),
        "next_type": ((tail[t.type_least] - counted.log_type[t.type_is]) * t.type_weight).sum(),
        "next_status": -counted.log_status[t.type_is, t.status_is].sum(),
        "next_number": torch.tensor(math.log(RANK_WIDTH) * len(t.number_low)),
        "next_category": -counted.log_category[offset[t.type_is[t.category_at]] + t.category_is].sum(),
        "later": later_cost(counted.later.expand(len(t.later_at), -1, -1), t.later_hours, t.later_came),
    }
    return {part: total.item() for part, total in sums.items()}
