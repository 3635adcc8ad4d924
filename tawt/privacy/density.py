"""Densities of synthetic and of other real records where a person lies, after a few principal components."""

from __future__ import annotations

import numpy as np

from tawt.arrays import Floats
from tawt.distances import squares
from tawt.privacy.nearest import Matrix

N_COMPONENTS = 8
_AT_ONCE = 1 << 22


def density_ratio(people: Matrix, synthetic: Matrix, reference: Matrix, components: int = N_COMPONENTS) -> Floats:
    """Return `(n,)`, log of the density of synthetic records less that of reference ones: larger = likelier a member.

    Args:
        people: `(n, d)`, whose membership is asked.
        synthetic: `(s, d)`.
        reference: `(r, d)`, real ones that were never trained on.
        components: Principal components of synthetic and reference together, each of variance 1.

    Source: van Breugel et al. 2023 (DOMIAS).
    """
    both = np.concatenate([synthetic, reference]).astype(np.float64)
    mean = both.mean(0)
    size, axes = np.linalg.eigh(np.cov(both - mean, rowvar=False).reshape(len(mean), -1))
    kept = np.argsort(-size)[:components]
    kept = kept[size[kept] > 1e-9 * max(size.max(), 1e-300)]
    project = axes[:, kept] / np.sqrt(size[kept])
    at, *of = ((matrix - mean) @ project for matrix in (people, synthetic, reference))
    return log_density(at, of[0]) - log_density(at, of[1])


def log_density(at: Floats, points: Floats) -> Floats:
    """Return `(n,)`, log of the kernel density of points: a normal kernel of Scott's width, with their covariance.

    Args:
        at: `(n, d)`.
        points: `(m, d)`.

    Source: Scott 1992, Multivariate density estimation.
    """
    m, d = points.shape
    if not d:
        return np.zeros(len(at))
    covariance = np.cov(points, rowvar=False).reshape(d, d) * m ** (-2 / (d + 4))
    root = np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) / d * np.eye(d))
    a, b = (np.linalg.solve(root, matrix.T).T for matrix in (at, points))
    norm = np.log(m) + 0.5 * d * np.log(2 * np.pi) + np.log(np.diag(root)).sum()
    found, step = np.empty(len(a)), max(1, _AT_ONCE // max(1, m))
    for rows, square in squares(a, b, step):
        power = -0.5 * square
        most = power.max(1)
        found[rows] = most + np.log(np.exp(power - most[:, None]).sum(1)) - norm
    return found
