"""Folders of any name, and workspaces that cannot be written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import tawt
from tawt.hospital.invent import write_hospital

QUICK = {"threads": 1, "memory_limit": "500MB"}
LABS = "off=[staging.icustays, event_parts.icustays, staging.chartevents, event_parts.chart, event_parts.lab_specimens]"
ODD = "a [1]*?'\"x\n{b} \u00fc,%c"


def test_folders_of_any_name_work(tmp_path: Path) -> None:
    """Brackets, glob characters, quotes, blanks, line ends and letters of any alphabet in the names of raw folder and
    workspace, beside a folder that such a name would match as a pattern."""
    raw, work = tmp_path / ODD / "raw[s]", tmp_path / ODD / "w[0-9]"
    write_hospital(raw, n_subjects=10, seed=2)
    shutil.copytree(raw, tmp_path / ODD / "raws")
    tawt.ingest(raw, "demo", work, settings=LABS, **QUICK)
    shutil.copytree(work, tmp_path / ODD / "w0")
    tawt.build_vocab(work, **QUICK)
    assert [finding for finding in tawt.check(work) if not finding.ok] == []
    straight = tmp_path / "straight"
    tawt.ingest(tmp_path / ODD / "raws", "demo", straight, settings=LABS, **QUICK)
    n = "select count(*) n from events"
    assert tawt.query(n, work).to_pylist() == tawt.query(n, straight).to_pylist()
    from tawt.commands.rejected import quarantined

    assert quarantined("staging.labevents", work).num_rows > 0


def test_a_workspace_that_cannot_be_written_can_be_read(finished: Path, tree, tawt, monkeypatch) -> None:
    """The commands that only look write nothing into the workspace; those that would write say why they cannot."""
    before = tree(finished)

    def look(*words: object) -> None:
        ended = tawt(*words, "-w", finished)
        assert ended.code == 0, ended.err

    look("stages")
    look("show", "staging.labevents")
    look("show", "staging.labevents", "--quarantine")
    look("query", "select * from events order by random()", "--memory-limit", "60MB", "--format", "csv")
    look("check")
    look("run", "events", "--dry-run")
    assert tree(finished) == before

    real = os.open

    def refused(path, flags: int, *rest, **more) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refused)
    ended = tawt("run", "events", "-w", finished)
    assert ended.code == 1 and ".lock: Read-only file system, expected to read or write it" in ended.error
