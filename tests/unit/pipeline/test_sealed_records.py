"""Records that were sealed anew with something else in them: each is told by its name, none is believed."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import Any

import pytest

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.account import Places
from tawt.errors import ConfigError, FileError
from tawt.files import write_sealed
from tawt.pipeline.manifest import manifest_at, read_manifest
from tawt.pipeline.records import Ingested
from tawt.pipeline.workspace import LOCK, Workspace
from tawt.quality.workspace import check

STAGE = "staging.labevents"
ACCOUNT = {"driving": "raw.labevents", "n_records_in": 2, "n_records_kept": 2, "n_rows_out": 2}
MANIFEST: dict[str, Any] = {
    "stage": STAGE, "fingerprint": "0", "components": {"inputs": {"raw.labevents": "0"}, "keys": {"pipeline.a": 1}},
    "files": {}, "hashes": {}, "accounts": [ACCOUNT], "seconds": 0.0,
    "facts": {"n_rows": {"train": 2}, "n_rare_codes": 0}, "places": {"files": ["a.csv", "b.csv"], "starts": [1, 2]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("components", {"inputs": wrong}) for wrong in (None, [], "x", 5, {"raw.labevents": None})),
        *(("components", {"keys": wrong}) for wrong in (None, [1], "x")),
        ("components", {"others": {}}),
        *(("accounts", wrong) for wrong in ([], [ACCOUNT, ACCOUNT], [None])),
        *(
            ("accounts", [{**ACCOUNT, name: n}])
            for name in ("n_records_in", "n_records_kept", "n_rows_out")
            for n in (-1, 2**70, 10**400, 0.5)
        ),
        ("accounts", [{**ACCOUNT, "routes": [{"kind": "drop", "reason": "r", "n_records": 2**70}]}]),
        ("accounts", [{**ACCOUNT, "n_rows_added": {"not_measured": -1}}]),
        ("files", {f"{STAGE.replace('.', '/')}/part-0.parquet": 2**70}),
        *(("places", {"files": wrong, "starts": [1]}) for wrong in (None, 5, "x", [5], ["a", "b"])),
        *(("places", {"files": ["a"], "starts": wrong}) for wrong in (None, 1, ["x"], [2**70], [], {"a": 1})),
        *(("facts", wrong) for wrong in ([], {"n": None}, {"n": [None]}, {"n": {"a": [1]}}, {"n": 10**400})),
        ("seconds", float("nan")),
    ],
)
def test_a_manifest_that_says_what_none_of_ours_does_is_damaged(tmp_path: Path, key: str, value: Any) -> None:
    """However well it is sealed: what is in it is of its type and within bounds, or the stage is not finished."""
    workspace = Workspace(tmp_path, PipelineConfig(name="lab", source="lab"))
    path = workspace.manifest(STAGE)
    path.parent.mkdir()
    write_sealed(path, MANIFEST)
    whole = manifest_at(path)
    assert whole is not None and whole.places == Places(files=("a.csv", "b.csv"), starts=(1, 2))
    write_sealed(path, {**MANIFEST, key: value})
    assert manifest_at(path) is None
    assert read_manifest(workspace, STAGE) is None


@pytest.mark.parametrize("sample", ["abc", "", "nan%", "-3", "0", "101%", "%", "\x1b]0;X\x07", "1" * 30, 5])
def test_a_sample_that_nobody_could_ask_for_is_of_no_ingest(tmp_path: Path, sample: object) -> None:
    """What `ingest.json` holds is a number of subjects or a percentage, as `--sample` is."""
    workspace = Workspace(tmp_path, PipelineConfig(name="lab", source="lab"))
    write_sealed(tmp_path / "ingest.json", {"sample": "12.5%"})
    assert workspace.ingested == Ingested(sample="12.5%")
    write_sealed(tmp_path / "ingest.json", {"sample": sample})
    with pytest.raises(FileError, match=r"ingest.json: `sample` does not fit"):
        _ = workspace.ingested


def test_a_manifest_that_may_not_be_read_is_not_one_that_is_absent(tmp_path: Path, monkeypatch) -> None:
    """The file is named: nothing is said of the stage, which is neither run again nor removed."""
    workspace = Workspace(tmp_path, PipelineConfig(name="lab", source="lab"))
    path = workspace.manifest(STAGE)
    assert manifest_at(path) is None
    path.parent.mkdir()
    write_sealed(path, MANIFEST)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("pathlib.Path.open", "pathlib.Path.stat"):  # of the file, and of its folder
        with monkeypatch.context() as patched:
            patched.setattr(name, refused)
            with pytest.raises(FileError, match=r"staging\.labevents\.json: cannot be read \(Permission denied\)"):
                read_manifest(workspace, STAGE)


def test_a_workspace_is_not_checked_while_a_command_changes_it(hospital, tmp_path: Path) -> None:
    """It is refused in a line, and no file is called missing; a second look at once, and one without a lock, are not."""
    root = tmp_path / "ws"
    root.mkdir()
    shutil.copy(hospital.workspace / "pipeline.yaml", root)
    assert check(root) and not (root / LOCK).exists()
    with (root / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert check(root)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is in use by another tawt command"):
            check(root)
