"""Every file of a workspace against the hash that was written with it: one flipped bit anywhere is found."""

from __future__ import annotations

from pathlib import Path

from tawt.contracts.dataset import THREADS
from tawt.contracts.workspace import HOSPITAL
from tawt.files import read_json
from tawt.pipeline.check_unfinished import at_rest, changed_unlisted
from tawt.pipeline.finding import Finding
from tawt.pipeline.ledger import Standing
from tawt.pipeline.workspace import (
    INGEST,
    LEDGER,
    LOCAL,
    LOCK,
    OF_STAGES,
    OWN_FOLDERS,
    RECORDS,
    Workspace,
)
from tawt.places import real
from tawt.seals import LATER, LIST, UNFINISHED, changed_files, files_below, holds, listed_files, sha256_file

_OF_RUNS = ("config.yaml", "model.safetensors", "checkpoints")
"""What a folder has that is a run."""
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
    wrong = [f"{name} is missing or damaged" for one in stages for name in one.torn]
    wrong += [f"{file} is missing or changed" for files in changed.values() for file in files]
    wrong += [f"{one.stage.name} is behind {', '.join(one.behind)}" for one in stages if one.manifest and one.behind]
    listed = {root / name for one in stages if one.manifest is not None for name in one.manifest.files}
    listed |= {workspace.manifest(one.stage.name) for one in stages}
    alien = [path for folder in OF_STAGES for path in files_below(root / folder) if path not in listed]
    wrong += [
        f"manifests/{one.stage.name}.json is missing"
        for one in stages
        if one.manifest is None and not one.torn and _has_files(workspace, one.stage.name)
    ]
    embedded = [path for path in files_below(root / "embeddings") if not _is_aside(path)]
    return [
        _finding("stages", wrong or ([] if whole else ["none is finished"]), f"{len(whole)} finished, as written"),
        _finding(
            "files",
            [f"{path.relative_to(root).as_posix()} is of no finished stage" for path in alien]
            + [f"{name} is none of tawt's" for name in _strangers(root)],
            "none that no stage lists",
        ),
        _finding("records", _records(root, bool(whole)), "as they were written"),
        at_rest(root / "runs", lambda: _runs(root)),
        _finding(
            "embeddings",
            [
                f"{path.relative_to(root).as_posix()} is not as it was written"
                for path in embedded
                if path.suffix != ".parquet" or not path.is_file() or not holds(path)
            ],
            "as they were written",
        ),
    ], whole


def _has_files(workspace: Workspace, stage: str) -> bool:
    return bool(files_below(workspace.output(stage))) or workspace.quarantine(stage).exists()


def _is_aside(path: Path) -> bool:
    """Whether a file is a lock, or being written aside."""
    return path.name.startswith(".") and path.name.endswith((LOCK, ".tmp", ".tmp.old"))


def _strangers(root: Path) -> list[str]:
    """Return what lies at the root of a workspace, or between its runs, and is nothing that tawt puts there."""
    known = {*RECORDS, THREADS, *OWN_FOLDERS}
    # raw tables may be kept in the workspace, and those of a demo are
    raw = Path(str((read_json(root / LOCAL) or {}).get("raw_root")))
    known |= {raw.relative_to(real(root)).parts[0]} if raw != real(root) and raw.is_relative_to(real(root)) else set()
    known |= {"raw"} if (root / HOSPITAL).is_file() else set()
    odd = [path for path in root.iterdir() if path.name not in known]
    odd += [path for path in (root / "runs").glob("*") if not path.is_dir()]
    return sorted(path.relative_to(root).as_posix() for path in odd if not _is_aside(path))


def _finding(check: str, wrong: list[str], good: str) -> Finding:
    more = f", and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    return Finding(check, not wrong, "; ".join(wrong[:_SHOWN]) + more if wrong else good)


def _changed(workspace: Workspace, one: Standing) -> list[str]:
    assert one.manifest is not None
    hashes = one.manifest.hashes
    return [name for name in one.manifest.files if sha256_file(workspace.root / name) != hashes.get(name)]


def _records(root: Path, finished: bool) -> list[str]:
    there = [name for name in (*RECORDS, THREADS) if (root / name).exists()]
    wrong = [
        f"{name} is not as it was written" for name in there if not (root / name).is_file() or not holds(root / name)
    ]
    return wrong + [f"{name} is missing" for name in (INGEST, LEDGER) if finished and name not in there]


def _runs(root: Path) -> Finding:
    """Hold runs, those of sweeps too, and checkpoints to their lists of files; an unfinished run has none."""
    wrong: list[Path] = []
    alien: list[Path] = []
    found = (path.parent for name in (*_OF_RUNS, LIST) for path in (root / "runs").rglob(name))
    runs = sorted({path for path in found if path.parent.name != "checkpoints"})
    n_unfinished = 0
    for run in runs:
        if listed_files(run) is None:
            n_unfinished += 1
            wrong += changed_unlisted(run)
        steps = sorted((run / "checkpoints").glob("step-*"))
        alien += [
            path
            for path in (run / "checkpoints").glob("*")
            if path not in steps and path.name != "latest" and not _is_aside(path)
        ]
        inner = [other for other in runs if other != run and other.is_relative_to(run)]
        for folder in (run, *steps):
            own = listed_files(folder)
            if own is None:
                wrong += [folder / LIST] if folder in steps else []
                continue
            wrong += [folder / name for name in changed_files(folder) or ()]
            for path in files_below(folder):
                name = path.relative_to(folder)
                of_another = any(path.is_relative_to(other) for other in inner)
                listed = name.as_posix() in {*own, LIST, UNFINISHED} or _is_aside(path)
                # figures are the user's, checkpoints have lists of their own
                if not listed and name.parts[0] not in (LATER, "checkpoints") and not of_another:
                    alien.append(path)
    unfinished = f", {n_unfinished} of them not finished" if n_unfinished else ""
    told = [f"{path.relative_to(root).as_posix()} is missing or changed" for path in sorted(set(wrong))]
    told += [f"{path.relative_to(root).as_posix()} is in no list of its run" for path in sorted(set(alien))]
    return _finding("runs", told, f"{len(runs)}, as they were written{unfinished}")
