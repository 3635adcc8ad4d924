"""Events as a relation, and a task's labels as rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from tawt.database.macros import load_macros, make_macros
from tawt.labels.compile import compile_task
from tawt.labels.task import Task, read_task
from tests.unit.labels.oracle import HOUR, Event

COLUMNS = "subject_id bigint, time timestamp, code varchar, numeric_value float, unit varchar, available_time timestamp"


def connected() -> duckdb.DuckDBPyConnection:
    """An engine of one thread with an empty relation `events`."""
    connection = duckdb.connect(config={"threads": 1})
    make_macros(connection, load_macros().listed)
    connection.execute(f"create table events({COLUMNS})")
    return connection


def fill(connection: duckdb.DuckDBPyConnection, records: dict[int, list[Event]]) -> None:
    """Let the relation hold these records and nothing else."""
    connection.execute("delete from events")
    rows = [(subject, one.time, one.code, one.number, one.unit) for subject, own in records.items() for one in own]
    connection.executemany("insert into events select ?, make_timestamp(?), ?, ?, ?, null", rows)


def hours(*codes: tuple[float | None, str] | tuple[float | None, str, float]) -> list[Event]:
    """Events by hour, code and number."""
    return [Event(None if one[0] is None else round(one[0] * HOUR), one[1], *one[2:]) for one in codes]


def task_of(folder: Path, text: str) -> Task:
    """The task that a text says."""
    path = folder / "task.yaml"
    path.write_text(text)
    return read_task(path)


def rows_of(
    connection: duckdb.DuckDBPyConnection, task: Task, columns: Iterable[str], clock: str = "time"
) -> list[tuple[Any, ...]]:
    """The labels of a task; the prediction time in hours."""
    named = ", ".join(columns)
    return connection.execute(
        f"select subject_id, epoch_us(prediction_time) / {HOUR}, {named} from ({compile_task(task, clock=clock).select}) order by all"
    ).fetchall()
