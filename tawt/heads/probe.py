"""The best linear map from embeddings to the outputs of a task: logistic or ridge regression, whatever the kind.

Embeddings are centred and not scaled: directions of small spread are mostly noise, and scaling would lift them
(`docs/concepts/heads.md`). The penalty is that with the least loss of subjects who were left out.
"""

from __future__ import annotations

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
    x = torch.from_numpy(embedding).double()
    y, importance = torch.from_numpy(truth).double(), torch.from_numpy(weight).double()
    fold = (draw(subject_id, _FOLD, seed) % np.uint64(N_FOLDS)).astype(np.int64)
    drawn = np.sort(np.argsort(draw(np.arange(len(x)), _DRAWN, seed), kind="stable")[:MOST])
    scale = float(x.var(0).mean().clamp_min(1e-12))
    total = dict.fromkeys(PENALTIES, 0.0)
    for i in range(N_FOLDS):
        here, there = (torch.from_numpy(drawn[part]) for part in (fold[drawn] != i, fold[drawn] == i))
        if not len(there) or not len(here):
            continue
        start: tuple[Tensor, Tensor] | None = None
        mean = x[here].mean(0)
        inside, outside = x[here] - mean, x[there] - mean
        for penalty in reversed(PENALTIES):  # from the simplest map on, each starting where the last one ended
            start = _fitted(inside, y[here], importance[here], penalty * scale, answers, start)
            out = outside @ start[0].T + start[1]
            total[penalty] += float(answers.losses(out, y[there], importance[there]).sum())
    n = max(1.0, float((importance[torch.from_numpy(drawn)] > 0).any(1).sum()))
    tried = {penalty: loss / n for penalty, loss in total.items()}
    best = min(reversed(PENALTIES), key=lambda penalty: tried[penalty])  # of equal ones the strongest
    start, mean = None, x.mean(0)
    x -= mean
    for penalty in (p for p in reversed(PENALTIES) if p >= best):
        start = _fitted(x, y, importance, penalty * scale, answers, start)
    assert start is not None
    found, bias = start
    return Probe(found.float(), (bias - found @ mean).float(), best, tried)


def _fitted(
    centred: Tensor,
    truth: Tensor,
    weight: Tensor,
    penalty: float,
    answers: Answers,
    start: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Return weights `(k, w)` and biases `(k,)` of centred embeddings, of the least mean loss plus penalty."""
    k = truth.shape[1]
    at = start or (centred.new_zeros(k, centred.shape[1]), answers.start().to(centred.dtype))
    w, b = (t.clone().requires_grad_(True) for t in at)
    optimizer = torch.optim.LBFGS(
        [w, b], max_iter=_STEPS, history_size=20, tolerance_grad=1e-7, tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    n = max(1.0, float((weight > 0).any(1).sum()))

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = answers.losses(centred @ w.T + b, truth, weight).sum() / n + 0.5 * penalty * w.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return w.detach(), b.detach()
