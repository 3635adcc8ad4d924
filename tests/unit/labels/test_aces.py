"""An ACES task means what its language says: held to a plain evaluation of every subject, and to small cases."""

from __future__ import annotations

import random
import re
from pathlib import Path

import duckdb
import pytest

from tawt.builtin.all import stages_of
from tawt.config.named import resolve_pipeline
from tawt.errors import ConfigError
from tawt.labels.compile import compile_task
from tawt.labels.find import asked_for
from tawt.labels.language import duration
from tawt.labels.task import read_task
from tests.unit.labels import oracle
from tests.unit.labels.engine import connected, fill, hours, rows_of, task_of

HEAD = """predicates:
  admit: {code: {regex: "^ADMIT"}}
  out: {code: OUT}
  low: {code: LAB, value_max: 1.3, value_max_inclusive: true}
  other: ???
  either: {expr: or(admit, out)}
"""


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    """One engine for all tests here; each fills it."""
    return connected()


@pytest.mark.parametrize("seed", range(30))
def test_random_tasks_mean_what_is_counted_by_hand(
    seed: int, tmp_path: Path, engine: duckdb.DuckDBPyConnection
) -> None:
    """Four drawn tasks on drawn records give the labels and counts that loops over each subject give."""
    rng, met = random.Random(seed), 0
    while met < 4:
        records, task = oracle.random_records(rng), oracle.random_task(rng)
        expected = oracle.labels(task, records)
        if not expected and rng.random() < 0.95:  # most drawn tasks ask too much of short records
            continue
        met += 1
        fill(engine, records)
        found = engine.execute(
            "select subject_id, epoch_us(prediction_time), boolean_value, label_count "
            f"from ({compile_task(task_of(tmp_path, task.text())).select}) order by all"
        ).fetchall()
        assert found == expected, task.text()


@pytest.mark.parametrize(
    ("start_in", "end_in", "ends"), [(True, True, 0), (True, False, 4), (False, True, 4), (False, False, 4)]
)
def test_an_event_at_the_start_ends_a_window_only_if_that_is_not_empty(
    start_in: bool, end_in: bool, ends: int, tmp_path: Path, engine: duckdb.DuckDBPyConnection
) -> None:
    """`start -> out` finds an event at the start itself where both sides are within, and the next one elsewhere."""
    fill(engine, {1: hours((0, "ADMIT"), (0, "OUT"), (2, "X"), (4, "OUT"))})
    sides = f"start_inclusive: {str(start_in).lower()}, end_inclusive: {str(end_in).lower()}"
    task = task_of(
        tmp_path,
        f"{HEAD}trigger: admit\nwindows:\n  w: {{start: trigger, end: start -> out, {sides}, index_timestamp: end}}\n",
    )
    assert rows_of(engine, task, ["boolean_value"]) == [(1, ends, None)]


def test_what_bounds_a_window_must_be_there(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Where no event follows, or a window would end before the record begins, there is no sample."""
    fill(engine, {1: hours((5, "ADMIT"), (9, "X")), 2: hours((5, "ADMIT"), (9, "OUT"))})
    sides = "start_inclusive: true, end_inclusive: true, index_timestamp: end"
    follows = task_of(
        tmp_path, f"{HEAD}trigger: admit\nwindows: {{w: {{start: trigger, end: start -> out, {sides}}}}}\n"
    )
    assert rows_of(engine, follows, ["boolean_value"]) == [(2, 9, None)]
    for hours_before, n in ((1, 0), (0, 2)):
        before = task_of(
            tmp_path,
            f"{HEAD}trigger: admit\nwindows: {{w: {{start: null, end: trigger - {hours_before}h, {sides}}}}}\n",
        )
        assert len(rows_of(engine, before, ["boolean_value"])) == n


def test_rows_of_one_moment_are_one_event_and_count_as_often_as_they_are(
    tmp_path: Path, engine: duckdb.DuckDBPyConnection
) -> None:
    """`_ANY_EVENT` counts moments, a plain predicate its rows, a derived one the moments at which it holds."""
    fill(engine, {1: hours((0, "ADMIT"), (1, "OUT"), (1, "OUT"), (1, "ADMIT"), (2, "X"))})
    for name, n in (("_ANY_EVENT", 3), ("out", 2), ("either", 2)):
        task = task_of(
            tmp_path,
            f"{HEAD}trigger: _RECORD_START\nwindows:\n  w: {{start: trigger, end: null, start_inclusive: true, end_inclusive: true,"
            f" index_timestamp: start, label: {name}}}\n",
        )
        assert rows_of(engine, task, ["label_count"]) == [(1, 0, n)]


def test_a_bound_on_a_value_is_read_as_the_value_was(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """1.3 as float32 is at most 1.3, a bound is exclusive unless it says otherwise, and no number is in no range."""
    fill(engine, {1: [*hours((0, "LAB", 1.3)), *hours((1, "LAB")), *hours((2, "LAB", 1.4))]})
    for key, found in (("value_max_inclusive: true", [0]), ("value_max_inclusive: false", []), ("static: false", [])):
        head = HEAD.replace("value_max_inclusive: true", key)
        sides = "start_inclusive: true, end_inclusive: true, index_timestamp: end"
        task = task_of(tmp_path, f"{head}trigger: low\nwindows: {{w: {{start: null, end: trigger, {sides}}}}}\n")
        assert [when for _, when, _ in rows_of(engine, task, ["boolean_value"])] == found


def test_facts_without_a_time_choose_subjects(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """All demographics must be there without a time; the same code at a moment does not do."""
    records = {
        1: hours((None, "MALE"), (0, "OUT")),
        2: hours((0, "MALE"), (1, "OUT")),
        3: hours((None, "F"), (0, "OUT")),
    }
    fill(engine, records)
    sides = "start_inclusive: true, end_inclusive: true, index_timestamp: end"
    task = task_of(
        tmp_path,
        f"{HEAD}patient_demographics: {{male: {{code: MALE}}}}\ntrigger: out\nwindows: {{w: {{start: null, end: trigger, {sides}}}}}\n",
    )
    assert rows_of(engine, task, ["boolean_value"]) == [(1, 0, None)]
    fill(engine, {1: hours((None, "OUT"), (None, "ADMIT"), (3, "OUT"))})
    assert rows_of(engine, task_of(tmp_path, f"{HEAD}trigger: either\n"), ["boolean_value"]) == [(1, 3, None)]


def test_the_other_clock_asks_when_something_was_known(tmp_path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """On `available_time` a window counts what could be read by its end, and a row without one counts at its time."""
    fill(engine, {1: hours((0, "ADMIT"), (1, "OUT"), (2, "X"))})
    engine.execute("update events set available_time = time + interval 4 hours where code = 'OUT'")
    task = task_of(
        tmp_path,
        f"{HEAD}trigger: admit\nwindows:\n  w: {{start: trigger, end: start + 3h, start_inclusive: true, end_inclusive: true,"
        " index_timestamp: end, label: out}\n",
    )
    for clock, said in (("time", True), ("available_time", False)):
        assert rows_of(engine, task, ["boolean_value"], clock) == [(1, 3, said)]


def test_the_predicates_of_a_dataset_take_the_place_of_the_tasks(
    tmp_path: Path, engine: duckdb.DuckDBPyConnection
) -> None:
    """A placeholder is refused by name until a file of the dataset says what it is; further columns stand beside `code`."""
    sides = "start_inclusive: true, end_inclusive: true, index_timestamp: end"
    text = f"{HEAD}trigger: other\nwindows: {{w: {{start: null, end: trigger, {sides}}}}}\n"
    with pytest.raises(ConfigError, match=r"task.yaml:5: .*`other` has no code yet"):
        task_of(tmp_path, text)
    (tmp_path / "own.yaml").write_text("predicates: {other: {code: LAB, unit: mg}}\n")
    fill(engine, {1: [oracle.Event(0, "LAB", 1, "g"), oracle.Event(oracle.HOUR, "LAB", 1, "mg")]})
    task = read_task(tmp_path / "task.yaml", tmp_path / "own.yaml")
    assert rows_of(engine, task, ["boolean_value"]) == [(1, 1, None)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("label: out", "label: oout", "task.yaml:9: `windows.t.label`: names the predicate `oout`.*did you mean `out`"),
        ("trigger: admit", "trigger: male", "task.yaml:7: .*names the predicate `male`"),
        ("w.end,", "v.end,", "task.yaml:9: .*seen from `v`"),
        ("w.end,", "t.end,", "task.yaml:9: .*the window itself"),
        ("trigger + 24h", "t.end", "in|from itself"),
        ("trigger + 24h", "trigger + 2y", "task.yaml:8: .*years differ in length"),
        ("trigger + 24h", "start + 24h", "one side must be found"),
        ("start -> out", "start <- out", "task.yaml:9: .*end before its start"),
        ("start -> out", "null", None),
        ("or(admit, out)", "or(admit)", "task.yaml:6: .*two predicates at least"),
        ("or(admit, out)", "or(admit, either)", "task.yaml:6: .*derived from itself"),
        ("or(admit, out)", "or(admit, nobody)", None),
        ("(5, None)", "(5, 4)", "task.yaml:8: .*no count is in this one"),
        ("(5, None)", "5", "task.yaml:8: .*`\\(MIN, MAX\\)`"),
        ('regex: "^ADMIT"', 'regx: "^ADMIT"', "task.yaml:2: unknown key"),
        ("trigger: admit", "tigger: admit", "task.yaml:7: unknown key `tigger`"),
        ("label: out", "label: out, index_timestamp: start", "one window has it"),
        ("label: out", "label: other", "`other` has no code yet"),
        (", index_timestamp: end", "", "`index_timestamp` which of its sides"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_line_and_name(old: str, new: str, said: str | None, tmp_path: Path) -> None:
    """What does not fit names its line, and the nearest name; a predicate that nobody names may be what it will."""
    text = (
        f"{HEAD}trigger: admit\nwindows: {{w: {{start: null, end: trigger + 24h, has: {{_ANY_EVENT: (5, None)}},"
        " start_inclusive: true, end_inclusive: true, index_timestamp: end},\n"
        + "  t: {start: w.end, end: start -> out, start_inclusive: false, end_inclusive: true, label: out}}\n"
    )
    assert old in text
    if said is None:
        assert task_of(tmp_path, text.replace(old, new)).label_window == "t"
    else:
        with pytest.raises(ConfigError) as error:
            task_of(tmp_path, text.replace(old, new))
        assert re.search(said, f"{error.value} {error.value.hint}"), str(error.value)


def test_a_regular_expression_that_is_none_names_its_predicate(tmp_path: Path) -> None:
    """Look-around, which the engine does not have, is refused before anything is read."""
    text = f"{HEAD}trigger: admit\n".replace("^ADMIT", "(?=ADMIT)")
    with pytest.raises(ConfigError, match=r"predicates\.admit\.code\.regex"):
        compile_task(task_of(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86_400), ("30 days", 2_592_000), ("6570d", 567_648_000), ("60s", 60), ("2 hours", 7_200), ("1 day, 14:20:16", 138_016),
     ("1h30m", 5_400), ("1.5 hours", 5_400), ("02:30", 150), ("1w 2d 3h 4m 5s", 788_645), ("365D", 31_536_000), (":30", 30)],
)  # fmt: skip
def test_durations_are_read_in_all_their_forms(text: str, seconds: int) -> None:
    """Words, letters, clocks and sums of them."""
    assert duration(text) == seconds * 1_000_000


def _chained(n: int) -> str:
    """Predicates that are each derived from the one before, three times over."""
    named = "".join(f'  p{i}: {{expr: "or(p{i - 1}, and(p{i - 1}, p{i - 1}))"}}\n' for i in range(1, n + 1))
    return f"predicates:\n  p0: {{code: ADMIT}}\n{named}trigger: p{n}\n"


def test_what_is_derived_again_and_again_is_written_once(tmp_path: Path) -> None:
    """The text grows with the predicates, not with the ways that lead to them; a chain without end is refused."""
    short, long = (len(compile_task(task_of(tmp_path, _chained(n))).select) for n in (10, 40))
    assert long < 6 * short
    with pytest.raises(ConfigError, match="chain of more than 50 others"):
        task_of(tmp_path, _chained(1500))


@pytest.mark.parametrize(
    ("source", "task", "named"),
    [("physionet2012", "in_hospital_mortality_24h", "hospital_admission"), ("meds", "next_potassium", "potassium")],
)
def test_a_ready_task_of_which_a_source_names_no_codes_asks_for_a_file_of_them(
    source: str, task: str, named: str
) -> None:
    """The error says which codes nothing names, and no file of tawt's own is to be edited."""
    with pytest.raises(ConfigError, match=f"cannot be asked of `{source}`: nothing says what {named}") as error:
        asked_for(task, stages_of(resolve_pipeline(source)), source)
    assert "--predicates FILE" in error.value.hint and ".yaml" not in str(error.value)
