"""The commands that make data: demo, ingest, build-vocab, run, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tawt.cli.again import again, follow, foretell
from tawt.cli.further import tell_found
from tawt.cli.options import (
    DATA_PANEL,
    Address,
    DryRun,
    Executor,
    Force,
    Form,
    Memory,
    Set,
    SkipRoomCheck,
    Store,
    Threads,
    Workspace,
)
from tawt.cli.output import Format, next_command, of_train, print_most, print_rows, say
from tawt.cli.ran import stage_progress, tell_run
from tawt.cli.trained import threads_sleep_soon


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    for name, function in (
        ("demo", demo),
        ("ingest", ingest),
        ("build-vocab", build_vocab),
        ("run", run),
        ("export", export),
    ):
        app.command(name, rich_help_panel=DATA_PANEL)(function)


def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="The workspace folder")] = Path("tawt-demo"),
    images: Annotated[
        bool, typer.Option("--images", help="One with chest pictures, whose risks are known: learn from them, too")
    ] = False,
    subjects: Annotated[
        int | None,
        typer.Option(help="Invented subjects; 300, with images 8000 and at least 100", min=10, show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the invented hospital", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    threads: Threads = None,
    dry_run: DryRun = False,
) -> None:
    """Invent a hospital and run everything on it: ingest, build-vocab, pretrain, embed, or finetune and evaluate

    Example: tawt demo
    """
    threads_sleep_soon()
    from tawt.cli.demo_images import tell_images
    from tawt.cli.progress import training_progress
    from tawt.commands.demo import DemoResult, demo_plan
    from tawt.commands.demo import demo as run_demo

    if dry_run:
        plan = demo_plan(workspace, images=images, n_subjects=subjects, seed=seed)
        print_rows(("what", "why"), plan, Format.table)
        next_command(again())
        return

    with stage_progress(False) as stage_report, training_progress(again(), anew=True) as train_report:
        result = run_demo(
            workspace, images=images, n_subjects=subjects, seed=seed, device=device, threads=threads,
            report=stage_report, train_report=train_report,
        )  # fmt: skip
    tell_run(result.data)
    if not isinstance(result, DemoResult):
        tell_images(result)
        return
    print()
    print_rows(("what", "value"), result.summary(), Format.table)
    next_command(follow("label", "in_hospital_mortality_48h", workspace=workspace))


def ingest(
    raw_dir: Annotated[Path, typer.Argument(help="Folder of the raw tables", show_default=False)],
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of a pipeline, or a YAML file", show_default=False)
    ],
    workspace: Workspace,
    sample: Annotated[
        str | None, typer.Option(help="Only N subjects, or P%, whole and by hash", show_default=False)
    ] = None,
    settings: Set = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    force: Force = False,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only read the raw files, for parts of a `tawt run` to go on")
    ] = False,
    executor: Executor = "local",
    address: Address = None,
    store: Store = None,
    dry_run: DryRun = False,
    skip_room_check: SkipRoomCheck = False,
    form: Form = Format.table,
) -> None:
    """Turn raw tables into events: checked, merged, split, sorted, a valid MEDS dataset

    Example: tawt ingest raw/ --pipeline mimic_iv -w work/mimic
    """
    from tawt.commands.ingest import ingest as run_ingest

    with stage_progress(dry_run, form) as report:
        result = run_ingest(
            raw_dir, pipeline, workspace, sample=sample, settings=tuple(settings or ()), threads=threads,
            memory_limit=memory_limit, force=force, prepare=prepare, executor=executor, address=address, store=store,
            dry_run=dry_run, check_room=not skip_room_check, report=report,
        )  # fmt: skip
    tell_run(result, form)
    if dry_run:
        next_command(again())
        return
    if prepare:
        raw = raw_dir if store is not None else None
        next_command(follow("run", "+dataset", workspace=workspace, store=store, raw=raw, part="1/N"))
        return
    given: dict[str, Any] = {"workspace": workspace, "threads": threads, "memory_limit": memory_limit, "store": store}
    next_command(follow("build-vocab", **given, form=form))


def build_vocab(
    workspace: Workspace,
    base: Annotated[
        str | None,
        typer.Argument(help="With --extend or --freeze, a run, a shared model or a file", show_default=False),
    ] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Keep the vocabulary that is there, or BASE, and add what is new")
    ] = False,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Keep the vocabulary that is there, or BASE, as it is, and tell the drift")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Go on from no other vocabulary any more")] = False,
    settings: Set = None,
    threads: Threads = None,
    memory_limit: Memory = None,
    force: Force = False,
    executor: Executor = "local",
    address: Address = None,
    store: Store = None,
    dry_run: DryRun = False,
    skip_room_check: SkipRoomCheck = False,
    form: Form = Format.table,
) -> None:
    """Turn events into a vocabulary, triplets and memory-mapped shards

    Example: tawt build-vocab -w work/mimic
    """
    from tawt.commands.build_vocab import build_vocab as run_build_vocab
    from tawt.commands.build_vocab import extension, kept
    from tawt.errors import ConfigError

    if base is not None and not (extend or freeze):
        what = "names what to go on from, expected --extend or --freeze too"
        raise ConfigError(f"tawt build-vocab {base}", what, "add it")
    with stage_progress(dry_run, form) as report:
        which: bool | str = base or True
        result = run_build_vocab(
            workspace, extend=extend and which, freeze=freeze and which, anew=anew, settings=tuple(settings or ()),
            threads=threads, memory_limit=memory_limit, force=force, executor=executor, address=address, store=store,
            dry_run=dry_run, check_room=not skip_room_check, report=report,
        )  # fmt: skip
    tell_run(result, form)
    if dry_run:
        next_command(again())
        return
    if (found := extension(result.workspace)) is not None:
        say(f"goes on from the vocabulary of {found.of}, which did not know {of_train(found.n_unknown, found.n_rows)}")
        print_most(("data_type", "beside it", "rows in train"), found.grown, form, "data_type")
    if (drifted := kept(result.workspace)) is not None:
        tell_found(drifted, form)
    next_command(follow("pretrain", workspace=workspace, form=form))


def run(
    selection: Annotated[
        str, typer.Argument(help="X only it, X+ and what follows, +X and what it needs", show_default=False)
    ],
    workspace: Workspace,
    threads: Threads = None,
    memory_limit: Memory = None,
    force: Force = False,
    part: Annotated[
        str | None, typer.Option(help="i/N: do what falls to one of N processes on any machines", show_default=False)
    ] = None,
    wait: Annotated[str, typer.Option(help="With --part: how long others may give no sign")] = "5m",
    executor: Executor = "local",
    address: Address = None,
    store: Store = None,
    raw: Annotated[
        Path | None, typer.Option(help="With --store: the raw tables on this machine", show_default=False)
    ] = None,
    dry_run: DryRun = False,
    skip_room_check: SkipRoomCheck = False,
    form: Form = Format.table,
) -> None:
    """Run single stages again, each with its reason

    Example: tawt run staging.labevents+ -w work/mimic
    """
    from tawt.commands.run import run as run_selection

    with stage_progress(dry_run, form) as report:
        result = run_selection(
            selection,
            workspace,
            threads=threads,
            memory_limit=memory_limit,
            force=force,
            part=part,
            wait=wait,
            executor=executor,
            address=address,
            store=store,
            raw=raw,
            dry_run=dry_run,
            check_room=not skip_room_check,
            report=report,
        )
    tell_run(result, form)
    # a folder of one machine holds what that needed alone
    then = (
        follow("check", workspace=workspace, form=form) if store is None else follow("pull", store, workspace=workspace)
    )
    next_command(again() if dry_run else result.following or then)


def export(
    out: Annotated[Path, typer.Argument(help="A new folder, or an export to replace", show_default=False)],
    workspace: Workspace,
    version: Annotated[str, typer.Option(help="Of MEDS: 0.4 or 0.3.3")] = "0.4",
    codes_with_units: Annotated[
        bool, typer.Option("--codes-with-units", help="Write codes as CODE//UNIT where a row has a unit")
    ] = False,
    license: Annotated[
        str,
        typer.Option(help="Terms of use, a name or a link; the pipeline's by default", show_default=False),
    ] = "",
    threads: Threads = None,
    memory_limit: Memory = None,
    dry_run: DryRun = False,
    form: Form = Format.table,
) -> None:
    """Write the events as a MEDS dataset to hand on, with a card and Croissant metadata

    Example: tawt export shared/mimic -w work/mimic
    """
    from tawt.commands.export import export as run_export

    with stage_progress(dry_run, form) as report:
        result = run_export(
            workspace, out, version=version, codes_with_units=codes_with_units, license=license, threads=threads,
            memory_limit=memory_limit, dry_run=dry_run, report=report,
        )  # fmt: skip
    if result.facts is None:
        foretell([("write", f"{result.n_files:,} files of rows as MEDS {result.form.version} in {out}")], form)
        return
    print_rows(("split", "subjects", "rows"), result.facts.splits, form)
    if not result.facts.license:
        say("note: no license is stated: `--license`, or `license:` in the pipeline")
    next_command(follow("check", "meds", out, form=form))
