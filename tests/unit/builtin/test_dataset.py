"""Vocabulary, triplets and dataset of whole workspaces, counted again from the events by other code."""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.contracts.value_status import STATUS_NAMES

SPLITS = ("train", "tuning", "held_out")
EPOCH = datetime(1970, 1, 1)
QUICK = {"threads": 1, "memory_limit": "500MB"}


def events_of(workspace: Path, split: str) -> list[dict]:
    files = sorted((workspace / "events" / "data" / split).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def words_of(workspace: Path) -> list[dict]:
    return pq.read_table(workspace / "vocabulary" / "vocabulary.parquet").to_pylist()


def test_the_vocabulary_of_the_hospital_is_that_of_its_train_rows(hospital) -> None:
    """Index, counts, units, moments, percentiles, edges and categories follow from the train files in exact arithmetic."""
    train = events_of(hospital.workspace, "train")
    n_rows = Counter(row["code"] for row in train)
    subjects, numbers, texts = defaultdict(set), defaultdict(list), defaultdict(Counter)
    with_number, with_text, of_subject = defaultdict(set), defaultdict(set), defaultdict(list)
    for row in train:
        subjects[row["code"]].add(row["subject_id"])
        if row["value_status"] == "numeric":
            numbers[row["code"]].append(row["numeric_value"])
            with_number[row["code"]].add(row["subject_id"])
            of_subject[row["code"]].append((row["subject_id"], row["numeric_value"]))
        if row["value_status"] == "category":
            texts[row["code"]][row["text_value"]] += 1
            with_text[row["code"], row["text_value"]].add(row["subject_id"])
    kept = sorted((code for code, n in n_rows.items() if n >= 5), key=lambda code: (-n_rows[code], code.encode()))
    assert len(kept) < len(n_rows)
    words = words_of(hospital.workspace)
    assert any(0 < word["n_value_subjects"] < word["n_subjects"] for word in words)
    assert [word["code"] for word in words[4:]] == kept
    n_left = 0
    for word in words[4:]:
        code = word["code"]
        xs = sorted(numbers[code])
        assert (word["n_rows"], word["n_subjects"], word["n_values"]) == (n_rows[code], len(subjects[code]), len(xs))
        assert word["n_value_subjects"] == len(with_number[code])
        assert word["category_subjects"] == [len(with_text[code, text]) for text in word["categories"]]
        kind = {(0, 0): "none", (1, 0): "numeric", (0, 1): "categorical", (1, 1): "mixed"}
        many = [text for text in texts[code] if len(with_text[code, text]) > 10]
        n_left += len(texts[code]) - len(many)
        assert word["value_kind"] == kind[bool(xs), bool(many)]
        assert word["categories"] == sorted(many, key=lambda t: (-texts[code][t], t.encode()))[:30]
        if not xs:
            assert word["mean"] is None
            continue
        exact = [Fraction(x) for x in xs]
        mean = sum(exact) / len(xs)
        variance = sum((x - mean) ** 2 for x in exact) / len(xs)
        assert word["mean"] == pytest.approx(float(mean), rel=1e-12)
        assert word["std"] == pytest.approx(math.sqrt(variance), rel=1e-12)
        assert word["quantiles"] == [xs[max(0, -(-k * len(xs) // 100) - 1)] for k in range(101)]
        cuts = {xs[-(-k * len(xs) // 10) - 1] for k in range(1, 10)}
        assert word["bin_edges"] == sorted(cut for cut in cuts if cut > xs[0])
        units = {row["unit"] for row in train if row["code"] == code and row["numeric_value"] is not None}
        assert {word["unit"]} == units
        bounds = [-math.inf, *word["bin_edges"], math.inf]
        for n, (low, high) in zip(word["bin_subjects"], pairwise(bounds), strict=True):
            assert n == len({s for s, x in of_subject[code] if low <= x < high})
        assert word["most_of_one"] == max(Counter(s for s, _ in of_subject[code]).values())
    assert n_left > 0


def test_every_event_becomes_one_triplet_and_one_row_of_the_dataset(hospital) -> None:
    """Shard by shard, triplets are the events in order beside the counted additions, and the dataset is the triplets, moment by moment."""
    index = {word["code"]: word["data_type"] for word in words_of(hospital.workspace)}
    n_added = 0
    for path in sorted((hospital.workspace / "triplets").rglob("*.parquet")):
        shard = path.relative_to(hospital.workspace / "triplets").with_suffix("")
        triplets = pq.read_table(path, partitioning=None)
        real = triplets.filter(pa.compute.not_equal(triplets["value_status"], STATUS_NAMES.index("not_measured")))
        n_added += len(triplets) - len(real)
        events = pq.read_table(
            (hospital.workspace / "events" / "data" / shard).with_suffix(".parquet"), partitioning=None
        )
        assert real["subject_id"].equals(events["subject_id"])
        assert real["timestamp"].equals(events["time"])
        assert real["data_type"].to_pylist() == [index.get(code, 1) for code in events["code"].to_pylist()]
        with pa.memory_map(str((hospital.workspace / "dataset" / shard).with_suffix(".arrow"))) as source:
            rows = pa.ipc.open_file(source).read_all()
        with pa.memory_map(str((hospital.workspace / "dataset" / shard).with_suffix(".index.arrow"))) as source:
            entries = pa.ipc.open_file(source).read_all().to_pylist()
        origin = {entry["subject_id"]: entry["origin"] for entry in entries}
        for row in (made := triplets.to_pylist()):
            since = EPOCH + timedelta(microseconds=origin[row["subject_id"]])
            for name, never in (("timestamp", 0), ("available_time", -(2**62))):
                row[name] = never if row[name] is None else (row[name] - since) // timedelta(microseconds=1)
        written, moment = rows.drop_columns("identity").to_pylist(), itemgetter("subject_id", "timestamp")
        assert [moment(row) for row in written] == [moment(row) for row in made]
        assert Counter(tuple(row.items()) for row in written) == Counter(tuple(row.items()) for row in made)
        assert written != made, "simultaneous rows have an order of their own"
    ledger = pq.read_table(hospital.workspace / "ledger.parquet").to_pylist()
    assert n_added == sum(row["n"] for row in ledger if row["route"] == "added") > 0


def vocabulary_bytes(workspace: Path) -> bytes:
    return (workspace / "vocabulary" / "vocabulary.parquet").read_bytes()


def test_statistics_are_the_same_bytes_at_any_thread_count(large, tmp_path: Path) -> None:
    """1.2 M numbers around 1e5, 1, 2 and 3 threads, twice: the same file, and moments that exact arithmetic gives."""
    workspace = tmp_path / "ws"
    shutil.copytree(large.workspace, workspace)
    files = set()
    for threads in (1, 2, 3, 2):
        tawt.run("vocabulary", workspace, threads=threads, memory_limit="1GB", force=True)
        files.add(vocabulary_bytes(workspace))
    assert len(files) == 1
    train = pa.concat_tables(
        pq.read_table(path, columns=["code", "numeric_value"], partitioning=None)
        for path in sorted((workspace / "events" / "data" / "train").glob("*.parquet"))
    )
    numbers = train["numeric_value"].to_numpy()
    codes = np.array(train["code"].to_pylist())
    for word in words_of(workspace)[4:8]:
        mine = numbers[(codes == word["code"]) & np.isfinite(numbers)]
        counts = Counter(mine.tolist())
        n = sum(counts.values())
        mean = sum(Fraction(x) * k for x, k in counts.items()) / n
        variance = sum((Fraction(x) - mean) ** 2 * k for x, k in counts.items()) / n
        assert word["n_values"] == n
        assert word["mean"] == pytest.approx(float(mean), rel=1e-12)
        assert word["std"] == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_nothing_is_fitted_outside_train(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """Other values, units, texts, codes and rows in tuning and held_out leave the vocabulary as it is, byte for byte."""
    rng = np.random.default_rng(2)
    n = 4000
    subject = rng.integers(0, 60, n)
    path = tmp_path / "splits.csv"
    path.write_text("subject_id,split\n" + "".join(f"{i},{SPLITS[i % 3]}\n" for i in range(60)))
    base = {
        "subject_id": subject,
        "time": pa.array(rng.integers(0, 10**14, n), pa.timestamp("us")),
        "code": np.array(["A", "B", "C"])[rng.integers(0, 3, n)],
        "numeric_value": rng.normal(size=n).astype(np.float32),
        "text_value": np.array(["NEG", "POS", ""], object)[rng.integers(0, 3, n)],
        "unit": np.array([None, "mg/dL", "MG/DL"], object)[rng.integers(0, 3, n)],
    }
    base["numeric_value"][base["text_value"] != ""] = np.nan
    base["unit"][base["code"] == "A"] = None
    outside = subject % 3 != 0
    changed = {
        name: np.array(column, dtype=getattr(column, "dtype", None)) for name, column in base.items() if name != "time"
    }
    changed["numeric_value"][outside] = 1e30
    changed["text_value"][outside] = "ODD"
    changed["unit"][outside] = "furlong"
    changed["code"][outside & (rng.random(n) < 0.3)] = "D"
    files = []
    for name, columns in (("one", base), ("two", {**changed, "time": base["time"]})):
        workspace = tmp_path / f"ws-{name}"
        settings = (f"splits.file={path}", "shards=2")
        tawt.ingest(write_meds(pa.table(columns), name), "meds", workspace, settings=settings, **QUICK)
        tawt.run("vocabulary", workspace, **QUICK)
        files.append(vocabulary_bytes(workspace))
    assert files[0] == files[1]
    assert [word["code"] for word in words_of(workspace)[4:]] == sorted(
        "ABC", key=lambda c: (-int(((base["code"] == c) & ~outside).sum()), c)
    )


def test_a_source_that_is_all_nan_still_gives_finite_triplets(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """NaN and infinities, alone or beside numbers, leave every value, mean and deviation finite."""
    n = 300
    values = np.where(np.arange(n) % 3 == 0, 5.0, np.array([np.nan, np.inf, -np.inf])[np.arange(n) % 3]).astype(
        np.float32
    )
    code = np.array(["mixed", "only"])[(np.arange(n) % 2)]
    values[code == "only"] = np.nan
    rows = pa.table(
        {
            "subject_id": np.arange(n) % 20,
            "time": pa.array(range(n), pa.timestamp("us")),
            "code": code,
            "numeric_value": values,
        }
    )
    tawt.ingest(write_meds(rows), "meds", tmp_path / "ws", **QUICK)
    tawt.build_vocab(tmp_path / "ws", **QUICK)
    words = {word["code"]: word for word in words_of(tmp_path / "ws")}
    assert (words["mixed"]["mean"], words["mixed"]["std"]) == (5.0, 0.0)
    assert (words["only"]["value_kind"], words["only"]["mean"]) == ("none", None)
    for path in (tmp_path / "ws" / "triplets").rglob("*.parquet"):
        assert np.isfinite(pq.read_table(path, partitioning=None)["value"].to_numpy()).all()
