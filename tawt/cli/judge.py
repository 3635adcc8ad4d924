"""The commands that judge what was learned, and what it was learned from: evaluate, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import follow, foretell, pretrained
from tawt.cli.model import Device
from tawt.cli.options import (
    MODEL_PANEL,
    Aces,
    DryRun,
    Form,
    Kind,
    Memory,
    Predicates,
    StaleOk,
    Threads,
    Workspace,
    in_hours,
)
from tawt.cli.output import Format, counted, next_command, print_rows, print_text, say, text_width
from tawt.cli.trained import threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("evaluate", rich_help_panel=MODEL_PANEL)(evaluate)
    app.command("audit", rich_help_panel=MODEL_PANEL)(audit)


def _learned(workspace: Path, run: str, task: str) -> bool:
    """Return whether a run has learned a task of a name."""
    from tawt.heads.task import TASK
    from tawt.readers import read_map
    from tawt.runs.find import find_run

    path = find_run(workspace, run) / TASK
    return path.is_file() and read_map(path, "finetune again").get("name") == task


def _measured(workspace: Path, run: str, task: str) -> bool:
    """Return whether a run stands in the evaluation of a task of a name."""
    from tawt.contracts.workspace import EVALUATION, EVALUATIONS
    from tawt.readers import read_map
    from tawt.runs.find import called, find_run

    path = workspace / EVALUATIONS / task / EVALUATION
    if not path.is_file():
        return False
    name = called(workspace, find_run(workspace, run))
    return any(row["name"] == name for row in read_map(path, "evaluate again").get("rows", ()))


def evaluate(
    task: Annotated[str, typer.Argument(help="A label set in WORKSPACE/labels, or a Parquet file", show_default=False)],
    workspace: Workspace,
    run: Annotated[
        list[str],
        typer.Option(help="A run of finetune; the first is what others are compared with", show_default=False),
    ],
    split: Annotated[str, typer.Option(help="Whose labels are asked about: train, tuning or held_out")] = "held_out",
    baseline: Annotated[
        list[str] | None,
        typer.Option(help="A baseline by its name; all by default, `none` for none", show_default=False),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="TabPFN=PATH or TabICL=PATH: weights on this disk, of a model of tables", show_default=False),
    ] = None,
    kind: Kind = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="What subjects are told apart by: age, or a static data_type", show_default=False),
    ] = None,
    horizon: Annotated[
        list[str] | None,
        typer.Option(help="A time to an event: when it is measured, as 30d; as learned by default", show_default=False),
    ] = None,
    draws: Annotated[int, typer.Option(help="Draws of subjects for the intervals", min=10)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draws and the baselines", min=0)] = 0,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option(help="A folder; WORKSPACE/evaluations/TASK by default", show_default=False)
    ] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw curves, or survival by risk, into the folder")] = False,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Measure runs on held-out subjects, beside what is simpler, on the same rows

    Example: tawt evaluate in_hospital_death -w work/p12 --run pretrain_small-in_hospital_death-probe
    """
    threads_sleep_soon()
    from tawt.commands.evaluate import evaluate as run_evaluate
    from tawt.evaluations.simpler import NONE

    def report(event: dict[str, Any]) -> None:
        say(f"  {event['name']}" if event["event"] == "model" else f"note: {event['text']}")

    result = run_evaluate(
        workspace, task, run, split=split, baselines=() if baseline == [NONE] else baseline,
        weights=tuple(weights or ()), kind=kind, group=group,
        horizons=[in_hours(one) for one in horizon or ()], n_draws=draws, seed=seed, device=device, out=out,
        plots=plots, stale_ok=stale_ok, dry_run=dry_run, report=report,
    )  # fmt: skip
    for note in result.notes:
        say(f"note: {note}")
    if dry_run:
        whose = result.comparison
        of = "few subjects" if whose.n_subjects is None else f"{whose.n_rows:,} labels of {whose.n_subjects:,} subjects"
        models = [("measure", row.name) for row in whose.rows]
        foretell([("ask about", f"{of} of {result.split}"), *models, ("write", result.folder)], form)
        return
    if form is Format.json:
        print_text((result.folder / "evaluation.json").read_text(encoding="utf-8"))
    elif form is Format.csv:
        rows = result.rows()
        print_rows([*rows[0]], [[*row.values()] for row in rows], form)
    else:
        print_text(result.text(width=text_width()))
    say(f"written: {result.folder}")
    next_command(follow("audit", task, workspace=workspace, run=run[0], kind=kind, form=form, device=device))


def audit(
    task: Annotated[str, typer.Argument(help="A label set in WORKSPACE/labels, or a Parquet file", show_default=False)],
    workspace: Workspace,
    run: Annotated[
        str | None,
        typer.Option(help="Whose embeddings are held to what was known", show_default=False),
    ] = None,
    kind: Kind = None,
    aces: Aces = None,
    predicates: Predicates = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="One that you report of the run: was it chosen on held_out", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn", min=0)] = 0,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option(help="A folder; WORKSPACE/audits/TASK by default", show_default=False)
    ] = None,
    stale_ok: StaleOk = False,
    threads: Threads = None,
    memory_limit: Memory = None,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Look for every leak of the catalogue, and measure what one that is found is worth

    Example: tawt audit in_hospital_death -w work/p12 --run pretrain_small
    """
    threads_sleep_soon()
    from tawt.commands.audit import audit as run_audit

    result = run_audit(
        task, workspace, run=run, kind=kind, aces=aces, predicates=predicates, threshold=threshold, seed=seed,
        device=device, out=out, stale_ok=stale_ok, threads=threads, memory_limit=memory_limit, dry_run=dry_run,
        report=lambda event: say(f"  {event['name']}" if "name" in event else f"note: {event['text']}"),
    )  # fmt: skip
    if dry_run:
        from tawt.labels.leaks.catalogue import LEAKS

        of = "labels of few subjects" if result.n_labels is None else counted(result.n_labels, "label")
        foretell([("look for", counted(len(LEAKS), "leak")), ("look at", of), ("write", result.path)], form)
        return
    if form is Format.json:
        print_text(result.path.read_text(encoding="utf-8"))
    else:
        print_rows(("leak", "verdict", "found", "with", "without"), [
            (one.code, one.status, one.told, *(
                ("", "") if one.inflation is None
                else (f"{one.inflation.with_leak:.3f}", f"{one.inflation.without:.3f}")
            ))
            for one in result.verdicts
        ], form)  # fmt: skip
    clean = sum(one.status == "clean" for one in result.verdicts)
    unknown = len(result.verdicts) - clean - result.n_leaks
    say(f"{counted(result.n_leaks, 'leak')}, {clean} clean, {unknown} not verified; with and without: AUROC of a probe")
    say(f"written: {result.path}")
    if run is not None and _measured(workspace, run, result.name):
        next_command(follow("compare", run, workspace=workspace, form=form))
    elif run is not None and _learned(workspace, run, result.name):
        next_command(follow("evaluate", task, workspace=workspace, run=run, kind=kind, form=form, device=device))
    else:
        first = run or pretrained(workspace) or "RUN"
        next_command(follow("finetune", task, workspace=workspace, run=first, kind=kind, form=form, device=device))
    if result.n_leaks:
        raise typer.Exit(1)
