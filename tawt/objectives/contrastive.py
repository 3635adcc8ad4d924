"""InfoNCE over all documents of a step: which documents are of one subject, or which other thing is each one's own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_NEVER = -1e30
"""Similarity of what is no candidate; finite, so that a row without any has a gradient, of zero."""


def info_nce(projection: Tensor, view_of: Tensor, temperature: float) -> Tensor:
    """Return the loss summed over the documents that have a positive, a float32 scalar.

    A positive of a document is another document of the same subject; its negatives are the documents of all other
    subjects. Each positive is told from the negatives alone, `-log(e^s / (e^s + sum of e^s of negatives))`, so
    documents of one subject never push each other away, and a document's positives are averaged. Two views per
    subject make it the usual InfoNCE.

    Args:
        projection: `(D, p)`, of length 1, of all batches and processes of a step.
        view_of: `(D,)` int64, the subject of each document.
        temperature: Divides the cosine similarities.

    Source: van den Oord, Li and Vinyals 2018, Representation learning with contrastive predictive coding; several
        positives as in Khosla et al. 2020, Supervised contrastive learning.
    """
    with torch.autocast(projection.device.type, enabled=False):
        rows = projection.float()
        similarity = rows @ rows.T / temperature
        positive, negative = _pairs(view_of)
        against = similarity.masked_fill(~negative, _NEVER).logsumexp(1, keepdim=True)
        # log(1 + e^x) of the difference: no exponential overflows, however sharp the temperature
        loss = functional.softplus(against - similarity) * positive
        return (loss.sum(1) / positive.sum(1).clamp_min(1)).sum()


def count(view_of: Tensor) -> int:
    """Return how many of the documents `(D,)` have a positive."""
    return int(_pairs(view_of)[0].any(1).sum())


def baseline_sum(view_of: Tensor) -> float:
    """Return what a blind guess costs, summed as `info_nce` does: the log of the number of candidates of each."""
    positive, negative = _pairs(view_of)
    candidates = 1 + negative.sum(1)[positive.any(1)]
    return float(candidates.double().log().sum())


def paired_info_nce(one: Tensor, other: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the loss of two sides, as of a record up to an image and that image: summed over the pairs that have
    negatives, half of it each way, a float32 scalar.

    The positive of row `i` of one side is row `i` of the other alone; its negatives are the rows of the other side that
    are of other subjects, show something else, and are of the same kind. So what one subject has several of is no
    negative of its own, nor is a copy of it, and no kind is told from another.

    Args:
        one: `(D, p)`, of length 1, of all batches and processes of a step.
        other: `(D, p)`, what belongs to each.
        keys: `(D, 3)` int64, whose both are, what the other side shows, and of which kind it is.
        temperature: Divides the cosine similarities.

    Source: Radford et al. 2021, Learning transferable visual models from natural language supervision.
    """
    with torch.autocast(one.device.type, enabled=False):
        similarity = one.float() @ other.float().T / temperature
        against = similarity.masked_fill(~apart(keys), _NEVER)
        own = similarity.diagonal()
        return sum((functional.softplus(against.logsumexp(side) - own).sum() / 2 for side in (0, 1)), own.new_zeros(()))


def paired_count(keys: Tensor) -> int:
    """Return how many of the pairs, of keys `(D, 3)`, have a negative."""
    return int(apart(keys).any(1).sum())


def paired_baseline_sum(keys: Tensor) -> float:
    """Return what a blind guess costs, summed as `paired_info_nce` does."""
    return float((1 + apart(keys).sum(1)).double().log().sum())


def found(one: Tensor, other: Tensor, keys: Tensor) -> Tensor:
    """Return how many rows of one side have their own of the other side for the nearest, and how many a blind guess
    finds: `(2,)` float64, of those that have negatives."""
    similarity, others = one.float() @ other.float().T, apart(keys)
    asked = others.any(1)
    first = similarity.diagonal() > similarity.masked_fill(~others, _NEVER).amax(1) if len(keys) else asked
    return torch.stack([(first & asked).double().sum(), (1 / (1 + others.sum(1))[asked].double()).sum()])


def apart(keys: Tensor) -> Tensor:
    """Return which pairs `(D, D)` are negatives."""
    differs = keys[:, None] != keys[None, :]
    return differs[..., 0] & differs[..., 1] & ~differs[..., 2]


def _pairs(view_of: Tensor) -> tuple[Tensor, Tensor]:
    """Return which pairs `(D, D)` are positives, and which negatives."""
    same = view_of[:, None] == view_of[None, :]
    itself = torch.eye(len(view_of), dtype=torch.bool, device=view_of.device)
    return same & ~itself, ~same
