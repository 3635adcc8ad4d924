"""The order of subjects and moments, held to a sort of whole rows."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from tawt.transforms.columns import NO_TIME
from tawt.transforms.order import _by_moment, _numbered

DAY = 86_400_000_000
FAR = 250_000 * 365 * DAY


@pytest.mark.parametrize("step", [DAY, 60_000_000, 1])
@pytest.mark.parametrize("most", [0, 3 * DAY, FAR])
def test_moments_come_in_order_whatever_their_resolution(step: int, most: int) -> None:
    """Days, minutes and microseconds, over no time at all, three days and 500,000 years, with facts that have no time:
    also what fits into no 64 bits is sorted by subject and time, and rows of a moment stay as they came.
    """
    rng = random.Random(most)
    subjects = [rng.choice([-(1 << 62), -3, 7, 10_000_032, 1 << 62]) for _ in range(400)]
    times = [
        rng.choice([NO_TIME, *(rng.randrange(-most, most + 1) // step * step for _ in range(5))]) for _ in range(400)
    ]
    order = _by_moment(_numbered(pa.chunked_array([subjects[:100], subjects[100:]], pa.int64())), np.array(times))
    assert order.tolist() == sorted(range(400), key=lambda i: (subjects[i], times[i], i))


def test_one_row_and_rows_without_a_time_are_in_order() -> None:
    """A shard of one fact, and one of nothing but facts."""
    for n in (1, 5):
        assert _by_moment(np.zeros(n, np.uint64), np.full(n, NO_TIME)).tolist() == [*range(n)]
