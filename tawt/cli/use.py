"""The commands that use a pretrained model: finetune, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import again
from tawt.cli.model import Device
from tawt.cli.options import MODEL_PANEL, DryRun, Form, Set, StaleOk, Workspace
from tawt.cli.output import Format, print_text, say, terminal_width
from tawt.cli.trained import tell_training, threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("finetune", rich_help_panel=MODEL_PANEL)(finetune)
    app.command("evaluate", rich_help_panel=MODEL_PANEL)(evaluate)


def finetune(
    task: Annotated[str, typer.Argument(help="A label set in WORKSPACE/labels, or a Parquet file", show_default=False)],
    workspace: Workspace,
    run: Annotated[
        str, typer.Option(help="A run folder, the name of one in WORKSPACE/runs, or a shared model", show_default=False)
    ],
    mode: Annotated[str, typer.Option(help="probe, head, last-k, lora or full: what learns, beside the head")] = "full",
    config: Annotated[str, typer.Option("--config", "-c", help="Name of a config, or a YAML file")] = "finetune",
    epochs: Annotated[float, typer.Option(help="Passes over the training labels", min=0.01)] = 8.0,
    kind: Annotated[
        str | None,
        typer.Option(
            help="binary, labels, classes, numbers or time, where the labels leave it open", show_default=False
        ),
    ] = None,
    device: Device = "auto",
    settings: Set = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; WORKSPACE/runs/RUN-TASK-MODE by default", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that is there, or start it")] = False,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Learn a task from labels, from a pretrained run on

    Example: tawt finetune in_hospital_death -w work/p12 --run pretrain_small --mode probe
    """
    threads_sleep_soon()
    from tawt.cli.progress import training_progress
    from tawt.commands.finetune import finetune as run_finetune

    with training_progress(again("--resume")) as report:
        result = run_finetune(
            workspace, task, run, mode=mode, config=config, epochs=epochs, kind=kind,  # type: ignore[arg-type]
            device=device, settings=tuple(settings or ()), out=out, resume=resume, stale_ok=stale_ok, dry_run=dry_run,
            report=report,
        )  # fmt: skip
    tell_training(result, workspace, device, stale_ok, dry_run, form)


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
    kind: Annotated[
        str | None,
        typer.Option(
            help="binary, labels, classes, numbers or time, where the labels leave it open", show_default=False
        ),
    ] = None,
    draws: Annotated[int, typer.Option(help="Draws of subjects for the intervals", min=10)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draws and the baselines", min=0)] = 0,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option(help="A folder; WORKSPACE/evaluations/TASK by default", show_default=False)
    ] = None,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
) -> None:
    """Measure runs on held-out subjects, beside what is simpler, on the same rows

    Example: tawt evaluate in_hospital_death -w work/p12 --run pretrain_small-in_hospital_death-probe
    """
    threads_sleep_soon()
    from tawt.commands.evaluate import evaluate as run_evaluate

    def report(event: dict[str, Any]) -> None:
        say(f"  {event['name']}" if event["event"] == "model" else f"note: {event['text']}")

    result = run_evaluate(
        workspace, task, run, split=split, baselines=() if baseline == ["none"] else baseline, kind=kind, n_draws=draws,
        seed=seed, device=device, out=out, stale_ok=stale_ok, report=report,
    )  # fmt: skip
    for note in result.notes:
        say(f"note: {note}")
    if form == Format.json:
        print_text(json.dumps(result.comparison.to_json(), indent=2))
    else:
        print_text(result.comparison.text(width=terminal_width() or 160))
    say(f"written: {result.folder}")
