"""Hours since the previous event of a document, and since the previous one of the same data_type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

US_PER_HOUR = 3_600_000_000

Ints = NDArray[np.int64]


def event_gaps(us: Ints, start: Ints) -> NDArray[np.float32]:
    """Return gap_hours of `PackedBatch`, `(n,)`.

    Args:
        us: `(n,)`, time of each token.
        start: `(n,)`, see `HostBatch.start`.
    """
    gap = np.zeros(len(us), dtype=np.float32)
    gap[1:] = (us[1:] - us[:-1]) / US_PER_HOUR
    gap[np.arange(len(us)) <= start] = 0
    return gap


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
    here = at[1:]
    ordered = us[at]
    since = ((ordered[1:] - ordered[:-1]) / US_PER_HOUR).astype(np.float32)
    since[(key[1:] != key[:-1]) | (at[:-1] < start[here])] = -1  # another data_type, document, or a static
    type_gap = np.full(n, -1, dtype=np.float32)
    type_gap[here] = since
    return type_gap
