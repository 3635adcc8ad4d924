"""One line of training: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tawt.cli.output import console, say, show_progress

FIRST, SILENCE = 10, 60
"""Seconds until the first line, and between two at most, as far as steps come."""


def told_by_part(what: str, **others: str) -> Callable[[dict[str, Any]], None]:
    """Return what says the notes of a command, and of its parts how much is done and about how long the rest takes.

    Args:
        what: What a `part` is of.
        others: The same of other events, by their names; each begins with nothing done.
    """
    began = monotonic()

    def report(event: dict[str, Any]) -> None:
        nonlocal began
        if "text" in event:
            say(f"note: {event['text']}")
            return
        done, of = event["n_done"], event["n_rows"]
        if not done:
            began = monotonic()
        left = timedelta(seconds=round((monotonic() - began) * (of - done) / max(done, 1)))
        whose = others.get(event["event"], what)
        say(f"  {done / of:.0%} {whose}" + (f", about {left} left" if 0 < done < of else ""))

    return report


@contextmanager
def training_progress(resume: str | None = None, anew: bool = False) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Report the events of a training run.

    Args:
        resume: What goes on with it, where the run does not know all of it.
        anew: Whether that begins all over.
    """
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=12), MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"), console=console, transient=True, disable=not show_progress(),
    )  # fmt: skip
    task: Any = None
    said = monotonic() - SILENCE + FIRST

    def report(event: dict[str, Any]) -> None:
        nonlocal task, said
        kind = event["event"]
        if kind == "step":
            speed = f"{event['tokens_per_s'] / 1000:,.1f}k tokens/s"
            line = f"loss {event['loss']:.3f} (trivial {event['baseline']:.3f})  {speed}"
            left = f"{timedelta(seconds=round(event['eta_s']))} left"
            if show_progress():
                task = progress.add_task(line, total=event["max_steps"], left=left) if task is None else task
                progress.update(task, completed=event["step"], description=line, left=left)
            elif event["step"] % max(1, event["max_steps"] // 10) == 0 or monotonic() - said > SILENCE:
                said = monotonic()
                say(f"  step {event['step']}/{event['max_steps']}  {line}  lr {event['lr']:.1e}  {left}")
        elif kind == "validation":
            found, chance = event.get("found_paired"), event.get("found_by_chance")
            line = f"  tuning after step {event['step']}: loss {event['loss']:.3f} (trivial {event['baseline']:.3f})"
            say(line if found is None else f"{line}  pairs found {found:.1%} (by chance {chance:.1%})")
        elif kind == "begun":
            say("  ".join(f"{key} {value} ({why})" for key, (value, why) in event["means"].items()))
        elif kind == "note":
            say(f"note: {event['text']}")
        elif kind == "stopped":
            then = "this begins anew" if anew else "a checkpoint is saved. Go on with"
            say(f"stopped after step {event['step']}; {then}: {resume or event['resume']}")

    with progress:
        yield report
