"""Losses of single predictions, summed in float32."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tawt.models.segments import segment_max, segment_sum

NumberLoss = Literal["squared", "huber"]


def number_loss(guess: Tensor, truth: Tensor, how: NumberLoss) -> Tensor:
    """Sum the squared differences, or half of them up to a difference of 1 and linear beyond (`huber`)."""
    if how == "squared":
        return (guess.float() - truth).square().sum()
    return functional.huber_loss(guess.float(), truth, reduction="sum")


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Sum the cross-entropies of `(m, classes)` against `(m,)`, nats."""
    return functional.cross_entropy(logits.float(), truth, reduction="sum")


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
    return (log_total - logits[first + truth]).sum()
