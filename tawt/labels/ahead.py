"""What a task asks of the time ahead, where that is plain: does one of some codes come, before what ends the window?"""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb

from tawt.labels.predicates_sql import code_sql
from tawt.labels.sections import Predicate
from tawt.labels.task import Task
from tawt.labels.windows import index_moment, least_gap


@dataclass(frozen=True)
class Ahead:
    """A yes or no of what comes after the prediction time."""

    outcome: frozenset[str]
    """The codes that make it a yes."""
    ends: frozenset[str]
    """The codes of which the first ends the window, at its own moment; none where no event does."""
    length: int | None
    """us from the prediction time to the end of the window, what comes then still within; None = it has none."""


def ahead_of(connection: duckdb.DuckDBPyConnection, task: Task, codes: str) -> Ahead | None:
    """Return what a task asks, or None where that is not just whether a code comes after the prediction time.

    Args:
        connection: Where `codes` is a relation.
        task: The task.
        codes: A relation with the column `code`.
    """
    name, at = task.label_window, index_moment(task)
    if name is None or task.label_type != "binary" or len(task.windows[name].label) != 1 or task.horizons:
        return None
    window = task.windows[name]
    start, end = f"{name}.start", f"{name}.end"
    if (
        window.start_inclusive
        or not window.end_inclusive
        or least_gap(task, start, at) != 0
        or least_gap(task, at, start) != 0
    ):
        return None
    outcome = _codes(connection, task, window.label[0], codes)
    if outcome is None:
        return None
    bound = window.bounds[1]
    if bound is None:
        return Ahead(outcome, frozenset(), None)
    if not bound.toward:
        length = least_gap(task, end, at)
        return None if length is None else Ahead(outcome, frozenset(), length)
    ends = _codes(connection, task, bound.predicate, codes)
    if bound.toward != "->" or bound.anchor not in ("start", start, at) or ends is None:
        return None
    return Ahead(outcome, ends, None)


def _codes(connection: duckdb.DuckDBPyConnection, task: Task, name: str, codes: str) -> frozenset[str] | None:
    """Return the codes of a predicate that hangs on the code alone; None of another one."""
    one = task.all_predicates.get(name)
    if one is None or one.static:
        return None
    if one.expr is not None:
        if "and" in re.findall(r"\w+", one.expr):
            return None
        parts = [_codes(connection, task, part, codes) for part in one.inputs]
        return None if any(part is None for part in parts) else frozenset().union(*(part or () for part in parts))
    if one.other_cols or one.value_min is not None or one.value_max is not None:
        return None
    return _plain(connection, name, one, codes)


def _plain(connection: duckdb.DuckDBPyConnection, name: str, one: Predicate, codes: str) -> frozenset[str]:
    found = connection.execute(f"select code from {codes} where {code_sql(name, one)}").fetchall()
    return frozenset(code for (code,) in found)
