"""The data commands: demo, ingest, build-vocab, run, stages, show, sql, query, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.output import (
    Format,
    next_command,
    print_ledger,
    print_rows,
    print_table,
    say,
    say_run,
    stage_progress,
)

PANEL = "Data"

Workspace = Annotated[
    Path, typer.Option("--workspace", "-w", help="The workspace folder", show_default=False)
]
Threads = Annotated[int | None, typer.Option(help="Threads; all cores by default", show_default=False)]
Memory = Annotated[
    str | None, typer.Option(help="Memory limit, as 2GB; 60 % of the memory by default", show_default=False)
]
Force = Annotated[bool, typer.Option("--force", help="Run even what is up to date")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen, and why")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a config key, as key=value", show_default=False)
]
Form = Annotated[Format, typer.Option("--format", help="How data is printed")]


def add_to(app: typer.Typer) -> None:
    """Add the data commands to the application."""
    for name, function in (
        ("demo", demo), ("ingest", ingest), ("build-vocab", build_vocab), ("run", run), ("stages", stages),
        ("show", show), ("sql", sql), ("query", query), ("check", check),
    ):  # fmt: skip
        app.command(name, rich_help_panel=PANEL)(function)


def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="The workspace folder")] = Path(
        "tawt-demo"
    ),
    subjects: Annotated[int, typer.Option(help="Invented subjects", min=10)] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the invented hospital", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    threads: Threads = None,
) -> None:
    """Invent a hospital and run everything on it: ingest, build-vocab, pretrain, embed

    Example: tawt demo
    """
    from tawt.cli.progress import training_progress
    from tawt.tasks.demo import demo as run_demo

    with stage_progress(False) as stage_report, training_progress() as train_report:
        result = run_demo(
            workspace, n_subjects=subjects, seed=seed, device=device, threads=threads,
            report=stage_report, train_report=train_report,
        )  # fmt: skip
    print_ledger(result.data)
    print()
    print_rows(("what", "value"), result.summary(), Format.table)
    next_command(f'tawt query "select value_status, count(*) n from events group by all" -w {workspace}')


def ingest(
    raw_dir: Annotated[Path, typer.Argument(help="Folder of the raw tables", show_default=False)],
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of a pipeline, or a YAML file", show_default=False)
    ],
    workspace: Workspace,
    sample: Annotated[
        str | None, typer.Option(help="Only N subjects, or P%, whole and by hash", show_default=False)
    ] = None,
    settings: Set = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    force: Force = False,
    dry_run: DryRun = False,
    form: Form = Format.table,
) -> None:
    """Turn raw tables into events: checked, merged, split, sorted, a valid MEDS dataset

    Example: tawt ingest raw/ --pipeline mimic_iv -w work/mimic
    """
    from tawt.pipeline.ingest import ingest as run_ingest

    with stage_progress(dry_run) as report:
        result = run_ingest(
            raw_dir, pipeline, workspace, sample=sample, settings=tuple(settings or ()), threads=threads,
            memory_limit=memory_limit, force=force, dry_run=dry_run, report=report,
        )  # fmt: skip
    say_run(result)
    if dry_run:
        next_command(f"tawt ingest {raw_dir} --pipeline {pipeline} -w {workspace}")
        return
    print_ledger(result, form)
    next_command(f"tawt build-vocab -w {workspace}")


def build_vocab(
    workspace: Workspace,
    settings: Set = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    force: Force = False,
    dry_run: DryRun = False,
    form: Form = Format.table,
) -> None:
    """Turn events into a vocabulary, triplets and memory-mapped shards

    Example: tawt build-vocab -w work/mimic
    """
    from tawt.pipeline.ingest import build_vocab as run_build_vocab

    with stage_progress(dry_run) as report:
        result = run_build_vocab(
            workspace, settings=tuple(settings or ()), threads=threads, memory_limit=memory_limit, force=force,
            dry_run=dry_run, report=report,
        )  # fmt: skip
    say_run(result)
    if dry_run:
        next_command(f"tawt build-vocab -w {workspace}")
        return
    print_ledger(result, form)
    for stage in result.stages:
        for key, value in (stage.manifest.facts if stage.manifest is not None else {}).items():
            say(f"  {stage.stage}: {key.removeprefix('n_').replace('_', ' ')}: {_fact(value)}")
    next_command(f"tawt pretrain -w {workspace} --device auto")


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {n:,}" for name, n in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def run(
    selection: Annotated[
        str, typer.Argument(help="X only it, X+ and what follows, +X and what it needs", show_default=False)
    ],
    workspace: Workspace,
    threads: Threads = None,
    memory_limit: Memory = None,
    force: Force = False,
    dry_run: DryRun = False,
    form: Form = Format.table,
) -> None:
    """Run single stages again, each with its reason

    Example: tawt run staging.labevents+ -w work/mimic
    """
    from tawt.pipeline.ingest import run as run_selection

    with stage_progress(dry_run) as report:
        result = run_selection(
            selection,
            workspace,
            threads=threads,
            memory_limit=memory_limit,
            force=force,
            dry_run=dry_run,
            report=report,
        )
    say_run(result)
    if not dry_run:
        print_ledger(result, form)
    next_command(f"tawt check -w {workspace}" if not dry_run else f"tawt run {selection} -w {workspace}")


def stages(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder", show_default=False)
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", help="Instead, a pipeline", show_default=False)
    ] = None,
    form: Form = Format.table,
) -> None:
    """List the stages in the order in which they run

    Example: tawt stages --pipeline mimic_iv
    """
    from tawt.pipeline.inspect import stages as list_stages

    print_table(list_stages(workspace, pipeline), form)
    next_command(f"tawt show STAGE -w {workspace or 'W'}")


def show(
    stage: Annotated[str, typer.Argument(help="As staging.labevents", show_default=False)],
    workspace: Workspace,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Read its quarantined records again from the raw files")
    ] = False,
    limit: Annotated[int, typer.Option(help="At most so many quarantined records", min=1)] = 10,
    form: Form = Format.table,
) -> None:
    """Describe one stage: what a row is, its columns, its files, and where its records went

    Example: tawt show staging.labevents -w work/mimic --quarantine
    """
    from tawt.pipeline.inspect import quarantined
    from tawt.pipeline.inspect import show as show_stage

    if quarantine:
        records = quarantined(stage, workspace, limit)
        print_table(records, form)
        say(
            f"{records.num_rows:,} quarantined records shown, read again from the raw files"
            if records.num_rows
            else "nothing is quarantined"
        )
        next_command(f"tawt sql {stage} -w {workspace}")
        return
    view = show_stage(stage, workspace)
    say(f"{view.name}: {view.description}")
    say(f"reads {', '.join(view.inputs)}; {view.reason_last_run}")
    for key, value in view.facts.items():
        say(f"  {key}: {_fact(value)}")
    if form is not Format.table:
        print_table(view.ledger, form)
        return
    if view.columns is not None:
        print_table(view.columns, form)
        print()
    print_table(view.ledger, form)
    print()
    print_table(view.files.slice(0, 20), form)
    next_command(f"tawt show {stage} -w {workspace} --quarantine")


def sql(
    stage: Annotated[str, typer.Argument(help="As staging.labevents", show_default=False)],
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder", show_default=False)
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", help="Instead, a pipeline", show_default=False)
    ] = None,
) -> None:
    """Print a stage's SQL, and say the parameters it is bound to

    Example: tawt sql staging.labevents --pipeline mimic_iv
    """
    from tawt.pipeline.inspect import sql as sql_of

    text, parameters = sql_of(stage, workspace, pipeline)
    print(text.rstrip())
    for name, value in parameters.items():
        say(f"${name} = {value}")
    next_command(f"tawt run {stage}+ -w {workspace or 'W'}")


def query(
    text: Annotated[str, typer.Argument(help="One select", show_default=False)],
    workspace: Workspace,
    threads: Threads = None,
    memory_limit: Memory = None,
    form: Form = Format.table,
) -> None:
    """Run one select over the workspace's relations

    Example: tawt query "select code, count(*) n from events group by code order by n desc limit 5" -w work/mimic
    """
    from tawt.pipeline.inspect import query as run_query

    print_table(run_query(text, workspace, threads=threads, memory_limit=memory_limit), form)
    next_command(f"tawt stages -w {workspace}")


def check(
    kind: Annotated[
        str | None, typer.Argument(help="`meds` to check any MEDS dataset", show_default=False)
    ] = None,
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

    if kind == "meds" and path is not None and workspace is None:
        from tawt.pipeline.check_meds import check_meds

        findings = check_meds(path)
        following = f"tawt ingest {path} --pipeline meds -w W"
    elif kind is None and workspace is not None:
        from tawt.pipeline.check import check as check_workspace

        findings = check_workspace(workspace)
        following = f"tawt stages -w {workspace}"
    else:
        raise ConfigError("check", "needs `-w W` or `meds PATH`", "tawt check -w W, or tawt check meds PATH")
    print_rows(("check", "ok", "detail"), [(f.check, f.ok, f.detail) for f in findings], form)
    failed = sum(1 for finding in findings if not finding.ok)
    next_command(following if not failed else "mend what failed, then check again")
    say(f"{len(findings) - failed} checks passed, {failed} failed")
    if failed:
        raise typer.Exit(1)
