"""A mixture of Gaussians, fitted by expectation and maximization: a density in closed form, conditions too."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from tawt.chance import draw, uniform
from tawt.contracts.cells import SMALL_CELL

MOST_PASSES = 100
"""Of expectation and maximization."""
ENOUGH = 1e-4
"""Gain of a pass, nats a row, below which it ends."""


@dataclass(frozen=True)
class Mixture:
    """`c` Gaussians over `d` columns, float64."""

    log_weight: Tensor
    """`(c,)`."""
    mean: Tensor
    """`(c, d)`."""
    covariance: Tensor
    """`(c, d, d)`."""

    def each(self, x: Tensor) -> Tensor:
        """Return the log density of each Gaussian with its weight, `(n, c)`, of rows `(n, d)`."""
        lower = torch.linalg.cholesky(self.covariance)
        apart = (x[None] - self.mean[:, None]).transpose(1, 2)
        squares = torch.linalg.solve_triangular(lower, apart, upper=False).square().sum(1)
        size = 2 * lower.diagonal(dim1=1, dim2=2).log().sum(1) + x.shape[1] * np.log(2 * np.pi)
        return (self.log_weight[:, None] - 0.5 * (squares + size[:, None])).T

    def log_density(self, x: Tensor) -> Tensor:
        """Return `(n,)` nats."""
        return torch.logsumexp(self.each(x), 1)

    def given(self, at: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Mixture]:
        """Return what the other columns are where some are known.

        Args:
            at: `(a,)`, the known columns.
            x: `(n, a)`, what they are.

        Returns:
            `(n, c)` log weights, `(n, c, b)` means, and a mixture of the other `b` columns whose covariances hold.
        """
        d = self.mean.shape[1]
        other = torch.tensor([i for i in range(d) if i not in set(at.tolist())], dtype=torch.int64)
        rows = self.covariance[:, at]
        known = Mixture(self.log_weight, self.mean[:, at], rows[:, :, at])
        slope = torch.linalg.solve(known.covariance, rows[:, :, other])
        left = self.covariance[:, other][:, :, other] - rows[:, :, other].transpose(1, 2) @ slope
        means = self.mean[None, :, other] + torch.einsum("nca,cab->ncb", x[:, None] - known.mean[None], slope)
        return known.each(x).log_softmax(1), means, Mixture(self.log_weight, self.mean[:, other], left)


def fit_mixture(x: Tensor, held: Tensor, seed: int, most: int = 64) -> Mixture:
    """Return a mixture of rows, of as many Gaussians as rows that were held out are likeliest under.

    Their number is doubled until that gains nothing more, or a Gaussian is of 10 people or fewer.

    Args:
        x: `(n, d)`, rows of one subject each.
        held: `(m, d)`, rows of others.
        seed: Of where the Gaussians begin.
        most: Gaussians.
    """
    best = _fitted(x.double(), 1, seed)
    numbers = takewhile(lambda c: c <= most and c * (SMALL_CELL + 1) <= len(x), (2**i for i in range(1, 64)))
    for c in numbers:
        found = _fitted(x.double(), c, seed)
        if found.log_weight.exp().min() * len(x) <= SMALL_CELL:
            break
        if found.log_density(held.double()).mean() <= best.log_density(held.double()).mean():
            break
        best = found
    return best


def _fitted(x: Tensor, c: int, seed: int) -> Mixture:
    share = torch.nn.functional.one_hot(torch.cdist(x, _beginnings(x, c, seed)).argmin(1), c).double()
    before = -torch.inf
    for _ in range(MOST_PASSES):
        found = _from_shares(x, share)
        each = found.each(x)
        now = float(torch.logsumexp(each, 1).mean())
        if now - before < ENOUGH:
            break
        before, share = now, each.softmax(1)
    return found


def _from_shares(x: Tensor, share: Tensor) -> Mixture:
    """Return the likeliest Gaussians of rows that belong to each by shares `(n, c)`.

    As if each had seen `d` rows more whose columns do not vary together: with few rows, a covariance of their own would
    say more than they know.

    Source: Fraley and Raftery, Bayesian regularization for normal mixture estimation, 2007.
    """
    n, d = x.shape
    total = share.sum(0).clamp_min(1e-9)
    mean = share.T @ x / total[:, None]
    apart = x[None] - mean[:, None]
    scatter = torch.einsum("nc,cni,cnj->cij", share, apart, apart)
    usual = torch.diag(x.var(0, correction=0).clamp_min(1e-6))
    within = usual * share.shape[1] ** (-2 / d)
    covariance = (scatter + d * within) / (total + d)[:, None, None]
    return Mixture((total / n).log(), mean, covariance)


def _beginnings(x: Tensor, c: int, seed: int) -> Tensor:
    """Choose rows that lie apart, `(c, d)`.

    Source: Arthur and Vassilvitskii, k-means++, 2007.
    """
    chance = torch.from_numpy(uniform(draw(np.arange(c), seed)))
    chosen = [x[int(chance[0] * len(x))]]
    for i in range(1, c):
        apart = torch.cdist(x, torch.stack(chosen)).amin(1).square().cumsum(0)
        chosen.append(x[int(torch.searchsorted(apart, chance[i] * apart[-1]).clamp_max(len(x) - 1))])
    return torch.stack(chosen)
