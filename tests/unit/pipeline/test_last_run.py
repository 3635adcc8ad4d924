"""What stands of a stage is what its last run made."""

from __future__ import annotations

import json
from pathlib import Path

from tawt.config.data import PipelineConfig
from tawt.pipeline.commit import commit
from tawt.pipeline.manifest import Account, Components, Manifest
from tawt.pipeline.workspace import Workspace


def test_a_stage_keeps_nothing_of_its_last_run(tmp_path: Path) -> None:
    """Output and quarantine of a run take the place of those before, also where it quarantines nothing; the manifest
    lists what is there."""
    root = tmp_path / "w"
    workspace = Workspace(root, PipelineConfig(name="lab", source="lab"))
    root.mkdir()

    def run(name: str, quarantine: Path | None) -> list[str]:
        (aside := tmp_path / "aside" / "deep").mkdir(parents=True)
        (aside / name).write_text(name)
        account = Account(driving="raw.x", n_records_in=1, n_records_kept=1, n_rows_out=1)
        made = Manifest(
            stage="staging.x", fingerprint=name, components=Components(), files={}, hashes={}, accounts=(account,),
            seconds=0,
        )  # fmt: skip
        commit(workspace, aside.parent, quarantine, made)
        listed = json.loads((root / "manifests" / "staging.x.json").read_text())["files"]
        there = [path for folder in ("staging", "quarantine") for path in (root / folder).rglob("*") if path.is_file()]
        assert sorted(listed) == sorted(str(path.relative_to(root)) for path in there)
        return sorted(listed)

    (tmp_path / "bad").write_text("record 7")
    assert run("a", tmp_path / "bad") == ["quarantine/staging.x.parquet", "staging/x/deep/a"]
    assert run("b", None) == ["staging/x/deep/b"]
