"""Rows are cut by the way that each goes, and none is lost, changed or out of order."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.database.connect import parquet_files
from tawt.pipeline import routes
from tawt.pipeline.routes import REJECTED, cut
from tawt.readers import read_parquet


def _rows(n: int, n_shards: int) -> pa.Table:
    rng = np.random.default_rng(1)
    return pa.table(
        {
            "day": pa.array(rng.integers(0, 9, n, np.int32), pa.date32()),
            "value": pa.array(np.where(rng.random(n) < 0.2, np.nan, rng.random(n))),
            "text": pa.array([None if i % 3 else f"t{i % 50}" for i in range(n)], pa.string()),
            "items": pa.array([[] if i % 2 else [str(i)] for i in range(n)], pa.list_(pa.string())),
            "_row": pa.array(np.arange(1, n + 1)),
            "_reason": pa.array([None] * n, pa.string()),
            "_route": pa.array(rng.integers(REJECTED, n_shards, n), pa.int32()),
        }
    )


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("n_shards", [1, 7, 40_000])
def test_each_row_goes_its_way_in_the_order_in_which_it_came(
    n_shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a shard hold its rows in the order in which they came, however few are written at once and however
    few files may be open; what is rejected is given back with its record and reason."""
    monkeypatch.setattr(routes, "_AT_ONCE", 3000)
    monkeypatch.setattr(routes, "_EVEN", 50)
    monkeypatch.setattr(routes, "_MOST_OPEN", 5)
    table = _rows(400, n_shards)
    kept, rejected = cut(table.to_batches(max_chunksize=60), tmp_path, threads=3)
    way = table["_route"].to_numpy()
    for shard in sorted({*way.tolist()} - {REJECTED}):
        mine = [file for file in kept if file.name.startswith(f"part-{shard:05d}-")]
        expected = table.filter(pa.array(way == shard)).drop_columns(["_route"])
        read = pa.concat_tables(map(read_parquet, mine))
        assert str(read.to_pylist()) == str(expected.to_pylist())  # NaN is not itself
    assert len(kept) == len({*kept}) == len(list(tmp_path.iterdir()))
    assert (len(kept) > n_shards) == (n_shards == 7)  # of more shards than files may be open, some have several
    assert rejected["_row"].to_pylist() == table["_row"].to_numpy()[way == REJECTED].tolist()


def test_of_many_ways_rows_are_laid_together_longer_and_files_closed_before_they_hold_many_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of rows are as many times as large as ways are many, up to a bound; a file is closed when all that are open
    hold a number of groups, and the rows are the same in the same order."""
    monkeypatch.setattr(routes, "_AT_ONCE", 3000)
    monkeypatch.setattr(routes, "_EVEN", 10)
    table, groups = _rows(400, 8), {}
    for name, ways, most in (("plain", 100, 10_000), ("laid together", 2, 10_000), ("closed", 100, 24)):
        monkeypatch.setattr(routes, "_WAYS", ways)
        monkeypatch.setattr(routes, "_MOST_GROUPS", most)
        kept, _ = cut(table.to_batches(max_chunksize=60), _new(tmp_path / name), threads=1)
        groups[name] = [pq.ParquetFile(file).num_row_groups for file in kept]
        read = pa.concat_tables(map(read_parquet, kept))
        way = table["_route"].to_numpy()
        expected = pa.concat_tables(table.filter(pa.array(way == one)) for one in sorted({*way.tolist()} - {REJECTED}))
        assert str(read.to_pylist()) == str(expected.drop_columns(["_route"]).to_pylist())
    assert len(groups["plain"]) == len(groups["laid together"]) == 8
    assert sum(groups["plain"]) > 2 * sum(groups["laid together"]) > 16
    assert max(groups["closed"]) == 3 and sum(groups["closed"]) == sum(groups["plain"])


def test_the_bytes_of_files_hang_on_rows_and_not_on_how_the_engine_hands_them_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of other sizes give the same files."""
    monkeypatch.setattr(routes, "_AT_ONCE", 3000)
    monkeypatch.setattr(routes, "_EVEN", 16)
    table = _rows(400, 3)
    of_sizes = [[400], [1] * 400, [7, 60, 0, 200, 16, 17, 100]]
    files = []
    for i, sizes in enumerate(of_sizes):
        (folder := tmp_path / str(i)).mkdir()
        starts = np.cumsum([0, *sizes])
        batches = [
            one
            for s, n in zip(starts[:-1], sizes, strict=True)
            for one in table.slice(s, n).combine_chunks().to_batches()
        ]
        kept, _ = cut(batches, folder, threads=2)
        files.append({file.name: file.read_bytes() for file in kept})
    assert files[0] == files[1] == files[2] and len(files[0]) == 3


def test_nothing_is_written_of_no_rows(tmp_path: Path) -> None:
    """Of a batch without a row there is no file."""
    empty = pa.RecordBatch.from_pylist([], schema=_rows(1, 1).schema)
    kept, rejected = cut([empty], tmp_path, threads=1)
    assert (kept, rejected.num_rows, list(tmp_path.iterdir())) == ([], 0, [])


def test_the_engine_finds_each_nan_that_was_written(tmp_path: Path) -> None:
    """What a file says of its columns hides no NaN from the engine, which asks that first."""
    kept, rejected = cut(_rows(400, 1).to_batches(), tmp_path, 1)
    n = duckdb.sql(f"select sum(isnan(value)::int), count(*) from {parquet_files(kept)}").fetchall()
    table = _rows(400, 1)
    is_kept = table["_route"].to_numpy() != REJECTED
    assert n == [(int(np.isnan(table["value"].to_numpy()[is_kept]).sum()), int(is_kept.sum()))]
    assert n[0][0] > 20 and rejected.num_rows > 20
