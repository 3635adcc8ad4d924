"""The commands that use a pretrained model: finetune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tawt.cli.again import again
from tawt.cli.model import Device
from tawt.cli.options import MODEL_PANEL, DryRun, Form, Set, StaleOk, Workspace
from tawt.cli.output import Format
from tawt.cli.trained import tell_training, threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("finetune", rich_help_panel=MODEL_PANEL)(finetune)


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
