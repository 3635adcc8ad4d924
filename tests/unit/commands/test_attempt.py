"""What is looked at without being made: a stage or a step on the first records, dropped records, lineage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tawt
from tawt.cli.again import follow_ingest
from tawt.errors import ConfigError, StageError

STAGING = """-- One row is one reading.
with readings as (select _row, subject_id, seen, number from raw.readings),

typed as (select *, number(number) as x from readings)

select
    whole(subject_id)::bigint as subject_id, seen::varchar as seen, x::double as number, _row::bigint as _row,
    (case when subject_id is null then 'quarantine:subject_id:missing' when x < $least then 'drop:small'
          when x is null then 'drop:empty' end)::varchar as _reason
from typed
"""
PART = """-- One row is one reading as an event, and a second time where it is even.
with readings as (select * from staging.readings),

others as (select distinct subject_id, 'OTHER' as code from staging.readings),

doubled as (
    select *, unnest(case when number % 2 = 0 then ['EVEN', 'READING'] else ['READING'] end) as code from readings
)

select
    subject_id, '2020-01-01'::timestamp as time, code::varchar as code, number::double as numeric_value,
    null::varchar as text_value, null::varchar as unit, null::varchar as raw_value, '2020-01-01'::timestamp as available_time,
    'numeric'::varchar as value_status, _row, (case when number = 7 or code = 'EVEN' then 'drop:missing_outcome' end)::varchar as _reason
from doubled
"""
NUMBERS = [0, 1, 2, 3, "", 5, 6, 7, 8, 5, 1]
RECORDS = [f"{1 + i % 2},day {i},{number}" for i, number in enumerate(NUMBERS)]


@pytest.fixture
def made(make_project: Callable[..., Path], tmp_path: Path) -> Path:
    """The workspace of a table in two files, of which a record is dropped as small, one as empty, and so on."""
    columns = [{"name": name, "type": "string"} for name in ("subject_id", "seen", "number")]
    staged = [{"name": "subject_id", "type": "int64", "nullable": False}, {"name": "seen", "type": "string"},
              {"name": "number", "type": "float64"}]  # fmt: skip
    raw = make_project(columns, staged, STAGING, PART)
    (tmp_path / "assets" / "pipelines" / "lab.yaml").write_text("name: lab\nsource: lab\nparameters: {least: 2}\n")
    path = tmp_path / "assets" / "schemas" / "lab" / "staging" / "readings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reasons": ["small", "empty"]}))
    (raw / "readings").mkdir()
    for name, part in (("a.csv", RECORDS[:4]), ("b.csv", RECORDS[4:])):
        (raw / "readings" / name).write_text("\n".join(["subject_id,seen,number", *part, ""]))
    tawt.ingest(raw, "lab", tmp_path / "w", threads=1)
    return tmp_path / "w"


def edit(workspace: Path, stage: str, old: str, new: str) -> None:
    """Change the SQL of a stage of the project that the workspace is of."""
    path = workspace.parent / "assets" / "sql" / "lab" / f"{stage}.sql"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_step_is_tried_on_the_first_raw_records_and_nothing_is_written(made: Path, tree) -> None:
    """Of a raw table the first records in the order of its files, by the SQL as it is now, before it was ever run."""
    edit(made, "staging/readings", "number(number) as x", "number(number) * 10 as x")
    before = tree(made)
    tried = tawt.attempt("staging.readings", made, "typed", 5)
    assert tried["x"].to_pylist() == [0, 10, 20, 30, None]
    assert tried["number"].to_pylist() == ["0", "1", "2", "3", None]
    assert tawt.attempt("staging.readings", made, limit=2)["_reason"].to_pylist() == ["drop:small", None]
    assert tree(made) == before


def test_only_the_first_relation_of_a_stage_is_cut(made: Path) -> None:
    """One record may give several rows; of a step that does not read the first relation no more rows come than asked."""
    assert tawt.attempt("event_parts.readings", made, "doubled", 1)["code"].to_pylist() == ["EVEN", "READING"]
    assert len(tawt.attempt("event_parts.readings", made, "others", 1)) == 1
    assert tawt.query("event_parts.readings", made, cte="readings", limit=3)["number"].to_pylist() == [2, 3, 5]


def test_a_trial_tells_of_each_row_what_a_run_would(made: Path) -> None:
    """A row that lacks its time is set aside, and a number that is none is named, as they are when the stage runs."""
    seen = "case when number > 2 then timestamp '2020-01-01' end as time"
    edit(made, "event_parts/readings", "'2020-01-01'::timestamp as time", seen)
    edit(made, "event_parts/readings", "number::double as", "(1.0::double / (number - 3)) as")
    edit(made, "event_parts/readings", "'numeric'::varchar as value_status, ", "")
    rows = tawt.attempt("event_parts.readings", made, limit=3).to_pylist()
    assert [(row["_reason"], row["_faults"]) for row in rows] == [
        ("drop:missing_outcome", None), ("quarantine:time:missing", None), (None, "numeric_value:not_finite"), (None, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "cte", "what"),
    [
        ("staging.readings", "type", "`type` is no step of it"),
        ("staging.reading", None, "is not there"),
        ("events", None, "is code"),
        ("select 1", "typed", "is not there"),
    ],
)
def test_a_step_that_is_not_there_is_refused_by_name(made: Path, stage: str, cte: str | None, what: str) -> None:
    """Neither a step nor a stage is guessed; the nearest is named."""
    with pytest.raises(ConfigError, match=what) as caught:
        tawt.attempt(stage, made, cte)
    assert caught.value.hint


def test_a_step_with_a_mistake_tells_its_place_and_no_cell(made: Path) -> None:
    """The engine's own text can quote cells: only the kind of the mistake is told."""
    edit(made, "staging/readings", "number(number) as x", "(1000 * number(number))::utinyint as x")
    with pytest.raises(StageError) as caught:
        tawt.attempt("staging.readings", made, "typed")
    assert "day" not in str(caught.value) + caught.value.hint


def test_a_query_may_read_raw_tables_and_be_cut(made: Path) -> None:
    """`raw.<name>` is what the files hold now; a limit cuts the answer."""
    assert tawt.query("select count(*) as n, min(_row) as first from raw.readings", made).to_pylist() == [
        {"n": 11, "first": 1}
    ]
    assert tawt.query("select number from raw.readings", made, limit=3)["number"].to_pylist() == ["0", "1", "2"]
    (made.parent / "raw" / "readings" / "b.csv").unlink()
    assert tawt.query("select count(*) as n from raw.readings", made).to_pylist() == [{"n": 4}]


def test_dropped_records_are_found_again(made: Path) -> None:
    """So many of each reason, each with its file, its number and its cells; a stage writes down only how many."""
    rows = tawt.dropped("staging.readings", made, 2).to_pylist()
    told = [(Path(row["file"]).name, row["record"], row["reason"], row["number"]) for row in rows]
    assert told == [("b.csv", 5, "empty", None), ("a.csv", 1, "small", "0"), ("a.csv", 2, "small", "1")]
    assert [f"{row['subject_id']},{row['seen']},{row['number'] or ''}" for row in rows] == [
        RECORDS[row["record"] - 1] for row in rows
    ]
    (account,) = tawt.run("staging.readings", made).stages[0].manifest.accounts
    assert len(tawt.dropped("staging.readings", made, 99)) == account.count("drop") == 4


def test_a_record_of_which_any_row_is_kept_is_not_dropped(made: Path) -> None:
    """Of a stage that gives several rows of a record, those records are dropped that no row is kept of."""
    rows = tawt.dropped("event_parts.readings", made).select(["file", "record", "reason"]).to_pylist()
    assert rows == [{"file": "readings/b.csv", "record": 8, "reason": "missing_outcome"}]
    (account,) = tawt.run("event_parts.readings", made).stages[0].manifest.accounts
    assert account.count("drop") == len(rows)


def test_duplicates_of_events_are_found_again(made: Path) -> None:
    """A row that was merged into an earlier one is told by its event part and its record."""
    assert tawt.dropped("events", made).to_pylist() == [
        {"file": "readings/b.csv", "record": 10, "reason": "duplicate", "input": "event_parts.readings"}
    ]


LABELS = """-- One row is whether an event is high, asked as it happens.
with seen as (select * from events),

others as (select subject_id, count(*) as n from events.events group by subject_id)

select
    s.subject_id, (s.time + to_hours(s.source_row::int))::timestamp as prediction_time, (s.numeric_value > 5)::boolean as boolean_value, s.source_row as _row,
    (case when s.numeric_value = 8 then 'drop:missing_outcome' end)::varchar as _reason
from seen s
join others o using (subject_id)
where s.numeric_value <> 3
"""


def test_a_label_over_events_is_tried_and_tells_its_drops(made: Path) -> None:
    """What is known of an event is its number: there is no one raw record behind it."""
    assets = made.parent / "assets"
    (assets / "sql" / "lab" / "labels").mkdir()
    (assets / "sql" / "lab" / "labels" / "high.sql").write_text(LABELS)
    assert len(tawt.attempt("labels.high", made, limit=2)) <= len(tawt.attempt("labels.high", made, "seen", 2)) == 2
    tawt.run("labels.high", made, threads=1)
    assert tawt.dropped("labels.high", made).to_pylist() == [
        {"file": "events", "record": 9, "reason": "missing_outcome"}
    ]
    assert tawt.lineage("labels.high", made)["name"].to_pylist()[:2] == ["labels.high", "events"]
    assert [finding.check for finding in tawt.check(made) if not finding.ok] == []


def test_what_is_dropped_is_told_of_what_ran(made: Path) -> None:
    """After an edit of the stage, or of a raw file, its numbers would be those of other records."""
    edit(made, "staging/readings", "x < $least", "x < 5")
    with pytest.raises(StageError, match="sql changed"):
        tawt.dropped("staging.readings", made)
    edit(made, "staging/readings", "x < 5", "x < $least")
    (made.parent / "raw" / "readings" / "a.csv").write_text("subject_id,seen,number\n1,day 0,1\n")
    with pytest.raises(StageError, match="readings has changed since it was read"):
        tawt.dropped("staging.readings", made)


def test_lineage_leads_to_the_raw_files(made: Path) -> None:
    """Each line has its depth, its rows and its state; what stands in the tree twice has its inputs once."""
    lines = tawt.lineage("events", made).to_pylist()
    assert [(line["depth"], line["name"], line["rows"]) for line in lines] == [
        (0, "events", 5), (1, "event_parts.readings", 6), (2, "staging.readings", 7), (3, "raw.readings", 11),
        (4, "readings/a.csv", 4), (4, "readings/b.csv", 7),
    ]  # fmt: skip
    edit(made, "event_parts/readings", "number = 7", "number = 8")
    states = {line["name"]: line["state"] for line in tawt.lineage("events", made).to_pylist()}
    assert "sql changed" in states["event_parts.readings"] and states["staging.readings"] == "finished"
    assert tawt.lineage("dataset", made)["name"].to_pylist().count("readings/a.csv") == 1


def test_an_edit_is_counted_before_it_is_run(made: Path, tree, tawt) -> None:
    """What lies there of a stage against what its SQL gives now, of the same inputs: nothing is written."""
    assert tawt_diff(made, "staging.readings") == {}
    edit(made, "staging/readings", "x < $least", "x < 3")
    before = tree(made)
    told = tawt_diff(made, "staging.readings")
    assert told["rows", ""] == told["drop", "small"] == ("<11", "<11")
    assert told["rows only here", ""] == ("<11", "0")
    exactly = tawt("diff", "staging.readings", "-w", made, "--exact", "--format", "csv")
    n_gone = {line.split(",")[1]: line.split(",")[3:] for line in exactly.out.splitlines()}["rows only here"][0]
    assert 0 < int(n_gone) < 11 and "must not be shared" in exactly.err
    edit(made, "event_parts/readings", "'OTHER' as code", "'ANOTHER' as code")
    assert tawt_diff(made, "event_parts.readings") == {}
    edit(made, "event_parts/readings", "then ['EVEN', 'READING']", "then ['READING', 'READ']")
    assert tawt_diff(made, "event_parts.readings")["rows", ""] == ("<11", "<11")
    ended = tawt("diff", "staging.readings", "-w", made)
    assert "sql changed" in ended.err and ended.err.splitlines()[-1].startswith("next: tawt run staging.readings+")
    assert tree(made) == before


def tawt_diff(workspace: Path, stage: str) -> dict[tuple[str, str], tuple[str, str]]:
    """What an edit of a stage changes."""
    rows = tawt.diff(workspace, stage=stage).to_pylist()
    return {(row["what"], row["name"]): (row["before"], row["after"]) for row in rows}


def test_an_edit_of_what_is_not_there_is_no_edit(made: Path, tawt) -> None:
    """A stage that is code, none at all, and one too many are refused with what to type."""
    assert "give two workspaces" in tawt("diff", "events", "-w", made).error
    assert "expected another one or a stage of it" in tawt("diff", made).error
    assert "expected two workspaces, or one and a stage" in tawt("diff", made, made, "-w", made).error


def test_views_are_printed(made: Path, tawt) -> None:
    """The commands show a tree, dropped records and a tried step, and refuse two views at once."""
    shown = tawt("show", "events", "-w", made, "--lineage").out.splitlines()
    assert shown[0].startswith("events  5 rows") and shown[-1].endswith("readings/b.csv  7 records")
    assert tawt("show", "staging.readings", "-w", made, "--dropped", "--limit", 1).out.count("readings/") == 2
    one = ("-w", made, "--cte", "typed", "--limit", 2, "--format", "csv")
    outs = [tawt(*words, *one).out for words in (("sql", "staging.readings"), ("query", "staging.readings"))]
    assert outs[0] == outs[1] and len(outs[0].splitlines()) == 3
    assert tawt("show", "events", "-w", made, "--lineage", "--dropped").code == 2
    assert tawt("sql", "staging.readings", "-p", "lab", "--limit", 2).code == 2


def test_what_is_told_to_be_typed_shows_something(made: Path, tawt, monkeypatch) -> None:
    """The view of a stage leads to what it has: dropped records here. What has not changed is told, with the raw folder
    that a workspace remembers; what data_types mean is a relation."""
    monkeypatch.chdir(made.parent)
    ended = tawt("show", "event_parts.readings", "-w", made)
    assert ended.err.splitlines()[-1].endswith("--dropped")
    assert "no change since it ran" in tawt("sql", "staging.readings", "--diff", "-w", made).err
    assert "its output" not in tawt("sql", "staging.readings", "-p", made.parent / "assets/pipelines/lab.yaml").err
    codes = tawt("query", "select code from codes order by code limit 1", "-w", made, "--format", "csv")
    assert codes.out.splitlines()[0] == "code" and len(codes.out.splitlines()) == 2
    assert follow_ingest(None) == "tawt ingest RAW_DIR -w WORKSPACE --pipeline PIPELINE"
    assert follow_ingest("lab") == "tawt ingest RAW_DIR -w work/lab --pipeline lab"
    (made.parent / "work").mkdir()
    made.rename(made.parent / "work" / "lab")
    assert Path(follow_ingest("lab").split()[2]).is_dir()
