"""`tawt carry`: a workspace's events in the vocabulary of another place's run, told how much of them it knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tawt.builtin.all import all_stages
from tawt.commands.ingest import VOCABULARY_STAGES, make
from tawt.contracts.basis import basis_of
from tawt.contracts.cells import SMALL_CELL
from tawt.database.connect import Limits
from tawt.dataset.place import carried_place
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.errors import ConfigError, DatasetError, FileError, StaleError, TawtError
from tawt.pipeline.holding import hold as hold_workspace
from tawt.pipeline.ledger import mend_of, needed, stale_of, standing
from tawt.pipeline.manifest import read_manifest
from tawt.pipeline.run import Report
from tawt.pipeline.stale import all_in_words
from tawt.pipeline.undone import Asked
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.places import real
from tawt.runs.find import find_run, workspace_of
from tawt.seals import LIST, hold
from tawt.training.versions import read_versions
from tawt.transforms.carry import CARRIED, WAYS, read_carried

VOCABULARY = "vocabulary.parquet"
_SHIFTED = 0.25
"""A population stability index above which numbers are told to have moved, by the custom of who uses it."""
_NAMED = 3
_LONGEST = 16
"""So many runs, each begun from the one before, are followed."""


@dataclass(frozen=True)
class Coverage:
    """Codes of this place that are known in one way."""

    way: str
    """code, name, concept, parents or unknown."""
    n_data_types: int
    n_rows: int
    """Of all splits."""
    share: float
    """Of all rows."""
    n_subjects: int
    """Subjects who have a row of them; 0 where these are few."""


@dataclass(frozen=True)
class Drift:
    """The numbers of a code here beside those that its data_type was fitted on."""

    code: str
    data_type: str
    """What it is read as."""
    way: str
    unit: str
    """Of this place; where it is another, what becomes of it."""
    n_rows: int
    distance: float | None
    """Of Kolmogorov and Smirnov, over the bins of there; None where numbers are refused or edges withheld."""
    shift: float | None
    """Population stability index over the same bins."""


@dataclass(frozen=True)
class CarryResult:
    """What `carry` made, and what it found."""

    place: Path
    """Holds the vocabulary, triplets and dataset."""
    of: str
    """What the run is called."""
    coverage: tuple[Coverage, ...]
    drift: tuple[Drift, ...]
    """Of codes with numbers of more than few people, the farthest first."""
    n_subjects: tuple[int, int]
    """Subjects who have a row that is known, and all."""
    made: bool
    """Whether anything was made; else all was there."""

    def lines(self) -> list[str]:
        """Return what a person is to know before anything is computed, a line each."""
        known = sum(one.share for one in self.coverage if one.way in WAYS)
        how = ", ".join(f"{one.n_data_types:,} by {one.way}" for one in self.coverage if one.way in WAYS)
        gone = sum(one.n_data_types for one in self.coverage if one.way not in WAYS)
        told = [
            f"{self.of} has another vocabulary than the workspace: it knows {known:.1%} of the rows (data_types: "
            f"{how or 'none'}; {gone:,} unknown), of {' of '.join(map(_people, self.n_subjects))} subjects"
        ]
        other = [one for one in self.drift if "->" in one.unit]
        refused = [one for one in self.drift if "refused" in one.unit]
        for said, rows in (("converted", other), ("left out, as no rule leads from their unit", refused)):
            if rows:
                told.append(f"numbers of {_few([f'{one.code} ({one.unit})' for one in rows])} are {said}")
        if moved := [one for one in self.drift if one.shift is not None and one.shift > _SHIFTED]:
            named = _few([f"{one.code} {one.shift:.2f}" for one in moved])
            told.append(f"numbers of {named} lie elsewhere than there (population stability index above {_SHIFTED})")
        return told


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
    folder, opened = find_run(workspace, run), open_workspace(Path(workspace))
    vocabulary = _vocabulary(folder)
    place = carried_place(opened.root, vocabulary.content)
    name = folder.resolve().name
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
    stands = all(one.stands for one in there if one.stage.name in VOCABULARY_STAGES)
    if not stands:
        limits = Limits.of(threads, memory_limit)
        with hold_workspace(opened.root, dry_run):
            asked = Asked("carry", (str(run),))
            make(nested, graph, VOCABULARY_STAGES, limits, False, dry_run, report, asked)
    if dry_run and not stands:
        return CarryResult(place, name, (), (), (0, 0), True)
    return _told(nested, name, vocabulary, not stands)


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


def _told(nested: Workspace, name: str, vocabulary: Vocabulary, made: bool) -> CarryResult:
    """Read what was found."""
    manifest = read_manifest(nested, "vocabulary")
    assert manifest is not None
    table = read_carried(pa.BufferReader((nested.output("vocabulary") / CARRIED).read_bytes()))
    facts: dict[str, Any] = manifest.facts
    total, subjects = sum(facts["n_rows"].values()), facts["n_subjects"]
    coverage = tuple(
        Coverage(way, facts["n_data_types"][way], n, n / max(1, total), _or_0(subjects.get(way, 0)))
        for way, n in sorted(facts["n_rows"].items(), key=lambda one: (*WAYS, one[0]).index(one[0]))
    )
    drift = [
        Drift(
            row["code"], vocabulary.codes[row["data_type"]], row["way"], _unit(row), row["n_rows"], row["distance"],
            row["shift"],
        )
        for row in table.to_pylist()
        if row["way"] is not None and row["n_value_subjects"] > SMALL_CELL
    ]  # fmt: skip
    drift.sort(key=lambda one: (one.shift is None, -(one.shift or 0.0), one.code))
    return CarryResult(nested.root, name, coverage, tuple(drift), (subjects["known"], subjects["all"]), made)


def _unit(row: dict[str, Any]) -> str:
    here, there = row["unit"] or "no unit", row["unit_there"] or "no unit"
    if row["refused"]:
        return f"{here}, refused: {there} there"
    return here if (row["factor"], row["offset"]) == (1.0, 0.0) else f"{here} -> {there}"


def _or_0(n: int) -> int:
    return n if n > SMALL_CELL else 0


def _people(n: int) -> str:
    return f"{n:,}" if n == 0 or n > SMALL_CELL else f"<{SMALL_CELL + 1}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
