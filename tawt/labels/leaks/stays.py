"""Stays as events tell them: from an admission to the next discharge; or whole records, where none is told."""

from __future__ import annotations

import duckdb

from tawt.contracts.meds import IS_BIRTH, IS_DEATH

START, END = r"^(\w+_)?ADMISSION(//|$)", r"^(\w+_)?DISCHARGE(//|$)"
"""Codes of an admission and of a discharge."""
IS_START, IS_END = f"regexp_matches(code, '{START}')", f"regexp_matches(code, '{END}')"
"""The same as SQL of an event's `code`."""


def lay_out_stays(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Make the table `stays` of kind, subject_id, began and ended, unless it is there.

    Returns:
        What codes of admissions begin with that have discharges of their own, as `HOSPITAL_`: the kinds of stays. None
        = there are none, and the table holds whole records, of no kind.
    """
    connection.execute(f"""
        create temp table if not exists stays as
        with told as (
            select distinct subject_id, time, {IS_START} as starts, {IS_END} as ends, {IS_DEATH} as dies,
            regexp_extract(code, case when {IS_START} then '{START}' else '{END}' end, 1) as kind
            from events where time is not null and ({IS_START} or {IS_END} or {IS_DEATH})
        ), kinds as (
            select kind from told where starts intersect select kind from told where ends
        ), over as (
            select subject_id, time, kind from told where ends
            union select t.subject_id, t.time, k.kind from told t cross join kinds k where t.dies
        ), found as (
            select s.kind, s.subject_id, s.time as began, min(e.time) as ended from told s
            join over e on e.subject_id = s.subject_id and e.kind = s.kind and e.time > s.time
            where s.starts and s.kind in (from kinds) group by all
        )
        from found union all
        select null, subject_id, min(time), max(time) from events
        where time is not null and not {IS_BIRTH} and not exists (from kinds) group by subject_id
    """)  # fmt: skip
    rows = connection.execute("select distinct kind from stays where kind is not null order by kind").fetchall()
    return [str(kind) for (kind,) in rows]
