"""A record as a person reads it: what is fixed, how numbers went, and what came when, from its first moment on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.dataset import BIRTH
from tawt.dataset.records import Records
from tawt.synthesis.readable import Readable, Whole, is_missing

_MINUTE_US, _DAY = 60_000_000, 1440
_YEAR_DAYS = 365.2425
_OLDEST = 90
"""Nobody is told to be older than so many years and above."""
WIDTHS = (1, 60, 360, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY)
"""Minutes that a row of the timeline may stand for."""
MOST_ROWS = 60
"""The narrowest rows are chosen of which a timeline has no more."""
LEAST_NUMBERS, MOST_TRENDS = 8, 24
"""A data_type has a trend from so many numbers on; those with the most have one."""
PAUSE = _DAY
"""Minutes without any number after which the axis of trends goes on: stays that lie years apart can be read."""
_FEW_VALUES = 3
Texts = NDArray[np.object_]
Said = tuple[int, float, str, bool]
"""What one triplet says: its minute, number or NaN, text, and whether that is that nothing is known."""


@dataclass(frozen=True)
class Fact:
    """What one data_type says within a row."""

    name: str
    text: str
    """Its value or values, with their unit; "" where the name says it all."""
    at: str = ""
    """When within the row, where that is worth telling."""
    missing: bool = False
    """Whether all that is said is that nothing is known."""


@dataclass(frozen=True)
class Row:
    """What came within a moment, an hour, a day or more."""

    when: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, eq=False)
class Trend:
    """Numbers of one data_type over time."""

    name: str
    unit: str
    decimals: int
    usual: tuple[float, float] | None
    """Between which most of train lie."""
    place: Ints
    """`(k,)`, minutes along the axis of all trends, on which a pause is `PAUSE` long at most."""
    number: Floats
    """`(k,)`."""


@dataclass(frozen=True)
class Sheet:
    """All that is told of a record."""

    facts: tuple[Fact, ...]
    """Age and statics."""
    n_entries: int
    """Triplets in time."""
    minutes: int
    """From the first to the last."""
    width: int
    """Minutes that a row stands for."""
    trends: tuple[Trend, ...]
    trend_minutes: int
    """Up to the last number of a trend."""
    axis: int
    """The same along the axis of trends."""
    rows: tuple[Row, ...]


def sheets(records: Records, readable: Readable) -> Iterator[Sheet]:
    """Give the sheet of each record, in their order.

    Nothing but what a person reads goes into it: no id, no date, no digit of a number or a time behind the last one
    that is shown, and no order within a minute.
    """
    number = readable.numbers(records.data_type, records.value, records.value_status)
    values = readable.values(records.data_type, number, records.value_token, records.value_status)
    text, missing = np.array(values, dtype=object), is_missing(records.value_status)
    for start, stop in zip(records.bounds[:-1].tolist(), records.bounds[1:].tolist(), strict=True):
        own = slice(start, stop)
        yield _sheet(
            readable, records.is_static[own], records.time[own], records.data_type[own], number[own], text[own],
            missing[own],
        )  # fmt: skip


def _sheet(
    readable: Readable, is_static: Bools, time: Ints, data_type: Whole, number: Floats, text: Texts, missing: Bools
) -> Sheet:
    codes = readable.vocabulary.codes
    birth = data_type == (codes.index(BIRTH) if BIRTH in codes else -1)
    timed = ~is_static & ~birth
    start = int(time[timed].min()) if timed.any() else 0
    facts = [Fact("Age", age)] if (age := _age(time[birth & ~is_static], start)) else []
    facts += [
        _fact(readable, int(data_type[i]), [(0, float(number[i]), text[i], bool(missing[i]))], 1)
        for i in np.flatnonzero(is_static & ~birth)
    ]
    at = np.flatnonzero(timed)
    minute = (time[at] - start) // _MINUTE_US
    at = at[order := np.lexsort((np.unique(text[at], return_inverse=True)[1], number[at], data_type[at], minute))]
    minute = minute[order]
    width = next(w for w in WIDTHS if w == WIDTHS[-1] or len(np.unique(minute // w)) <= MOST_ROWS)
    measured = np.unique(minute[np.isfinite(number[at])])
    place = np.cumsum(np.minimum(np.diff(measured, prepend=0), PAUSE))
    along = place[np.searchsorted(measured, minute).clip(max=max(len(measured) - 1, 0))] if len(measured) else minute
    trends = tuple(_trends(readable, along, data_type[at], number[at]))
    return Sheet(
        tuple(facts), len(at), int(minute[-1]) if len(at) else 0, width, trends,
        int(measured[-1]) if len(measured) else 0, int(place[-1]) if len(measured) else 0,
        tuple(_rows(readable, width, minute, data_type[at], number[at], text[at], missing[at])),
    )  # fmt: skip


def _age(birth: Ints, start: int) -> str:
    if not len(birth):
        return ""
    years = int((start - int(birth[0])) / (_YEAR_DAYS * _DAY * _MINUTE_US))
    return f"{_OLDEST} years or more" if years >= _OLDEST else f"{years} years"


def _trends(readable: Readable, place: Ints, data_type: Whole, number: Floats) -> Iterator[Trend]:
    there = np.isfinite(number)
    kinds, counts = np.unique(data_type[there], return_counts=True)
    for kind in kinds[np.lexsort((kinds, -counts))][:MOST_TRENDS].tolist():
        own = there & (data_type == kind)
        if own.sum() >= LEAST_NUMBERS:
            name, unit, decimals = readable.names[kind], readable.units[kind], readable.decimals[kind]
            yield Trend(name, unit, decimals, readable.usual[kind], place[own], number[own])


def _rows(
    readable: Readable, width: int, minute: Ints, data_type: Whole, number: Floats, text: Texts, missing: Bools
) -> Iterator[Row]:
    if not len(minute):
        return
    place = minute // width
    first = np.flatnonzero(np.diff(place, prepend=-1))
    for begin, end in zip(first.tolist(), [*first[1:].tolist(), len(place)], strict=True):
        said: dict[int, list[Said]] = {}
        for i in range(begin, end):
            one = (int(minute[i]), float(number[i]), text[i], bool(missing[i]))
            said.setdefault(int(data_type[i]), []).append(one)
        facts = [_fact(readable, kind, entries, width) for kind, entries in sorted(said.items())]
        # what happened comes before what was measured
        yield Row(when(int(place[begin]) * width, width), tuple(sorted(facts, key=lambda fact: bool(fact.text))))


def _fact(readable: Readable, kind: int, entries: Sequence[Said], width: int) -> Fact:
    unit = f" {readable.units[kind]}" if readable.units[kind] else ""
    texts = [text for _, _, text, _ in entries]
    is_number = [bool(np.isfinite(number)) for _, number, _, _ in entries]
    others = _counted([text for text, there in zip(texts, is_number, strict=True) if not there])
    if any(is_number):
        numbers = [number for _, number, _, _ in entries if np.isfinite(number)]
        said = ", ".join(text for text, there in zip(texts, is_number, strict=True) if there) + unit
        if len(numbers) > _FEW_VALUES:
            low, last, high = (readable.number(kind, one) for one in (min(numbers), numbers[-1], max(numbers)))
            among = f"{low} to {high}" if low != high else low
            said = f"{among}{unit} ({len(numbers)} times, last {last})"
        return Fact(readable.names[kind], f"{said}, {others}" if others else said)
    return Fact(readable.names[kind], others, _within(entries[0][0], width), all(one[-1] for one in entries))


def _counted(texts: Sequence[str]) -> str:
    counts = Counter(texts)
    return ", ".join(f"{text} × {n}".strip() if n > 1 else text for text, n in counts.items())


def _within(minute: int, width: int) -> str:
    """Return when something came in a row that is wider than a minute."""
    if width == 1:
        return ""
    return _hours(minute) if width <= _DAY else day(minute // _DAY)


def when(minute: int, width: int) -> str:
    """Return what a row is called: `day 1, 6 h 10 min`, `day 1, hours 6 to 7`, `day 5`, `day 8 to day 14`."""
    first = minute // _DAY
    if width == 1:
        return f"{day(first)}, {_hours(minute)}"
    if width < _DAY:
        hour = minute // 60 % 24
        return f"{day(first)}, hours {hour} to {hour + width // 60}"
    return day(first) if width == _DAY else f"{day(first)} to {day(first + width // _DAY - 1)}"


def day(number: int) -> str:
    """Return a day by its number from 0: `day 1`; from the third year on `year 3, day 1`."""
    return f"day {number + 1}" if number < 730 else f"year {number // 365 + 1}, day {number % 365 + 1}"


def _hours(minute: int) -> str:
    """Return hours and minutes of a day that begins with the record, so that they are read as no clock's."""
    hours, minutes = minute // 60 % 24, minute % 60
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
