"""What marks a folder as a workspace, for whoever must not write in one."""

from __future__ import annotations

from pathlib import Path

from tawt.contracts.layers import LAYERS
from tawt.errors import ConfigError, FileError, closest
from tawt.places import real
from tawt.seals import SAYS
from tawt.shell import command

PIPELINE = "pipeline.yaml"
EVALUATIONS, AUDITS, RISKS = "evaluations", "audits", "risks"
"""Folders of what `tawt evaluate`, `tawt audit` and `tawt risk` write, one a label set."""
EVALUATION = "evaluation.json"
"""File of one evaluation that has all that it found."""
HOSPITAL = "hospital.json"
"""Which invented hospital the raw tables of a demo are."""


CARRIED = "carried"
"""Folder of what is made of a workspace's events with vocabularies of other places: a folder of each, by its hash."""


def origin_of(root: Path) -> Path | None:
    """Return the workspace whose events a folder of `carried/` is made of; None of a workspace that has its own."""
    above = root.parent.parent
    return above if root.parent.name == CARRIED and (above / PIPELINE).is_file() else None


def home_of(root: Path, stage: str) -> Path:
    """Return the workspace that holds a stage: what is carried is made of events that it does not hold."""
    layer = LAYERS.get(stage.partition(".")[0])  # None of a name that is no stage's
    return (origin_of(root) or root) if layer is not None and layer.command == "ingest" else root


def is_outside(place: Path) -> bool:
    """Return whether a place lies in no workspace, which says by itself who may look into it.

    What tells of people is the owner's alone there.

    Raises:
        FileError: A folder above it may not be looked into.
    """
    return not any(is_workspace(root) for root in real(place).parents)


def is_workspace(root: Path) -> bool:
    """Return whether a folder was made by tawt as a workspace: its pipeline or its invented hospital says so.

    Raises:
        FileError: It may not be looked into.
    """
    marks = [root / name for name in (PIPELINE, HOSPITAL)]
    try:
        return any(mark.is_file() and SAYS.encode() in mark.read_bytes() for mark in marks)
    except PermissionError:
        what = "may not be looked into by this user, expected a folder that may"
        raise FileError(str(root), what, "give the right to, or run as its owner") from None


def hold_workspace(root: Path) -> None:
    """Hold that a folder is one that a name is looked for in: a workspace, or what a training needs of one.

    Raises:
        ConfigError: There is no folder, or nothing of a workspace in it.
    """
    marks = (PIPELINE, HOSPITAL, "dataset", "runs", "labels")
    if any((root / mark).exists() for mark in marks):
        return
    beside = [path.parent.name for mark in marks for path in root.parent.glob(f"*/{mark}")]
    what = "holds nothing of a workspace" if root.is_dir() else "is no folder"
    make = f"`{command('ingest', 'RAW_DIR', pipeline='NAME', workspace=root)}` makes one"
    raise ConfigError(str(root), f"{what}, expected a workspace", closest(root.name, beside) or make)
