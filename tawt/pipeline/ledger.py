"""Where every record went: one table for the whole workspace, derived from the stages' accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tawt.contracts.layers import LAYERS, layer_of
from tawt.errors import StageError
from tawt.files import write_parquet
from tawt.pipeline.fingerprint import keys_of
from tawt.pipeline.keys import Now
from tawt.pipeline.manifest import Manifest, about_versions, read_manifest, torn_files, unfinished
from tawt.pipeline.stale import Reason, Why, about_pipeline, in_words, mend, own_reasons, reasons
from tawt.pipeline.touched import raw_changed
from tawt.pipeline.workspace import LEDGER, Workspace
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.owners import asked_of
from tawt.sources.stage import Stage

SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string(), False),
        pa.field("input", pa.string(), False),
        pa.field("route", pa.string(), False),
        pa.field("reason", pa.string()),
        pa.field("n", pa.int64(), False),
    ]
)
"""`route` is in, kept, drop, quarantine (records of the input), rows_out, added (rows of the output) or fault (cells
that those rows go without)."""


@dataclass(frozen=True)
class Standing:
    """A stage of the pipeline as it is now, and what the workspace has of it."""

    stage: Stage
    manifest: Manifest | None
    """None = not finished."""
    stale: tuple[Reason, ...] = ()
    """Why it is older than what it is made from now; nothing where it is not."""
    torn: tuple[str, ...] = ()
    """Files that are missing or damaged, for which a stage that was finished is so no more."""

    @property
    def state(self) -> str:
        """In words: not run, damaged, stale, finished or let go."""
        if self.manifest is None:
            lack = f"damaged: {self.torn[0]}" if self.torn else "not run"
            return f"{lack}: {self.stage.fault.of(self.stage.name)}" if self.stage.fault is not None else lack
        return f"stale: {in_words(self.stale)}" if self.stale else "let go" if self.manifest.let_go else "finished"

    @property
    def stands(self) -> bool:
        """Whether it is finished and was made from what is there."""
        return self.manifest is not None and not self.stale


def standing(workspace: Workspace, graph: Graph, now: Now | None = None) -> list[Standing]:
    """Return every stage of the pipeline and the tables as they are now, in the order of the flow.

    Args:
        workspace: Where.
        graph: Its stages.
        now: What it has behind keys, where that was looked at.
    """
    there = {name: manifest for name in graph.stages if (manifest := read_manifest(workspace, name)) is not None}
    return [
        one if one.manifest is not None else replace(one, torn=torn_files(workspace, one.stage.name))
        for one in stand(graph, workspace, there, now)
    ]


def stand(graph: Graph, workspace: Workspace, there: Mapping[str, Manifest], now: Now | None = None) -> list[Standing]:
    """Return how every stage stands, from what is finished of them.

    Args:
        graph: The stages.
        workspace: As it is now.
        there: What is finished.
        now: What it has behind keys, where that was looked at.
    """
    stages, manifests = graph.stages, {name: there.get(name) for name in graph.stages}
    now, source = now or Now(workspace), workspace.pipeline.source

    def own(name: str, manifest: Manifest) -> list[Reason]:
        if (fault := stages[name].fault) is not None:
            return [Reason(Why.FAULT, fault.of(name), fault.mend)]
        return own_reasons(manifest, now, keys_of(stages[name], source) if graph.fault is None else None)

    inputs = {name: stage.inputs for name, stage in stages.items()}
    if workspace.opted_out is not None:
        asked = {name: [f"raw.{table}" for table in asked_of(stage, graph)] for name, stage in stages.items()}
        inputs = {name: (*stage.inputs, *asked[name]) for name, stage in stages.items()}
    stale = reasons(manifests, inputs, own, raw_changed(workspace))
    return [Standing(stage, manifests[name], stale.get(name, ())) for name, stage in stages.items()]


def said_of(workspace: Workspace, graph: Graph, there: Iterable[Standing], now: Now) -> list[str]:
    """Return what is to be said of stages that cannot run as they are written now, of the pipeline, and of what another
    version made.

    Args:
        workspace: Where.
        graph: Its stages.
        there: How they stand.
        now: What the workspace has behind keys.
    """
    said = [f"{graph.fault}; the stages are shown as they ran"] if graph.fault is not None else []
    by_others = about_versions(workspace.root, [one.manifest for one in there])
    return said + graph.told_faults() + about_pipeline(workspace, now, stale_of(there)) + by_others


def stale_of(there: Iterable[Standing]) -> dict[str, tuple[Reason, ...]]:
    """Return the stages that are stale -> why."""
    return {one.stage.name: one.stale for one in there if one.stale}


def needed(there: Iterable[Standing], target: str) -> list[Standing]:
    """Return a stage and all that it is made from, in the order of the flow."""
    listed = {one.stage.name: one for one in there}
    names = [target]
    for name in names:
        names += [other for other in listed[name].stage.inputs if other in listed and other not in names]
    return [one for name, one in listed.items() if name in names]


def mend_of(workspace: Workspace, there: Iterable[Standing], target: str) -> str:
    """Return the command that brings a stage up to date."""
    behind = needed(there, target)
    if fault := next((one.stage.fault for one in behind if one.stage.fault is not None), None):
        return fault.mend
    if any(one.manifest is None for one in behind):
        return command("run", f"+{target}", workspace=workspace.root)
    return mend(workspace, stale_of(behind), target)


def made_events(
    workspace: Workspace, there: Iterable[Standing], who: str, report: Callable[[dict[str, Any]], None]
) -> Manifest:  # fmt: skip
    """Return the events, which must be there; that they are stale is said.

    Args:
        workspace: Where.
        there: How its stages stand.
        who: What needs them.
        report: Hears a note.

    Raises:
        StageError: There are none.
    """
    there = list(there)
    one, mended = next(one for one in there if one.stage.name == "events"), mend_of(workspace, there, "events")
    if one.manifest is None:
        raise StageError(who, f"needs events, which {unfinished(workspace, 'events')}, expected them", f"`{mended}`")
    if one.stale:
        report({"event": "note", "text": f"events, which are read, are {one.state}: `{mended}`"})
    return one.manifest


def ledger_table(there: Iterable[Standing]) -> pa.Table:
    """Return the ledger of the stages that stand: what another pipeline, or a table that is gone, left does not."""
    return accounts_table(one.manifest for one in there if one.stands and one.manifest is not None)


def accounts_table(manifests: Iterable[Manifest]) -> pa.Table:
    """Return the accounts of stages as rows of the ledger."""
    rows = []
    order = list(LAYERS.values())
    for manifest in sorted(manifests, key=lambda m: (order.index(layer_of(m.stage)), m.stage)):
        for account in manifest.accounts:
            entries: list[tuple[str, str | None, int]] = []
            if account.counts_records(manifest.stage):
                entries += [("in", None, account.n_records_in), ("kept", None, account.n_records_kept)]
            entries += [(route.kind, route.reason, route.n_records) for route in account.routes]
            entries += [("rows_out", None, account.n_rows_out)]
            entries += [("added", rule, n) for rule, n in account.n_rows_added.items()]
            entries += [("fault", f"{fault.column}:{fault.reason}", fault.n_cells) for fault in account.faults]
            rows += [
                {"stage": manifest.stage, "input": account.driving, "route": route, "reason": reason, "n": n}
                for route, reason, n in entries
            ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_ledger(root: Path, there: Iterable[Standing]) -> None:
    """Write `ledger.parquet` of a workspace."""
    write_parquet(root / LEDGER, ledger_table(there))
