"""`versions.json` of a run folder: what a run was made with, and the weights that it was begun from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tawt.config.base import Section
from tawt.errors import CheckpointError
from tawt.files import write_sealed
from tawt.readers import read_record

VERSIONS = "versions.json"


class Start(Section):
    """The weights that a run was begun from."""

    weights: str
    """Their file, as seen from the run folder."""
    sha256: str
    """Of their bytes."""


class MadeWith(Section):
    """What steps were made with."""

    packages: dict[str, str]
    """Package -> version."""
    python: str
    machine: str
    """The kind of processor."""
    device: str
    precision: str
    threads: int
    processes: int
    seed: int
    reasons: dict[str, str]
    """Why the device, the precision and the threads are what they are."""
    vocabulary: str | None = None
    """Hash of the vocabulary."""
    read: str | None = None
    """Hash of the records that are read, of train and tuning."""
    stale: str | None = None
    """Why the dataset was older than what it was made from, where training on it was wanted."""
    init: Start | None = None


class Earlier(MadeWith):
    """What the steps before a resumption were made with, where that was something else."""

    until_step: Annotated[int, Field(ge=0)]


class Versions(MadeWith):
    """What the latest steps of a run were made with, and those before."""

    earlier: tuple[Earlier, ...] = ()
    """Oldest first."""

    def since(self, step: int, before: Versions) -> Versions:
        """Return these for a run that goes on after `step` steps, where `before` tells what its steps were made with.

        What was made of later ones, before a run was taken up again from an earlier checkpoint, is made anew.
        """
        stays = tuple(part for part in before.earlier if part.until_step < step)
        maker: MadeWith = next((part for part in before.earlier if part.until_step >= step), before)
        made = Earlier(until_step=step, **maker.model_dump(exclude={"earlier", "until_step"}))
        alike = MadeWith.model_fields.keys() - {"reasons", "init"}
        same = self.model_dump(include=alike) == made.model_dump(include=alike)
        return self.model_copy(update={"init": before.init, "earlier": stays if same else (*stays, made)})


def read_versions(run: Path) -> Versions | None:
    """Return what a run was made with; None where its folder does not say.

    Raises:
        CheckpointError: The file is damaged, or of another tawt.
    """
    path = run / VERSIONS
    if not os.path.lexists(path):
        return None
    return read_record(path, Versions, "take it from a copy, or move it away", CheckpointError, sealed=True)


def write_versions(run: Path, versions: Versions) -> None:
    """Write what a run is made with."""
    write_sealed(run / VERSIONS, versions.model_dump(mode="json", exclude_defaults=True))
