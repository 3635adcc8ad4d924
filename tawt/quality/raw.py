"""Holds the accounts of staging to the raw files as they lie there now: every byte is hashed and counted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tawt.contracts.contract import Contract
from tawt.contracts.layers import layer_of, raw_table
from tawt.errors import TawtError
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.raw_tables import raw_tables
from tawt.pipeline.workspace import Workspace
from tawt.quality.finding import Finding


def check_raw(workspace: Workspace, contracts: Mapping[str, Contract], found: Sequence[Manifest]) -> Finding:
    """Count the records of the raw tables again, and compare with what the stages of staging took in.

    Args:
        workspace: Knows where the raw root is; on another machine it may not be there, which is no fault.
        contracts: Of the raw tables, by name.
        found: The manifests of the finished stages.
    """
    name = "raw tables"
    by_table = {raw_table(m.accounts[0].driving): m for m in found if layer_of(m.stage).row_wise}
    staged = {table: m for table, m in by_table.items() if table is not None}
    if workspace.raw_root is None or not workspace.raw_root.is_dir():
        return Finding(name, True, "not on this machine: not counted again")
    try:
        tables, _ = raw_tables(workspace, {n: c for n, c in contracts.items() if n in staged}, afresh=True)
    except TawtError as error:
        return Finding(name, False, str(error))
    wrong = []
    for table, manifest in sorted(staged.items()):
        if table not in tables:
            wrong.append(f"raw.{table} is not there any more")
        elif tables[table].identity != manifest.components.inputs.get(f"raw.{table}"):
            wrong.append(f"raw.{table} is not as it was read")
        elif tables[table].n_records != manifest.accounts[0].n_records_in:
            n_in = manifest.accounts[0].n_records_in
            wrong.append(
                f"raw.{table} holds {tables[table].n_records:,} records, and {manifest.stage} took in {n_in:,}"
            )
    n_records = sum(table.n_records for table in tables.values())
    return Finding(name, not wrong, wrong[0] if wrong else f"{n_records:,} records, counted again from their bytes")
