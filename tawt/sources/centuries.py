"""Of which century births are whose year has two digits: nobody is born after the records end."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from datetime import date

from tawt.raw.cells import Cells
from tawt.sources.drafted import Drafted
from tawt.sources.names import BIRTH, DEATH, flat

_TO_COME = f"{BIRTH}|valid|due|expir|schedul|plan|book|termin|next|follow"
"""Times that say nothing of when the records end."""


def settle_births(drafted: Sequence[Drafted], cells: Cells) -> None:
    """Let births with a year of two digits lie in the hundred years up to the month in which the records end."""
    short = [
        (table, column) for table in drafted for column in table.guess.birth
        if table.has_events and any(form.year == "%y" for form in table.shapes[column].forms)
    ]  # fmt: skip
    last = (
        max((day for table in drafted if (day := _last_day(table, cells)) is not None), default=None) if short else None
    )
    for table, column in short:
        up_to = "this year, for no other time is read"
        if last is not None:
            table.latest[column] = last.replace(day=monthrange(last.year, last.month)[1])
            up_to = f"{table.latest[column]}, the end of the month in which the records end"
        table.guess.notes.append(
            f"the year in `{column}` has two digits: read as one of the hundred years up to {up_to}, so that somebody "
            "older counts as a newborn; see `high`"
        )


def _last_day(table: Drafted, cells: Cells) -> date | None:
    """Return the last day of a table's times, up to today where these were not moved."""
    if not table.has_events or table.guess.minutes is not None:
        return None
    times = {
        column: ([*dict.fromkeys(form.written(shape.reads_day_first) for form in shape.forms)])
        for column, shape in table.shapes.items()
        if shape.is_time and not re.search(f"{_TO_COME}|{DEATH}" if table.is_shifted else _TO_COME, flat(column))
    }
    return cells.last_day(table.name, times, None if table.is_shifted else date.today()) if times else None
