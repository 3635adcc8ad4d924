"""Raw tables of several files: which columns they have together."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.errors import SourceError

SCHEMA = pa.schema(
    [("subject_id", pa.int64()), ("time", pa.timestamp("us")), ("code", pa.string()), ("numeric_value", pa.float32())]
)


def _part(root: Path, name: str, subject: int, columns: list[str]) -> None:
    row = {"subject_id": subject, "time": datetime(2020, 1, 1), "code": "HR", "numeric_value": 80.0 + subject}
    path = root / "data" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([SCHEMA.field(column) for column in columns])
    pq.write_table(pa.Table.from_pylist([{c: row[c] for c in columns}], schema), path)


def test_parquet_parts_are_joined_by_name(tmp_path: Path) -> None:
    """A part without an optional column, or with its columns in another order, reads as if it had all of them in order."""
    _part(tmp_path / "raw", "train/0", 1, ["subject_id", "time", "code", "numeric_value"])
    _part(tmp_path / "raw", "train/1", 2, ["code", "numeric_value", "time", "subject_id"])
    _part(tmp_path / "raw", "tuning/0", 3, ["subject_id", "time", "code"])
    tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1)
    rows = tawt.query(
        "select subject_id, numeric_value, value_status from events order by 1", tmp_path / "w"
    ).to_pylist()
    assert [(row["subject_id"], row["numeric_value"], row["value_status"]) for row in rows] == [
        (1, 81.0, "numeric"),
        (2, 82.0, "numeric"),
        (3, None, "none"),
    ]


def test_a_required_column_must_be_in_every_part(tmp_path: Path) -> None:
    """A Parquet part without a required column is an error that names the part."""
    _part(tmp_path / "raw", "0", 1, ["subject_id", "time", "code"])
    _part(tmp_path / "raw", "1", 2, ["subject_id", "time"])
    with pytest.raises(SourceError, match=r"data/1\.parquet: column `code` is missing"):
        tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1)


def test_parts_are_told_by_their_ends_in_any_case(tmp_path: Path) -> None:
    """`0.PARQUET` is Parquet, and a text file beside it is an error that names both."""
    _part(tmp_path / "raw", "0", 1, ["subject_id", "time", "code"])
    (tmp_path / "raw/data/0.parquet").rename(tmp_path / "raw/data/0.PARQUET")
    tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1)
    assert tawt.query("select count(*) n from events", tmp_path / "w").to_pylist() == [{"n": 1}]
    (tmp_path / "raw/data/1.csv").write_text("subject_id,time,code\n2,2020-01-01 00:00:00,HR\n")
    with pytest.raises(SourceError, match=r"data/1\.csv: is of another kind than `data/0\.PARQUET`"):
        tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1)


def test_files_of_systems_are_no_parts_of_a_table(tmp_path: Path) -> None:
    """Hidden and underscored files, and folders such as `__MACOSX`, are passed over at every depth, and counted."""
    columns = ["subject_id", "time", "code"]
    _part(tmp_path / "raw", "train/0", 1, columns)
    result = tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1)
    assert not any("no data" in note for note in result.notes)
    for name in ("train/._0", "train/.0", "train/_0", "__MACOSX/train/0", ".git/0", "_delta_log/0"):
        _part(tmp_path / "raw", name, 2, columns)
    (tmp_path / "raw" / "data" / "train" / "_SUCCESS").touch()
    (tmp_path / "raw" / "data" / "train" / ".DS_Store").write_bytes(b"\0\1")
    result = tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1)
    assert result.n_run == 0
    assert [note for note in result.notes if "no data" in note] == [
        "raw.measurements: 8 files that lie there begin with `.`, `_` or `~`, or lie in such a folder, are no data and are not read"
    ]


def test_a_hidden_file_beside_a_table_is_counted_and_is_none(make_project, tmp_path: Path) -> None:
    """Of `._readings.csv` and `__MACOSX/readings.csv` nothing is read; with nothing else the error says that they lie there."""
    columns = [{"name": "subject_id", "type": "string"}]
    staging = "select whole(subject_id) as subject_id, _row, null::varchar as _reason from raw.readings"
    part = "select subject_id, _row, null::varchar as _reason from staging.readings"
    raw = make_project(columns, [{"name": "subject_id", "type": "int64"}], staging, part)
    contract = tmp_path / "assets" / "schemas" / "lab" / "readings.json"
    contract.write_text(contract.read_text().replace('["readings"]', '["*/readings"]'))
    (raw / "__MACOSX").mkdir()
    (raw / "a").mkdir()
    (raw / "__MACOSX" / "readings.csv").write_text("subject_id\n8\n")
    (raw / "a" / "._readings.csv").write_bytes(b"\0\5\x16\7")
    with pytest.raises(SourceError, match=r"no file found below the raw root") as caught:
        tawt.ingest(raw, "lab", tmp_path / "w", threads=1, dry_run=True)
    assert "2 files that lie there begin with" in caught.value.hint
    (raw / "a" / "readings.csv").write_text("subject_id\n7\n")
    notes = tawt.ingest(raw, "lab", tmp_path / "w", threads=1, dry_run=True).notes
    assert any("raw.readings: 2 files that lie there" in note for note in notes)
