"""A small recurrent network that knows for how long nothing was measured: a baseline that learns from labels.

Source: Che and others, Recurrent neural networks for multivariate time series with missing values, 2018 (GRU-D).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tawt.chance import Salt, shuffled
from tawt.heads.grid import Series
from tawt.heads.kinds.kind import Kind
from tawt.heads.targets import Targets

_HIDDEN, _BATCH, _RATE, _DROPOUT = 64, 128, 2e-3, 0.3
_MOST_EPOCHS, _PATIENCE = 40, 6


class DecayGru(nn.Module):
    """What was measured last fades to the mean of train, and the state fades, the longer nothing is measured.

    Args:
        n_variables: `v`.
        n_static: `f`.
        n_outputs: `k`.
        start: `(k,)`, outputs of who knows the labels' rates alone.
    """

    def __init__(self, n_variables: int, n_static: int, n_outputs: int, start: Tensor) -> None:
        super().__init__()
        self.fade_value = nn.Parameter(torch.zeros(n_variables))
        self.fade_state = nn.Linear(n_variables, _HIDDEN)
        self.cell = nn.GRUCell(2 * n_variables, _HIDDEN)
        self.drop = nn.Dropout(_DROPOUT)
        self.out = nn.Linear(_HIDDEN + n_static, n_outputs)
        with torch.no_grad():
            self.out.weight.zero_()
            self.out.bias.copy_(start)

    def forward(self, value: Tensor, seen: Tensor, since: Tensor, static: Tensor) -> Tensor:
        """`(b, s, v)` three times and `(b, f)` -> outputs `(b, k)`."""
        state, last = value.new_zeros(len(value), _HIDDEN), torch.zeros_like(value[:, 0])
        for t in range(value.shape[1]):
            here = seen[:, t]
            faded = last * torch.exp(-since[:, t] * torch.nn.functional.softplus(self.fade_value))
            last = torch.where(here > 0, value[:, t], last)
            state = state * torch.exp(-torch.relu(self.fade_state(since[:, t])))
            state = self.cell(torch.cat([torch.where(here > 0, value[:, t], faded), here], 1), state)
        return torch.as_tensor(self.out(torch.cat([self.drop(state), static], 1)))


def fit_gru(
    fit: Series, targets: Targets, stop: tuple[Series, Targets] | None, test: Iterable[Series], answers: Kind,
    seed: int = 0,
) -> NDArray[np.float64]:  # fmt: skip
    """Learn from labels, end where further ones are told no better, and answer.

    Args:
        fit: Records to learn from.
        targets: Their truth.
        stop: Records that decide when to end, and their truth; None = a usual number of passes.
        test: Records to answer for, some at a time.
        answers: Of the task.
        seed: Of weights and order.

    Returns:
        `(m, k)`, as of `Answers.predict`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = DecayGru(fit.value.shape[2], fit.static.shape[1], targets.truth.shape[1], answers.start())
        optimizer = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=1e-2)
        best, best_loss, waited = {n: p.clone() for n, p in net.state_dict().items()}, float("inf"), 0
        n_epochs = _MOST_EPOCHS if stop is not None else _MOST_EPOCHS // 4
        for epoch in range(n_epochs):
            net.train()
            order = shuffled(len(fit.value), Salt.GRU, seed, epoch)
            for at in np.array_split(order, max(1, len(order) // _BATCH)):
                optimizer.zero_grad()
                _loss(net, fit.rows(at), targets, at, answers).backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
            if stop is None:
                continue
            net.eval()
            with torch.no_grad():
                loss = float(_loss(net, stop[0], stop[1], np.arange(len(stop[0].value)), answers))
            waited += 1
            if loss < best_loss:
                best, best_loss, waited = {n: p.clone() for n, p in net.state_dict().items()}, loss, 0
            if waited >= _PATIENCE:
                break
        if stop is not None:
            net.load_state_dict(best)
        net.eval()
        with torch.no_grad():
            said = [net(*_tensors(part.rows(at))) for part in test for at in _parts(len(part.value))]
    return answers.predict(torch.cat(said)).double().numpy()


def _loss(net: DecayGru, series: Series, targets: Targets, at: NDArray[np.int64], answers: Kind) -> Tensor:
    truth, weight = torch.from_numpy(targets.truth[at]), torch.from_numpy(targets.weight[at])
    return answers.losses(net(*_tensors(series)), truth, weight).mean()


def _tensors(series: Series) -> list[Tensor]:
    return [torch.from_numpy(x) for x in (series.value, series.seen, series.since, series.static)]


def _parts(n: int) -> list[NDArray[np.int64]]:
    return [*np.array_split(np.arange(n), max(1, n // 512))]
