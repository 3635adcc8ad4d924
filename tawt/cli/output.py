"""Data goes to stdout as a table, JSON or CSV; everything said to a person goes to stderr."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from tawt.errors import printable

if TYPE_CHECKING:
    import pyarrow as pa


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


_TYPED = re.compile("`[^`]*`|(?<=: )(?:tawt|torchrun) .*$")
"""What stands in backticks, and a command at the end."""
_TIED = "\ufdd0"
"""In the place of a blank that no line ends at; no text has it."""
console = _Person(stderr=True, highlight=False, soft_wrap=True)
"""What is said to a person."""


def say(text: str, style: str = "", *, width: int | None = None) -> None:
    """Say a line on stderr; a long one goes on below, where a command in it is not broken.

    Args:
        text: The line.
        style: Of a terminal.
        width: How long a line may be elsewhere than on a terminal; None = as long as it is.
    """
    most = console.width if console.is_terminal else width
    console.print(text if most is None else _wrapped(text, most), style=style, markup=False)


def _wrapped(text: str, width: int) -> str:
    """Break a line between words, what is to be typed whole, so that it can be pasted."""
    if len(text) <= width:
        return text
    tied = _TYPED.sub(lambda typed: typed[0].replace(" ", _TIED), text)
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    lines = textwrap.wrap(tied, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(_TIED, " ")


def next_command(command: str) -> None:
    """Say what to do next: the last line of every command."""
    console.print(f"next: {command}", style="bold", markup=False)


LEAST_FOLDED = 24
"""How wide a column is at least that is folded rather than left out."""


def terminal_width() -> int | None:
    """Return how wide the terminal is that data goes to; None = a line may be of any length."""
    return Console().width if sys.stdout.isatty() else None


def text_width() -> int:
    """Return how wide tables are that are printed as text, to a terminal or to a file."""
    return terminal_width() or 160


def print_rows(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    form: Format,
    *,
    spare: Sequence[str] = (),
    folds: str = "",
    thousands: bool = True,
) -> None:
    """Print rows on stdout.

    A table on a terminal folds what is too long; elsewhere each row is one line, as long as it is.

    Args:
        columns: Their names.
        rows: A cell per column.
        form: How.
        spare: Columns that a table leaves out, in this order, where the terminal is too narrow for all.
        folds: A column that may be folded before any is left out.
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
    if on_terminal and folds:
        widest[folds] = min(widest[folds], LEAST_FOLDED)
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


def print_most(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format, folds: str) -> None:
    """Print rows whose last cell is a count: a table has the largest counts, and how many rows more there are."""
    ranked = sorted(rows, key=lambda row: -(row[-1] or 0))
    shown = rows if form is not Format.table or len(rows) <= _FEW_ROWS + 1 else ranked[:_FEW_ROWS]
    print_rows(columns, shown, form, folds=folds)
    if rest := ranked[len(shown) :]:
        say(f"and {len(rest):,} more, {sum(row[-1] or 0 for row in rest):,} {columns[-1]}: --format csv has them")


_FEW_ROWS = 20
"""Rows of a long table that a person reads."""


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


def counted(n: int, what: str) -> str:
    """Return a number of things in words: one without an `s`."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def about(seconds: float) -> str:
    """Return a time that is an estimate, no finer than it is known."""
    if seconds < 95:
        return f"about {max(5, round(seconds / 5) * 5 if seconds < 30 else round(seconds / 10) * 10)} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < 95 else f"about {minutes / 60:.1f} h"


def of_train(n_rows: int | None, n_all: int) -> str:
    """Return a part of the rows of train in words; None = those of few people."""
    if n_rows is None:
        return "rows of train of few subjects alone"
    return f"{n_rows:,} of {n_all:,} rows of train ({n_rows / max(1, n_all):.1%})"


def print_text(text: str) -> None:
    """Print text of several lines on stdout."""
    print(printable(text.rstrip(), keep="\n\t"))


def fact(value: Any) -> str:
    """Return a fact of a manifest as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {n:,}" for name, n in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextmanager
def looking() -> Iterator[Callable[[str], None]]:
    """Show on a terminal which table is looked at; it goes when all are."""
    if not show_progress():
        yield lambda table: None
        return
    with console.status("looking at the files") as status:
        yield lambda table: status.update(f"looking at {escape(table)}")


def show_progress() -> bool:
    """Return whether bars are wanted: on a terminal, unless `TAWT_NO_PROGRESS` is set."""
    return console.is_terminal and not os.environ.get("TAWT_NO_PROGRESS")
