"""The next event: how it differs from the trivial guess, part by part, each a log likelihood in nats."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tawt.batching.example import NOT_ASKED, NextTargets
from tawt.config.next_event import NEXT
from tawt.dataset.vocabulary import Vocabulary
from tawt.models.decoder.counted import Counted
from tawt.models.decoder.heads import NextHeads
from tawt.models.decoder.later import later_cost
from tawt.models.decoder.mixtures import gap_log_chance, rank_log_density
from tawt.objectives.losses import cross_entropy, ragged_cross_entropy

RANK_WIDTH = 2 * math.sqrt(3)
"""Ranks are told on the scale on which they have variance 1, as elsewhere: a guess without a model costs its log."""
MOST_LOGITS = 1 << 24
"""Logits over data_types that are made at once; more are made again in the backward pass."""


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
        told = heads.gaps(take(t.gap_at, states), table, t.gap_marks, t.gap_came, t.gap_ages)
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
        before = t.number_last, t.number_level, t.number_others
        numbers = heads.numbers(take(t.number_at, typed), own, status, table, *before)
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
    t = targets
    lists = t.step_at, t.gap_at, t.before, t.before, t.number_at, t.category_at, t.later_at
    return {part: len(of) for part, of in zip(NEXT, lists, strict=True)}


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
