"""The project's own integer hash of a subject: equal in SQL and numpy, on every version and machine.

In SQL it is `sql/shared/macros/tawt_hash.sql`. Splits, shards and samples follow from it, so its values never change
(golden values in a test). It folds the 64-bit id to 32 bits, salts it, and mixes twice by shift and multiplication;
every product stays below 2^63.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MULTIPLIER = 0x45D9F3B
_MASK = 0xFFFFFFFF

SAMPLE_SALT = 1
SHARD_SALT = 2
SPLIT_SALT = 1000
"""`SPLIT_SALT + seed` salts the split."""


def subject_hash(subject_id: npt.NDArray[np.int64], salt: int) -> npt.NDArray[np.int64]:
    """Return the hash of each subject, 0 .. 2^32 - 1, as int64."""
    folded = (subject_id & _MASK) ^ _hash32((subject_id >> 32) & _MASK)
    return _hash32(folded ^ _hash32(np.asarray(salt, dtype=np.int64)))


def _mix(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return ((x >> 16 ^ x) * _MULTIPLIER) & _MASK


def _hash32(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    h = _mix(_mix(x))
    return (h >> 16 ^ h) & _MASK


def assign_splits(
    subject_id: npt.NDArray[np.int64], shares: tuple[float, float, float], seed: int
) -> npt.NDArray[np.int8]:
    """Return 0 (train), 1 (tuning) or 2 (held_out) for each subject, by its hash."""
    unit = subject_hash(subject_id, SPLIT_SALT + seed) / 2.0**32
    return np.searchsorted(np.cumsum(shares[:2]), unit, side="right").astype(np.int8)
