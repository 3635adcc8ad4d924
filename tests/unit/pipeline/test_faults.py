"""Cells that a kept record goes without are counted by column and reason, and lose nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import tawt
from tawt.cli.app import app
from tawt.errors import ContractError, StageError
from tawt.files import sealed

STAGING = """-- One row is one reading.
select
    whole(subject_id) as subject_id, code, number(value) as value, _row,
    case when whole(subject_id) is null then 'quarantine:subject_id:unparseable' end as _reason,
    FAULTS
from raw.readings
"""
FAULTS = """nullif(concat_ws(' ',
        case when value is not null and number(value) is null then 'value:unparseable' end,
        case when code like '?%' then 'code:out_of_range' end), '') as _faults"""
PART = """-- One row is one reading as an event.
select
    subject_id, null::timestamp as time, code, value as numeric_value, null::varchar as text_value,
    null::timestamp as available_time, null::varchar as unit, null::varchar as raw_value,
    case when value is null then 'absent' else 'numeric' end as value_status, _row, null::varchar as _reason
from staging.readings
"""
RECORDS = ["1,a,1.5", "1,a,high", "2,?a,low", "x,?a,low", "2,?b,3", "2,c,", "3,c,2"]


@pytest.fixture
def readings(make_project):
    """`readings(faults)`: the raw folder of a project whose staging gives them."""

    def make(faults: str = FAULTS) -> Path:
        names = ("subject_id", "code", "value")
        raw = [{"name": name, "type": "string"} for name in names]
        types = ("int64", "string", "float64")
        staged = [{"name": name, "type": type_} for name, type_ in zip(names, types, strict=True)]
        folder: Path = make_project(raw, staged, STAGING.replace("FAULTS", faults), PART)
        (folder / "readings.csv").write_text("\n".join([",".join(names), *RECORDS]) + "\n")
        return folder

    return make


def _accounts(work: Path) -> dict[str, dict]:
    return {
        stage: json.loads((work / "manifests" / f"{stage}.json").read_text())["accounts"][0]
        for stage in ("staging.readings", "event_parts.readings")
    }


def test_a_bad_cell_is_counted_and_the_record_stays(readings, tmp_path: Path) -> None:
    """Each bad cell of a kept record counts once under its column and reason; those of a rejected one do not."""
    work = tmp_path / "w"
    tawt.ingest(readings(), "lab", work)
    account = _accounts(work)["staging.readings"]
    assert (account["n_records_kept"], len(RECORDS)) == (6, 7)
    told = {(f["column"], f["reason"]): f["n_cells"] for f in account["faults"]}
    assert told == {("code", "out_of_range"): 2, ("value", "unparseable"): 2}
    assert _accounts(work)["event_parts.readings"]["faults"] == []
    ledger = tawt.query("select reason, n from ledger where route = 'fault' order by all", work).to_pydict()
    assert ledger == {"reason": ["code:out_of_range", "value:unparseable"], "n": [2, 2]}
    assert tawt.query("from staging.readings", work).column_names == ["subject_id", "code", "value", "_row"]
    assert all(finding.ok for finding in tawt.check(work))
    shown = CliRunner().invoke(app, ["show", "staging.readings", "-w", str(work)])
    assert "code:out_of_range" in shown.stdout and shown.exit_code == 0


def test_the_end_of_ingest_tells_the_cells_that_were_left_out(readings, tmp_path: Path) -> None:
    """The printed ledger names them behind the reasons, and says nothing of them where no cell was left out."""
    ran = CliRunner().invoke(app, ["ingest", str(readings()), "-p", "lab", "-w", str(tmp_path / "w")])
    assert "; cells left out: code:out_of_range 2, value:unparseable 2" in ran.stdout
    readings("null::varchar as _faults")
    ran = CliRunner().invoke(app, ["run", "staging.readings", "-w", str(tmp_path / "w")])
    assert "quarantined" in ran.stdout and "left out" not in ran.stdout


def test_a_count_of_cells_that_is_not_that_of_the_files_fails_the_check(readings, tmp_path: Path) -> None:
    """`check` counts the cells again from what the stage wrote."""
    tawt.ingest(readings(), "lab", tmp_path / "w")
    path = tmp_path / "w" / "manifests" / "staging.readings.json"
    said = json.loads(path.read_text())
    said["accounts"][0]["faults"][0]["n_cells"] = 1
    path.write_text(sealed({key: value for key, value in said.items() if key != "sha256"}))
    wrong = [finding.detail for finding in tawt.check(tmp_path / "w") if not finding.ok]
    assert any("staging.readings: 4 cells left out of its rows, expected 3" in detail for detail in wrong)


@pytest.mark.parametrize(
    "faults", ["code || ':unparseable'", "'valeu:unparseable'", "'value:odd'", "'value'", "''", "'value:unparseable '"]
)
def test_no_cell_gets_into_a_count(faults: str, readings, tmp_path: Path) -> None:
    """What names no column of a contract, or no known word, ends the stage without being shown."""
    with pytest.raises(StageError, match="gives 6 `_faults` that are no") as raised:
        tawt.ingest(readings(f"{faults} as _faults"), "lab", tmp_path / "w")
    assert "?a" not in str(raised.value) + raised.value.hint and "valeu" not in str(raised.value)
    assert not (tmp_path / "w" / "staging").exists()


@pytest.mark.parametrize("faults", ["3 as _faults", "['value:unparseable'] as _faults"])
def test_faults_are_text(faults: str, readings, tmp_path: Path) -> None:
    """A `_faults` of another type than varchar is refused before a row is read."""
    with pytest.raises(ContractError, match=r"column `_faults` is .*, expected string"):
        tawt.ingest(readings(faults), "lab", tmp_path / "w")


def test_a_stage_without_faults_writes_none(readings, tmp_path: Path) -> None:
    """The column may be left out."""
    tawt.ingest(readings("null::varchar as _faults"), "lab", tmp_path / "w")
    sql = tmp_path / "assets" / "sql" / "lab" / "staging" / "readings.sql"
    sql.write_text(STAGING.replace(",\n    FAULTS", ""))
    tawt.run("staging.readings", tmp_path / "w")
    names = [pq.read_schema(path).names for path in (tmp_path / "w" / "staging" / "readings").glob("*.parquet")]
    assert names and all("_faults" not in one for one in names)
