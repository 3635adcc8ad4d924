"""Holds a finished workspace against its own promises: every number is counted again from the files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from tawt.builtin.all import seen_graph
from tawt.contracts.layers import layer_of
from tawt.errors import FileError, StageError
from tawt.pipeline.balance import marked_rows
from tawt.pipeline.faults import count_faults
from tawt.pipeline.holding import still
from tawt.pipeline.keys import Now
from tawt.pipeline.ledger import Standing, ledger_table, standing
from tawt.pipeline.manifest import Manifest, about_versions, manifest_at
from tawt.pipeline.origin import without_project
from tawt.pipeline.plan import input_of
from tawt.pipeline.records import Ingested, Local
from tawt.pipeline.telling import is_void, warnings_of
from tawt.pipeline.undone import told_undone
from tawt.pipeline.workspace import INGEST, LEDGER, LOCAL, Workspace, open_workspace
from tawt.quality.carried import check_carried
from tawt.quality.encoded import check_encoded
from tawt.quality.files import check_files
from tawt.quality.finding import Finding
from tawt.quality.meds import check_meds
from tawt.quality.raw import check_raw
from tawt.quality.subjects import check_subjects
from tawt.quality.synthetic import check_dataset, is_handed_on
from tawt.readers import parquet_metadata, read_parquet
from tawt.seals import holds
from tawt.sources.graph import Graph


def check(workspace: str | Path) -> list[Finding]:
    """Check a workspace: every file by its hash, raw files and runs too; ledger, events, triplets and dataset by count.

    Args:
        workspace: A workspace that `ingest` made, or a synthetic set that was handed on without one.

    Returns:
        One finding per check.

    Raises:
        ConfigError: There is no workspace, or a command that changes it is at work.
        FileError: A manifest may not be read.
    """
    root = Path(workspace).expanduser()
    if is_handed_on(root):
        return check_dataset(root)
    with still(root):
        return _check(open_workspace(root))


def _check(opened: Workspace) -> list[Finding]:
    opened, there, unread, graph, now = standing_of(opened)
    findings, stages = check_files(opened, there, now, unread)
    with suppress(FileError):  # a damaged record is told with the others
        if (undone := told_undone(opened)) is not None:
            findings.append(Finding("last command", False, *undone))
    # only what is as it was written is counted again below
    found = [one.manifest for one in there if one.manifest is not None and one.stage.name in stages]
    read = {manifest.stage: input_of(opened.root, manifest) for manifest in found if not manifest.let_go}
    findings += [_ledger(opened, there, found), _quarantine(opened, found)]
    # of events it is told with what else is checked of them
    for one in (one for one in found if one.stage != "events"):
        warned = [*warnings_of(one, opened.pipeline.most_lost)]
        if said := "; ".join((*warned, *one.notes)):
            how = "" if is_void(one) else "warning: " if warned else "note: "
            findings.append(Finding(f"{one.stage}: rows", not is_void(one), how + said))
    findings += [Finding("versions", True, f"warning: {said}") for said in about_versions(opened.root, found)]
    if graph.fault is None:
        # also of what is stale, perhaps because they changed
        made = [one.manifest for one in there if one.manifest is not None]
        findings.append(check_raw(opened, graph.raw_contracts, made))
    else:
        findings.append(Finding("raw tables", True, "their contracts cannot be read now: not counted again"))
        told = f"{graph.fault}; the stages are shown as they ran"
        findings.append(Finding("project", without_project(opened), told, graph.fault.mend))
    if "events" in stages and not read["events"].rows:
        findings.append(Finding("events: rows", False, "there are none: no record of the raw tables became an event"))
        stages = stages - {"events"}
    if "events" in stages:
        findings += [
            Finding(f"events: {finding.check}", finding.ok, finding.detail)
            for finding in check_meds(opened.output("events"))
        ]
        findings.append(_numbers(opened, next(manifest for manifest in found if manifest.stage == "events")))
    if {"subjects", "events"} <= stages:
        findings.append(check_subjects(read["subjects"], read["events"]))
    findings += check_encoded(read)
    for finding, own in check_carried(opened, graph):
        findings.append(finding)
        findings += [replace(one, check=f"{finding.check}: {one.check}") for one in check_encoded(own) if not one.ok]
    return findings


def standing_of(opened: Workspace) -> tuple[Workspace, list[Standing], dict[str, str], Graph, Now]:
    """Return a workspace whose records can be read, how its stages stand, what is wrong with records that cannot, the
    stages, and what they hang on now.

    In the place of what an ingest was asked for stands what the stages say that they were made with, so that the rest
    can be held to it.
    """
    unread = {}
    try:
        _ = opened.local
    except FileError as error:
        unread[LOCAL] = error.what.partition(", expected")[0]
        opened = replace(opened, given_local=Local(), local_lost=True)
    try:
        made = opened.ingested if (opened.root / INGEST).exists() else None
    except FileError as error:
        unread[INGEST], made = error.what.partition(", expected")[0], None
    if made is None:
        asked: dict[str, Any] = {}
        for path in sorted((opened.root / "manifests").glob("*.json")):
            if (manifest := manifest_at(path)) is not None:
                keys = manifest.components.keys
                asked |= {name: keys[f"ingest.{name}"] for name in Ingested.model_fields if f"ingest.{name}" in keys}
        with suppress(ValidationError):  # of a stage that says what none of ours does
            opened = replace(opened, given_ingested=Ingested.model_validate(asked))
        opened = opened if opened.given_ingested is not None else replace(opened, given_ingested=Ingested())
    graph, now = seen_graph(opened), Now(opened)
    return opened, standing(opened, graph, now), unread, graph, now


def _n_rows(files: list[Path]) -> int:
    n_rows = 0
    for path in files:
        if path.suffix == ".parquet":
            n_rows += parquet_metadata(path).num_rows
        elif not path.name.endswith(".index.arrow"):
            with pa.memory_map(str(path)) as source:
                n_rows += pa.ipc.open_file(source).read_all().num_rows
    return n_rows


def _numbers(workspace: Workspace, events: Manifest) -> Finding:
    """Repeat the warning of numbers that lost their use, which is none of a defect."""
    limit = workspace.pipeline.most_lost
    said = "; ".join(warnings_of(events, limit))
    good = f"no data_type lost more than {limit:.1%} to unknown units, ranges and texts"
    return Finding("events: numbers", True, f"warning: {said}" if said else good)


def _ledger(workspace: Workspace, there: list[Standing], found: list[Manifest]) -> Finding:
    """Count every output and its records again, follow them from stage to stage, and compare with the table."""
    out = {manifest.stage: manifest.n_rows for manifest in found}
    wrong = []
    for manifest in found:
        for account in manifest.accounts:
            try:
                account.check(manifest.stage)
            except StageError as error:
                wrong.append(str(error))
            before = out.get(account.driving) if account.whole else None
            if before is not None and account.n_records_in != before:
                wrong.append(
                    f"{manifest.stage}: {account.n_records_in:,} records in, but {account.driving} has {before:,}"
                )
        if manifest.let_go:
            continue
        rows = input_of(workspace.root, manifest).rows
        counted = _n_rows(rows)
        if counted != out[manifest.stage]:
            wrong.append(f"{manifest.stage}: {counted:,} rows in its files, expected {out[manifest.stage]:,}")
        if layer_of(manifest.stage).numbered:
            kept = sum(account.n_records_kept for account in manifest.accounts)
            behind = int(np.count_nonzero(marked_rows(rows)))
            if kept != behind:
                wrong.append(f"{manifest.stage}: {behind:,} records behind its rows, expected {kept:,}")
            told = {f"{fault.column}:{fault.reason}": fault.n_cells for a in manifest.accounts for fault in a.faults}
            counts = count_faults(rows)
            if counts != told:
                wrong.append(
                    f"{manifest.stage}: {counts.total():,} cells left out of its rows, expected {sum(told.values()):,}"
                )
    path = workspace.root / LEDGER
    # what was edited since counts no more, and is said elsewhere; an edit taken back left its stages out
    if not any(one.stale for one in there) and path.is_file() and holds(path):
        written, said = read_parquet(path), ledger_table(there)
        if not written.equals(said.filter(pc.is_in(said["stage"], pc.unique(written["stage"])))):
            wrong.append(f"{LEDGER} is not what the stages' manifests say")
    n_in = sum(a.n_records_in for m in found if layer_of(m.stage).row_wise for a in m.accounts)
    return Finding("ledger", not wrong, wrong[0] if wrong else f"balances from {n_in:,} raw records")


def _quarantine(workspace: Workspace, found: list[Manifest]) -> Finding:
    expected = {m.stage: sum(account.count("quarantine") for account in m.accounts) for m in found}
    wrong = []
    for manifest in found:
        path = workspace.quarantine(manifest.stage)
        listed = 0
        if path.relative_to(workspace.root).as_posix() in manifest.files:
            listed = parquet_metadata(path).num_rows
        if listed != expected[manifest.stage]:
            wrong.append(f"{manifest.stage}: {listed:,} listed, expected {expected[manifest.stage]:,}")
    return Finding(
        "quarantine", not wrong, wrong[0] if wrong else f"{sum(expected.values()):,} records, each with its place"
    )
