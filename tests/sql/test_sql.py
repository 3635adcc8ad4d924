"""Every SQL stage beside its YAML case: what it hands back for invented rows that hold each trap."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tawt.commands.cases import FoundCase, cases_of
from tawt.errors import ConfigError, ContractError, StageError
from tawt.pipeline.cases import run_case
from tawt.project import Project
from tawt.sources.case_files import read_cases
from tawt.sources.steps import cte_text

ROOT = Path(__file__).parents[2]
MACROS = sorted((ROOT / "sql" / "shared" / "macros").glob("*.sql"))
CASES = [case for path in sorted((ROOT / "tests" / "sql").rglob("*.yaml")) for case in cases_of(path, ROOT)]
STAGES = sorted(path for path in (ROOT / "sql").glob("*/*/*.sql") if path.parts[-3] != "shared")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stage_or_macro_does_what_its_case_says(case: FoundCase) -> None:
    """The stage turns the given rows into the expected rows, and so does each step that the case names; a macro its cells."""
    assert case.differences(Project()) == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: ".".join((*path.parts[-3:-1], path.stem)))
def test_a_stage_has_all_that_belongs_to_it(stage: Path) -> None:
    """Each stage has a case, a first line that says what a row is, its source and, in staging, a raw table."""
    source, layer, name = stage.parts[-3], stage.parts[-2], stage.stem
    lines = stage.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("-- One row is ") and lines[0].endswith(".")
    assert lines[1].startswith("-- source: ")
    assert f"{source}.{layer}.{name}" in {case.name for case in CASES}
    if layer == "staging":
        assert (ROOT / "schemas" / source / f"{name}.yaml").is_file()


@pytest.mark.parametrize("macro", MACROS, ids=lambda path: path.stem)
def test_a_macro_has_all_that_belongs_to_it(macro: Path) -> None:
    """Each macro has a case of the same name, and a first line that is a sentence."""
    assert (ROOT / "tests" / "sql" / "shared" / "macros" / f"{macro.stem}.yaml").is_file()
    assert macro.read_text(encoding="utf-8").splitlines()[0].endswith(".")


STAGE = """-- One row is one number.
with readings as (select _row, number from raw.readings),

doubled as (select *, number(number) * $factor::double as twice from readings)

select twice, _row from doubled
"""

CONTRACT = """{"name": "raw.readings", "description": "One row is one reading.",
"columns": [{"name": "number", "type": "float64"}]}"""
GIVES = """{"name": "staging.readings", "description": "One row is one number.", "columns": %s}"""


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """An invented stage in a folder of the project's shape."""
    sql, raw = tmp_path / "sql" / "lab" / "staging" / "readings.sql", tmp_path / "schemas" / "lab"
    sql.parent.mkdir(parents=True)
    (raw / "staging").mkdir(parents=True)
    sql.write_text(STAGE)
    (raw / "readings.json").write_text(CONTRACT)
    (raw / "staging" / "readings.json").write_text(GIVES % '[{"name": "twice", "type": "float64"}]')
    return sql


def _run(path: Path, root: Path) -> list[str]:
    (case,) = read_cases(path, root / "sql")
    try:
        return run_case(case, Project.at(root))
    except (ContractError, StageError) as error:
        return [error.what]


def _case(stage: Path, text: str) -> list[str]:
    case = stage.with_suffix(".yaml")
    case.write_text("params: {factor: 2}\ngiven: {raw.readings: [{number: 1.50}, {number: ~}]}\n" + text)
    return _run(case, stage.parents[3])


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        ('[{"name": "twice", "type": "float64"}]', []),
        ('[{"name": "twice", "type": "float32"}]', []),
        ('[{"name": "twice", "type": "int64"}]', ["column `twice` is DOUBLE, expected int64"]),
        ('[{"name": "twice", "type": "string"}]', ["column `twice` is DOUBLE, expected string"]),
        ('[{"name": "twice", "type": "list<int64>"}]', ["column `twice` is DOUBLE, expected list<int64>"]),
        ('[]', ["column `twice` is not in the contract staging.readings, expected only its columns"]),
    ],
)  # fmt: skip
def test_the_columns_of_a_stage_are_held_to_its_contract(stage: Path, columns: str, difference: list[str]) -> None:
    """A column that is missing, of another type or beside the contract is told even where no row differs."""
    contract = stage.parents[3] / "schemas" / "lab" / "staging" / "readings.json"
    contract.write_text(GIVES % columns)
    assert _case(stage, "expect: [{}, {}]") == difference


def test_a_case_that_holds_gives_no_difference(stage: Path) -> None:
    """Cells take the type of their column, raw cells stay the text that stands there, null is null."""
    expect = "expect: [{twice: 3, _row: 1, _reason: ~}, {twice: ~}]\n"
    assert _case(stage, expect + "ctes: {readings: [{number: 1.50}, {number: ~}], doubled: [{twice: 3.0}, {}]}") == []


@pytest.mark.parametrize(
    ("expect", "difference"),
    [
        ("expect: [{twice: 4}, {}]", "row 1: `twice` is 3.0, expected 4.0"),
        ("expect: [{twice: 3}]", "2 rows, expected 1"),
        ("expect: [{}, {twice: 0}]", "row 2: `twice` is null, expected 0.0"),
        ("expect: [{thrice: 3}, {}]", "row 1: no column `thrice`, did you mean `twice`?"),
        ("expect: [{}, {}]\nctes: {readings: [{number: 1.5}, {}]}", "cte `readings`: row 1: `number` is '1.50', expected '1.5'"),
        ("expect: [{twice: three}, {}]", "row 1: `twice` is 3.0, expected 'three'"),
        ("expect: [{}, {}]\nctes: {tripled: []}", "cte `tripled`: is not in the stage, known: doubled, readings"),
    ],
)  # fmt: skip
def test_a_case_that_does_not_hold_is_told(stage: Path, expect: str, difference: str) -> None:
    """A wrong cell, a missing row, a null, an unknown column and a wrong step are each one line."""
    assert _case(stage, expect) == [difference]


@pytest.mark.parametrize("relation", ["events", "events.events"])
def test_a_label_over_events_has_a_case(relation: str, tmp_path: Path) -> None:
    """The rows of `events` are given as those of any relation, and typed by the contract of events."""
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    sql = tmp_path / "sql" / "lab" / "labels" / "high.sql"
    sql.parent.mkdir(parents=True)
    sql.write_text(
        "select subject_id, time as prediction_time, numeric_value > 5 as boolean_value, source_row as _row, "
        f"null::varchar as _reason from {relation} where time is not null"
    )
    case = sql.with_suffix(".yaml")
    case.write_text(
        "given: {events: [{subject_id: 1, numeric_value: 7, source_row: 1}, "
        "{subject_id: 2, time: 2020-01-01, numeric_value: 7.5, source_row: 2}]}\n"
        "expect: [{subject_id: 2, prediction_time: 2020-01-01, boolean_value: true, _row: 2}]\n"
    )
    assert _run(case, tmp_path) == []


def test_what_the_engine_says_of_a_cell_of_a_case_is_told(stage: Path) -> None:
    """The rows are invented: where it stops at a cell, the cell may be named."""
    stage.write_text(STAGE.replace("twice, _row from", "(twice::tinyint * 100::tinyint)::double as twice, _row from"))
    (difference,) = _case(stage, "expect: []")
    assert difference.startswith("stops at a cell: Out of Range Error: ") and "3" in difference


@pytest.mark.parametrize(
    "text",
    [
        "given: {raw.reading: []}\nexpect: []",
        "given: {raw.readings: [{numbr: 1}]}\nexpect: []",
        "given: {}\nexpected: []",
        "given: {}\nexpect: []\nparam: {}",
        "given: [",
        "given: []\nexpect: []",
        "given: {raw.readings: {number: 1}}\nexpect: []",
        "given: {raw.readings: [1]}\nexpect: []",
        "given: {}\nexpect: {number: 1}",
        "given: {}\nexpect: [1]",
        "given: {}\nexpect: []\nctes: [readings]",
        "given: {}\nexpect: []\nparams: [factor]",
        "given: {raw.readings: [{number: 1, _row: one}]}\nexpect: []",
        "given: {raw.readings: [{number: 1}]}\nexpect: [{}]",  # gives the parameter no value
    ],
)
def test_a_case_of_another_form_is_refused(stage: Path, text: str) -> None:
    """A typing error in a case is an error, never a case that passes because it says nothing."""
    case = stage.with_suffix(".yaml")
    case.write_text(text)
    with pytest.raises(ConfigError):
        _run(case, stage.parents[3])


def test_a_step_is_cut_out_of_the_parse_tree() -> None:
    """The rewritten text reads the step and keeps the ones before it, and an unknown step is an error."""
    assert cte_text(STAGE, "readings").endswith("SELECT * FROM readings")
    with pytest.raises(KeyError):
        cte_text(STAGE, "nothing")
