"""What ACES cannot say: counts, values, classes, times to an event, horizons, new onsets, several labels, few samples."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tawt.errors import ConfigError
from tests.unit.labels import oracle
from tests.unit.labels.engine import connected, fill, hours, rows_of, task_of
from tests.unit.labels.oracle import HOUR

HEAD = """predicates:
  admit: {code: {regex: "^ADMIT"}}
  out: {code: OUT}
  k: {code: LAB//K}
  death: {code: DEATH}
  lab: {expr: or(k, death)}
trigger: admit
"""
WINDOWS = """windows:
  now: {start: null, end: trigger, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  later: {start: trigger, end: END, start_inclusive: false, end_inclusive: true, label: LABEL}
"""


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    """One engine for all tests here; each fills it."""
    return connected()


def _task(label: str, end: str = "start + 6h", **keys: str) -> str:
    return (
        HEAD
        + "".join(f"{key}: {value}\n" for key, value in keys.items())
        + WINDOWS.replace("LABEL", label).replace("END", end)
    )


def _spans(
    rng: random.Random, label: str
) -> tuple[dict[int, list[oracle.Event]], list[tuple[int, int, oracle.Record, tuple[int, int, bool, bool]]]]:
    """Drawn records, and each moment of the trigger with the span of six hours after it."""
    records = oracle.random_records(rng, 10 if label == "k" else 20, 40 if label == "k" else 24)
    drawn = oracle.Drawn(
        {"admit": {"regex": "^ADMIT"}, "out": {"code": "OUT"}, "k": {"code": "LAB//K"}, "death": {"code": "DEATH"}},
        [],
        "admit",
        {},
    )
    found = []
    for subject, events in records.items():
        record = oracle.Record(drawn, events)
        found += [(subject, m, record, (m, m + 6 * HOUR, False, True)) for m in record.moments if record.at("admit", m)]
    return records, found


@pytest.mark.parametrize("how", ["first", "last", "min", "max", "mean", "slope"])
def test_a_value_is_taken_of_the_moments_in_the_window(
    how: str, tmp_path: Path, engine: duckdb.DuckDBPyConnection
) -> None:
    """Values of one moment are averaged, then one is taken; a sample without any is left out."""
    records, spans = _spans(random.Random(3), "k")
    expected = []
    for subject, when, record, span in spans:
        found = record.values(["k", "death"], span)
        times, numbers = np.array([t for t, _ in found]) / (24 * HOUR), np.array([v for _, v in found])
        if len(found) > (1 if how == "slope" else 0):
            slope = np.polyfit(times - times[0], numbers, 1)[0] if how == "slope" else 0
            taken = {
                "first": numbers[0],
                "last": numbers[-1],
                "min": numbers.min(),
                "max": numbers.max(),
                "mean": numbers.mean(),
                "slope": slope,
            }
            expected.append((subject, when / HOUR, float(taken[how])))
    fill(engine, records)
    rows = rows_of(engine, task_of(tmp_path, _task("lab", label_type="value", label_agg=how)), ["float_value"])
    assert len(expected) > 4 and [row[:2] for row in rows] == [row[:2] for row in expected]
    assert [row[2] for row in rows] == pytest.approx([row[2] for row in expected], rel=1e-5, abs=1e-5)


def test_a_class_is_the_bin_of_a_value(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """An edge belongs to the class above it, and is read as the value was."""
    fill(engine, {i: hours((0, "ADMIT"), (1, "LAB//K", v)) for i, v in enumerate((1.2, 1.3, 2.0, 3.5))})
    task = task_of(tmp_path, _task("k", label_type="multiclass", bins="[1.3, 3.5]"))
    assert [row[2:] for row in rows_of(engine, task, ["integer_value", "categorical_value"])] == [
        (0, "<1.3"), (1, "1.3 to 3.5"), (1, "1.3 to 3.5"), (2, ">=3.5")
    ]  # fmt: skip


def test_a_count_is_an_integer(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """`label_type: count` gives how often it was there, and how often before."""
    records, spans = _spans(random.Random(5), "out")
    fill(engine, records)
    task = task_of(tmp_path, _task("out", label_type="count"))
    expected = [
        (subject, when / HOUR, record.count("out", span), record.count("out", (0, when, True, True)))
        for subject, when, record, span in spans
    ]
    assert len({row[2] for row in expected}) > 1
    assert rows_of(engine, task, ["integer_value", "prior_count"]) == expected


@pytest.mark.parametrize("new_onset", [None, "false"])
def test_a_time_to_an_event_is_censored_where_the_record_or_the_window_ends(
    new_onset: str | None, tmp_path: Path, engine: duckdb.DuckDBPyConnection
) -> None:
    """The time runs to the first event, else to the earlier of both ends; whoever had the event before is left out."""
    records, spans = _spans(random.Random(8), "out")
    expected = []
    for subject, when, record, span in spans:
        if new_onset is None and record.count("out", (0, when, True, True)):
            continue
        seen = [m for m in record.moments if oracle.inside(m, span) and record.at("out", m)]
        end = seen[0] if seen else min(span[1], record.moments[-1])
        expected.append((subject, when / HOUR, bool(seen), (end - when) / HOUR))
    keys = {"label_type": "time_to_event"} | ({} if new_onset is None else {"new_onset": new_onset})
    fill(engine, records)
    assert {row[2] for row in expected} == {True, False} and {row[3] == 6 for row in expected} == {True, False}
    assert rows_of(engine, task_of(tmp_path, _task("out", **keys)), ["boolean_value", "duration_hours"]) == expected


def test_a_horizon_is_answered_where_the_record_reaches_it(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Each horizon is a row; a no is only said of who was observed up to it, a yes of who had the event by then."""
    fill(
        engine,
        {
            1: hours((0, "ADMIT"), (2, "OUT"), (3, "X")),  # yes at both
            2: hours((0, "ADMIT"), (3, "X")),  # seen up to the first alone
            3: hours((0, "ADMIT"), (5, "OUT"), (9, "X")),  # no, then yes
            4: hours((-1, "OUT"), (0, "ADMIT"), (9, "X")),  # had it before
        },
    )
    task = task_of(tmp_path, _task("out", "null", horizons="[2h, 6 hours]"))
    assert [(row[0], row[2], row[3]) for row in rows_of(engine, task, ["horizon_hours", "boolean_value"])] == [
        (1, 2, True), (1, 6, True), (2, 2, False), (3, 2, False), (3, 6, True)
    ]  # fmt: skip


def test_several_labels_are_told_apart_by_their_target(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """A list of labels asks each of them at each time."""
    fill(engine, {1: hours((0, "ADMIT"), (2, "OUT")), 2: hours((0, "ADMIT"), (1, "DEATH"), (2, "OUT"))})
    rows = rows_of(engine, task_of(tmp_path, _task("[out, death]")), ["target", "boolean_value"])
    assert rows == [(1, 0, "death", False), (1, 0, "out", True), (2, 0, "death", True), (2, 0, "out", True)]


@pytest.mark.parametrize("sampling", ["first", "random(1)", "random(2)"])
def test_few_samples_of_a_subject_are_drawn_of_those_that_are_left(
    sampling: str, tmp_path: Path, engine: duckdb.DuckDBPyConnection
) -> None:
    """Two of each subject at most, always the same ones, and by another seed others."""
    fill(engine, {s: hours(*((float(h), "ADMIT") for h in range(12)), (12, "OUT")) for s in range(5)})
    every = rows_of(engine, task_of(tmp_path, _task("out")), ["boolean_value"])
    drawn = [
        rows_of(engine, task_of(tmp_path, _task("out", sampling=how, max_per_subject="2")), ["boolean_value"])
        for how in (sampling, sampling, "random(3)")
    ]
    assert drawn[0] == drawn[1] and {*drawn[0]} < {*every} and drawn[0] != drawn[2]
    assert [row[0] for row in drawn[0]] == [s for s in range(5) for _ in range(2)]
    assert sampling != "first" or [row[1] for row in drawn[0]] == [0, 1] * 5


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"label_type": "multiclass"}, "has `bins`"), ({"label_type": "multiclass", "bins": "[2, 1]"}, "do not ascend"),
        ({"label_type": "value", "horizons": "[2h]"}, "horizons are yes or no"), ({"label_agg": "mean"}, "one of several values"),
        ({"horizons": "[2 years]"}, "years differ"), ({"sampling": "random(1)"}, "how many"), ({"max_per_subject": "1"}, "keeps all"),
        ({"horizons": "[2h, 120 minutes]"}, "twice"), ({"horizons": "[0h]"}, "above 0"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit_together_are_refused(keys: dict[str, str], said: str, tmp_path: Path) -> None:
    """Each says which keys do not fit."""
    with pytest.raises(ConfigError, match=said):
        task_of(tmp_path, _task("out", **keys))


def test_a_value_needs_a_plain_predicate(tmp_path: Path) -> None:
    """What several predicates must hold for has no value of its own."""
    with pytest.raises(ConfigError, match="has no value"):
        task_of(tmp_path, _task("lab", label_type="value").replace("or(k", "and(k"))
