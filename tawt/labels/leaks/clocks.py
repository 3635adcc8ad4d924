"""Leaks that the records behind events show: they have more clocks than an event, and an event may forget one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb

from tawt.labels.leaks.verdict import Verdict, clean, named, unverified

STORED = re.compile(r"stor|result|report|verif|valid|sign|enter|record|avail|post|complet|final", re.IGNORECASE)
"""What times are called from which on a record could be read."""
ENDS = re.compile(r"(^|_)(end|stop|out|finish|disch)|(end|stop|out|disch)_?(time|date|dt)", re.IGNORECASE)
"""What times are called at which that which a record is about was over."""
_RATE = "(/|per ?)(h|hr|hour|min|minute|s|sec|d|day)$"
"""Units of what holds at each moment, whenever it ends."""
_FEWEST, _GOES_WITH = 10, 0.4
"""Numbers, and the correlation of their ranks with the length of what they are about, from which they hang on it."""


@dataclass(frozen=True)
class Behind:
    """An event part, and the staging table that its records come from."""

    part: str
    """`event_parts.NAME`, as events name it."""
    table: str
    """`staging.NAME`, a relation."""
    times: Sequence[str]
    """Columns of the table that hold a time."""

    def like(self, words: re.Pattern[str]) -> list[str]:
        """Return those that are called so."""
        return [name for name in self.times if words.search(name)]


def times_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return the columns of a relation that hold a time."""
    rows = connection.execute(f"describe {table}").fetchall()
    return [str(name) for name, type_, *_ in rows if str(type_).startswith(("TIMESTAMP", "DATE"))]


def audit_clocks(connection: duckdb.DuckDBPyConnection, behind: Sequence[Behind]) -> list[Verdict]:
    """Hold what was known of events at prediction times to all times that their records have.

    Args:
        connection: Where `events`, `asked` and the tables are relations.
        behind: What events come from; none = it is not there.
    """
    if not behind:
        return [unverified("INTERVAL_CROSSING", "the records behind events are not here: look which of them last, and "
                           "at what time their amounts stand")]  # fmt: skip
    return [*_lag(connection, behind), _crossing(connection, behind)]


def _lag(connection: duckdb.DuckDBPyConnection, behind: Sequence[Behind]) -> Iterator[Verdict]:
    """Events that count as known before the time at which their record was stored."""
    found = _codes(connection, behind, STORED, "true")
    if found:
        told = f"known before their record was stored: {named(found)}"
        yield Verdict("AVAILABILITY_LAG", "leak", told, tuple(found))


def _crossing(connection: duckdb.DuckDBPyConnection, behind: Sequence[Behind]) -> Verdict:
    """Numbers of what was still going on, that are no rates."""
    code = "INTERVAL_CROSSING"
    lasting = [one for one in behind if one.like(ENDS)]
    if not lasting:
        return clean(code, f"none of {len(behind):,} tables that events are made of has the time of an end")
    amount = f"e.numeric_value is not null and not regexp_matches(coalesce(e.unit, ''), '{_RATE}', 'i')"
    found = _codes(connection, lasting, ENDS, amount)
    grows = {name: n for name, n in found.items() if _grows(connection, lasting, name)}
    if grows:
        return Verdict(code, "leak", f"known whole while it was going on: {named(grows)}", tuple(grows))
    if found:
        return unverified(code, f"numbers of what was still going on: {named(found)}; are they of its whole length?")
    tables = ", ".join(one.table.partition(".")[2] for one in lasting)
    return clean(code, f"no amount is known before its end, of {tables}")


def _grows(connection: duckdb.DuckDBPyConnection, behind: Sequence[Behind], code: str) -> bool:
    """Return whether the numbers of a code go with the length of what they are about."""
    for one in behind:
        for column in one.like(ENDS):
            row = connection.execute(f"""
                with r as (
                    select rank() over (order by e.numeric_value) as a,
                    rank() over (order by s."{column}" - e.time) as b
                    from events e join {one.table} s on e.source = '{one.part}' and e.source_row = s._row
                    where e.code = ? and e.numeric_value is not null and s."{column}" > e.time
                ) select count(*), corr(a, b) from r
            """, [code]).fetchall()[0]  # fmt: skip
            if row[0] >= _FEWEST and row[1] is not None and abs(row[1]) >= _GOES_WITH:
                return True
    return False


def _codes(
    connection: duckdb.DuckDBPyConnection, behind: Sequence[Behind], words: re.Pattern[str], which: str
) -> dict[str, int]:
    """Return the codes that were known at a prediction time before a time of their record -> subjects."""
    found: dict[str, int] = {}
    for one in behind:
        for column in one.like(words):
            rows = connection.execute(f"""
                with told as (
                    select e.subject_id, e.code, greatest(e.time, e.available_time) as known, s."{column}" as late
                    from events e join {one.table} s on e.source = '{one.part}' and e.source_row = s._row
                    where {which} and e.time is not null and s."{column}" > greatest(e.time, e.available_time)
                )
                select t.code, count(distinct t.subject_id) from told t
                asof join asked a on t.subject_id = a.subject_id and t.late > make_timestamp(a.prediction_time)
                where t.known <= make_timestamp(a.prediction_time) group by all
            """).fetchall()  # fmt: skip
            for code, n in rows:
                found[str(code)] = max(found.get(str(code), 0), int(n))
    return found
