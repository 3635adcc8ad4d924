"""Losses of single predictions, summed in float32; a truth that is not asked for costs and teaches nothing."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tawt.batching.example import NO_CLASS, NOT_ASKED
from tawt.models.segments import segment_max, segment_sum

NumberLoss = Literal["squared", "huber"]
_NEVER = -1e4
"""A logit whose probability is 0 in float32."""


def number_loss(guess: Tensor, truth: Tensor, how: NumberLoss) -> Tensor:
    """Sum the squared differences, or half of them up to a difference of 1 and linear beyond (`huber`)."""
    asked = truth != NOT_ASKED
    guess, truth = torch.where(asked, guess.float(), 0.0), torch.where(asked, truth, 0.0)
    if how == "squared":
        return (guess - truth).square().sum()
    return functional.huber_loss(guess, truth, reduction="sum")


def presence_loss(logits: Tensor, present: Tensor) -> Tensor:
    """Sum the cross-entropies of yes (1) and no (0), nats."""
    asked = present != NOT_ASKED
    logits, present = torch.where(asked, logits, _NEVER), torch.where(asked, present, 0.0)
    return functional.binary_cross_entropy_with_logits(logits, present, reduction="sum")


def cross_entropy(logits: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Sum the cross-entropies of `(m, classes)` against `(m,)`, nats, each times its weight `(m,)` if it has one."""
    if weight is None:
        return functional.cross_entropy(logits.float(), truth, reduction="sum", ignore_index=NO_CLASS)
    each = functional.cross_entropy(logits.float(), truth, reduction="none", ignore_index=NO_CLASS)
    return (each * weight).sum()


def ragged_cross_entropy(logits: Tensor, position: Tensor, truth: Tensor) -> Tensor:
    """Sum the cross-entropies where each position has its own number of classes, laid end to end.

    Args:
        logits: `(r,)`.
        position: `(r,)`, ascending, the position of each logit.
        truth: `(m,)`, counted within the position's own classes.
    """
    n = len(truth)
    column = logits[:, None]
    top = segment_max(column.detach(), position, n)[:, 0]
    log_total = segment_sum((logits - top[position]).exp(), position, n).log() + top
    first = torch.searchsorted(position, torch.arange(n, device=position.device))
    return torch.where(truth != NO_CLASS, log_total - logits[first + truth.clamp_min(0)], 0.0).sum()
