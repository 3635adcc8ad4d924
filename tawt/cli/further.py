"""The commands that take a run further: to another place's records, and to new data_types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tawt.cli.again import again, follow
from tawt.cli.options import MODEL_PANEL, DryRun, Form, Memory, StaleOk, Threads, Workspace
from tawt.cli.output import Format, next_command, of_train, print_most, print_rows, print_text, say
from tawt.cli.ran import stage_progress

if TYPE_CHECKING:
    from tawt.commands.carry_coverage import CarryResult

_MOST_FAMILIES = _MOST_DRIFTED = 20


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("carry", rich_help_panel=MODEL_PANEL)(carry)
    app.command("extend", rich_help_panel=MODEL_PANEL)(extend)


def carry(
    run: Annotated[str, typer.Argument(help="A run folder of another place, or a shared model", show_default=False)],
    workspace: Workspace,
    threads: Threads = None,
    memory_limit: Memory = None,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Read a workspace in the vocabulary of another place's run, and tell how much of it that knows

    Example: tawt carry other/runs/pretrain_small -w work/mimic
    """
    from tawt.commands.carry import carry as run_carry

    with stage_progress(dry_run, form) as report:
        result = run_carry(
            workspace, run, threads=threads, memory_limit=memory_limit, stale_ok=stale_ok, dry_run=dry_run,
            report=report,
        )  # fmt: skip
    if dry_run and not result.coverage:
        next_command(again())
        return
    tell_found(result, form)
    say(f"dataset: {result.place}")
    next_command(again() if dry_run else follow("embed", workspace=workspace, run=run, form=form))


def tell_found(result: CarryResult, form: Format) -> None:
    """Tell how much of a workspace a vocabulary of before, or of another place, knows, and how far numbers lie."""
    if form is Format.table:
        rows = [
            (c.way, c.n_data_types, "-" if c.n_rows is None else c.n_rows, _share(c.share), c.n_subjects or "-")
            for c in result.coverage
        ]
        print_rows(("known by", "data_types", "rows", "share", "subjects"), rows, form)
        print()
        families = [
            (f.name, f.n_rows, _share(None if f.n_known is None else f.n_known / f.n_rows))
            for f in result.families[:_MOST_FAMILIES]
        ]
        print_rows(("codes of", "rows", "known"), families, form)
        print()
    if form is Format.json:
        tables = {name: [asdict(one) for one in getattr(result, name)] for name in ("coverage", "families", "drift")}
        more = {"unknown": result.unknown, "told": result.lines()}
        print_text(json.dumps(tables | more, indent=2, default=str))
    drift = [
        (d.code, d.data_type, d.way, d.unit, d.n_rows, _short(d.distance), _short(d.shift), _short(d.chance))
        for d in (result.drift[:_MOST_DRIFTED] if form is Format.table else result.drift)
    ]
    columns = ("code", "read as", "by", "unit", "rows", "distance", "shift", "by chance")
    if form is not Format.json:
        print_rows(columns, drift, form, spare=("by chance", "distance", "by", "rows", "unit"), folds="read as")
    if n := len(result.drift) - len(drift):
        say(f"and {n:,} more, which lie less far: `--format csv` has them")
    for line in result.lines():
        say(f"note: {line}")


def _sources(codes: Sequence[str]) -> str:
    return codes[0] + (f" and {len(codes) - 1:,} more" if len(codes) > 1 else "") if codes else ""


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _short(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"


def extend(
    run: Annotated[
        str,
        typer.Argument(help="A run folder, the name of one in WORKSPACE/runs, or a shared model", show_default=False),
    ],
    workspace: Workspace,
    init: Annotated[str, typer.Option(help="similar, parents, text or random: what new rows begin from")] = "similar",
    similar: Annotated[
        list[str] | None,
        typer.Option(help="A new data_type that begins as an old one, as NEW=OLD", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the run; RUN-extended by default", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn at random", min=0)] = 0,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Give a run rows for what build-vocab --extend added to its vocabulary

    Example: tawt extend pretrain_small -w work/mimic --init text
    """
    from tawt.commands.extend import extend as run_extend

    result = run_extend(
        workspace, run, init=init, similar=tuple(similar or ()), name=name, seed=seed,  # type: ignore[arg-type]
        stale_ok=stale_ok, dry_run=dry_run, report=lambda event: say(f"note: {event['text']}"),
    )  # fmt: skip
    say(f"the run did not know {of_train(result.n_unknown, result.n_rows)}")
    say(f"{sum(result.ways.values()):,} are new: {', '.join(f'{how} {n:,}' for how, n in result.ways.items())}")
    rows = [(one.data_type, one.means or "", one.how, _sources(one.sources), one.n_rows) for one in result.grown]
    print_most(("data_type", "means", "began", "from", "rows in train"), rows, form, "means")
    if dry_run:
        next_command(again())
        return
    say(f"run: {result.run}")
    new, out = result.run.name, workspace / "runs" / f"{result.run.name}-pretrained"
    next_command(follow("pretrain", workspace=workspace, config=result.run / "config.yaml", init=new, out=out))
