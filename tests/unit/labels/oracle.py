"""The meaning of a task, written plainly: one subject at a time, one moment after the other, lists and loops only.

A task is a mapping as `random_task` makes it; times are microseconds. Nothing here is shared with the compiler.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

HOUR = 3_600_000_000
CODES = ("ADMIT//A", "ADMIT//B", "OUT", "LAB//K", "LAB//NA", "DEATH", "MALE")


@dataclass(frozen=True)
class Event:
    """One event of one subject."""

    time: int | None
    code: str
    number: float | None = None
    unit: str | None = None


@dataclass
class Drawn:
    """A task and the same as an ACES file."""

    predicates: dict[str, dict[str, Any]]
    static: list[str]
    trigger: str
    windows: dict[str, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The task as YAML."""
        lines = ["predicates:"]
        for name, one in self.predicates.items():
            if name not in self.static:
                lines.append(f"  {name}: {_predicate(one)}")
        if self.static:
            lines.append("patient_demographics:")
            lines += [f"  {name}: {_predicate(self.predicates[name])}" for name in self.static]
        lines += [f"trigger: {self.trigger}", "windows:"]
        for name, window in self.windows.items():
            lines.append(f"  {name}:")
            for side in ("start", "end"):
                lines += [
                    f"    {side}: {_bound(window[side])}",
                    f"    {side}_inclusive: {str(window[side + '_in']).lower()}",
                ]
            if window["has"]:
                lines.append("    has:")
                lines += [f"      {pred}: ({low}, {high})" for pred, (low, high) in window["has"].items()]
            for key in ("label", "index_timestamp"):
                if window.get(key):
                    lines.append(f"    {key}: {window[key]}")
        lines += [f"{key}: {value}" for key, value in self.extra.items()]
        return "\n".join(lines) + "\n"


def _predicate(one: dict[str, Any]) -> str:
    if "parts" in one:
        return f'{{expr: "{one["how"]}({", ".join(one["parts"])})"}}'
    keys = {
        "code": one["code"]
        if "code" in one
        else f'{{regex: "{one["regex"]}"}}'
        if "regex" in one
        else f"{{any: {one['any']}}}"
    }
    keys |= {
        key: str(one[key]).lower()
        for key in ("value_min", "value_max", "value_min_inclusive", "value_max_inclusive")
        if key in one
    }
    if "unit" in one:
        keys["other_cols"] = f"{{unit: {one['unit']}}}"
    return "{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


def _bound(one: tuple[str, str, Any] | None) -> str:
    if one is None:
        return "null"
    anchor, sign, what = one
    return f"{anchor} {sign} {what // HOUR}h" if sign in ("+", "-") else f"{anchor} {sign} {what}" if sign else anchor


def holds(one: dict[str, Any], event: Event) -> bool:
    """Whether an event counts for a plain predicate."""
    if "code" in one and event.code != one["code"]:
        return False
    if "any" in one and event.code not in one["any"]:
        return False
    if "regex" in one and not re.search(one["regex"], event.code):
        return False
    if "unit" in one and event.unit != one["unit"]:
        return False
    for key in ("value_min", "value_max"):
        if key in one:
            if event.number is None:
                return False
            if event.number == one[key]:
                if not one.get(f"{key}_inclusive"):
                    return False
            elif (event.number < one[key]) == (key == "value_min"):
                return False
    return True


class Record:
    """One subject: its moments, and how often each predicate holds at each."""

    def __init__(self, task: Drawn, events: Sequence[Event]) -> None:
        self.task, self.events = task, events
        self.moments = sorted({event.time for event in events if event.time is not None})
        self.kept = all(
            any(event.time is None and holds(task.predicates[name], event) for event in events) for name in task.static
        )

    def at(self, name: str, moment: int) -> int:
        """How often a predicate holds at a moment."""
        if name == "_ANY_EVENT":
            return 1
        if name == "_RECORD_START":
            return int(moment == self.moments[0])
        if name == "_RECORD_END":
            return int(moment == self.moments[-1])
        if name in self.task.static:
            return 1
        one = self.task.predicates[name]
        if "parts" in one:
            each = [self.at(part, moment) > 0 for part in one["parts"]]
            return int(all(each) if one["how"] == "and" else any(each))
        return sum(event.time == moment and holds(one, event) for event in self.events)

    def count(self, name: str, span: tuple[int, int, bool, bool]) -> int:
        """How often a predicate holds within a span."""
        return sum(self.at(name, moment) for moment in self.moments if inside(moment, span))

    def values(self, names: Sequence[str], span: tuple[int, int, bool, bool]) -> list[tuple[int, float]]:
        """The mean value at each moment within a span of what any of some plain predicates counts."""
        found = []
        for moment in self.moments:
            if inside(moment, span):
                numbers = [
                    event.number for event in self.events for name in names
                    if event.time == moment and event.number is not None and holds(self.task.predicates[name], event)
                ]  # fmt: skip
                if numbers:
                    found.append((moment, sum(numbers) / len(numbers)))
        return found

    def point(self, one: tuple[str, str, Any] | None, side: str, points: dict[str, int], may_stay: bool) -> int | None:
        """The time that a bound says; None where there is none."""
        if one is None:
            return self.moments[0] if side == "start" else self.moments[-1]
        anchor, sign, what = one
        here = points[anchor]
        if sign == "":
            return here
        if sign in ("+", "-"):
            return here + what if sign == "+" else here - what
        if sign == "->":
            found = [m for m in self.moments if (m > here or (may_stay and m == here)) and self.at(what, m)]
            return found[0] if found else None
        found = [m for m in self.moments if (m < here or (may_stay and m == here)) and self.at(what, m)]
        return found[-1] if found else None

    def spans(self, trigger: int) -> dict[str, tuple[int, int, bool, bool]] | None:
        """Every window of one sample; None where one is not there or does not hold what it must."""
        points, spans = {"trigger": trigger}, {}
        left = dict(self.task.windows)
        while left:
            for name, window in list(left.items()):
                first, second = ("start", "end")
                if window["start"] is None or window["start"][0] == "end":
                    first, second = second, first
                if window[first][0] not in points:
                    continue
                del left[name]
                outer = self.point(window[first], first, points, False)
                if outer is None:
                    return None
                both = window["start_in"] and window["end_in"]
                inner = self.point(window[second], second, {first: outer}, both)
                if inner is None:
                    return None
                points[f"{name}.{first}"], points[f"{name}.{second}"] = outer, inner
                span = (points[f"{name}.start"], points[f"{name}.end"], window["start_in"], window["end_in"])
                if span[0] > span[1]:
                    return None
                for pred, (low, high) in window["has"].items():
                    n = self.count(pred, span)
                    if (low is not None and n < low) or (high is not None and n > high):
                        return None
                spans[name] = span
        return spans


def inside(moment: int, span: tuple[int, int, bool, bool]) -> bool:
    """Whether a moment is within a span."""
    start, end, start_in, end_in = span
    return (start < moment or (start_in and start == moment)) and (moment < end or (end_in and moment == end))


def samples(task: Drawn, records: dict[int, list[Event]]) -> list[tuple[int, int, int, dict[str, Any], Record]]:
    """Return every sample: subject, trigger, prediction time, its windows, its record."""
    index = next(name for name, window in task.windows.items() if window.get("index_timestamp"))
    out = []
    for subject, events in records.items():
        record = Record(task, events)
        if not record.kept:
            continue
        for moment in record.moments:
            if record.at(task.trigger, moment) and (spans := record.spans(moment)) is not None:
                side = task.windows[index]["index_timestamp"]
                out.append((subject, moment, spans[index][0 if side == "start" else 1], spans, record))
    return out


def labels(task: Drawn, records: dict[int, list[Event]]) -> list[tuple[int, int, bool, int]]:
    """Return subject, prediction time, label and count; equal moments of equal labels are one, of the larger count."""
    window = next(name for name, window in task.windows.items() if window.get("label"))
    found: dict[tuple[int, int, bool], int] = {}
    for subject, _, when, spans, record in samples(task, records):
        n = record.count(task.windows[window]["label"], spans[window])
        found[subject, when, n > 0] = max(n, found.get((subject, when, n > 0), 0))
    return sorted((*key, n) for key, n in found.items())


def random_records(rng: random.Random, n_subjects: int = 4, n_events: int = 14) -> dict[int, list[Event]]:
    """Return a few short records with many ties in time."""
    records: dict[int, list[Event]] = {}
    for subject in range(1, n_subjects + 1):
        events = [Event(None, "MALE")] * rng.randrange(2) + [Event(None, "ADMIT//A")] * (rng.random() < 0.2)
        for _ in range(rng.randrange(n_events)):
            code = rng.choice(CODES[:-1])
            number = rng.choice([None, 1.3, 2.0, 3.5]) if code.startswith("LAB") else None
            events.append(Event(rng.randrange(12) * HOUR, code, number, rng.choice(["mg", "g"])))
        records[subject] = events or [Event(0, "OUT")]
    return records


def random_task(rng: random.Random, simple: bool = False) -> Drawn:
    """Return a task that any part of the language may be in."""
    predicates: dict[str, dict[str, Any]] = {
        "admit": {"regex": "^ADMIT//"}, "out": {"code": "OUT"}, "some": {"any": ["LAB//K", "DEATH"]}, "death": {"code": "DEATH"},
        "high": {"code": "LAB//K", "value_min": rng.choice([1.3, 2.0]), "value_min_inclusive": rng.random() < 0.5},
        "low": {"regex": "LAB", "value_max": rng.choice([2.0, 3.5]), "value_max_inclusive": rng.random() < 0.5},
        "either": {"how": "or", "parts": ["out", "death"]}, "both": {"how": "and", "parts": ["some", rng.choice(["low", "admit"])]},
    }  # fmt: skip
    if not simple:
        predicates["unit"] = {"code": "LAB//NA", "unit": "mg"}
        predicates["nested"] = {
            "how": rng.choice(["and", "or"]),
            "parts": ["either", "both", "unit"][rng.randrange(2) :],
        }
    static = ["male"] if rng.random() < 0.3 else []
    if static:
        predicates["male"] = {"code": "MALE"}
        predicates["mixed"] = {"how": rng.choice(["and", "or"]), "parts": ["male", "either"]}
    usable = [name for name in predicates if name not in static]
    special = ["_ANY_EVENT"] if simple else ["_ANY_EVENT", "_RECORD_START", "_RECORD_END"]
    trigger = rng.choice([*usable, "_ANY_EVENT"])
    windows: dict[str, dict[str, Any]] = {}
    for i in range(rng.randrange(2, 5)):
        anchors = ["trigger", *(f"w{j}.{side}" for j in range(i) for side in ("start", "end"))]

        def step(anchor: str, signs: str, back: bool = False) -> tuple[str, str, Any]:
            sign = rng.choice(signs.split())
            if sign in ("+", "-"):
                return (anchor, sign, rng.randrange(1, 6) * HOUR)
            if sign in ("->", "<-"):
                return (anchor, sign, rng.choice([*usable, *(["_ANY_EVENT"])]))
            return (anchor, "", None)

        outer_signs = ". ." if simple else ". . + - -> <-"
        outer = step(rng.choice(anchors), outer_signs)
        if rng.random() < 0.5:
            inner = None if rng.random() < 0.25 else step("start", "+ ->" if simple else ". + ->")
            start, end = outer, inner
        else:
            inner = None if rng.random() < 0.25 else step("end", "- <-" if simple else ". - <-")
            start, end = inner, outer
        has = {}
        for _ in range(rng.choice([0, 0, 1, 2])):
            low, high = rng.choice([(1, None), (None, 0), (None, 2), (1, 3), (2, None)])
            has[rng.choice([*usable, *special])] = (low, high)
        windows[f"w{i}"] = {
            "start": start,
            "end": end,
            "start_in": rng.random() < 0.5,
            "end_in": rng.random() < 0.5,
            "has": has,
        }
    windows[rng.choice(list(windows))]["index_timestamp"] = rng.choice(["start", "end"])
    windows[rng.choice(list(windows))]["label"] = rng.choice(usable)
    return Drawn(predicates, static, trigger, windows)
