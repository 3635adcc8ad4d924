"""Columns as numbers: what is out of order is counted row by row."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.transforms.columns import NO_TIME, out_of_order


@pytest.mark.parametrize("ascending", [True, False])
def test_rows_out_of_order_are_counted_one_by_one(ascending: bool) -> None:
    """As a walk over the pairs of neighbours counts them; a static fact, which has no time, belongs before all others."""
    rng = np.random.default_rng(3)
    seen = set()
    for n in (0, 1, 2, 400):
        subject, time = rng.integers(0, 5, n), rng.integers(0, 9, n)
        time[rng.random(n) < 0.2] = NO_TIME
        wrong = sum(
            b < a if a != b else t < s
            for a, b, s, t in zip(subject, subject[1:], time, time[1:], strict=False)
            if ascending or a == b
        )
        assert out_of_order(subject, time, ascending) == wrong
        order = np.lexsort((time, subject))
        assert out_of_order(subject[order], time[order], ascending) == 0
        seen.add(wrong)
    assert len(seen) > 1
