"""The commands around a project of one's own: init and test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tawt.cli.again import again, follow, follow_ingest
from tawt.cli.options import DATA_PANEL, DryRun, Form, OptionalWorkspace
from tawt.cli.output import Format, counted, looking, next_command, print_rows, print_text, say

_WIDTH = 100
"""Of the lines that tell what to look at, where no terminal says its own."""


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    for name, function in (("init", init), ("test", test)):
        app.command(name, rich_help_panel=DATA_PANEL)(function)


def init(
    raw_dir: Annotated[Path, typer.Argument(help="Folder of the raw tables", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the new source and its pipeline", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the project; the current one by default", show_default=False)
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Column that says whose a record is", show_default=False)] = None,
    records: Annotated[int, typer.Option(help="Records of each table to look at", min=1)] = 20_000,
    force: Annotated[bool, typer.Option("--force", help="Draft anew what was drafted before and not edited")] = False,
    dry_run: DryRun = False,
    form: Form = Format.table,
) -> None:
    """Look at raw tables and draft a project for them: contracts, SQL, a pipeline, cases

    Example: tawt init raw/ --name clinic
    """
    from tawt.commands.init import init as draft

    with looking() as report:
        result = draft(
            raw_dir, name, out, subject=subject, records=records, force=force, dry_run=dry_run, report=report
        )
    print_rows(("table", "taken for", "subject", "time", "says"), result.look.rows(), form)
    notes = result.look.notes()
    if notes:
        say("look at:")
    for note in notes:
        say(f"  {note}", width=_WIDTH)
    for path in result.kept:
        say(f"kept, edited since it was drafted: {path}")
    for path in result.removed:
        say(f"{'to remove' if dry_run else 'removed'}, of the draft before: {path}")
    say(
        f"{len(result.written)} files {'to write' if dry_run else 'written'} below {result.root}/, "
        "every guess marked `guessed:`"
    )
    pipeline = name if out is None else result.pipeline
    next_command(
        again() if dry_run else follow("ingest", raw_dir, pipeline=pipeline, workspace=f"work/{name}", form=form)
    )


def test(
    where: Annotated[
        str | None,
        typer.Argument(help="A project, cases of one, or a source; the current folder", show_default=False),
    ] = None,
    match: Annotated[
        str | None, typer.Option("-k", help="Only cases with this word in their name", show_default=False)
    ] = None,
    workspace: OptionalWorkspace = None,
    form: Form = Format.table,
) -> None:
    """Run the cases of a project: invented rows, and what its stages and macros make of them

    Example: tawt test clinic -k readings
    """
    from tawt.commands.cases import CaseResult
    from tawt.commands.cases import test as run_cases

    def told(result: CaseResult) -> None:
        if form is Format.table and not result.ok:
            print_text(f"{result.place}: {'; '.join(result.differences)}")

    tried = run_cases(where, match=match, workspace=workspace, report=told)
    if form is not Format.table:
        rows = [(one.name, str(one.file), one.ok, "; ".join(one.differences)) for one in tried.results]
        print_rows(("case", "file", "ok", "differs"), rows, form)
    failed = [one for one in tried.results if not one.ok]
    for note in tried.notes:
        say(f"note: {note}")
    if tried.untested:
        say(f"without a case: {', '.join(tried.untested)}")
    if tried.declared:
        say(f"held by their contracts alone: {', '.join(tried.declared)}")
    say(f"{counted(len(tried.results) - len(failed), 'case')} passed, {len(failed)} failed")
    if failed:
        # a pipeline is no case, and has no name of one
        first = next((one.name for one in failed if not one.name.startswith("pipelines.")), None)
        next_command(again("-k", first) if match is None and first is not None else again())
        raise typer.Exit(1)
    next_command(
        follow("stages", workspace=workspace, form=form)
        if workspace is not None
        else follow_ingest(_pipeline_of(where), form)
    )


def _pipeline_of(where: str | None) -> str | None:
    """Return the pipeline of a project that is tested, as an ingest takes it; None where there are several."""
    from tawt.config.named import names_of
    from tawt.project import Project

    here = Project.here()
    project = Project.at(Path(where)) if where is not None and Path(where).is_dir() else here
    files = {name: project.find(f"pipelines/{name}.yaml") for name in names_of(project, of_pipeline=True)}
    own = [name for name, file in files.items() if file is not None and project.owns(file)]
    name = where if where in own else own[0] if len(own) == 1 else None
    return name if name is None or project == here else str(files[name])
