"""Which dataset a run reads: the workspace's own, or one that its events are carried into, which is told and made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tawt.contracts.workspace import PIPELINE
from tawt.dataset.place import carried_place, is_written_in, place_of
from tawt.errors import DatasetError
from tawt.runs.load import read_saved
from tawt.shell import command


def place_for(
    workspace: Path,
    run: Path,
    tell: Callable[[dict[str, Any]], None],
    stale_ok: bool = False,
    makes: bool = True,
    dry_run: bool = False,
) -> Path:
    """Return the folder whose `dataset/` a run reads.

    Args:
        workspace: Whose subjects.
        run: The run folder, or a shared model.
        tell: Hears notes, before anything is computed.
        stale_ok: Whether events may be older than what they were made from.
        makes: Whether what is not there is made; else it is as if it were.
        dry_run: Whether nothing may be made: then what is needed must be there.

    Raises:
        CheckpointError: The run is absent or broken.
        DatasetError: It is not there, and nothing may be made.
        StaleError: The events are older than what they were made from.
        TawtError: As of `carry`.
    """
    saved = read_saved(run)
    if saved.unfinished:
        tell({"event": "note", "text": saved.unfinished})
    vocabulary = saved.vocabulary
    place = place_of(workspace, vocabulary.sha256, vocabulary.content)
    own = place == workspace and is_written_in(workspace, vocabulary)
    # without its pipeline there are no events to carry: whoever opens the dataset tells what is wrong
    if own or (place == workspace and not (workspace / PIPELINE).is_file()):
        return workspace
    if not makes:
        return carried_place(workspace, vocabulary.content)
    from tawt.commands.carry import carry  # with the engine, which a machine that trains may lack

    if (workspace / PIPELINE).is_file():
        result = carry(workspace, run, stale_ok=stale_ok, dry_run=dry_run, report=_notes(tell, dry_run))
        if dry_run and result.made:
            raise DatasetError(
                str(workspace), f"is not yet in the vocabulary of {result.of}, expected it: a dry run makes nothing",
                f"`{command('carry', run, workspace=workspace)}`",
            )  # fmt: skip
        for line in result.lines():
            tell({"event": "note", "text": line})
        return result.place
    return place


def place_read(workspace: Path, run: Path) -> Path:
    """Return the folder whose `dataset/` a run reads, as things are: nothing is made.

    Raises:
        CheckpointError: The run is absent or broken.
    """
    vocabulary = read_saved(run).vocabulary
    return place_of(workspace, vocabulary.sha256, vocabulary.content)


def _notes(tell: Callable[[dict[str, Any]], None], dry_run: bool) -> Callable[[dict[str, Any]], None]:
    """Hear the stages; only what a person is to know is told further."""

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            tell(event)
        elif event["event"] == "done" and event["reason"] is not None and not dry_run:
            tell({"event": "note", "text": f"carried: {event['stage']} ({event['reason']})"})

    return hear
