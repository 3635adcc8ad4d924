"""What a run of stages guards against: other versions, leftovers of other inputs, rows that vanish on the way to disk."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tawt
from tawt.builtin import dataset, events, triplets
from tawt.contracts.workspace import is_workspace
from tawt.errors import ConfigError, ContractError, FileError, StageError
from tawt.pipeline import fingerprint
from tawt.pipeline.holding import hold
from tawt.seals import BLANK, filled

QUICK = {"threads": 1, "memory_limit": "500MB"}


@pytest.mark.parametrize("package", ["tawt", "duckdb", "pyarrow", "polars"])
def test_another_version_of_a_package_reruns_every_stage(package: str, own_workspace: Path, monkeypatch) -> None:
    """The bytes depend on the four packages: another version of each of them is a reason of its own for every stage."""
    now = fingerprint.versions()
    monkeypatch.setattr(fingerprint, "versions", lambda: {**now, package: "0.0.1"})
    layers = "staging,codes,event_parts,events,vocabulary,triplets,dataset"
    planned = tawt.run(layers, own_workspace, dry_run=True, **QUICK).stages
    first = {stage.stage: stage.reason for stage in planned}
    assert first["staging.patients"] == "version changed"
    # what follows reads what is made anew: that is said first
    assert all(reason is not None for reason in first.values()) and len(first) > 20


def test_what_other_inputs_left_aside_goes_when_the_stage_runs(own_workspace: Path) -> None:
    """Shards of a run on other inputs, and half-made folders of any stage, are gone after the next command."""
    left = [
        own_workspace / ".aside" / name
        for name in ("events-" + "0" * 16, "staging.labs", "x.old", "triplets-" + "1" * 16)
    ]
    for folder in left:
        (folder / ".done").mkdir(parents=True)
        (folder / "part").write_text("half")
    (own_workspace / ".spill").mkdir()
    for name in (".pipeline.yaml.tmp", "manifests/.events.json.tmp", ".ledger.parquet.tmp"):
        (own_workspace / name).write_text("half")
    tawt.run("events", own_workspace, force=True, **QUICK)
    assert [path.name for path in (own_workspace / ".aside").iterdir()] == ["triplets-" + "1" * 16]
    assert not (own_workspace / ".spill").exists() and list(own_workspace.rglob(".*.tmp")) == []
    tawt.build_vocab(own_workspace, **QUICK)
    assert list((own_workspace / ".aside").iterdir()) == []


def _one_row_less(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.slice(0, len(table) - 1), path)


def test_a_row_of_events_that_is_lost_on_the_way_to_disk_fails_the_stage(own_workspace: Path, monkeypatch) -> None:
    """Events are counted again from the files: one fewer than their parts gave ends the stage, and nothing is published."""
    before = (own_workspace / "manifests" / "events.json").read_bytes()
    real = events.merge_shard

    def loses(parts, ranks, rules, split_of, contract, out, *how):
        result = real(parts, ranks, rules, split_of, contract, out, *how)
        _one_row_less(next(path for path in out.values() if path.exists() and pq.read_metadata(path).num_rows))
        return result

    monkeypatch.setattr(events, "merge_shard", loses)
    with pytest.raises(ContractError, match=r"events: holds [\d,]+ rows, expected [\d,]+ from its parts"):
        tawt.run("events", own_workspace, force=True, **QUICK)
    assert (own_workspace / "manifests" / "events.json").read_bytes() == before
    assert [finding.check for finding in tawt.check(own_workspace) if not finding.ok] == ["last command"]


def test_a_row_of_triplets_that_is_lost_fails_the_stage(own_workspace: Path, monkeypatch) -> None:
    """Triplets are the events and what rules added: one fewer ends the stage, and nothing is published."""
    real = triplets.to_triplets

    def loses(*given):
        table, counts = real(*given)
        return table.slice(0, max(len(table) - 1, 0)), counts

    monkeypatch.setattr(triplets, "to_triplets", loses)
    with pytest.raises(StageError, match=r"triplets: gave [\d,]+ rows from [\d,]+ events and [\d,]+ added"):
        tawt.run("triplets", own_workspace, force=True, **QUICK)
    monkeypatch.undo()
    assert [finding.check for finding in tawt.check(own_workspace) if not finding.ok] == ["last command"]


def test_a_row_of_the_dataset_that_is_lost_fails_the_stage(own_workspace: Path, monkeypatch) -> None:
    """The dataset holds as many rows as the triplets: one fewer ends the stage, and nothing is published."""
    real = dataset.to_dataset

    def loses(*given):
        table, index, n_fallback = real(*given)
        return table.slice(0, max(len(table) - 1, 0)), index, n_fallback

    monkeypatch.setattr(dataset, "to_dataset", loses)
    with pytest.raises(StageError, match=r"dataset: holds [\d,]+ rows, expected the [\d,]+ of triplets"):
        tawt.run("dataset", own_workspace, force=True, **QUICK)
    monkeypatch.undo()
    assert [finding.check for finding in tawt.check(own_workspace) if not finding.ok] == ["last command"]


@pytest.mark.parametrize(
    ("name", "what"), [("ledger.parquet", "file"), ("local.json", "file"), ("staging", "folder"), (".aside", "folder")]
)
def test_what_has_the_name_of_tawts_own_is_refused_before_anything_runs(name: str, what: str, tmp_path: Path) -> None:
    """A folder in the place of a record, or a file in that of a folder, is named, and stays as it is."""
    (tmp_path / "pipeline.yaml").write_text(filled(f"# {BLANK}\n"))
    mine = tmp_path / name / "mine" if what == "file" else tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=rf"{name}: is not a {what}, expected a {what}"), hold(tmp_path):
        raise AssertionError
    assert mine.read_text() == "mine"


def test_a_folder_that_may_not_be_looked_into_is_named_itself(tmp_path: Path, monkeypatch) -> None:
    """And not a file that it may not even have."""

    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(FileError, match=rf"^{tmp_path}: may not be looked into"):
        is_workspace(tmp_path)
