"""Leaks that events, labels and the task itself show: who is where, what was known when, who is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.cells import few
from tawt.contracts.meds import IS_BIRTH, IS_DEATH
from tawt.labels.leaks.stays import IS_END, IS_START, lay_out_stays
from tawt.labels.leaks.verdict import Verdict, clean, named, unverified
from tawt.labels.task import Task
from tawt.labels.windows import index_moment, least_gap

BILLED = "(?i)^(DIAGNOS|DX|ICD|PROCEDURE|CPT|DRG|HCPCS|BILL)"
"""What codes of the bill begin with."""
LATE = (
    "(?i)discharge|length.?of.?stay|(^|[^a-z])los([^a-z]|$)|expire|(^|[^a-z])died|mortality|outcome|survival|deceased"
)
"""What is only known in the end is called so."""
_NO_STAYS = "events name no admissions and discharges"


def audit_events(
    connection: duckdb.DuckDBPyConnection, splits: Mapping[str, Sequence[int]], entered: str | None = None
) -> list[Verdict]:
    """Look for what events show, whatever is asked.

    Args:
        connection: Where `events` and `asked`, `subject_id` and `prediction_time` (us), are relations.
        splits: Who is in which split, as the dataset has it.
        entered: Regular expression of codes of diagnoses and procedures that are of no bill, as their source says.
    """
    return [
        _overlap(splits), _lag(connection), _undated(connection, entered), _billed(connection, entered),
        *_late(connection),
    ]  # fmt: skip


def audit_answers(connection: duckdb.DuckDBPyConnection, answers: pa.Table) -> list[Verdict]:
    """Look at what came before each answer to one question.

    Args:
        connection: Where `events` is a relation.
        answers: `subject_id`, `prediction_time` (us), `positive` (null = not known) and perhaps `prior_count`.
    """
    connection.register("answers", answers)
    again = _prior(answers)
    return [_after(connection, again), _repeated(again)]


def audit_task(task: Task, attrition: Sequence[Mapping[str, str]]) -> list[Verdict]:
    """Look at how the windows of a task are written.

    Args:
        task: The ACES task that the labels were derived by.
        attrition: Who is left after each rule, as it was told.
    """
    # a label that is looked for in what is known is refused when labels are made
    held = "when it was made each label was held to events behind its prediction time"
    return [clean("LABEL_IN_INPUT", held), _cohort(task, attrition)]


def _cohort(task: Task, attrition: Sequence[Mapping[str, str]]) -> Verdict:
    code, late = "COHORT_FUTURE_INFORMATION", []
    index = index_moment(task)
    for name, window in task.windows.items():
        if not window.has:
            continue
        before = least_gap(task, index, f"{name}.end") if window.end is not None else None
        if before is None or before < 0:
            late.append(name)
    if not late:
        return clean(code, "only what is known at the prediction time decides who is asked about")
    taken = [
        f"{rule['rule']}: {before_rule['n_samples']} to {rule['n_samples']} samples"
        for before_rule, rule in pairwise(attrition) if rule.get("window") in late
    ]  # fmt: skip
    return Verdict(code, "leak", "; ".join([f"{', '.join(late)} end later and decide who is asked about", *taken]))


def _overlap(splits: Mapping[str, Sequence[int]]) -> Verdict:
    seen: dict[int, str] = {}
    twice = {subject for name, own in splits.items() for subject in own if seen.setdefault(int(subject), name) != name}
    if twice:
        return Verdict(
            "ENTITY_OVERLAP", "leak", f"{few(len(twice))} subjects are in two splits", subjects=frozenset(twice)
        )
    return clean("ENTITY_OVERLAP", f"each of {len(seen):,} subjects is in one split")


def _lag(connection: duckdb.DuckDBPyConnection) -> Verdict:
    # of the prediction times before an event was known the last one is the first to fall behind its own time
    n, n_subjects = _one(connection, """
        select count(*), count(distinct e.subject_id) from (from events where available_time > time) e
        asof join asked a on e.subject_id = a.subject_id and e.available_time > make_timestamp(a.prediction_time)
        where e.time <= make_timestamp(a.prediction_time)
    """)  # fmt: skip
    told = f"{few(n)} events of {few(n_subjects)} subjects had happened and were not known yet"
    return clean("AVAILABILITY_LAG", f"{told}: they are cut" if n else "all that had happened was known")


def _undated(connection: duckdb.DuckDBPyConnection, entered: str | None) -> Verdict:
    code = "UNDATED_SOURCE"
    if not lay_out_stays(connection):
        return unverified(code, _NO_STAYS)
    found = _codes(connection, f"""
        with starts as (select distinct subject_id, time from events where {IS_START})
        select e.code, count(distinct e.subject_id) from events e
        left join starts s on s.subject_id = e.subject_id and s.time = e.time
        where e.time is not null and not ({IS_START} or {IS_END} or {IS_BIRTH} or {IS_DEATH})
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
    if not lay_out_stays(connection):
        return unverified(code, _NO_STAYS)
    n_billed, _ = _one(connection, f"select count(*), 0 from events where regexp_matches(code, '{BILLED}')")
    if not n_billed:
        return clean(code, "there are no codes of diagnoses or procedures")
    found = _codes(connection, f"""
        with ends as (select distinct subject_id, time from events where {IS_END})
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
    if not lay_out_stays(connection):
        return []
    found = _codes(connection, f"""
        with late as (
            select e.code, e.subject_id, exists (
                select 1 from stays s where s.subject_id = e.subject_id
                and coalesce(e.available_time, e.time) >= s.began and coalesce(e.available_time, e.time) < s.ended
            ) as inside from events e
            where e.time is not null and regexp_matches(e.code, '{LATE}') and not ({IS_END} or {IS_DEATH})
        )
        select code, count(distinct subject_id) from late group by code having avg(inside::int) > 0.9
    """)  # fmt: skip
    if not found:
        return []
    return [Verdict("HINDSIGHT_VARIABLE", "leak", f"known while the stay goes on: {named(found)}", tuple(found))]


def _after(connection: duckdb.DuckDBPyConnection, again: int | None) -> Verdict:
    code = "POST_OUTCOME_INSTANCE"
    dead, _ = _one(connection, f"""
        select count(*), 0 from answers a
        join (select subject_id, min(time) as died from events where {IS_DEATH} group by subject_id) using (subject_id)
        where a.positive is not null and died < make_timestamp(a.prediction_time)
    """)  # fmt: skip
    if dead or again:
        told = [f"{few(dead)} labels are asked after the death"] if dead else []
        told += [f"{few(again)} positive labels are of what was there before"] if again else []
        return Verdict(code, "leak", "; ".join(told))
    if again is None:
        return unverified(code, "nobody is asked after the death; the labels do not say what was there before")
    return clean(code, "nobody is asked after the death, or of what was there before")


def _repeated(again: int | None) -> Verdict:
    if again is None:
        return unverified("REPEATED_EVENT", "the labels have no `prior_count`")
    if again:
        return Verdict("REPEATED_EVENT", "leak", f"{few(again)} positive labels are no new onsets")
    return clean("REPEATED_EVENT", "all positive labels are new onsets")


def _prior(answers: pa.Table) -> int | None:
    """Return how many positive labels are of what was there before; None where none says."""
    if "prior_count" not in answers.column_names or answers["prior_count"].null_count == len(answers):
        return None
    return int(pc.sum(pc.and_(answers["positive"], pc.greater(answers["prior_count"], 0))).as_py() or 0)


def _is_billed(code: str, entered: str | None) -> bool:
    return re.match(BILLED, code) is not None and (entered is None or re.search(entered, code) is None)


def _one(connection: duckdb.DuckDBPyConnection, select: str) -> tuple[int, int]:
    (row,) = connection.execute(select).fetchall()
    return int(row[0]), int(row[1])


def _codes(connection: duckdb.DuckDBPyConnection, select: str) -> dict[str, int]:
    return {str(code): int(n) for code, n in connection.execute(select).fetchall()}
