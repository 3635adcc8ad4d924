"""The small language inside an ACES task: durations, bounds of windows, counts, and `and(...)` / `or(...)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal

NAME = re.compile(r"\w+", re.ASCII)
"""What names of predicates and windows are like."""
ANY_EVENT, RECORD_START, RECORD_END = "_ANY_EVENT", "_RECORD_START", "_RECORD_END"
SPECIAL = (ANY_EVENT, RECORD_START, RECORD_END)
"""Predicates that every record has: each of its moments, the first one and the last one."""
TRIGGER = "trigger"

_MICROSECONDS = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_LONGEST = 200 * 365 * _MICROSECONDS["d"]
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_UNITS = {
    "w": r"w|wks?|weeks?", "d": r"d|dys?|days?", "h": r"h|hrs?|hours?", "m": r"m|mins?|minutes?",
    "s": r"s|secs?|seconds?",
}  # fmt: skip
_PARTS = r"\s*".join(rf"(?:(?P<{unit}>{_NUMBER})\s*(?:{names})\b\s*[,/]?)?" for unit, names in _UNITS.items())
# `1h30m`: a unit ends where the next number begins, which is no end of a word
_WRITTEN = re.compile(_PARTS.replace(r"\b", r"(?![a-z])"), re.IGNORECASE)
_CLOCK = re.compile(
    r"(?:(?P<w>\d+)\s*(?:w|wks?|weeks?)\s*[,/]?\s*)?(?:(?P<d>\d+)\s*(?:[:-]|(?:d|dys?|days?)\s*[,/]?\s*))?"
    r"(?P<h>\d+):(?P<m>\d{2}):(?P<s>\d{2}(?:\.\d+)?)",
    re.IGNORECASE,
)
_SHORT_CLOCK = re.compile(r"(?P<m>\d{1,2})?:(?P<s>\d{2}(?:\.\d+)?)")
_CALENDAR = re.compile(r"\d\s*(?:y|yrs?|years?|mo|mos|mths?|months?)\b", re.IGNORECASE)


@lru_cache(maxsize=256)
def duration(text: str) -> int:
    """Return a duration in microseconds: `24h`, `30 days`, `1 day, 14:20:16`, `1h30m`, `1.5 hours`, `02:30`.

    A clock of two parts is minutes and seconds; `m` is minutes.

    Raises:
        ValueError: It is none, or longer than 200 years.

    # source: the grammar of pytimeparse, which ACES reads durations with (https://github.com/wroberts/pytimeparse)
    """
    stripped = text.strip()
    match = next((m for form in (_WRITTEN, _CLOCK, _SHORT_CLOCK) if (m := form.fullmatch(stripped))), None)
    parts = {unit: number for unit, number in match.groupdict().items() if number} if match else {}
    if not parts:
        if _CALENDAR.search(stripped):
            raise ValueError("a duration in weeks, days, hours, minutes or seconds: months and years differ in length")
        raise ValueError("a duration, as `24h`, `30 days` or `1 day, 14:20:16`")
    exact = sum(Decimal(number) * _MICROSECONDS[unit] for unit, number in parts.items())
    if exact > _LONGEST:
        raise ValueError("a duration of at most 200 years")
    return round(exact)


@dataclass(frozen=True)
class Bound:
    """Where a window begins or ends, as seen from another point."""

    anchor: str
    """`trigger`, `start` or `end` of the same window, or `WINDOW.start` / `WINDOW.end`."""
    offset: int = 0
    """Microseconds to add."""
    toward: Literal["->", "<-", ""] = ""
    """Whether it is the next or the previous moment of a predicate."""
    predicate: str = ""
    """That predicate."""

    @property
    def sibling(self) -> str:
        """The side of the same window that it is seen from; empty where it is another point."""
        return self.anchor if self.anchor in ("start", "end") else ""


@lru_cache(maxsize=1024)
def bound(text: str) -> Bound:
    """Return what one side of a window says.

    Raises:
        ValueError: It says nothing that ACES knows.
    """
    arrow = next((sign for sign in ("->", "<-") if sign in text), None)
    if arrow is not None:
        anchor, _, predicate = (part.strip() for part in text.partition(arrow))
        if not NAME.fullmatch(predicate):
            raise ValueError(f"one predicate behind `{arrow}`, as `start {arrow} discharge`")
        return Bound(_anchor(anchor), 0, "->" if arrow == "->" else "<-", predicate)
    sign = next((one for one in "+-" if one in text), None)
    if sign is None:
        return Bound(_anchor(text.strip()))
    anchor, _, length = (part.strip() for part in text.partition(sign))
    return Bound(_anchor(anchor), duration(length) * (1 if sign == "+" else -1))


def _anchor(text: str) -> str:
    window, dot, side = text.partition(".")
    if (
        NAME.fullmatch(window)
        and (not dot or side in ("start", "end"))
        and (dot or window in ("trigger", "start", "end"))
    ):
        return text
    raise ValueError(
        "`trigger`, `start`, `end` or `WINDOW.start`, alone or with `+ 24h`, `- 24h`, `-> pred`, `<- pred`"
    )


def counts(given: object) -> object:
    """Return `(min, max)` of a text such as `(5, None)`, `(8,)` or `(,10)`; either side may be left open.

    Raises:
        ValueError: It is none, or holds for no count or for every one.
    """
    said = "`(MIN, MAX)`, two whole numbers of which one may be None"
    parts: list[object]
    if isinstance(given, str):
        parts = [part.strip() for part in given.strip().removeprefix("(").removesuffix(")").split(",")]
    elif isinstance(given, list | tuple):
        parts = list(given)
    else:
        raise ValueError(said)
    if len(parts) != 2:
        raise ValueError(said)
    ends: list[int | None] = []
    for part in parts:
        if part in (None, "", "None", "null"):
            ends.append(None)
        elif re.fullmatch(r"\d{1,15}", str(part)):
            ends.append(int(str(part)))
        else:
            raise ValueError(said)
    low, high = ends
    if low is None and high is None:
        raise ValueError(f"{said}: this one asks for nothing")
    if low is not None and high is not None and high < low:
        raise ValueError(f"{said}: no count is in this one")
    return (low, high)


@dataclass(frozen=True)
class Derived:
    """`and(a, b)` or `or(a, b)`; what it is made of are names, or again such."""

    every: bool
    """Whether all of it must hold at one moment."""
    parts: tuple[str | Derived, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every predicate that is named in it."""
        return tuple(
            name for part in self.parts for name in ((part,) if isinstance(part, str) else part.names)
        )  # fmt: skip


@lru_cache(maxsize=1024)
def derived(text: str) -> Derived:
    """Return what an `expr` says; it may nest.

    Raises:
        ValueError: It is no `and(...)` or `or(...)` of at least two predicates.
    """
    words = re.findall(r"\w+|[^\s]", text, re.ASCII)
    tree, rest = _expression(words, 0)
    if rest != len(words) or isinstance(tree, str):
        raise ValueError(_EXPRESSION)
    return tree


_EXPRESSION = "`and(a, b)` or `or(a, b)`, of two predicates at least"
_DEEPEST = 20


def _expression(words: list[str], at: int, depth: int = 0) -> tuple[str | Derived, int]:
    if at >= len(words) or not NAME.fullmatch(words[at]) or depth > _DEEPEST:
        raise ValueError(_EXPRESSION)
    word = words[at]
    if at + 1 == len(words) or words[at + 1] != "(":
        return word, at + 1
    if word not in ("and", "or"):
        raise ValueError(_EXPRESSION)
    parts, at = [], at + 1
    while words[at] in ("(", ","):
        part, at = _expression(words, at + 1, depth + 1)
        parts.append(part)
        if at >= len(words):
            raise ValueError(_EXPRESSION)
    if words[at] != ")" or len(parts) < 2:
        raise ValueError(_EXPRESSION)
    return Derived(word == "and", tuple(parts)), at + 1
