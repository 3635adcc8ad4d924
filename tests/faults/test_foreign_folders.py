"""What is not tawt's is never replaced or removed: a workspace is a new folder, an empty one, or one of its own."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

import tawt
from tawt.errors import ConfigError
from tawt.files import whole, write_hashes
from tawt.pipeline.holding import hold
from tawt.quality.workspace import check

QUICK = {"threads": 1, "memory_limit": "500MB"}


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_folder_that_tawt_did_not_make_is_refused_and_left_as_it_was(
    hospital: Path, tmp_path: Path, tree, dry_run: bool
) -> None:
    """Names that a workspace has too, a pipeline.yaml of the user's included, do not make a folder one."""
    project = tmp_path / "project"
    for name in ("pipeline.yaml", "staging/site/index.html", "labels/mine/gold.csv", "manifests/x.json", ".aside/a"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("name: mine\n")
    before = tree(project)
    with pytest.raises(ConfigError, match="no workspace of tawt"):
        tawt.ingest(hospital, "demo", project, dry_run=dry_run, **QUICK)
    assert tree(project) == before


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("within", ["itself", "below", "staging", "events/data"])
def test_raw_tables_and_workspace_do_not_lie_in_one_another(
    hospital: Path, finished: Path, tmp_path: Path, tree, within: str, dry_run: bool
) -> None:
    """The raw folder as workspace, a workspace in it, and raw tables where stages write: each is refused untouched."""
    work, raw = tmp_path / "w", tmp_path / "raw"
    if within in ("itself", "below"):
        shutil.copytree(hospital, raw)
        work = raw if within == "itself" else raw / "w"
    else:
        shutil.copytree(finished, work)
        raw = Path(shutil.copytree(hospital, work / within / "raw"))
    before = tree(tmp_path)
    with pytest.raises(ConfigError):
        tawt.ingest(raw, "demo", work, dry_run=dry_run, **QUICK)
    assert tree(tmp_path) == before


def test_of_a_stage_that_is_gone_only_its_own_files_go(hospital: Path, finished: Path, tmp_path: Path) -> None:
    """A changed pipeline removes what manifests list; a file of the user's in the folder stays, and check names it."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    for name in ("staging/icustays/notes.txt", "labels/mine/gold.csv", "manifests/prod.json"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("mine")
    tawt.ingest(hospital, "demo", work, settings=("off=[staging.icustays,event_parts.icustays]",), **QUICK)
    left = {path.relative_to(work).as_posix() for path in work.rglob("*") if "icustays" in str(path) and path.is_file()}
    assert left == {"staging/icustays/notes.txt"}
    said = next(finding for finding in tawt.check(work) if finding.check == "files")
    assert all(name in said.detail for name in ("notes.txt", "gold.csv", "prod.json")) and not said.ok


def _said(work: Path, check: str) -> set[str]:
    """What a check names."""
    detail = next(finding.detail for finding in tawt.check(work) if finding.check == check and not finding.ok)
    return {text.partition(" ")[0] for text in detail.split("; ")}


def test_what_is_no_file_of_a_stage_or_a_run_is_said(finished: Path, tmp_path: Path, monkeypatch) -> None:
    """Files, links wherever they lead, pipes, sockets and empty folders, and names like those of what is being written that
    nothing writes: check names each of them, and nothing else."""
    monkeypatch.setattr("tawt.quality.finding._SHOWN", 999)
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    step = next((work / "runs" / "tiny" / "checkpoints").glob("step-*")).relative_to(work).as_posix()
    (work / "embeddings").mkdir()
    folders = (".", ".aside", ".spill", "staging", "staging/patients", "events/data/train", "labels", "dataset", "manifests",
               "quarantine", "runs", "runs/notes", "runs/tiny", "runs/tiny/checkpoints", step, "embeddings",
               ".aside/events-0123456789abcdef")  # fmt: skip
    odd = set()
    monkeypatch.chdir(work)
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
        at = Path(folder)
        Path(at / "link").symlink_to(tmp_path)
        Path(at / "nowhere").symlink_to(tmp_path / "nothing")
        os.mkfifo(at / "pipe")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(at / "socket"))
        there = {"link", "nowhere", "pipe", "socket"}
        if "events-" not in folder:
            for name in ("file", ".hidden", ".file.tmp", ".file.tmp.old", ".file.lock", "mine/file"):
                (at / name).parent.mkdir(exist_ok=True)
                (at / name).write_text("x")
            (at / f"empty-{at.name}").mkdir()
            there |= {"file", ".hidden", ".file.tmp", ".file.tmp.old", ".file.lock", "mine/file", f"empty-{at.name}"}
        odd |= {(at / name).as_posix() for name in there}
    for name in ("runs/.lock", "embeddings/.tiny.parquet.tmp", "runs/tiny/plots.png"):
        Path(name).write_text("x")
        odd.add(name)
    kept = ("runs/tiny/plots/mine.png", ".aside/staging.patients/part-0.parquet", "runs/tiny/.metrics.jsonl.tmp",
            "runs/tiny/checkpoints/.step-000002.tmp/state.json", ".pipeline.yaml.tmp",
            ".spill/duckdb_temp_storage_DEFAULT-0.tmp")  # fmt: skip
    for name in kept:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")
    assert _said(work, "files") == odd


def test_a_run_and_records_that_lost_a_file_are_said(finished: Path, tmp_path: Path) -> None:
    """A run without its list, no ingest.json and a stage without its manifest."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    (work / "runs" / "tiny" / "files.json").unlink()
    (work / "ingest.json").unlink()
    (work / "manifests" / "staging.patients.json").unlink()
    assert _said(work, "runs") == {"runs/tiny/files.json"}
    assert _said(work, "records") == {"ingest.json"}
    assert "manifests/staging.patients.json" in _said(work, "stages")


def test_embeddings_are_of_the_run_that_they_are_named_like(finished: Path, tmp_path: Path, tawt) -> None:
    """Those of another run under its name, and a sealed table of something else, are named, with what makes them again."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    assert tawt("embed", "-w", work, "--run", "tiny", "--device", "cpu").code == 0
    own = work / "embeddings" / "tiny.parquet"
    shutil.copy(own, work / "embeddings" / "mine.parquet")
    assert [finding for finding in check(work) if not finding.ok] == []
    shutil.copytree(work / "runs" / "tiny", work / "runs" / "sizes" / "tiny")
    with (other := work / "runs" / "sizes" / "tiny" / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, os.SEEK_END)
        weights.write(b"x")
    write_hashes(other.parent)
    (work / "embeddings" / "sizes").mkdir()
    assert tawt("check", "-w", work).code == 0
    shutil.copy(own, work / "embeddings" / "sizes" / "tiny.parquet")
    shutil.copy(work / "ledger.parquet", work / "embeddings" / "other.parquet")
    ended = tawt("check", "-w", work, "--format", "json")
    assert "embeddings/other.parquet holds no embeddings" in ended.out
    assert "embeddings/sizes/tiny.parquet is not of the weights of runs/sizes/tiny" in ended.out
    assert f"next: tawt embed -w {work} --run sizes/tiny" in ended.err


def test_what_another_command_is_writing_stays_when_a_workspace_is_taken(finished: Path, tmp_path: Path) -> None:
    """Training, embedding and plotting write beside the holder: what they have aside is no leftover of its own."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    for place in (work / "threads.json", work / "embeddings" / "x.parquet", work / "runs" / "tiny" / "plots" / "x.png"):
        with whole(place) as aside:
            aside.write_text("half")
            with hold(work):
                assert aside.read_text() == "half"
        assert place.read_text() == "half"
