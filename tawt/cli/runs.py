"""The commands that look at runs: compare, sweep, plot."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tawt.cli.again import again, follow, foretell
from tawt.cli.options import MODEL_PANEL, DryRun, Form, Kind, StaleOk, Workspace
from tawt.cli.output import Format, next_command, print_rows, print_text, say, text_width

if TYPE_CHECKING:
    from tawt.commands.compare import Comparison

Runs = Annotated[list[str], typer.Argument(help="Names of runs in WORKSPACE/runs, or run folders", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("compare", rich_help_panel=MODEL_PANEL)(compare)
    app.command("sweep", rich_help_panel=MODEL_PANEL)(sweep)
    app.command("plot", rich_help_panel=MODEL_PANEL)(plot)


def compare(
    workspace: Workspace,
    runs: Runs,
    form: Form = Format.table,
    plot: Annotated[
        Path | None, typer.Option(help="A PNG file for the curves; needs the extra `plots`", show_default=False)
    ] = None,
    stale_ok: StaleOk = False,
    dry_run: DryRun = False,
) -> None:
    """Lay runs beside one another: settings, losses, tasks that they were evaluated on, embeddings and costs

    Example: tawt compare -w work/mimic pretrain_small deeper
    """
    from tawt.commands.compare import compare as run_compare

    found = run_compare(workspace, runs, plot=plot, stale_ok=stale_ok, dry_run=dry_run)
    if dry_run:
        foretell([("compare", ", ".join(found.runs)), *([] if plot is None else [("draw", plot)])], form)
        return
    if form is Format.json:
        print(json.dumps(asdict(found), indent=2))
    elif form is Format.csv:
        print_rows(("table", "run", "name", "step", "value"), _tidy(found), form)
    else:
        _print_tables(found)
    if plot is not None:
        say(f"curves: {plot}")
    next_command(follow("plot", *runs, workspace=workspace, stale_ok=stale_ok))


def _print_tables(found: Comparison) -> None:
    from tawt.commands.compare import shown, sparkline

    if found.differences:
        rows: list[tuple[Any, ...]] = [(key, *map(shown, values)) for key, values in found.differences.items()]
        print_rows(("setting", *found.runs), rows, Format.table)
    else:
        say("all settings are the same")
    print()
    results = [(r.part, r.run, r.weight, r.final, r.best, r.best_step, r.baseline) for r in found.results]
    print_rows(("part", "run", "weight", "final", "best", "at step", "trivial"), results, Format.table)
    drawn = {name: curve for name, curve in found.curves.items() if curve}
    if drawn:
        values = [value for curve in drawn.values() for _, value in curve]
        last = max(curve[-1][0] for curve in drawn.values())
        low, high = min(values), max(values)
        print()
        lines = [(name, sparkline(curve, low, high, last)) for name, curve in drawn.items()]
        print_rows(("run", f"tuning loss, {low:.4g} to {high:.4g}, step 1 to {last:,}"), lines, Format.table)
    if found.paired:
        print()
        pairs = [(p.run, p.part, p.mean, p.sd, p.n_steps) for p in found.paired]
        columns = (f"minus {found.runs[0]}", "part", "mean difference", "sd over steps", "steps")
        print_rows(columns, pairs, Format.table)
    print()
    costs = [
        (c.run, c.steps, *("-" if n is None else f"{n:,.0f}" for n in (c.tokens, c.seconds)), c.begun_from or "-")
        for c in found.costs
    ]
    print_rows(("run", "steps", "tokens", "seconds", "begun from"), costs, Format.table)
    for one in found.tasks:
        how = ", ".join(f"{run} by {model}" for run, model in one.models.items())
        print()
        print_text(f"{one.task} ({one.mode}): {how}")
        print_text(one.told(text_width()))
    if found.alike:
        print()
        alike = [(near.run, near.n_subjects, near.cka) for near in found.alike]
        print_rows((f"embeddings beside {found.runs[0]}", "subjects", "linear CKA"), alike, Format.table)
    for run, reason in found.unpaired.items():
        say(f"{run} is not paired with {found.runs[0]}: {reason}")
    for note in found.notes:
        say(f"note: {note}")


def _tidy(found: Comparison) -> list[tuple[str, str, str, int | None, Any]]:
    rows: list[tuple[str, str, str, int | None, Any]] = []
    for key, values in found.differences.items():
        rows += [("setting", run, key, None, json.dumps(v)) for run, v in zip(found.runs, values, strict=True)]
    for r in found.results:
        rows += [
            ("final", r.run, r.part, r.final_step, r.final), ("best", r.run, r.part, r.best_step, r.best),
            ("trivial", r.run, r.part, r.final_step, r.baseline),
        ]  # fmt: skip
        rows += [("weight", r.run, r.part, None, r.weight)] if r.weight is not None else []
    for p in found.paired:
        rows += [("paired_mean", p.run, p.part, None, p.mean), ("paired_sd", p.run, p.part, None, p.sd),
                 ("paired_steps", p.run, p.part, None, p.n_steps)]  # fmt: skip
    for c in found.costs:
        rows += [("cost", c.run, name, c.steps, n) for name, n in (("seconds", c.seconds), ("tokens", c.tokens))]
    for one in found.tasks:
        for row in one.measured.rows:
            for metric, of in row.metrics.items():
                name = f"{one.task} {one.mode} {metric}"
                rows += [("task", row.name, name, None, of.value), ("task_low", row.name, name, None, of.low),
                         ("task_high", row.name, name, None, of.high)]  # fmt: skip
                if row.differences is not None:
                    less = row.differences[metric]
                    rows += [("less", row.name, name, None, less.value), ("less_low", row.name, name, None, less.low),
                             ("less_high", row.name, name, None, less.high)]  # fmt: skip
    rows += [("cka", near.run, "subjects", near.n_subjects, near.cka) for near in found.alike]
    rows += [("unpaired", run, reason, None, None) for run, reason in found.unpaired.items()]
    rows += [("curve", run, "all", step, loss) for run, curve in found.curves.items() for step, loss in curve]
    return [(*row[:4], "" if row[4] is None else row[4]) for row in rows]


def sweep(
    workspace: Workspace,
    file: Annotated[Path, typer.Argument(help="A YAML file: config, settings, arms, seeds", show_default=False)],
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")] = "auto",
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Pretrain every arm of a sweep with every seed, in turn and resumable

    Example: tawt sweep decay.yaml -w work/mimic
    """
    from tawt.cli.progress import training_progress
    from tawt.commands.sweep import sweep as run_sweep

    with training_progress(again()) as report:

        def heard(event: dict[str, Any]) -> None:
            if event["event"] == "run":
                place = f"{event['number']}/{event['n_runs']}"
                say(f"{place}  {event['arm']}, seed {event['seed']}  {event['state']}: {event['reason']}")
            else:
                report(event)

        result = run_sweep(workspace, file, device=device, stale_ok=stale_ok, dry_run=dry_run, report=heard)
    if dry_run:
        runs = [
            (run.arm, run.seed, "would skip" if run.state == "finished" else "would run", run.reason)
            for run in result.runs
        ]
        print_rows(("arm", "seed", "what", "why"), runs, form)
        next_command(again())
        return
    columns = ("part", "arm", "weight", "seeds", "mean", "sd", "trivial", "minus the first arm", "sd of that")
    rows = [(r.part, r.arm, r.weight, r.n_seeds, r.mean, r.sd, r.baseline, r.gap, r.gap_sd) for r in result.table]
    print_rows(columns, rows, form)
    say(f"table: {result.folder / 'sweep.csv'}")
    for run in result.runs:
        if run.state == "failed":
            say(f"failed: {run.arm}, seed {run.seed}: {run.reason}", style="red")
    if result.n_failed:
        next_command(again())
        raise typer.Exit(1)
    names = [str(run.path.relative_to(workspace / "runs")) for run in result.runs]
    next_command(
        follow("compare", *names[:2], workspace=workspace, stale_ok=stale_ok, form=form)
        if len(names) > 1
        else follow("plot", *names, workspace=workspace, stale_ok=stale_ok)
    )


def plot(
    workspace: Workspace,
    runs: Runs,
    labels: Annotated[
        str | None,
        typer.Option(
            help="A label set: a map of the embeddings at its times, coloured by its labels, instead",
            show_default=False,
        ),
    ] = None,
    kind: Kind = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder; RUN/plots of the first run by default", show_default=False)
    ] = None,
    stale_ok: StaleOk = False,
    dry_run: DryRun = False,
) -> None:
    """Draw losses, what attention and encodings make of time, or a map of embeddings, as PNG files

    Example: tawt plot -w work/mimic pretrain_small
    """
    from tawt.commands.plot import plot as run_plot

    drawn = run_plot(
        workspace, runs, labels=labels, kind=kind, out=out, stale_ok=stale_ok, dry_run=dry_run,
        report=lambda event: say(f"  {event['text']}"),
    )  # fmt: skip
    if dry_run:
        foretell([("draw", path) for path in drawn])
        return
    for path in drawn:
        print_text(str(path))
    if labels is None:
        next_command(follow("embed", workspace=workspace, run=runs[0], stale_ok=stale_ok))
    else:
        next_command(
            follow("finetune", labels, workspace=workspace, run=runs[0], mode="probe", kind=kind, stale_ok=stale_ok)
        )
