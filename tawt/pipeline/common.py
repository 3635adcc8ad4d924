"""What processes that share a run out have in common: where each finds what the others made, and leaves what it made.

One way is a folder that all see: the workspace itself. Another is a store that each brings it from and sends it to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from tawt.files import ASIDE, digest
from tawt.pipeline.board import Board, BoardInFolder
from tawt.pipeline.each_shard import HANDED_IN
from tawt.pipeline.letting_go import finish, let_go
from tawt.pipeline.manifest import Manifest, read_manifest
from tawt.pipeline.plan import Plan
from tawt.pipeline.presence import PARTS, Part
from tawt.pipeline.step import Step
from tawt.pipeline.workspace import Workspace
from tawt.places import remove
from tawt.sources.graph import Graph

SHARES = ".shares"
"""Folder, in that of what is handed in of a stage, that tells which shares are whole."""


class Common(Protocol):
    """What those who make a plan together have in common."""

    @property
    def board(self) -> Board:
        """Where each tells that it is at work."""

    @property
    def longest_poll_seconds(self) -> float:
        """How long who waits looks away at most."""

    def there(self, graph: Graph) -> Mapping[str, Manifest | None]:
        """Return what is finished of stages when a plan is made."""

    def hold(self, plan: Plan) -> None:
        """Hold that a plan is the one that was prepared."""

    def forget_left(self, part: Part) -> None:
        """Remove what who was a part before left."""

    def as_now(self, step: Step) -> Step:
        """Return a step as it is by now: another process may have made it."""

    def bring(self, stages: Collection[str], there: Mapping[str, Manifest]) -> None:
        """Bring the files of stages here, of those that are there."""

    def made(self, manifest: Manifest, anew: bool = False) -> Manifest:
        """Leave a stage that was made here where others find it, and return which one counts.

        Args:
            manifest: Of the stage.
            anew: Whether it was made again though it was there.
        """

    def shares(self, step: Step, n: int) -> set[int]:
        """Return which parts of so many have handed their share of a stage in."""

    def begin_share(self, step: Step) -> Callable[[], None]:
        """Get ready to make a share of a stage; return what is called after each shard."""

    def end_share(self, step: Step, part: Part) -> None:
        """Tell others that a share is whole."""

    def bring_shares(self, step: Step) -> None:
        """Bring what was handed in of a stage here."""

    def let_go(self, manifest: Manifest) -> Manifest:
        """Let go of a stage, and return what is there of it then."""

    def close(self, plan: Plan) -> None:
        """Leave what tells of the whole where others find it."""


class SharedFolder:
    """The workspace itself, in a folder that all see.

    Args:
        workspace: As it is written down.
    """

    longest_poll_seconds = 2.0

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.board: Board = BoardInFolder(workspace.aside / PARTS)

    def there(self, graph: Graph) -> Mapping[str, Manifest | None]:
        return {}

    def hold(self, plan: Plan) -> None:
        """All have the same project, records and raw tables."""

    def forget_left(self, part: Part) -> None:
        for left in self._workspace.spill.parent.glob(f"{part.name}-*"):
            if left != self._workspace.spill:
                remove(left)

    def as_now(self, step: Step) -> Step:
        return step.as_of(read_manifest(self._workspace, step.stage.name))

    def bring(self, stages: Collection[str], there: Mapping[str, Manifest]) -> None:
        """They are here."""

    def made(self, manifest: Manifest, anew: bool = False) -> Manifest:
        return manifest

    def shares(self, step: Step, n: int) -> set[int]:
        place = self._workspace.root / handed_in(step) / SHARES
        return {i for i in range(1, n + 1) if (place / Part(i, n).name).is_file()}

    def begin_share(self, step: Step) -> Callable[[], None]:
        return lambda: None

    def end_share(self, step: Step, part: Part) -> None:
        mark_share(self._workspace.root, step, part)

    def bring_shares(self, step: Step) -> None:
        """They are here."""

    def let_go(self, manifest: Manifest) -> Manifest:
        return let_go(self._workspace, manifest)

    def close(self, plan: Plan) -> None:
        """It is written where all see it; what a close that was killed left is removed."""
        finish(self._workspace.root)


class Here(SharedFolder):
    """The workspace, where nobody else is at work: nothing comes that was not there when the plan was made."""

    def as_now(self, step: Step) -> Step:
        return step


def key_of(step: Step) -> str:
    """Return the hash of all that a stage is made from, by which processes know that they make the same."""
    return digest(step.components.model_dump())


def handed_in(step: Step) -> str:
    """Return the folder, below the workspace, that shards of a stage are handed in to."""
    return f"{ASIDE}/{step.stage.name}-{key_of(step)}{HANDED_IN}"


def mark_share(root: Path, step: Step, part: Part) -> None:
    """Write down that a share is whole."""
    whole = root / handed_in(step) / SHARES / part.name
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.touch()
