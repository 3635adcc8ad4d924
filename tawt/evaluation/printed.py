"""A table of models or sets as text, of a width that it is to have: its metrics, its cells and what stands below."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from io import StringIO
from typing import Protocol

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from tawt.errors import ConfigError, nearest, printable

_WIDEST, _FRAME = 10_000, 3


class Ranged(Protocol):
    """A number and how far chance may have moved it; None where there is none."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def chosen_of(metrics: Sequence[str] | None, shown: Sequence[str], known: Collection[str]) -> list[str]:
    """Return the metrics of a table.

    Args:
        metrics: Names; None = those that it shows where nothing is asked for.
        shown: These.
        known: All that are measured.

    Raises:
        ConfigError: There is no such metric.
    """
    for name in metrics or ():
        if name not in known:
            raise ConfigError(f"metric {name}", "is not measured here, expected one that is", nearest(name, known))
    return [*(shown if metrics is None else metrics)]


def in_cell(one: Ranged | None, sign: str = "", between: str = "\n", digits: int = 4) -> str:
    """Return a number and its interval; `-` where there is none.

    Args:
        one: The number.
        sign: `+` of differences.
        between: What stands before the interval.
        digits: Of numbers from 100 on.
    """
    if one is None or one.value is None:
        return "-"

    def short(value: float) -> str:
        # a comma parts two ends
        return f"{value:{sign}.3f}" if abs(value) < 100 else f"{value:{sign}.{digits}g}"

    ends = "" if one.low is None or one.high is None else f"{between}[{short(one.low)}, {short(one.high)}]"
    return short(one.value) + ends


def printed(
    models: Sequence[str], table_of: Callable[[Mapping[str, str]], Table], width: int, notes: Iterable[str] = ()
) -> str:
    """Return a table of models as text, notes below it. Where it is too wide they are numbered, and named below."""
    table = table_of({name: printable(name) for name in models})
    if too_wide := Console(width=_WIDEST).measure(table).maximum > width:
        table = table_of({name: f"{i}" for i, name in enumerate(models, 1)})
        _keep_words(table, width)
    out = StringIO()
    Console(file=out, width=width, no_color=True, highlight=False).print(table)
    below = [f"{i}: {printable(name)}\n" for i, name in enumerate(models, 1)] if too_wide else []
    return "".join([out.getvalue(), *below, *(f"{line}\n" for line in notes)])


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
