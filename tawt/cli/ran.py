"""What a data command did, told to a person: stages as they run, where records went, what became of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tawt.cli.output import (
    LEAST_FOLDED,
    Format,
    about,
    console,
    counted,
    fact,
    print_rows,
    say,
    show_progress,
    terminal_width,
)
from tawt.cli.progress import FIRST, SILENCE
from tawt.errors import TawtError

if TYPE_CHECKING:
    from tawt.contracts.account import Account
    from tawt.pipeline.manifest import Manifest
    from tawt.pipeline.run import Report, RunResult

_SHORTEST = 28
"""Letters that a name of a stage has room for, so that counts of most commands stand under one another."""
Accounts = Sequence[tuple[str, "Account"]]
"""Stage -> where its records went."""


@contextmanager
def stage_progress(dry_run: bool, form: Format = Format.table) -> Iterator[Report]:
    """Report stages as they run, and about how long the rest takes: a bar on a terminal, plain lines elsewhere.

    Where an error ends the command, what was dropped and quarantined before it is told first: it may be the cause.
    """
    progress = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[left]}"), console=console, transient=True,
        disable=not show_progress() or dry_run,
    )  # fmt: skip
    tasks: dict[str, Any] = {}
    went: list[tuple[str, Account]] = []
    width, said = _SHORTEST, monotonic() - SILENCE + FIRST

    def report(event: dict[str, Any]) -> None:
        nonlocal width, said
        kind, stage = event["event"], event.get("stage", "")
        if kind == "plan":
            width = max(width, *map(len, event["stages"]), 0)
        elif kind == "note":
            say(f"note: {event['text']}")
        elif kind == "start":
            tasks[stage] = progress.add_task(stage, total=None, left="")
        elif kind == "progress":
            left = f"{about(event['left_s'])} left in all" if event.get("left_s") is not None else ""
            progress.update(tasks[stage], completed=event["done"], total=event["total"], left=left)
            if left and not show_progress() and monotonic() - said > SILENCE:
                said = monotonic()
                say(f"  {stage:<{width}} {event['done'] / max(1, event['total']):.0%}, {left}")
        elif kind in ("done", "refused"):
            if stage in tasks:
                progress.remove_task(tasks.pop(stage))
            if kind == "refused":
                say(f"  {stage:<{width}} refused")
                say(f"note: {event['text']}")
                return
            say(_stage_line(event, width))
            went.extend(_accounts(stage, None if event["dry_run"] else event["manifest"]))

    with progress:
        try:
            yield report
        except TawtError:
            progress.stop()
            if gone := [(stage, one) for stage, one in went if one.routes or one.faults]:
                _print_accounts(gone, form)
            raise


def _stage_line(event: dict[str, Any], width: int) -> str:
    stage, reason, manifest = event["stage"], event["reason"], event["manifest"]
    name = f"  {stage:<{width}}"
    if event["dry_run"]:
        return f"{name} would run: {reason}" if reason else f"{name} would skip: up to date"
    if reason is None:
        return f"{name} up to date"
    counted_in = [account.n_records_in for account in manifest.accounts if account.counts_records(stage)]
    n_in = f"{sum(counted_in):,}" if counted_in else manifest.accounts[0].driving
    n_out = sum(account.n_rows_out for account in manifest.accounts)
    gone = sum(account.count("drop") + account.count("quarantine") for account in manifest.accounts)
    lost = f", {gone:,} dropped or quarantined" if gone else ""
    return f"{name} {n_in:>11} -> {n_out:,} rows{lost}  ({reason}, {manifest.seconds:.1f} s)"


def tell_run(result: RunResult, form: Format = Format.table) -> None:
    """Tell what a data command did: how much ran, where every record went, and what is to be known of what was made."""
    from tawt.pipeline.telling import lines_of, warnings_of

    width = max([_SHORTEST, *map(len, result.skipped)])
    for stage, why in result.skipped.items():
        say(f"  {stage:<{width}} skipped: {why}")
    verb, n, n_idle = "would run" if result.dry_run else "ran", result.n_run, len(result.stages) - result.n_run
    idle = f"all {counted(n_idle, 'stage')} are up to date" if n_idle != 1 else "the stage is up to date"
    say(f"{verb} {counted(n, 'stage')}, {n_idle} up to date" if n else f"{verb} nothing: {idle}")
    if result.dry_run:
        return
    _print_accounts([pair for one in result.stages for pair in _accounts(one.stage, one.manifest)], form)
    for one in result.stages:
        if one.manifest is not None:
            for line in facts_in_words(one.stage, one.manifest.facts):
                say(line)
            for line in lines_of(one.manifest):
                say(f"  {one.stage}: {line}")
            for line in warnings_of(one.manifest, result.workspace.pipeline.most_lost):
                say(f"warning: {line}")


def facts_in_words(stage: str, facts: Mapping[str, Any], most_lost: float | None = None) -> Iterator[str]:
    """Yield what a stage counted, a line each: of events what became of values, with a warning where many were lost."""
    from tawt.contracts.subjects import KEY_MARK
    from tawt.pipeline.telling import COUNTS
    from tawt.transforms.losses import LISTED, in_words, statuses, warning

    if isinstance(counts := facts.get("value_status"), dict) and counts:
        yield f"values: {statuses(counts)}"
    for key, value in facts.items():
        if key not in (*LISTED, *COUNTS, KEY_MARK) and value not in ({}, [], ""):
            yield f"  {stage}: {key.removeprefix('n_').replace('_', ' ')}: {fact(value)}"
    for line in in_words(facts):
        yield f"  {line}"
    if most_lost is not None and (said := warning(facts, most_lost)) is not None:
        yield f"warning: {said}"


def _accounts(stage: str, manifest: Manifest | None) -> list[tuple[str, Account]]:
    return [(stage, account) for account in (manifest.accounts if manifest is not None else ())]


def _print_accounts(went: Accounts, form: Format) -> None:
    """Print where every record went: in, kept, dropped and quarantined by reason, and what cells were left out."""
    columns = ["stage", "input", "records in", "kept", "dropped", "quarantined", "rows out", "by reason"]
    rows: list[list[Any]] = []
    for stage, one in went:
        came = (one.n_records_in, one.n_records_kept) if one.counts_records(stage) else ("", "")
        gone = _told(one, ", ".join(f"{route.reason} {route.n_records:,}" for route in one.routes))
        rows.append([stage, one.driving, *came, one.count("drop"), one.count("quarantine"), one.n_rows_out, gone])
    width = terminal_width()
    if form is not Format.table or width is None:
        print_rows(columns, rows, form)
        return
    # a stage is named once, and what does not fit beside its reasons is told with them
    rows = [["" if i and row[0] == rows[i - 1][0] else row[0], *row[1:]] for i, row in enumerate(rows)]
    texts = [columns[:-1], *([f"{cell:,}" if isinstance(cell, int) else cell for cell in row[:-1]] for row in rows)]
    least = min(LEAST_FOLDED, max(len(row[-1]) for row in [columns, *rows]))
    if sum(max(map(len, column)) + 2 for column in zip(*texts, strict=True)) + least > width:
        columns = ["stage", "input", "records in", "kept", "rows out", "gone, by reason"]
        rows = [[*row[:4], row[6], _told(one, _by_kind(one))] for row, (_, one) in zip(rows, went, strict=True)]
    print_rows(columns, rows, form, spare=("rows out",), folds=columns[-1])


def _told(account: Account, reasons: str) -> str:
    added = ", ".join(f"{rule} +{n:,}" for rule, n in account.n_rows_added.items())
    faults = ", ".join(f"{one.column}:{one.reason} {one.n_cells:,}" for one in account.faults)
    return "; ".join(filter(None, (reasons, added, f"cells left out: {faults}" if faults else "")))


def _by_kind(account: Account) -> str:
    kinds = {"drop": "dropped", "quarantine": "quarantined"}
    told = {
        word: ", ".join(f"{r.reason} {r.n_records:,}" for r in account.routes if r.kind == kind)
        for kind, word in kinds.items()
    }
    return "; ".join(f"{word}: {reasons}" for word, reasons in told.items() if reasons)
