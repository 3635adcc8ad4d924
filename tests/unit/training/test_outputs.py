"""What a run may be written over: a new folder, an empty one, or a run of tawt's outside of a workspace's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tawt.commands.pretrain import pretrain
from tawt.errors import ConfigError
from tawt.files import write_sealed
from tawt.seals import SAYS
from tawt.training.outputs import is_run, refuse_no_run, refuse_no_sweep, remove_leftovers

SEALED = f"# {SAYS}0"


def _lay(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "mine", ".cache.tmp": "mine", "checkpoints/step-000010/pytorch.bin": "mine"},
        {"config.yaml": "mine: 1\n", "README.md": "mine"},
        {"config.yaml": "mine: 1\n"},
        {"config.yaml": SEALED, "notes.txt": "a config copied from a run"},
        {"versions.json": "{}", "checkpoints/latest": "step-000010"},
    ],
)
def test_a_folder_of_somebody_elses_stays_as_it_was(workspace, config, files, tmp_path: Path, resume: bool) -> None:
    """Training in a folder with files that are no run's is refused: nothing is removed, written over or left there."""
    _lay(tmp_path / "mine", files)
    before = _tree(tmp_path)
    with pytest.raises(ConfigError, match="holds files and is no run of tawt"):
        pretrain(workspace, config, device="cpu", out=tmp_path / "mine", resume=resume)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize(
    "name",
    ["w", "w/runs", "w/dataset", "w/events/data", "w/embeddings/a", "w/new", "other", "other/staging/x", "run/a"],
)
def test_a_run_lies_in_no_workspace_but_below_its_runs(name: str, tmp_path: Path) -> None:
    """A workspace itself, its own folders, another's and a folder within a run are refused; `runs/NAME` is not."""
    _lay(tmp_path, {"other/pipeline.yaml": SEALED, "run/versions.json": SEALED})
    with pytest.raises(ConfigError, match="lies in a"):
        refuse_no_run(tmp_path / name, tmp_path / "w")
    for good in ("w/runs/a", "other/runs/b/c", "elsewhere"):
        refuse_no_run(tmp_path / good, tmp_path / "w")


def test_a_run_broken_off_anywhere_is_a_run(tmp_path: Path) -> None:
    """From the lock to a lost versions.json, whatever a kill can leave of a run can be resumed."""
    files = {".lock": "", ".config.yaml.tmp": "half", "config.yaml": SEALED, "vocabulary.parquet": "x",
             ".versions.json.tmp": "half", "versions.json": SEALED, "packages.txt": SEALED, "metrics.jsonl": "",
             "checkpoints/step-000001/state.json": '{"format": "tawt.checkpoint/1"}'}  # fmt: skip
    for name, text in files.items():
        _lay(tmp_path / "r", {name: text})
        refuse_no_run(tmp_path / "r", tmp_path / "w")
    for name in ("versions.json", "packages.txt"):
        (tmp_path / "r" / name).unlink()
    assert is_run(tmp_path / "r")


def test_a_sweep_takes_no_folder_but_a_sweeps(tmp_path: Path) -> None:
    """A sweep goes on where its record or runs alone are; a run's folder, or anything else, is not taken for it."""
    folder = tmp_path / "w" / "runs" / "s"
    _lay(folder, {".lock": "", "a-seed0/config.yaml": SEALED, "a-seed1/versions.json": SEALED})
    refuse_no_sweep(folder, tmp_path / "w")
    _lay(folder, {"notes/x.txt": "mine"})
    with pytest.raises(ConfigError, match="is no sweep of tawt"):
        refuse_no_sweep(folder, tmp_path / "w")
    write_sealed(folder / "sweep.json", {})
    refuse_no_sweep(folder, tmp_path / "w")
    _lay(folder, {"versions.json": SEALED})
    with pytest.raises(ConfigError, match="is no sweep of tawt"):
        refuse_no_sweep(folder, tmp_path / "w")


def test_only_what_tawt_writes_aside_is_a_leftover(tmp_path: Path) -> None:
    """A hidden file that ends in `.tmp` and is named as none of a run's stays."""
    stays = {".notes.tmp", "best/.mine.tmp", "checkpoints/.mine.tmp", "checkpoints/.step-000001.tmp.mine"}
    goes = {".README.md.tmp", ".files.json.tmp", "best/.step-000004.safetensors.tmp", "checkpoints/.latest.tmp"}
    _lay(tmp_path, dict.fromkeys(stays | goes, "x"))
    remove_leftovers(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == stays


def test_a_hint_names_what_the_command_has(tmp_path: Path) -> None:
    """Where a file is in the way, a run goes elsewhere by `--out`, and a sweep, which has no such option, by its name."""
    (tmp_path / "file").touch()
    for refuse, hint in ((refuse_no_run, "`--out DIR`"), (refuse_no_sweep, "another name")):
        with pytest.raises(ConfigError, match="is a file") as caught:
            refuse(tmp_path / "file", tmp_path / "w")
        assert hint in caught.value.hint
