"""A dataset in an object store, read through a workspace that holds what was fetched of it: by URLs of this machine's files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import tawt
from tawt.dataset import remote
from tawt.dataset.reader import Split, open_dataset
from tawt.errors import ConfigError, DatasetError
from tawt.files import write_sealed


@pytest.fixture
def store(tmp_path: Path, write_dataset: Callable[..., object]) -> Path:
    """A workspace with two splits, somewhere else."""
    write_dataset(tmp_path / "store" / "ws", {"train": [7, 5, 4], "tuning": [3]})
    return tmp_path / "store" / "ws"


@pytest.fixture
def w(store: Path, tmp_path: Path) -> Path:
    """A workspace that fetches from there."""
    tawt.fetch(f"file://{store}", tmp_path / "w")
    return tmp_path / "w"


def files(w: Path) -> set[str]:
    """What lies below a workspace, by name."""
    return {path.relative_to(w).as_posix() for path in w.rglob("*") if path.is_file()}


def is_same(one: Split, other: Split) -> bool:
    """Whether two splits hold the same."""
    pairs = [(one.columns(i), other.columns(i)) for i in range(one.n_subjects)]
    rows = all(np.array_equal(a.value, b.value) and np.array_equal(a.timestamp, b.timestamp) for a, b in pairs)
    return rows and one.fingerprint() == other.fingerprint() and np.array_equal(one.subject_ids, other.subject_ids)


def test_a_dataset_of_another_format_is_not_fetched(store: Path, tmp_path: Path) -> None:
    """That is told before a byte of it comes, and not by a training that begins later."""
    path = store / "dataset" / "dataset.json"
    told = json.loads(path.read_text(encoding="utf-8")) | {"format": "tawt.dataset/99"}
    write_sealed(path, {name: value for name, value in told.items() if name != "seal"})
    with pytest.raises(DatasetError, match="has the format"):
        tawt.fetch(f"file://{store}", tmp_path / "w", everything=True)
    assert not list((tmp_path / "w").rglob("*.arrow"))


def test_a_split_is_fetched_once_and_only_when_it_is_read(store: Path, w: Path) -> None:
    """It holds what lies in the store; afterwards it is read without the store."""
    small = {"dataset/dataset.json", "dataset/source.json", "vocabulary/vocabulary.parquet"}
    assert files(w) == small
    dataset = open_dataset(w)
    assert is_same(dataset.split("train"), open_dataset(store).split("train"))
    fetched = {f"dataset/train/0000{i}{end}" for i in range(3) for end in (".arrow", ".index.arrow")}
    assert files(w) == small | fetched
    assert not dataset.has_changed(), "what was fetched meanwhile is no other dataset"
    before = open_dataset(store).split("train")
    store.rename(store.with_name("gone"))
    assert is_same(open_dataset(w).split("train"), before)
    with pytest.raises(DatasetError, match="is not there, expected a file of a workspace"):
        open_dataset(w).split("tuning")


def test_what_is_not_as_it_was_written_gets_no_name(store: Path, w: Path) -> None:
    """A file of the store that was changed is refused by its URL; when it is mended, it is fetched."""
    shard = store / "dataset" / "train" / "00001.arrow"
    right = shard.read_bytes()
    shard.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises(DatasetError, match="is not as it was written") as told:
        open_dataset(w).split("train")
    assert told.value.where == f"file://{shard}" and "dataset/train/00001.arrow" not in files(w)
    shard.write_bytes(right)
    (w / "dataset" / "train" / ".00001.arrow.tmp").write_bytes(b"what a kill left")
    assert open_dataset(w).split("train").n_subjects == 16
    assert not [name for name in files(w) if name.endswith((".tmp", ".lock"))]


def test_processes_that_want_the_same_fetch_it_once(w: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One waits for the other, and finds it."""
    got, get = [], remote._get
    monkeypatch.setattr(remote, "_get", lambda store, name, aside: got.append(name) or get(store, name, aside))
    with ThreadPoolExecutor(4) as pool:
        splits = list(pool.map(lambda dataset: dataset.split("train"), [open_dataset(w) for _ in range(4)]))
    assert {split.n_subjects for split in splits} == {16} and len(got) == len({*got}) == 6


def test_another_dataset_takes_the_place_of_the_one_before(
    store: Path, w: Path, write_dataset: Callable[..., object], tmp_path: Path
) -> None:
    """What is not of it goes, and is fetched anew; `everything` fetches all splits at once."""
    open_dataset(w).split("train")
    shutil.rmtree(store)
    write_dataset(store, {"train": [6], "tuning": [2]}, seed=5)
    result = tawt.fetch(f"file://{store}", w, everything=True)
    assert result.n_fetched == 4 and [row[:3] for row in result.splits] == [("train", 1, 6), ("tuning", 1, 2)]
    assert is_same(open_dataset(w).split("train"), open_dataset(store).split("train"))


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("work/mimic", "is no URL of a workspace"),
        ("s3://me:secret@bucket/ws", "may name a user or a key"),
        ("S3://me:secret@bucket/ws", "may name a user or a key"),
        ("nosuch://bucket/ws", "is of no kind that is known"),
    ],
)
def test_a_url_that_cannot_be_opened_is_told(tmp_path: Path, url: str, what: str) -> None:
    """Nothing is written, and no password is repeated."""
    with pytest.raises(ConfigError, match=what) as told:
        tawt.fetch(url, tmp_path / "w")
    assert "secret" not in str(told.value) and not (tmp_path / "w" / "dataset").exists()


def test_a_workspace_of_its_own_is_left_alone(store: Path, tmp_path: Path) -> None:
    """What `tawt ingest` made is not mixed with what is fetched."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "pipeline.yaml").write_text("name: x\n")
    with pytest.raises(ConfigError, match="was made by `tawt ingest`"):
        tawt.fetch(f"file://{store}", tmp_path / "own")
    assert files(tmp_path / "own") == {"pipeline.yaml"}


def test_a_fetch_of_all_tells_how_far_it_is(store: Path, tmp_path: Path) -> None:
    """From nothing to all shards, split by split; what is there is not fetched again."""
    for n_files in (8, 0):
        heard: list[tuple[int, int]] = []
        found = tawt.fetch(
            f"file://{store}", tmp_path / "all", everything=True,
            report=lambda event, heard=heard: heard.append((event["n_done"], event["n_rows"])),
        )  # fmt: skip
        assert heard == [(0, 4), (3, 4), (4, 4)] and found.n_fetched == n_files
