"""What a run that is not finished tells of itself: that it is not, and which of its files stay until it says otherwise.

A finished run lists its files by their hashes. Those of one that is at work, or was broken off, change: each holds a
seal of its own, and the record here names them, so that one that is gone is missed. Whoever trains writes first what is
new, then the record, and removes then what is old: a kill anywhere leaves every file that the record names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path

from pydantic import Field

from tawt.config.base import Section
from tawt.errors import CheckpointError
from tawt.files import write_sealed
from tawt.places import Below, is_under
from tawt.readers import read_record
from tawt.seals import UNFINISHED, is_listed

METRICS = "metrics.jsonl"
_BEGUN = re.compile(rb'\{"step": ([0-9]{1,10}),')
"""What a line of metrics begins with, whatever became of its end."""


class Unfinished(Section):
    """What `unfinished.json` says."""

    step: int = Field(ge=0)
    """Steps made when it was written, by a checkpoint that stays."""
    metrics: str
    """SHA-256 of the lines of metrics up to this step."""
    files: tuple[Below, ...]
    """Files that stay."""

    def lines_hold(self, metrics: Path) -> bool:
        """Return whether a run has the lines of metrics that it had then, or none: whose file was moved begins anew.

        A run that had none before its first step may have some of no step since.
        """
        now = metrics_until(metrics, self.step)
        return now in (self.metrics, _NONE) or (not self.step and self.metrics == _NONE)


def say_unfinished(run: Path, step: int, gone: Collection[Path] = (), promise: bool = True) -> None:
    """Write that a run is not finished, as it is after `step` steps.

    Args:
        run: The run folder.
        step: Steps made.
        gone: Files and folders that will be removed then.
        promise: Whether the files that are there stay; those that are about to be written do not.
    """
    names = sorted(path.relative_to(run) for path in run.rglob("*") if path.is_file()) if promise else []
    leave = {path.relative_to(run).as_posix() for path in gone}
    files = [n for path in names if is_listed(path) and (n := path.as_posix()) not in leave and not is_under(n, leave)]
    write_sealed(run / UNFINISHED, {"step": step, "metrics": metrics_until(run / METRICS, step), "files": files})


def read_unfinished(run: Path) -> Unfinished | None:
    """Return what a run says that is not finished; None where it does not.

    Raises:
        CheckpointError: The record is damaged, or none of ours.
    """
    path, hint = run / UNFINISHED, "take it from a copy, or move it away"
    return read_record(path, Unfinished, hint, CheckpointError, sealed=True) if path.exists() else None


def metrics_until(path: Path, step: int) -> str:
    """Return the SHA-256 of the whole lines of a metrics file up to a step; one that is not there has none."""
    digest = hashlib.sha256()
    for line in path.read_bytes().split(b"\n")[:-1] if path.is_file() else ():
        begun = begun_step(line)
        if begun is None or begun <= step:
            digest.update(line + b"\n")
    return digest.hexdigest()


_NONE = hashlib.sha256().hexdigest()
"""What `metrics_until` tells of no line."""


def begun_step(line: bytes) -> int | None:
    """Return the step of a line of metrics, which may be cut short behind it."""
    begun = _BEGUN.match(line)
    return int(begun[1]) if begun else None


def names_its_step(weights: Path) -> bool:
    """Return whether a file of the best weights says that it is of the step that it is named after."""
    try:
        with weights.open("rb") as file:
            head = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 1 << 24)))
        return weights.stem in head["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
