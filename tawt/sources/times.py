"""Which of a table's times says when a record happened, when it could be read, and what else happened then."""

from __future__ import annotations

import re

from tawt.sources.names import ADMITTED, ASKED, BAD_TIME, BIRTH, DEATH, END, GOOD_TIME, OFFSETS, READY, flat
from tawt.sources.odd_times import said_of
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import ColumnShape

_MOSTLY, _ONCE = 0.5, 0.9
"""Share of the records that have a time for it to be theirs; of a table that has one record of a subject."""


def take_times(left: Shapes, guess: Guess, is_once: bool, is_of_stays: bool) -> None:
    """Guess the times of a table.

    Args:
        left: Its columns, but for the subject's.
        guess: What it may be; this adds its times.
        is_once: Whether it has one record of a subject.
        is_of_stays: Whether it has one record of a stay.
    """
    times = {column: shape for column, shape in left.items() if shape.is_time}
    guess.clocks = _clocks(left, times)
    if times:
        _take_moments(times, guess, is_once)
    else:
        _take_counted_times(left, guess, is_once or is_of_stays)


def note_times(shapes: Shapes, guess: Guess, is_ready: bool) -> None:
    """Say of the times of a table that is guessed whole how they are read, and which are not.

    Args:
        shapes: Of its columns.
        guess: What it is; this adds to its notes.
        is_ready: Whether another table says when its records could be read.
    """
    is_ready = is_ready or guess.ready is not None
    for column in dict.fromkeys((*_told(guess), *guess.lends)):
        if shapes[column].is_time:
            note_form(column, shapes[column], guess)
    if guess.time is not None and not is_ready:
        _note_unread(shapes, guess)
    _note_unread_times(shapes, guess, is_ready)
    _note_empty(shapes, guess)
    _note_days(shapes, guess)


def _told(guess: Guess) -> tuple[str, ...]:
    """Return the times of which a table tells something; one with a code per record tells one moment of it."""
    more = (guess.end, guess.death, *guess.events, *guess.lasts) if guess.kind != "results" else ()
    return tuple(dict.fromkeys(column for column in (guess.time, guess.ready, *more) if column is not None))


def _note_unread(shapes: Shapes, guess: Guess) -> None:
    """Say which other times of a record may be when it could be read, where none was taken for it."""
    assert guess.time is not None
    events = guess.events if guess.kind == "wide" else ()
    used = [c for c in (guess.time, guess.end, guess.death, *guess.birth, *guess.lasts, *events) if c is not None]
    others = rf"{END}|{DEATH}|{BIRTH}|{ASKED}|due|expir|verbatim"
    unread = [
        column
        for column, shape in shapes.items()
        if shape.is_time and column not in used and not re.search(others, flat(column))
        if _stem(column) not in map(_stem, used)
    ]
    empty = [column for column in unread if shapes[column].n_filled < _MOSTLY * shapes[column].n]
    guess.notes += [
        f"`{c}` is empty in {_empty_in(shapes[c])} of the records, and is not read: these are told at `{guess.time}`"
        for c in empty
    ]
    # what was before the time of a record does not tell when it could be read
    unread = [column for column in unread if column not in (*empty, *shapes[guess.time].later_than)]
    if unread:
        guess.notes.append(
            f"UNDECIDED: {', '.join(f'`{c}`' for c in unread)} may say when a record could be read, and is not read: "
            f"that is taken to be at `{guess.time}` already"
        )


def why_untimed(shapes: Shapes) -> str:
    """Return why the times of a table tell nothing of when its records were known; empty where it has none."""
    why = []
    for column, shape in shapes.items():
        if shape.is_time and shape.n_filled < _MOSTLY * shape.n:
            why.append(f"`{column}` is empty in {_empty_in(shape)} of the records")
        elif shape.is_time and re.search(f"{ADMITTED}|{ASKED}", flat(column)):
            why.append(f"`{column}` is when somebody came, or when they were asked for")
    return ", ".join(why)


def _note_unread_times(shapes: Shapes, guess: Guess, is_ready: bool) -> None:
    """Say which columns look like times and are not read, and what each would have told."""
    of_use: dict[str, dict[str, str]] = {}
    known = (*_told(guess), guess.end, *guess.clocks.values(), guess.stay, *guess.keys, *guess.codes, *guess.birth)
    for column, shape in shapes.items():
        if shape.unread_time and column not in known:
            of_use.setdefault(_use_of(column, guess, is_ready), {})[column] = shape.unread_time
    for use, columns in of_use.items():
        guess.notes.append(
            f"UNDECIDED: {said_of(columns)} may be a time in a form that is not known, and is not read as one; it "
            f"would tell {use}: write it as `2024-03-01 08:30`, or read it with a `format` in the contract"
        )


def _use_of(column: str, guess: Guess, is_ready: bool) -> str:
    bare = flat(column)
    known = f", which is taken to be at `{guess.time}` already" if guess.time and not is_ready else ""
    uses = {BIRTH: "the birth", DEATH: "the death", READY: f"when a record could be read{known}", END: "when it ended"}
    use = next((use for named, use in uses.items() if re.search(named, bare)), "when a record happened")
    if use == "when it ended" and guess.end is None and not guess.is_stay:
        use += f", or when it could be read{known}"
    elif use == "when a record happened" and guess.time is not None:
        use = f"when a record could be read{known}, or what else happened"
    return use


def _note_empty(shapes: Shapes, guess: Guess) -> None:
    """Say what becomes of records that lack the time at which they are told."""
    of_late = guess.lasts[:1] or ((guess.end,) if guess.end is not None else ())
    for columns, what in ((of_late if guess.late else (), "what is told at it is not told of them"),
                          ((guess.time,) if guess.time is not None else (), "they are quarantined")):  # fmt: skip
        for column in columns:
            if shapes[column].is_time and shapes[column].n_filled < shapes[column].n:
                guess.notes.append(f"`{column}` is empty in {_empty_in(shapes[column])} of the records: {what}")


def _note_days(shapes: Shapes, guess: Guess) -> None:
    """Say which of the times that are told are days, and what becomes of them."""
    told = _told(guess)
    joined = [f"`{day}` and `{clock}`" for day, clock in guess.clocks.items() if day in told]
    if joined:
        guess.notes.append(f"a day and the time on it are joined: {', '.join(joined)}")
    if days := [f"`{column}`" for column in told if is_day(shapes, guess, column)]:
        guess.notes.append(
            f"days without a time, or at 0:00, so what they tell is known at the end of the day: {', '.join(days)}"
        )


def is_day(shapes: Shapes, guess: Guess, column: str | None) -> bool:
    """Whether a time says in some records no more than the day."""
    if column is None or guess.minutes is not None:
        return False
    clock = guess.clocks.get(column)
    return shapes[column].has_days and (clock is None or shapes[clock].n_filled < shapes[column].n_filled)


def _clocks(left: Shapes, times: Shapes) -> dict[str, str]:
    """Return the columns of days that have the time on them in a column beside."""
    found: dict[str, str] = {}
    places = list(left)
    days = [c for c, s in times.items() if not s.has_clock]
    clocks = [c for c, s in left.items() if s.is_clock]
    near = [c for c in days if not re.search(f"{BIRTH}|{DEATH}", flat(c))]
    for clock in clocks:
        fit = [c for c in days if _stem(c) == _stem(clock)]
        if not fit and (not _stem(clock) or len(near) == len(clocks) == 1):  # it is that of the day beside it
            fit = sorted(near, key=lambda c: abs(places.index(c) - places.index(clock)))
        free = [c for c in fit if c not in found]
        if free:
            found[free[0]] = clock
    return found


def note_form(column: str, shape: ColumnShape, guess: Guess) -> None:
    """Say where day and month of a time may be the other way round."""
    if all(form.order != "xxy" for form in shape.forms):
        return
    said = "day first" if shape.reads_day_first else "month first"
    if shape.day_first is None:
        if shape.first_above_12 + shape.second_above_12:
            which, more = "has days written day first and days written month first", ", and the others are not read"
        else:
            which, more = "may be written day first or month first", ""
        guess.notes.append(f"UNDECIDED: `{column}` {which}; `format` says {said}{more}")
        guess.doubts[column] = f"UNDECIDED whether day first or month first, read {said}"
    elif min(shape.first_above_12, shape.second_above_12):
        guess.notes.append(f"few days in `{column}` cannot be {said} as the others are: they are not read")
        guess.doubts[column] = f"few are not {said}"


def _empty_in(shape: ColumnShape) -> str:
    """Return the part of the records in which a column is empty; some are never told as none, nor most as all."""
    share = 1 - shape.n_filled / shape.n
    return "less than 1%" if 0 < share < 0.01 else "more than 99%" if 0.99 < share < 1 else f"{share:.0%}"


def _take_moments(times: Shapes, guess: Guess, is_once: bool) -> None:
    bare = {column: flat(column) for column in times}
    bad = {c: bool(re.search(BAD_TIME, bare[c].replace("edge", ""))) for c in times}
    lived = [c for c in times if re.search(f"{BIRTH}|{DEATH}", bare[c])]

    def is_timed(column: str) -> bool:
        return times[column].has_clock or column in guess.clocks

    def rank(column: str) -> tuple[bool | int, ...]:
        shape = times[column]
        is_good = bool(re.search(GOOD_TIME, bare[column]))
        return bad[column], shape.n_filled < 0.9 * shape.n, not is_timed(column), not is_good, len(shape.later_than)

    # of persons, when a record was written or ended says nothing of when its columns became true
    least = _ONCE if is_once else _MOSTLY
    fit = [c for c in times if c not in lived and not (is_once and bad[c])]
    full = [c for c in fit if times[c].n_filled >= least * times[c].n]
    guess.time = min(full, key=rank, default=None)
    if guess.time is None:
        guess.notes += [f"`{c}` is empty in {_empty_in(times[c])} of the records: not the time of one"
                        for c in fit]  # fmt: skip
    deaths = [c for c in lived if re.search(DEATH, bare[c])]
    most = max((times[c].n_filled for c in deaths), default=0)
    deaths.sort(key=lambda c: (times[c].n_filled < 0.9 * most, not is_timed(c), -times[c].n_filled))
    guess.death = deaths[0] if deaths else None
    if deaths[1:]:
        others = ", ".join(f"`{column}`" for column in deaths[1:])
        guess.notes.append(f"`{guess.death}` tells the death; {others} may tell the same and more, and is not read")
    rest = sorted((c for c in times if c != guess.time and c not in lived), key=lambda c: not is_timed(c))
    ready = [c for c in rest if re.search(READY, bare[c])]
    guess.ready = max(ready, key=lambda c: (2 * times[c].n_filled > times[c].n, len(times[c].later_than)), default=None)
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


def take_dates(guess: Guess) -> None:
    """Take each time of a person for an event of its own: none says when the person's record was so.

    The record was written after the last of them, so that what it says besides is told then.
    """
    dates = tuple(c for c in (guess.time, guess.end, *guess.events) if c is not None)
    guess.lasts = (*dates, *([guess.ready] if guess.ready is not None else []))
    guess.time = guess.end = guess.ready = None
    guess.events = dates


def take_later(shapes: Shapes, guess: Guess) -> None:
    """Take a later time whose name is on no list for when a result could be read, or for when a record ended."""
    fit = [c for c in guess.events if guess.time in shapes[c].later_than and 2 * shapes[c].n_filled > shapes[c].n]
    if not fit or guess.ready is not None or guess.end is not None:
        return
    last = max(fit, key=lambda c: len(shapes[c].later_than))
    if guess.codes:
        guess.ready = last
        guess.notes.append(f"`{last}` is later than `{guess.time}`: taken for when a record could be read")
    else:
        guess.end = last
        guess.notes.append(f"`{last}` is later than `{guess.time}`: taken for when it ended")
    guess.events = tuple(column for column in guess.events if column != last)


def _stem(column: str) -> str:
    return re.sub(
        r"^(fecha|date|data|hora|heure|ora)+|(datum|date|tag|day|fecha|zeit|time|uhr|hora|heure|tijd|ora|at)+$",
        "",
        flat(column),
    )


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
