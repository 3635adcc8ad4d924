"""Derives the labels of a task from events, some subjects at a time, and accounts for every sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.contract import own_contract
from tawt.database.connect import bounded_memory, interruptible, wrapped_errors
from tawt.database.limits import Limits
from tawt.errors import StageError
from tawt.labels.compile import Compiled, compile_task
from tawt.labels.task import Task

ROWS_AT_ONCE = 1_000_000
"""Events whose subjects are asked about at once: what is in memory grows with them, and not with the dataset."""


@dataclass(frozen=True)
class Attrition:
    """Who is left after one rule."""

    rule: str
    """What was asked."""
    n_subjects: int
    """Subjects of whom a sample is left."""
    n_samples: int
    """Samples that are left."""
    window: str = ""
    """The window that asked; empty where none did."""


@dataclass(frozen=True)
class Derived:
    """The labels of a task, and how they came about."""

    labels: pa.Table
    """In the columns of `schemas/label_sets.json`, sorted."""
    attrition: tuple[Attrition, ...]
    """Who is left after each rule, in order; the first row counts the moments of the trigger."""


def derive(
    connection: duckdb.DuckDBPyConnection,
    task: Task,
    events: str = "events",
    clock: str = "time",
    rows_at_once: int = ROWS_AT_ONCE,
    limits: Limits | None = None,
) -> Derived:
    """Derive the labels of a task.

    Args:
        connection: Where `events` is a relation.
        task: The task.
        events: The relation, as it stands in `from`.
        clock: `time` or `available_time`: when an event counts as having happened.
        rows_at_once: Events whose subjects are asked about at once.
        limits: The memory that the engine works under.

    Raises:
        ConfigError: A regular expression of the task is none.
        StageError: A label could be read from what is known at its prediction time.
        RoomError: Memory ran out.
    """
    compiled = compile_task(task, events, clock, ranged=True)
    parts: list[pa.Table] = []
    samples: Counter[int] = Counter()
    subjects: Counter[int] = Counter()
    n_peeks = n_labels = 0
    with wrapped_errors("labels", limits=limits), bounded_memory(limits or Limits.of()):
        for low, high in subject_ranges(connection, events, rows_at_once):
            interruptible(
                connection,
                lambda low=low, high=high: connection.execute(  # type: ignore[misc]
                    f"create or replace temp table drafts as {compiled.drafts}", {"low": low, "high": high}
                ),
            )
            for key, counter in (("subject_id, _trigger", samples), ("subject_id", subjects)):
                counter.update(dict(connection.execute(_FURTHEST.format(key=key, last=len(compiled.rules))).fetchall()))
            n_peeks += _one(connection, "select count(*) from drafts where _rule is null and _peeks")
            n_labels += _one(connection, "select count(*) from drafts where _rule is null")
            parts.append(connection.sql(_kept(compiled)).to_arrow_table())
        connection.execute("drop table if exists drafts")
    if n_peeks:
        raise StageError(
            "labels",
            f"{few(n_peeks)} of {n_labels:,} labels are looked for in what is known at their prediction time, "
            "expected a window that begins after it",
            f"let `{task.label_window}` begin where that of `index_timestamp` ends, with `start_inclusive: false`",
        )
    attrition = tuple(
        Attrition(rule.text, _left(subjects, i), _left(samples, i), rule.window)
        for i, rule in enumerate(compiled.rules)
        if _told(task, rule.text)
    )
    labels = _in_order(parts, compiled)
    return Derived(labels, attrition + _merged(labels, attrition))


_FURTHEST = (
    "select n, count(*) from (select max(coalesce(_rule, {last})) as n from drafts group by {key}) group by n"
)  # fmt: skip


def _kept(compiled: Compiled) -> str:
    return Compiled("select * from drafts", compiled.columns, compiled.rules).select


def _merged(labels: pa.Table, attrition: tuple[Attrition, ...]) -> tuple[Attrition, ...]:
    """Return who is left once samples of one prediction time are one, where some were more."""
    moments = labels.group_by(["subject_id", "prediction_time"]).aggregate([])
    if not attrition or len(moments) == attrition[-1].n_samples:
        return ()
    n_subjects = len(moments["subject_id"].unique())
    return (Attrition("samples of one prediction time are one", n_subjects, len(moments)),)


def _left(furthest: Counter[int], rule: int) -> int:
    """Return how many got past a rule, of how many failed first at which."""
    return sum(n for first, n in furthest.items() if first > rule)


def _told(task: Task, rule: str) -> bool:
    """Return whether a rule was asked of this task at all."""
    return {
        "the label's value is there": task.label_type in ("value", "multiclass"),
        "new onset": task.only_new,
        "observed up to the horizon": bool(task.horizons),
        "sampling": task.sampling != "all",
    }.get(rule, True)


def subject_ranges(connection: duckdb.DuckDBPyConnection, events: str, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last subject of ranges that hold about so many events each; a subject is in one."""
    found = connection.execute(
        f"with of as (select subject_id, count(*) as n from {events} group by 1), "
        "so_far as (select subject_id, sum(n) over (order by subject_id) - n as before from of) "
        "select min(subject_id), max(subject_id) from so_far group by before // $rows order by 1",
        {"rows": max(1, rows)},
    ).fetchall()
    yield from found


def _one(connection: duckdb.DuckDBPyConnection, text: str) -> int:
    ((n,),) = connection.execute(text).fetchall()
    return int(n)


def _in_order(parts: list[pa.Table], compiled: Compiled) -> pa.Table:
    contract = own_contract("label_sets")
    schema = pa.schema(
        [pa.field(c.name, c.arrow_type, c.nullable) for c in contract.columns if c.name in compiled.columns]
    )
    return pa.concat_tables([part.select(schema.names).cast(schema) for part in parts] or [schema.empty_table()])


def attrition_rows(attrition: tuple[Attrition, ...], small: int = SMALL_CELL) -> list[dict[str, str]]:
    """Return the table of who is left, as texts that tell of no few people.

    A count of few subjects is told as `<11`; so is one that follows from the row before it, as a loss of few. The
    samples of a row are told where its subjects are.
    """
    rows: list[dict[str, str]] = []
    told: int | None = None
    for one in attrition:
        few = 0 < one.n_subjects <= small
        # the loss since the last row that was told in full would tell of few
        near = told is not None and 0 < told - one.n_subjects <= small
        n_subjects, n_samples = f"<{small + 1}", "-"
        if near and not few:
            assert told is not None
            n_subjects = f"{told - small:,} to {told - 1:,}"
        elif not few:
            told = one.n_subjects
            n_subjects, n_samples = f"{one.n_subjects:,}", f"{one.n_samples:,}"
        rows.append({"rule": one.rule, "n_subjects": n_subjects, "n_samples": n_samples, "window": one.window})
    return rows
