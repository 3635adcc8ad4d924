"""Where every record went: one table for the whole workspace, derived from the stages' accounts."""

from __future__ import annotations

import pyarrow as pa

from tawt.files import write_parquet
from tawt.pipeline.manifest import Manifest, read_manifest
from tawt.pipeline.workspace import Workspace

SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string(), False),
        pa.field("input", pa.string(), False),
        pa.field("route", pa.string(), False),
        pa.field("reason", pa.string()),
        pa.field("n", pa.int64(), False),
    ]
)
"""`route` is in, kept, drop, quarantine (records of the input), rows_out or added (rows of the output)."""


def manifests(workspace: Workspace) -> list[Manifest]:
    """Return the manifests of all finished stages, in the order of the flow."""
    order = ["staging", "codes", "event_parts", "events", "tasks", "vocabulary", "triplets", "dataset"]
    found = [read_manifest(workspace, path.stem) for path in (workspace.root / "manifests").glob("*.json")]
    there = [manifest for manifest in found if manifest is not None]
    return sorted(there, key=lambda m: (order.index(m.stage.partition(".")[0]), m.stage))


def ledger_table(workspace: Workspace) -> pa.Table:
    """Return the ledger."""
    rows = []
    for manifest in manifests(workspace):
        for account in manifest.accounts:
            entries: list[tuple[str, str | None, int]] = [
                ("in", None, account.n_records_in),
                ("kept", None, account.n_records_kept),
            ]
            entries += [(route.kind, route.reason, route.n_records) for route in account.routes]
            entries += [("rows_out", None, account.n_rows_out)]
            entries += [("added", rule, n) for rule, n in account.n_rows_added.items()]
            rows += [
                {"stage": manifest.stage, "input": account.driving, "route": route, "reason": reason, "n": n}
                for route, reason, n in entries
            ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_ledger(workspace: Workspace) -> None:
    """Write `ledger.parquet`."""
    write_parquet(workspace.root / "ledger.parquet", ledger_table(workspace))
