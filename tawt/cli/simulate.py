"""The commands of a decoder: what may come of a record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import follow, foretell
from tawt.cli.options import MODEL_PANEL, Aces, DryRun, Form, Predicates, StaleOk, Workspace
from tawt.cli.output import Format, counted, next_command, print_rows, print_text, say, terminal_width
from tawt.cli.trained import threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("risk", rich_help_panel=MODEL_PANEL)(risk)


def risk(
    task: Annotated[str, typer.Argument(help="A label set that `tawt label` made of an ACES task", show_default=False)],
    workspace: Workspace,
    run: Annotated[str, typer.Option(help="A decoder: a run folder or its name", show_default=False)],
    aces: Aces = None,
    predicates: Predicates = None,
    split: Annotated[str, typer.Option(help="Whose labels are asked about: train, tuning or held_out")] = "held_out",
    n: Annotated[int, typer.Option("--n", help="Continuations of each record", min=2)] = 20,
    most: Annotated[int, typer.Option(help="Events after which a continuation is cut", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the continuations", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="A folder; WORKSPACE/risks/TASK by default", show_default=False)
    ] = None,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Answer a task by what comes in continuations of each record, of a decoder that never saw its labels

    Example: tawt risk icu_mortality_24h -w work/mimic --run decode_small
    """
    threads_sleep_soon()
    from tawt.commands.risk import risk as run_risk

    def report(event: dict[str, Any]) -> None:
        say(f"note: {event['text']}" if "text" in event else f"  {event['n_done'] / event['n_rows']:.0%} of labels")

    result = run_risk(
        workspace, task, run, aces=aces, predicates=predicates, split=split, n=n, most=most, seed=seed, out=out,
        stale_ok=stale_ok, dry_run=dry_run, report=report,
    )  # fmt: skip
    if dry_run:
        of = "labels of few subjects" if result.n_rows is None else counted(result.n_rows, "label")
        foretell(
            [("ask about", f"{of} of {split}"), ("continue each", f"{2 * n} times"), ("write", result.folder)], form
        )
        return
    if form is Format.json:
        print_text((result.folder / "risk.json").read_text(encoding="utf-8"))
    elif form is Format.csv:
        print_rows(
            ("estimator", "events_per_label", "times_fewer"),
            [(name, result.steps[name], result.gain.get(name, "")) for name in result.steps], form,
        )  # fmt: skip
    else:
        print_text(result.text(width=terminal_width() or 160))
    say(f"written: {result.folder}")
    next_command(follow("finetune", task, workspace=workspace, run=run, mode="probe", form=form))
