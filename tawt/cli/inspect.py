"""The commands that look at data: stages, show, sql, query, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tawt.cli.again import follow, follow_ingest
from tawt.cli.options import DATA_PANEL, Form, Memory, OptionalWorkspace, Pipeline, Threads, Workspace
from tawt.cli.output import Format, next_command, print_rows, print_table, print_text, print_tree, say
from tawt.cli.ran import facts_in_words
from tawt.contracts.reasons import NOT_SAMPLED, OF_SUBJECTS
from tawt.shell import command

if TYPE_CHECKING:
    from tawt.commands.look import StageView

Cte = Annotated[str | None, typer.Option(help="Try this step (CTE) of the stage", show_default=False)]
First = Annotated[
    int | None, typer.Option(help="On so many records of the stage's first relation; rows of a query", min=1,
                             show_default=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    for name, function in (("stages", stages), ("show", show), ("sql", sql), ("query", query), ("check", check)):
        app.command(name, rich_help_panel=DATA_PANEL)(function)


def stages(
    workspace: OptionalWorkspace = None,
    pipeline: Pipeline = None,
    form: Form = Format.table,
) -> None:
    """List the stages in the order in which they run

    Example: tawt stages --pipeline mimic_iv
    """
    from tawt.commands.look import stages as list_stages

    mends: list[str] = []

    def heard(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            say(f"note: {event['text']}")
        else:
            mends.append(event["command"])

    listed = list_stages(workspace, pipeline, report=heard)
    print_table(listed, form, spare=("description", "inputs", "of"))
    first = listed["stage"][0]
    next_command(
        mends[0]
        if mends
        else follow("show", first, workspace=workspace, form=form)
        if workspace
        else follow("sql", first, pipeline=pipeline)
    )


def show(
    stage: Annotated[str, typer.Argument(help="As staging.labevents", show_default=False)],
    workspace: Workspace,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Read its quarantined records again from the raw files")
    ] = False,
    dropped: Annotated[
        bool, typer.Option("--dropped", help="Read records that it dropped again from the raw files, by reason")
    ] = False,
    lineage: Annotated[bool, typer.Option("--lineage", help="Show what it was made from, as a tree")] = False,
    limit: Annotated[
        int, typer.Option(help="At most so many quarantined records, or dropped ones of each reason", min=1)
    ] = 10,
    form: Form = Format.table,
) -> None:
    """Describe one stage: what a row is, its columns, its files, and where its records went

    Example: tawt show staging.labevents -w work/mimic --quarantine
    """
    from tawt.commands.look import has_sql
    from tawt.commands.look import show as show_stage
    from tawt.errors import ConfigError

    if quarantine + dropped + lineage > 1:
        raise ConfigError(
            "show", "is asked for several views, expected one of --quarantine, --dropped, --lineage", "ask twice"
        )
    if quarantine or dropped:
        _show_rejected(stage, workspace, limit, form, "quarantined" if quarantine else "dropped")
        next_command(follow("sql" if has_sql(stage) else "show", stage, workspace=workspace))
        return
    if lineage:
        from tawt.commands.lineage import lineage as lineage_of

        print_tree(lineage_of(stage, workspace), form)
        next_command(follow("show", stage, workspace=workspace, form=form))
        return
    view = show_stage(stage, workspace)
    then = _about_gone(view, workspace, form)
    say(f"{view.name}: {view.description}")
    say(f"reads {', '.join(view.inputs)}; {view.reason_last_run}")
    for line in facts_in_words(view.name, view.facts, view.most_lost):
        say(line)
    if form is not Format.table:
        print_table(view.ledger, form)
        next_command(then)
        return
    if view.columns is not None:
        print_table(view.columns, form)
        print()
    print_table(view.ledger, form)
    print()
    print_table(view.files.slice(0, 20), form)
    next_command(then)


def _about_gone(view: StageView, workspace: Path, form: Format) -> str:
    """Return the command that shows records which a stage quarantined, or dropped, or else what it was made from."""
    gone = {(row["route"], row["reason"]) for row in view.ledger.to_pylist() if row["route"] in ("quarantine", "drop")}
    if any(route == "quarantine" for route, _ in gone):
        return follow("show", view.name, workspace=workspace, quarantine=True, form=form)
    if any(reason not in OF_SUBJECTS for _, reason in gone):
        return follow("show", view.name, workspace=workspace, dropped=True, form=form)
    return follow("show", view.name, workspace=workspace, lineage=True, form=form)


def _show_rejected(stage: str, workspace: Path, limit: int, form: Format, which: str) -> None:
    from tawt.commands import rejected

    list_them = rejected.quarantined if which == "quarantined" else rejected.dropped
    records = list_them(stage, workspace, limit)
    print_table(records, form, thousands=False)
    placed = {"file", "record", "line", "column", "reason", "input"}
    say(
        f"{records.num_rows:,} {which} records shown"
        + (", read again from the raw files" if not {*records.column_names} <= placed else "")
        if records.num_rows
        else f"nothing is {which}{_but_sampled(stage, workspace) if which == 'dropped' else ''}"
    )


def _but_sampled(stage: str, workspace: Path) -> str:
    """Say how many records a stage dropped that are of subjects outside of the sample, which are not listed."""
    from tawt.commands.look import show as show_stage

    n = sum(row["n"] for row in show_stage(stage, workspace).ledger.to_pylist() if row["reason"] == NOT_SAMPLED)
    return f" but {n:,} records of subjects that are not in the sample (`{NOT_SAMPLED}`)" if n else ""


def sql(
    stage: Annotated[str, typer.Argument(help="As staging.labevents", show_default=False)],
    workspace: OptionalWorkspace = None,
    pipeline: Pipeline = None,
    cte: Cte = None,
    limit: First = None,
    diff: Annotated[bool, typer.Option("--diff", help="Only what has changed since it ran")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write it as a file of the project, to edit")] = False,
    held: Annotated[
        bool, typer.Option("--held", help="All that would run: wrapped, so that its contract holds")
    ] = False,
    form: Form = Format.table,
) -> None:
    """Print the SQL that made a stage and say whether it has changed since; try it, or make a file of it to edit

    Example: tawt sql staging.labevents --pipeline mimic_iv
    """
    from tawt.commands.sql import held_sql, write_sql
    from tawt.commands.sql import sql as sql_of

    if cte is not None or limit is not None:
        _try(stage, workspace, cte, limit, form)
        return
    if held:
        print_text(held_sql(stage, workspace, pipeline))
    elif write:
        say(f"wrote {write_sql(stage, workspace, pipeline)}: it is what runs from now on")
    else:
        found = sql_of(stage, workspace, pipeline)
        if shown := "".join(found.changes.values()) if diff else found.text:
            print_text(shown)
        for name, value in found.parameters.items() if not diff else ():
            say(f"${name} = {value}")
        if diff and found.ran and not shown:
            say("no change since it ran")
            return
        say(found.state)
        if found.stage.fault is not None:
            next_command(found.stage.fault.mend)
            return
    next_command(follow("run", f"{stage}+", workspace=workspace) if workspace else follow_ingest(pipeline))


def _try(stage: str, workspace: Path | None, cte: str | None, limit: int | None, form: Format) -> None:
    from tawt.commands.attempt import FIRST, attempt
    from tawt.errors import ConfigError

    if workspace is None:
        example = command("sql", stage, cte=cte, limit=limit, workspace="WORKSPACE")
        raise ConfigError("sql", "tries a stage on records, expected a workspace that has some", f"`{example}`")
    tried = attempt(stage, workspace, cte, limit or FIRST, report=lambda event: say(f"note: {event['text']}"))
    print_table(tried, form, thousands=False)
    say(f"{tried.num_rows:,} rows of the first {limit or FIRST:,} records; nothing is written")
    next_command(follow("run", f"{stage}+", workspace=workspace))


def query(
    text: Annotated[str, typer.Argument(help="One select, or a stage whose step is tried", show_default=False)],
    workspace: Workspace,
    cte: Cte = None,
    limit: First = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    form: Form = Format.table,
) -> None:
    """Run one select over the workspace's relations, or with `--cte` a step of a stage on its first records

    Example: tawt query "select code, count(*) n from events group by code order by n desc limit 5" -w work/mimic
    """
    from tawt.commands.query import query as run_query

    result = run_query(
        text,
        workspace,
        cte,
        limit,
        threads=threads,
        memory_limit=memory_limit,
        report=lambda event: say(f"note: {event['text']}"),
    )
    print_table(result, form, thousands=False)
    next_command(follow("stages", workspace=workspace, form=form))


def check(
    kind: Annotated[str | None, typer.Argument(help="`meds` to check any MEDS dataset", show_default=False)] = None,
    path: Annotated[Path | None, typer.Argument(help="Its root", show_default=False)] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace to check", show_default=False)
    ] = None,
    form: Form = Format.table,
) -> None:
    """Count everything again: a workspace, or with `meds PATH` anybody's MEDS dataset

    Example: tawt check -w work/mimic
    """
    from tawt.errors import ConfigError
    from tawt.quality.synthetic import check_dataset, is_handed_on

    if kind is None and workspace is not None and is_handed_on(workspace):
        kind, path, workspace = "meds", workspace, None
    if kind == "meds" and path is not None and workspace is None:
        findings = check_dataset(path)
        following = follow("ingest", path, pipeline="meds", workspace="work/meds", form=form)
    elif kind is None and workspace is not None:
        from tawt.quality.workspace import check as check_workspace

        findings = check_workspace(workspace)
        following = follow("stages", workspace=workspace, form=form)
    else:
        raise ConfigError(
            "check", "has nothing to check, expected `-w W` or `meds PATH`", "tawt check -w W, or tawt check meds PATH"
        )
    print_rows(("check", "ok", "detail"), [(f.check, f.ok, f.detail) for f in findings], form)
    failed = sum(1 for finding in findings if not finding.ok)
    mend = next((finding.mend for finding in findings if finding.mend), "")
    say(f"{len(findings) - failed} checks passed, {failed} failed")
    if then := mend if failed else following:
        next_command(then)
    if failed:
        raise typer.Exit(1)
