"""`tawt check` counts everything again and finds what was changed behind its back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin.all import graph_of
from tawt.commands.out_folder import published
from tawt.errors import FileError
from tawt.files import write_parquet, write_sealed
from tawt.pipeline.ledger import standing, write_ledger
from tawt.pipeline.workspace import open_workspace
from tawt.seals import sha256_file


def failed(workspace: Path) -> set[str]:
    return {finding.check for finding in tawt.check(workspace) if not finding.ok}


def test_a_workspace_as_it_was_made_passes(hospital) -> None:
    """Every finding on an untouched workspace is good, and each layer has some."""
    findings = tawt.check(hospital.workspace)
    assert [finding for finding in findings if not finding.ok] == []
    layers = {finding.check.partition(":")[0] for finding in findings}
    assert layers == {
        "stages",
        "ledger",
        "quarantine",
        "events",
        "vocabulary",
        "triplets",
        "dataset",
        "files",
        "records",
        "raw tables",
        "labels",
        "runs",
        "embeddings",
        "evaluations, audits and risks",
    }


@pytest.mark.parametrize("name", ["ingest.json", "local.json"])
@pytest.mark.parametrize("spoil", ["a number", "a key", "cut", "gone"])
def test_a_record_that_cannot_be_read_hides_nothing_else(own_workspace: Path, name: str, spoil: str) -> None:
    """It is one finding, and every other file is held to its hash as the stages say that they were made."""
    path = own_workspace / name
    keys = json.loads(path.read_text())
    if spoil == "a number":
        path.write_text(
            path.read_text().replace('"n_shards": 3', '"n_shards": 4').replace('"n_records": 60', '"n_records": 61')
        )
    elif spoil == "a key":
        write_sealed(path, keys | {"mine": 1})
    else:
        path.write_bytes(path.read_bytes()[:-20]) if spoil == "cut" else path.unlink()
    expected = set() if (name, spoil) == ("local.json", "gone") else {"records"}
    assert failed(own_workspace) == expected
    flip_a_byte(own_workspace / "dataset" / "dataset.json")
    assert failed(own_workspace) == expected | {"stages"}


def test_what_is_named_is_mended_by_the_command_that_is_named(own_workspace: Path) -> None:
    """A file with a flipped bit is made again, though its size says that it is up to date; a file of the user's by none."""
    flip_a_byte(own_workspace / "vocabulary" / "vocabulary.parquet")
    (said,) = [finding for finding in tawt.check(own_workspace) if not finding.ok]
    assert said.mend == f"tawt run vocabulary -w {own_workspace} --force"
    tawt.run("vocabulary", own_workspace, threads=1, force=True)
    (own_workspace / "mine").mkdir()
    (said,) = [finding for finding in tawt.check(own_workspace) if not finding.ok]
    assert (said.check, said.detail, said.mend) == ("files", "mine is none of tawt's", "")


FILES = [
    "staging/labevents/part-*.parquet",
    "event_parts/labs/part-*.parquet",
    "codes/labs/part-*.parquet",
    "events/data/train/*.parquet",
    "events/metadata/codes.parquet",
    "vocabulary/vocabulary.parquet",
    "triplets/train/*.parquet",
    "dataset/train/00000.arrow",
    "dataset/train/00000.index.arrow",
    "dataset/dataset.json",
]


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        *((Path.unlink, f) for f in FILES),
        *((spoil, f) for spoil in (flip_a_byte, shorten) for f in (FILES[0], FILES[-1])),
    ],
)
def test_a_removed_or_changed_file_is_found(own_workspace: Path, spoil: Callable[[Path], None], pattern: str) -> None:
    """A file that is gone, shorter, or of the same size with one bit changed is found, and `check` ends all the same; a bit of
    every file is flipped in `test_flipped_bits.py`."""
    spoil(sorted(own_workspace.glob(pattern))[0])
    assert "stages" in failed(own_workspace)


def edit_manifest(workspace: Path, stage: str, edit: Callable[[dict], None]) -> None:
    """Change a manifest, and the published ledger with it."""
    path = workspace / "manifests" / f"{stage}.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    write_sealed(path, manifest)
    opened = open_workspace(workspace)
    write_ledger(workspace, standing(opened, graph_of(opened)))


def one_more(key: str) -> Callable[[dict], None]:
    return lambda account: account.update({key: account[key] + 1})


def moved(account: dict) -> None:
    """Balanced still: one record more dropped, one fewer kept."""
    account["n_records_kept"] -= 1
    account["routes"].append({"kind": "drop", "reason": "invented", "n_records": 1})


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        *(("events", key) for key in ("n_records_in", "n_records_kept", "n_rows_out")),
        ("staging.labevents", "n_records_in"), ("event_parts.diagnoses", "n_records_kept"), ("codes.chart", "n_rows_out"),
        ("triplets", "n_records_in"), ("dataset", "n_records_kept"),
    ],
)  # fmt: skip
def test_an_edited_count_is_found(own_workspace: Path, stage: str, key: str) -> None:
    """Any count of any stage that was raised by one no longer agrees with the others or with the files."""
    edit_manifest(own_workspace, stage, lambda m: one_more(key)(m["accounts"][0]))
    assert "ledger" in failed(own_workspace)


def test_an_edit_that_balances_is_found(own_workspace: Path) -> None:
    """A record said to be dropped while its rows are there is found by counting the records behind the rows."""
    edit_manifest(own_workspace, "event_parts.admissions", lambda m: moved(m["accounts"][0]))
    assert failed(own_workspace) == {"ledger"}


def test_an_edited_ledger_is_found(own_workspace: Path) -> None:
    """The published table must be as it was written and say what the manifests say; without it, `check` says so."""
    table = pq.read_table(own_workspace / "ledger.parquet")
    n = table["n"].to_pylist()
    edited = table.set_column(table.column_names.index("n"), table.schema.field("n"), pa.array([n[0] + 1, *n[1:]]))
    write_parquet(own_workspace / "ledger.parquet", edited)
    assert failed(own_workspace) == {"ledger"}
    pq.write_table(edited, own_workspace / "ledger.parquet")
    assert failed(own_workspace) == {"records"}
    (own_workspace / "ledger.parquet").unlink()
    assert failed(own_workspace) == {"records"}


def test_a_removed_quarantine_row_is_found(own_workspace: Path) -> None:
    """Every quarantined record is listed: one row fewer, or no file at all, is found."""
    path = own_workspace / "quarantine" / "staging.labevents.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    name = "quarantine/staging.labevents.parquet"
    edit_manifest(own_workspace, "staging.labevents", lambda m: m["files"].update({name: path.stat().st_size}))
    edit_manifest(own_workspace, "staging.labevents", lambda m: m["hashes"].update({name: sha256_file(path)}))
    assert failed(own_workspace) == {"quarantine"}
    edit_manifest(own_workspace, "staging.labevents", lambda m: m["hashes"].pop(name))
    assert "stages" in failed(own_workspace)
    path.unlink()
    assert "stages" in failed(own_workspace)


def test_a_dataset_of_another_vocabulary_is_found(own_workspace: Path) -> None:
    """Shards that were made with another vocabulary are found even where every file is whole."""
    path = own_workspace / "dataset" / "dataset.json"
    manifest = json.loads(path.read_text())
    write_sealed(path, manifest | {"vocabulary": manifest["vocabulary"][::-1]})
    edit_manifest(own_workspace, "dataset", lambda m: m["hashes"].update({"dataset/dataset.json": sha256_file(path)}))
    assert failed(own_workspace) == {"dataset: vocabulary"}


def test_nothing_made_is_no_success(hospital, tmp_path: Path) -> None:
    """A workspace without a finished stage does not pass."""
    shutil.copy(hospital.workspace / "pipeline.yaml", tmp_path)
    assert "stages" in failed(tmp_path)


def test_a_file_that_no_stage_lists_is_found(own_workspace: Path) -> None:
    """What lies in a stage's folder without being of it is named by `check` and read by nobody."""
    n = len(tawt.query("select * from staging.patients", own_workspace))
    folder = own_workspace / "staging" / "patients"
    shutil.copy(next(folder.glob("*.parquet")), folder / "part-99999-0.parquet")
    assert failed(own_workspace) == {"files"}
    assert len(tawt.query("select * from staging.patients", own_workspace)) == n
    ran = tawt.run("event_parts.patients", own_workspace, threads=1, force=True)
    manifest = ran.stages[0].manifest
    assert manifest is not None and manifest.accounts[0].n_records_in == n


@pytest.mark.parametrize("spoil", [flip_a_byte, shorten, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_quarantine_is_no_empty_one(own_workspace: Path, spoil: Callable[[Path], None]) -> None:
    """What is asked of a damaged list of quarantined records, or of a damaged manifest, is an error that names it; the
    stage's state says so, and a query notes it."""
    path = own_workspace / "quarantine" / "staging.labevents.parquet"
    spoil(path)
    with pytest.raises(FileError, match=r"staging\.labevents\.parquet"):
        tawt.quarantined("staging.labevents", own_workspace)
    path.unlink(missing_ok=True)
    spoil(own_workspace / "manifests" / "staging.patients.json")
    states = {row["stage"]: row["state"] for row in tawt.stages(own_workspace).to_pylist()}
    assert states["staging.labevents"] == "damaged: quarantine/staging.labevents.parquet"
    gone = not (own_workspace / "manifests" / "staging.patients.json").exists()
    assert states["staging.patients"] == ("not run" if gone else "damaged: manifests/staging.patients.json")
    notes: list[dict] = []
    with suppress(FileError):  # as where another stage's list cannot be read
        tawt.query("select * from quarantine", own_workspace, report=notes.append)
    assert "staging.labevents is damaged" in notes[0]["text"]
    if not gone:
        with pytest.raises(FileError, match=r"staging\.patients\.json"):
            tawt.quarantined("staging.patients", own_workspace)


@pytest.mark.parametrize("room", ["evaluations", "audits"])
def test_what_was_measured_is_held_to_its_list(room: str, own_workspace: Path) -> None:
    """A changed file, a missing one and a missing list are told of an evaluation or an audit, with the command that makes
    it anew; what nobody listed is a file of nobody, but for maps of embeddings."""
    place = own_workspace / room / "dead"
    with published(place, "record.json") as aside:
        (aside / "tuning").mkdir()
        for name in ("record.json", "run.parquet", "tuning/run.parquet"):
            (aside / name).write_text(f"{name}, as it was written")
    (place / "map-dead.png").write_bytes(b"figure")

    def wrong() -> dict[str, str]:
        return {one.check: one.detail + one.mend for one in tawt.check(own_workspace) if not one.ok}

    assert not wrong()
    for change in (lambda path: path.write_text("other"), Path.unlink):
        for name in ("record.json", "tuning/run.parquet", "files.json"):
            before = (place / name).read_bytes()
            change(place / name)
            told = wrong()
            assert f"{room}/dead/{name} is missing or changed" in told["evaluations, audits and risks"], name
            assert (
                f"tawt {'evaluate' if room == 'evaluations' else 'audit'} dead -w"
                in told["evaluations, audits and risks"]
            )
            assert {*told} == {"evaluations, audits and risks"}
            (place / name).write_bytes(before)
    (place / "notes.txt").write_text("mine")
    assert wrong() == {"files": wrong()["files"]} and f"{room}/dead/notes.txt is none of tawt's" in wrong()["files"]
