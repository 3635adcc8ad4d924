"""What the pipeline of a workspace runs, and the raw tables that it reads."""

from __future__ import annotations

from tawt.contracts.contract import Contract
from tawt.errors import SourceError
from tawt.pipeline.workspace import Workspace
from tawt.raw.find import RawTable, find_raw_tables
from tawt.sources.graph import Graph, load_graph


def graph_of(workspace: Workspace) -> Graph:
    """Return the stages of a workspace's pipeline, less those that the last ingest had no raw table for.

    Raises:
        ConfigError: As of `load_graph`.
        StageError: As of `load_graph`.
    """
    graph = load_graph(workspace.pipeline, workspace.project)
    return graph.without({f"raw.{name}" for name in workspace.ingested.absent_tables})


def raw_tables(
    workspace: Workspace, contracts: dict[str, Contract], afresh: bool = False
) -> tuple[dict[str, RawTable], list[str]]:
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
