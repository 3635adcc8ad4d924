"""The commands that ask something of a pretrained model: label, finetune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import again, continues, follow, pretrained
from tawt.cli.model import Device
from tawt.cli.options import MODEL_PANEL, DryRun, Force, Form, Kind, Memory, Set, StaleOk, Threads, Workspace
from tawt.cli.output import Format, counted, next_command, print_rows, print_text, say
from tawt.cli.ran import stage_progress
from tawt.cli.trained import tell_training, threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("label", rich_help_panel=MODEL_PANEL)(label)
    app.command("finetune", rich_help_panel=MODEL_PANEL)(finetune)


def label(
    workspace: Workspace,
    task: Annotated[
        str | None,
        typer.Argument(
            help="A label stage, a ready task, an ACES file, or a Parquet file of MEDS labels; none lists them",
            show_default=False,
        ),
    ] = None,
    predicates: Annotated[
        Path | None, typer.Option(help="A file of the dataset's own predicates, for an ACES task", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the label set is called; as the task by default", show_default=False)
    ] = None,
    meds: Annotated[
        Path | None, typer.Option(help="A folder to write them to as MEDS has labels, beside", show_default=False)
    ] = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    force: Force = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Make labels of a task, with an account of who is left out; without a task, list those that there are

    Example: tawt label in_hospital_mortality_24h -w work/mimic
    """
    from tawt.commands.label import label as make_labels

    if task is None:
        _list_tasks(workspace, form, predicates=predicates, name=name, meds=meds, force=force)
        return
    with stage_progress(dry_run, form) as report:

        def hear(event: dict[str, Any]) -> None:
            if event["event"] == "attrition" and form is Format.table:
                _print([{name: row[name] for name in ("rule", "n_subjects", "n_samples")} for row in event["rows"]])
            report(event)

        result = make_labels(
            task, workspace, predicates=predicates, name=name, meds=meds, threads=threads, memory_limit=memory_limit,
            force=force, dry_run=dry_run, report=hear,
        )  # fmt: skip
    _tell_labels(result, form)
    for path in result.meds:
        say(f"as MEDS: {path}")
    if dry_run:
        next_command(again())
        return
    run = pretrained(workspace)
    if run is None:
        say(f"note: no pretrained run is here yet: `{follow('pretrain', workspace=workspace)}`")
    elif result.of_task and continues(workspace / "runs" / run):
        next_command(follow("risk", result.name, workspace=workspace, run=run, form=form))
        return
    next_command(follow("finetune", result.name, workspace=workspace, run=run or "RUN", kind=result.kind, form=form))


def _list_tasks(workspace: Path, form: Format, **given: Any) -> None:
    """List the tasks of a workspace, those that cannot be asked there with the reason."""
    from tawt.commands.label import label_tasks
    from tawt.errors import ConfigError

    if alone := next((name for name, value in given.items() if value), None):
        raise ConfigError(f"--{alone}", "is given without a task, expected one", "name a task, or leave it out")
    tasks = label_tasks(workspace)
    print_rows(("task", "state", "says"), [(one.name, one.state, one.says) for one in tasks], form)
    first = next((one.name for one in tasks if one.can_be_asked), "TASK")
    next_command(follow("label", first, workspace=workspace, form=form))


def _tell_labels(result: Any, form: Format) -> None:
    """Say what a label set holds, and where it is."""
    from tawt.cli.ran import tell_run
    from tawt.contracts.cells import SMALL_CELL

    told = f"labels.{result.name}"
    if result.stage is not None and form is Format.table:
        tell_run(result.stage, form)
    elif result.dry_run or result.reason is None:
        say(f"  {told} " + (f"would be made: {result.reason}" if result.reason else "up to date"))
    if result.dry_run:
        return
    if form is Format.json:
        keys = {"name": result.name, "path": str(result.path), "made": result.reason}
        tables = {"attrition": [*map(dict, result.attrition)], "counts": [*map(dict, result.counts)]}
        print_text(json.dumps(keys | tables, indent=2))
    else:
        _print(result.counts, form)
        if any("-" in row.values() for row in (*result.counts, *result.attrition)):
            n = SMALL_CELL + 1
            say(f"  <{n}, {n}+, a range or -: a count, or the difference of two, would tell of fewer than {n} subjects")
    # a sum would tell of the few whom the account withholds
    told_n = not result.attrition or result.attrition[-1]["n_samples"] != "-"
    told_n &= any(row["labels"] != "-" for row in result.counts)
    say(f"{counted(result.n_labels, 'label')}: {result.path}" if told_n else f"labels: {result.path}")


def _print(rows: Any, form: Format = Format.table) -> None:
    print_rows([*(rows[0] if rows else ())], [[*row.values()] for row in rows], form)


def finetune(
    task: Annotated[str, typer.Argument(help="A label set in WORKSPACE/labels, or a Parquet file", show_default=False)],
    workspace: Workspace,
    run: Annotated[
        str, typer.Option(help="A run folder, the name of one in WORKSPACE/runs, or a shared model", show_default=False)
    ],
    mode: Annotated[str, typer.Option(help="probe, head, last-k, lora or full: what learns, beside the head")] = "full",
    config: Annotated[str, typer.Option("--config", "-c", help="Name of a config, or a YAML file")] = "finetune",
    epochs: Annotated[float, typer.Option(help="Passes over the training labels", min=0.01)] = 8.0,
    kind: Kind = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            help="Look at images and waveforms too, joined by: token, concat, attention, gate or late",
            show_default=False,
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
            fusion=fusion, device=device, settings=tuple(settings or ()), out=out,  # type: ignore[arg-type]
            resume=resume, stale_ok=stale_ok, dry_run=dry_run, report=report,
        )  # fmt: skip
    tell_training(result, workspace, device, stale_ok, dry_run, form, ("evaluate", task), kind)
