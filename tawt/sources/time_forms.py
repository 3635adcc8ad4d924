"""How days and times are written in a table that nobody has described."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_TIME = re.compile(
    r"(?P<a>\d{1,4})(?P<sep>[-/. ]?)(?P<b>\d{1,2}|[A-Za-z]{3})(?P=sep)(?P<c>\d{1,4})"
    r"(?:(?P<gap>[ T:-]) *(?P<hour>\d{1,2})(?P<colon>[:.]?)(?P<minute>\d{2})"
    r"(?:(?P=colon)(?P<second>\d{2})(?P<fraction>\.\d{1,9})?)?(?P<noon> ?[AaPp][Mm])?"
    r"\s*(?P<zone>Z|z|UTC|GMT|[-+]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_JOINED = re.compile(r"(\d{8})(\d{4}(?:\d{2})?(?!\d).*)", re.ASCII)
"""A day and the time behind it in digits alone."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class TimeForm:
    """How a day, and perhaps a time on it, is written."""

    order: str
    """`ymd`, or `xxy` where day or month comes first, or `dby` with the month's name."""
    separator: str
    year: str = "%Y"
    clock: str = ""
    """`%H:%M` and the like; empty = a day alone."""
    gap: str = " "
    zone: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is read without being told how."""
        return (
            self.order == "ymd"
            and self.separator in ("-", "/")
            and self.gap in ("T", " ")
            and (not self.clock or ":%M" in self.clock)
            and ("%p" not in self.clock or self.gap == " ")
        )

    def written(self, day_first: bool) -> str:
        """Return the form as `strptime` takes it."""
        orders = {"ymd": "ymd", "dby": "dby", "xxy": "dmy" if day_first else "mdy"}
        letters = {"y": self.year, "m": "%m", "d": "%d", "b": "%b"}
        day = self.separator.join(letters[letter] for letter in orders[self.order])
        return day + (self.gap + self.clock if self.clock else "")


class SeenTime(NamedTuple):
    """A cell that is a day, and perhaps a time on it."""

    form: TimeForm
    parts: tuple[str, str, str]
    """What stands for day, month and year, in the order in which it is written."""
    seconds: int | None
    """From 0:00 to its time, where it has one."""

    @property
    def year(self) -> str:
        """Return the year as it is written."""
        return self.parts[0] if self.form.order == "ymd" else self.parts[2]


def seen_time(cell: str) -> SeenTime | None:
    """Return how a cell is written that is a day of the calendar, if it is one."""
    text = cell.strip()
    joined = _JOINED.fullmatch(text)
    found = _TIME.fullmatch(" ".join(joined.groups()) if joined is not None else text)
    if found is None or (found["gap"] == "-" and found["colon"] != "."):
        return None
    a, b, c, sep = found["a"], found["b"], found["c"], found["sep"]
    if b.isalpha():
        if b.lower() not in _MONTHS or len(a) > 2 or len(c) not in (2, 4):
            return None
        order, year = "dby", c
    elif sep == " " or (sep == "" and not (len(a) == 4 and len(b) == len(c) == 2 and "1850" <= a <= "2300")):
        return None
    elif len(a) == 4:
        if len(c) > 2 or not (1 <= int(b) <= 12 and 1 <= int(c) <= 31):
            return None
        order, year = "ymd", a
    else:
        first, second = sorted((int(a), int(b)))
        # 1.25.30 is as well a version, and 1/2/3 a grade: a year has two or four digits
        if len(c) not in (2, 4) or len(a) > 2 or not (1 <= first <= 12 and 1 <= second <= 31):
            return None
        order, year = "xxy", c
    clock, seconds = _clock(found) if found["hour"] else ("", None)
    if found["hour"] and (not clock or (found["zone"] and found["colon"] != ":")):  # a zone is read behind `:` alone
        return None
    gap = "" if joined is not None else found["gap"] or " "
    form = TimeForm(order, sep, "%Y" if len(year) == 4 else "%y", clock, gap, bool(found["zone"]))
    return SeenTime(form, (a, b, c), seconds)


def _clock(found: re.Match[str]) -> tuple[str, int | None]:
    """Return how the time on a day is written, and its seconds from 0:00; nothing where it is none."""
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    colon, noon = found["colon"], found["noon"] or ""
    if hour > 24 or minute > 59 or second > 60 or (not colon and len(found["hour"]) == 1):
        return "", None
    letters = ["%I" if noon else "%H", "%M", *(["%S"] if found["second"] else [])]
    clock = colon.join(letters) + (".%f" if found["fraction"] else "")
    clock += f"{' ' * noon.startswith(' ')}%p" if noon else ""
    hour = hour % 12 + 12 * (noon.strip()[0] in "Pp") if noon else hour
    return clock, 3600 * hour + 60 * minute + second


def moment_of(cell: str, day_first: bool) -> tuple[int, int] | None:
    """Return what a cell stands at among others: a number of its day, and of its time, 0 where it has none."""
    seen = seen_time(cell)
    if seen is None:
        return None
    first, second, _ = seen.parts
    month = str(1 + _MONTHS.index(second.lower())) if seen.form.order == "dby" else second if day_first else first
    day = first if day_first or seen.form.order == "dby" else second
    if seen.form.order == "ymd":
        month, day = second, seen.parts[2]
    year = int(seen.year) + (2000 if len(seen.year) == 2 else 0)
    return 10_000 * year + 100 * int(month) + int(day), seen.seconds or 0
