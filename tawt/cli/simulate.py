"""The commands of a decoder: what may come of a record, and records of nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tawt.cli.again import follow, foretell
from tawt.cli.options import MODEL_PANEL, DryRun, Form, Memory, Predicates, StaleOk, Threads, Workspace
from tawt.cli.output import Format, counted, next_command, print_rows, print_text, say, text_width
from tawt.cli.progress import told_by_part
from tawt.cli.trained import threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("risk", rich_help_panel=MODEL_PANEL)(risk)
    app.command("generate", rich_help_panel=MODEL_PANEL)(generate)


def risk(
    task: Annotated[str, typer.Argument(help="A label set: whom, when, and what came", show_default=False)],
    workspace: Workspace,
    run: Annotated[str, typer.Option(help="A decoder: a run folder or its name", show_default=False)],
    aces: Annotated[
        Path | None,
        typer.Option(
            help="What to look for, where the labels do not say it: an ACES file, or a ready task", show_default=False
        ),
    ] = None,
    predicates: Predicates = None,
    split: Annotated[str, typer.Option(help="Whose labels are asked about: train, tuning or held_out")] = "held_out",
    n: Annotated[int, typer.Option("--n", help="Continuations of each record", min=2)] = 20,
    most: Annotated[int, typer.Option(help="Events after which a continuation is cut", min=1)] = 1000,
    hours: Annotated[
        float | None,
        typer.Option(help="How long to follow, where the task does not say it", min=0.01, show_default=False),
    ] = None,
    only: Annotated[
        int | None, typer.Option(help="Ask about so many labels, drawn by the seed", min=1, show_default=False)
    ] = None,
    shortcuts: Annotated[
        int, typer.Option(help="Labels of which the history is taken away, to see what is left", min=0)
    ] = 300,
    trajectories: Annotated[
        bool,
        typer.Option("--trajectories", help="Write the continuations too, as MEDS_trajectory_evaluation reads them"),
    ] = False,
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
    from tawt.risks.result import RECORD

    result = run_risk(
        workspace, task, run, aces=aces, predicates=predicates, split=split, n=n, most=most, hours=hours, only=only,
        shortcuts=shortcuts, trajectories=trajectories, seed=seed, out=out, stale_ok=stale_ok, dry_run=dry_run,
        report=told_by_part("of labels", again="of labels asked again, with other records"),
    )  # fmt: skip
    if dry_run:
        of = "labels of few subjects" if result.n_rows is None else counted(result.n_rows, "label")
        foretell(
            [
                ("ask about", f"{of} of {split}"),
                ("continue each", f"{(1 + result.plain) * n} times"),
                ("write", result.folder),
            ],
            form,
        )
        return
    if form is Format.json:
        print_text((result.folder / RECORD).read_text(encoding="utf-8"))
    elif form is Format.csv:
        print_rows(
            ("estimator", "events_per_label", "times_fewer"),
            [(name, result.steps[name], result.gain.get(name, "")) for name in result.steps], form,
        )  # fmt: skip
    else:
        print_text(result.text(width=text_width()))
    say(f"written: {result.folder}")
    next_command(follow("finetune", task, workspace=workspace, run=run, mode="probe", form=form))


def generate(
    workspace: Workspace,
    out: Annotated[Path, typer.Option(help="A new folder for the set", show_default=False)],
    run: Annotated[str | None, typer.Option(help="A decoder: a run folder or its name", show_default=False)] = None,
    subjects: Annotated[int | None, typer.Option(help="So many records", show_default=False)] = None,
    numbers: Annotated[
        str | None, typer.Option(help="Instead, those of the numbers A..B, both included", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the set: seed and number make a record", min=0)] = 0,
    control: Annotated[
        str | None,
        typer.Option(help="Instead of a run: copies, marginals or markov, fitted to train", show_default=False),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="Of latents, where the run has them: normal, vae or gan; vae by default", show_default=False),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE that all are of, where the run has latents, as GENDER=F", show_default=False),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(help="YAML of what records are held to; tawt's own by default", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option(help="Events after which a record is cut", min=1)] = 4096,
    publish_anyway: Annotated[
        list[str] | None, typer.Option(help="A gate that may refuse the set, by name", show_default=False)
    ] = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Draw records of nobody from a decoder or a control, as a MEDS dataset that is a workspace too

    Example: tawt generate -w work/mimic --run decode_small --subjects 1000 --out work/invented
    """
    threads_sleep_soon()
    from tawt.commands.generate import generate as run_generate

    result = run_generate(
        workspace, run, subjects=subjects, numbers=numbers, out=out, seed=seed, control=control,
        prior=prior, conditions=condition or (), rules=rules, most=most, threads=threads, memory_limit=memory_limit,
        publish_anyway=publish_anyway or (), stale_ok=stale_ok, dry_run=dry_run,
        report=told_by_part("drawn"),
    )  # fmt: skip
    if dry_run:
        source = f"the run {run}" if run is not None else f"the control {control}"
        foretell([("draw", counted(result.n_asked, "record")), ("from", source), ("write", result.folder)], form)
        return
    print_rows(("rule", "events that broke it", "records", "then"), result.rows, form)
    tally, counts = result.tally, result.counts
    rate = tally.n_raw_events / max(result.seconds, 1e-9)
    records = counted(tally.n_subjects, "record") if counts["n_subjects"] != "-" else "records"
    say(
        f"{records} with {counted(tally.n_events, 'event')}, "
        f"{rate:,.{0 if rate >= 10 else 2}f} a second; {counts['n_dropped']} events dropped, "
        f"{counts['n_clipped']} clipped, {counts['n_rejected']} records left out, {counts['n_cut']} cut"
    )
    for text in result.obeyed:
        say(text)
    if far := result.unfinished:
        say(f"note: drawn by {run} as it was after step {far['step']:,} of {far['of_steps']:,}: it is not finished")
    say(f"written: {result.folder}")
    next_command(follow("assess", result.folder, workspace=workspace, run=run, form=form))
