"""Hours since the previous event of a document, and since the previous one of the same data_type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

US_PER_HOUR = 3_600_000_000


def gaps(
    us: NDArray[np.float64],
    data_type: NDArray[np.int64],
    first_timed: NDArray[np.int64],
    bounds: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Return is_static, gap_hours and type_gap_hours of `PackedBatch`, each `(n,)`; there are `d` documents.

    Args:
        us: `(n,)`, whole microseconds since the origin; exact in float64 up to 285 years, as are differences.
        data_type: `(n,)`.
        first_timed: `(d,)`, position of each document's first timed token.
        bounds: `(d + 1,)`, where each document starts, and n.
    """
    n = len(us)
    start = np.repeat(first_timed, np.diff(bounds))  # of each token's document, its first timed position
    position = np.arange(n)
    is_static = position < start

    gap = np.zeros(n, dtype=np.float32)
    gap[1:] = (us[1:] - us[:-1]) / US_PER_HOUR
    gap[position <= start] = 0

    # Sorting (data_type, position) as one unique integer puts each token after the previous one of its type.
    # That sorts values, which numpy does with vector instructions; a stable argsort costs 15 times as much.
    shift = max(1, (n - 1).bit_length())
    fits = (int(data_type.max(initial=0)) + 1) << shift <= 1 << 32
    word: Any = np.uint32 if fits else np.uint64
    key = data_type.astype(word)
    key <<= word(shift)
    key |= position.astype(word)
    key.sort()
    at = (key & word((1 << shift) - 1)).astype(np.int64)
    key >>= word(shift)
    here = at[1:]
    ordered = us[at]
    since = ((ordered[1:] - ordered[:-1]) / US_PER_HOUR).astype(np.float32)
    since[(key[1:] != key[:-1]) | (at[:-1] < start[here])] = -1
    type_gap = np.full(n, -1, dtype=np.float32)
    type_gap[here] = since
    return is_static, gap, type_gap
