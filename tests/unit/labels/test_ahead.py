"""What a task asks of the time ahead: told of tasks that are a yes or no about codes, and of no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.labels.ahead import Ahead, ahead_of
from tests.unit.labels.engine import connected, task_of

CODES = ("ADMIT//A", "ADMIT//B", "OUT", "DEATH", "LAB//K", "CARE")
TASK = """predicates:
  admit: {code: {regex: "^ADMIT"}}
  out: {code: OUT}
  death: {code: DEATH}
  care: {code: {any: [CARE, NEVER]}}
  high: {code: LAB//K, value_min: 6}
  over: {expr: "or(out, death)"}
  worst: {expr: "or(death, and(care, high))"}
trigger: admit
KEYSwindows:
  input: {start: null, end: trigger + 24h, start_inclusive: true, end_inclusive: true, index_timestamp: end}
  target: {start: START, end: END, start_inclusive: LOW, end_inclusive: HIGH, label: LABEL}
"""
DAY = 86_400_000_000


def asked(folder: Path, label="death", start="input.end", end="start -> over", low="false", high="true", keys=""):
    """What a task says, in the engine's own words for codes."""
    connection = connected()
    connection.execute("create table codes as select unnest(?) as code", [list(CODES)])
    text = TASK.replace("KEYS", keys).replace("START", start).replace("END", end).replace("LABEL", label)
    return ahead_of(connection, task_of(folder, text.replace("LOW", low).replace("HIGH", high)), "codes")


def test_a_window_of_the_record_is_told_by_its_codes(tmp_path: Path) -> None:
    """Up to an event, up to a fixed time and up to the record's end, of one code, of several and of either of two."""
    assert asked(tmp_path) == Ahead(frozenset({"DEATH"}), frozenset({"OUT", "DEATH"}), None)
    assert asked(tmp_path, end="start + 48h") == Ahead(frozenset({"DEATH"}), frozenset(), 2 * DAY)
    assert asked(tmp_path, "over", end="null") == Ahead(frozenset({"OUT", "DEATH"}), frozenset(), None)
    assert asked(tmp_path, "care", end="start -> admit") == Ahead(
        frozenset({"CARE"}), frozenset({"ADMIT//A", "ADMIT//B"}), None
    )


@pytest.mark.parametrize(
    "other",
    [
        {"label": "high"}, {"label": "worst"}, {"start": "input.end + 2h"}, {"low": "true"}, {"high": "false"},
        {"end": "start -> high"}, {"keys": "label_type: count\n"}, {"keys": "horizons: [24h]\n"},
        {"label": "[death, care]"}, {"start": "trigger", "low": "false"},
    ],
    ids=str,
)  # fmt: skip
def test_what_asks_more_is_not_told(tmp_path: Path, other: dict[str, str]) -> None:
    """Values, two things at once, a gap before the window, open ends and other kinds of answers are None."""
    assert asked(tmp_path, **other) is None
