"""`tawt export`: what is handed on comes back the same, appears whole, and replaces nothing but itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import meds
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.errors import ConfigError, FileError
from tawt.exports import write
from tawt.quality.synthetic import check_dataset
from tawt.seals import hashes_of
from tests.unit.conftest import Hospital, read_events

QUICK = {"threads": 1, "memory_limit": "1GB"}
ANEW = ("source", "table_rank", "source_row")
"""Columns of events that each ingest tells of itself."""
OLD = [("subject_id", pa.int64()), ("time", pa.timestamp("us")), ("code", pa.string()), ("numeric_value", pa.float32())]
"""The first columns of `meds.data_schema()` of meds 0.3.3, written out."""


def data_of(root: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path, partitioning=None) for path in sorted(root.glob("data/*/*.parquet")))


@pytest.mark.parametrize("version", ["0.4", "0.3.3"])
def test_what_is_exported_comes_back_the_same(hospital: Hospital, tmp_path: Path, version: str) -> None:
    """Ingested again, either version gives the same subjects, times, codes, values, texts, units and where these came
    from, second clocks, statuses, splits and meanings; only the rows' places are told anew."""
    out, back = tmp_path / "out", tmp_path / "back"
    tawt.export(hospital.workspace, out, version=version, **QUICK)
    said = tawt.ingest(out, "meds", back, settings=("shards=3",), **QUICK)
    before, after = hospital.events(), read_events(back)
    for column in before.column_names:
        assert column in ANEW or before[column].equals(after[column]), column
    assert before["unit_rule"].null_count < len(before) and len({*before["value_status"].to_pylist()}) > 4
    for name in ("subject_splits", "codes"):
        one, other = (
            pq.read_table(root / "events" / "metadata" / f"{name}.parquet") for root in (hospital.workspace, back)
        )
        assert one.equals(other)
    assert "columns of the dataset that are not kept: `source`, `table_rank`, `source_row`" in said.notes


def test_an_export_is_meds_0_4(hospital: Hospital, tmp_path: Path) -> None:
    """Each file is what the package of the standard says, and is the workspace's to the byte."""
    tawt.export(hospital.workspace, tmp_path / "out", license="CC-BY-4.0", **QUICK)
    out, events = tmp_path / "out", hospital.workspace / "events"
    meds.DataSchema.validate(data_of(out))
    meds.CodeMetadataSchema.validate(pq.read_table(out / meds.code_metadata_filepath))
    meds.SubjectSplitSchema.validate(pq.read_table(out / meds.subject_splits_filepath))
    about = json.loads((out / meds.dataset_metadata_filepath).read_text())
    meds.DatasetMetadataSchema(**about)
    assert about["license"] == "CC-BY-4.0"
    files = hashes_of(out / "data")
    assert files and files == hashes_of(events / "data") and all(one.ok for one in check_dataset(out))


def test_an_export_is_meds_0_3_3(hospital: Hospital, tmp_path: Path) -> None:
    """No column forbids nulls, a text is a column of the dataset's own, and `dataset.json` has no later key."""
    tawt.export(hospital.workspace, tmp_path / "out", version="0.3.3", license="CC-BY-4.0", **QUICK)
    schema = data_of(tmp_path / "out").schema
    assert [(one.name, one.type) for one in schema][:4] == OLD and all(one.nullable for one in schema)
    assert schema.field("text_value").type == pa.string()
    codes = pq.read_schema(tmp_path / "out" / meds.code_metadata_filepath)
    splits = pq.read_schema(tmp_path / "out" / meds.subject_splits_filepath)
    assert all(one.nullable for one in [*codes, *splits])
    assert [str(one.type) for one in codes] == ["string", "string", "list<element: string>"]
    about = json.loads((tmp_path / "out" / meds.dataset_metadata_filepath).read_text())
    assert set(about) == {"dataset_name", "dataset_version", "etl_name", "etl_version", "meds_version"}
    assert about["meds_version"] == "0.3.3" and all(one.ok for one in check_dataset(tmp_path / "out"))


@pytest.mark.parametrize("version", ["0.4", "0.3.3"])
def test_codes_can_end_in_their_units(hospital: Hospital, tmp_path: Path, version: str) -> None:
    """A row with a unit has it behind its code, the others do not, and each such code means what its code means."""
    tawt.export(hospital.workspace, tmp_path / "out", version=version, codes_with_units=True, **QUICK)
    before, after = data_of(hospital.workspace / "events"), data_of(tmp_path / "out")
    pairs = list(zip(before["code"].to_pylist(), before["unit"].to_pylist(), strict=True))
    named = [code if unit is None else f"{code}//{unit}" for code, unit in pairs]
    assert after["code"].to_pylist() == named and any(unit is None for _, unit in pairs)
    known = {
        row["code"]: row for row in pq.read_table(hospital.workspace / "events/metadata/codes.parquet").to_pylist()
    }
    told = {row["code"]: row for row in pq.read_table(tmp_path / "out/metadata/codes.parquet").to_pylist()}
    assert set(told) == set(named)
    for (code, unit), name in {*zip(pairs, named, strict=True)}:
        parents = ([code] if unit is not None else []) + (known[code]["parent_codes"] or [])
        assert (told[name]["parent_codes"] or []) == parents and told[name]["unit"] == unit
        assert told[name]["description"] == known[code]["description"] and told[name]["data_type"] == code


def test_a_killed_export_goes_on(hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was finished is not written again, the result is that of one run, and nothing is left beside it."""
    whole, out, written = tmp_path / "a" / "whole", tmp_path / "b" / "out", []
    tawt.export(hospital.workspace, whole, version="0.3.3", **QUICK)

    def kill(event: dict[str, object]) -> None:
        if event["event"] == "progress" and event["done"] == 2:
            raise KeyboardInterrupt

    write_one = write._write
    monkeypatch.setattr(
        write, "_write", lambda *given: (written.append("/".join(given[1].parts[-2:])), write_one(*given))
    )
    with pytest.raises(KeyboardInterrupt):
        tawt.export(hospital.workspace, out, version="0.3.3", report=kill, **QUICK)
    assert not out.exists() and len(written) >= 2
    tawt.export(hospital.workspace, out, version="0.3.3", **QUICK)
    assert sorted(written) == sorted("/".join(path.parts[-2:]) for path in whole.glob("data/*/*.parquet"))
    assert hashes_of(out) == hashes_of(whole)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_was_begun_in_another_form_is_not_used(hospital: Hospital, tmp_path: Path) -> None:
    """An export of another form begins anew, and takes away what the killed one left."""

    def kill(event: dict[str, object]) -> None:
        if event["event"] == "progress" and event["done"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tawt.export(hospital.workspace, tmp_path / "out", codes_with_units=True, report=kill, **QUICK)
    tawt.export(hospital.workspace, tmp_path / "out", **QUICK)
    assert hashes_of(tmp_path / "out" / "data") == hashes_of(hospital.workspace / "events" / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_replaces_itself_alone(hospital: Hospital, tmp_path: Path) -> None:
    """An older export is replaced whole; one that was edited, or anything else, stays and is named."""
    out = tmp_path / "out"
    tawt.export(hospital.workspace, out, codes_with_units=True, **QUICK)
    tawt.export(hospital.workspace, out, **QUICK)
    assert hashes_of(out / "data") == hashes_of(hospital.workspace / "events" / "data")
    (out / "README.md").write_text("mine")
    assert [one.check for one in check_dataset(out) if not one.ok] == ["files"]
    with pytest.raises(ConfigError, match="holds files that no export wrote"):
        tawt.export(hospital.workspace, out, **QUICK)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds files that no export wrote"):
        tawt.export(hospital.workspace, other, **QUICK)
    assert (out / "README.md").read_text() == "mine" and (other / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(("place", "said"), [("ws/mine", "in a workspace"), ("raw/mine", "of raw tables")])
def test_an_export_lies_outside_of_what_it_is_made_of(hospital: Hospital, place: str, said: str) -> None:
    """A place in a workspace, or among raw tables, is refused before anything is written."""
    out = hospital.workspace.parent / place
    with pytest.raises(ConfigError, match=said):
        tawt.export(hospital.workspace, out, **QUICK)
    assert not out.exists()


def test_an_export_is_its_owners_alone(
    hospital: Hospital, tmp_path: Path, exposed: Callable[[Path], list[str]]
) -> None:  # fmt: skip
    """Nobody else sees a file or a folder of it, nor of the folder that was made for it."""
    tawt.export(hospital.workspace, tmp_path / "new" / "out", **QUICK)
    assert exposed(tmp_path / "new") == []


def test_stale_events_are_exported_with_a_word(hospital: Hospital, tmp_path: Path) -> None:
    """Events that are older than what they were made from are handed on, and that is said."""
    work, heard = Path(shutil.copytree(hospital.workspace, tmp_path / "ws")), []
    pipeline = work / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("duplicates: drop", "duplicates: keep"))
    tawt.export(work, tmp_path / "out", report=heard.append, **QUICK)
    assert any("events, which are read, are stale" in str(event.get("text")) for event in heard)


def test_an_export_can_be_foreseen(hospital: Hospital, tmp_path: Path) -> None:
    """A dry run holds what is asked and writes nothing; no other version is known."""
    result = tawt.export(hospital.workspace, tmp_path / "out", dry_run=True)
    assert result.n_files == len(list((hospital.workspace / "events/data").rglob("*.parquet"))) and result.facts is None
    assert not any(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"--version 0\.3: is none, expected 0\.4 or 0\.3\.3"):
        tawt.export(hospital.workspace, tmp_path / "out", version="0.3")


def test_a_dataset_says_which_of_its_columns_are_not_kept(write_meds: Callable[..., Path], tmp_path: Path) -> None:
    """Columns of a dataset's own that events do not have are named at the ingest, without a cell."""
    rows = {"subject_id": [1], "time": pa.array([datetime(2020, 1, 1)], pa.timestamp("us")), "code": ["A"]}
    raw = write_meds(pa.table({**rows, "ward": ["SECRET"], "unit": ["g"]}))
    said = tawt.ingest(raw, "meds", tmp_path / "ws", **QUICK).notes
    assert "columns of the dataset that are not kept: `ward`" in said and "SECRET" not in str(said)


@pytest.mark.parametrize("version", ["0.4", "0.3.3"])
def test_a_bit_that_flipped_is_not_handed_on(own_workspace: Path, tmp_path: Path, version: str) -> None:
    """A number of the events that is another than their stage wrote, in a file of the same size, is found before it gets a hash
    of its own: the file is named, and nothing appears."""
    path = own_workspace / "events/data/train/00000.parquet"
    columns = pq.ParquetFile(path).metadata.row_group(0)
    number = next(c for c in map(columns.column, range(columns.num_columns)) if c.path_in_schema == "numeric_value")
    content = bytearray(path.read_bytes())
    content[number.data_page_offset + 3 * number.total_compressed_size // 4] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"is not as it was written") as error:
        tawt.export(own_workspace, tmp_path / "out", version=version, **QUICK)
    assert path.name in str(error.value) and not (tmp_path / "out").exists()
