"""Which of a table's times says when a record happened, when it could be read, and what else happened then."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tawt.sources.names import BAD_TIME, BIRTH, DEATH, END, GOOD_TIME, OFFSETS, READY, flat
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import ColumnShape

_MOSTLY, _ONCE = 0.5, 0.9
"""Share of the records that have a time for it to be theirs; of a table that has one record of a subject."""


def take_times(name: str, left: Shapes, guess: Guess, is_once: bool, is_of_stays: bool) -> None:
    """Guess the times of a table.

    Args:
        name: Of the table.
        left: Its columns, but for the subject's.
        guess: What it may be; this adds its times.
        is_once: Whether it has one record of a subject.
        is_of_stays: Whether it has one record of a stay.
    """
    times = {column: shape for column, shape in left.items() if shape.is_time}
    if times:
        _take_moments(name, times, guess, is_once)
    else:
        _take_counted_times(left, guess, is_once or is_of_stays)
    for column in (guess.time, guess.ready, guess.end, guess.death, *guess.events):
        if column is not None and column in times:
            note_form(column, times[column], guess)
    if guess.time in times and not times[guess.time].has_clock:
        clock = next((f"; `{column}` may have it" for column, shape in left.items() if shape.is_clock), "")
        guess.notes.append(f"`{guess.time}` has days without a time: they stand at 0:00 of the day{clock}")
    if guess.time in times and (empty := _n_empty(times[guess.time])):
        share = empty / times[guess.time].n
        guess.notes.append(f"`{guess.time}` is empty in {share:.0%} of the records: they are quarantined")


def note_form(column: str, shape: ColumnShape, guess: Guess) -> None:
    """Say where day and month of a time may be the other way round."""
    if any(form.order == "xxy" for form in shape.forms) and shape.day_first is None:
        guess.notes.append(f"UNDECIDED: `{column}` may be written day first or month first; `format` says day first")


def _n_empty(shape: ColumnShape) -> int:
    return shape.n - shape.n_filled


def _take_moments(name: str, times: Mapping[str, ColumnShape], guess: Guess, is_once: bool) -> None:
    bare = {column: flat(column) for column in times}
    bad = {c: bool(re.search(BAD_TIME, bare[c].replace("edge", ""))) for c in times}
    lived = [c for c in times if re.search(f"{BIRTH}|{DEATH}", bare[c])]

    def rank(column: str) -> tuple[bool, ...]:
        shape = times[column]
        return bad[column], shape.n_filled < 0.9 * shape.n, not shape.has_clock, not re.search(GOOD_TIME, bare[column])

    # of persons, when a record was written or ended says nothing of when its columns became true
    least = _ONCE if is_once else _MOSTLY
    fit = [c for c in times if c not in lived and not (is_once and bad[c])]
    full = [c for c in fit if times[c].n_filled >= least * times[c].n]
    guess.time = min(full, key=rank, default=None)
    if guess.time is None:
        guess.notes += [f"`{c}` is empty in {_n_empty(times[c]) / times[c].n:.0%} of the records: not the time of one"
                        for c in fit]  # fmt: skip
    deaths = [c for c in lived if re.search(DEATH, bare[c])]
    most = max((times[c].n_filled for c in deaths), default=0)
    deaths.sort(key=lambda c: (times[c].n_filled < 0.9 * most, not times[c].has_clock, -times[c].n_filled))
    guess.death = deaths[0] if deaths else None
    if deaths[1:]:
        others = ", ".join(f"`{column}`" for column in deaths[1:])
        guess.notes.append(f"`{guess.death}` tells the death; {others} may tell the same and more, and is not read")
    rest = sorted((c for c in times if c != guess.time and c not in lived), key=lambda c: not times[c].has_clock)
    guess.ready = next((c for c in rest if re.search(READY, bare[c])), None)
    ends = [c for c in rest if re.search(END, bare[c]) and c != guess.ready]
    guess.end = ends[0] if guess.time is not None and ends else None
    same = {_stem(c) for c in (guess.time, guess.ready, guess.end) if c}
    guess.events = tuple(
        c
        for c in times
        if c in rest
        and c not in (guess.ready, guess.end)
        and _stem(c) not in same
        and not re.search(f"{READY}|valid|verbatim", bare[c])
    )


def _stem(column: str) -> str:
    return re.sub(r"(date|time|at)+$", "", flat(column))


def _take_counted_times(left: Shapes, guess: Guess, is_whole: bool) -> None:
    """Times that are counted from an admission: whole numbers of minutes or hours, or hours and minutes."""
    found: dict[str, int] = {}
    for column, shape in left.items():
        minutes = next((m for pattern, m in OFFSETS.items() if re.search(pattern, flat(column))), None)
        if minutes is not None and shape.is_whole:
            found[column] = minutes
    clocks = [
        column for column, shape in left.items() if shape.is_clock and flat(column) in ("time", "uhrzeit", "zeit")
    ]
    if not found and clocks:
        guess.time, guess.minutes = clocks[0], 0
        guess.notes.append(f"`{guess.time}` has hours and minutes without a day: read as time since admission")
        return
    ranked = sorted(found, key=lambda c: (bool(re.search(BAD_TIME, flat(c))), not re.search(GOOD_TIME, flat(c))))
    starts = [c for c in ranked if not re.search(f"{END}|{DEATH}", flat(c)) and found[c] == found[ranked[0]]]
    if starts and not is_whole:
        guess.time, guess.minutes = starts[0], found[starts[0]]
        unit = "minutes" if guess.minutes == 1 else "hours"
        guess.notes.append(f"`{guess.time}` is read as {unit} since admission: there is no calendar")
        guess.ready = next((c for c in found if c != guess.time and re.search(READY, flat(c))), None)
