"""The model commands: pretrain, embed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tawt.cli.again import again, follow
from tawt.cli.options import MODEL_PANEL, DryRun, Form, Set, StaleOk, Workspace
from tawt.cli.output import Format, next_command, print_rows, say
from tawt.shell import shell_line

Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")]


def add_to(app: typer.Typer) -> None:
    """Add the model commands to the application."""
    app.command("pretrain", rich_help_panel=MODEL_PANEL)(pretrain)
    app.command("embed", rich_help_panel=MODEL_PANEL)(embed)


def pretrain(
    workspace: Workspace,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="Name of a config, or a YAML file; pretrain_small, or the config of the run in --out "
            "that --resume continues",
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
    # waiting threads spin for some microseconds and then sleep; read when torch is loaded, so this comes first
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    from tawt.cli.progress import training_progress
    from tawt.commands.pretrain import pretrain as run_pretrain
    from tawt.objectives.parts import weights
    from tawt.training.threads import TO_BE_MEASURED

    if config is None:
        own = out / "config.yaml" if out is not None and resume else None
        config = str(own) if own is not None and own.is_file() else "pretrain_small"
    with training_progress(again("--resume")) as report:
        result = run_pretrain(
            workspace, config, device=device, settings=tuple(settings or ()), out=out, resume=resume, init=init,
            stale_ok=stale_ok, dry_run=dry_run, report=report,
        )  # fmt: skip
    plan = result.plan
    if int(os.environ.get("RANK", "0")):
        return  # of several processes, the first one speaks
    if dry_run:
        rows = [
            ("run folder", str(plan.run), ""),
            (
                "parameters",
                f"{plan.parameters.total:,}",
                f"{plan.parameters.encoder:,} in the encoder's blocks and readout",
            ),
            (
                "train",
                f"{plan.n_subjects:,} subjects, {plan.n_tokens:,} tokens",
                f"{plan.n_epochs:,.1f} passes in all steps",
            ),
            ("tokens per step", f"{plan.tokens_per_step:,}", plan.reasons["tokens_per_step"]),
            (
                "packing",
                f"{plan.packing_efficiency:.1%}",
                "of the token budget is filled"
                + (f"; {plan.reaching:.1%} when cuts, augmentation and moments are done" if plan.reaching else ""),
            ),
            ("steps", f"{plan.start_step:,} -> {plan.n_steps:,}", plan.reasons["start_step"]),
            ("processes", str(plan.processes), plan.reasons["processes"]),
            ("memory", f"about {plan.memory_bytes / 1e6:,.0f} MB", plan.reasons["memory"]),
            ("attention", plan.kernel, plan.reasons["kernel"]),
            ("compile", "on" if plan.compiled else "off", plan.reasons["compiled"]),
        ]
        rows += [
            (key, "" if why == TO_BE_MEASURED else str(getattr(plan.compute, key)), why)
            for key, why in plan.compute.reasons.items()
        ]
        print_rows(("what", "value", "why"), rows, form)
        for text in plan.doubts:
            say(f"note: {text}")
        next_command(again())
        return
    chosen = {key: getattr(plan.compute, key) for key in plan.compute.reasons} | {"attention": plan.kernel}
    reasons = {**plan.compute.reasons, "attention": plan.reasons["kernel"]}
    say("  ".join(f"{key} {value} ({reasons[key]})" for key, value in chosen.items()))
    losses = _losses(result.metrics)
    weigh = weights(plan.config.objective)
    rows_of = [(split, part, weigh.get(part), *numbers) for split, part, *numbers in losses]
    print_rows(("split", "part", "weight", "loss", "trivial", "positions"), rows_of, form)
    if above := [f"`{part}`" for split, part, loss, trivial, _ in losses if split == "tuning" and loss >= trivial]:
        say(
            f"note: on tuning {', '.join(above)} ended no better than the trivial baseline; fewer steps, more records "
            "or `--set train.keep_best=3 --set train.final=best` may help"
        )
    say(f"weights: {result.weights}")
    name = plan.run.name if plan.run.parent == workspace / "runs" else str(plan.run)
    next_command(follow("embed", workspace=workspace, run=name, device=device, stale_ok=stale_ok, form=form))


def _losses(metrics: dict[str, dict[str, float]]) -> list[tuple[str, str, float, float, int | None]]:
    rows: list[tuple[str, str, float, float, int | None]] = []
    for split, line in metrics.items():
        if "loss" not in line:
            continue
        rows.append((split, "all", line["loss"], line["baseline"], None))
        parts = [key.removeprefix("loss_") for key in line if key.startswith("loss_")]
        rows += [
            (split, part, line[f"loss_{part}"], line[f"baseline_{part}"], int(line[f"n_{part}"])) for part in parts
        ]
    return rows


def embed(
    workspace: Workspace,
    run: Annotated[
        str, typer.Option(help="A run folder, the name of one in WORKSPACE/runs, or a shared model", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file; WORKSPACE/embeddings/RUN.parquet by default", show_default=False),
    ] = None,
    device: Device = "auto",
    pooling: Annotated[
        str | None, typer.Option(help="mean or max instead of the run's own readout", show_default=False)
    ] = None,
    stale_ok: StaleOk = False,
    form: Form = Format.table,
    dry_run: DryRun = False,
) -> None:
    """Write one embedding per subject, from a pretrained run

    Example: tawt embed -w work/mimic --run pretrain_small
    """
    from typing import get_args

    from tawt.commands.embed import embed as run_embed
    from tawt.config.model import Pooling
    from tawt.errors import ConfigError, nearest

    if pooling is not None and pooling not in get_args(Pooling):
        raise ConfigError(f"--pooling {pooling}", "is no pooling, expected one", nearest(pooling, get_args(Pooling)))
    result = run_embed(
        workspace, run, out=out, device=device, pooling=pooling, stale_ok=stale_ok, dry_run=dry_run,  # type: ignore[arg-type]
        report=lambda event: say(f"note: {event['text']}") if event["event"] == "note" else None,
    )  # fmt: skip
    say("  ".join(f"{key} {result.computed[key]} ({why})" for key, why in result.reasons.items()))
    rows = [
        ("embeddings", f"{result.n_subjects:,} subjects x {result.d_embedding}"), ("file", str(result.path)),
        ("triplets left out", f"{result.n_cut:,}, older than the last window of their subject"),
    ]  # fmt: skip
    print_rows(("would write" if dry_run else "what", "value"), rows, form)
    if dry_run:
        next_command(again())
        return
    script = f"import pyarrow.parquet as pq; print(pq.read_table({str(result.path)!r}, partitioning=None).schema)"
    next_command(shell_line("python", "-c", script))
