"""What a label set must hold, from whatever it came: it says something, and it asks at times at which one can ask."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.label_columns import ANSWERS, ASIDE, KEYS, as_labels, no_spans
from tawt.contracts.meds import IS_BIRTH, IS_DEATH
from tawt.database.connect import wrapped_errors
from tawt.errors import StageError
from tawt.labels.predicates_sql import CLOCKS


@dataclass(frozen=True)
class Fault:
    """Why a label set cannot be used."""

    name: str
    """One word for it."""
    what: str
    """What is, with counts."""
    mend: str
    """What would put it right."""


def faults_of(
    connection: duckdb.DuckDBPyConnection, labels: pa.Table, events: str = "events", clock: str = "time"
) -> list[Fault]:
    """Return all that is wrong with a label set, the gravest first.

    Args:
        connection: Where `events` is a relation.
        labels: The label set, in the columns of MEDS labels or of `schemas/label_sets.json`.
        events: The relation of events that it is about, as it stands in `from`.
        clock: `time` or `available_time`: when an event counts as known.

    Raises:
        ContractError: It has not the columns of a label set.
    """
    labels = as_labels(labels)
    if labels.num_rows == 0:
        return [
            Fault(
                "empty", "holds no label", "see who is left after which rule; the task, or its predicates, ask too much"
            )
        ]
    return [*_of_values(labels), *_of_hours(labels), *_of_keys(labels), *_of_times(connection, labels, events, clock)]


def judge(
    connection: duckdb.DuckDBPyConnection, labels: pa.Table, where: str, events: str = "events", clock: str = "time"
) -> None:
    """Hold a label set to what labels must be; see `faults_of`.

    Raises:
        ContractError: It has not the columns of a label set.
        StageError: It is empty, of one class, or asks where nobody can: says why, with counts.
    """
    if faults := faults_of(connection, labels, events, clock):
        said = "; ".join(fault.what for fault in faults)
        raise StageError(where, f"{said}, expected labels to learn from", faults[0].mend)


def _of_values(labels: pa.Table) -> list[Fault]:
    values = [name for name in ANSWERS if name in labels.schema.names and labels[name].null_count < labels.num_rows]
    if not values:
        return [
            Fault("no_answer", f"none of {labels.num_rows:,} labels has an answer", "give the task's window a `label`")
        ]
    faults = []
    timed = "duration_hours" in values and "boolean_value" in values
    column = (
        "boolean_value" if "boolean_value" in values else next((n for n in values if n != "integer_value"), values[0])
    )
    groups = [name for name in ASIDE if name in labels.schema.names]
    # rows without an answer may stand beside others: a teacher answers them
    held = labels.filter(pc.is_valid(labels[column]))
    if groups and (n := len(_groups(labels, groups)) - len(_groups(held, groups))):
        what = f"{n:,} of {len(_groups(labels, groups)):,} things that are asked have no answer at all"
        faults.append(Fault("no_answer", what, "leave those out"))
    counted = held.group_by(groups).aggregate(
        [(column, "count_distinct"), (column, "min"), (column, "count"), ("subject_id", "count_distinct")]
    )
    for row in counted.to_pylist():
        # of times to an event, each may have been seen: when it came is what differs
        if row[f"{column}_count_distinct"] == 1 and not (timed and row[f"{column}_min"]):
            n, people = row[f"{column}_count"], row["subject_id_count_distinct"]
            of = ", ".join(f"{name} {row[name]}" for name in groups if name != "target" or people > SMALL_CELL)
            value = row[f"{column}_min"]
            told = {True: "yes", False: "no"}.get(value, "the same") if column == "boolean_value" else "the same"
            what = f"all {_told(n, people)} labels{f' of {of}' * bool(of)} are {told}, one class alone"
            faults.append(Fault("one_class", what, "see the label's predicate: does it fit the codes of this dataset?"))
    return faults


def _groups(labels: pa.Table, names: list[str]) -> pa.Table:
    return labels.group_by(names).aggregate([])


def _told(n: int, n_subjects: int) -> str:
    """Return a count of rows of so many subjects as it may be told."""
    return "some" if n > SMALL_CELL >= n_subjects else few(n)


def _of_hours(labels: pa.Table) -> list[Fault]:
    mend = "write hours, finite and not negative, or leave the row out"
    return [
        Fault("no_span", f"{few(n)} labels have a `{name}` that is no span of time", mend)
        for name, n in no_spans(labels).items()
    ]


def _of_keys(labels: pa.Table) -> list[Fault]:
    keys = [*KEYS, *(name for name in ASIDE if name in labels.schema.names)]
    n_times = labels.group_by(keys).aggregate([]).num_rows
    if n_times == labels.num_rows:
        return []
    what = f"{few(labels.num_rows - n_times)} labels more than the {few(n_times)} times that are asked about"
    return [
        Fault("twice", what, "give one answer to a subject and time, or tell them apart by `target` or `horizon_hours`")
    ]


_ABOUT_TIMES = """
with asked as (select subject_id, prediction_time as at from the_labels),
who as (select distinct subject_id from asked),
record as (
    select
        subject_id, min(t) filter (where not {birth}) as first, min(t) filter (where {death}) as died
    from (select subject_id, code, {clock} as t from {events})
    where subject_id in (select subject_id from who) group by subject_id
)
select
    count(*) filter (where r.subject_id is null), count(distinct a.subject_id) filter (where r.subject_id is null),
    count(*) filter (where r.subject_id is not null and (r.first is null or a.at < r.first)),
    count(distinct a.subject_id) filter (where r.subject_id is not null and (r.first is null or a.at < r.first)),
    count(*) filter (where a.at > r.died), count(distinct a.subject_id) filter (where a.at > r.died)
from asked a left join record r on a.subject_id = r.subject_id
"""
_TIMES = (
    (
        "stranger",
        "are about subjects that the dataset does not have ({} of them)",
        "take the labels that were made of it",
    ),
    ("before_record", "ask before anything of the subject is known ({} subjects)", "leave them out, or ask later"),
    ("after_death", "ask after the subject's death ({} subjects)", "leave them out: end the input window at death"),
)


def _of_times(connection: duckdb.DuckDBPyConnection, labels: pa.Table, events: str, clock: str) -> list[Fault]:
    connection.register("the_labels", labels.select(list(KEYS)))
    try:
        with wrapped_errors("labels"):
            (row,) = connection.execute(
                _ABOUT_TIMES.format(events=events, clock=CLOCKS[clock], birth=IS_BIRTH, death=IS_DEATH)
            ).fetchall()
    finally:
        connection.unregister("the_labels")
    return [
        Fault(name, f"{_told(n, n_subjects)} of {labels.num_rows:,} labels {what.format(few(n_subjects))}", mend)
        for (name, what, mend), n, n_subjects in zip(_TIMES, row[::2], row[1::2], strict=True)
        if n
    ]
