"""The model commands: fetch, pretrain, embed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tawt.cli.again import again, follow
from tawt.cli.options import MODEL_PANEL, DryRun, Form, Set, StaleOk, Workspace
from tawt.cli.output import Format, next_command, print_rows, say
from tawt.cli.trained import tell_training, threads_sleep_soon
from tawt.shell import shell_line

Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")]


def add_to(app: typer.Typer) -> None:
    """Add the model commands to the application."""
    app.command("fetch", rich_help_panel=MODEL_PANEL)(fetch)
    app.command("pretrain", rich_help_panel=MODEL_PANEL)(pretrain)
    app.command("embed", rich_help_panel=MODEL_PANEL)(embed)


def fetch(
    url: Annotated[
        str, typer.Argument(help="Of a workspace in an object store, as s3://BUCKET/FOLDER", show_default=False)
    ],
    workspace: Workspace,
    everything: Annotated[bool, typer.Option("--all", help="Fetch the shards of all splits now")] = False,
    dry_run: DryRun = False,
    form: Form = Format.table,
) -> None:
    """Read the shards of a workspace in an object store: each is fetched once, when it is needed, and held to its hash

    Example: tawt fetch s3://bucket/mimic -w work/mimic
    """
    from tawt.cli.progress import told_by_part
    from tawt.commands.fetch import fetch as run_fetch

    result = run_fetch(url, workspace, everything=everything, dry_run=dry_run, report=told_by_part("of shards"))
    print_rows(("split", "shards", "subjects", "bytes"), result.splits, form)
    if dry_run:
        next_command(again())
        return
    if everything:
        say(f"{result.n_fetched:,} files fetched, the others were there")
    next_command(follow("pretrain", workspace=workspace, form=form))


def pretrain(
    workspace: Workspace,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="Name of a config, or a YAML file; pretrain_small, or the config of the run that "
            "--resume continues: that in --out, or the only one that was broken off",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    settings: Set = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; WORKSPACE/runs/CONFIG by default", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that is there, or start it")] = False,
    init: Annotated[
        str | None,
        typer.Option(
            help="Start from the weights of this run or shared model, of the same vocabulary", show_default=False
        ),
    ] = None,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Pretrain an encoder on the shards, self-supervised and resumable; under torchrun with several processes

    Example: tawt pretrain -w work/mimic --device cuda
    """
    threads_sleep_soon()
    from tawt.cli.progress import training_progress
    from tawt.commands.pretrain import pretrain as run_pretrain
    from tawt.commands.pretrain import to_go_on_with

    if config is None:
        config = "pretrain_small"
        if resume and out is None and (out := to_go_on_with(workspace, config)) is not None:
            say(f"note: goes on with {shell_line(str(out))}, the only run here that was broken off")
        if resume and out is not None and (out / "config.yaml").is_file():
            config = str(out / "config.yaml")
    with training_progress(again("--resume")) as report:
        result = run_pretrain(
            workspace, config, device=device, settings=tuple(settings or ()), out=out, resume=resume, init=init,
            stale_ok=stale_ok, dry_run=dry_run, report=report,
        )  # fmt: skip
    tell_training(result, workspace, device, stale_ok, dry_run, form)


def embed(
    workspace: Workspace,
    run: Annotated[
        str, typer.Option(help="A run folder, the name of one in WORKSPACE/runs, or a shared model", show_default=False)
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            help="A label set in WORKSPACE/labels, or a Parquet file: an embedding per subject and prediction time",
            show_default=False,
        ),
    ] = None,
    per: Annotated[str, typer.Option(help="subject, or event: at each moment of a record")] = "subject",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file; WORKSPACE/embeddings/RUN.parquet by default, RUN/TASK.parquet with --labels",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    pooling: Annotated[
        str | None, typer.Option(help="mean or max instead of the run's own readout", show_default=False)
    ] = None,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Write one embedding per subject, or per prediction time, from a pretrained run

    Example: tawt embed -w work/mimic --run pretrain_small
    """
    from typing import get_args

    from tawt.commands.embed import embed as run_embed
    from tawt.config.model import Pooling
    from tawt.errors import ConfigError, nearest

    if pooling is not None and pooling not in get_args(Pooling):
        raise ConfigError(f"--pooling {pooling}", "is no pooling, expected one", nearest(pooling, get_args(Pooling)))
    result = run_embed(
        workspace, run, labels=labels, per=per, out=out, device=device, pooling=pooling,  # type: ignore[arg-type]
        stale_ok=stale_ok, dry_run=dry_run,
        report=lambda event: say(f"note: {event['text']}") if event["event"] == "note" else None,
    )  # fmt: skip
    say("  ".join(f"{key} {result.computed[key]} ({why})" for key, why in result.reasons.items()))
    from tawt.contracts.cells import few

    rows = [
        ("embeddings", f"{result.n_subjects:,} subjects x {result.d_embedding}"), ("file", str(result.path)),
        ("triplets left out", f"{result.n_cut:,}, older than the last window of their subject"),
    ]  # fmt: skip
    if labels is not None or per == "event":
        rows = [
            ("embeddings", f"{result.n_rows:,} times of {result.n_subjects:,} subjects x {result.d_embedding}"),
            ("file", str(result.path)),
            ("left out", f"{few(result.n_unseen)} times by which nothing was known of the subject"),
            ("left out", f"{few(result.n_outside)} times of subjects whom the dataset does not have"),
            ("triplets left out", f"{result.n_cut:,}, older than the window of a time, counted for each"),
        ]
    print_rows(("would write" if dry_run else "what", "value"), rows, form)
    if dry_run:
        next_command(again())
        return
    script = f"import pyarrow.parquet as pq; print(pq.read_table({str(result.path)!r}, partitioning=None).schema)"
    next_command(shell_line("python", "-c", script))
