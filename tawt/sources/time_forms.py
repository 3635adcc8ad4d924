"""How days and times are written in a table that nobody has described."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_TIME = re.compile(
    r"\s*(?P<a>\d{1,4})(?P<sep>[-/. ]?)(?P<b>\d{1,2}|[A-Za-z]{3})(?P=sep)(?P<c>\d{1,4})"
    r"(?:(?P<gap>[ T:]) *(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?P<fraction>\.\d{1,9})?)?)(?P<noon> ?[AaPp][Mm])?"
    r"\s*(?P<zone>Z|z|UTC|GMT|[-+]\d{2}(?::?\d{2})?)?)?\s*",
    re.ASCII,
)
_MIDNIGHT = re.compile(r"0?0:00(:00(\.0+)?)?|12:00(:00)? ?[Aa][Mm]", re.ASCII)
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
        return self.order == "ymd" and self.separator in ("-", "/") and ("%p" not in self.clock or self.gap == " ")

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
    is_midnight: bool
    """Whether it has a time, and that is 0:00."""

    @property
    def year(self) -> str:
        """Return the year as it is written."""
        return self.parts[0] if self.form.order == "ymd" else self.parts[2]


def seen_time(cell: str) -> SeenTime | None:
    """Return how a cell is written that is a day of the calendar, if it is one."""
    found = _TIME.fullmatch(cell)
    if found is None:
        return None
    a, b, c, sep = found["a"], found["b"], found["c"], found["sep"]
    if b.isalpha():
        if b.lower() not in _MONTHS or len(a) > 2 or len(c) not in (2, 4):
            return None
        order, year = "dby", c
    elif sep in ("", " "):
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
    clock, noon = "", found["noon"] or ""
    if found["clock"]:
        seconds = ("", "", ":%S")[found["clock"].count(":")] + (".%f" if found["fraction"] else "")
        clock = f"{'%I' if noon else '%H'}:%M{seconds}" + (" %p" if noon.startswith(" ") else "%p" if noon else "")
    form = TimeForm(order, sep, "%Y" if len(year) == 4 else "%y", clock, found["gap"] or " ", bool(found["zone"]))
    return SeenTime(form, (a, b, c), _MIDNIGHT.fullmatch(f"{found['clock'] or ''}{noon}") is not None)


def joined_form(cell: str) -> TimeForm | None:
    """Return how a day of eight digits is written, as 20240131, if it is one."""
    is_number = len(cell) == 8 and cell.isascii() and cell.isdigit()
    if not (is_number and "1850" <= cell[:4] <= "2300" and "01" <= cell[4:6] <= "12" and "01" <= cell[6:] <= "31"):
        return None
    return TimeForm("ymd", "")


def moment_of(cell: str, day_first: bool) -> tuple[int, int] | None:
    """Return what a cell stands at among others: a number of its day, and of its time, 0 where it has none."""
    seen, joined = seen_time(cell), joined_form(cell.strip())
    if joined is not None:
        return int(cell), 0
    if seen is None:
        return None
    first, second, _ = seen.parts
    month = str(1 + _MONTHS.index(second.lower())) if seen.form.order == "dby" else second if day_first else first
    day = first if day_first or seen.form.order == "dby" else second
    if seen.form.order == "ymd":
        month, day = second, seen.parts[2]
    year = int(seen.year) + (2000 if len(seen.year) == 2 else 0)
    return 10_000 * year + 100 * int(month) + int(day), _seconds(cell)


def _seconds(cell: str) -> int:
    """Return the seconds of a cell's time since 0:00."""
    found = re.search(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", cell)
    if found is None:
        return 0
    hour = int(found[1])
    if (noon := re.search(r"([AaPp])[Mm]", cell)) is not None:
        hour = hour % 12 + 12 * (noon[1] in "Pp")
    return 3600 * hour + 60 * int(found[2]) + int(found[3] or 0)
