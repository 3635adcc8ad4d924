"""What stands of a stage is what its last run made."""

from __future__ import annotations

import json
from pathlib import Path

import tawt
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.account import Account
from tawt.pipeline.commit import commit
from tawt.pipeline.manifest import Components, Manifest
from tawt.pipeline.workspace import Workspace
from tests.unit.conftest import Hospital


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


def test_an_ingest_names_the_settings_of_the_vocabulary_that_go_with_it(
    hospital: Hospital, own_workspace: Path
) -> None:
    """What `build-vocab --set` kept and a new ingest replaces is said, with the command that brings it back."""
    asked = {"threads": 1, "memory_limit": "500MB", "dry_run": True, "settings": ("shards=3",)}
    assert not [note for note in tawt.ingest(hospital.raw, "demo", own_workspace, **asked).notes if "replaces" in note]
    tawt.build_vocab(own_workspace, settings=("vocabulary.min_count=3",), threads=1, memory_limit="500MB")
    (note,) = [note for note in tawt.ingest(hospital.raw, "demo", own_workspace, **asked).notes if "replaces" in note]
    assert "min_count 3 -> 5" in note
    assert note.endswith(f"build-vocab -w {own_workspace} --set vocabulary.min_count=3")
