"""Leaks that events, labels and the task itself show: who is where, what was known when, who is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa

from tawt.contracts.cells import few
from tawt.labels.leaks.stays import END, START, has_stays
from tawt.labels.leaks.verdict import Verdict, clean, named, unverified
from tawt.labels.task import Task
from tawt.labels.windows import index_moment, least_gap

BILLED = "(?i)^(DIAGNOS|DX|ICD|PROCEDURE|CPT|DRG|HCPCS|BILL)"
"""What codes of the bill begin with."""
LATE = (
    "(?i)discharge|length.?of.?stay|(^|[^a-z])los([^a-z]|$)|expire|(^|[^a-z])died|mortality|outcome|survival|deceased"
)
"""What is only known in the end is called so."""
_DEATH = "MEDS_DEATH"
_NO_STAYS = "events name no admissions and discharges"


def audit_events(
    connection: duckdb.DuckDBPyConnection,
    labels: pa.Table,
    splits: Mapping[str, Sequence[int]],
    entered: str | None = None,
) -> list[Verdict]:
    """Look for what events and labels show.

    Args:
        connection: Where `events` is a relation.
        labels: `subject_id`, `prediction_time` (us), `positive` (null = not known) and perhaps `prior_count`.
        splits: Who is in which split, as the dataset has it.
        entered: Regular expression of codes of diagnoses and procedures that are of no bill, as their source says.
    """
    connection.register("asked", labels)
    return [
        _overlap(splits),
        _lag(connection),
        _undated(connection, entered),
        _billed(connection, entered),
        *_late(connection),
        _after(connection, labels),
        _repeated(connection, labels),
    ]


def audit_task(task: Task, attrition: Sequence[Mapping[str, str]], n_labels: int) -> list[Verdict]:
    """Look at how the windows of a task are written.

    Args:
        task: The ACES task.
        attrition: Who is left after each rule, as it was told.
        n_labels: Labels.
    """
    index = index_moment(task)
    return [_label_in_input(task, index, n_labels), _cohort(task, index, attrition)]


def _label_in_input(task: Task, index: str, n_labels: int) -> Verdict:
    code = "LABEL_IN_INPUT"
    name = next((name for name, window in task.windows.items() if window.label), None)
    if name is None:
        return unverified(code, "no window has a label")
    gap = least_gap(task, f"{name}.start", index) if task.windows[name].start is not None else None
    back = least_gap(task, index, f"{name}.start") if task.windows[name].start is not None else 1
    if back is not None and back > 0:
        return Verdict(
            code, "leak", f"the window `{name}` begins before the prediction time, in all {n_labels:,} labels"
        )
    if gap is None or gap < 0:
        return unverified(code, f"where `{name}` begins hangs on each record")
    if gap == 0 and task.windows[name].start_inclusive:
        what = f"the window `{name}` begins at the prediction time and holds that moment, in all {n_labels:,} labels"
        return Verdict(code, "leak", what)
    return clean(code, f"the window `{name}` begins behind the prediction time")


def _cohort(task: Task, index: str, attrition: Sequence[Mapping[str, str]]) -> Verdict:
    code, late = "COHORT_FUTURE_INFORMATION", []
    for name, window in task.windows.items():
        if not window.has:
            continue
        before = least_gap(task, index, f"{name}.end") if window.end is not None else None
        if before is None or before < 0:
            late.append(name)
    if not late:
        return clean(code, "only what is known at the prediction time decides who is asked about")
    rules, taken = [*attrition], []
    for before_rule, rule in pairwise(rules):
        if any(rule["rule"].startswith(f"{name}") for name in late):
            taken.append(f"{rule['rule']}: {before_rule['n_samples']} to {rule['n_samples']} samples")
    return Verdict(code, "leak", f"{', '.join(late)} end later and decide who is asked about; {'; '.join(taken)}")


def _overlap(splits: Mapping[str, Sequence[int]]) -> Verdict:
    seen: dict[int, str] = {}
    twice = {subject for name, own in splits.items() for subject in own if seen.setdefault(int(subject), name) != name}
    if twice:
        return Verdict(
            "ENTITY_OVERLAP", "leak", f"{few(len(twice))} subjects are in two splits", subjects=frozenset(twice)
        )
    return clean("ENTITY_OVERLAP", f"each of {len(seen):,} subjects is in one split")


def _lag(connection: duckdb.DuckDBPyConnection) -> Verdict:
    n, n_subjects = _one(connection, """
        select count(*), count(distinct e.subject_id) from events e join asked a using (subject_id)
        where e.time <= make_timestamp(a.prediction_time) and e.available_time > make_timestamp(a.prediction_time)
    """)  # fmt: skip
    told = f"{few(n)} events of {few(n_subjects)} subjects had happened and were not known yet"
    return clean("AVAILABILITY_LAG", f"{told}: they are cut" if n else "all that had happened was known")


def _undated(connection: duckdb.DuckDBPyConnection, entered: str | None) -> Verdict:
    code = "UNDATED_SOURCE"
    if not has_stays(connection):
        return unverified(code, _NO_STAYS)
    found = _codes(connection, f"""
        with starts as (select distinct subject_id, time from events where regexp_matches(code, '{START}'))
        select e.code, count(distinct e.subject_id) from events e
        left join starts s on s.subject_id = e.subject_id and s.time = e.time
        where e.time is not null and not regexp_matches(e.code, '{START}|{END}|BIRTH|DEATH')
        group by e.code having bool_and(s.time is not null and coalesce(e.available_time, e.time) = e.time)
        or (count(*) > 20
            and bool_and(e.time = date_trunc('day', e.time) and coalesce(e.available_time, e.time) = e.time))
    """)  # fmt: skip
    billed = {name: n for name, n in found.items() if _is_billed(name, entered)}
    if billed:
        return Verdict(code, "leak", f"at the start of a stay, or of a day, alone: {named(billed)}", tuple(billed))
    if found:
        return unverified(code, f"at the start of a stay, or of a day, alone: {named(found)}; was it known then?")
    return clean(code, "no code is there at the start of stays, or of days, alone")


def _billed(connection: duckdb.DuckDBPyConnection, entered: str | None) -> Verdict:
    code = "BILLED_AFTER_DISCHARGE"
    if not has_stays(connection):
        return unverified(code, _NO_STAYS)
    n_billed, _ = _one(connection, f"select count(*), 0 from events where regexp_matches(code, '{BILLED}')")
    if not n_billed:
        return clean(code, "there are no codes of diagnoses or procedures")
    found = _codes(connection, f"""
        with ends as (select distinct subject_id, time from events where regexp_matches(code, '{END}')),
        starts as (select distinct subject_id, time from events where regexp_matches(code, '{START}')),
        stays as (
            select s.subject_id, s.time as began, min(e.time) as ended from starts s
            join ends e on e.subject_id = s.subject_id and e.time >= s.time group by all
        )
        select e.code, count(distinct e.subject_id) from events e join stays s
        on s.subject_id = e.subject_id and e.time >= s.began and coalesce(e.available_time, e.time) < s.ended
        where regexp_matches(e.code, '{BILLED}') and not exists (
            select 1 from ends o where o.subject_id = e.subject_id and o.time = coalesce(e.available_time, e.time)
        ) group by e.code
    """)  # fmt: skip
    before = {name: n for name, n in found.items() if _is_billed(name, entered)}
    if before:
        return Verdict(code, "leak", f"readable before the end of their stay: {named(before)}", tuple(before))
    if found:
        said = f"{len(found):,} codes of diagnoses and procedures are readable in the stay, and were entered in it"
        return clean(code, f"{said}, as the source says (`entered`)")
    return clean(code, f"{n_billed:,} rows of diagnoses and procedures are readable from the discharge on")


def _late(connection: duckdb.DuckDBPyConnection) -> list[Verdict]:
    """Codes that are called like the end of a stay, and are known while nearly each of theirs goes on."""
    if not has_stays(connection):
        return []
    found = _codes(connection, f"""
        with ends as (select distinct subject_id, time from events where regexp_matches(code, '{END}')),
        stays as (
            select s.subject_id, s.time as began, min(e.time) as ended from events s
            join ends e on e.subject_id = s.subject_id and e.time > s.time
            where regexp_matches(s.code, '{START}') group by all
        ), late as (
            select e.code, e.subject_id, exists (
                select 1 from stays s where s.subject_id = e.subject_id
                and coalesce(e.available_time, e.time) >= s.began and coalesce(e.available_time, e.time) < s.ended
            ) as inside from events e
            where e.time is not null and regexp_matches(e.code, '{LATE}') and not regexp_matches(e.code, '{END}|DEATH')
        )
        select code, count(distinct subject_id) from late group by code having avg(inside::int) > 0.9
    """)  # fmt: skip
    if not found:
        return []
    return [Verdict("HINDSIGHT_VARIABLE", "leak", f"known while the stay goes on: {named(found)}", tuple(found))]


def _after(connection: duckdb.DuckDBPyConnection, labels: pa.Table) -> Verdict:
    code = "POST_OUTCOME_INSTANCE"
    dead, _ = _one(connection, f"""
        select count(*), 0 from asked a join events e using (subject_id)
        where e.code like '{_DEATH}%' and e.time < make_timestamp(a.prediction_time)
    """)  # fmt: skip
    again = _prior(connection, labels)
    if dead or again:
        told = [f"{few(dead)} labels are asked after the death"] if dead else []
        told += [f"{few(again)} positive labels are of what was there before"] if again else []
        return Verdict(code, "leak", "; ".join(told))
    if again is None:
        return unverified(code, "nobody is asked after the death; the labels do not say what was there before")
    return clean(code, "nobody is asked after the death, or of what was there before")


def _repeated(connection: duckdb.DuckDBPyConnection, labels: pa.Table) -> Verdict:
    again = _prior(connection, labels)
    if again is None:
        return unverified("REPEATED_EVENT", "the labels have no `prior_count`")
    if again:
        return Verdict("REPEATED_EVENT", "leak", f"{few(again)} positive labels are no new onsets")
    return clean("REPEATED_EVENT", "all positive labels are new onsets")


def _prior(connection: duckdb.DuckDBPyConnection, labels: pa.Table) -> int | None:
    if "prior_count" not in labels.column_names or labels["prior_count"].null_count == len(labels):
        return None
    return _one(connection, "select count(*), 0 from asked where positive and prior_count > 0")[0]


def _is_billed(code: str, entered: str | None) -> bool:
    return re.match(BILLED, code) is not None and (entered is None or re.search(entered, code) is None)


def _one(connection: duckdb.DuckDBPyConnection, select: str) -> tuple[int, int]:
    row: Any = connection.execute(select).fetchone()
    return int(row[0]), int(row[1])


def _codes(connection: duckdb.DuckDBPyConnection, select: str) -> dict[str, int]:
    return {str(code): int(n) for code, n in connection.execute(select).fetchall()}
