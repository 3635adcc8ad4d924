"""What the columns of an unknown table may mean, guessed from their names and the shapes of their cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tawt.sources.names import (
    BAD_TIME,
    BIRTH,
    CODES,
    DEATH,
    END,
    GOOD_TIME,
    IDS,
    LABELS,
    LATE,
    NUMBERS,
    OFFSETS,
    OUTCOME,
    PERSONAL,
    READY,
    SURE,
    TEXTS,
    UNITS,
    flat,
)
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import ColumnShape


def guess_table(
    name: str, shapes: Shapes, subject: str | None, stay_ids: Iterable[str] = (), is_of_stays: bool = False
) -> Guess:
    """Return what one table may be.

    Args:
        name: Of the table.
        shapes: Of its columns.
        subject: Its subject's column, if it has one.
        stay_ids: Columns, of any table, that number stays, as they are compared.
        is_of_stays: Whether it has one record of each stay.
    """
    if subject is None:
        return _dictionary(shapes)
    if re.search(r"label", flat(name)) or "predictiontime" in map(flat, shapes):
        return Guess("other", subject, unread=tuple(shapes), notes=["may hold labels: they are no events"])
    left = {column: shape for column, shape in shapes.items() if column != subject and shape.n_filled}
    guess = Guess("wide", subject)
    if shapes[subject].n_filled < shapes[subject].n:
        guess.notes.append(f"`{subject}` is empty in some records: they are quarantined")
    is_once = shapes[subject].is_unique
    _take_times(name, left, guess, is_once)
    guess.stay = next((column for column in left if flat(column) in stay_ids), None)
    _take_births(left, guess)
    for column in (guess.time, guess.ready, guess.end, guess.death, guess.stay, *guess.birth, *guess.events):
        left.pop(column or "", None)
    guess.codes = _codes(name, left, is_of_stays or is_once) or (() if is_once or guess.end else _words_alone(left))
    if guess.codes:
        guess.kind = "results"
        _take_values({column: shape for column, shape in left.items() if column not in guess.codes}, guess)
        guess.label = _label_beside(left, guess)
        empty = 1 - left[guess.codes[-1]].n_filled / left[guess.codes[-1]].n
        if empty >= 0.005:
            guess.notes.append(f"`{guess.codes[-1]}` is empty in {empty:.0%} of the records: they are quarantined")
        guess.specimen = next(
            (c for c in left if re.search(r"^(specimen|sample|accession)(id|number)?$", flat(c))), None
        )
    else:
        _take_columns(left, guess)
    return guess


def _take_times(name: str, left: Shapes, guess: Guess, is_once: bool) -> None:
    times = {column: shape for column, shape in left.items() if shape.is_time}
    if not times:
        _take_counted_times(left, guess, is_once)
        return

    def rank(column: str) -> tuple[bool, ...]:
        bare = flat(column)
        return (
            bool(re.search(BIRTH, bare)) or (bool(re.search(DEATH, bare)) and "death" not in flat(name)),
            bool(re.search(BAD_TIME, bare.replace("edge", ""))),
            times[column].n_filled < 0.9 * times[column].n,
            not times[column].has_clock,
            not re.search(GOOD_TIME, bare),
        )

    ranked = sorted(times, key=rank)
    first = ranked[0]
    if not re.search(f"{BIRTH}|{DEATH}", flat(first)):
        guess.time = first
    rest = [column for column in times if column != guess.time and not re.search(BIRTH, flat(column))]
    deaths = [column for column in rest if re.search(DEATH, flat(column))]
    guess.death = max(deaths, key=lambda column: times[column].has_clock, default=None)
    rest = [column for column in rest if column not in deaths]
    guess.ready = next(
        (c for c in sorted(rest, key=lambda c: not times[c].has_clock) if re.search(READY, flat(c))), None
    )
    ends = [
        c for c in sorted(rest, key=lambda c: not times[c].has_clock) if re.search(END, flat(c)) and c != guess.ready
    ]
    guess.end = ends[0] if guess.time is not None and ends else None
    same = {re.sub(r"(date|time|at)+$", "", flat(c)) for c in (guess.time, guess.ready, guess.end) if c}
    guess.events = tuple(
        c
        for c in rest
        if c not in (guess.ready, guess.end)
        and re.sub(r"(date|time|at)+$", "", flat(c)) not in same
        and not re.search(f"{READY}|valid|verbatim", flat(c))
    )
    for column in (guess.time, guess.ready, guess.end, guess.death, *guess.events):
        if column is not None:
            _note_form(column, times[column], guess)
    if guess.time is not None and not times[guess.time].has_clock:
        clock = next((f"; `{column}` may have it" for column, shape in left.items() if shape.is_clock), "")
        guess.notes.append(f"`{guess.time}` has days without a time: they stand at 0:00 of the day{clock}")
    if guess.time is not None and (empty := times[guess.time].n - times[guess.time].n_filled):
        guess.notes.append(
            f"`{guess.time}` is empty in {empty / times[guess.time].n:.0%} of the records: they are quarantined"
        )


def _note_form(column: str, shape: ColumnShape, guess: Guess) -> None:
    if any(form.order == "xxy" for form in shape.forms) and shape.day_first is None:
        guess.notes.append(f"UNDECIDED: `{column}` may be written day first or month first; `format` says day first")


def _take_counted_times(left: Shapes, guess: Guess, is_once: bool) -> None:
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
    if starts and not is_once:
        guess.time, guess.minutes = starts[0], found[starts[0]]
        unit = "minutes" if guess.minutes == 1 else "hours"
        guess.notes.append(f"`{guess.time}` is read as {unit} since admission: there is no calendar")
        guess.ready = next((c for c in found if c != guess.time and re.search(READY, flat(c))), None)


def _take_births(left: Shapes, guess: Guess) -> None:
    by_flat = {flat(column): column for column in left}
    days = [c for c, shape in left.items() if re.search(BIRTH, flat(c)) and shape.is_time]
    if days:
        guess.birth = (max(days, key=lambda c: left[c].has_clock),)
        _note_form(guess.birth[0], left[guess.birth[0]], guess)
        return
    parts = [by_flat[name] for name in ("yearofbirth", "monthofbirth", "dayofbirth") if name in by_flat]
    years = parts[:1] or [by_flat[name] for name in ("birthyear", "yob", "geburtsjahr") if name in by_flat]
    if years:
        guess.birth = tuple(parts) if len(parts) == 3 else tuple(years[:1])
    elif {"anchorage", "anchoryear"} <= by_flat.keys():
        guess.birth = (by_flat["anchorage"], by_flat["anchoryear"])
        guess.notes.append("the birth is the year of the anchor less the age: its first of January")


def _codes(name: str, left: Shapes, surely: bool) -> tuple[str, ...]:
    """Return the column whose cells say what a row is, and a column of its version if there is one."""
    stem = flat(name).rstrip("s")

    def rank(column: str) -> float | None:
        bare = flat(column)
        if bare.endswith("conceptid"):
            # of `measurement_concept_id`, `unit_concept_id` and so on, the one of the table's own name
            return 0 if stem.startswith(bare.removesuffix("conceptid")[:5]) else None
        if bare in CODES:
            return 1 + CODES.index(bare)
        if not surely and bare.startswith(stem[:5]) and re.search(r"(code|name|string|path|term|type)$", bare):
            return 1.5 + len(CODES)
        return None

    fit = {c: r for c in left if (r := rank(c)) is not None and _may_be_code(left[c], _is_sure(c, r))}
    if surely:
        fit = {column: r for column, r in fit.items() if _is_sure(column, r)}
    if not fit:
        return ()
    code = min(fit, key=lambda column: (left[column].n_filled < 0.9 * left[column].n, fit[column]))
    stem = re.sub(r"(code|id)$", "", flat(code))
    version = [
        c
        for c, shape in left.items()
        if flat(c) in (f"{stem}version", "codesystem", "system") and shape.n_distinct < 20
    ]
    return (*version[:1], code)


def _is_sure(column: str, rank: float) -> bool:
    return rank < SURE or re.search(r"code$|cd$", flat(column)) is not None


def _may_be_code(shape: ColumnShape, is_sure: bool) -> bool:
    if shape.is_time or shape.is_clock or shape.share("decimal") > 0.05 or 2 * shape.n_filled < shape.n:
        return False
    if is_sure:  # few records may have a code each
        return shape.n < 200 or shape.n_distinct < 0.8 * shape.n_filled
    return not shape.is_number and (shape.n < 20 or shape.n_distinct < 0.5 * shape.n_filled)


def _words_alone(left: Shapes) -> tuple[str, ...]:
    """Return, of a table that has only words, the column with most different ones that come again."""
    if any(shape.is_number and not re.search(IDS, flat(column)) for column, shape in left.items()):
        return ()
    fit = [c for c, s in left.items() if _may_be_code(s, False) and not re.search(f"{IDS}|{PERSONAL}", flat(c))]
    return (max(fit, key=lambda c: left[c].n_distinct),) if fit else ()


def _first(names: Sequence[str], left: Shapes, fits: Mapping[str, bool]) -> str | None:
    ranked = [c for name in names for c in left if flat(c) == name and fits[c]]
    return ranked[0] if ranked else None


def _take_values(left: Shapes, guess: Guess) -> None:
    guess.number = _first(NUMBERS, left, {c: s.is_number for c, s in left.items()})
    rest = {c: s for c, s in left.items() if c != guess.number}
    guess.text = _first(TEXTS, rest, {c: not s.is_prose and not s.is_time for c, s in rest.items()})
    units = [c for c, s in rest.items() if re.search(UNITS, flat(c)) and not s.is_number and c != guess.text]
    guess.unit = units[0] if units and (guess.number or guess.text) else None
    for column in (guess.number, guess.text):
        if column is not None and left[column].share("comma") > 0.1:
            guess.notes.append(f"`{column}` has numbers with a comma, which are read as text")


def _label_beside(left: Shapes, guess: Guess) -> str | None:
    """Return a column that names the code in words: as many different texts as there are codes."""
    n_codes = left[guess.codes[-1]].n_distinct
    if not left[guess.codes[-1]].is_whole and flat(guess.codes[-1]) not in ("code", "icdcode", "drgcode"):
        return None
    stem = re.sub(r"(code|id)$", "", flat(guess.codes[-1]))
    for name in LABELS:
        for column, shape in left.items():
            taken = column in (*guess.codes, guess.number, guess.text, guess.unit)
            if not taken and flat(column) in (name, stem + name) and 0.5 * n_codes <= shape.n_distinct <= 1.5 * n_codes:
                return column if not (shape.is_number or shape.is_time) else None
    return None


def _take_columns(left: Shapes, guess: Guess) -> None:
    """Each column that is a number or one of few words becomes a measurement of its own."""
    measured, traits, late = list[str](), list[str](), list[str]()
    for column, shape in left.items():
        bare = flat(column)
        if re.search(PERSONAL, bare) or shape.is_prose or shape.is_time or shape.is_clock:
            continue
        if re.search(OUTCOME, bare):
            continue
        is_late = bool(re.search(LATE, bare))
        if (re.search(IDS, bare) and (shape.n_distinct > 20 or shape.is_whole)) or _is_an_id(shape):
            continue
        if (re.search(f"{BIRTH}|code$|cd$", bare) and shape.is_number) or any(re.search(one, bare) for one in OFFSETS):
            continue
        if shape.is_number and 2 * shape.n_big > shape.n_filled:
            continue
        if shape.is_number and not is_late:
            measured.append(column)
        elif shape.n_distinct <= max(50, 0.2 * shape.n_filled) and (not is_late or guess.end):
            (late if is_late else traits).append(column)
    guess.measured, guess.traits, guess.late = tuple(measured), tuple(traits), tuple(late)
    told = f"{OUTCOME}|{LATE}"
    hidden = [c for c in left if re.search(told, flat(c)) and not re.search(PERSONAL, flat(c)) and c not in late]
    if hidden:
        guess.notes.append(f"may tell the outcome and is not read: {', '.join(f'`{column}`' for column in hidden)}")
    if late:
        guess.notes.append(f"known at `{guess.end}` and told then: {', '.join(f'`{column}`' for column in late)}")


def _is_an_id(shape: ColumnShape) -> bool:
    """Whether each of many records has a text, or a large number, of its own."""
    return shape.is_unique and shape.n > 20 and (not shape.is_number or 2 * shape.n_big > shape.n)


def _dictionary(shapes: Shapes) -> Guess:
    """Return whether a table without subjects names codes: ids that come once, beside texts."""
    labels = [c for name in LABELS for c in shapes if flat(c).endswith(name) and shapes[c].share("text") > 0.5]
    if not labels:
        return Guess("other", unread=tuple(shapes))
    ids = [
        c
        for c in shapes
        if c not in labels and (flat(c) in CODES or re.search(r"(id|code|cd|key|nr)$", flat(c))) and shapes[c].n_filled
    ]
    unique = [c for c in ids if shapes[c].is_unique]
    if unique:
        code: tuple[str, ...] = (unique[0],)
    else:
        versions = [c for c in shapes if "version" in flat(c)]
        code = (versions[0], ids[0]) if versions and ids else ()
    return Guess("dictionary" if code else "other", codes=code, label=labels[0])
