"""`tawt carry`: a workspace's events in the vocabulary of another place's run, told how much of them it knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tawt.builtin.all import all_stages
from tawt.commands.carry_coverage import CarryResult, read_found
from tawt.contracts.basis import basis_of
from tawt.contracts.dataset import VOCABULARY
from tawt.contracts.layers import VOCABULARY_STAGES
from tawt.database.limits import Limits
from tawt.dataset.place import carried_place, is_written_in
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.errors import ConfigError, DatasetError, FileError, StaleError, TawtError
from tawt.pipeline.holding import hold as hold_workspace
from tawt.pipeline.ledger import mend_of, needed, stale_of, standing
from tawt.pipeline.run import Report
from tawt.pipeline.stale import all_in_words
from tawt.pipeline.undone import Asked
from tawt.pipeline.work import make
from tawt.pipeline.workspace import LEDGER, UNDONE, Workspace, open_workspace
from tawt.places import real
from tawt.runs.find import called, find_run, workspace_of
from tawt.runs.load import read_saved
from tawt.seals import LIST, hold
from tawt.shell import command
from tawt.training.versions import read_versions

_LONGEST = 16
"""So many runs, each begun from the one before, are followed."""


def carry(
    workspace: Path,
    run: str | Path,
    *,
    threads: int | None = None,
    memory_limit: str | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report = lambda event: None,
) -> CarryResult:
    """Write the events of a workspace in the vocabulary of a run of another place, and tell how much of them it knows.

    The vocabulary stays as it is. A code is read as the data_type of the same code, name, concept or parent; numbers
    go to its unit where a rule leads there, and are left out where none does. What is made lies in
    WORKSPACE/carried/, is made by the stages of `build-vocab`, and is made anew when events have changed.

    Args:
        workspace: Holds the events.
        run: A run folder, the name of one in WORKSPACE/runs, or a shared model.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        stale_ok: Also from events that are older than what they were made from.
        dry_run: Only say what would be made.
        report: Hears what happens.

    Raises:
        CheckpointError: There is no such run.
        ConfigError: There is no workspace.
        DatasetError: The run has no vocabulary that can be read, or the workspace has that one already.
        StageError: A stage cannot run.
        StaleError: The events are older than what they were made from.
    """
    limits = Limits.of(threads, memory_limit)
    folder, opened = find_run(workspace, run), open_workspace(Path(workspace))
    vocabulary = _vocabulary(folder)
    if is_written_in(opened.root, vocabulary):
        raise DatasetError(
            str(folder), "has the vocabulary of the workspace itself, expected a run of another one",
            f"it reads the workspace as it is: `{command('embed', workspace=opened.root, run=run)}`",
        )  # fmt: skip
    place = carried_place(opened.root, vocabulary.content)
    name = called(opened.root, folder)
    nested = Workspace(place, opened.pipeline)
    home = _home(folder.resolve(), opened.root)
    own = home is not None and real(home) == real(opened.root)
    concepts = {} if own else _concepts(home, vocabulary, nested)
    given = basis_of(vocabulary.content, name, frozen=True, by_code=own, concepts=concepts)
    nested = replace(nested, given_basis=given)
    graph = all_stages(nested)
    there = standing(nested, graph.without_tables(opened.ingested.absent_tables))
    behind = stale_of(needed(there, "events"))
    if behind and not stale_ok:
        raise StaleError(
            str(opened.root / "events"), f"is stale: {all_in_words(behind)}, expected what is made of what is there",
            f"`{mend_of(opened, there, 'events')}` makes it anew; `--stale-ok` takes it as it is",
        )  # fmt: skip
    ended = (place / LEDGER).exists() and not (place / UNDONE).exists()
    stands = ended and all(one.stands for one in there if one.stage.name in VOCABULARY_STAGES)
    if not stands:
        with hold_workspace(opened.root, dry_run):
            asked = Asked("carry", (str(run),))
            make(nested, graph, VOCABULARY_STAGES, limits, False, dry_run, report, asked)
    if dry_run and not stands:
        return CarryResult(place, name, (), (), (), None, (), (), (), (0, 0), True)
    return read_found(nested, name, vocabulary, not stands, () if own else _times(home, folder, opened))


def _vocabulary(folder: Path) -> Vocabulary:
    if not (folder / VOCABULARY).is_file():
        raise ConfigError(str(folder), f"has no {VOCABULARY}, expected a run or a shared model", "give one of both")
    if (folder / LIST).is_file():
        hold(folder, (VOCABULARY,), "take it from a copy", DatasetError)
    return read_vocabulary(folder / VOCABULARY, "take it from a copy")


def _home(run: Path, here: Path) -> Path | None:
    """Return the workspace of the run from which, through others of this workspace, a run was begun; None = unknown."""
    at: Path | None = run
    for _ in range(_LONGEST):
        place = workspace_of(at) if at is not None else None
        if at is None or place is None or real(place) != real(here):
            return place
        made = read_versions(at)
        if made is None or made.init is None:
            return place
        weights = Path(os.path.normpath(at / made.init.weights))
        at = next((above for above in list(weights.parents)[:3] if (above / VOCABULARY).is_file()), weights.parent)
    return None


def _concepts(home: Path | None, vocabulary: Vocabulary, nested: Workspace) -> dict[str, str]:
    """Return the concepts that the pipeline of a run's home gives to data_types; those of before where that is gone."""
    with suppress(TawtError):
        said: Mapping[str, Any] = open_workspace(home).pipeline.data_types if home is not None else {}
        if found := {code: said[code].concept for code in vocabulary.codes if code in said and said[code].concept}:
            return found
    with suppress(FileError):
        if (basis := nested.basis) is not None and basis.record is not None:
            return basis.record.concepts
    return {}


def _times(home: Path | None, run: Path, here: Workspace) -> tuple[str, ...]:
    """Return what is to be said of times and dates that mean something else than at a run's home."""
    try:
        there = open_workspace(home).pipeline if home is not None else None
    except TawtError:
        there = None
    if there is None:
        return ("what times and dates mean there is not known: its workspace is not at hand",)
    own, said = here.pipeline, []
    if there.time_origin != own.time_origin:
        said.append(
            f"times count from `{own.time_origin}` here and from `{there.time_origin}` there: lateness means "
            "something else than the run has learned"
        )
    with suppress(TawtError):
        if there.calendar != own.calendar and "calendar" in read_saved(run).config.model.time:
            said.append(f"dates are `{own.calendar}` here and `{there.calendar}` there, and the run reads the calendar")
    return tuple(said)
