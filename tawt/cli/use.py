"""The commands that use a pretrained model: label, finetune, evaluate, audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import again, follow, foretell
from tawt.cli.model import Device
from tawt.cli.options import MODEL_PANEL, DryRun, Force, Form, Kind, Memory, Set, StaleOk, Threads, Workspace, in_hours
from tawt.cli.output import Format, counted, next_command, print_rows, print_text, say, terminal_width
from tawt.cli.ran import stage_progress
from tawt.cli.trained import tell_training, threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("label", rich_help_panel=MODEL_PANEL)(label)
    app.command("finetune", rich_help_panel=MODEL_PANEL)(finetune)
    app.command("evaluate", rich_help_panel=MODEL_PANEL)(evaluate)
    app.command("audit", rich_help_panel=MODEL_PANEL)(audit)


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
    run = _pretrained(workspace)
    if run is None:
        say(f"note: no pretrained run is here yet: `{follow('pretrain', workspace=workspace)}`")
    next_command(follow("finetune", result.name, workspace=workspace, run=run or "RUN", kind=result.kind, form=form))


def _list_tasks(workspace: Path, form: Format, **given: Any) -> None:
    """List the tasks of a workspace, those that its source refuses with the reason."""
    from tawt.commands.label import label_tasks
    from tawt.errors import ConfigError

    if alone := next((name for name, value in given.items() if value), None):
        raise ConfigError(f"--{alone}", "is given without a task, expected one", "name a task, or leave it out")
    tasks = label_tasks(workspace)
    print_rows(("task", "state", "says"), [(one.name, one.state, one.says) for one in tasks], form)
    first = next((one.name for one in tasks if one.state != "refused"), "TASK")
    next_command(follow("label", first, workspace=workspace, form=form))


def _pretrained(workspace: Path) -> str | None:
    """Return a run of a workspace that has learned no task."""
    runs = sorted(path.parent for path in (workspace / "runs").glob("*/config.yaml"))
    return next((path.name for path in runs if not (path / "task.json").exists()), None)


def _learned(workspace: Path, run: str, task: str) -> bool:
    """Return whether a run has learned a task of a name."""
    from tawt.heads.task import TASK
    from tawt.readers import read_map
    from tawt.runs.find import find_run

    path = find_run(workspace, run) / TASK
    return path.is_file() and read_map(path, "finetune again").get("name") == task


def _tell_labels(result: Any, form: Format) -> None:
    """Say what a label set holds, and where it is."""
    from tawt.cli.ran import tell_run

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
    tell_training(result, workspace, device, stale_ok, dry_run, form, ("evaluate", task), kind)


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

    def report(event: dict[str, Any]) -> None:
        say(f"  {event['name']}" if event["event"] == "model" else f"note: {event['text']}")

    result = run_evaluate(
        workspace, task, run, split=split, baselines=() if baseline == ["none"] else baseline,
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
        _print(result.rows(), form)
    else:
        print_text(result.text(width=terminal_width() or 160))
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
    aces: Annotated[
        Path | None, typer.Option(help="The ACES file of the labels, where it is no ready task", show_default=False)
    ] = None,
    predicates: Annotated[
        Path | None, typer.Option(help="The dataset's own predicates that were laid over it", show_default=False)
    ] = None,
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
    if run is not None and _learned(workspace, run, result.name):
        next_command(follow("evaluate", task, workspace=workspace, run=run, kind=kind, form=form, device=device))
    else:
        pretrained = run or _pretrained(workspace) or "RUN"
        next_command(follow("finetune", task, workspace=workspace, run=pretrained, kind=kind, form=form, device=device))
    if result.n_leaks:
        raise typer.Exit(1)
