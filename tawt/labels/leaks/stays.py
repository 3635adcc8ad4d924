"""Stays as events tell them: from an admission to the next discharge; or whole records, where none is told."""

from __future__ import annotations

import duckdb

START, END, DEATH = r"^(\w+_)?ADMISSION(//|$)", r"^(\w+_)?DISCHARGE(//|$)", r"^(MEDS_)?DEATH(//|$)"
"""Codes of an admission, of a discharge and of a death."""


def has_stays(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether events tell of admissions and discharges."""
    both = f"select count_if(regexp_matches(code, '{START}')), count_if(regexp_matches(code, '{END}')) from events"
    return all(connection.execute(both).fetchall()[0])


def kinds_of_stays(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return what codes of admissions begin with that have discharges of their own, as `HOSPITAL_`; none = there are
    no stays, and a record is one."""
    rows = connection.execute(f"""
        select distinct regexp_extract(code, '{START}', 1) from events where regexp_matches(code, '{START}')
        intersect select distinct regexp_extract(code, '{END}', 1) from events where regexp_matches(code, '{END}')
    """).fetchall()  # fmt: skip
    return sorted(str(prefix) for (prefix,) in rows)


def lay_out_stays(connection: duckdb.DuckDBPyConnection, kind: str | None) -> None:
    """Make the table `stays` of subject_id, began and ended: of a kind, or a record of each subject."""
    if kind is None:
        connection.execute("""
            create or replace temp table stays as
            select subject_id, min(time) as began, max(time) as ended from events
            where time is not null and not regexp_matches(code, 'BIRTH') group by subject_id
        """)
        return
    connection.execute(f"""
        create or replace temp table stays as
        with starts as (
            select distinct subject_id, time from events where regexp_extract(code, '{START}', 1) = '{kind}'
            and regexp_matches(code, '{START}')
        ), ends as (
            select distinct subject_id, time from events where regexp_matches(code, '{DEATH}')
            or (regexp_matches(code, '{END}') and regexp_extract(code, '{END}', 1) = '{kind}')
        )
        select s.subject_id, s.time as began, min(e.time) as ended from starts s
        join ends e on e.subject_id = s.subject_id and e.time > s.time group by all
    """)
