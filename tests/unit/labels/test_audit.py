"""The audit's look at events, labels and tasks: planted leaks are found, and what is clean is called so."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tawt.labels.leaks.events import audit_answers, audit_events, audit_task
from tawt.labels.leaks.verdict import Verdict, named
from tawt.labels.windows import least_gap
from tests.unit.labels.engine import connected, fill, hours, task_of
from tests.unit.labels.oracle import HOUR

N = 12
STAY = [(0.0, "HOSPITAL_ADMISSION//ER"), (1.0, "LAB//K", 4.0), (48.0, "HOSPITAL_DISCHARGE//HOME")]
TASK = """predicates:
  admission: {code: {regex: "^HOSPITAL_ADMISSION"}}
  discharge: {code: {regex: "^HOSPITAL_DISCHARGE"}}
  death: {code: MEDS_DEATH}
trigger: admission
windows:
  input: {start: null, end: trigger + 24h, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  gap: {start: trigger, end: start + %s, start_inclusive: false, end_inclusive: true, has: {discharge: (None, 0)}}
  target: {start: %s, end: start -> discharge, start_inclusive: %s, end_inclusive: true, label: death}
"""


def found(
    *more: tuple[float, str], late: str = "", prior: int = 0, twice: bool = False, entered: str | None = None
) -> dict[str, Verdict]:
    """What is said of N alike subjects, each asked at 24 hours."""
    connection = connected()
    fill(connection, {subject: hours(*STAY, *more) for subject in range(N)})
    if late:
        connection.execute(f"update events set available_time = time + interval 30 hours where code = '{late}'")
    labels = pa.table({
        "subject_id": range(N), "prediction_time": [24 * HOUR] * N, "positive": [i % 2 == 0 for i in range(N)],
        "prior_count": pa.array([prior] * N, pa.int64()),
    })  # fmt: skip
    splits = {"train": [*range(9)], "held_out": [*range(8 if twice else 9, N)]}
    connection.register("asked", labels.select(["subject_id", "prediction_time"]))
    return {one.code: one for one in (*audit_events(connection, splits, entered), *audit_answers(connection, labels))}


def leaks(verdicts: dict[str, Verdict]) -> set[str]:
    return {code for code, one in verdicts.items() if one.status == "leak"}


def test_what_is_clean_is_called_so() -> None:
    """Nothing is found in a plain stay, with a diagnosis that is billed at the discharge."""
    said = found((48.0, "DIAGNOSIS//ICD//A41"))
    assert {one.status for one in said.values()} == {"clean"}, said


@pytest.mark.parametrize(
    ("planted", "code"),
    [
        ({"more": [(0.0, "DIAGNOSIS//ICD//A41")]}, "BILLED_AFTER_DISCHARGE"),
        ({"more": [(0.0, "DIAGNOSIS//ICD//A41")]}, "UNDATED_SOURCE"),
        ({"more": [(20.0, "MEDS_DEATH")]}, "POST_OUTCOME_INSTANCE"),
        ({"prior": 2}, "REPEATED_EVENT"),
        ({"twice": True}, "ENTITY_OVERLAP"),
    ],
)
def test_what_was_planted_is_found(planted: dict, code: str) -> None:
    """A bill at the admission, a question after the death, what was there before, and a subject in two splits."""
    said = found(*planted.pop("more", ()), **planted)
    assert code in leaks(said)
    if said[code].codes:
        assert said[code].codes == ("DIAGNOSIS//ICD//A41",) and f"({N} subjects)" in said[code].told


def test_what_is_entered_in_a_stay_is_of_no_bill() -> None:
    """Where the source says so its diagnoses may be known in the stay, others not; the verdict says on whose word."""
    early, at_start = (5.0, "DIAGNOSIS//renal"), (0.0, "DIAGNOSIS//cardiac")
    assert leaks(found(early, at_start)) == {"BILLED_AFTER_DISCHARGE", "UNDATED_SOURCE"}
    said = found(early, at_start, entered="^DIAGNOSIS//")
    assert leaks(said) == set() and "as the source says" in said["BILLED_AFTER_DISCHARGE"].told
    assert leaks(found(early, (5.0, "ICD//A41"), entered="^DIAGNOSIS//")) == {"BILLED_AFTER_DISCHARGE"}


def test_what_was_not_known_yet_is_counted() -> None:
    """A result that is reported later is no leak, as it is cut, and is counted."""
    said = found(late="LAB//K")["AVAILABILITY_LAG"]
    assert said.status == "clean" and said.told.startswith(f"{N} events of {N} subjects")


def test_what_was_not_known_yet_is_counted_once_a_result() -> None:
    """However often its subject is asked before it is known; and whoever is asked after the death is counted once."""
    connection = connected()
    fill(connection, {subject: hours(*STAY, (20.0, "MEDS_DEATH"), (30.0, "MEDS_DEATH")) for subject in range(N)})
    connection.execute("update events set available_time = time + interval 30 hours where code = 'LAB//K'")
    times = [hour * HOUR for hour in (0, *range(2, 40))]
    labels = pa.table({
        "subject_id": [subject for subject in range(N) for _ in times], "prediction_time": times * N,
        "positive": [True] * N * len(times),
    })  # fmt: skip
    connection.register("asked", labels)
    splits = {"train": [*range(N)]}
    lag = next(one for one in audit_events(connection, splits) if one.code == "AVAILABILITY_LAG")
    assert lag.told.startswith(f"{N} events of {N} subjects")
    after = next(one for one in audit_answers(connection, labels) if one.code == "POST_OUTCOME_INSTANCE")
    assert after.told.startswith(f"{N * sum(time > 20 * HOUR for time in times)} labels")
    connection.execute("update events set code = 'MEDS_BIRTH_OR_DEATH_FORM' where code = 'MEDS_DEATH'")
    assert "POST_OUTCOME_INSTANCE" not in leaks({one.code: one for one in audit_answers(connection, labels)})


@pytest.mark.parametrize(("gap", "late"), [("24h", False), ("48h", True)])
def test_windows_are_looked_at(gap: str, late: bool, tmp_path: Path) -> None:
    """A choice by what comes later is told with the samples that its own window takes away, and those of no other."""
    task = task_of(tmp_path, TASK % (gap, "gap.end", "false"))
    rules = [
        {"rule": "trigger: admission", "n_samples": "60", "window": ""},
        {"rule": "gap_before has discharge: None to 0", "n_samples": "55", "window": "gap_before"},
        {"rule": "gap has discharge: None to 0", "n_samples": "50", "window": "gap"},
    ]
    said = {one.code: one for one in audit_task(task, rules)}
    assert said["LABEL_IN_INPUT"].status == "clean"  # else `derive` had refused it
    cohort = said["COHORT_FUTURE_INFORMATION"]
    assert cohort.status == ("leak" if late else "clean")
    assert ("55 to 50 samples" in cohort.told) == late and "60 to 55" not in cohort.told


def test_gaps_hang_on_how_windows_are_written(tmp_path: Path) -> None:
    """A fixed time is known both ways, a next moment gives the least, and one looked for backwards nothing."""
    task = task_of(tmp_path, TASK % ("48h", "gap.end", "false"))
    assert least_gap(task, "target.start", "input.end") == 24 * HOUR
    assert least_gap(task, "input.end", "target.start") == -24 * HOUR
    assert least_gap(task, "target.end", "input.end") == 24 * HOUR
    assert least_gap(task, "input.end", "target.end") is None


def test_few_people_have_no_name() -> None:
    """A code of ten people is counted, not named."""
    assert named({"A": 30, "B": 10}) == "A (30 subjects) and 1 more codes"
    assert named({"B": 10}) == "1 codes of fewer than 11 subjects"
