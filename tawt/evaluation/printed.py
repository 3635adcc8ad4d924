"""A table of models as text, of a width that it is to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import StringIO

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from tawt.errors import printable

_WIDEST, _FRAME = 10_000, 3


def printed(models: Sequence[str], table_of: Callable[[Mapping[str, str]], Table], width: int) -> str:
    """Return a table of models as text. Where it is too wide they are numbered, and named below."""
    table = table_of({name: printable(name) for name in models})
    if too_wide := Console(width=_WIDEST).measure(table).maximum > width:
        table = table_of({name: f"{i}" for i, name in enumerate(models, 1)})
        _keep_words(table, width)
    out = StringIO()
    Console(file=out, width=width, no_color=True, highlight=False).print(table)
    below = [f"{i}: {printable(name)}\n" for i, name in enumerate(models, 1)] if too_wide else []
    return "".join([out.getvalue(), *below])


def _keep_words(table: Table, width: int) -> None:
    """Narrow columns to lines of whole words, where these have room; else they are folded wherever it may be."""
    console = Console(width=_WIDEST)
    least, most = [], []
    for column in table.columns:
        cells = [Measurement.get(console, console.options, one) for one in (column.header, *column.cells)]
        least.append(max(one.minimum for one in cells))
        most.append(max(one.maximum for one in cells))
    spare = width - sum(least) - _FRAME * len(least) - 1
    if spare < 0:
        return
    for _ in range(min(spare, sum(most) - sum(least))):
        least[max(range(len(least)), key=lambda i: most[i] - least[i])] += 1
    for column, own in zip(table.columns, least, strict=True):
        column.width = own
