"""The plan of a run: made once, before anything is written; what it says is what the run does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import tawt
from tawt.errors import StageError
from tawt.raw import find

QUICK = {"threads": 1, "memory_limit": "500MB"}


def test_raw_tables_are_looked_for_once(hospital, own_workspace: Path, monkeypatch) -> None:
    """An ingest finds, hashes and holds each table to its contract once, and plans and runs with what it found."""
    looked: Counter[str] = Counter()
    real = find.identify

    def counted(pool, root, paths, *more):
        looked.update(path.name for path in paths)
        return real(pool, root, paths, *more)

    monkeypatch.setattr(find, "identify", counted)
    for options in ({"dry_run": True}, {"dry_run": False, "settings": ("shards=3",)}):
        looked.clear()
        tawt.ingest(hospital.raw, "demo", own_workspace, **options, **QUICK)
        assert looked["labevents.csv.gz"] == 1 and set(looked.values()) == {1}


def test_a_dry_run_ends_with_the_plan_that_the_run_follows(own_workspace: Path, tree) -> None:
    """It names the stages, in order, with the reasons that the run then has, and writes nothing."""
    before = tree(own_workspace)
    foreseen = tawt.build_vocab(own_workspace, settings=("clock=available_time",), dry_run=True, **QUICK)
    assert foreseen.dry_run and tree(own_workspace) == before
    done = tawt.build_vocab(own_workspace, settings=("clock=available_time",), **QUICK)
    reasons = [(one.stage, one.reason) for one in done.stages]
    assert [(one.stage, one.reason) for one in foreseen.stages] == reasons
    assert [name for name, reason in reasons if reason is not None] == ["triplets", "dataset"]


def test_what_a_later_stage_lacks_is_told_before_anything_runs(own_workspace: Path, tree) -> None:
    """A selection with a hole in it is refused with the command that fills it, and its first stages are not made anew."""
    (own_workspace / "manifests" / "triplets.json").unlink()
    before = tree(own_workspace)
    with pytest.raises(StageError, match="dataset: needs triplets, which is not there") as refused:
        tawt.run("vocabulary,dataset", own_workspace, force=True, **QUICK)
    assert "tawt run +dataset" in refused.value.hint
    assert tree(own_workspace) == before
