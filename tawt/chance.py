"""Random numbers without a state: each is a function of what it is for, so order cannot matter."""

from __future__ import annotations

from enum import IntEnum, unique
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Floats, HalfWords, Ints, Words

_WORD = (1 << 64) - 1
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
# made once: a small array is worked on in less time than it takes to make its constants
_MULTIPLY = np.uint64(_FIRST), np.uint64(_SECOND)
_30, _27, _31, _11 = (np.uint64(n) for n in (30, 27, 31, 11))
_STIR = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
_HALF_15, _HALF_16 = np.uint32(15), np.uint32(16)


@unique
class Salt(IntEnum):
    """First salts: what is drawn. A number is taken once, so that no two draws are one.

    A number stays, for with another one the same seed trains and invents something else. So four are of two draws each,
    as they came to be; how many salts follow tells these apart, and the second stands beside the first.
    """

    WINDOWS = 1
    DOCUMENTS = 2
    BINS = 3
    TRAINING = 4
    VALIDATION = 5
    AUGMENT = 6  # dropout of a step
    VIEWS = 7
    CUT = 8
    FOLDS = 11
    PROBE = 12  # latents of training
    CONTENTS = 13
    PAIRS = 14
    RESAMPLED = 31
    MIXED_ANSWERS = 32
    THINNED = 33
    TABULAR = 34
    GRU = 41
    MIXED_LABELS = 51
    FREE = 61
    BOUND = 62
    RECORDS = 63
    ORIGIN = 64  # latents of real records
    PRIOR = 65
    WHICH = 66
    COPIES = 70
    QUARTERS = 71
    PORTRAIT = 72
    HALVES = 73
    CANARIES = 74
    TRANSFORMER = 75
    ROWS = 76  # rows of real records
    CHOSEN = 77
    ANEW = 90
    WAITS = 91
    COIN = 92
    REAL = 93
    INVENTED = 94
    ATTRIBUTES = 95
    POINTS = 96
    VALUES = 97
    IDENTITY = 98
    PREFIX = 99
    SHORTCUTS = 100


def draw(keys: ArrayLike, *salts: int) -> Words:
    """Return one uniform 64-bit number for each integer key, independent between different `salts`.

    Source: Steele, Lea and Flood 2014, SplitMix64 (its finalizer, applied once per salt and once to the key).
    """
    word: Words = np.asarray(keys).astype(np.uint64)
    word += np.uint64((_stream(salts) + _GOLDEN) & _WORD)
    word ^= word >> _30
    word *= _MULTIPLY[0]
    word ^= word >> _27
    word *= _MULTIPLY[1]
    word ^= word >> _31
    return word


def uniform(words: Words | HalfWords) -> Floats:
    """Return numbers in `[0, 1)` from random words, of 53 bits each or of 32."""
    return words * np.float64(2.0**-32) if words.itemsize == 4 else (words >> _11) * np.float64(2.0**-53)


def stir(words: HalfWords) -> HalfWords:
    """Return one uniform 32-bit number for each word; words that differ, however little, give others.

    Source: Wellons 2018, Prospecting for hash functions (`lowbias32`).
    """
    stirred = words ^ (words >> _HALF_16)
    stirred *= _STIR[0]
    stirred ^= stirred >> _HALF_15
    stirred *= _STIR[1]
    stirred ^= stirred >> _HALF_16
    return stirred


def shuffled(n: int, *salts: int) -> Ints:
    """Return 0..n-1 in a random order that only `n` and `salts` decide."""
    return np.argsort(draw(np.arange(n), *salts), kind="stable")


@lru_cache(maxsize=64)
def _stream(salts: tuple[int, ...]) -> int:
    state = 0
    for salt in salts:
        state = (state + salt + _GOLDEN) & _WORD
        state = ((state ^ (state >> 30)) * _FIRST) & _WORD
        state = ((state ^ (state >> 27)) * _SECOND) & _WORD
        state ^= state >> 31
    return state
