"""The command that counts what differs: diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tawt.cli.again import follow
from tawt.cli.options import DATA_PANEL, Form, Memory, OptionalWorkspace, Threads
from tawt.cli.output import Format, next_command, print_table, say
from tawt.shell import command

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_TYPES = 20
"""Data_types of a stage that a table of differences lists."""


def add_to(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("diff", rich_help_panel=DATA_PANEL)(diff)


def diff(
    before: Annotated[Path, typer.Argument(help="A workspace; with -w a stage, as it is there", show_default=False)],
    after: Annotated[
        Path | None,
        typer.Argument(help="Another one; with -w none: its SQL as it is now", show_default=False),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage of two workspaces", show_default=False)] = None,
    workspace: OptionalWorkspace = None,
    exact: Annotated[bool, typer.Option("--exact", help="Counts as they are, for yourself: not to be shared")] = False,
    threads: Threads = None,
    memory_limit: Memory = None,
    form: Form = Format.table,
) -> None:
    """Count what differs between two workspaces, or with `-w W STAGE` what an edit of a stage changes

    Example: tawt diff work/mimic work/mimic-edited
    """
    from tawt.commands.diff import diff as diff_of
    from tawt.errors import ConfigError

    if workspace is not None and (after is not None or stage is not None):
        raise ConfigError(
            "diff", "has a workspace with -w and more than a stage, expected two workspaces, or one and a stage",
            f"`{command('diff', 'A', 'B')}`, or `{command('diff', 'STAGE', workspace=workspace)}`",
        )  # fmt: skip
    places = (before, after, stage) if workspace is None else (workspace, None, str(before))
    found = diff_of(
        *places,
        exact=exact,
        threads=threads,
        memory_limit=memory_limit,
        report=lambda event: say(f"note: {event['text']}"),
    )
    shown = found if form is not Format.table else shortened(found)
    print_table(shown, form)
    if exact and found.num_rows:
        say("note: these counts can point at single people: they are for you alone and must not be shared")
    n_left = found.num_rows - shown.num_rows
    say(
        f"{found.num_rows:,} differences"
        + (f", {n_left:,} of data_types are not shown: --format csv shows all" if n_left else "")
        if found.num_rows
        else "no difference"
    )
    edited = after is None and found.num_rows
    next_command(
        follow("run", f"{places[2]}+", workspace=places[0])
        if edited
        else follow("stages", workspace=after or places[0], form=form)
    )


def shortened(found: pa.Table) -> pa.Table:
    """Leave the first data_types of each stage, of which the most rows differ."""
    import pyarrow as pa

    n_of: dict[str, int] = {}
    kept = []
    for stage, what, name in zip(*(found[column].to_pylist() for column in ("stage", "what", "name")), strict=True):
        is_type = what == "rows only here" and bool(name)
        n_of[stage] = n_of.get(stage, 0) + is_type
        kept.append(not is_type or n_of[stage] <= _MOST_TYPES)
    return found.filter(pa.array(kept, pa.bool_()))
