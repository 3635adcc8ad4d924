"""Numbers for subjects whose ids are text: a keyed hash of the id, so that they tell nothing without the key.

A number hangs on the id and the key alone: a subject that comes later changes none, and their order is not that of the
ids. All are from 1 to 2^53 - 1, which a float holds too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tawt.arrays import Ints

_BITS = 53
_TURNS = 4
"""More turns than any map has needed, or will."""


def numbers_of(key: bytes, ids: Sequence[str], turn: int = 0) -> Ints:
    """Return the number of each id; `turn` gives others, for ids whose numbers are taken."""
    salt = turn.to_bytes(16, "little")
    hashed = (hashlib.blake2b(one.encode(), digest_size=8, key=key, salt=salt).digest() for one in ids)
    numbers = (int.from_bytes(one, "big") >> (64 - _BITS) for one in hashed)
    return np.maximum(np.fromiter(numbers, np.int64, len(ids)), 1)


def numbered(key: bytes, ids: Sequence[str], known: npt.ArrayLike) -> Ints:
    """Return a number for each id, no two the same.

    Args:
        key: Up to 64 bytes that nobody has who shall not find the way back.
        ids: No two the same, in an order that is always the same.
        known: The number that an id has already; 0 = none. Those stay.
    """
    given = np.asarray(known, dtype=np.int64)
    numbers = np.where(given > 0, given, numbers_of(key, ids))
    turn = 0
    while len(clashing := _later(numbers, given)):  # of a million subjects once in 20 thousand maps
        turn += 1
        numbers[clashing] = numbers_of(key, [ids[i] for i in clashing.tolist()], turn)
    return numbers


def could_be_of(key: bytes, ids: Sequence[str], numbers: Ints) -> bool:
    """Return whether every number is one that `numbered` gives its id, in the first turn or a later one."""
    left = np.arange(len(ids))
    for turn in range(_TURNS):
        left = left[numbers[left] != numbers_of(key, [ids[i] for i in left.tolist()], turn)]
    return not len(left)


def _later(numbers: Ints, given: Ints) -> Ints:
    """Return the places of numbers that another has who had it before, or comes before."""
    order = np.lexsort((np.arange(len(numbers)), given == 0, numbers))
    same = numbers[order][1:] == numbers[order][:-1]
    return order[1:][same]
