"""Which triplets of a record a document holds: its statics, then one contiguous run of timed triplets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from tawt.arrays import Ints
from tawt.chance import Salt, draw

WindowKind = Literal["last", "random", "sliding"]


@dataclass(frozen=True, eq=False)
class Documents:
    """`d` documents of a split."""

    subjects: Ints
    """`(d,)`, number of the subject in the split."""
    lengths: Ints
    """`(d,)`, tokens."""
    number: Ints | None
    """`(d,)`, which of the subject's sliding windows; None = the only one."""


@dataclass(frozen=True, eq=False)
class Windows:
    """`d` documents, in rows counted from their subject's first."""

    n_static: Ints
    """`(d,)`, statics kept: rows `0 .. n_static`."""
    start: Ints
    """`(d,)`, first timed row kept."""
    n_timed: Ints
    """`(d,)`, timed rows kept, from `start` on."""
    n_cut: Ints
    """`(d,)`, rows of the subject that no document has; of `sliding` windows the last one counts them."""

    @property
    def lengths(self) -> Ints:
        """`(d,)`, rows kept."""
        return self.n_static + self.n_timed

    def of(self, chosen: Ints) -> Windows:
        """Return those of some documents, `(k,)`."""
        return Windows(self.n_static[chosen], self.start[chosen], self.n_timed[chosen], self.n_cut[chosen])

    def but(self, chosen: Ints, others: Windows) -> Windows:
        """Return the windows with others for some documents, `(k,)`."""
        columns = []
        for field in fields(self):
            columns.append(getattr(self, field.name).copy())
            columns[-1][chosen] = getattr(others, field.name)
        return Windows(*columns)


def document_lengths(lengths: Ints, max_length: int) -> Ints:
    """Return the tokens of each document, `(d,)`: a window never takes less than fits, wherever it lies."""
    return np.minimum(lengths, max_length)


def sliding_windows(lengths: Ints, n_static: Ints, max_length: int) -> tuple[Ints, Ints, Ints]:
    """Tile each record with windows side by side, counted from its end: number 0 is the window `last`.

    Every window has the statics and as many timed rows as then fit; the one at the record's start has what is left.

    Args:
        lengths: `(s,)`, triplets of each subject, statics included.
        n_static: `(s,)`, static ones among them.
        max_length: Most triplets of a document.

    Returns:
        For each of `d` documents its subject, counted from 0, its number within the subject (descending, so that a
        subject's documents are in order of time), and its tokens.
    """
    stride = np.maximum(max_length - n_static, 1)
    n_timed = np.where(n_static < max_length, lengths - n_static, 0)
    n_windows = np.maximum(1, -(-n_timed // stride))
    subject = np.repeat(np.arange(len(lengths)), n_windows)
    number = np.repeat(np.cumsum(n_windows), n_windows) - 1 - np.arange(len(subject))
    n_kept = np.minimum(n_timed[subject] - number * stride[subject], stride[subject])
    return subject, number, np.minimum(n_static, max_length)[subject] + n_kept


def cut_windows(
    lengths: Ints,
    n_static: Ints,
    max_length: int,
    window: WindowKind,
    subject_ids: Ints,
    seed: int = 0,
    epoch: int = 0,
    number: Ints | None = None,
) -> Windows:
    """Choose the rows of each document.

    Statics come first and are kept before anything else; `last` ends at the last row, `random` ends where
    `(seed, epoch, subject_id)` says, every position as likely as another; `sliding` is number `number` from the end.

    Args:
        lengths: `(d,)`, triplets of each subject, statics included.
        n_static: `(d,)`, static ones among them.
        max_length: Most triplets of a document.
        window: Where the run of timed triplets lies.
        subject_ids: `(d,)`.
        seed: Of the run.
        epoch: Passes over the subjects before this one.
        number: `(d,)`, of `sliding` windows, see `sliding_windows`.
    """
    kept_static = np.minimum(n_static, max_length)
    n_timed = np.minimum(lengths - n_static, max_length - kept_static)
    room = lengths - n_static - n_timed
    if window == "sliding":
        assert number is not None, "a sliding window has a number"
        stop = room + n_timed - number * n_timed  # the windows behind it are full: each as long as this one could be
        n_cut = np.where((number == 0) & (n_timed == 0), room, 0) + (number == 0) * (n_static - kept_static)
        start = np.maximum(stop - n_timed, 0)
        return Windows(kept_static, n_static + start, stop - start, n_cut)
    if window == "last":
        offset = room
    else:
        offset = (draw(subject_ids, Salt.WINDOWS, seed, epoch) % (room + 1).astype(np.uint64)).astype(np.int64)
    return Windows(kept_static, n_static + offset, n_timed, lengths - kept_static - n_timed)
