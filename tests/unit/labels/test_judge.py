"""A label set is held to what labels must be, from whatever it came."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tawt.errors import ContractError, StageError
from tawt.labels.judge import faults_of, judge
from tests.unit.labels.engine import connected, fill, hours

EPOCH = datetime(1970, 1, 1)


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    """Three subjects: one who dies at hour 20, one who lives, one of whom nothing but the birth is known."""
    connection = connected()
    fill(
        connection,
        {
            1: hours((-99, "MEDS_BIRTH"), (0, "A"), (20, "MEDS_DEATH//x")),
            2: hours((0, "A"), (30, "B")),
            3: hours((0, "MEDS_BIRTH//x")),
        },
    )
    return connection


def _labels(*rows: tuple[Any, ...], column: str = "boolean_value", **more: list[Any]) -> pa.Table:
    when = [EPOCH + timedelta(hours=row[1]) for row in rows]
    return pa.table(
        {"subject_id": [row[0] for row in rows], "prediction_time": when, column: [row[2] for row in rows], **more}
    )


GOOD = ((1, 5, True), (1, 20, False), (2, 0, False))


def test_good_labels_pass(engine: duckdb.DuckDBPyConnection) -> None:
    """At the first moment of a record, and at the moment of death itself, one can ask."""
    judge(engine, _labels(*GOOD), "labels.x")
    assert faults_of(engine, _labels(*GOOD)) == []


def test_some_rows_may_have_no_answer(engine: duckdb.DuckDBPyConnection) -> None:
    """They are told apart from others later, as records that a teacher answers; a target without any answer is a mistake."""
    assert faults_of(engine, _labels(*GOOD, (2, 9, None))) == []
    (fault,) = faults_of(engine, _labels(*GOOD, (2, 9, None), target=["a", "a", "a", "b"]))
    assert fault.name == "no_answer" and "1 of 2 things" in fault.what
    assert [one.name for one in faults_of(engine, _labels((1, 5, True), (1, 20, None)))] == ["one_class"]


@pytest.mark.parametrize(
    ("rows", "name", "said"),
    [
        (((1, 5, True), (2, 5, True)), "one_class", "all <11 labels are yes"),
        ((*GOOD, (1, 21, True)), "after_death", "<11 of 4 labels ask after the subject's death"),
        ((*GOOD, (1, -1, True), (2, -5, True)), "before_record", "<11 of 5 labels ask before anything"),
        ((*GOOD, (3, 9, True)), "before_record", "<11 of 4 labels"),
        ((*GOOD, (7, 9, True), (7, 10, False)), "stranger", r"<11 of 5 labels are about subjects .* \(<11 of them\)"),
        ((*GOOD, (2, 0, True)), "twice", "<11 labels more than the <11 times"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_says_why(
    rows: tuple[tuple[Any, ...], ...], name: str, said: str, engine: duckdb.DuckDBPyConnection
) -> None:
    """One thing is wrong with each set, and that is what is said, with counts and a hint."""
    assert [fault.name for fault in faults_of(engine, _labels(*rows))] == [name]
    with pytest.raises(StageError, match=said) as error:
        judge(engine, _labels(*rows), "labels.x")
    assert error.value.hint


def test_an_empty_set_is_said_to_be_empty(engine: duckdb.DuckDBPyConnection) -> None:
    """No label is told before anything else."""
    assert [fault.name for fault in faults_of(engine, _labels(*GOOD).slice(0, 0))] == ["empty"]


def test_one_class_is_looked_for_in_each_horizon(engine: duckdb.DuckDBPyConnection) -> None:
    """Two horizons give two answers at one time, and each must have two classes."""
    rows = [*GOOD[:2], *((s, t, True) for s, t, _ in GOOD[:2])]
    (fault,) = faults_of(engine, _labels(*rows, horizon_hours=[24.0, 24.0, 48.0, 48.0]))
    assert fault.name == "one_class" and "horizon_hours 48.0" in fault.what
    (number,) = faults_of(engine, _labels((1, 5, 2.5), (2, 5, 2.5), column="float_value"))
    assert number.name == "one_class" and "2.5" not in number.what


def test_of_times_to_an_event_each_may_be_seen(engine: duckdb.DuckDBPyConnection) -> None:
    """Where every event was seen, times are learned from; where none was, there is nothing to learn."""
    rows = [(1, 5, True), (2, 5, True)]
    assert faults_of(engine, _labels(*rows, duration_hours=[2.0, 3.0])) == []
    censored = [(s, t, False) for s, t, _ in rows]
    assert [f.name for f in faults_of(engine, _labels(*censored, duration_hours=[2.0, 3.0]))] == ["one_class"]


def test_the_other_clock_knows_of_a_record_later(engine: duckdb.DuckDBPyConnection) -> None:
    """What was available only after the prediction time is not known then."""
    engine.execute("update events set available_time = time + interval 3 hours where subject_id = 2")
    try:
        assert [f.name for f in faults_of(engine, _labels(*GOOD), clock="available_time")] == ["before_record"]
    finally:
        engine.execute("update events set available_time = null")


def test_what_is_no_label_set_is_refused(engine: duckdb.DuckDBPyConnection) -> None:
    """A missing column, a column of another type and a null key are told by name."""
    for labels, said in (
        (_labels(*GOOD).rename_columns(["subject_id", "time", "boolean_value"]), "`prediction_time` is missing"),
        (_labels(*GOOD, column="label"), "no column holds an answer"),
        (_labels((None, 1, True)), "`subject_id`"),
        (_labels(("x", 1, True)), "`subject_id` is string"),
    ):
        with pytest.raises(ContractError, match=said):
            judge(engine, labels, "labels.x")
