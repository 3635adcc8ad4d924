"""The best linear map from embeddings to the outputs of a task: logistic or ridge regression, whatever the kind.

Embeddings are centred and not scaled: directions of small spread are mostly noise, and scaling would lift them.
The penalty is that with the least loss of subjects who were left out. It is looked for from strong to weak, and no
further than the loss falls: the weakest ones take most of the steps, and are of maps that know their subjects by heart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Ints
from tawt.chance import Salt, draw
from tawt.heads.kinds.kind import Kind

PENALTIES = tuple(10.0 ** (x / 2) for x in range(-8, 7))
"""What is tried, as a multiple of the embeddings' own spread; from weak to strong."""
N_FOLDS = 5
MOST = 20_000
"""Documents on which the penalty is chosen; of more, as many are drawn. The map itself is fitted to all."""
NUMBERS_AT_ONCE = 1 << 18
"""Numbers of embeddings that are held in double precision at once."""
_STEPS = 200
_WORSE = 2
"""So many penalties in a row with a larger loss than the best one end the search."""
_EXACT, _NEAR = (1e-7, 1e-10), (1e-6, 1e-9)
"""How small a gradient, and a change, ends a fit: of the map itself, and of one that a penalty is tried with."""


_Map = tuple[Tensor, Tensor]


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
    """Each penalty that was tried -> the mean loss of documents whose subjects were left out."""
    by_rates: float
    """The mean loss of the same documents by the rates of the others' labels alone, without an embedding."""


def fit_probe(
    embedding: NDArray[np.float32],
    truth: NDArray[np.float32],
    weight: NDArray[np.float32],
    subject_id: Ints,
    answers: Kind,
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
    fold = (draw(subject_id, Salt.FOLDS, seed) % np.uint64(N_FOLDS)).astype(np.int64)
    drawn = np.sort(np.argsort(draw(np.arange(len(x)), Salt.PROBE, seed), kind="stable")[:MOST])
    whole = _Documents(x, y, importance, torch.arange(len(x)))
    scale = max(whole.spread(), 1e-12)
    folds: list[tuple[_Documents, _Documents]] = []
    for i in range(N_FOLDS):
        here, there = (torch.from_numpy(drawn[part]) for part in (fold[drawn] != i, fold[drawn] == i))
        if len(there) and len(here):
            inside = _Documents(x, y, importance, here)
            folds.append((inside, _Documents(x, y, importance, there, inside.mean)))
    n = max(1.0, float((importance[torch.from_numpy(drawn)] > 0).any(1).sum()))
    blind = [(inside.without_embedding(), outside.without_embedding()) for inside, outside in folds]
    by_rates = sum(float(there.loss(*_fitted(here, 0.0, answers, None, _NEAR), answers)) for here, there in blind) / n
    starts: list[_Map | None] = [None] * len(folds)
    tried: dict[float, float] = {}
    for penalty in reversed(PENALTIES):  # from the simplest map on, each starting where the last one ended
        starts = [
            _fitted(inside, penalty * scale, answers, start, _NEAR)
            for (inside, _), start in zip(folds, starts, strict=True)
        ]
        found = [outside.loss(*start, answers) for (_, outside), start in zip(folds, starts, strict=True) if start]
        tried[penalty] = float(sum(found)) / n
        best = min(tried, key=lambda one: tried[one])  # of equal ones the strongest
        if len([one for one in tried if one < best]) >= _WORSE:
            break
    start: _Map | None = None
    for penalty in (p for p in reversed(PENALTIES) if p >= best):
        start = _fitted(whole, penalty * scale, answers, start, _EXACT if penalty == best else _NEAR)
    assert start is not None
    w, bias = start
    return Probe(w.float(), (bias - w @ whole.mean).float(), best, tried, by_rates)


class _Documents:
    """Some embeddings `(d, w)` and their truth as they were given; in double precision, and centred, some at a time.

    Held so for all, they would take twice as much again, and a probe of many prediction times is mostly that.
    """

    def __init__(self, x: Tensor, truth: Tensor, weight: Tensor, rows: Tensor, mean: Tensor | None = None) -> None:
        self.x, self.truth, self.weight, self.rows = x, truth, weight, rows
        self._parts = rows.split(max(1, NUMBERS_AT_ONCE // max(1, x.shape[1])))
        total = x.new_zeros(x.shape[1], dtype=torch.float64)
        self.mean = (
            sum((x.index_select(0, part).double().sum(0) for part in self._parts), total) / len(rows)
            if mean is None
            else mean
        )

    def without_embedding(self) -> _Documents:
        """Return the same documents, of which nothing but the truth is known."""
        return _Documents(self.x[:, :0], self.truth, self.weight, self.rows)

    @property
    def n_known(self) -> float:
        """Documents of which something is known, or 1."""
        return max(1.0, float((self.weight[self.rows] > 0).any(1).sum()))

    def spread(self) -> float:
        """Return the variance of a number of an embedding, a mean over all numbers."""
        squares = sum(((x - self.mean).square().sum(0) for x, _, _ in self), torch.zeros_like(self.mean))
        return float((squares / (len(self.rows) - 1)).mean())

    def loss(self, w: Tensor, b: Tensor, answers: Kind) -> Tensor:
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
            x, truth, weight = (one.index_select(0, part).double() for one in (self.x, self.truth, self.weight))
            yield x, truth, weight


def _fitted(
    documents: _Documents, penalty: float, answers: Kind, start: _Map | None, ends: tuple[float, float]
) -> _Map:
    """Return weights `(k, w)` and biases `(k,)` of centred embeddings, of the least mean loss plus penalty."""
    k = documents.truth.shape[1]
    at = start or (documents.mean.new_zeros(k, len(documents.mean)), answers.start().double())
    w, b = (t.clone().requires_grad_(True) for t in at)
    optimizer = torch.optim.LBFGS(
        [w, b], max_iter=_STEPS, history_size=20, tolerance_grad=ends[0], tolerance_change=ends[1],
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
