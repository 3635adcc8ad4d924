"""What a manifest lists can be of its own stage alone: nothing else is taken for finished, or removed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.account import Account
from tawt.errors import ConfigError, FileError
from tawt.files import write_sealed
from tawt.pipeline.commit import commit, forget_others, others_of
from tawt.pipeline.holding import hold, refuse_overlap
from tawt.pipeline.manifest import Components, Manifest, manifest_at, read_manifest
from tawt.pipeline.workspace import OF_STAGES, Workspace, write_records
from tawt.sources.graph import Graph

NOTHING = Graph({}, {}, {})


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    """A workspace beside the file `keep` of somebody else's; nothing is ingested."""
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "keep").write_text("precious")
    root = tmp_path / "ws"
    (root / "manifests").mkdir(parents=True)
    opened = Workspace(root, PipelineConfig(name="lab", source="lab"), given_pipeline=True)
    write_records(opened)
    return opened


def _finish(workspace: Workspace, stage: str, files: list[str], file: str | None = None) -> Path:
    """Write the manifest of a stage as tawt would, whatever it lists."""
    account = {"driving": "raw.lab", "n_records_in": 0, "n_records_kept": 0, "n_rows_out": 0}
    about = {"stage": stage, "fingerprint": "0", "components": {}, "accounts": [account], "seconds": 0.0}
    path = workspace.root / "manifests" / f"{file or stage}.json"
    write_sealed(path, {**about, "files": dict.fromkeys(files, 1), "hashes": dict.fromkeys(files, "0" * 64)})
    return path


def _manifest(stage: str) -> Manifest:
    account = Account(driving="raw.lab", n_records_in=0, n_records_kept=0, n_rows_out=0)
    return Manifest(
        stage=stage, fingerprint="0", components=Components(), files={}, hashes={}, accounts=(account,), seconds=0
    )


class Killed(BaseException):
    """What nothing catches."""


def _killed_at(n: int, act: Callable[[], None]) -> bool:
    """Do something that ends before its n-th act on the file system; return whether there was one."""
    done = itertools.count(1)

    def counting(act: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **more: object) -> object:
            if next(done) >= n:
                raise Killed
            return act(*args, **more)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync"):
            patch.setattr(os, name, counting(getattr(os, name)))
        try:
            act()
        except Killed:
            return True
    return False


def _forgotten(workspace: Workspace) -> list[str]:
    """Forget what is of no stage of a pipeline without any, and return the stages."""
    others = others_of(workspace.root, NOTHING)
    forget_others(workspace.root, others)
    return [*others]


def test_the_files_of_a_stage_that_is_gone_go_with_it(made: Workspace) -> None:
    """What its manifest lists goes, folders that are empty then too; what else lies there stays."""
    listed = ["staging/old/part-0.parquet", "staging/old/in/part-1.parquet", "quarantine/staging.old.parquet"]
    for name in [*listed, "staging/old/notes"]:
        (made.root / name).parent.mkdir(parents=True, exist_ok=True)
        (made.root / name).write_text("x")
    _finish(made, "staging.old", [*listed, "staging/old/gone/part-2.parquet"])
    assert _forgotten(made) == ["staging.old"]
    left = {path.relative_to(made.root).as_posix() for path in made.root.rglob("*") if path.is_file()}
    assert left == {"pipeline.yaml", "staging/old/notes"} and not (made.root / "staging/old/in").exists()


@pytest.mark.parametrize("first", [True, False])
def test_what_a_kill_leaves_of_a_stage_goes_though_the_stage_is_no_more(
    made: Workspace, tmp_path: Path, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any act of putting a stage's files in place, or of removing them: the next command, of a pipeline without
    that stage, leaves none of them; one that finds it finished leaves all."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # which takes long

    def begin(workspace: Workspace) -> None:
        for run in ("old", "new") if not first else ("new",):
            aside = workspace.start("staging.x", None)
            for name in ("a", run):
                (aside / name).write_text(run)
            (rejected := workspace.aside / "rejected").write_text(run)
            if run == "new":
                return
            commit(workspace, aside, rejected, _manifest("staging.x"))

    def end(workspace: Workspace) -> None:
        commit(workspace, workspace.aside / "staging.x", workspace.aside / "rejected", _manifest("staging.x"))
        _forgotten(workspace)

    def left(root: Path) -> list[str]:
        return [path.name for path in root.rglob("*") if path.is_file() and path.name not in ("pipeline.yaml", ".lock")]

    states = []
    for n in itertools.count(1):
        work = dataclasses.replace(made, root=Path(shutil.copytree(made.root, tmp_path / str(n))))
        begin(work)
        killed = _killed_at(n, lambda work=work: end(work))
        (work.root / "staging" / "x").mkdir(parents=True, exist_ok=True)
        (work.root / "staging" / "x" / "mine").write_text("x")
        with hold(work.root):
            stands = read_manifest(work, "staging.x") is not None
            states.append(stands)
            there = left(work.root)
            assert len(there) == 5 if stands else there == ["mine"] or "staging.x.json" in there, n
            _forgotten(work)
        assert left(work.root) == ["mine"], n
        if not killed:
            break
    assert n > 12 and (states[-1], any(states), all(states)) == (False, True, False)


ELSEWHERE = {
    "above": ("staging.old", "../others/keep"),
    "above through its own": ("staging.old", "staging/old/../../../others/keep"),
    "absolute": ("staging.old", "{outside}/keep"),
    "an absolute folder": ("staging.old", "{outside}"),
    "another stage's": ("staging.old", "staging/new/part-0.parquet"),
    "a stage's that begins alike": ("staging.old", "staging/older/part-0.parquet"),
    "another quarantine": ("staging.old", "quarantine/staging.new.parquet"),
    "its own folder": ("staging.old", "staging/old"),
    "the pipeline": ("staging.old", "pipeline.yaml"),
    "a run's": ("staging.old", "runs/a/model.safetensors"),
    "a layer that is none": ("runs.a", "runs/a/model.safetensors"),
    "a whole layer": ("staging", "staging/new/part-0.parquet"),
    "no layer": ("", "pipeline.yaml"),
    "all that is above": ("staging...", "staging/../pipeline.yaml"),
    "a name with a path": ("staging.a/../new", "staging/new/part-0.parquet"),
}


@pytest.mark.parametrize("how", ELSEWHERE)
def test_a_manifest_that_lists_other_files_is_none(how: str, made: Workspace, tmp_path: Path) -> None:
    """However well it is sealed, nothing that it lists is removed: what it says could be anybody's words."""
    for name in ("staging/new/part-0.parquet", "staging/older/part-0.parquet", "quarantine/staging.new.parquet"):
        (made.root / name).parent.mkdir(parents=True, exist_ok=True)
        (made.root / name).write_text("x")
    stage, name = ELSEWHERE[how]
    path = _finish(
        made, stage, [name.format(outside=tmp_path / "others")], file="staging.old" if "/" in stage else None
    )
    before = sorted(tmp_path.rglob("*"))
    assert manifest_at(path) is None and _forgotten(made) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_a_manifest_under_another_name_is_none(made: Workspace) -> None:
    """The file is named like the stage that it speaks of."""
    path = _finish(made, "staging.old", ["staging/old/part-0.parquet"], file="staging.other")
    assert manifest_at(path) is None and _forgotten(made) == []
    assert manifest_at(path.rename(path.with_stem("staging.old"))) is not None


def test_a_folder_under_the_name_of_a_listed_file_stays(made: Workspace) -> None:
    """A file was listed: what lies there now is somebody's."""
    (made.root / "staging/old/part-0.parquet/in").mkdir(parents=True)
    (made.root / "staging/old/part-1.parquet").write_text("not a folder")
    _finish(made, "staging.old", ["staging/old/part-0.parquet", "staging/old/part-1.parquet/x"])
    assert _forgotten(made) == ["staging.old"]
    assert {path.name for path in (made.root / "staging/old").rglob("*")} == {"part-0.parquet", "in", "part-1.parquet"}


@pytest.mark.parametrize(
    "name", [*OF_STAGES, ".aside", "content_embeddings", "staging/patients", ".aside/events-" + "0" * 16]
)
def test_a_workspace_with_a_linked_folder_is_not_written_in(name: str, made: Workspace, tmp_path: Path) -> None:
    """A folder of stages that leads elsewhere is refused before anything is removed or written."""
    if name == "manifests":
        (made.root / name).rmdir()
    (made.root / name).parent.mkdir(exist_ok=True)
    (made.root / name).symlink_to(tmp_path / "others")
    with pytest.raises(FileError, match="is a link, expected a folder of its own") as caught, hold(made.root):
        pytest.fail("held")
    assert caught.value.where == str(made.root / name)
    assert [path.name for path in (tmp_path / "others").iterdir()] == ["keep"]
    with hold(made.root, dry_run=True):
        pass


def test_what_is_no_file_aside_goes_before_a_command_begins(made: Workspace, tmp_path: Path) -> None:
    """Links and pipes among the shards that a killed command left are none of them: they would be written through."""
    kept = made.root / ".aside" / ("events-" + "0" * 16) / "data"
    kept.mkdir(parents=True)
    (kept / "0.parquet").symlink_to(tmp_path / "others" / "keep")
    os.mkfifo(kept / "1.parquet")
    (kept / "2.parquet").write_text("a shard")
    with hold(made.root):
        assert [path.name for path in kept.iterdir()] == ["2.parquet"]
    assert (tmp_path / "others" / "keep").read_text() == "precious"


def test_a_workspace_behind_a_link_is_written_in(made: Workspace, tmp_path: Path) -> None:
    """The place of the whole workspace is of the user's choice."""
    (tmp_path / "link").symlink_to(made.root)
    with hold(tmp_path / "link"):
        assert (made.root / ".lock").is_file()


@pytest.mark.parametrize("loop", [True, False])
def test_a_link_that_leads_to_no_folder_is_no_workspace(loop: bool, tmp_path: Path) -> None:
    """A link to itself or to nothing is told, before anything is made."""
    (tmp_path / "ws").symlink_to(tmp_path / ("ws" if loop else "nothing"))
    with pytest.raises(ConfigError, match="is a link that leads to no folder"), hold(tmp_path / "ws"):
        pytest.fail("held")
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Records could not hold the path of a workspace or of raw tables with bytes that are not UTF-8: nothing is made."""
    odd = tmp_path / "odd\udcff"
    odd.mkdir()
    with pytest.raises(ConfigError, match=r"odd\\udcff/ws: has a path that is not UTF-8"), hold(odd / "ws"):
        pytest.fail("held")
    (tmp_path / "link").symlink_to(odd)
    with pytest.raises(ConfigError, match="link: has a path that is not UTF-8"):
        refuse_overlap(tmp_path / "ws", tmp_path / "link")
    assert list(odd.iterdir()) == []
