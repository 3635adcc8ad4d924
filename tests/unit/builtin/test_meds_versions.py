"""A MEDS dataset of either version of the format enters whole: rows, splits, meanings of codes, and what it lacks."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import meds
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.errors import StageError
from tests.unit.conftest import read_events

OLD = pa.schema(
    [("subject_id", pa.int64()), ("time", pa.timestamp("us")), ("code", pa.string()), ("numeric_value", pa.float32())]
)
"""`meds.data_schema()` of meds 0.3.3, written out."""
OLD_CODES = pa.schema([("code", pa.string()), ("description", pa.string()), ("parent_codes", pa.list_(pa.string()))])
"""`meds.code_metadata_schema()` of meds 0.3.3."""
SCHEMAS = {
    "0.3.3": (OLD, OLD_CODES),
    "0.3.3 with columns of its own": (OLD.append(pa.field("text_value", pa.string())).append(pa.field("unit", pa.string())), OLD_CODES),
    "0.4": (meds.DataSchema.schema(), meds.CodeMetadataSchema.schema()),
    "0.4 with columns of its own": (meds.DataSchema.schema().append(pa.field("unit", pa.string())), meds.CodeMetadataSchema.schema()),
}  # fmt: skip
ROWS = [
    {"subject_id": subject, "time": time, "code": code, "numeric_value": number, "text_value": text, "unit": unit}
    for subject in (11, 23, 35)
    for time, code, number, text, unit in (
        (None, "EYES//BROWN", None, None, None),
        (None, "SMEAR", None, "once", None),  # a static by the standard, whatever else is of its code
        (datetime(1961, 3, 4), meds.birth_code, None, None, None),
        (datetime(2031, 5, 6, 7, 8, 9), "PULSE", 61.5 + subject, None, "bpm"),
        (datetime(2031, 5, 6, 7, 8, 9), "SMEAR", None, "few", None),
        (datetime(2031, 5, 7), meds.death_code, None, None, None),
    )
]
SPLIT = {11: "tuning", 23: "held_out", 35: "train"}


@pytest.fixture(params=SCHEMAS)
def columns(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """A dataset in that version's own schemas below `raw`; returns its columns of data."""
    data, codes = SCHEMAS[request.param]
    raw = tmp_path / "raw"
    (raw / "metadata").mkdir(parents=True)
    for subject, split in SPLIT.items():
        path = raw / "data" / split / "0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([row for row in ROWS if row["subject_id"] == subject], data), path)
    meanings = [{"code": "PULSE", "description": "Beats of a minute", "parent_codes": ["LOINC/0-0"]}]
    meanings += [{"code": c} for c in ("EYES//BROWN", meds.birth_code, meds.death_code, "SMEAR")]
    pq.write_table(pa.Table.from_pylist(meanings, codes), raw / meds.code_metadata_filepath)
    splits = pa.table({"subject_id": pa.array(list(SPLIT)), "split": list(SPLIT.values())})
    pq.write_table(splits, raw / meds.subject_splits_filepath)
    version = request.param.partition(" ")[0]
    (raw / meds.dataset_metadata_filepath).write_text(json.dumps({"dataset_name": "invented", "meds_version": version}))
    return data.names


def test_a_dataset_of_either_version_enters_whole(columns: list[str], tmp_path: Path) -> None:
    """Each row is there with all that its version can say, in its own split, and a column that it lacks is null."""
    tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1, memory_limit="1GB")
    names = ["subject_id", "time", "code", "numeric_value", "text_value", "unit"]
    expected = [{name: row[name] if name in columns else None for name in names} for row in ROWS]
    assert read_events(tmp_path / "w").select(names).to_pylist() == expected
    events = tmp_path / "w" / "events"
    for subject, split in SPLIT.items():
        (path,) = (events / "data" / split).glob("*.parquet")
        assert set(pq.read_table(path, partitioning=None)["subject_id"].to_pylist()) == {subject}
        meds.DataSchema.validate(pq.read_table(path, partitioning=None))
    assert json.loads((events / meds.dataset_metadata_filepath).read_text())["dataset_name"] == "invented"
    known = {row["code"]: row for row in pq.read_table(events / meds.code_metadata_filepath).to_pylist()}
    assert known["PULSE"]["description"] == "Beats of a minute" and known["PULSE"]["parent_codes"] == ["LOINC/0-0"]


def test_a_synthetic_dataset_stays_one(columns: list[str], tmp_path: Path) -> None:
    """What is nobody's is told to be, once it is ingested and once that is ingested again; a name that changes is read."""
    about, root = tmp_path / "raw" / meds.dataset_metadata_filepath, tmp_path / "raw"
    about.write_text(json.dumps({"dataset_name": "synthetic"}))
    for name in ("w", "again"):
        made = tawt.ingest(root, "meds", tmp_path / name, threads=1, memory_limit="1GB")
        assert any("calls itself `synthetic`" in note for note in made.notes)
        root = tmp_path / name / "events"
        assert json.loads((root / meds.dataset_metadata_filepath).read_text())["dataset_name"] == "synthetic"
    for said in ("other", "\x07", 5):
        about.write_text(json.dumps({"dataset_name": said}))
        made = tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1, memory_limit="1GB")
        assert not any("synthetic" in note for note in made.notes)
        told = json.loads((tmp_path / "w" / "events" / meds.dataset_metadata_filepath).read_text())
        assert told["dataset_name"] == ("other" if said == "other" else "meds")


def test_a_dataset_of_either_version_can_be_trained_on(columns: list[str], tmp_path: Path) -> None:
    """Its numbers and texts become kinds of values of the vocabulary, and its subjects documents of their splits."""
    tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", threads=1, memory_limit="1GB")
    kept = ("vocabulary.min_category_subjects=1",)  # its subjects are few
    tawt.build_vocab(tmp_path / "w", settings=kept, threads=1, memory_limit="1GB")
    rows = tawt.query(
        "select code, value_kind from vocabulary where value_kind <> 'special'", tmp_path / "w"
    ).to_pylist()
    kinds = {row["code"]: row["value_kind"] for row in rows}
    texts = "categorical" if "text_value" in columns else "none"
    assert kinds == {
        "EYES//BROWN": "none",
        meds.birth_code: "none",
        meds.death_code: "none",
        "PULSE": "numeric",
        "SMEAR": texts,
    }
    manifest = json.loads((tmp_path / "w" / "dataset" / "dataset.json").read_text())
    counts = {split: sum(s["n_triplets"] for s in shards) for split, shards in manifest["splits"].items()}
    assert counts == {"train": 6, "tuning": 6, "held_out": 6}


def test_what_a_dataset_lacks_is_said_with_the_result(tmp_path: Path) -> None:
    """Without splits its subjects are split by hash, without births they count from their first event: notes say so, once."""
    path = tmp_path / "raw" / "data" / "0.parquet"
    path.parent.mkdir(parents=True)
    rows = [row | {"subject_id": subject} for subject in range(20) for row in ROWS[3:5]]
    pq.write_table(pa.Table.from_pylist(rows, OLD), path)
    heard: list[dict[str, object]] = []
    options = {"threads": 1, "memory_limit": "1GB", "report": heard.append}
    made = [tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", settings=("time_origin=birth",), **options)]
    made.append(tawt.build_vocab(tmp_path / "w", **options))
    notes = [note for result in made for note in result.notes]
    assert "metadata/subject_splits.parquet is absent: subjects are split by hash" in " ".join(notes)
    assert any(note.startswith("`time_origin: birth` and train has no MEDS_BIRTH") for note in notes)
    assert [event["text"] for event in heard if event["event"] == "note"] == notes


def test_a_train_split_without_an_event_is_refused(tmp_path: Path) -> None:
    """Where all subjects are elsewhere, nothing can be fitted: one line that names the vocabulary, and none is made."""
    path = tmp_path / "raw" / "data" / "0.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(ROWS[3:5], OLD), path)
    settings = ("splits.train=0", "splits.tuning=1", "splits.held_out=0", "splits.file=~")
    tawt.ingest(tmp_path / "raw", "meds", tmp_path / "w", settings=settings, threads=1, memory_limit="1GB")
    with pytest.raises(StageError, match="train holds no event") as caught:
        tawt.build_vocab(tmp_path / "w", threads=1, memory_limit="1GB")
    assert caught.value.where == "vocabulary" and "splits" in caught.value.hint
    assert not (tmp_path / "w" / "vocabulary").exists()
