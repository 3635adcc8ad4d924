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
_FOLD = 11
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
    fold = torch.from_numpy((draw(subject_id, _FOLD, seed) % np.uint64(N_FOLDS)).astype(np.int64))
    scale = float(x.var(0).mean().clamp_min(1e-12))
    total = dict.fromkeys(PENALTIES, 0.0)
    for i in range(N_FOLDS):
        here, there = fold != i, fold == i
        if not there.any() or not here.any():
            continue
        start: tuple[Tensor, Tensor] | None = None
        for penalty in reversed(PENALTIES):  # from the simplest map on, each starting where the last one ended
            start = _fitted(x[here], y[here], importance[here], penalty * scale, answers, start)
            out = (x[there] - x[here].mean(0)) @ start[0].T + start[1]
            total[penalty] += float(answers.losses(out, y[there], importance[there]).sum())
    n = max(1.0, float((importance > 0).any(1).sum()))
    tried = {penalty: loss / n for penalty, loss in total.items()}
    best = min(reversed(PENALTIES), key=lambda penalty: tried[penalty])  # of equal ones the strongest
    start = None
    for penalty in (p for p in reversed(PENALTIES) if p >= best):
        start = _fitted(x, y, importance, penalty * scale, answers, start)
    assert start is not None
    found, bias = start
    return Probe(found.float(), (bias - found @ x.mean(0)).float(), best, tried)


def _fitted(
    x: Tensor, truth: Tensor, weight: Tensor, penalty: float, answers: Answers, start: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return weights `(k, w)` and biases `(k,)` of centred embeddings, of the least mean loss plus penalty."""
    centred, k = x - x.mean(0), truth.shape[1]
    at = start or (x.new_zeros(k, x.shape[1]), answers.start().to(x.dtype))
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
