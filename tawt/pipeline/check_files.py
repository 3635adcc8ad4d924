"""Every file of a workspace against the hash that was written with it: one flipped bit anywhere is found."""

from __future__ import annotations

from pathlib import Path

from tawt.contracts.dataset import THREADS
from tawt.errors import FileError
from tawt.pipeline.check_meds import Finding
from tawt.pipeline.commit import LAYERS
from tawt.pipeline.ledger import Standing
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.workspace import LEDGER, RECORDS, Workspace
from tawt.readers import read_record
from tawt.seals import LIST, changed_files, holds, sha256_file

_FOLDERS = (*LAYERS, "events", "vocabulary", "triplets", "dataset", "quarantine", "manifests")
"""Folders that hold what manifests list, and nothing else."""
_SHOWN = 5


def check_files(workspace: Workspace, stages: list[Standing]) -> tuple[list[Finding], set[str]]:
    """Hold every file to its hash.

    Args:
        workspace: Where.
        stages: Of its pipeline.

    Returns:
        One finding per kind of file, and the stages whose files are as they were written.
    """
    root = workspace.root
    changed = {one.stage.name: _changed(workspace, one) for one in stages if one.manifest is not None}
    whole = {one.stage.name for one in stages if one.stands and not changed[one.stage.name]}
    wrong = [
        f"{name} is missing or damaged" for one in stages if one.manifest is None for name in _damaged(workspace, one)
    ]
    wrong += [f"{file} is missing or changed" for files in changed.values() for file in files]
    wrong += [f"{one.stage.name} is behind {', '.join(one.behind)}" for one in stages if one.manifest and one.behind]
    listed = {root / name for one in stages if one.manifest is not None for name in one.manifest.files}
    listed |= {workspace.manifest(one.stage.name) for one in stages}
    alien = [path for folder in _FOLDERS for path in sorted((root / folder).rglob("*")) if path.is_file()]
    return [
        _finding("stages", wrong or ([] if whole else ["none is finished"]), f"{len(whole)} finished, as written"),
        _finding(
            "files",
            [f"{path.relative_to(root).as_posix()} is of no finished stage" for path in alien if path not in listed],
            "none that no stage lists",
        ),
        _finding("records", _records(root, bool(whole)), "as they were written"),
        _runs(root),
        _finding(
            "embeddings",
            [
                f"{path.relative_to(root).as_posix()} is not as it was written"
                for path in sorted((root / "embeddings").rglob("*.parquet"))
                if not holds(path)
            ],
            "as they were written",
        ),
    ], whole


def _finding(check: str, wrong: list[str], good: str) -> Finding:
    more = f", and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    return Finding(check, not wrong, "; ".join(wrong[:_SHOWN]) + more if wrong else good)


def _changed(workspace: Workspace, one: Standing) -> list[str]:
    assert one.manifest is not None
    return [name for name, sha256 in one.manifest.hashes.items() if sha256_file(workspace.root / name) != sha256]


def _damaged(workspace: Workspace, one: Standing) -> list[str]:
    """Return what makes a stage that was finished stand for nothing: its manifest, or files that it lists."""
    path = workspace.manifest(one.stage.name)
    if not path.exists():
        return []
    try:
        sizes = read_record(path, Manifest).files if holds(path) else {}
    except (FileError, OSError):
        sizes = {}
    places = {name: workspace.root / name for name in sizes}
    torn = [name for name, file in places.items() if not file.is_file() or file.stat().st_size != sizes[name]]
    return torn or [path.relative_to(workspace.root).as_posix()]


def _records(root: Path, finished: bool) -> list[str]:
    there = [name for name in (*RECORDS, THREADS) if (root / name).exists()]
    wrong = [
        f"{name} is not as it was written" for name in there if not (root / name).is_file() or not holds(root / name)
    ]
    return wrong + [f"{LEDGER} is missing" for _ in range(finished and LEDGER not in there)]


def _runs(root: Path) -> Finding:
    """Hold runs, those of sweeps too, and checkpoints to their lists of files; an unfinished run has none."""
    wrong: list[str] = []
    found = (path.parent for name in ("config.yaml", LIST, "checkpoints") for path in (root / "runs").rglob(name))
    runs = sorted({path for path in found if path.parent.name != "checkpoints"})
    n_unfinished = 0
    for run in runs:
        changed = changed_files(run)
        n_unfinished += changed is None
        wrong += [f"{(run / name).relative_to(root).as_posix()} is missing or changed" for name in changed or ()]
        for step in sorted((run / "checkpoints").glob("step-*")):
            of_step = [LIST] if (found_there := changed_files(step)) is None else found_there
            wrong += [f"{(step / name).relative_to(root).as_posix()} is missing or changed" for name in of_step]
    unfinished = f", {n_unfinished} of them not finished" if n_unfinished else ""
    return _finding("runs", sorted(set(wrong)), f"{len(runs)}, as they were written{unfinished}")
