"""What the stages of a plan will take: rows and room on the disk, told from the raw files and from what is there.

Stages that ran before are taken to give as much of a record as they did; of new ones what was measured of other
extracts stands in for that. All of it is an estimate, of which `ROOM` says how far it may be off.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from tawt.contracts.layers import raw_table
from tawt.errors import FileError, RoomError
from tawt.pipeline.keys import UNKNOWN
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.pieces import by_record
from tawt.pipeline.plan import Plan
from tawt.pipeline.step import Step
from tawt.pipeline.workspace import Workspace
from tawt.raw.find import RawTable
from tawt.raw.formats import format_of
from tawt.room import size
from tawt.sources.stage import Stage

ROOM = (0.45, 1.6)
"""What stages took, as shares of what was foretold of them: between these for all extracts that were looked at."""
_OF_PACKED = 0.8
"""Bytes of staging for each byte that its raw table takes, or would take as .gz."""
_OF_INPUT = {
    "links": 0.3, "codes": 1.4, "event_parts": 1.1, "events": 0.65, "labels": 0.01, "triplets": 0.85,
    "content_events": 0.5,
}  # fmt: skip
"""Layer -> bytes for each byte of what it is made of."""
_OF_ROW = {"dataset": 41.2}
"""Layer -> bytes for each row, which are not packed."""
_OF_STAGE = 15_000
"""Bytes that a stage takes however little it holds: footers, its manifest, the files beside it."""
_GZ_PER_BYTE = {"gz": 1.0, "tgz": 1.0, "xz": 2.2, "txz": 2.2, "bz2": 1.6, "tbz2": 1.6, "parquet": 1.2}
_HEAD = 1 << 18
_AS_BEFORE = ("input changed", "forced", "version changed", "let go")
"""Why a stage runs that gives as much of a record as it did before."""
_HASHES = 1 << 32
_GOOD_PART = 0.25
"""Share of the free room from which on it is told without being asked."""


@dataclass(frozen=True)
class Foretold:
    """What a stage will give."""

    n_in: float
    """Records, or rows, that it reads."""
    n_rows: float
    n_bytes: float
    """All that it will take."""
    share: float
    """How much of it is made anew; the rest is taken as it is there."""


class Forecast:
    """What each stage of a plan will give, as far as it can be known now; what has run since is known.

    Args:
        plan: What will run.
        workspace: As it is, with what was seen of the raw files before.
    """

    def __init__(self, plan: Plan, workspace: Workspace) -> None:
        self._plan, self._there = plan, dict(plan.there)
        self._stages = plan.graph.stages.values()
        self._seen = _seen_before(workspace)
        self._packed = {name: _packed(table) for name, table in plan.raw.items()}
        self.of: dict[str, Foretold] = {}
        self._steps = {step.stage.name: step for step in plan.steps if step.reason is not None}
        self._tell()

    def made(self, manifest: Manifest) -> None:
        """Take in what a stage gave: what follows it is told by that."""
        self._there[manifest.stage] = manifest
        self._steps.pop(manifest.stage, None)
        self._tell()

    def most(self) -> float:
        """Return the bytes that will be taken at most beside what is taken now: the old files of a stage that is made
        anew go when the new ones are there."""
        taken = most = 0.0
        left, gone = [*self._steps], set[str]()
        for name, step in self._steps.items():
            one = self.of[name]
            taken += one.n_bytes * one.share
            most = max(most, taken)
            if step.manifest is not None and one.share == 1:
                taken -= _on_disk(step.manifest)
            left.remove(name)
            for other in (one for one in step.stage.inputs if self._goes(one, left) and one not in gone):
                taken -= self.of[other].n_bytes if other in self._steps else _on_disk(self._there[other])
                gone.add(other)
        return most

    def _goes(self, name: str, left: Collection[str]) -> bool:
        """Return whether a stage is let go when no more than these are to be made."""
        readers = {one.name for one in self._stages if name in one.inputs}
        return name in self._plan.passing and readers <= self.of.keys() - {*left} and name not in left

    def _tell(self) -> None:
        for name, stage in self._plan.graph.stages.items():
            before, step = self._there.get(name), self._steps.get(name)
            if step is not None:
                self.of[name] = self._told(step, stage)
            elif before is not None:
                self.of[name] = Foretold(_n_in(before), before.n_rows, _n_bytes(before), 0)

    def _told(self, step: Step, stage: Stage) -> Foretold:
        layer, before = stage.layer.name, self._there.get(stage.name)
        tables = [self._plan.raw[one] for one in map(raw_table, stage.inputs) if one in self._plan.raw]
        # events are made of all event parts, others of the first stage that they name
        all_parts = [self.of[one] for one in stage.inputs if one.startswith("event_parts.") and one in self.of]
        first = [self.of[one] for one in stage.inputs[:1] if one in self.of]
        read = all_parts if layer == "events" else first
        if tables:
            drawn = self._plan.settings.sampled_hash
            kept = (drawn + 1) / _HASHES if isinstance(drawn, int) else 1.0
            n_in = float(sum(table.n_records for table in tables))
            n_rows, n_bytes = kept * n_in, kept * _OF_PACKED * sum(self._packed[table.name] for table in tables)
        else:
            n_in = n_rows = float(sum(one.n_rows for one in read))
            n_bytes = _OF_ROW.get(layer, 0.0) * n_in or _OF_INPUT.get(layer, 0.0) * sum(one.n_bytes for one in read)
            if layer == "event_parts":  # several of one table share what is in it
                n_bytes /= sum(one.layer is stage.layer and one.inputs[0] == stage.inputs[0] for one in self._stages)
        if before is not None and _n_in(before) and (step.reason or "").startswith(_AS_BEFORE):
            n_rows, n_bytes = (n_in * n / _n_in(before) for n in (before.n_rows, _n_bytes(before)))
        return Foretold(n_in, n_rows, n_bytes + _OF_STAGE, self._share(step, tables))

    def _share(self, step: Step, tables: list[RawTable]) -> float:
        """Return how much of a stage that reads records one by one is new: the raw files that were not there before."""
        stage = step.stage
        before = step.manifest
        if before is None or before.let_go or not (step.reason or "").startswith("input changed"):
            return 1.0
        if not by_record(stage):
            return 1.0
        if not tables:
            of = self.of.get(stage.inputs[0])
            return of.share if of is not None and of.share else 1.0
        sizes = [(file.path.stat().st_size, file.sha256 in self._seen) for table in tables for file in table.files]
        new = sum(n for n, seen in sizes if not seen)
        return new / max(1, sum(n for n, _ in sizes)) or 1.0


@dataclass(frozen=True)
class Room:
    """What a plan takes of the room that there is."""

    n_bytes: float
    free: int

    @property
    def tight(self) -> bool:
        """Whether it is a good part of it."""
        return self.n_bytes > _GOOD_PART * self.free

    @property
    def needed(self) -> str:
        """The room that it takes, and within which bounds that is known."""
        low, high = (size(int(self.n_bytes * share)) for share in ROOM)
        return f"about {size(int(self.n_bytes))} ({low} to {high})"

    @property
    def text(self) -> str:
        """As a person reads it."""
        may_not = ": it may not fit" if self.n_bytes * ROOM[1] > self.free else ""
        return f"takes {self.needed} of the {size(self.free)} that are free{may_not}"


def hold_room(plan: Plan, workspace: Workspace, refuse: bool) -> Room | None:
    """Return what a plan will take of what is free on the disk of its workspace; None where it makes nothing, or draws
    so many subjects of a number that is not known yet.

    Args:
        plan: What will run.
        workspace: Where.
        refuse: Whether a plan is refused that does not fit even if it takes as little as it may.

    Raises:
        RoomError: It is refused.
    """
    if plan.settings.sampled_hash == UNKNOWN or not any(step.reason is not None for step in plan.steps):
        return None
    root = workspace.root
    here = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    room = Room(Forecast(plan, workspace).most(), shutil.disk_usage(here).free)
    if refuse and room.n_bytes * ROOM[0] > room.free:
        raise RoomError(
            str(root), f"its disk has {size(room.free)} free, expected {room.needed} for what is made there",
            "free space there, or give another place with `-w`; `--skip-room-check` begins all the same",
        )  # fmt: skip
    return room


def _n_in(manifest: Manifest) -> int:
    return sum(account.n_records_in for account in manifest.accounts)


def _n_bytes(manifest: Manifest) -> int:
    return _on_disk(manifest) + sum(manifest.let_go.values())


def _on_disk(manifest: Manifest) -> int:
    return sum(manifest.files.values())


def _seen_before(workspace: Workspace) -> set[str]:
    """Return the contents of the raw files that a workspace remembers."""
    with suppress(FileError):
        return {file.sha256 for file in Workspace(workspace.root, workspace.pipeline).local.files.values()}
    return set()


def _packed(table: RawTable) -> float:
    """Return about what the files of a table take, or would take, as .gz: how much there is in them."""
    paths = list(dict.fromkeys(file.path for file in table.files))
    n_bytes = sum(path.stat().st_size for path in paths)
    known = _GZ_PER_BYTE.get(format_of(paths[0]).suffix.rpartition(".")[2])
    if known is not None:
        return known * n_bytes
    with paths[0].open("rb") as file:
        head = file.read(_HEAD)
    return n_bytes * len(zlib.compress(head)) / max(1, len(head))
