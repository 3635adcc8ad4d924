"""`tawt test`: which cases of a project are run, and what is said of one that does not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tawt
from tawt.contracts.layers import LAYERS, Layer
from tawt.errors import ConfigError
from tawt.pipeline.cases import run_case
from tawt.pipeline.run import RunResult
from tawt.project import Project
from tawt.sources.case_files import Case
from tests.unit.clinic import write

HOLDS = """given:
  raw.readings: [{patient: 1, seen: "2020-01-01 08:00:00", glucose: 5.4}, {patient: 2}]
expect: [{patient: 1, glucose: 5.4, _reason: ~}, {_reason: "quarantine:seen:missing"}]
"""
PART = """given: {staging.readings: [{patient: 1, seen: "2020-01-01", glucose: 5}]}
expect: [{subject_id: 1, code: GLUCOSE, numeric_value: 5}]
"""
SEVERAL = """event_parts.readings:
  - given: {raw.readings: [{patient: 1, seen: "2020-01-01 08:00:00", glucose: 5.4}, {patient: 2}]}
    expect: [{subject_id: 1, numeric_value: 5.4, _row: 1}]
  - given: {staging.readings: [{patient: 1, seen: "2020-01-01", glucose: 5}]}
    expect: [{code: GLUCOSE}]
"""
CASES = {"tests/sql/clinic/staging/readings.yaml": HOLDS, "tests/sql/clinic/event_parts/readings.yaml": PART}


@pytest.fixture
def with_cases(clinic: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a case that holds of each of its stages, as the current folder."""
    monkeypatch.chdir(write(clinic, CASES))
    return clinic


def _names(results: tawt.commands.cases.CaseResults) -> list[str]:
    return [one.name for one in results.results]


def test_all_cases_of_the_project_are_run(with_cases: Path) -> None:
    """Each is named by its place; hidden files are none."""
    write(with_cases, {"tests/sql/clinic/staging/.#readings.yaml": "", "tests/sql/clinic/staging/notes.txt": ""})
    tried = tawt.test()
    assert tried.ok and tried.untested == ()
    assert _names(tried) == ["clinic.event_parts.readings", "clinic.staging.readings"]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("clinic", ["event_parts", "staging"]),
        (".", ["event_parts", "staging"]),
        ("tests/sql", ["event_parts", "staging"]),
        ("tests/sql/clinic/staging", ["staging"]),
        ("tests/sql/clinic/staging/readings.yaml", ["staging"]),
    ],
)
def test_a_project_a_folder_a_file_or_a_source_may_be_named(
    where: str, names: list[str], with_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path is enough from anywhere, a source is one of the current folder."""
    assert _names(tawt.test(where)) == [f"clinic.{name}.readings" for name in names]
    monkeypatch.chdir(tmp_path)
    if where == "clinic":
        with pytest.raises(ConfigError, match="is no project"):
            tawt.test(where)
    else:
        assert _names(tawt.test(with_cases / where)) == [f"clinic.{name}.readings" for name in names]


@pytest.mark.parametrize("place", ["tests/sql/clinic.yaml", "tests/sql/clinic/readings.yaml"])
def test_a_file_holds_the_cases_of_several_stages(place: str, clinic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its path does not say, keys do; staging is made of raw rows on the way, less what it sets aside, and is held."""
    monkeypatch.chdir(write(clinic, {place: SEVERAL}))
    for where in (None, "clinic", place):
        tried = tawt.test(where)
        assert tried.ok and _names(tried) == ["clinic.event_parts.readings"] * 2
        assert (tried.untested, [one.line for one in tried.results]) == ((), [2, 4])
    write(clinic, {place: SEVERAL.replace("raw.readings", "staging.readings").replace(", {patient: 2}", "")})
    assert tawt.test(match="parts.read").ok and tawt.test().untested == ("clinic.staging.readings",)
    write(clinic, {place: SEVERAL, "sql/clinic/staging/readings.sql": "select _row, glucos from raw.readings"})
    assert tawt.test(match="parts").results[1].ok  # its rows of staging are given
    assert (
        "staging.readings: does not fit its relations at line 1 near `glucos`"
        in tawt.test(match="parts").results[0].differences[0]
    )


def test_staging_that_no_case_holds_is_told(clinic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That which follows from a contract is named beside stages without a case, for the contract alone holds it."""
    contract = '{"description": "One row is one.", "key": ["a"], "columns": {"a": "int64"}}'
    monkeypatch.chdir(write(clinic, {"schemas/clinic/more.json": contract, "tests/sql/clinic.yaml": SEVERAL}))
    assert (tawt.test().declared, tawt.test().untested, tawt.test().notes) == (("clinic.staging.more",), (), ())
    write(clinic, {"schemas/clinic/more.json": contract.replace('"key": ["a"], ', "")})
    assert "no `key:` in the contract of raw.more" in tawt.test().notes[0]
    write(clinic, {"tests/sql/clinic.yaml": "- ["})  # what it holds is not known
    assert (tawt.test().declared, tawt.test().untested, tawt.test().ok) == ((), (), False)


def test_what_an_ingest_would_refuse_fails(with_cases: Path) -> None:
    """A reason of no list is refused in a case as by an ingest, and told once."""
    part = with_cases / "sql/clinic/event_parts/readings.sql"
    part.write_text(
        part.read_text().replace("from ", ", case when false then 'drop:wrong_entry' end as _reason from ", 1)
    )
    for where in (None, "clinic", "tests/sql/clinic/event_parts/readings.yaml"):
        (failed,) = [one for one in tawt.test(where).results if not one.ok]
        assert (
            failed.name == "clinic.event_parts.readings" and "gives the reason `wrong_entry`" in failed.differences[0]
        )


def test_a_record_of_a_joined_table_is_none_of_the_first(with_cases: Path) -> None:
    """A stage that carries the numbers of another relation than it names first is refused, however few rows are given."""
    part = with_cases / "sql/clinic/event_parts/readings.sql"
    text = part.read_text().replace("_row, patient, seen, glucose from staging.readings", "o._row, patient, seen, glucose "
                                    "from staging.wards w join staging.readings o using (patient)")  # fmt: skip
    wards = '{"description": "One row is one ward.", "key": ["patient"], "columns": {"patient": "int64"}}'
    case = PART.replace("given: {", "given: {raw.wards: [{patient: 1}], ")
    write(with_cases, {str(part): text, "schemas/clinic/wards.json": wards,
                       "tests/sql/clinic/event_parts/readings.yaml": case})  # fmt: skip
    (failed,) = tawt.test(match="parts").results
    assert "gives 1 rows a _row that staging.wards does not have" in failed.differences[0]
    assert "name staging.readings first" in failed.differences[0]


def test_a_word_chooses_cases(with_cases: Path) -> None:
    """In capitals or not; one that stands in no name is an error, for nothing would be tested."""
    assert _names(tawt.test(match="STAGING")) == ["clinic.staging.readings"]
    with pytest.raises(ConfigError, match="-k labs: stands in no case's name"):
        tawt.test(match="labs")


def test_the_project_of_a_workspace_is_tested_from_anywhere(
    ingested: Callable[..., RunResult], clinic: Path, tmp_path: Path
) -> None:
    """`-w` stands for the folder that the workspace was made with; a source is one of that."""
    ingested()
    write(clinic, CASES)
    assert _names(tawt.test(workspace=tmp_path / "w")) == ["clinic.event_parts.readings", "clinic.staging.readings"]
    assert len(_names(tawt.test("clinic", workspace=tmp_path / "w"))) == 2


def test_a_source_without_cases_is_not_red(with_cases: Path) -> None:
    """Its stages are named as untested, and nothing fails; a source that is nowhere is an error."""
    text = (with_cases / "sql/clinic/staging/readings.sql").read_text(encoding="utf-8")
    write(
        with_cases,
        {"sql/other/staging/readings.sql": text, "sql/shared/macros/half.sql": "create macro half(x) as x / 2"},
    )
    tried = tawt.test()
    assert tried.ok and len(tried.results) == 2
    assert tried.untested == ("other.staging.readings", "shared.macros.half")
    assert (tawt.test("other").results, tawt.test("other").untested) == ((), ("other.staging.readings",))
    assert tawt.test("mimic_iv").results == ()
    with pytest.raises(ConfigError, match="is no project, case or source") as error:
        tawt.test("clinc")
    assert "`clinic`" in error.value.hint


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tests/sql/clinic/staging/readings.yaml": HOLDS.replace("glucose: 5.4, _", "glucose: 5.5, _")}, "row 1: `glucose` is 5.4, expected 5.5"),
        ({"tests/sql/clinic/staging/reading.yaml": HOLDS}, "is of no stage: sql/clinic/staging/reading.sql is not there, did you mean `readings`?"),
        ({"tests/sql/clinic/stagin/readings.yaml": HOLDS}, "is of no stage: sql/clinic/stagin/readings.sql is not there, did you mean `staging`?"),
        ({"tests/sql/clinic/readings.yaml": HOLDS}, "lies at another place than tests/sql/SOURCE/LAYER/STAGE.yaml"),
        ({"tests/sql/clinic/staging/readings.yaml": "given: ["}, "expected YAML"),
        ({"tests/sql/clinic/staging/readings.yaml": "given: {}\n"}, "lacks `given:` or `expect:`"),
        ({"tests/sql/clinic/staging/readings.yaml": "given: {raw.reading: []}\nexpect: []\n"}, "gives `raw.reading`, which staging.readings does not read, expected what it reads (did you mean `raw.readings`?)"),
        ({"tests/sql/clinic/event_parts/readings.yaml": PART.replace("patient: 1", "patient: x")}, "row 1 of `staging.readings`: `patient` is no int64, expected one (`~` is a cell that is missing; a text stands in a raw table)"),
        ({"tests/sql/clinic.yaml": SEVERAL.replace("5.4, _", "5.5, _")}, "tests/sql/clinic.yaml:2: clinic.event_parts.readings: row 1: `numeric_value` is 5.4, expected 5.5"),
        ({"tests/sql/clinic.yaml": "readings: {given: {}, expect: []}"}, "yaml:1: clinic.readings: line 1: `readings` is no stage, expected one"),
        ({"tests/sql/clinic.yaml": "event_parts.readings: []"}, "yaml:1: clinic.event_parts.readings: line 1: lacks `given:` or `expect:`"),
        ({"tests/sql/clinic.yaml": "event_parts.witings:\n  given: {}\n  expect: []\n"}, "clinic.yaml:1: clinic.event_parts.witings: line 1: is of no stage"),
        ({"tests/sql/clinic.yaml": SEVERAL.replace("expect: [{code", "expects: [{code")}, "line 5: unknown key `expects`"),
        ({"tests/sql/clinic.yaml": "event_parts.readings: {given: {raw.readings: []}}"}, "lacks `given:` or `expect:`"),
        ({"tests/sql/clinic/staging/readings.yaml": "given: {raw.readings: [], staging.readings: []}\nexpect: []\n"}, "which staging.readings does not read"),
        ({"sql/clinic/staging/readings.sql": "select 1 from raw.readings, raw.readings"}, "staging.readings"),
        ({"sql/clinic/staging/readings.sql": "select _row,\n glucos from raw.readings"}, "does not fit its relations at line 2 near `glucos`, expected a select that fits (did you mean `glucose`?)"),
        ({"sql/clinic/staging/readings.sql": "selec"}, "does not parse"),
        ({"tests/sql/shared/macros/half.yaml": "- {cell: 1, gives: 1}"}, "is of no macro"),
        ({"tests/sql/shared/macros/half.yaml": "- {cell: 4, gives: 3}", "sql/shared/macros/half.sql": "create macro half(cell) as cell::int / 2"}, "gives 2.0, expected 3.0"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_one_line_and_the_others_are_run(
    files: dict[str, str], said: str, with_cases: Path, tawt
) -> None:
    """What differs, a case of no stage, of another form or at another place, and a stage that is refused: each is told
    on a line with its file, and the command ends with 1."""
    write(with_cases, files)
    ended = tawt("test")
    assert ended.code == 1, ended.err
    (line,) = ended.out.splitlines()
    assert line.startswith(f"{with_cases}/tests/sql/") and said in line
    assert ", 1 failed\n" in ended.err and "mistake in tawt" not in ended.err


def test_a_layer_that_reads_event_parts_is_tried_from_raw_rows_on(
    clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that lies between what a case gives and its stage runs on the way, and no more: with the records' own numbers."""
    monkeypatch.setitem(LAYERS, "features", Layer("features", ("event_parts",), "features", numbered=False))
    columns = "[{name: subject_id, type: int64}, {name: number, type: float64}]"
    write(clinic, {
        "schemas/features.yaml": f"name: features\ndescription: One row is a number.\ncolumns: {columns}\n",
        "sql/clinic/features/numbers.sql": "-- One row is a number.\n"
        "select subject_id, numeric_value as number, _row from event_parts.readings\n",
    })  # fmt: skip
    raw = [{"patient": "4", "seen": "2020-01-01 08:00:00", "glucose": "5"}]
    part = [{"subject_id": "4", "code": "GLUCOSE", "numeric_value": "9"}]
    for name, rows, number in ("raw.readings", raw, "5"), ("event_parts.readings", part, "9"):
        said = {"given": {name: rows}, "expect": [{"subject_id": "4", "number": number, "_row": "1"}]}
        assert run_case(Case("clinic", "features.numbers", clinic, said, {}), Project.at(clinic)) == []
