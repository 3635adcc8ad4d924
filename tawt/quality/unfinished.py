"""Whether a run that is at work, or was broken off, is as it was written: it has no list of hashes yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tawt.contracts.dataset import VOCABULARY
from tawt.contracts.run import METRICS, Unfinished, names_its_step, read_unfinished
from tawt.errors import CheckpointError
from tawt.files import read_json, stamp
from tawt.seals import LIST, UNFINISHED, holds, lines_hold, sha256_file

_SEALED = ("config.yaml", "versions.json", "packages.txt", "README.md", "best/best.json")
_TRIES = 100
Seen = TypeVar("Seen")


def changed_unlisted(run: Path) -> list[Path]:
    """Return the files of a run without a list that are not as they were written, or are gone.

    Each is sealed for itself, and `unfinished.json` names those that stay. Where that is not there, no more than the
    first files of a run are: one that has made a step had it, and one that has ended has a list.
    """
    try:
        told = read_unfinished(run)
    except CheckpointError:
        return [run / UNFINISHED]
    checkpoints = run / "checkpoints"
    steps = sorted(checkpoints.glob("step-*"))
    if told is None and (steps or (run / "model.safetensors").exists()):
        return [run / LIST]
    wrong = [path for name in told.files if not (path := run / name).is_file()] if told is not None else []
    best = sorted((run / "best").glob("step-*.safetensors"))
    sealed = [run / name for name in _SEALED]
    wrong += [path for path in (*sealed, *best) if path.exists() and not (path.is_file() and holds(path))]
    wrong += [path for path in best if path not in wrong and not names_its_step(path)]
    if not _metrics_hold(run / METRICS, told):
        wrong.append(run / METRICS)
    if (vocabulary := run / VOCABULARY).is_file() and (about := read_json(run / "versions.json")) is not None:
        wrong += [vocabulary] if about.get("vocabulary") != sha256_file(vocabulary) else []
    latest, names = checkpoints / "latest", [f"{path.name}\n".encode() for path in steps]
    return wrong + ([latest] if latest.is_file() and latest.read_bytes() not in names else [])


def _metrics_hold(metrics: Path, told: Unfinished | None) -> bool:
    if not metrics.is_file():
        return True  # what was there is named in the record
    return lines_hold(metrics) and (told is None or told.lines_hold(metrics))


def at_rest(root: Path, look: Callable[[], Seen]) -> Seen:
    """Look at runs until none of them has made a checkpoint, begun or ended meanwhile: those at work may."""
    for _ in range(_TRIES):
        before = _marks(root)
        seen = look()
        if before == _marks(root):
            break
    return seen


def _marks(root: Path) -> dict[Path, tuple[int, ...]]:
    names = (LIST, UNFINISHED, "latest", "config.yaml")
    return {path: stamp(path) for name in names for path in root.rglob(name)}
