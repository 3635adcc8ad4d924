"""The command that judges synthetic sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import follow, foretell
from tawt.cli.options import MODEL_PANEL, DryRun, Form, StaleOk, Workspace
from tawt.cli.output import Format, next_command, print_rows, print_text, say, text_width
from tawt.cli.trained import threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("assess", rich_help_panel=MODEL_PANEL)(assess)


def assess(
    synthetic: Annotated[
        Path, typer.Argument(help="A set of `tawt generate`, a workspace or a MEDS dataset", show_default=False)
    ],
    workspace: Workspace,
    run: Annotated[
        str | None,
        typer.Option(help="Also by an encoder's or decoder's embeddings and likelihoods", show_default=False),
    ] = None,
    reference_run: Annotated[
        str | None, typer.Option(help="A decoder that learned from other people", show_default=False)
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="A label set of yes or no that is learned from both", show_default=False)
    ] = None,
    n: Annotated[int, typer.Option("--n", help="People of each set, at most", min=1)] = 5000,
    curve: Annotated[bool, typer.Option("--curve", help="Attack with fewer people too, and controls of fewer")] = False,
    smaller: Annotated[
        list[str] | None,
        typer.Option(help="SET=WORKSPACE: a set that was learned from fewer people, for --curve", show_default=False),
    ] = None,
    no_fidelity: Annotated[bool, typer.Option("--no-fidelity", help="Do not hold it to real records")] = False,
    no_transformer: Annotated[
        bool, typer.Option("--no-transformer", help="Let no transformer learn to tell it from real records")
    ] = False,
    no_privacy: Annotated[bool, typer.Option("--no-privacy", help="Do not attack it")] = False,
    seed: Annotated[int, typer.Option(help="Of who is drawn", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder; SYNTHETIC/assessment by default", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N, for the run")] = "auto",
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Judge a synthetic set: is it like real records, and does it give anybody away?

    Example: tawt assess work/invented -w work/mimic --run decode_small --task icu_mortality_24h
    """
    threads_sleep_soon()
    from tawt.commands.assess import RECORD
    from tawt.commands.assess import assess as run_assess
    from tawt.contracts.cells import few
    from tawt.contracts.workspace import is_workspace

    def report(event: dict[str, Any]) -> None:
        say(f"note: {event['text']}" if event["event"] == "note" else f"  {event['text']}")

    result = run_assess(
        synthetic, workspace, run=run, reference_run=reference_run, tasks=task or (), n=n, curve=curve,
        smaller=smaller or (), fidelity=not no_fidelity, with_transformer=not no_transformer,
        privacy=not no_privacy, seed=seed, out=out, device=device,
        stale_ok=stale_ok, dry_run=dry_run, report=report,
    )  # fmt: skip
    if dry_run:
        sizes = [(name, few(number)) for name, number in result.sizes.items()]
        foretell([*sizes, ("where", result.chosen), ("write", result.folder)], form)
        return
    assert result.found is not None
    if form is Format.json:
        print_text((result.folder / RECORD).read_text(encoding="utf-8"))
    elif form is Format.csv:
        print_rows(("metric", "set", "value", "low", "high", "outcome"), _numbers(result.found), form)
    else:
        print_text(result.found.text(width=text_width()))
    say(f"written: {result.folder / 'report.html'}")
    if is_workspace(synthetic):
        next_command(follow("check", workspace=synthetic, form=form))
    else:
        next_command(follow("check", "meds", synthetic, form=form))


def _numbers(found: Any) -> list[tuple[Any, ...]]:
    """Return a row a number."""
    rows: list[tuple[Any, ...]] = []
    if found.privacy is not None:
        for gate in found.privacy.verdict.to_json()["gates"]:
            rows.append((gate["name"], "synthetic", gate["value"], gate["low"], gate["high"], gate["outcome"]))
    if found.fidelity is not None:
        for name, of in found.fidelity.sets.items():
            rows += [(metric, name, one.value, one.low, one.high, None) for metric, one in of.items()]
    return rows
