"""What a draft says to look at that is of no table alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tawt.sources.drafted import Drafted
from tawt.sources.names import CODES, NUMBERS, flat
from tawt.sources.subjects import names_whose
from tawt.sources.times import is_day

_OF_LISTS = r"valid|release|version|updat|created|modif"
"""Times that lists have, as those of codes."""


def said_of_all(drafted: Sequence[Drafted]) -> list[str]:
    """Return what to look at that is of no table alone."""
    said = []
    joined: dict[tuple[str, str | None, str | None], list[str]] = {}
    for table in drafted:
        if table.has_events and (home := table.owner) is not None:
            way = [home.name]
            while home.owner is not None:
                home = home.owner
                way.append(home.name)
            joined.setdefault((", and by it to ".join(way), home.guess.subject, table.guess.stay), []).append(
                table.name
            )
    for (ways, subject, stay), names in joined.items():
        said.append(
            f"the subject is `{subject}`; {', '.join(names)} name only `{stay}`, and their records are joined to "
            f"{ways}, which says whose they are"
        )
    if any(table.has_zone for table in drafted):
        days = {
            f"`{column}`"
            for table in drafted
            for column, type_ in table.types.items()
            if type_ == "timestamp" and column not in table.guess.birth and is_day(table.shapes, table.guess, column)
        }
        told = f"; until then days without one may end hours too early: {', '.join(sorted(days))}" if days else ""
        said.append(f"UNDECIDED: times have a zone; `zone` of the pipeline says UTC: write where the clock stood{told}")
    if any(table.is_shifted for table in drafted):
        said.append("days lie in the future, so the pipeline says that they were moved: `calendar: shifted`")
    events = [table for table in drafted if table.has_events]
    if not any(table.guess.birth or table.is_counted for table in events):
        said.append("no table tells births, so time counts from a subject's first event, not from birth")
    lost = [table for table in drafted if table.guess.kind == "other" and _holds_records(table)]
    if lost:
        n, more = sum(_n_records(table) for table in lost), " and more" * any(table.is_cut for table in lost)
        said.insert(
            0, f"LEFT OUT: {', '.join(table.name for table in lost)}, with {n:,} records{more}: no column is known to "
            "say whose they are; if one does, draft again with `--subject COLUMN`; else give them the subject's column"
        )  # fmt: skip
    return said


def _holds_records(table: Drafted) -> bool:
    """Whether a table that names nobody holds what happened to somebody: times, or codes with values."""
    if table.guess.subject is not None or table.owner is not None or names_whose(table.shapes):
        return False
    names = [flat(column) for column in table.shapes]
    has_time = any(shape.is_time and not re.search(_OF_LISTS, flat(c)) for c, shape in table.shapes.items())
    return has_time or (any(name in CODES for name in names) and any(name in NUMBERS for name in names))


def _n_records(table: Drafted) -> int:
    return max(shape.n for shape in table.shapes.values())
