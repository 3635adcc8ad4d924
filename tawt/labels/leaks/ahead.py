"""Events that sum up what comes after them: a score of the first day that stands at its beginning, or a peak."""

from __future__ import annotations

import re

import duckdb

from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.meds import IS_BIRTH
from tawt.labels.leaks.stays import IS_END
from tawt.labels.leaks.verdict import Verdict, clean, named, unverified

SUMMARIES = re.compile(
    r"apache|saps|oasis|lods|apsiii|first.?day|worst|\bday.?1\b|24.?h(ou)?r?s?\b|\b(peak|nadir|highest|lowest)\b",
    re.IGNORECASE,
)
"""What summaries of a day are called."""
N_SUBJECTS, MOST_ROWS, MOST_CODES = 300, 3_000, 60
"""Whose records are looked at, up to which length, and the codes that may sum up others."""
_SHARE = 0.9
_STATISTICS = ("max", "min", "avg", "sum", "count", "median")
_WINDOWS = {
    "24 h": "o.time between c.time - interval 24 hours and c.time + interval 24 hours",
    "48 h": "o.time between c.time - interval 48 hours and c.time + interval 48 hours",
    "the stay": "o.time between c.time - interval 24 hours and c.ended",
    "the record": "true",
}


def audit_summaries(connection: duckdb.DuckDBPyConnection) -> Verdict:
    """Look for codes whose number is a statistic of numbers that come after it could be read.

    A number is only evidence where the same statistic of what had come by then is another one.

    Args:
        connection: Where `events` and `asked` are relations.
    """
    code = "FIRST_DAY_SUMMARY"
    _choose(connection)
    found: dict[str, int] = {}
    of: dict[str, str] = {}
    for within, window in _WINDOWS.items():
        for name, other, how, n in connection.execute(_select(window), [_SHARE, SMALL_CELL]).fetchall():
            found[str(name)] = max(found.get(str(name), 0), int(n))
            of.setdefault(str(name), f"the {how} of {other} within {within}")
    if found:
        shown = "; ".join(f"{name} is {of[name]}" for name in list(found)[:3] if found[name] > SMALL_CELL)
        told = f"sum up what comes after them: {named(found)}" + (f" ({shown})" if shown else "")
        return Verdict(code, "leak", told, tuple(found))
    n_codes = int(connection.execute("select count(*) from sums").fetchall()[0][0])
    early = _called_so(connection)
    if early:
        return unverified(
            code, f"called like summaries and known within a day: {named(early)}; of which hours are they?"
        )
    return clean(code, f"none of {n_codes:,} rare codes with numbers sums up what comes after it")


def _choose(connection: duckdb.DuckDBPyConnection) -> None:
    """Lay out the numbers of some subjects, and the codes that come so rarely that they may sum up others."""
    connection.execute(f"""
        create or replace temp table numbers as
        with chosen as (
            select subject_id from events where numeric_value is not null and time is not null
            and subject_id in (select subject_id from asked)
            group by subject_id having count(*) <= {MOST_ROWS} order by hash(subject_id) limit {N_SUBJECTS}
        )
        select subject_id, code, time, coalesce(available_time, time) as known, numeric_value::double as v
        from events semi join chosen using (subject_id) where numeric_value is not null and time is not null
    """)  # fmt: skip
    connection.execute(f"""
        create or replace temp table sums as select code from numbers group by code
        having count(distinct subject_id) > {SMALL_CELL} and count(*) <= 4 * count(distinct subject_id)
        order by count(*) desc, code limit {MOST_CODES}
    """)
    connection.execute(f"""
        create or replace temp table candidates as
        select n.*, (
            select min(e.time) from events e
            where e.subject_id = n.subject_id and e.time > n.time and {IS_END}
        ) as ended from numbers n semi join sums using (code)
    """)


def _select(window: str) -> str:
    """Return which codes are which statistic of which others in a window around them."""
    both = ", ".join(
        f"{one}(o.v) as {one}_all, {one}(o.v) filter (o.time <= c.known) as {one}_then" for one in _STATISTICS
    )
    each = " union all ".join(
        f"select subject_id, code, other, '{one}' as how, abs({one}_all - v) <= 1e-4 * greatest(1, abs(v)) as same "
        f"from pairs where abs(coalesce({one}_then, 1e300) - {one}_all) > 1e-4 * greatest(1, abs({one}_all))"
        for one in _STATISTICS
    )
    return f"""
        with pairs as (
            select c.subject_id, c.code, c.time, any_value(c.v) as v, o.code as other, {both}
            from candidates c join numbers o on o.subject_id = c.subject_id and o.code != c.code and {window}
            group by c.subject_id, c.code, c.time, o.code having count(*) filter (o.time > c.known) > 1
        ), each as ({each})
        select code, other, how, count(distinct subject_id) as n from each group by code, other, how
        having avg(same::int) >= ? and count(distinct subject_id) > ? order by code, n desc, other, how
    """


def _called_so(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return codes that are called like summaries, and are known within a day of the beginning of the record."""
    rows = connection.execute(f"""
        with began as (
            select subject_id, min(time) as began from events
            where not {IS_BIRTH} and time is not null group by subject_id
        )
        select e.code, count(distinct e.subject_id) from events e join began b using (subject_id)
        where e.time is not null and coalesce(e.available_time, e.time) < b.began + interval 24 hours group by e.code
    """).fetchall()
    return {str(code): int(n) for code, n in rows if SUMMARIES.search(str(code).replace("_", " "))}
