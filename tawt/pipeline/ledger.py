"""Where every record went: one table for the whole workspace, derived from the stages' accounts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from tawt.contracts.layers import LAYERS, layer_of, raw_table
from tawt.files import write_parquet
from tawt.pipeline.fingerprint import own_components
from tawt.pipeline.manifest import Manifest, own_changes, read_manifest, torn_files
from tawt.pipeline.plan import settings_of
from tawt.pipeline.workspace import LEDGER, Workspace
from tawt.sources.graph import Graph
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
    behind: tuple[str, ...] = ()
    """Its inputs that were made anew since, or are not finished, and what of its own is another by now."""
    torn: tuple[str, ...] = ()
    """Files that are missing or damaged, for which a stage that was finished is so no more."""

    @property
    def state(self) -> str:
        """In words: not run, damaged, behind or finished."""
        if self.manifest is None:
            return f"damaged: {self.torn[0]}" if self.torn else "not run"
        return f"behind {', '.join(self.behind)}" if self.behind else "finished"

    @property
    def stands(self) -> bool:
        """Whether it is finished and was made from what is there."""
        return self.manifest is not None and not self.behind


def standing(workspace: Workspace, graph: Graph) -> list[Standing]:
    """Return every stage of the pipeline and the tables as they are now, in the order of the flow."""
    settings = settings_of(workspace)
    found: dict[str, Standing] = {}
    for name, stage in graph.stages.items():
        manifest = read_manifest(workspace, name)
        made_from = manifest.components.inputs if manifest is not None else {}
        behind = []
        for other in sorted({*stage.inputs, *made_from}):
            before = found.get(other)
            now = before.manifest.fingerprint if before is not None and before.stands and before.manifest else None
            if not (raw_table(other) and other in stage.inputs) and now != made_from.get(other):
                behind.append(other)
        if manifest is not None:
            old = manifest.components.parameters
            # which is known from the raw tables alone
            sampled = old["sampled_hash"] if isinstance(old.get("sampled_hash"), int) else None
            own = own_components(stage, replace(settings, sampled_hash=sampled))
            behind += [f"its {what}" for what in own_changes(manifest.components, own)]
        torn = torn_files(workspace, name) if manifest is None else ()
        found[name] = Standing(stage, manifest, tuple(behind) if manifest is not None else (), torn)
    return list(found.values())


def ledger_table(there: Iterable[Standing]) -> pa.Table:
    """Return the ledger of the stages that stand: what another pipeline, or a table that is gone, left does not."""
    finished = [one.manifest for one in there if one.stands and one.manifest is not None]
    rows = []
    order = list(LAYERS.values())
    for manifest in sorted(finished, key=lambda m: (order.index(layer_of(m.stage)), m.stage)):
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


def write_ledger(workspace: Workspace, graph: Graph) -> None:
    """Write `ledger.parquet`."""
    write_parquet(workspace.root / LEDGER, ledger_table(standing(workspace, graph)))
