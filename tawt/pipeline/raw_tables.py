"""The raw tables of a workspace, as they are now."""

from __future__ import annotations

from tawt.contracts.contract import Contract
from tawt.errors import SourceError
from tawt.pipeline.workspace import Workspace
from tawt.raw.find import RawTable, find_raw_tables

RawTables = tuple[dict[str, RawTable], list[str]]
"""Raw tables that are there, by name, and what is to be said of those that are not."""


def raw_tables(workspace: Workspace, contracts: dict[str, Contract], afresh: bool = False) -> RawTables:
    """Return the raw tables that are there, and what is to be said of those that are not.

    Args:
        workspace: Knows the raw root, and what was read of it before.
        contracts: Of the raw tables, by name.
        afresh: Whether to read even what is remembered.

    Raises:
        SourceError: The raw root or a required table or column is absent, or a file is unreadable.
    """
    root = workspace.raw_root
    if root is None or not root.is_dir():
        raise SourceError(
            str(root or "raw root"),
            "is not a folder here, expected the raw tables",
            f"{workspace.ingest_again} with the folder's place on this machine",
        )
    return find_raw_tables(root, workspace.pipeline, contracts, None if afresh else workspace.local.files)
