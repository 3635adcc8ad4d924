"""The commands that move whole workspaces: push, pull."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tawt.cli.again import follow
from tawt.cli.options import DATA_PANEL, Workspace
from tawt.cli.output import next_command, say

if TYPE_CHECKING:
    from tawt.commands.push import Moved

Url = Annotated[str, typer.Argument(help="Of a folder in an object store, as s3://BUCKET/FOLDER", show_default=False)]

Undo = Annotated[bool, typer.Option("--force", help="Replace what was made there, or here, since both were the same")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("push", rich_help_panel=DATA_PANEL)(push)
    app.command("pull", rich_help_panel=DATA_PANEL)(pull)


def push(url: Url, workspace: Workspace, force: Undo = False) -> None:
    """Put a workspace into an object store: what is there already is not sent again

    Example: tawt push s3://bucket/mimic -w work/mimic
    """
    from tawt.cli.progress import told_by_part
    from tawt.commands.push import push as run_push

    _tell(run_push(url, workspace, force=force, report=told_by_part("of stages")), "sent")
    next_command(follow("run", "+dataset", workspace="FOLDER", store=url, raw="RAW_DIR", part="1/N"))


def pull(
    url: Url,
    workspace: Workspace,
    raw: Annotated[Path | None, typer.Option(help="The raw tables on this machine", show_default=False)] = None,
    force: Undo = False,
) -> None:
    """Bring a whole workspace from an object store, every file held to its hash

    Example: tawt pull s3://bucket/mimic -w work/mimic
    """
    from tawt.cli.progress import told_by_part
    from tawt.commands.push import pull as run_pull

    _tell(run_pull(url, workspace, raw=raw, force=force, report=told_by_part("of stages")), "brought")
    next_command(follow("check", workspace=workspace))


def _tell(moved: Moved, done: str) -> None:
    n_bytes = sum(sum(one.files.values()) for one in moved.stages)
    say(f"{len(moved.stages):,} stages, {n_bytes:,} bytes: {moved.n_moved:,} {done}, the others were there")
