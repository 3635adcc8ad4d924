"""Data goes to stdout as a table, JSON or CSV; everything said to a person goes to stderr."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.tree import Tree

from tawt.errors import printable

if TYPE_CHECKING:
    import pyarrow as pa

    from tawt.pipeline.run import Report, RunResult


class Format(StrEnum):
    """How data is printed."""

    table = "table"
    json = "json"
    csv = "csv"


class _Person(Console):
    """A console that obeys no character of what it is given to say."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, texts without control characters."""
        super().print(*[printable(one, keep="\n") if isinstance(one, str) else one for one in objects], **options)


console = _Person(stderr=True, highlight=False, soft_wrap=True)
"""What is said to a person."""


def say(text: str, style: str = "") -> None:
    """Say a line on stderr."""
    console.print(text, style=style, markup=False)


def next_command(command: str) -> None:
    """Say what to do next: the last line of every command."""
    console.print(f"next: {command}", style="bold", markup=False)


def print_rows(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    form: Format,
    *,
    spare: Sequence[str] = (),
    thousands: bool = True,
) -> None:
    """Print rows on stdout.

    A table on a terminal folds what is too long; elsewhere each row is one line, as long as it is.

    Args:
        columns: Their names.
        rows: A cell per column.
        form: How.
        spare: Columns that a table leaves out, in this order, where the terminal is too narrow for all.
        thousands: Whether whole numbers of a table are grouped; ids read better without.
    """
    if form is Format.json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str, indent=2))
        return
    if form is Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        # elsewhere than on a terminal a line end or a tab within a cell is data
        keep = "" if sys.stdout.isatty() else "\n\r\t"
        writer.writerow([printable(name, keep) for name in columns])
        writer.writerows(
            [["" if cell is None else printable(cell, keep) if isinstance(cell, str) else cell for cell in row]
             for row in rows]
        )  # fmt: skip
        return
    on_terminal = sys.stdout.isatty()
    columns = [printable(name) for name in columns]
    width = Console().width if on_terminal else sys.maxsize
    texts = [[_cell(cell, thousands) for cell in row] for row in rows]
    widest = {name: max(map(len, (name, *(row[i] for row in texts)))) for i, name in enumerate(columns)}
    left_out: list[str] = []
    for name in spare:
        if sum(widest.values()) + 2 * (len(widest) - 1) > width:
            del widest[name]
            left_out.append(name)
    shown = [i for i, name in enumerate(columns) if name in widest]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i in shown:
        numeric = bool(rows) and all(isinstance(row[i], int | float) or row[i] is None for row in rows)
        # the first column names the row: folded names are hard to find again
        whole = not on_terminal or i == 0
        table.add_column(columns[i], justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
    for row in texts:
        table.add_row(*[row[i] for i in shown])
    if on_terminal:
        Console(highlight=False, markup=False).print(table)
    else:
        page = io.StringIO()
        width = sum(widest.values()) + 2 * len(widest)
        Console(highlight=False, markup=False, width=width, file=page).print(table)
        print("\n".join(line.rstrip() for line in page.getvalue().removesuffix("\n").split("\n")))
    if left_out:
        say(f"not shown: {', '.join(left_out)}; a wider terminal or --format json shows all")


def print_table(table: pa.Table, form: Format, *, spare: Sequence[str] = (), thousands: bool = True) -> None:
    """Print an Arrow table on stdout, as `print_rows` does."""
    rows = list(zip(*[column.to_pylist() for column in table.columns], strict=True)) if table.num_columns else []
    print_rows(table.column_names, rows, form, spare=spare, thousands=thousands)


_FEW_LEAVES = 20
"""Files of one raw table that a tree names."""


def print_tree(table: pa.Table, form: Format) -> None:
    """Print lines of a tree, `depth` and `name` first, on stdout; of many leaves of one branch the first."""
    if form is not Format.table:
        print_table(table, form)
        return
    lines = table.to_pylist()
    root = Tree(_leaf(lines[0]))
    branches, left_out = [root], 0
    for line, after in zip(lines[1:], [*lines[2:], {"depth": 0}], strict=True):
        above = branches[: line["depth"]]
        is_file = line["state"] == "file"
        if is_file and len(above[-1].children) >= _FEW_LEAVES:
            left_out += 1
            if after["depth"] < line["depth"]:
                above[-1].add(f"and {left_out:,} more")
                left_out = 0
            continue
        branches = [*above, above[-1].add(_leaf(line))]
    page = io.StringIO()
    width = max(4 * line["depth"] + len(_leaf(line)) for line in lines) + 8
    Console(highlight=False, markup=False, width=width, file=page).print(root)
    print("\n".join(text.rstrip() for text in page.getvalue().removesuffix("\n").split("\n")))


def _leaf(line: dict[str, Any]) -> str:
    is_raw = line["state"] in ("raw", "file")
    rows = "" if line["rows"] is None else f"{line['rows']:,} {'records' if is_raw else 'rows'}"
    return printable("  ".join(filter(None, (line["name"], rows, "" if is_raw else line["state"]))))


def _cell(cell: Any, thousands: bool) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}" if thousands else str(cell)
    return f"{cell:.6g}" if isinstance(cell, float) else printable(" ".join(str(cell).split("\n")))


def print_text(text: str) -> None:
    """Print text of several lines on stdout."""
    print(printable(text.rstrip(), keep="\n\t"))


def fact(value: Any) -> str:
    """Return a fact of a manifest as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {n:,}" for name, n in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def show_progress() -> bool:
    """Return whether bars are wanted: on a terminal, unless `TAWT_NO_PROGRESS` is set."""
    return console.is_terminal and not os.environ.get("TAWT_NO_PROGRESS")


@contextmanager
def stage_progress(dry_run: bool) -> Iterator[Report]:
    """Report stages as they run: a bar on a terminal, plain lines elsewhere."""
    progress = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TimeElapsedColumn(), console=console, transient=True, disable=not show_progress() or dry_run,
    )  # fmt: skip
    tasks: dict[str, Any] = {}

    def report(event: dict[str, Any]) -> None:
        kind, stage = event["event"], event.get("stage", "")
        if kind == "note":
            say(f"note: {event['text']}")
        elif kind == "start":
            tasks[stage] = progress.add_task(stage, total=None)
        elif kind == "progress":
            progress.update(tasks[stage], completed=event["done"], total=event["total"])
        elif kind == "done":
            if stage in tasks:
                progress.remove_task(tasks.pop(stage))
            say(_stage_line(event))

    with progress:
        yield report


def _stage_line(event: dict[str, Any]) -> str:
    stage, reason, manifest = event["stage"], event["reason"], event["manifest"]
    if event["dry_run"]:
        return f"  {stage:<28} would run: {reason}" if reason else f"  {stage:<28} would skip: up to date"
    if reason is None:
        return f"  {stage:<28} up to date"
    n_in = sum(account.n_records_in for account in manifest.accounts)
    n_out = sum(account.n_rows_out for account in manifest.accounts)
    gone = sum(account.count("drop") + account.count("quarantine") for account in manifest.accounts)
    lost = f", {gone:,} dropped or quarantined" if gone else ""
    return f"  {stage:<28} {n_in:>11,} -> {n_out:,} rows{lost}  ({reason}, {manifest.seconds:.1f} s)"


def say_run(result: RunResult) -> None:
    """Say what a data command did, in one line."""
    for stage, why in result.skipped.items():
        say(f"  {stage:<28} skipped: {why}")
    verb = "would run" if result.dry_run else "ran"
    n_idle = len(result.stages) - result.n_run
    say(
        f"{verb} {result.n_run} stages, {n_idle} up to date"
        if result.n_run
        else f"{verb} nothing: all {n_idle} stages are up to date"
    )


def print_ledger(result: RunResult, form: Format = Format.table) -> None:
    """Print where every record went: in, kept, dropped and quarantined by reason, and what cells were left out."""
    rows = []
    for stage in result.stages:
        for account in stage.manifest.accounts if stage.manifest is not None else ():
            reasons = ", ".join(f"{route.reason} {route.n_records:,}" for route in account.routes)
            added = ", ".join(f"{rule} +{n:,}" for rule, n in account.n_rows_added.items())
            faults = ", ".join(f"{one.column}:{one.reason} {one.n_cells:,}" for one in account.faults)
            told = (reasons, added, f"cells left out: {faults}" if faults else "")
            rows.append(
                (stage.stage, account.driving, account.n_records_in, account.n_records_kept, account.count("drop"),
                 account.count("quarantine"), account.n_rows_out, "; ".join(filter(None, told)))
            )  # fmt: skip
    columns = ("stage", "input", "records in", "kept", "dropped", "quarantined", "rows out", "by reason")
    print_rows(columns, rows, form, spare=("input", "kept"))


def say_values(result: RunResult) -> None:
    """Say what became of values: shares by status, and the data_types that lost most of their numbers."""
    from tawt.transforms.losses import in_words, shares, warning

    facts = next((s.manifest.facts for s in result.stages if s.stage == "events" and s.manifest is not None), {})
    if isinstance(counts := facts.get("value_status"), dict) and counts:
        say("values: " + ", ".join(f"{name} {n:,} ({share:.1%})" for name, n, share in shares(counts)))
    for line in in_words(facts):
        say(f"  {line}")
    if (said := warning(facts, result.workspace.pipeline.most_lost)) is not None:
        say(f"warning: {said}")
