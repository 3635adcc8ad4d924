"""`tawt check meds` finds each planted defect, and names no cell."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.errors import SourceError
from tawt.quality.meds import check_meds

SHARD = "data/train/00000.parquet"
SPLITS = "metadata/subject_splits.parquet"
CODES = "metadata/codes.parquet"


def failed(root: Path) -> set[str]:
    return {finding.check for finding in check_meds(root) if not finding.ok}


@pytest.fixture
def dataset(hospital, tmp_path: Path) -> Path:
    return Path(shutil.copytree(hospital.workspace / "events", tmp_path / "events"))


def swap(table: pa.Table, i: int, j: int) -> pa.Table:
    order = np.arange(len(table))
    order[[i, j]] = order[[j, i]]
    return table.take(pa.array(order))


def replaced(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)


def unsorted(table: pa.Table) -> pa.Table:
    time, subject = table["time"].cast(pa.int64()).fill_null(-(2**62)).to_numpy(), table["subject_id"].to_numpy()
    at = int(np.flatnonzero((subject[1:] == subject[:-1]) & (time[1:] > time[:-1]))[3])
    return swap(table, at, at + 1)


def static_last(table: pa.Table) -> pa.Table:
    at = int(np.flatnonzero(table["time"].is_null().to_numpy())[0])
    subject = table["subject_id"].to_numpy()
    last = int(np.flatnonzero(subject == subject[at])[-1])
    order = np.delete(np.arange(len(table)), at).tolist()
    order.insert(last, at)
    return table.take(pa.array(order))


def torn(table: pa.Table) -> pa.Table:
    order = [*range(1, len(table)), 0]
    return table.take(pa.array(order))


def null_at_0(table: pa.Table, column: str) -> pa.Table:
    values = table[column].to_pylist()
    return replaced(table, column, pa.array([None, *values[1:]], table.schema.field(column).type))


def cast(column: str, type_: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda table: replaced(table, column, table[column].cast(type_))


DEFECTS = {
    "unsorted": (SHARD, unsorted, {"sorted by time"}),
    "static fact last": (SHARD, static_last, {"sorted by time"}),
    "torn subject": (SHARD, torn, {"subjects contiguous"}),
    "null code": (SHARD, lambda t: null_at_0(t, "code"), {"keys"}),
    "null subject": (SHARD, lambda t: null_at_0(t, "subject_id"), {"keys", "splits complete", "splits as stored"}),
    "float64 value": (SHARD, cast("numeric_value", pa.float64()), {"schema"}),
    "string text": (SHARD, cast("text_value", pa.string()), {"schema"}),
    "nanosecond time": (SHARD, cast("time", pa.timestamp("ms")), {"schema"}),
    "subject as text": (SHARD, cast("subject_id", pa.string()), {"schema"}),
    "time as text": (SHARD, cast("time", pa.string()), {"schema"}),
    "no code column": (SHARD, lambda t: t.drop_columns(["code"]), {"schema"}),
    "code not described": (CODES, lambda t: t.slice(1), {"codes complete"}),
    "codes without codes": (CODES, lambda t: t.drop_columns(["code"]), {"codes complete"}),
    "subject without split": (SPLITS, lambda t: t.slice(1), {"splits complete", "splits as stored"}),
    "subject in two splits": (SPLITS, lambda t: pa.concat_tables([t, t.slice(0, 1)]), {"splits disjoint"}),
    "split ids as text": (SPLITS, cast("subject_id", pa.string()), {"splits complete"}),
}


def test_a_dataset_of_ours_has_no_defect(dataset: Path) -> None:
    """Every check passes on the events of the invented hospital."""
    assert failed(dataset) == set()


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found_by_its_check(dataset: Path, name: str) -> None:
    """One defect in one file fails the checks that speak of it, and no other."""
    file, spoil, expected = DEFECTS[name]
    table = pq.read_table(dataset / file, partitioning=None)
    pq.write_table(spoil(table).replace_schema_metadata(None), dataset / file)
    assert failed(dataset) == expected


def test_a_subject_in_two_shards_is_found(dataset: Path) -> None:
    """A copy of one subject's rows in another file, in the right split and order, is still found."""
    table = pq.read_table(dataset / SHARD, partitioning=None)
    mine = table.filter(pa.compute.equal(table["subject_id"], table["subject_id"][0]))
    pq.write_table(mine, dataset / "data/train/99999.parquet")
    assert failed(dataset) == {"one shard per subject"}


def test_a_shard_in_the_wrong_folder_is_found(dataset: Path) -> None:
    """A file moved to another split's folder contradicts the split table."""
    (dataset / SHARD).rename(dataset / "data/tuning/77777.parquet")
    assert failed(dataset) == {"splits as stored"}


def test_absent_metadata_and_broken_files(dataset: Path) -> None:
    """Absent tables are findings; a file that is no Parquet, or no data at all, is an error."""
    (dataset / CODES).unlink()
    (dataset / SPLITS).unlink()
    assert failed(dataset) == {"codes complete", "splits complete"}
    (dataset / SHARD).write_bytes(b"nonsense")
    with pytest.raises(SourceError, match="expected a whole Parquet file"):
        check_meds(dataset)
    with pytest.raises(SourceError, match="expected a MEDS dataset"):
        check_meds(dataset / "metadata")


@pytest.mark.parametrize("name", [SHARD, CODES, SPLITS])
def test_a_torn_file_of_a_dataset_is_named(dataset: Path, name: str) -> None:
    """Cut off, or with pages of nothing behind a whole footer, it ends the check with its own name."""
    content = (dataset / name).read_bytes()
    for torn in (content[:-20], content[:4] + bytes(len(content) // 3) + content[4 + len(content) // 3 :]):
        (dataset / name).write_bytes(torn)
        with pytest.raises(SourceError, match="expected a whole Parquet file") as error:
            check_meds(dataset)
        assert error.value.where == name
