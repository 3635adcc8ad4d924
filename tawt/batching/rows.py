"""Which rows of a shard a document holds: of a moment that its window cuts, those that a draw over the rows picks.

Where a window cuts is counted in rows, and simultaneous rows have no order. So those of a cut moment are put into one
that hangs on what they are alone; windows side by side share them out among themselves.
"""

from __future__ import annotations

from tawt.arrays import Ints
from tawt.batching.chance import draw, mixed
from tawt.dataset.shard import Columns

Rows = slice | Ints
"""Rows of a shard, ascending."""
_CUT = 9


def document_rows(
    columns: Columns, subject_id: int, bounds: tuple[int, int, int], n_static: int, start: int, n_timed: int
) -> list[Rows]:
    """Return the rows of a document that its window cuts, in pieces laid end to end.

    Args:
        columns: The shard.
        subject_id: Whose document it is.
        bounds: Of the subject the first row, the first timed row, and one past the last.
        n_static: Statics kept.
        start: First timed row kept, were simultaneous rows in the order of the file.
        n_timed: Timed rows kept.
    """
    first, timed, stop = bounds
    statics: Rows = slice(first, timed)
    if n_static < timed - first:
        statics = _drawn(columns, subject_id, (first, timed), 0, n_static)
    a, b = start, start + n_timed
    if a == b:
        return [statics]
    time = columns.timestamp
    pieces: list[Rows] = [statics]
    for edge, cut in ((a, a > timed and time[a - 1] == time[a]), (b, b < stop and time[b - 1] == time[b])):
        if not cut or a == b:
            continue
        low, high = (timed + int(time[timed:stop].searchsorted(time[edge], side)) for side in ("left", "right"))
        if low > a:
            pieces.append(slice(a, low))
        pieces.append(_drawn(columns, subject_id, (low, high), max(a - low, 0), b - low))
        a = min(high, b)
    return [*pieces, slice(a, b)] if a < b else pieces


def _drawn(columns: Columns, subject_id: int, moment: tuple[int, int], skip: int, stop: int) -> Ints:
    """Return rows number `skip` to `stop` of a moment, in an order drawn by what the rows are."""
    low, high = moment
    at, c = slice(low, high), columns
    words = mixed(c.data_type[at], c.value_token[at], c.value[at], c.available_time[at], c.value_status[at])
    rows: Ints = low + draw(words, _CUT, subject_id).argsort(kind="stable")[skip:stop]
    rows.sort()
    return rows
