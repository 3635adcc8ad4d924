"""The events stage as a whole: a valid MEDS dataset whose rows are the source's, whatever the shards."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import meds
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin.splits import _read_splits
from tawt.errors import SourceError, StageError

QUICK = {"threads": 1, "memory_limit": "500MB"}


def shards_of(workspace: Path) -> dict[str, pa.Table]:
    root = workspace / "events" / "data"
    return {
        path.relative_to(root).as_posix(): pq.read_table(path, partitioning=None)
        for path in sorted(root.rglob("*.parquet"))
    }


def all_rows(workspace: Path, *without: str) -> Counter[str]:
    """Every row as text, counted: what is there, wherever it lies."""
    rows: Counter[str] = Counter()
    for table in shards_of(workspace).values():
        rows.update(repr({k: v for k, v in row.items() if k not in without}) for row in table.to_pylist())
    return rows


def test_the_invented_hospital_becomes_valid_meds(hospital) -> None:
    """Every file passes the schema classes of the `meds` package as it lies there, uncast."""
    root = hospital.workspace / "events"
    for table in shards_of(hospital.workspace).values():
        meds.DataSchema.validate(table)
    meds.SubjectSplitSchema.validate(pq.read_table(root / meds.subject_splits_filepath))
    meds.CodeMetadataSchema.validate(pq.read_table(root / meds.code_metadata_filepath))
    metadata = json.loads((root / meds.dataset_metadata_filepath).read_text())
    meds.DatasetMetadataSchema.validate(metadata)
    assert metadata["meds_version"].startswith("0.4")
    extra = [n for n in table.column_names if n not in ("subject_id", "time", "code", "numeric_value", "text_value")]
    assert metadata["other_extension_columns"] == extra


def test_subjects_lie_in_one_shard_of_their_split(hospital) -> None:
    """No subject is in two files, and its file is in the folder of the split that the metadata gives it."""
    listed = {
        row["subject_id"]: row["split"]
        for row in pq.read_table(hospital.workspace / "events" / meds.subject_splits_filepath).to_pylist()
    }
    places = defaultdict(set)
    for name, table in shards_of(hospital.workspace).items():
        for subject in table["subject_id"].to_pylist():
            places[subject].add(name)
    assert {subject: {split} for subject, split in listed.items()} == {
        subject: {name.split("/")[0] for name in names} for subject, names in places.items()
    }
    assert all(len(names) == 1 for names in places.values())
    assert len({name for names in places.values() for name in names}) > 3


def test_more_shards_are_the_same_rows(hospital, tmp_path: Path) -> None:
    """One shard and five hold the same rows; reading our own events as a MEDS source loses none of them either."""
    source = hospital.workspace / "events"
    for n in (1, 5):
        tawt.ingest(source, "meds", tmp_path / str(n), settings=(f"shards={n}",), **QUICK)
    one, five = all_rows(tmp_path / "1"), all_rows(tmp_path / "5")
    assert one == five
    assert len(shards_of(tmp_path / "5")) > len(shards_of(tmp_path / "1"))
    ours = ("source", "table_rank", "source_row", "unit_rule", "raw_unit", "raw_value", "available_time", "unit")
    assert all_rows(tmp_path / "1", *ours) == all_rows(hospital.workspace, *ours)


def test_order_holds_above_a_million_rows(large) -> None:
    """1.2 M shuffled, tied rows come back sorted by subject, time and record, with none lost: read by pyarrow alone."""
    n_rows, seen = 0, []
    for table in shards_of(large.workspace).values():
        subject = table["subject_id"].to_numpy()
        time = table["time"].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
        row = table["source_row"].to_numpy()
        order = np.lexsort((row, time, subject))
        assert (order == np.arange(len(order))).all()
        n_rows += len(table)
        seen.append(row)
    assert n_rows == len(large.rows)
    everyone = np.concatenate(seen)
    assert (np.sort(everyone) == np.arange(1, n_rows + 1)).all()
    # the record number leads back to the raw row, so no cell was swapped on the way
    events = pa.concat_tables(shards_of(large.workspace).values())
    raw = large.rows.take(pa.array(everyone - 1))
    for name in ("subject_id", "time", "code"):
        assert events[name].equals(raw[name]), name
    number = raw["numeric_value"].to_numpy()
    expected = np.where(np.isfinite(number), number, np.nan)
    np.testing.assert_array_equal(events["numeric_value"].to_numpy(), expected)


def test_nan_in_parquet_is_no_value_and_infinity_is_unparsed(large) -> None:
    """A NaN that the file's own statistics hide is no cell; infinity is `unparsed`, with what it said beside it."""
    raw = large.rows["numeric_value"].to_numpy()
    not_null = ~np.isnan(raw)
    statuses: Counter[str] = Counter()
    raw_values: Counter[str] = Counter()
    for table in shards_of(large.workspace).values():
        number = table["numeric_value"].drop_null().to_numpy()
        assert np.isfinite(number).all()
        assert not np.signbit(number[number == 0]).any()
        statuses.update(table["value_status"].to_pylist())
        raw_values.update(text for text in table["raw_value"].to_pylist() if text is not None)
    assert statuses == {
        "numeric": int(np.isfinite(raw).sum()),
        "unparsed": int((not_null & ~np.isfinite(raw)).sum()),
        "none": int((~not_null).sum()),
    }
    assert set(raw_values) == {"inf", "-inf"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_split_file_decides(write_meds: Callable[..., Path], tmp_path: Path, suffix: str) -> None:
    """Listed subjects go where the file says; a changed file, found by its content, reruns events and nothing before."""
    rows = pa.table(
        {
            "subject_id": pa.array(range(40), pa.int64()),
            "time": pa.array([0] * 40, pa.timestamp("us")),
            "code": ["A"] * 40,
        }
    )
    raw = write_meds(rows)
    hashed = tmp_path / "hashed"
    tawt.ingest(raw, "meds", hashed, **QUICK)
    path = tmp_path / f"splits.{suffix}"

    def write(splits: dict[int, str]) -> None:
        if suffix == "csv":
            path.write_text("subject_id,split\n" + "".join(f"{i},{s}\n" for i, s in splits.items()))
        else:
            pq.write_table(pa.table({"subject_id": list(splits), "split": list(splits.values())}), path)

    def listed(workspace: Path) -> dict[int, str]:
        table = pq.read_table(workspace / "events" / meds.subject_splits_filepath)
        return dict(zip(table["subject_id"].to_pylist(), table["split"].to_pylist(), strict=True))

    by_hash = listed(hashed)
    for shift in (0, 1):
        names = ["train", "tuning", "held_out"]
        given = {i: names[(i + shift) % 3] for i in range(30)}
        write(given)
        result = tawt.ingest(raw, "meds", tmp_path / "ws", settings=(f"splits.file={path}",), **QUICK)
        assert listed(tmp_path / "ws") == {**by_hash, **given}
        if shift:
            reasons = {stage.stage: stage.reason for stage in result.stages}
            assert reasons.pop("events") == "the file of splits changed"
            assert set(reasons.values()) == {None}
    write({1: "validation"})
    with pytest.raises(SourceError, match="1 other splits"):
        tawt.ingest(raw, "meds", tmp_path / "ws", settings=(f"splits.file={path}",), **QUICK)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subject_id,split\nSECRET-1,train\n", "no whole number, expected int64"),
        ("subject_id,split\n1,train\n2,train,SECRET-2\n", "expected a CSV file"),
        ("subject_id,SECRET\n1,train\n", "has no column `split`"),
        ("subject_id,split\n1,train\n1,tuning\n", "lists 1 subjects again"),
    ],
)
def test_a_wrong_split_file_is_named_and_not_quoted(
    write_meds: Callable[..., Path], tmp_path: Path, text: str, said: str
) -> None:
    """What is wrong with a file of splits is said with a hint and without its cells."""
    rows = pa.table({"subject_id": pa.array([1], pa.int64()), "time": pa.array([0], pa.timestamp("us")), "code": ["A"]})
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match="expected") as caught:
        tawt.ingest(write_meds(rows), "meds", tmp_path / "ws", settings=(f"splits.file={path}",), **QUICK)
    assert caught.value.where == "splits.csv" and said in caught.value.what and caught.value.hint
    assert "SECRET" not in f"{caught.value} {caught.value.hint}"


def test_a_pipeline_without_an_event_part_says_so(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """Where all of them are off there is nothing to merge: the events say it, and not that they do not fit."""
    rows = pa.table({"subject_id": pa.array([1], pa.int64()), "time": pa.array([0], pa.timestamp("us")), "code": ["A"]})
    with pytest.raises(StageError, match=r"events: has nothing to merge.*expected one") as caught:
        tawt.ingest(write_meds(rows), "meds", tmp_path / "w", settings=("off=[event_parts.measurements]",), **QUICK)
    assert "sql/meds/event_parts/" in caught.value.hint


WRONG_TYPES = {
    "splits that are a struct": ({"split": [{"SECRET": 1}]}, "splits that are no text"),
    "splits that are lists": ({"split": [["SECRET"]]}, "splits that are no text"),
    "splits that are numbers": ({"split": [1.5]}, "1 other splits"),
    "subjects that are lists": ({"subject_id": [[1]]}, "no whole number"),
    "subjects that are times": ({"subject_id": pa.array([1], pa.timestamp("us"))}, "no whole number"),
    "subjects that are true": ({"subject_id": [True]}, "no whole number"),
    "subjects that are structs": ({"subject_id": [{"SECRET": 1}]}, "no whole number"),
}


@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_a_split_file_of_other_types_is_named(kind: str, tmp_path: Path) -> None:
    """Nested columns and those that a cast would make numbers of are refused in one line, without a cell."""
    columns, said = WRONG_TYPES[kind]
    pq.write_table(pa.table({"subject_id": [1], "split": ["train"], **columns}), tmp_path / "splits.parquet")
    with pytest.raises(SourceError, match=f"splits.parquet: .*{said}.*, expected") as caught:
        _read_splits(tmp_path / "splits.parquet")
    assert "SECRET" not in str(caught.value) and caught.value.hint


def test_a_split_file_gives_a_column_once_and_of_any_like_type(tmp_path: Path) -> None:
    """Two columns of one name are refused; dictionaries, large texts and whole floats are what they stand for."""
    path = tmp_path / "splits.parquet"
    pq.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array(["a"]), pa.array(["b"])], ["subject_id", "split", "split"]), path
    )
    with pytest.raises(SourceError, match="column `split` is there 2 times"):
        _read_splits(path)
    for split in (pa.array(["tuning"]).dictionary_encode(), pa.array(["tuning"], pa.large_string())):
        pq.write_table(pa.table({"subject_id": [7.0], "split": split}), path)
        assert _read_splits(path) == {7: 1}


def test_a_shifted_calendar_changes_no_bit_of_the_dataset(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """One subject's times moved by 12,345 days, from raw to shards: the Arrow files of rows are equal byte for byte."""
    rng = np.random.default_rng(5)
    n = 3000
    subject, time = rng.integers(0, 30, n), rng.integers(0, 10**15, n)
    code = [["MEDS_BIRTH", "A", "B"][i] for i in rng.choice(3, n, p=[0.02, 0.49, 0.49])]
    value = rng.normal(size=n).astype(np.float32)
    files = []
    for name, days in (("before", 0), ("after", 12_345)):
        moved = time + np.where(subject == 7, days * 86_400_000_000, 0)
        table = pa.table(
            {"subject_id": subject, "time": pa.array(moved, pa.timestamp("us")), "code": code, "numeric_value": value}
        )
        workspace = tmp_path / f"ws-{name}"
        tawt.ingest(write_meds(table, name), "meds", workspace, settings=("time_origin=birth", "shards=2"), **QUICK)
        made = tawt.build_vocab(workspace, **QUICK)
        first = {s: min(moved[(subject == s) & (np.array(code) == "MEDS_BIRTH")], default=-1) for s in range(30)}
        early = sum(moved[subject == s].min() < born for s, born in first.items() if born >= 0)
        assert f"{early} subjects have events before their birth" in " ".join(made.notes)
        root = workspace / "dataset"
        files.append({p.relative_to(root): p.read_bytes() for p in root.rglob("*.arrow")})
    before, after = files
    assert before.keys() == after.keys()
    changed = {path.name for path in before if before[path] != after[path]}
    assert len(changed) == 1
    assert changed.pop().endswith(".index.arrow")
