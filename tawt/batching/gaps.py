"""Hours since the previous moment of a document, and since the previous one in which the same data_type came.

Simultaneous triplets have no order: each has the gaps of its moment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

US_PER_HOUR = 3_600_000_000
PERIODS = {"day": 24 * US_PER_HOUR, "week": 168 * US_PER_HOUR, "year": 31_556_952_000_000}
"""Microseconds after which the calendar comes round; a year is the Gregorian calendar's mean, 365.2425 days."""

Ints = NDArray[np.int64]


def event_gaps(us: Ints, start: Ints, moments: Ints) -> NDArray[np.float32]:
    """Return gap_hours of `PackedBatch`, `(n,)`.

    Args:
        us: `(n,)`, time of each token.
        start: `(n,)`, see `HostBatch.start`.
        moments: `(m + 1,)`, see `HostBatch.moments`.
    """
    first = moments[:-1]
    at = us[first]
    gap = (np.diff(at, prepend=at[:1]) / US_PER_HOUR).astype(np.float32)
    gap[first <= start[first]] = 0
    return np.repeat(gap, np.diff(moments))


def type_gaps(us: Ints, data_type: Ints, start: Ints) -> NDArray[np.float32]:
    """Return type_gap_hours of `PackedBatch`, `(n,)`.

    Sorting (data_type, position) as one unique integer puts each token after the previous one of its type.
    It sorts values, for which numpy has vector instructions: 17 us for 8192 tokens, a stable argsort 270.

    Args:
        us: `(n,)`, time of each token.
        data_type: `(n,)`.
        start: `(n,)`, see `HostBatch.start`.
    """
    n = len(us)
    shift = max(1, (n - 1).bit_length())
    fits = (int(data_type.max(initial=0)) + 1) << shift <= 1 << 32
    word: Any = np.uint32 if fits else np.uint64
    key = data_type.astype(word)
    key <<= word(shift)
    key |= np.arange(n, dtype=word)
    key.sort()
    at = (key & word((1 << shift) - 1)).astype(np.int64)
    key >>= word(shift)
    here, ordered = at[1:], us[at]
    gap = ordered[1:] - ordered[:-1]
    other = (key[1:] != key[:-1]) | (at[:-1] < start[here])  # another data_type, document, or a static
    since = np.empty(n, dtype=np.float32)
    since[:1] = -1
    since[1:] = gap / US_PER_HOUR
    since[1:][other] = -1
    again = 1 + np.flatnonzero((gap == 0) & ~other)
    if len(again):  # of one moment: as the first of them, one before the run that it stands in
        first = again.copy()
        first[1:][again[1:] == again[:-1] + 1] = 0
        since[again] = since[np.maximum.accumulate(first) - 1]
    type_gap = np.empty(n, dtype=np.float32)
    type_gap[at] = since
    return type_gap
