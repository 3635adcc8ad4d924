"""Where every record went: one table for the whole workspace, derived from the stages' accounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from tawt.contracts.layers import LAYERS, layer_of
from tawt.files import write_parquet, write_sealed
from tawt.pipeline.fingerprint import own_components
from tawt.pipeline.manifest import Manifest, own_changes, read_manifest, torn_files
from tawt.pipeline.plan import settings_of
from tawt.pipeline.stale import mend, reasons
from tawt.pipeline.workspace import LEDGER, Workspace, manifest_path
from tawt.shell import command
from tawt.sources.graph import Graph
from tawt.sources.stage import Settings, Stage

SPLITS_FILE = "splits_file"
"""The parameter that hangs on a file which mostly lies among the raw tables."""
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
    stale: tuple[str, ...] = ()
    """Why it is older than what it is made from now; nothing where it is not."""
    torn: tuple[str, ...] = ()
    """Files that are missing or damaged, for which a stage that was finished is so no more."""

    @property
    def state(self) -> str:
        """In words: not run, damaged, stale or finished."""
        if self.manifest is None:
            return f"damaged: {self.torn[0]}" if self.torn else "not run"
        return f"stale: {', '.join(self.stale)}" if self.stale else "finished"

    @property
    def stands(self) -> bool:
        """Whether it is finished and was made from what is there."""
        return self.manifest is not None and not self.stale


def standing(workspace: Workspace, graph: Graph) -> list[Standing]:
    """Return every stage of the pipeline and the tables as they are now, in the order of the flow."""
    there = {name: manifest for name in graph.stages if (manifest := read_manifest(workspace, name)) is not None}
    return [
        one if one.manifest is not None else replace(one, torn=torn_files(workspace, one.stage.name))
        for one in stand(graph, settings_of(workspace), there)
    ]


def stand(graph: Graph, settings: Settings, there: Mapping[str, Manifest]) -> list[Standing]:
    """Return how every stage stands, from what is finished of them."""
    stages, manifests = graph.stages, {name: there.get(name) for name in graph.stages}
    # what only the raw tables tell is here as it was
    apart = ["sampled_hash"] if settings.has_raw else ["sampled_hash", SPLITS_FILE]

    def own(name: str, manifest: Manifest) -> list[str]:
        old, now = manifest.components, own_components(stages[name], settings)
        kept = {key: old.parameters[key] for key in apart if key in old.parameters and key in now.parameters}
        return [f"{w} changed" for w in own_changes(old, now.model_copy(update={"parameters": now.parameters | kept}))]

    stale = reasons(manifests, {name: stage.inputs for name, stage in stages.items()}, own)
    return [Standing(stage, manifests[name], stale.get(name, ())) for name, stage in stages.items()]


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
    if any(one.manifest is None for one in behind):
        return command("run", f"+{target}", workspace=workspace.root)
    return mend(workspace.root, {one.stage.name: one.stale for one in behind if one.stale}, target)


def ledger_table(there: Iterable[Standing]) -> pa.Table:
    """Return the ledger of the stages that stand: what another pipeline, or a table that is gone, left does not."""
    return accounts_table(one.manifest for one in there if one.stands and one.manifest is not None)


def accounts_table(manifests: Iterable[Manifest]) -> pa.Table:
    """Return the accounts of stages as rows of the ledger."""
    rows = []
    order = list(LAYERS.values())
    for manifest in sorted(manifests, key=lambda m: (order.index(layer_of(m.stage)), m.stage)):
        for account in manifest.accounts:
            entries: list[tuple[str, str | None, int]] = [
                ("in", None, account.n_records_in),
                ("kept", None, account.n_records_kept),
            ]
            entries += [(route.kind, route.reason, route.n_records) for route in account.routes]
            entries += [("rows_out", None, account.n_rows_out)]
            entries += [("added", rule, n) for rule, n in account.n_rows_added.items()]
            entries += [("fault", f"{fault.column}:{fault.reason}", fault.n_cells) for fault in account.faults]
            rows += [
                {"stage": manifest.stage, "input": account.driving, "route": route, "reason": reason, "n": n}
                for route, reason, n in entries
            ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_ledger(root: Path, there: Iterable[Standing], told: Mapping[str, dict[str, str]] | None = None) -> None:
    """Write `ledger.parquet`.

    Args:
        root: The workspace.
        there: Its stages.
        told: Of each, how it is set now: written into the manifests of what stands, for whoever has no engine.
    """
    there = list(there)
    for one in there:
        now = (told or {}).get(one.stage.name)
        if one.manifest is not None and one.stands and now is not None and one.manifest.told != now:
            retold = one.manifest.model_copy(update={"told": now})
            write_sealed(manifest_path(root, one.stage.name), retold.model_dump(mode="json"))
    write_parquet(root / LEDGER, ledger_table(there))
