"""The commands that ask people: a page of records to rate, and what they said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import follow, foretell
from tawt.cli.options import MODEL_PANEL, DryRun, Form, StaleOk, Workspace
from tawt.cli.output import Format, counted, next_command, print_rows, print_text, say


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("review", rich_help_panel=MODEL_PANEL)(review)
    app.command("ratings", rich_help_panel=MODEL_PANEL)(ratings)


def review(
    synthetic: Annotated[
        Path, typer.Argument(help="What `tawt generate` wrote, or any MEDS dataset", show_default=False)
    ],
    workspace: Workspace,
    out: Annotated[Path, typer.Option(help="A folder for the page and its key", show_default=False)],
    n: Annotated[int, typer.Option("--n", help="Records to rate, real and invented", min=4)] = 40,
    split: Annotated[str, typer.Option(help="Of the real ones: train, tuning or held_out")] = "held_out",
    seed: Annotated[
        int | None,
        typer.Option(help="Of the choice and the order; by default one that nobody knows", min=0, show_default=False),
    ] = None,
    stale_ok: StaleOk = False,
    dry_run: DryRun = False,
) -> None:
    """Write a page on which people rate real and invented records without knowing which is which

    Example: tawt review work/invented -w work/mimic --n 40 --out review
    """
    from tawt.commands.review import review as run_review
    from tawt.reviews.answers import PAGE

    def report(event: dict[str, Any]) -> None:
        say(f"note: {event['text']}")

    result = run_review(
        synthetic, workspace, out=out, n=n, split=split, seed=seed, stale_ok=stale_ok, dry_run=dry_run, report=report
    )
    if dry_run:
        foretell([("show", f"{counted(n, 'record')}, real ones of {split}"), ("write", result.folder)])
        return
    shown = f"{result.folder / PAGE}, {counted(result.n, 'record')} for raters"
    say(f"written: {shown}; it holds real records: let it not leave this machine")
    say(f"written: {result.folder / 'key.json'}, which says what is real: no rater may see it")
    next_command(follow("ratings", result.folder, "ANSWERS.json"))


def ratings(
    review: Annotated[Path, typer.Argument(help="The folder that `tawt review` wrote", show_default=False)],
    answers: Annotated[list[Path], typer.Argument(help="Files that its page saved", show_default=False)],
    seed: Annotated[int, typer.Option(help="Of the draws for intervals", min=0)] = 0,
    form: Form = Format.table,
) -> None:
    """Read the answers to a review: can raters tell invented records from real ones, and what did they find

    Example: tawt ratings review answers-*.json
    """
    from tawt.commands.review import ratings as run_ratings

    result = run_ratings(review, answers, seed=seed)
    if form is Format.json:
        print_text(json.dumps(result.to_json(), indent=2))
    else:
        columns = ("rater", "measure", "value", "low", "high", "ratings")
        rows = [
            (one.rater, one.measure, *(_told(getattr(one.interval, name), form) for name in columns[2:5]), one.n)
            for one in result.measured
        ]
        print_rows(columns, rows, form)
    if form is Format.table:
        print_text("\n")
        flags = [(one.flag, f"{one.synthetic:,} of {one.of_synthetic:,}", f"{one.real} of {one.of_real:,}")
                 for one in result.flagged]  # fmt: skip
        print_rows(("impossible", "of ratings of synthetic", "of ratings of real"), flags, form)
        if result.said:
            print_text("\n")
            print_rows(("record", "is", "rater", "note"), result.said, form, folds="note")
    for note in result.notes:
        say(f"note: {note}")
    next_command(follow("ratings", review, "MORE_ANSWERS.json", *answers, form=form))


def _told(value: float | None, form: Format) -> float | str | None:
    """Return a number as a person reads it; as it is where it goes on to a program."""
    return value if value is None or form is not Format.table else f"{value:.3f}"
