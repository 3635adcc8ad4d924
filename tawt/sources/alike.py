"""What records of a table tell when held to one another: which time is later, and what tells two of them apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tawt.sources.names import COUNTERS, IDS, flat
from tawt.sources.roles import Shapes
from tawt.sources.time_forms import moment_of

_LOOKED = 2_000
"""Records whose times are compared."""
_SELDOM, _OFTEN = 0.01, 0.05
"""Share of the records in which a time that is later than another may be before it, and must be after it."""


def note_later(cells: Mapping[str, Sequence[str | None]], shapes: Shapes) -> None:
    """Note of each time of a table which of the others it is later than."""
    moments = {
        column: [moment_of(cell or "", shape.reads_day_first) for cell in cells[column][:_LOOKED]]
        for column, shape in shapes.items()
        if shape.is_time
    }
    for column, own in moments.items():
        shapes[column].later_than = frozenset(o for o in moments if o != column and _is_later(own, moments[o]))


def _is_later(own: Sequence[tuple[int, int] | None], others: Sequence[tuple[int, int] | None]) -> bool:
    # where one of two is a day without a time, the days alone are compared
    pairs = [
        (a, b) if a[1] and b[1] else (a[:1], b[:1])
        for a, b in zip(own, others, strict=True)
        if a is not None and b is not None
    ]
    n_before, n_after = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    return len(pairs) >= 5 and n_before <= _SELDOM * len(pairs) and n_after >= _OFTEN * len(pairs)


def what_tells_apart(shapes: Shapes, known: Iterable[str]) -> tuple[str, ...]:
    """Return columns that tell records apart which are alike in others: the id of a record, or few that do what all do.

    What counts the records in their order is none of them.

    Args:
        shapes: Of the columns of the table.
        known: The columns in which they are alike.
    """
    known = [column for column in known if column in shapes]
    others = {
        c: s.records for c, s in shapes.items()
        if c not in known and s.n_filled and not s.is_prose and not re.search(COUNTERS, flat(c))
    }  # fmt: skip
    if not known:
        return ()
    alike = _grouped([shapes[column].records for column in known])
    most = int(_grouped([alike, *others.values()]).max(initial=-1))
    ids = [column for column in others if shapes[column].is_unique and re.search(IDS, flat(column))]
    if ids and int(alike.max(initial=-1)) < most:
        return (ids[0],)
    found: list[str] = []
    while others and int(alike.max(initial=-1)) < most and len(found) < 4:
        finer = {column: _grouped([alike, cells]) for column, cells in others.items()}
        best = max(finer, key=lambda column: int(finer[column].max()))
        found.append(best)
        alike = finer[best]
        del others[best]
    return tuple(found)


def _grouped(columns: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return a number for each record, the same for those that are alike in all columns."""
    groups = np.zeros(len(columns[0]) if columns else 0, np.int64)
    for cells in columns:
        numbers = np.unique(cells, return_inverse=True)[1].astype(np.int64)
        groups = np.unique(groups * (len(cells) + 1) + numbers, return_inverse=True)[1].astype(np.int64)
    return groups
