"""How alike two sets of embeddings of the same subjects are, whatever their widths and axes."""

from __future__ import annotations

import numpy as np

from tawt.arrays import Floats


def linear_cka(one: Floats, other: Floats) -> float:
    """Return the centred kernel alignment of two linear kernels: 1 where they tell the same but for rotation and scale.

    Args:
        one: `(n, d)`, a row per subject.
        other: `(n, e)`, the same subjects in the same order.

    Source: Kornblith et al., Similarity of Neural Network Representations Revisited, 2019.
    """
    x, y = (matrix - matrix.mean(0) for matrix in (one.astype(np.float64), other.astype(np.float64)))
    between, of_one, of_other = (float(np.sum((a.T @ b) ** 2)) for a, b in ((x, y), (x, x), (y, y)))
    return between / np.sqrt(of_one * of_other) if of_one and of_other else 0.0
