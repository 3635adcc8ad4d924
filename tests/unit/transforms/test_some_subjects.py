"""A shard that is made in pieces is the one that is made at once, to the last byte."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.transforms import events, some_subjects
from tawt.transforms.columns import NO_TIME
from tawt.transforms.some_subjects import Groups, Piece, by_subjects, pieces_of, read_piece
from tests.unit.pipeline.test_stability import hashes
from tests.unit.transforms.test_events import merged, random_row

QUICK = {"threads": 1, "memory_limit": "500MB"}


def of_subjects(path: Path, *subjects: int, times: list[int | None] | None = None) -> Path:
    """A file with rows of these subjects, numbered, each at its number or at a time that is given."""
    at = pa.array(range(len(subjects)) if times is None else times, pa.timestamp("us"))
    pq.write_table(
        pa.table({"subject_id": pa.array(subjects, pa.int64()), "time": at, "i": range(len(subjects))}), path,
        row_group_size=3,
    )  # fmt: skip
    return path


def test_pieces_are_of_whole_subjects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit, ascending, over all files, twice as many where there is room; few rows are not cut."""
    files = [of_subjects(tmp_path / "a", 5, 1, 9, 5, 5, 2), of_subjects(tmp_path / "b", 1, 9, 3, -4)]
    assert pieces_of(dict.fromkeys(files, 10)) == [None]
    monkeypatch.setattr(some_subjects, "MOST_ROWS", 3)
    assert pieces_of(dict.fromkeys(files, 10)) == [Piece(-4, 1), Piece(2, 3), Piece(5, 5), Piece(9, 9)]
    assert pieces_of(dict.fromkeys(files, 10), 2) == [Piece(-4, 3), Piece(5, 9)]
    read = [read_piece(files[0], ["i", "subject_id"], piece) for piece in pieces_of(dict.fromkeys(files, 10))]
    assert [one["i"].to_pylist() for one in read] == [[1], [5], [0, 3, 4], [2]]
    assert {(*one.column_names,) for one in read} == {("i", "subject_id")}


def test_one_who_has_more_rows_than_a_piece_is_cut_between_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no time comes first, a moment stays whole however many rows it has, and others are not cut."""
    monkeypatch.setattr(some_subjects, "MOST_ROWS", 3)
    times = [7, None, 7, -2, 3, 7, None, 7, 9, 9]
    files = [of_subjects(tmp_path / "a", *[4] * 10, times=times), of_subjects(tmp_path / "b", 1, 6)]
    pieces = pieces_of(dict.fromkeys(files, 10))
    of_one = [Piece(4, 4, NO_TIME, 3), Piece(4, 4, 3, 7), Piece(4, 4, 7, 9), Piece(4, 4, 9, None)]
    assert pieces == [Piece(1, 1), *of_one, Piece(6, 6)]
    read = [read_piece(files[0], ["i"], piece)["i"].to_pylist() for piece in pieces]
    assert read == [[], [1, 3, 6], [4], [0, 2, 5, 7], [8, 9], []]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_a_sorted_file_is_read_some_subjects_at_a_time(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No subject is cut, none is lost, and an empty file gives its columns."""
    monkeypatch.setattr(some_subjects, "MOST_ROWS", most)
    monkeypatch.setattr(some_subjects, "parquet_batches", in_threes)
    subjects = np.repeat([1, 4, 5, 6, 9], [1, 7, 2, 1, 3]).tolist()
    pieces = list(by_subjects(of_subjects(tmp_path / "x", *subjects), None))
    assert pa.concat_tables(pieces)["i"].to_pylist() == list(range(len(subjects)))
    told = [set(piece["subject_id"].to_pylist()) for piece in pieces]
    assert sum(map(len, told)) == 5 and all(
        len(one) == 1 or len(piece) <= most for one, piece in zip(told, pieces, strict=True)
    )
    assert [len(one) for one in by_subjects(of_subjects(tmp_path / "none"), None)] == [0]


def test_one_who_need_not_stay_whole_is_cut_at_any_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece has more rows than it may, and no row is lost."""
    monkeypatch.setattr(some_subjects, "MOST_ROWS", 4)
    file = of_subjects(tmp_path / "x", 1, *[2] * 11, 3)
    for whole, sizes in ((True, [1, 11, 1]), (False, [1, 4, 4, 4])):
        pieces = list(by_subjects(file, None, whole))
        assert [len(one) for one in pieces] == sizes
        assert pa.concat_tables(pieces)["i"].to_pylist() == list(range(13))


def in_threes(path: Path, columns: list[str] | None = None, **options: object):
    """The rows of a file, a few at a time."""
    return iter(pq.read_table(path, columns=columns).to_batches(max_chunksize=3))


def test_rows_that_come_in_pieces_are_written_as_if_at_once(tmp_path: Path) -> None:
    """Groups of the same rows, the same bytes; no file of nothing, and one of no rows where columns are known."""
    rows = pa.table({"a": pa.array(np.arange(1000) % 7), "b": pa.array([str(n % 11) for n in range(1000)])})
    pq.write_table(rows, tmp_path / "once", row_group_size=128, compression="zstd", use_dictionary=["b"])
    with Groups(tmp_path / "pieces", 128, compression="zstd", use_dictionary=["b"]) as file:
        for start, end in ((0, 1), (1, 200), (200, 200), (200, 900), (900, 1000)):
            file.write(rows.slice(start, end - start))
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "once").read_bytes()
    with Groups(tmp_path / "nothing", 128):
        pass
    with Groups(tmp_path / "empty", 128) as file:
        file.write(rows.slice(0, 0))
    assert not (tmp_path / "nothing").exists() and pq.read_schema(tmp_path / "empty").names == ["a", "b"]


@pytest.mark.parametrize("most", [40, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_shard_merged_in_pieces_is_the_one_merged_at_once(
    tmp_path: Path, seed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, bytes and all that is counted of them, with ties and duplicates in plenty, of many subjects or parts of one."""
    monkeypatch.setattr(events, "ROW_GROUP", 50)
    rng = random.Random(seed)
    parts = {
        name: [{**random_row(rng, 12), "_row": i} for i in range(150)] for name in ("event_parts.a", "event_parts.b")
    }
    at_once, rows = merged(tmp_path / "once", parts)
    monkeypatch.setattr(some_subjects, "MOST_ROWS", most)
    in_pieces, same = merged(tmp_path / "pieces", parts)
    assert at_once == in_pieces and rows == same and at_once.duplicates and len(at_once.n_rows) == 3
    for path in sorted((tmp_path / "once").glob("t*.parquet")):
        assert path.read_bytes() == (tmp_path / "pieces" / path.name).read_bytes()


def test_a_workspace_made_in_pieces_has_the_same_bytes(
    hospital, own_workspace: Path, tmp_path: Path, monkeypatch
) -> None:
    """Events, triplets and dataset of shards that are cut many times, panels among them, and the longest records too."""
    monkeypatch.setattr(some_subjects, "MOST_ROWS", 200)
    tawt.ingest(hospital.raw, "demo", tmp_path / "w", settings=("shards=3",), **QUICK)
    tawt.build_vocab(tmp_path / "w", **QUICK)
    assert hashes(tmp_path / "w") == hashes(own_workspace)
