"""An edited stage: what it must hand back, and what is said when it does not; order, selection and skipping."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin.all import stages_of
from tawt.commands.ingest import ingest
from tawt.config.named import resolve_pipeline
from tawt.config.pipeline import PipelineConfig
from tawt.database.limits import Limits
from tawt.errors import ConfigError, ContractError, SourceError, StageError, TawtError, nearest
from tawt.pipeline.plan import make_plan
from tawt.pipeline.workspace import open_workspace
from tawt.sources.load import load_graph

ROOT = Path(__file__).parents[3]
STAGING = """-- One row is one reading.
with readings as (select _row, subject_id, seen, number from raw.readings),

typed as (select *, number(number) as x from readings)

select
    whole(subject_id)::bigint as subject_id,
    moment(seen)::timestamp as seen,
    x::double as number,
    _row::bigint as _row,
    (case when subject_id is null then 'quarantine:subject_id:missing'
          when x < $least then 'drop:small' end)::varchar as _reason
from typed
"""
PART = """-- One row is one reading as an event.
with readings as (select _row, subject_id, seen, number from staging.readings)

select
    subject_id::bigint as subject_id, seen::timestamp as time, 'READING'::varchar as code, number::double as numeric_value,
    null::varchar as text_value, null::varchar as unit, null::varchar as raw_value, seen::timestamp as available_time,
    'numeric'::varchar as value_status, _row::bigint as _row, null::varchar as _reason
from readings
"""
RECORDS = (
    "subject_id,seen,number\n"
    + "".join(f"{1 + i % 3},2020-01-0{1 + i % 9} 08:00:00,{i}\n" for i in range(10))
    + ",2020-01-01,5\n"
)
COLUMNS = [
    {"name": "subject_id", "type": "int64", "nullable": False}, {"name": "seen", "type": "timestamp[us]", "nullable": False},
    {"name": "number", "type": "float64"},
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one raw table, one staging stage and one event part, whose files a test may edit."""
    assets = tmp_path / "assets"
    for path, text in {
        "sql/lab/staging/readings.sql": STAGING,
        "sql/lab/event_parts/readings.sql": PART,
        "schemas/lab/readings.json": json.dumps({
            "name": "raw.readings", "description": "One row is one reading.", "paths": ["readings"],
            "columns": [{"name": column["name"], "type": "string"} for column in COLUMNS],
        }),
        "schemas/lab/staging/readings.json": json.dumps({
            "name": "staging.readings", "description": "One row is one reading.", "columns": COLUMNS, "reasons": ["small"],
        }),
        "pipelines/lab.yaml": "name: lab\nsource: lab\nparameters: {least: 2, unused: 7}\n",
    }.items():  # fmt: skip
        (assets / path).parent.mkdir(parents=True, exist_ok=True)
        (assets / path).write_text(text)
    for path in (ROOT / "schemas").glob("*.json"):
        (assets / "schemas" / path.name).write_bytes(path.read_bytes())
    (assets / "sql" / "shared").symlink_to(ROOT / "sql" / "shared")
    monkeypatch.setattr("tawt.project._PACKAGE", assets / "tawt")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "readings.csv.gz").write_bytes(gzip.compress(RECORDS.encode()))
    return assets


@pytest.fixture
def run(project: Path, tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Ingest the project's table and return the account of each stage."""

    def one(**options: object):
        result = ingest(tmp_path / "raw", "lab", tmp_path / "w", threads=1, **options)
        return {stage.stage: stage.manifest.accounts[0] for stage in result.stages if stage.manifest is not None}

    return one


def _edit(project: Path, stage: str, old: str, new: str) -> None:
    path = project / "sql" / "lab" / f"{stage}.sql"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_stage_that_holds_is_counted(run) -> None:
    """Records in are those kept, dropped and quarantined; a parameter that no stage names may stand in the pipeline."""
    accounts = run()
    staging = accounts["staging.readings"]
    assert (staging.n_records_in, staging.n_records_kept, staging.count("drop"), staging.count("quarantine")) == (
        11,
        8,
        2,
        1,
    )
    assert accounts["event_parts.readings"].n_rows_out == 8 and accounts["events"].n_rows_out == 8


FAILS: dict[str, tuple[str, str, str, type[TawtError], str]] = {
    "no _row": ("staging/readings", "    _row::bigint as _row,\n", "", ContractError, "`_row` is missing"),
    "_row of another type": ("staging/readings", "_row::bigint as", "_row::varchar as", ContractError, "`_row` is VARCHAR, expected int64"),
    "wrong type": ("staging/readings", "x::double as", "x::varchar as", ContractError, "`number` is VARCHAR, expected float64"),
    "missing column": ("staging/readings", "    x::double as number,\n", "", ContractError, "`number` is missing"),
    "column too many": ("staging/readings", "x::double as number,", "x::double as number, 1 as more,", ContractError, "`more` is not in"),
    "unknown kind of reason": ("staging/readings", "'drop:small'", "'because'", StageError, "_reason that does not stand in its text"),
    "null key": ("staging/readings", "when subject_id is null", "when false", ContractError, "`subject_id` is null in 1 kept rows"),
    "records vanish": ("event_parts/readings", "from readings", "from readings where number > 5", StageError, "4 of 8 records of staging.readings have neither"),
    "a join loses records": ("event_parts/readings", "from readings", "from readings join (select 2 as subject_id) using (subject_id)", StageError, "records of staging.readings have neither"),
    "made up _row": ("event_parts/readings", "_row::bigint as _row", "(_row + 100)::bigint as _row", StageError, "gives 8 rows a _row that"),
    "no record behind a row": ("event_parts/readings", "_row::bigint as _row", "nullif(_row, 5)::bigint as _row", ContractError, "`_row` is null in 1 kept rows"),
    "no record behind a rejected row": ("event_parts/readings", "_row::bigint as _row, null::varchar", "nullif(_row, 5)::bigint as _row, 'drop:listed_before'", StageError, "1 rejected rows no _row"),
    "a cell as a reason": ("staging/readings", "'quarantine:subject_id:missing'", "'quarantine:seen:' || seen", StageError, "_reason that does not stand in its text"),
    "a column that is nowhere as a reason": ("staging/readings", "'quarantine:subject_id:missing'", "'quarantine:subjet:missing'", StageError, "quarantines for `subjet`"),
    "a rule of no list as a reason": ("staging/readings", "'drop:small'", "'drop:smal'", StageError, "gives the reason `smal`, expected a word"),
    "a name as a reason": ("staging/readings", "'quarantine:subject_id:missing'", "'quarantine:subject_id:Smith'", StageError, "gives the reason `Smith`, expected a word"),
    "control characters as a reason": ("staging/readings", "'quarantine:subject_id:missing'", "E'quarantine:\\x1b[31m:missing'", StageError, "_reason that does not stand in its text"),
    "cast of a cell": ("staging/readings", "x::double as number", "(number || 'x')::double as number", StageError, "casts a text to double"),
    "unknown column": ("staging/readings", "moment(seen", "moment(time_of", StageError, "time_of"),
    "missing parameter": ("staging/readings", "$least", "$leas", StageError, "`$leas` has no value"),
    "missing input": ("event_parts/readings", "staging.readings", "staging.reading", StageError, "which no file makes"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILS)
def test_a_stage_that_breaks_a_promise_fails_and_publishes_nothing(
    name: str, project: Path, run, tmp_path: Path
) -> None:
    """Columns, types, nulls, reasons and the balance are checked before a file gets its name."""
    stage, old, new, kind, said = FAILS[name]
    _edit(project, stage, old, new)
    with pytest.raises(kind) as caught:
        run()
    stage = stage.replace("/", ".")
    assert caught.value.where.startswith(stage) and said in caught.value.what, caught.value
    assert caught.value.hint
    assert not (tmp_path / "w" / stage.replace(".", "/")).exists()
    assert not (tmp_path / "w" / "manifests" / f"{stage}.json").exists()


def test_a_word_that_a_contract_adds_is_a_reason_and_changes_no_row(project: Path, run, tmp_path: Path) -> None:
    """A stage may use the words of its own contract's `reasons`; a misspelt one is told with the nearest, and one more
    runs nothing again."""
    run()
    path = project / "schemas" / "lab" / "staging" / "readings.json"
    contract = json.loads(path.read_text())
    path.write_text(json.dumps({**contract, "reasons": ["small", "smelt"]}))
    done = tawt.run("staging", tmp_path / "w", threads=1)
    assert [stage.reason for stage in done.stages] == [None]
    path.write_text(json.dumps({**contract, "reasons": ["smalls"]}))
    with pytest.raises(StageError, match="gives the reason `small`") as caught:
        run()
    assert caught.value.hint == "did you mean `smalls`?"
    path.write_text(json.dumps({**contract, "reasons": ["Jane Smith"]}))
    with pytest.raises(ConfigError, match="reasons") as refused:
        run()
    assert "Jane" not in str(refused.value)


def test_a_stage_may_use_the_words_of_what_it_came_from(project: Path, run, tmp_path: Path) -> None:
    """An event part, whose contract is tawt's own, gives a reason of the contract of its staging; no other one."""
    _edit(project, "event_parts/readings", "null::varchar as _reason", "'drop:small'::varchar as _reason")
    assert run()
    rows = tawt.show("event_parts.readings", tmp_path / "w").ledger.to_pylist()
    assert any("small" in str(row.values()) for row in rows)
    _edit(project, "event_parts/readings", "'drop:small'", "'drop:postponed'")
    with pytest.raises(StageError, match="gives the reason `postponed`") as caught:
        run()
    assert "`reasons: [postponed]` of the contract of raw.readings" in caught.value.hint


def test_a_stage_that_fails_later_leaves_the_ones_before(project: Path, run, tmp_path: Path) -> None:
    """After the mending only what failed and what follows runs, with its reason."""
    _edit(project, "event_parts/readings", "from readings", "from readings where number > 5")
    with pytest.raises(StageError):
        run()
    _edit(project, "event_parts/readings", " where number > 5", "")
    run()
    result = tawt.run("staging.readings+", tmp_path / "w", threads=1)
    assert [stage.reason for stage in result.stages][:3] == [None, None, None]
    _edit(project, "event_parts/readings", "'READING'", "'R'")
    result = tawt.run("staging.readings+", tmp_path / "w", threads=1, dry_run=True)
    reasons = {stage.stage: stage.reason for stage in result.stages}
    assert reasons["staging.readings"] is None and reasons["event_parts.readings"] == "sql changed"
    assert reasons["events"] == "input changed: event_parts.readings"


def test_a_stage_reads_earlier_layers_alone(project: Path) -> None:
    """Staging that reads staging is refused, so no two stages can read one another."""
    task = project / "sql" / "lab" / "event_parts" / "again.sql"
    task.write_text(PART.replace("staging.readings", "staging.again"))
    (project / "sql" / "lab" / "staging" / "again.sql").write_text(STAGING.replace("raw.readings", "staging.again"))
    graph = load_graph(PipelineConfig(name="lab", source="lab", parameters={"least": 1}))
    assert "expected a relation of raw" in graph.faulty["staging.again"].what
    assert graph.behind_fault == {"staging.again": "staging.again", "event_parts.again": "staging.again"}


def test_a_stage_without_a_contract_is_refused(project: Path) -> None:
    """The hint names the file to write; one that is named like its raw table has that of the declared stage."""
    staging = project / "sql" / "lab" / "staging"
    (staging / "other.sql").write_text((staging / "readings.sql").read_text())
    fault = load_graph(PipelineConfig(name="lab", source="lab")).faulty["staging.other"]
    assert "has no contract" in fault.what and "schemas/lab/staging/other.json" in fault.hint


@pytest.mark.parametrize(
    ("selection", "stages"),
    [
        ("staging.readings", ["staging.readings"]),
        ("+events", ["staging.readings", "event_parts.readings", "events"]),
        ("events+", ["events", "vocabulary", "triplets", "dataset"]),
        ("event_parts,vocabulary", ["event_parts.readings", "vocabulary"]),
    ],
)
def test_a_selection_names_stages_layers_and_their_neighbours(selection: str, stages: list[str], project: Path) -> None:
    """`X`, `X+`, `+X` and commas choose, always in the order of the flow."""
    graph = stages_of(PipelineConfig(name="lab", source="lab"))
    assert graph.select(selection) == stages
    with pytest.raises(ConfigError, match="names no stage"):
        graph.select("stagin")


def test_a_quarantined_record_is_found_again(run, tmp_path: Path, project: Path) -> None:
    """With several files, some with quoted line ends and broken lines, each place is where the record stands."""
    import csv
    import io

    from tawt.commands.rejected import quarantined

    (tmp_path / "raw" / "readings.csv.gz").unlink()
    texts = {
        "a.csv": 'subject_id,seen,number\n1,2020-01-01,3\n1,"two\nlines",4\n,2020-01-02,5\n1,2020\n1,2020-01-03,6\n',
        "b.csv": "subject_id,seen,number\n2,2020-01-01,30\n,2020-02-02,50\n1,2020,3,4\n2,2020-01-01,31\n,2020-03-03,60\n",
    }
    (tmp_path / "raw" / "readings").mkdir()
    for name, text in texts.items():
        (tmp_path / "raw" / "readings" / name).write_text(text)
    _edit(
        project,
        "staging/readings",
        "when subject_id is null",
        "when moment(seen) is null then 'quarantine:seen:unparseable' when subject_id is null",
    )
    run()
    rows = quarantined("staging.readings", tmp_path / "w", 100).to_pylist()
    broken = {(row["file"], row["line"]) for row in rows if row["line"] is not None}
    assert broken == {("readings/a.csv", 6), ("readings/b.csv", 4)}
    for file, line in broken:
        assert texts[Path(file).name].splitlines()[line - 1].count(",") != 2
    # an independent reading: the readable records of both files, numbered from 1
    readable = [row for text in texts.values() for row in list(csv.reader(io.StringIO(text)))[1:] if len(row) == 3]
    found = [row for row in rows if row["record"] is not None]
    assert len(found) == 4
    for row in found:
        cells = readable[row["record"] - 1]
        assert [row["subject_id"] or "", row["seen"], row["number"]] == cells
        assert texts[Path(row["file"]).name].find(cells[1]) > 0


def test_linked_folders_are_followed(run, tmp_path: Path) -> None:
    """A raw folder that is a link elsewhere is read when it is ingested, and again when its quarantine is shown, if it is
    as it was: the numbers of records would be those of others."""
    from tawt.commands.rejected import quarantined

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "raw" / "readings.csv.gz").rename(tmp_path / "elsewhere" / "part.csv.gz")
    (tmp_path / "raw" / "readings").symlink_to(tmp_path / "elsewhere")
    assert run()["staging.readings"].n_records_in == 11
    assert quarantined("staging.readings", tmp_path / "w")["number"].to_pylist() == ["5"]
    part = tmp_path / "elsewhere" / "part.csv.gz"
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()).replace(b",5", b",6")))
    with pytest.raises(SourceError, match=r"raw\.readings: is not as it was read"):
        quarantined("staging.readings", tmp_path / "w")


def test_a_broken_line_in_a_packed_file_has_its_line_number(run, tmp_path: Path) -> None:
    """The line is that of the unpacked text, also far into it and behind quoted line ends."""
    from tawt.commands.rejected import quarantined

    lines = ["subject_id,seen,number", '1,2020-01-01,"1', '"']
    lines += ["1,2020-01-01,5"] * 200_000 + ["1,2", "1,2020-01-01,6", "9"]
    (tmp_path / "raw" / "readings.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    run()
    rows = quarantined("staging.readings", tmp_path / "w", 100).to_pylist()
    assert [(row["line"], lines[row["line"] - 1]) for row in rows] == [(200_004, "1,2"), (200_006, "9")]


def test_a_stage_made_from_older_input_says_so(run, project: Path, tmp_path: Path) -> None:
    """After one stage alone was edited and run again, all that follows is behind it, until it is run again too; a remark
    or another way to set the text is no edit."""
    run()
    _edit(project, "staging/readings", "with", "-- a remark\nWITH  ")

    def states() -> dict[str, str]:
        table = tawt.stages(tmp_path / "w")
        return dict(zip(table["stage"].to_pylist(), table["state"].to_pylist(), strict=True))

    assert states()["events"] == "finished"
    _edit(project, "staging/readings", "x::double", "x + 1::double")
    tawt.run("staging.readings", tmp_path / "w", threads=1)
    after = states()
    assert after["staging.readings"] == "finished"
    assert after["event_parts.readings"] == "stale: staging.readings is newer"
    assert after["events"] == "stale: event_parts.readings is stale"
    tawt.run("staging.readings+", tmp_path / "w", threads=1)
    assert states()["events"] == "finished"


@pytest.mark.parametrize(
    ("strict", "read", "rejected"),
    [
        ("true", {3.0, 9.0}, {3: "unquoted_value", 4: "missing_columns", 5: "too_many_columns"}),
        ("false", {3.0, 4.0, 6.0, 9.0}, {4: "missing_columns"}),
    ],
)
def test_a_file_that_breaks_the_standard_can_be_read_as_far_as_it_goes(
    strict: str, read: set[float], rejected: dict[int, str], run, tmp_path: Path
) -> None:
    """`csv: {strict: false}` takes text behind a quote and cells too many; what is short stays in quarantine either way."""
    lines = [
        "subject_id,seen,number",
        "1,2020-01-01,3",
        '1,"2020-01-02"x,4',
        "1,2020-01-03",
        "1,2020-01-04,6,7",
        "1,2020-01-06,9",
    ]
    (tmp_path / "raw" / "readings.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    account = run(settings=(f"csv.strict={strict}",))["staging.readings"]
    assert account.n_records_in == 5 == account.n_records_kept + account.count("quarantine")
    assert set(tawt.query("from staging.readings", tmp_path / "w")["number"].to_pylist()) == read
    rows = tawt.quarantined("staging.readings", tmp_path / "w", 100).to_pylist()
    assert {row["line"]: row["reason"] for row in rows} == rejected


LABELS = """-- One row is whether an event of a subject is high, asked as it happens.
select
    subject_id::bigint as subject_id, time::timestamp as prediction_time, (numeric_value > 5)::boolean as boolean_value,
    source_row::bigint as _row, (case when numeric_value = 9 then 'quarantine:numeric_value:out_of_range' end)::varchar as _reason
from events.events
"""


@pytest.mark.parametrize("relation", ["events.events", "events", "events as e", "joined"])
def test_a_label_over_events_that_quarantines_is_placed_by_the_number_of_the_event(
    project: Path, run, tmp_path: Path, relation: str
) -> None:
    """Events, which a stage names as a query does, are merged of many tables: the quarantine names `events` and the
    number, and there is no raw record to show."""
    text = LABELS
    if relation == "joined":
        relation = "(select *, source_row as _row from events) e join staging.readings r using (_row, subject_id)"
        text = LABELS.replace("source_row::bigint", "_row::bigint")
    (project / "sql" / "lab" / "labels").mkdir()
    (project / "sql" / "lab" / "labels" / "high.sql").write_text(text.replace("events.events", relation))
    run()
    done = {one.stage: one for one in tawt.run("labels.high", tmp_path / "w", threads=1).stages}
    routes = done["labels.high"].manifest.accounts[0].routes
    assert [(route.kind, route.reason, route.n_records) for route in routes] == [
        ("quarantine", "numeric_value:out_of_range", 1)
    ]
    expected = [{"file": "events", "record": 10, "line": None, "column": "numeric_value", "reason": "out_of_range"}]
    assert tawt.quarantined("labels.high", tmp_path / "w").to_pylist() == expected
    assert tawt.query("from labels.high", tmp_path / "w").num_rows == 7
    # events number no records: none are counted in
    went = tawt.query("select route, n from ledger where stage = 'labels.high'", tmp_path / "w").to_pylist()
    assert {row["route"]: row["n"] for row in went} == {"quarantine": 1, "rows_out": 7}
    assert [finding for finding in tawt.check(tmp_path / "w") if not finding.ok] == []


def test_a_label_stage_whose_times_have_a_zone_is_refused(project: Path, run, tmp_path: Path) -> None:
    """An instant becomes no clock time by itself: the stage fails before a row is written."""
    text = LABELS.replace(" as prediction_time", "::timestamptz as prediction_time")
    assert text != LABELS
    (project / "sql" / "lab" / "labels").mkdir()
    (project / "sql" / "lab" / "labels" / "high.sql").write_text(text.replace("events.events", "events"))
    with pytest.raises(ContractError, match=r"prediction_time.*TIME ZONE"):
        run()
    assert not (tmp_path / "w" / "labels" / "high").exists()


def test_a_folder_of_stages_that_no_layer_has_is_refused(project: Path) -> None:
    """What lies in it would never run: the nearest layer is named, or all."""
    pipeline = PipelineConfig(name="lab", source="lab", parameters={"least": 2})
    for name, hint in (("event_part", "did you mean `event_parts`?"), ("things", "did you mean `staging`?")):
        (project / "sql" / "lab" / name).mkdir()
        with pytest.raises(ConfigError, match=f"sql/lab/{name}: is no layer") as error:
            load_graph(pipeline)
        assert error.value.hint.startswith(hint)
        (project / "sql" / "lab" / name).rename(project / "sql" / "lab" / f".{name}")


CODES = """-- One row is the meaning of one code.
with readings as (select _row, number from staging.readings),

counted as (select *, row_number() over (partition by number % 97 order by _row) as nth from readings)

select
    ('READING' || nth || '//' || (number % 97)::int)::varchar as code, null::varchar as description, []::varchar[] as parent_codes,
    _row::bigint as _row, null::varchar as _reason
from counted
"""


def test_staging_codes_and_labels_have_the_same_bytes_at_any_number_of_threads(
    project: Path, run, tmp_path: Path
) -> None:
    """A window or a join gives its rows in no order: codes and labels are sorted, staging keeps that of the file."""
    (project / "sql" / "lab" / "codes").mkdir()
    (project / "sql" / "lab" / "labels").mkdir()
    (project / "sql" / "lab" / "codes" / "readings.sql").write_text(CODES)
    (project / "sql" / "lab" / "labels" / "high.sql").write_text(
        LABELS.replace("from events.events", "from staging.readings").replace("numeric_value >", "number >").replace("numeric_value =", "number =")
        .replace("time::", "(timestamp '2020-01-02' + to_seconds(_row))::").replace("source_row", "_row").replace("quarantine:numeric_value", "quarantine:number")
    )  # fmt: skip
    lines = "".join(f"{1 + i * 7919 % 500},2020-01-01 08:00:00,{i % 2999}\n" for i in range(9_000))
    (tmp_path / "raw" / "readings.csv.gz").write_bytes(gzip.compress(f"subject_id,seen,number\n{lines}".encode(), 1))
    run()
    seen = set()
    for threads in (1, 4, 4):
        tawt.run("staging,codes,labels", tmp_path / "w", threads=threads, force=True)
        made = [
            path
            for layer in ("staging", "codes", "labels")
            for path in sorted((tmp_path / "w" / layer).rglob("*.parquet"))
        ]
        seen.add(tuple(path.read_bytes() for path in made))
    assert len(made) == 3 and len(seen) == 1
    rows = pq.read_table(tmp_path / "w" / "codes" / "readings", columns=["_row"])["_row"].to_pylist()
    assert rows == sorted(rows) and len(rows) == sum(i % 2999 >= 2 for i in range(9_000))


def test_a_stage_that_does_not_run_here_is_told_so_and_never_proposed() -> None:
    """What is off or lacks a raw table is named with why, at the root; what is near is of the stages that run."""
    graph = stages_of(resolve_pipeline("mimic_iv")).without({"raw.chartevents"})
    for given, why, hint in (
        ("event_parts.lab_specimens", "lab_specimens`, which does not run here: off in the pipeline", "`off:`"),
        ("lab_specimens+", "event_parts.lab_specimens`, which does not run here: off", "`off:`"),
        ("staging.chartevents+", "does not run here: raw.chartevents is absent", "`tawt ingest`"),
        ("event_parts.chart", "does not run here: raw.chartevents is absent", "`tawt ingest`"),
        ("labs", "names no stage", "did you mean `codes.labs` or `event_parts.labs`?"),
        ("event_parts.chrt", "names no stage", "did you mean `event_parts`?"),
        ("stagin", "names no stage", "did you mean `staging`?"),
    ):
        with pytest.raises(ConfigError) as error:
            graph.select(given)
        assert why in str(error.value) and hint in error.value.hint, given


@pytest.mark.parametrize(("asked", "expected"), [(None, "system"), ("mimalloc", "mimalloc")])
def test_while_stages_run_arrow_asks_the_system_for_memory(
    asked: str | None, expected: str, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While stages run Arrow asks the system for memory, unless the user said whom; afterwards whom it asked before."""
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    if asked is not None:
        monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", asked)
    before, asked_of = pa.default_memory_pool(), set()
    pa.set_memory_pool(pa.mimalloc_memory_pool())
    try:
        run(report=lambda event: asked_of.add((event["event"], pa.default_memory_pool().backend_name)))
        assert {pool for event, pool in asked_of if event in ("start", "done")} == {expected}
        assert pa.default_memory_pool().backend_name == "mimalloc"
    finally:
        pa.set_memory_pool(before)


def test_a_hint_proposes_nothing_that_was_typed() -> None:
    """A name that is known and still refused is not what is meant; capitals are no distance."""
    assert nearest("labs", ["labs", "lab"]) == "did you mean `lab`?"
    assert nearest("xyz", [f"c{i:04}" for i in range(10_000)]).endswith(", c0029 and 9,970 more")
    assert nearest("LABS", ["labs", "other"]) == "did you mean `labs`?"


def test_a_selection_that_is_refused_proposes_what_runs_here(tmp_path: Path, run, project: Path) -> None:
    """Stages without their raw table are proposed by no command of a workspace that was made without it."""
    run()
    opened = open_workspace(tmp_path / "w")
    absent = opened.ingested.model_copy(update={"absent_tables": ("readings",)})
    with pytest.raises(ConfigError, match="names no stage") as error:
        make_plan(replace(opened, given_ingested=absent), stages_of(opened.pipeline), "zzz", limits=Limits.of(1))
    assert error.value.hint == "known: dataset, events, triplets, vocabulary"
