"""How far raters agree: Krippendorff's alpha of ratings on an ordered scale, some of them missing."""

from __future__ import annotations

import numpy as np

from tawt.arrays import Floats
from tawt.reviews.answers import MOST


def alpha(ratings: Floats, weights: Floats | None = None) -> Floats:
    """Return Krippendorff's alpha for ordinal ratings, of draws of records, `(k,)`; NaN where nothing could differ.

    1 is agreement, 0 what chance gives. A record that fewer than two rated says nothing.

    Args:
        ratings: `(r, n)`, 1 to `MOST`, NaN where there is none.
        weights: `(k, n)`, how often each record is in a draw; None = one draw, each once.
    """
    # source: Krippendorff 2011, Computing Krippendorff's alpha-reliability (reliability data with missing ratings)
    counts = (ratings[:, :, None] == np.arange(1, MOST + 1)).sum(0).astype(np.float64)
    n = counts.sum(1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(MOST)
    pairs = np.where(n[:, None, None] > 1, pairs / np.maximum(n - 1, 1)[:, None, None], 0)
    drawn = np.ones((1, len(n))) if weights is None else weights
    observed = np.einsum("kn,nab->kab", drawn, pairs)
    of = observed.sum(2)
    total = of.sum(1)
    between = np.cumsum(of, 1)[:, None, :] - np.cumsum(of, 1)[:, :, None] + of[:, :, None]  # from a to b, both included
    apart = np.maximum(between - (of[:, :, None] + of[:, None, :]) / 2, 0) ** 2
    apart = np.triu(np.ones((MOST, MOST)), 1) * apart
    expected = (of[:, :, None] * of[:, None, :] * apart).sum((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = 1 - (total - 1) * (observed * apart).sum((1, 2)) / expected
    return np.where(expected > 0, found, np.nan)
