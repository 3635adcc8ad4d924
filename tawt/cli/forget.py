"""The command that takes subjects out of a workspace: forget."""

from __future__ import annotations

from typing import Annotated

import typer

from tawt.cli.again import again, follow
from tawt.cli.options import DATA_PANEL, DryRun, Form, Memory, Threads, Workspace
from tawt.cli.output import Format, counted, next_command, print_rows, say
from tawt.cli.ran import stage_progress, tell_run
from tawt.errors import listed


def add_to(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("forget", rich_help_panel=DATA_PANEL)(forget)


def forget(
    workspace: Workspace,
    subjects: Annotated[
        list[str] | None,
        typer.Argument(help="Ids as the raw tables have them, or files with one a line", show_default=False),
    ] = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    dry_run: DryRun = False,
    form: Form = Format.table,
) -> None:
    """Take subjects out of a workspace, prove that they are out, and keep them out at every later ingest

    Example: tawt forget opted_out.txt -w work/mimic
    """
    from tawt.commands.forget import forget as run_forget

    with stage_progress(dry_run, form) as report:
        found = run_forget(
            subjects or (), workspace=workspace, threads=threads, memory_limit=memory_limit, dry_run=dry_run,
            report=report,
        )  # fmt: skip
    tell_run(found.run, form)
    for stage, n in found.taken.items():
        say(f"  {stage}: {counted(n, 'record')} taken out")
    for name in found.removed:
        say(f"removed {name}, which told of them: make it again where it is wanted")
    for name in found.perhaps:
        say(f"note: a number like one of theirs stands in {name}: look whether it is one")
    for name in found.unread:
        say(f"note: {name} is neither table nor text, and is not looked into: look yourself whether it tells of them")
    for name in found.told_by_none:
        say(
            f"warning: {name} names no subject, and no contract says whose its records are: theirs are in it yet; "
            "declare the `grain` of a table that has one row for each of what both name, and ingest again"
        )
    if found.absent:
        places = listed(dict.fromkeys(found.absent))
        say(f"note: no event was here of {counted(len(found.absent), 'subject')} given ({places}): is each id right?")
    of_given = f"{counted(found.n_asked, 'subject')} given, {found.n_there:,} with events here, {found.n_all:,} in all"
    if found.learned:
        print_rows(("run", "learned from who opted out"), sorted(found.learned.items()), form)
    if dry_run:
        say(of_given)
        next_command(again())
        return
    say(f"{of_given}; none of {found.n_files:,} files that were looked into tells of them; no ingest brings them back")
    next_command(follow("check", workspace=workspace, form=form))
