"""What is not tawt's is never replaced or removed: a workspace is a new folder, an empty one, or one of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import tawt
from tawt.errors import ConfigError
from tawt.files import whole
from tawt.pipeline.holding import hold

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


def test_what_is_no_file_of_a_stage_or_a_run_is_said(finished: Path, tmp_path: Path, monkeypatch) -> None:
    """Links wherever they lead, files in no list, and a run that lost its list: check names each of them."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    (work / "staging" / "folder").symlink_to(tmp_path)
    (work / "events" / "nowhere.parquet").symlink_to(tmp_path / "nothing")
    step = next((work / "runs" / "tiny" / "checkpoints").glob("step-*"))
    (step / "alien.safetensors").write_text("x")
    (work / "runs" / "tiny" / "more.txt").write_text("x")
    shutil.copytree(work / "runs" / "tiny", work / "runs" / "other")
    (work / "runs" / "other" / "files.json").unlink()
    (work / "ingest.json").unlink()
    (work / "manifests" / "staging.patients.json").unlink()
    odd = (
        "alien.txt",
        "mine/notes.txt",
        "embeddings/alien.txt",
        "embeddings/in/alien.bin",
        "runs/stray.txt",
        "runs/tiny/.hidden",
        "runs/tiny/checkpoints/stray.txt",
        "runs/tiny/checkpoints/in/stray.txt",
        f"runs/tiny/checkpoints/{step.name}/.hidden",
    )
    for name in odd:
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text("x")
    monkeypatch.setattr("tawt.pipeline.check_files._SHOWN", 99)
    said = "; ".join(finding.detail for finding in tawt.check(work) if not finding.ok)
    for name in ("staging/folder", "events/nowhere.parquet", "alien.safetensors", "runs/tiny/more.txt",
                 "runs/other/files.json", "ingest.json", "manifests/staging.patients.json is missing",
                 *(name.replace("/notes.txt", "").replace("/in/stray.txt", "/in") for name in odd)):  # fmt: skip
        assert name in said, name


def test_what_another_command_is_writing_stays_when_a_workspace_is_taken(finished: Path, tmp_path: Path) -> None:
    """Training, embedding and plotting write beside the holder: what they have aside is no leftover of its own."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    for place in (work / "threads.json", work / "embeddings" / "x.parquet", work / "runs" / "tiny" / "plots" / "x.png"):
        with whole(place) as aside:
            aside.write_text("half")
            with hold(work):
                assert aside.read_text() == "half"
        assert place.read_text() == "half"
