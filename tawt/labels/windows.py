"""Which of two moments of a task comes first, whatever the record: by how the windows are written."""

from __future__ import annotations

from tawt.labels.language import TRIGGER, Bound
from tawt.labels.task import Task


def index_moment(task: Task) -> str:
    """Return the moment at which is predicted, as `input.end`."""
    for name, window in task.windows.items():
        if window.index_timestamp is not None:
            return f"{name}.{window.index_timestamp}"
    return TRIGGER


def least_gap(task: Task, late: str, early: str) -> int | None:
    """Return the least time from one moment to another, in us; None where it hangs on the record.

    Args:
        task: The task.
        late: The moment that is expected to be later, as `target.start`.
        early: The other.
    """
    base, off = _root(task, early)
    at, gap = _root(task, late)
    while at != base:
        one = _bound(task, at)
        if one is None or one.toward != "->":
            return None  # what is looked for backwards, or is the record's own end, may lie anywhere
        at, more = _root(task, _absolute(one, at))
        gap += more
    return gap - off


def furthest(task: Task) -> int | None:
    """Return the time, in us, from the prediction to the last moment that a task looks at; None where it hangs on what
    comes."""
    at, off = _root(task, index_moment(task))
    most = 0
    for name, window in task.windows.items():
        for side, one in zip(("start", "end"), window.bounds, strict=True):
            longest = 0
            if one is None and side == "end":
                if name != task.label_window or not task.horizons:
                    return None
                side, longest = "start", max(task.horizon_lengths)
            elif one is None:
                continue  # the record's start is known
            # what is looked for backwards lies before that
            moment = _absolute(one, f"{name}.{side}") if one is not None and one.toward == "<-" else f"{name}.{side}"
            base, own = _root(task, moment)
            if base != at:
                return None
            most = max(most, own - off + longest)
    return most


def _root(task: Task, moment: str) -> tuple[str, int]:
    """Return the moment that another one is a fixed time away from, and that time."""
    off = 0
    while moment != TRIGGER and (one := _bound(task, moment)) is not None and not one.toward:
        off += one.offset
        moment = _absolute(one, moment)
    return moment, off


def _bound(task: Task, moment: str) -> Bound | None:
    if moment == TRIGGER:
        return None
    name, _, side = moment.partition(".")
    start, end = task.windows[name].bounds
    return start if side == "start" else end


def _absolute(one: Bound, moment: str) -> str:
    return f"{moment.partition('.')[0]}.{one.sibling}" if one.sibling else one.anchor
