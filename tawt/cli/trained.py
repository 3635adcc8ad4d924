"""What is said of a training: what it will do, or what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tawt.cli.again import again, follow
from tawt.cli.output import Format, next_command, print_rows, say

Losses = list[tuple[str, str, float, float, int | None]]
"""Split, part, loss, that of the trivial guess, positions."""
_ALONE = 2


def threads_sleep_soon() -> None:
    """Let waiting threads spin for some microseconds and then sleep; read when torch is loaded, so this comes first."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def tell_training(
    result: Any,
    workspace: Path,
    device: str,
    stale_ok: bool,
    dry_run: bool,
    form: Format,
    then: tuple[str, ...] = ("embed",),
    kind: str | None = None,
) -> None:
    """Say what a run will do, or how it ended and what to type next: `then`, of that run and of labels of that kind."""
    from tawt.objectives.parts import weights
    from tawt.training.threads import TO_BE_MEASURED

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
    losses = _losses(result.metrics)
    weigh = weights(plan.config.objective)
    rows_of = [(split, part, weigh.get(part), *numbers) for split, part, *numbers in losses]
    print_rows(("split", "part", "weight", "loss", "trivial", "positions"), rows_of, form)
    for text in no_better(losses, took_steps=bool(plan.n_steps)):
        say(f"note: {text}")
    say(f"weights: {result.weights}")
    name = plan.run.name if plan.run.parent == workspace / "runs" else str(plan.run)
    if plan.config.objective.next.weight and not plan.config.objective.label.weight:
        tell_decoder(workspace, name, plan.config.objective.latent.is_on, device, stale_ok, form)
        return
    next_command(follow(*then, workspace=workspace, run=name, kind=kind, device=device, stale_ok=stale_ok, form=form))


def tell_decoder(workspace: Path, run: str, is_told: bool, device: str, stale_ok: bool, form: Format) -> None:
    """Say what a decoder is for: risks, if it is told of no whole record, embeddings, and records of nobody."""
    of_run: dict[str, Any] = {"workspace": workspace, "run": run, "stale_ok": stale_ok, "form": form}
    if not is_told:
        say(f"or: {follow('risk', 'TASK', **of_run)}")
    say(f"or: {follow('embed', device=device, **of_run)}")
    next_command(follow("generate", subjects=1000, out=f"{workspace}-invented", **of_run))


def no_better(losses: Losses, took_steps: bool) -> Iterator[str]:
    """Yield what of tuning ended no better than the trivial baseline, and whether the steps of a task made it worse."""
    from tawt.training.metrics import START

    tuning = {part: (loss, trivial) for split, part, loss, trivial, _ in losses if split == "tuning"}
    start = {part: loss for split, part, loss, *_ in losses if split == START}
    if len(tuning) == _ALONE:  # the whole is its one part
        tuning = {part: of for part, of in tuning.items() if part != "all"}
    help_ = "more records"
    if took_steps:
        help_ = "fewer steps, more records or `--set train.keep_best=3 --set train.final=best`"
    tuning.pop("kl", None)  # no prediction: what a latent costs
    if above := [f"`{part}`" for part, (loss, trivial) in tuning.items() if loss >= trivial]:
        yield f"on tuning {', '.join(above)} ended no better than the trivial baseline; {help_} may help"
    if worse := [part for part, (loss, _) in tuning.items() if part in start and loss >= start[part]]:
        told = ", ".join(f"`{part}` ended at {tuning[part][0]:.4f}, from {start[part]:.4f}" for part in worse)
        yield f"on tuning the steps made nothing better: {told}; `--mode probe` is that start, and {help_} may help"


def _losses(metrics: dict[str, dict[str, float]]) -> Losses:
    rows: Losses = []
    for split, line in metrics.items():
        if "loss" not in line:
            continue
        rows.append((split, "all", line["loss"], line["baseline"], None))
        parts = [key.removeprefix("loss_") for key in line if key.startswith("loss_")]
        rows += [
            (split, part, line[f"loss_{part}"], line[f"baseline_{part}"], int(line[f"n_{part}"])) for part in parts
        ]
    return rows
