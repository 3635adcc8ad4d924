"""Documents that end at given prediction times: what was known of a subject by then, and nothing else.

A row is known if it happened, and could be read, up to and including the prediction time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tawt.arrays import Ints
from tawt.batching.cut import known
from tawt.batching.host import HostBatch
from tawt.batching.rows import Rows
from tawt.batching.windows import Documents, Windows
from tawt.dataset.reader import Split


@dataclass(frozen=True, eq=False)
class Asked:
    """Whom is asked about, and when."""

    subject_id: Ints
    """`(r,)`; those of other splits are passed over."""
    time: Ints
    """`(r,)`, prediction times, us since 1970-01-01."""


@dataclass(frozen=True, eq=False)
class AtTimes:
    """`d` documents of a split."""

    documents: Documents
    """Whose they are, and how many tokens of each were known."""
    windows: Windows
    """The last rows that were known by each prediction time; between them may lie some that could not be read yet."""
    end: Ints
    """`(d,)`, the prediction times, us since the subject's origin."""
    began: Ints
    """`(d,)`, us since the origin of the first row that was known, where the row of the origin was not; else 0."""
    row: Ints
    """`(d,)`, which of what was asked for each is; -1 = nothing: a window as it is."""
    unseen: Ints
    """`(u,)`, those of whom nothing was known by then."""
    asks: Literal["asked", "pair"] = "asked"
    """What `row` is to a batch."""


def every_moment(split: Split) -> Asked:
    """Return each moment of each record of a split, as a prediction time."""
    shards, none = [columns.timestamp for columns in split.shards], np.empty(0, dtype=np.int64)
    first, last = split.starts + split.n_static, split.starts + split.lengths
    places = zip(split.shard.tolist(), first.tolist(), last.tolist(), split.origins.tolist(), strict=True)
    moments = [np.unique(shards[shard][a:b]) + origin for shard, a, b, origin in places]
    subject = np.repeat(split.subject_ids, [len(times) for times in moments])
    return Asked(subject, np.concatenate([none, *moments]))


def documents_at(split: Split, asked: Asked, max_length: int) -> AtTimes:
    """Return what was known of subjects at prediction times: their statics, and the last of what had happened.

    Args:
        split: The mapped subjects.
        asked: Subjects and times.
        max_length: Most triplets of a document.
    """
    order = np.argsort(split.subject_ids, kind="stable")
    at = np.searchsorted(split.subject_ids, asked.subject_id, sorter=order)
    subjects = order[np.minimum(at, len(order) - 1)]
    own = np.flatnonzero(split.subject_ids[subjects] == asked.subject_id)
    subjects = subjects[own]
    end = asked.time[own] - split.origins[subjects]
    windows, began, lengths = _windows_until(split, subjects, end, max_length)
    seen = np.flatnonzero(lengths)
    return AtTimes(
        Documents(subjects[seen], lengths[seen], None),
        windows.of(seen),
        end[seen],
        began[seen],
        own[seen],
        own[lengths == 0],
    )


def documents_before(
    split: Split, documents: Documents, windows: Windows, end: Ints, row: Ints, max_length: int
) -> AtTimes:
    """Return documents of which some end at a prediction time, each with the last of what was known by then.

    How much came behind it, and so where the window of the whole record lies, leaves no trace.

    Args:
        split: Whose documents they are.
        documents: Of whole windows.
        windows: Of each.
        end: `(d,)`, prediction times, us since the subject's origin, by which something was known.
        row: `(d,)`, which content each is before; -1 = none: it stays as it is.
        max_length: Most triplets of a document.
    """
    some, none = np.flatnonzero(row >= 0), np.zeros(len(row), dtype=np.int64)
    until, began, left = _windows_until(split, documents.subjects[some], end[some], max_length)
    lengths, starts = windows.lengths, none.copy()
    lengths[some], starts[some] = left, began
    return AtTimes(
        Documents(documents.subjects, lengths, None), windows.but(some, until), end, starts, row, none[:0], "pair"
    )


def ended(rows: Rows, at: AtTimes, chosen: Ints, names: tuple[str, ...] = ()) -> HostBatch:
    """Return a batch of some of the documents, of which nothing is left but what was known.

    Args:
        rows: Of the split, with `available`.
        at: The documents.
        chosen: `(c,)`, their numbers.
        names: Columns; see `Rows.batch`.
    """
    wanted = (*names, "available_time") if names else ()
    row, end = at.row[chosen], at.end[chosen]
    batch = rows.batch(at.documents.subjects[chosen], at.windows.of(chosen), wanted, **{at.asks: row})
    cut = row >= 0
    batch = replace(batch, end=np.where(cut, end, batch.end), is_cut=cut)
    return replace(batch.select(known(batch)).counted_from(at.began[chosen]), is_cut=None)


def _windows_until(split: Split, subjects: Ints, end: Ints, max_length: int) -> tuple[Windows, Ints, Ints]:
    """Return the last window of each record as it was known by its prediction time, `began` of `AtTimes`, and how many
    of its rows were known.

    Rows that could not be read yet may lie within it, and take nobody's place: how many they are tells of later. So
    would times that count from one of them.
    """
    shards = [(columns.timestamp, columns.available_time) for columns in split.shards]
    begin = split.starts[subjects]
    first, last = begin + split.n_static[subjects], begin + split.lengths[subjects]
    columns = (split.shard[subjects], begin, first, last, end)
    found, (began, lengths) = np.empty((4, len(subjects)), np.int64), np.zeros((2, len(subjects)), np.int64)
    for d, (shard, a, b, c, until) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        time, available = shards[shard]
        static = np.flatnonzero(available[a:b] <= until)
        n_timed = int(np.searchsorted(time[b:c], until, side="right"))
        timed = np.flatnonzero(available[b : b + n_timed] <= until)
        kept = min(len(static), max_length)
        room = min(len(timed), max_length - kept)
        if split.time_origin != "anchor" and len(timed) and timed[0] and time[b] == 0:
            began[d] = time[b + timed[0]]
        start = int(timed[len(timed) - room]) if room else n_timed
        n_static = int(static[kept - 1]) + 1 if kept else 0
        found[:, d] = n_static, b - a + start, n_timed - start, len(static) + len(timed) - kept - room
        lengths[d] = kept + room
    return Windows(*found), began, lengths
