"""Labels are derived some subjects at a time, with an account of who is left after each rule."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from tawt.contracts.contract import check_schema, own_contract
from tawt.errors import StageError
from tawt.labels.compile import compile_task
from tawt.labels.derive import Attrition, attrition_rows, derive, subject_ranges
from tests.unit.labels.engine import connected, fill, hours, task_of

TEXT = """predicates: {admit: {code: ADMIT}, out: {code: OUT}, male: {code: M, static: true}, both: {expr: "or(male, out)"}}
patient_demographics: {man: {code: M}}
trigger: admit
windows:
  input: {start: null, end: trigger + 2h, start_inclusive: true, end_inclusive: true, index_timestamp: end, has: {_ANY_EVENT: (2, None)}}
  gap: {start: trigger, end: start + 4h, start_inclusive: false, end_inclusive: true, has: {out: (None, 0)}}
  target: {start: gap.end, end: null, start_inclusive: false, end_inclusive: true, label: out}
"""


def test_ranges_of_subjects_give_what_all_give_at_once(tmp_path: Path) -> None:
    """However few events are asked about at once, the labels and the account are the same, and no subject is in two."""
    engine, rng = connected(), random.Random(4)
    records = {
        s: [*hours((None, "M"), (0, "ADMIT"), (1, "X"), (2, "ADMIT")), *hours((rng.randrange(3, 12), "OUT"), (12, "X"))]
        for s in (-(2**40), -3, *range(6), 2**40)
    }
    fill(engine, records)
    task = task_of(tmp_path, TEXT)
    whole = derive(engine, task, rows_at_once=10**9)
    assert engine.sql(compile_task(task).select).to_arrow_table().to_pylist() == [
        {**row, **{k: row[k] for k in ("label_count", "prior_count")}} for row in whole.labels.to_pylist()
    ]
    assert whole.labels.num_rows > 5
    for n in (1, 12):
        part = derive(engine, task, rows_at_once=n)
        assert part.labels.equals(whole.labels) and part.attrition == whole.attrition
        ranges = list(subject_ranges(engine, "events", n))
        assert len(ranges) > 1 and all(low[1] < high[0] for low, high in pairwise(ranges))
    check_schema(own_contract("label_sets"), whole.labels.schema, "labels")


def test_each_rule_tells_who_is_left(tmp_path: Path) -> None:
    """Samples and subjects are counted after each rule, in the order in which they are asked."""
    engine = connected()
    fill(
        engine,
        {
            1: hours((0, "ADMIT"), (1, "X"), (9, "OUT")),  # no man
            2: hours((None, "M"), (0, "ADMIT"), (9, "OUT")),  # one moment by the prediction time
            3: hours((None, "M"), (0, "ADMIT"), (1, "X"), (3, "OUT"), (9, "X")),  # out in the gap
            4: hours((None, "M"), (0, "ADMIT"), (1, "X"), (9, "OUT")),
            5: hours((None, "M"), (0, "ADMIT"), (1, "X"), (2, "X")),  # the record ends before the target
            6: hours((None, "M"), (0, "ADMIT"), (1, "ADMIT"), (9, "X")),
        },
    )
    found = derive(engine, task_of(tmp_path, TEXT))
    assert [(one.n_subjects, one.n_samples) for one in found.attrition] == [
        (6, 7), (5, 6), (5, 6), (4, 5), (4, 5), (3, 4), (2, 3)
    ]  # fmt: skip
    assert (
        found.labels.num_rows == 3
        and found.attrition[-1].rule == "target: gap.end to record end"
        and found.attrition[4].rule == "gap: trigger to start + 4h"
    )


def test_the_account_ends_at_what_is_written(tmp_path: Path) -> None:
    """Samples whose window of the prediction time is one and the same are one row, which the account says."""
    text = """predicates: {any: {code: X}, out: {code: OUT}, day: {code: DAY}}
trigger: any
windows:
  input: {start: null, end: trigger -> day, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  target: {start: input.end, end: null, start_inclusive: false, end_inclusive: true, label: out}
"""
    engine = connected()
    fill(
        engine,
        {
            1: hours((0, "X"), (1, "X"), (2, "DAY"), (3, "X"), (9, "DAY"), (12, "OUT")),
            2: hours((0, "X"), (1, "DAY"), (2, "X")),
        },
    )
    found = derive(engine, task_of(tmp_path, text))
    last = found.attrition[-1]
    assert found.labels.num_rows == last.n_samples == 3 < found.attrition[-2].n_samples
    assert last.rule == "samples of one prediction time are one" and last.n_subjects == 2


def test_few_people_are_told_of_nobody() -> None:
    """A count of few is told as such, and so is one whose difference from what was told before would be of few."""
    rows = attrition_rows(tuple(Attrition(str(i), n, 2 * n) for i, n in enumerate((500, 495, 480, 475, 4, 0))))
    assert [row["n_subjects"] for row in rows] == ["500", "490 to 499", "480", "470 to 479", "<11", "0"]
    assert [row["n_samples"] for row in rows] == ["1,000", "-", "960", "-", "-", "0"]


def test_a_label_in_what_is_known_is_an_error_with_counts(tmp_path: Path) -> None:
    """A label's window that begins before the prediction time, or at it with that moment within, is refused."""
    engine = connected()
    fill(engine, {1: hours((0, "ADMIT"), (9, "OUT")), 2: hours((0, "ADMIT"), (9, "X"))})
    head = "predicates: {admit: {code: ADMIT}, out: {code: OUT}}\ntrigger: admit\nwindows:\n  input: {start: null, end: trigger + 2h, start_inclusive: true, end_inclusive: true, index_timestamp: end}\n"
    for start, inclusive, wrong in (("trigger", "false", 2), ("input.end", "true", 2), ("input.end", "false", 0)):
        text = f"{head}  target: {{start: {start}, end: start + 9h, start_inclusive: {inclusive}, end_inclusive: true, label: out}}\n"
        if wrong:
            with pytest.raises(StageError, match="<11 of 2 labels are looked for in what is known"):
                derive(engine, task_of(tmp_path, text))
        else:
            assert derive(engine, task_of(tmp_path, text)).labels["boolean_value"].to_pylist() == [True, False]


def test_nothing_gives_an_empty_label_set(tmp_path: Path) -> None:
    """Without an event there is no label, in the columns of one, and nobody is left."""
    found = derive(connected(), task_of(tmp_path, TEXT))
    assert found.labels.num_rows == 0 and "boolean_value" in found.labels.schema.names
    assert {one.n_samples for one in found.attrition} == {0}
