"""What must hold between the parts of a task, so that each of its windows can be found from the trigger."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from tawt.config.base import Conflict
from tawt.errors import nearest
from tawt.labels.language import NAME, RECORD_END, RECORD_START, SPECIAL, TRIGGER, derived, duration
from tawt.labels.sections import Window, Written

LONGEST_CHAIN = 50
"""Of predicates derived from one another, and of windows that are seen from one another."""


def check(task: Written) -> None:
    """Hold a task to the rules of the language.

    Raises:
        Conflict: A part names what is not there, is not said yet, or leads in a circle.
    """
    for section in ("predicates", "patient_demographics", "windows"):
        for name in getattr(task, section):
            if not NAME.fullmatch(name) or name in (*SPECIAL, TRIGGER if section == "windows" else ""):
                raise Conflict(f"{name!r} is no name: it takes letters, digits and `_`", f"{section}.{name}")
    _predicates(task)
    for name, window in task.windows.items():
        _sides(name, window)
        _anchor(task, name, window)
    ordered(task)
    _label(task)


def _predicates(task: Written) -> None:
    known = task.all_predicates
    for name, key in task.needed():
        if name in SPECIAL:
            continue
        if name not in known:
            raise Conflict(
                f"names the predicate `{name}`, which is not there ({nearest(name, [*known, *SPECIAL])})", key
            )
        one = known[name]
        section = "patient_demographics" if name in task.patient_demographics else "predicates"
        if one.placeholder:
            raise Conflict(
                f"the predicate `{name}` has no code yet: say it here, or in a file of the dataset's predicates",
                f"{section}.{name}",
            )
        if one.static and (key == "trigger" or key.startswith("windows.")):
            raise Conflict(f"`{name}` is a fact without a time, which is at no moment and in no window", key)
        if one.static and one.expr is not None:
            raise Conflict("a fact without a time is a plain predicate, with `code`", f"{section}.{name}")
    _no_circle({name: one.inputs for name, one in known.items()}, "predicates.{}.expr", "is derived from itself")


def _sides(name: str, window: Window) -> None:
    start, end = window.bounds
    keys = (f"windows.{name}.start", f"windows.{name}.end")
    for side, one, other in (("start", start, end), ("end", end, start)):
        if one is not None and one.sibling == side:
            raise Conflict(f"its {side} is seen from its {side}", f"windows.{name}.{side}")
        if one is None and (other is None or other.sibling):
            raise Conflict("one side must be found from the trigger or from another window", *keys)
    if start is not None and end is not None and bool(start.sibling) == bool(end.sibling):
        raise Conflict("one side is found from the trigger or another window, and the other side from that one", *keys)
    if start is not None and start.sibling and (start.offset > 0 or start.toward == "->"):
        raise Conflict("it would begin after its end", f"windows.{name}.start")
    if end is not None and end.sibling and (end.offset < 0 or end.toward == "<-"):
        raise Conflict("it would end before its start", f"windows.{name}.end")
    for side, one in (("start", start), ("end", end)):
        if one is not None and (one.toward, one.predicate) in (("->", RECORD_START), ("<-", RECORD_END)):
            raise Conflict("nothing comes before the start of a record or after its end", f"windows.{name}.{side}")


def _anchor(task: Written, name: str, window: Window) -> None:
    anchor = window.outer.anchor
    key = f"windows.{name}.{'end' if window.from_end else 'start'}"
    owner = anchor.partition(".")[0]
    if anchor != TRIGGER and owner not in task.windows:
        raise Conflict(f"is seen from `{owner}`, which is not there ({nearest(owner, [TRIGGER, *task.windows])})", key)
    if owner == name:
        raise Conflict("is seen from the window itself: write `start` or `end` alone", key)


def ordered(task: Written) -> list[str]:
    """Return the windows so that each comes after the one that it is seen from.

    Raises:
        Conflict: They lead in a circle.
    """
    seen_from = {
        name: tuple({window.outer.anchor.partition(".")[0]} - {TRIGGER}) for name, window in task.windows.items()
    }
    _no_circle(seen_from, "windows.{}", "is seen from itself")
    order: list[str] = []
    while len(order) < len(seen_from):
        order += [name for name, anchors in seen_from.items() if name not in order and {*anchors} <= {*order}]
    return order


def _no_circle(leads: dict[str, tuple[str, ...]], key: str, said: str) -> None:
    try:
        order = [*TopologicalSorter(leads).static_order()]
    except CycleError as error:
        circle: list[str] = error.args[1]
        raise Conflict(f"{said} ({' -> '.join(circle)})", key.format(circle[0])) from None
    behind: dict[str, int] = {}
    for name in order:  # what leads on comes first
        behind[name] = 1 + max((behind[part] for part in leads.get(name, ())), default=0)
        if behind[name] > LONGEST_CHAIN:
            raise Conflict(f"is led to by a chain of more than {LONGEST_CHAIN} others", key.format(name))


def _label(task: Written) -> None:
    for key in ("label", "index_timestamp"):
        if len(own := [f"windows.{name}.{key}" for name, one in task.windows.items() if getattr(one, key)]) > 1:
            raise Conflict("one window has it", *own)
    if task.sampling != "all" and task.max_per_subject is None and task.sampling != "first":
        raise Conflict("how many of each subject are drawn is not said", "sampling", "max_per_subject")
    if task.sampling == "all" and task.max_per_subject is not None:
        raise Conflict("`all` keeps all: say `first` or `random(SEED)`", "sampling", "max_per_subject")
    window = task.label_window
    if window is None:
        said = [key for key in ("label_type", "bins", "horizons", "new_onset") if key in task.model_fields_set]
        if said:
            raise Conflict("no window has a `label`", *said)
        return
    if task.index_window is None:
        raise Conflict(
            "no window says by `index_timestamp` which of its sides is the prediction time", f"windows.{window}.label"
        )
    label = task.windows[window].label
    if len({*label}) < len(label):
        raise Conflict("one stands there twice", f"windows.{window}.label")
    if (task.label_type == "multiclass") != bool(task.bins):
        raise Conflict("`multiclass` has `bins`, and nothing else does", "label_type", "bins")
    if any(low >= high for low, high in zip(task.bins, task.bins[1:], strict=False)):
        raise Conflict("the edges do not ascend", "bins")
    if "label_agg" in task.model_fields_set and task.label_type not in ("value", "multiclass"):
        raise Conflict("of `value` and `multiclass` alone one of several values is taken", "label_type", "label_agg")
    if task.label_type in ("value", "multiclass"):
        for name in label:
            plain(task, name, f"windows.{window}.label")
    if task.horizons and task.label_type != "binary":
        raise Conflict("horizons are yes or no; `time_to_event` itself says when", "label_type", "horizons")
    for length in task.horizons:
        try:
            if not duration(length):
                raise ValueError("a duration above 0")
        except ValueError as error:
            raise Conflict(f"`{length}` is not {error}", "horizons") from None
    if len({*task.horizon_lengths}) < len(task.horizons):
        raise Conflict("one stands there twice", "horizons")


def plain(task: Written, name: str, key: str) -> tuple[str, ...]:
    """Return the plain predicates that one is, or is any of: events of these carry its value.

    Raises:
        Conflict: It asks for several at once, or for any event, which have no value of their own.
    """
    if name in SPECIAL:
        raise Conflict(f"`{name}` has no value", key)
    one = task.all_predicates[name]
    if one.expr is None:
        return (name,)
    tree = derived(one.expr)
    if tree.every or not all(isinstance(part, str) for part in tree.parts):
        raise Conflict(f"`{name}` has no value: it is more than one of several plain predicates", key)
    return tuple(leaf for part in tree.names for leaf in plain(task, part, key))
