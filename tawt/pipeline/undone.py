"""What a command that makes stages set out to do, written down while it is at work: what stays of it did not end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tawt.config.base import Section, one_or_more
from tawt.errors import FileError, TawtError
from tawt.files import write_sealed
from tawt.pipeline.origin import ingest_again
from tawt.pipeline.workspace import UNDONE, Workspace, manifest_path
from tawt.places import remove
from tawt.readers import read_record
from tawt.seals import sha256_file
from tawt.shell import command

_NAMED = 3


@dataclass(frozen=True)
class Asked:
    """The command that makes stages, as it was typed."""

    name: str = "run"
    words: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


class Undone(Section):
    """What the last such command set out to make."""

    name: str
    words: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    stages: dict[str, str] = {}
    """Stage -> its manifest's hash as it was; empty where there was none."""
    failed: str = ""
    """What ended it, in words; empty where nobody could say."""

    def left(self, root: Path) -> list[str]:
        """The stages that have not been made since."""
        return [stage for stage, before in self.stages.items() if _known(root, stage) in (before, "")]


def read_undone(workspace: Workspace) -> Undone | None:
    """Return what was not ended; None where all was.

    Raises:
        FileError: The record is damaged.
    """
    path = workspace.root / UNDONE
    return read_record(path, Undone, ingest_again(workspace), sealed=True) if path.is_file() else None


def begin(workspace: Workspace, asked: Asked, stages: Iterable[str]) -> Undone | None:
    """Write down what a command sets out to make, and return what one before it did not end."""
    before = None
    with suppress(FileError):
        before = read_undone(workspace)
    known = {stage: _known(workspace.root, stage) for stage in stages}
    if known:
        # what was left is still to be made by whoever is asked for it again
        kept = {stage: before.stages[stage] for stage in before.left(workspace.root)} if before is not None else {}
        now = Undone(
            name=asked.name, words=asked.words, settings=tuple(one_or_more(asked.settings)), stages=known | kept
        )
        write_sealed(workspace.root / UNDONE, now.model_dump(mode="json"))
    return before


def failed(workspace: Workspace, error: BaseException) -> None:
    """Write down what ended a command, where it can be said and there is room for it."""
    with suppress(TawtError, OSError):
        if isinstance(error, TawtError) and (undone := read_undone(workspace)) is not None:
            told = undone.model_copy(update={"failed": str(error)})
            write_sealed(workspace.root / UNDONE, told.model_dump(mode="json"))


def end(workspace: Workspace, before: Undone | None, done: Collection[str], known: Collection[str]) -> None:
    """Write down that a command ended.

    Args:
        workspace: Where.
        before: What one before it did not end.
        done: The stages that are made now.
        known: All stages that there are.
    """
    path = workspace.root / UNDONE
    left = [stage for stage in (before.left(workspace.root) if before is not None else ()) if stage not in done]
    if before is not None and (left := [stage for stage in left if stage in known]):
        kept = before.model_copy(update={"stages": {stage: before.stages[stage] for stage in left}})
        write_sealed(path, kept.model_dump(mode="json"))
    elif path.exists():
        remove(path)


def told_undone(workspace: Workspace) -> tuple[str, str] | None:
    """Return what the last command did not end, in words, and the command that does it again; None where all ended."""
    undone = read_undone(workspace)
    left = undone.left(workspace.root) if undone is not None else []
    if undone is None or not left:
        return None
    again = (
        ingest_again(workspace, edited=True, settings=undone.settings)
        if undone.name == "ingest"
        else command(undone.name, *undone.words, workspace=workspace.root, set=undone.settings)
    )
    named = ", ".join(left[:_NAMED]) + (f" and {len(left) - _NAMED} more" if len(left) > _NAMED else "")
    why = undone.failed or f"it was stopped at {left[0]}"
    return f"the last `tawt {undone.name}` did not end ({why}): not made by it: {named}", again


def _known(root: Path, stage: str) -> str:
    path = manifest_path(root, stage)
    return sha256_file(path) if path.is_file() else ""
