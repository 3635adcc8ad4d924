"""The best linear map from embeddings to the outputs of a task: logistic or ridge regression, whatever the kind.

Embeddings are centred and not scaled: directions of small spread are mostly noise, and scaling would lift them.
The penalty is that with the least loss of subjects who were left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Ints
from tawt.chance import draw
from tawt.heads.kinds import Answers

PENALTIES = tuple(10.0 ** (x / 2) for x in range(-8, 7))
"""What is tried, as a multiple of the embeddings' own spread; from weak to strong."""
N_FOLDS = 5
MOST = 20_000
"""Documents on which the penalty is chosen; of more, as many are drawn. The map itself is fitted to all."""
NUMBERS_AT_ONCE = 1 << 18
"""Numbers of embeddings that are held in double precision at once."""
_FOLD, _DRAWN = 11, 12
_STEPS = 200


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear map, `k` outputs of `w` numbers."""

    weight: Tensor
    """`(k, w)` float32."""
    bias: Tensor
    """`(k,)` float32."""
    penalty: float
    """The one that was chosen, of `PENALTIES`."""
    tried: dict[float, float]
    """Each penalty -> the mean loss of documents whose subjects were left out."""


def fit_probe(
    embedding: NDArray[np.float32],
    truth: NDArray[np.float32],
    weight: NDArray[np.float32],
    subject_id: Ints,
    answers: Answers,
    seed: int = 0,
) -> Probe:
    """Fit a linear map to the training labels.

    Args:
        embedding: `(d, w)`.
        truth: `(d, k)`.
        weight: `(d, k)`.
        subject_id: `(d,)`; a subject is left out whole.
        answers: Of the task.
        seed: Of the folds.
    """
    x, y, importance = (torch.from_numpy(one) for one in (embedding, truth, weight))
    fold = (draw(subject_id, _FOLD, seed) % np.uint64(N_FOLDS)).astype(np.int64)
    drawn = np.sort(np.argsort(draw(np.arange(len(x)), _DRAWN, seed), kind="stable")[:MOST])
    whole = _Documents(x, y, importance)
    scale = max(whole.spread(), 1e-12)
    total = dict.fromkeys(PENALTIES, 0.0)
    for i in range(N_FOLDS):
        here, there = (torch.from_numpy(drawn[part]) for part in (fold[drawn] != i, fold[drawn] == i))
        if not len(there) or not len(here):
            continue
        start: tuple[Tensor, Tensor] | None = None
        inside = _Documents(x[here], y[here], importance[here])
        outside = _Documents(x[there], y[there], importance[there], inside.mean)
        for penalty in reversed(PENALTIES):  # from the simplest map on, each starting where the last one ended
            start = _fitted(inside, penalty * scale, answers, start)
            total[penalty] += float(outside.loss(*start, answers))
    n = max(1.0, float((importance[torch.from_numpy(drawn)] > 0).any(1).sum()))
    tried = {penalty: loss / n for penalty, loss in total.items()}
    best = min(reversed(PENALTIES), key=lambda penalty: tried[penalty])  # of equal ones the strongest
    start = None
    for penalty in (p for p in reversed(PENALTIES) if p >= best):
        start = _fitted(whole, penalty * scale, answers, start)
    assert start is not None
    found, bias = start
    return Probe(found.float(), (bias - found @ whole.mean).float(), best, tried)


class _Documents:
    """Embeddings `(d, w)` and their truth as they were given; in double precision, and centred, some at a time.

    Held so for all, they would take twice as much again, and a probe of many prediction times is mostly that.
    """

    def __init__(self, x: Tensor, truth: Tensor, weight: Tensor, mean: Tensor | None = None) -> None:
        self.x, self.truth, self.weight = x, truth, weight
        n_rows = max(1, NUMBERS_AT_ONCE // max(1, x.shape[1]))
        self._parts = [slice(i, i + n_rows) for i in range(0, len(x), n_rows)]
        total = x.new_zeros(x.shape[1], dtype=torch.float64)
        self.mean = sum((x[part].double().sum(0) for part in self._parts), total) / len(x) if mean is None else mean

    @property
    def n_known(self) -> float:
        """Documents of which something is known, or 1."""
        return max(1.0, float((self.weight > 0).any(1).sum()))

    def spread(self) -> float:
        """Return the variance of a number of an embedding, a mean over all numbers."""
        squares = sum(((x - self.mean).square().sum(0) for x, _, _ in self), torch.zeros_like(self.mean))
        return float((squares / (len(self.x) - 1)).mean())

    def loss(self, w: Tensor, b: Tensor, answers: Answers) -> Tensor:
        """Return the summed loss of weights `(k, w)` and biases `(k,)`; their gradients, if any, are added up."""
        total = torch.zeros((), dtype=torch.float64)
        for x, truth, weight in self:
            # the mean comes off the outputs: off each embedding it would take as long as the rest
            value = answers.losses(x @ w.T + (b - w @ self.mean), truth, weight).sum()
            if value.requires_grad:
                value.backward()
            total += value.detach()
        return total

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for part in self._parts:
            yield self.x[part].double(), self.truth[part].double(), self.weight[part].double()


def _fitted(
    documents: _Documents, penalty: float, answers: Answers, start: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return weights `(k, w)` and biases `(k,)` of centred embeddings, of the least mean loss plus penalty."""
    k = documents.truth.shape[1]
    at = start or (documents.mean.new_zeros(k, len(documents.mean)), answers.start().double())
    w, b = (t.clone().requires_grad_(True) for t in at)
    optimizer = torch.optim.LBFGS(
        [w, b], max_iter=_STEPS, history_size=20, tolerance_grad=1e-7, tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    n = documents.n_known

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = documents.loss(w, b, answers) / n
        for one in (w, b):
            one.grad = one.grad / n if one.grad is not None else torch.zeros_like(one)
        more = 0.5 * penalty * w.square().sum()
        more.backward()
        return value + more.detach()

    optimizer.step(loss)
    return w.detach(), b.detach()
