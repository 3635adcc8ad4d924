"""Which triplets of a record a document holds: its statics, then one contiguous run of timed triplets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tawt.batching.chance import draw

_WINDOW = 1
IntArray = NDArray[np.int64]
WindowKind = Literal["last", "random"]


@dataclass(frozen=True, eq=False)
class Windows:
    """The documents of `d` subjects, in rows counted from each subject's first."""

    n_static: IntArray
    """`(d,)`, statics kept: rows `0 .. n_static`."""
    start: IntArray
    """`(d,)`, first timed row kept."""
    n_timed: IntArray
    """`(d,)`, timed rows kept, from `start` on."""
    n_cut: IntArray
    """`(d,)`, rows left out."""


def document_lengths(lengths: IntArray, max_length: int) -> IntArray:
    """Return the tokens of each document, `(d,)`: a window never takes less than fits, wherever it lies."""
    return np.minimum(lengths, max_length)


def cut_windows(
    lengths: IntArray,
    n_static: IntArray,
    max_length: int,
    window: WindowKind,
    subject_ids: IntArray,
    seed: int = 0,
    epoch: int = 0,
) -> Windows:
    """Choose the rows of each subject's document.

    Statics come first and are kept before anything else; `last` ends at the last row, `random` ends where
    `(seed, epoch, subject_id)` says, every position as likely as another.

    Args:
        lengths: `(d,)`, triplets of each subject, statics included.
        n_static: `(d,)`, static ones among them.
        max_length: Most triplets of a document.
        window: Where the run of timed triplets lies.
        subject_ids: `(d,)`.
        seed: Of the run.
        epoch: Passes over the subjects before this one.
    """
    kept_static = np.minimum(n_static, max_length)
    n_timed = np.minimum(lengths - n_static, max_length - kept_static)
    room = lengths - n_static - n_timed
    if window == "last":
        offset = room
    else:
        offset = (draw(subject_ids, _WINDOW, seed, epoch) % (room + 1).astype(np.uint64)).astype(np.int64)
    return Windows(kept_static, n_static + offset, n_timed, lengths - kept_static - n_timed)
