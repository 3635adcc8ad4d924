"""`tawt check` holds raw tables to what was read of them: whatever happened to a file since is a finding."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.files import write_sealed
from tawt.pipeline.manifest import read_manifest
from tawt.pipeline.workspace import open_workspace
from tawt.quality.finding import Finding

DATA, CODES = "data/0.parquet", "metadata/codes.parquet"


def _rows(n: int, code: str = "PULSE") -> pa.Table:
    times = pa.array([datetime(2031, 5, 6, 7, i) for i in range(n)], pa.timestamp("us"))
    return pa.table({"subject_id": pa.array(range(n), pa.int64()), "time": times, "code": [code] * n})


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A MEDS dataset of twelve measurements and one meaning, ingested into `w`."""
    raw = tmp_path / "raw"
    for file, table in ((DATA, _rows(12)), (CODES, pa.table({"code": ["PULSE"], "description": ["Beats"]}))):
        (raw / file).parent.mkdir(parents=True)
        pq.write_table(table, raw / file)
    tawt.ingest(raw, "meds", tmp_path / "w", threads=1, memory_limit="1GB")
    return raw


def finding(workspace: Path) -> Finding:
    (found,) = [f for f in tawt.check(workspace) if f.check == "raw tables"]
    return found


def test_raw_tables_as_they_were_are_counted_again(raw: Path, tmp_path: Path) -> None:
    """All records of all tables; on a machine without the raw folder nothing is said to be wrong, nor to be counted."""
    assert finding(tmp_path / "w") == Finding("raw tables", True, "13 records, counted again from their bytes")
    raw.rename(tmp_path / "elsewhere")
    assert finding(tmp_path / "w") == Finding("raw tables", True, "not on this machine: not counted again")


def _another(path: Path) -> None:
    pq.write_table(_rows(12, "PULS2"), path)


CHANGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "another content of the same size": (DATA, _another, "raw.measurements is not as it was read"),
    "a record more": (DATA, lambda path: pq.write_table(_rows(13), path), "raw.measurements is not as it was read"),
    "a file more": (DATA, lambda path: shutil.copy(path, path.with_name("1.parquet")), "raw.measurements is not as it was read"),
    "a file gone": (DATA, Path.unlink, "data: is a folder without a table in it"),
    "no Parquet": (DATA, lambda path: path.write_bytes(b"x" * path.stat().st_size), "0.parquet"),
    "an optional table gone": (CODES, Path.unlink, "raw.codes is not there any more"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_raw_table_that_changed_is_found(name: str, raw: Path, tmp_path: Path) -> None:
    """Changed, longer, joined by another file, gone or unreadable: each fails the check of raw tables and says which."""
    file, change, said = CHANGES[name]
    before = (raw / file).stat().st_size
    change(raw / file)
    assert name != "another content of the same size" or (raw / file).stat().st_size == before
    found = finding(tmp_path / "w")
    assert not found.ok and said in found.detail, found


def test_a_count_that_is_not_that_of_the_bytes_is_found(raw: Path, tmp_path: Path) -> None:
    """A stage that says it took in one record more than its table holds is told, though its own account balances."""
    opened = open_workspace(tmp_path / "w")
    manifest = read_manifest(opened, "staging.measurements")
    assert manifest is not None
    account = manifest.accounts[0].model_copy(update={"n_records_in": 13, "n_records_kept": 13})
    changed = manifest.model_copy(update={"accounts": (account,)})
    write_sealed(opened.manifest(manifest.stage), changed.model_dump(mode="json"))
    assert finding(tmp_path / "w") == Finding(
        "raw tables", False, "raw.measurements holds 12 records, and staging.measurements took in 13"
    )
