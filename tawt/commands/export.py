"""`tawt export`: the events of a workspace as a MEDS dataset of its own, to hand on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from tawt.builtin.about import facts_of
from tawt.builtin.all import graph_of
from tawt.cards.dataset import write_cards
from tawt.cards.facts import DatasetFacts
from tawt.contracts.contract import own_contract
from tawt.contracts.meds import dataset_name
from tawt.contracts.workspace import is_workspace
from tawt.database.limits import Limits
from tawt.errors import ConfigError
from tawt.exports.form import Form, form_of
from tawt.exports.write import write_dataset
from tawt.files import alone_at, digest, keep_private, made_folder, make_folder, publish, write_hashes
from tawt.pipeline.holding import still
from tawt.pipeline.ledger import made_events, standing
from tawt.pipeline.manifest import versions
from tawt.pipeline.plan import input_of
from tawt.pipeline.run import Report
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.places import real, refuse_links, remove
from tawt.seals import LIST, changed_files, listed_files

_ELSEWHERE = "choose another folder"


@dataclass(frozen=True)
class ExportResult:
    """What was exported."""

    folder: Path
    """The dataset."""
    form: Form
    """Its version of MEDS, and what its codes are like."""
    n_files: int
    """Files of rows, written or to be written."""
    facts: DatasetFacts | None = None
    """What its card tells; None of a dry run."""


def export(
    workspace: str | Path, out: str | Path, *, version: str = "0.4", codes_with_units: bool = False, license: str = "",
    threads: int | None = None, memory_limit: str | None = None, dry_run: bool = False,
    report: Report = lambda event: None,
) -> ExportResult:  # fmt: skip
    """Write the events of a workspace as a MEDS dataset: `data/`, `metadata/`, a card, Croissant metadata, hashes.

    The folder appears whole, by a rename. What a killed command finished is kept beside it for the next one. All of it
    is the owner's alone.

    Args:
        workspace: A workspace that `ingest` made.
        out: A new folder, or one that was exported before and is as it was written, which is replaced.
        version: Of MEDS: 0.4 or 0.3.3.
        codes_with_units: Write codes as CODE//UNIT where a row has a unit.
        license: Terms of use, in the place of the pipeline's `license`.
        threads: Threads; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        dry_run: Only hold what is asked.
        report: Hears `{"event": "note" | "progress", ...}`.

    Raises:
        ConfigError: There is no workspace, the version is none, or the place holds something else.
        FileError: A file of the events is damaged.
        StageError: There are no events.
    """
    root, target, form = Path(workspace).expanduser(), Path(out).expanduser(), form_of(version, codes_with_units)
    limits = Limits.of(threads, memory_limit)
    with still(root):
        opened = open_workspace(root)
        _hold_place(target, opened)
        events = made_events(opened, standing(opened, graph_of(opened)), "export", report)
        read = input_of(opened.root, events)
        if dry_run:
            return ExportResult(target, form, len(read.rows))
        key = digest([events.content, form.version, codes_with_units, versions()])
        in_use = ConfigError(
            str(target), "is being written by another process, expected to write it alone", "wait for it"
        )

        def tick(done: int, total: int) -> None:
            report({"event": "progress", "stage": "export", "done": done, "total": total})

        with made_folder(target.parent, private=True), alone_at(target, in_use):
            aside = _aside(target, key)
            report({"event": "start", "stage": "export", "reason": "asked"})
            counted = write_dataset(read, aside, form, license or opened.pipeline.license, limits.workers, tick)
            told = facts_of(opened.pipeline, dataset_name(read.folder), counted, own_contract("events"),
                            form.meds_version, license)  # fmt: skip
            facts = replace(told, columns=form.schema(told.columns))
            write_cards(aside, facts)
            write_hashes(aside)
            for path in [aside, *aside.rglob("*")]:
                keep_private(path, target / path.relative_to(aside))
            publish(aside, target)
    return ExportResult(target, form, len(read.rows), facts)


def _hold_place(target: Path, opened: Workspace) -> None:
    """Hold that nothing is replaced but what was exported before."""
    at, raw = real(target), opened.raw_root
    if any(is_workspace(root) for root in (at, *at.parents)):
        raise ConfigError(str(target), "lies in a workspace, expected a place outside of it", _ELSEWHERE)
    if raw is not None and at.is_relative_to(real(raw)):
        what = "lies in the folder of raw tables, which is only read, expected a place outside of it"
        raise ConfigError(str(target), what, _ELSEWHERE)
    if os.path.lexists(target) and not target.is_dir():
        raise ConfigError(str(target), "is no folder, expected one or nothing", _ELSEWHERE)
    refuse_links(target, target, inner=True)
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    if there and (changed_files(target) != [] or there != {*(listed_files(target) or {}), LIST}):
        raise ConfigError(
            str(target), "holds files that no export wrote, or not so, expected a new folder or an export", _ELSEWHERE
        )


def _aside(target: Path, key: str) -> Path:
    """Return the folder beside a place that its files are written in; what was begun there for another key goes."""
    aside = target.with_name(f".{target.name}.{key}.tmp")
    others = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.tmp(\.old)?")
    for other in target.parent.iterdir():
        if other != aside and others.fullmatch(other.name):
            remove(other)
    if aside.is_symlink():
        remove(aside)
    make_folder(aside, private=True)
    refuse_links(aside, aside, inner=True)
    return aside
