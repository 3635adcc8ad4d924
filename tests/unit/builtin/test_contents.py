"""Images and waveforms of a manifest table: each file decoded or set aside for a reason, and the events that have one."""

from __future__ import annotations

import csv
import errno
import os
import shutil
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin import contents as stage
from tawt.builtin.all import stages_of
from tawt.config.named import resolve_pipeline
from tawt.errors import RoomError, SourceError, StageError
from tawt.files import write_parquet
from tawt.modalities.contents import NO_TIME, Contents, content_hash, open_contents
from tawt.project import Project

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")
START = datetime(2150, 1, 1)
HEADER = ("subject_id", "time", "available_time", "path", "member", "row", "kind", "modality")
LIMITS = {"threads": 2, "memory_limit": "1GB"}
RNG = np.random.default_rng(11)


def write_source(raw: Path, records: list[dict[str, Any]], n_subjects: int = 12) -> Path:
    """A MEDS dataset of a few rates for each subject, and a manifest of images beside it."""
    rows = [(s, START + timedelta(hours=h), "HR", 60.0 + s + h) for s in range(1, n_subjects + 1) for h in range(4)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    types = (pa.int64(), pa.timestamp("us"), pa.string(), pa.float32())
    table = pa.table(
        [pa.array(c, t) for c, t in zip(columns, types, strict=True)], ("subject_id", "time", "code", "numeric_value")
    )
    for folder in ("data", "images"):
        (raw / folder).mkdir(parents=True, exist_ok=True)
    pq.write_table(table, raw / "data" / "0.parquet")
    with (raw / "images" / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows({"subject_id": 1, "time": START + timedelta(hours=1), "kind": "cxr", **one} for one in records)
    return raw


def picture(raw: Path, name: str, *shape: int, kind: str = "PNG") -> np.ndarray:
    """A new picture below `images/`, and its samples."""
    (raw / "images").mkdir(parents=True, exist_ok=True)
    array = RNG.integers(0, 256, shape, np.uint8)
    Image.fromarray(array).save(raw / "images" / name, format=kind)
    return array


def ledger_of(workspace: Path, name: str) -> Counter[str]:
    rows = [row for row in pq.read_table(workspace / "ledger.parquet").to_pylist() if row["stage"] == name]
    return Counter({row["reason"] or row["route"]: row["n"] for row in rows})


def opened(workspace: Path) -> Contents:
    found = open_contents(workspace)
    assert found is not None
    return found


def made(raw: Path, workspace: Path, **options: Any) -> Any:
    """Ingest, build the vocabulary, and return what ran and why."""
    first = tawt.ingest(raw, pipeline="image", workspace=workspace, **LIMITS, **options)
    second = tawt.build_vocab(workspace=workspace, **LIMITS)
    return {one.stage: one.reason for one in (*first.stages, *second.stages) if one.reason}, (
        *first.notes,
        *second.notes,
    )


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, np.ndarray], tuple[str, ...]]:
    """Raw tables with good images and bad ones of every kind, the workspace of them, and the samples of the good ones."""
    raw, workspace = (tmp_path_factory.mktemp("contents") / name for name in ("raw", "work"))
    good = {"pixel.png": picture(raw, "pixel.png", 1, 1), "colour.png": picture(raw, "colour.png", 30, 20, 3)}
    good["called.jpg"] = picture(raw, "called.jpg", 5, 8)
    shutil.copy(raw / "images" / "colour.png", raw / "images" / "same.png")
    wide = RNG.integers(0, 65536, (4, 6), np.uint16)
    Image.fromarray(wide).save(raw / "images" / "wide.png")
    good |= {"wide.png": wide, "same.png": good["colour.png"]}
    Image.fromarray(good["colour.png"]).convert("CMYK").save(raw / "images" / "cmyk.jpg")
    whole = (raw / "images" / "colour.png").read_bytes()
    (raw / "images" / "cut.png").write_bytes(whole[:-60])
    (raw / "images" / "text.png").write_text("no image")
    waves = RNG.normal(size=(3, 40, 2)).astype(np.float32)
    np.savez(raw / "images" / "waves.npz", w=waves, other=waves)
    (raw.parent / "outside.png").write_bytes(whole)
    (raw / "images" / "away.png").symlink_to(raw.parent / "outside.png")
    (raw / "images" / "link.png").symlink_to("colour.png")
    os.mkfifo(raw / "images" / "pipe.png")
    records: list[dict[str, Any]] = [{"path": f"images/{name}", "subject_id": i % 3 + 1} for i, name in enumerate(good)]
    records += [{"path": f"images/{name}.png"} for name in ("cut", "text", "away", "pipe", "none")]
    records += [{"path": "../outside.png"}, {"path": ""}]
    records += [
        {"path": str(raw.parent / "outside.png")}, {"path": "https://example.org/a.png"}, {"path": "images"},
        {"path": "images/cmyk.jpg", "subject_id": 3, "available_time": START + timedelta(hours=9)},
        {"path": "images/link.png", "subject_id": 5}, {"path": "images/link.png", "subject_id": 6, "time": ""},
        {"path": "images/colour.png", "modality": "waveform"}, {"path": "images/colour.png", "modality": "sound"},
        {"path": "images/waves.npz", "member": "w", "row": 3, "modality": "waveform"}, {"path": "images/waves.npz", "row": 0},
        *({"path": "images/waves.npz", "member": "w", "row": i, "subject_id": 4, "modality": "Waveform", "kind": "ecg"} for i in range(3)),
    ]  # fmt: skip
    _, notes = made(write_source(raw, records), workspace)
    return raw, workspace, good | {f"wave {i}": waves[i] for i in range(3)}, notes


BAD = {
    "path:truncated": 1, "path:unknown_format": 1, "path:outside": 4, "path:no_file": 2, "path:not_there": 1,
    "path:wrong_modality": 2, "path:not_in_file": 1, "path:which_not_said": 1,
}  # fmt: skip


def test_every_bad_file_is_set_aside_for_its_reason(hospital) -> None:
    """The ledger counts each reason, every record is somewhere, and a check finds nothing amiss."""
    _, workspace, _, notes = hospital
    counts = ledger_of(workspace, "event_parts.images")
    assert {reason: n for reason, n in counts.items() if reason.startswith("path:")} == BAD
    assert counts["in"] == counts["kept"] + sum(BAD.values()) == 23 and counts["kept"] == 10
    # one of no time would be seen at any time: it is none
    assert {r: n for r, n in ledger_of(workspace, "staging.images").items() if ":" in r} == {
        "path:missing": 1,
        "time:missing": 1,
    }
    assert [note for note in notes if note.startswith("<11 records name a file of another format")]
    assert [finding for finding in tawt.check(workspace) if not finding.ok] == []
    assert pq.read_table(workspace / "quarantine" / "event_parts.images.parquet").num_rows == sum(BAD.values())


def test_what_reached_events_has_its_content_and_no_other_has(hospital) -> None:
    """Arrays are those of the files, a double is there once, and subjects have none, one or many."""
    _, workspace, good, _ = hospital
    found = opened(workspace)
    assert found.codes == ("IMAGE//cxr", "WAVEFORM//ecg")
    of = Counter(found.subject_id.tolist())
    assert of == {1: 2, 2: 2, 3: 2, 4: 3, 5: 1} and len(found.sha256) == len(good) - 1 + 1
    expected = {
        content_hash(array if array.ndim == 3 or array.dtype == np.float32 else array[:, :, None])
        for array in good.values()
    }
    assert expected < set(found.sha256) and len(set(found.sha256) - expected) == 1  # the CMYK one
    for i in range(len(found.sha256)):
        assert content_hash(found.array(i)) == found.sha256[i]
    stored = sum(pa.ipc.open_file(path).read_all().num_rows for path in (workspace / "contents").glob("*.arrow"))
    assert stored == len(found.sha256)


def test_times_are_those_of_the_dataset(hospital) -> None:
    """Each event with a content is a row of the dataset without a value, with the same time and available time."""
    _, workspace, _, _ = hospital
    found = opened(workspace)
    codes = pq.read_table(workspace / "vocabulary" / "vocabulary.parquet")["code"].to_pylist()
    triplets = Counter()
    for path in (workspace / "dataset").rglob("*.arrow"):
        if not path.name.endswith(".index.arrow"):
            triplets.update(
                (r["subject_id"], r["timestamp"], r["available_time"], codes[r["data_type"]])
                for r in pa.ipc.open_file(path).read_all().to_pylist()
                if r["data_type"] == 1 or codes[r["data_type"]].startswith(("IMAGE", "WAVE"))
            )
            assert all(
                r["value_status"] == 0 for r in pa.ipc.open_file(path).read_all().to_pylist() if r["data_type"] == 1
            )
    # a code that train lacks is unknown in the dataset, and still an event
    known = {(s, t, a) for s, t, a, _ in triplets}
    columns = (found.subject_id, found.time, found.available)
    mine = [(s, 0 if t == NO_TIME else t, a) for s, t, a in zip(*map(np.ndarray.tolist, columns), strict=True)]
    assert set(mine) == known and sum(triplets.values()) == len(mine)
    assert (found.time == NO_TIME).sum() == 0 and (found.available > found.time).sum() == 1


def test_an_image_that_changed_is_read_again(hospital, tmp_path: Path) -> None:
    """The reason is said; what follows runs only where the image is another one; a file that is gone is set aside."""
    raw = tmp_path / "raw"
    shutil.copytree(
        hospital[0], raw, symlinks=True, ignore=lambda _, names: [n for n in names if n in ("pipe.png", "away.png")]
    )
    write_source(raw, [{"path": "images/colour.png"}, {"path": "images/wide.png", "subject_id": 2}])
    workspace = tmp_path / "work"
    made(raw, workspace)
    assert made(raw, workspace)[0] == {}
    before = opened(workspace).sha256
    os.utime(raw / "images" / "wide.png", (1, 1))
    assert (
        made(raw, workspace)[0] == {"contents": "input changed: files of raw.images"}
        and opened(workspace).sha256 == before
    )
    picture(raw, "wide.png", 3, 3)
    assert [one.mend for one in tawt.check(workspace) if not one.ok] == [f"tawt run contents+ -w {workspace}"]
    embedded = workspace / "content_embeddings" / "encoder"
    for name in before:
        write_parquet(embedded / f"{name}.parquet", pa.table({"sha256": [name]}))
    (embedded / "torn.parquet").write_bytes(b"PAR1")
    somebodys = workspace / "content_embeddings" / "other" / "folder.parquet"
    somebodys.mkdir(parents=True)
    ran = made(raw, workspace)[0]
    assert {"contents", "event_parts.images", "content_events"} <= set(ran) and "staging.images" not in ran
    after = opened(workspace).sha256
    assert len({*before, *after}) == 3 and len(after) == 2
    assert [one.stem for one in embedded.iterdir()] == [*{*before} & {*after}], "of an image that is gone all is gone"
    somebodys.rmdir()
    left = [embedded / ".killed.parquet.tmp", embedded / "late.parquet"]
    write_parquet(left[1], pa.table({"sha256": [*{*before} - {*after}]}))
    left[0].write_bytes(b"PAR1")
    tawt.build_vocab(workspace=workspace, dry_run=True, **LIMITS)
    assert all(path.exists() for path in left)
    assert made(raw, workspace)[0] == {} and not any(path.exists() for path in left), "so is what was kept since"
    (raw / "images" / "colour.png").unlink()
    made(raw, workspace)
    assert ledger_of(workspace, "event_parts.images")["path:not_there"] == 1 and len(opened(workspace).sha256) == 1


def test_two_images_of_one_moment_are_two_and_one_told_twice_is_one(tmp_path: Path) -> None:
    """Where duplicates are dropped, rows of one content at one time are; rows of two contents are not."""
    raw = tmp_path / "raw"
    for i, name in enumerate(("a.png", "b.png")):
        picture(raw, name, 3 + i, 4)
    shutil.copy(raw / "images" / "a.png", raw / "images" / "copy.png")
    write_source(raw, [{"path": f"images/{name}.png"} for name in ("a", "b", "copy", "a")])
    made(raw, tmp_path / "work", settings=["duplicates=drop"])
    assert ledger_of(tmp_path / "work", "events")["duplicate"] == 2 and len(opened(tmp_path / "work").content) == 2


def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were decoded before the kill are not decoded again; one thread or several write the same bytes, each
    content once."""
    raw, n_read = tmp_path / "raw", Counter()
    for i in range(10):
        picture(raw, f"{i}.png", 4 + i, 5)
        shutil.copy(raw / "images" / f"{i % 4}.png", raw / "images" / f"z{i}.png")
    write_source(raw, [{"path": f"images/{name}{i}.png", "subject_id": i + 1} for name in ("", "z") for i in range(10)])
    monkeypatch.setattr(stage, "RECORDS_AT_ONCE", 4)
    made(raw, tmp_path / "whole")
    real = stage.opened

    def counted(path: Path, stop: bool = True) -> Any:
        n_read[path.name] += 1
        if path.name == "z1.png" and n_read[path.name] == 1:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(stage, "opened", counted)
    with pytest.raises(KeyboardInterrupt):
        tawt.ingest(raw, pipeline="image", workspace=tmp_path / "killed", threads=1, memory_limit="1GB")
    tawt.ingest(raw, pipeline="image", workspace=tmp_path / "killed", threads=1, memory_limit="1GB")
    # the twelve in three whole files are read once, the four beside the kill again
    assert [n_read[f"{i}.png"] for i in range(8)] == [1] * 8 and n_read["z1.png"] == 2
    files = [sorted(p for p in (tmp_path / name / "contents").iterdir()) for name in ("whole", "killed")]
    assert [p.name for p in files[0]] == [p.name for p in files[1]] and len(files[0]) == 6
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
    stored = [
        sha for p in files[0] if p.suffix == ".arrow" for sha in pa.ipc.open_file(p).read_all()["sha256"].to_pylist()
    ]
    assert len(stored) == len({*stored}) == 10


def test_nothing_of_a_name_in_a_header_reaches_a_workspace(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No byte of a name, number or date of a DICOM header is in any file of the workspace, nor in what is said."""
    pydicom = pytest.importorskip("pydicom", reason="the extra `images` is not installed")
    raw, workspace = (
        write_source(tmp_path / "raw", [{"path": "images/a.dcm"}, {"path": "images/b.dcm"}]),
        tmp_path / "work",
    )
    for name, cut in (("a", 0), ("b", 30)):
        made_ = pydicom.Dataset()
        made_.file_meta = pydicom.dataset.FileMetaDataset()
        made_.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        made_.file_meta.MediaStorageSOPClassUID = made_.file_meta.MediaStorageSOPInstanceUID = "1.2.774411"
        made_.PatientName, made_.PatientID, made_.StudyDescription = (
            "CANARY^PERSON",
            "CANARY774411",
            "CANARY of the lung",
        )
        made_.Rows = made_.Columns = made_.BitsAllocated = made_.BitsStored = 8
        made_.HighBit, made_.SamplesPerPixel, made_.PixelRepresentation = 7, 1, 0
        made_.PhotometricInterpretation, made_.PixelData = "MONOCHROME2", RNG.integers(0, 256, 64, np.uint8).tobytes()
        made_["PixelData"].VR = "OB"
        made_.save_as(raw / "images" / f"{name}.dcm", enforce_file_format=True)
        whole = (raw / "images" / f"{name}.dcm").read_bytes()
        assert b"CANARY" in whole
        (raw / "images" / f"{name}.dcm").write_bytes(whole[: len(whole) - cut])
    capfd.readouterr()
    made(raw, workspace)
    assert len(opened(workspace).sha256) == 1 and ledger_of(workspace, "event_parts.images")["path:truncated"] == 1
    files = [path for path in workspace.rglob("*") if path.is_file()]
    tables = [str(pq.read_table(path, partitioning=None).to_pylist()) for path in files if path.suffix == ".parquet"]
    assert len(files) > 20 and not [
        path for path in files if b"CANARY" in path.read_bytes() or b"774411" in path.read_bytes()
    ]
    assert "CANARY" not in "".join(tables) + "".join(capfd.readouterr())


def test_any_pipeline_can_have_images(tmp_path: Path) -> None:
    """`images: true` adds three stages before events and one behind the dataset, to any source; without it none is there."""
    more = {"staging.images", "contents", "event_parts.images", "content_events"}
    with pytest.raises(StageError, match=r"staging\.images") as told:
        stages_of(resolve_pipeline("eicu", "images=true"))
    assert "schemas/eicu/images.yaml" in told.value.hint
    for name in ("mimic_iv", "physionet2012", "meds"):
        own = stages_of(resolve_pipeline(name)).stages
        both = stages_of(resolve_pipeline(name, "images=true"))
        assert not more & set(own) and set(both.stages) - set(own) == more and not both.faulty
        order = list(both.stages)
        assert (
            order.index("contents")
            < order.index("event_parts.images")
            < order.index("events")
            < order.index("content_events")
        )
    raw = write_source(tmp_path / "raw", [])
    (raw / "images" / "manifest.csv").unlink()
    with pytest.raises(SourceError, match="images"):
        tawt.ingest(raw, pipeline="image", workspace=tmp_path / "work", **LIMITS)


def test_a_disk_at_its_end_or_at_fault_is_no_fault_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a full disk nor a file that may not be read sets an image aside: the command ends and says what is wrong."""
    raw = tmp_path / "raw"
    picture(raw, "a.png", 3, 3)
    write_source(raw, [{"path": "images/a.png"}])

    def refused(error: int) -> Any:
        def raises(*_: Any) -> None:
            raise OSError(error, os.strerror(error))

        return raises

    with monkeypatch.context() as patch:
        patch.setattr(stage, "content_hash", refused(errno.ENOSPC))
        with pytest.raises(RoomError):
            made(raw, tmp_path / "work")
    monkeypatch.setattr(stage, "opened", refused(errno.EIO))
    with pytest.raises(SourceError, match="lists a file that cannot be read") as told:
        made(raw, tmp_path / "work")
    assert "a.png" not in str(told.value)


def test_an_event_part_takes_contents_of_its_own_records_alone(tmp_path: Path) -> None:
    """Contents joined to records of another table would be another record's: such a stage is refused."""
    part = tmp_path / "sql" / "meds" / "event_parts" / "scans.sql"
    part.parent.mkdir(parents=True)
    part.write_text(
        "-- One row is one scan.\nselect m.subject_id, m.time, m.code, m._row from staging.measurements as m "
        "join contents on contents.record = m._row"
    )
    graph = stages_of(resolve_pipeline("image"), Project.at(tmp_path))
    assert "staging.images" in graph.faulty["event_parts.scans"].what and list(graph.faulty) == ["event_parts.scans"]
