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
