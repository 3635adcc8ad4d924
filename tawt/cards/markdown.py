"""Tables of a card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; numbers stand right."""
    body = [[cell(value) for value in row] for row in rows]
    numeric = [
        bool(body) and all(row[i][:1].isdigit() or row[i][:1] in "-<" for row in body) for i in range(len(columns))
    ]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(columns), rule, *body])


def cell(value: Any) -> str:
    """Return a value as it stands in a cell."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value).replace("|", "\\|")
