"""What the columns of an unknown table may mean, guessed from their names and the shapes of their cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tawt.sources.names import (
    BIRTH,
    CHANGED,
    CODES,
    ERROR,
    FROM_BIRTH,
    FROM_START,
    IDS,
    LABELS,
    LATE,
    NUMBERS,
    OFFSETS,
    OUTCOME,
    PERSONAL,
    SURE,
    TEXTS,
    UNITS,
    flat,
)
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import MISSING, ColumnShape
from tawt.sources.times import note_form, take_times


def guess_table(
    name: str, shapes: Shapes, subject: str | None, stay: str | None, *, has_owner: bool = False,
    is_of_stays: bool = False, named: Iterable[str] = (),
) -> Guess:  # fmt: skip
    """Return what one table may be.

    Args:
        name: Of the table.
        shapes: Of its columns.
        subject: Its subject's column, if it has one.
        stay: Its column of a stay, if it has one.
        has_owner: Whether another table says whose its stays are.
        is_of_stays: Whether it has one record of each stay.
        named: Its columns whose cells a dictionary names.
    """
    if subject is None and not has_owner:
        return guess_dictionary(shapes)
    if re.search(r"label", flat(name)) or "predictiontime" in map(flat, shapes):
        why = "left out: may hold labels, which are no events"
        return Guess("other", subject, unread=tuple(shapes), notes=[why])
    left = {column: shape for column, shape in shapes.items() if column != subject and shape.n_filled}
    guess = Guess("wide", subject, stay=stay)
    whose = subject or stay or ""
    if shapes[whose].n_filled < shapes[whose].n:
        guess.notes.append(f"`{whose}` is missing in some records: they are quarantined")
    is_once = subject is not None and shapes[subject].is_unique
    take_times(name, left, guess, is_once, is_of_stays)
    _take_births(left, guess)
    _take_marked(left, guess)
    for column in (guess.time, guess.ready, guess.end, guess.death, guess.stay, *guess.birth, *guess.events):
        left.pop(column or "", None)
    guess.codes = _codes(name, left, is_of_stays or is_once)
    if not guess.codes and not is_once and not is_of_stays and not guess.end:
        guess.codes = _named(left, named) or _words_alone(left)
    if guess.codes:
        guess.kind = "results"
        if guess.marked is not None:
            guess.notes.append(f"records where `{guess.marked}` says yes are dropped as wrong or cancelled")
        _take_values({column: shape for column, shape in left.items() if column not in guess.codes}, guess)
        guess.label = _label_beside(left, guess)
        empty = 1 - left[guess.codes[-1]].n_filled / left[guess.codes[-1]].n
        if empty >= 0.005:
            guess.notes.append(f"`{guess.codes[-1]}` is empty in {empty:.0%} of the records: they are quarantined")
        guess.specimen = next(
            (c for c in left if re.search(r"^(specimen|sample|accession)(id|number)?$", flat(c))), None
        )
    else:
        if guess.marked is not None:
            guess.notes.append(f"`{guess.marked}` may mark records that are wrong or cancelled: it is not read")
            guess.marked = None
        _take_columns(left, guess)
    return guess


def _take_marked(left: dict[str, ColumnShape], guess: Guess) -> None:
    """Take what marks a record as wrong: where its cells say yes or no, such a record is dropped."""
    for column in [c for c in left if re.search(ERROR, flat(c))]:
        shape = left.pop(column)
        if shape.is_flag and guess.marked is None:
            guess.marked = column  # told once it is known what the table is
        else:
            guess.notes.append(f"`{column}` may mark records that are wrong or cancelled: it is not read")


def _named(left: Shapes, named: Iterable[str]) -> tuple[str, ...]:
    """Return, of a table with a result, the column with most codes that a dictionary names."""
    if not any(flat(column) in (*NUMBERS, *TEXTS) for column in left):
        return ()
    fit = [c for c in named if c in left and _may_be_code(left[c], True)]
    return (max(fit, key=lambda c: left[c].n_distinct),) if fit else ()


def _take_births(left: Shapes, guess: Guess) -> None:
    by_flat = {flat(column): column for column in left}
    days = [c for c, shape in left.items() if re.search(BIRTH, flat(c)) and shape.is_time]
    if days:
        guess.birth = (max(days, key=lambda c: left[c].has_clock),)
        note_form(guess.birth[0], left[guess.birth[0]], guess)
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
    value = [column for column in (guess.number, guess.text) if column is not None]
    guess.commas = tuple(column for column in value if left[column].has_commas)
    if guess.commas:  # one column says all: a number beside it would be read with a point
        guess.number, guess.text = None, guess.commas[0]
        guess.commas = guess.commas[:1]
        guess.notes.append(f"`{guess.text}` has numbers with a comma before the decimals: its event part reads them")
    for column in value:
        if left[column].share("comma") > 0.02 and column not in guess.commas:
            guess.notes.append(f"UNDECIDED: a comma in `{column}` may stand before decimals or thousands: read as text")
        if marks := [mark for mark in left[column].marks if mark in MISSING]:
            guess.notes.append(f"{_told(marks)} in `{column}` is read as missing")
        if odd := left[column].odd_marks:
            guess.notes.append(f"UNDECIDED: {_told(odd)} in `{column}` may mean missing: read as a result; see `marks`")


def _told(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


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
    measured, traits, late, later = list[str](), list[str](), list[str](), list[str]()
    for column, shape in left.items():
        bare = flat(column)
        if re.search(PERSONAL, bare) or shape.is_prose or shape.is_time or shape.is_clock:
            continue
        is_late = bool(re.search(LATE, bare))
        if re.search(f"{OUTCOME}|{CHANGED}", bare):
            later.append(column)
            continue
        if (re.search(IDS, bare) and (shape.n_distinct > 20 or shape.is_whole)) or _is_an_id(shape):
            continue
        if (re.search(f"{BIRTH}|code$|cd$", bare) and shape.is_number) or any(re.search(one, bare) for one in OFFSETS):
            later += [column] if is_late else []
            continue
        if shape.is_number and 2 * shape.n_big > shape.n_filled:
            continue
        if is_late and (shape.is_number or not guess.end):
            later.append(column)
        elif shape.is_number:
            measured.append(column)
        elif shape.n_distinct <= max(50, 0.2 * shape.n_filled):
            (late if is_late else traits).append(column)
    guess.measured, guess.traits, guess.late = tuple(measured), tuple(traits), tuple(late)
    guess.commas = tuple(column for column in measured if left[column].has_commas)
    if later:
        guess.notes.append(f"may be of later, or tell the outcome, and is not read: {_told(later)}")
    if late:
        guess.notes.append(f"known at `{guess.end}` and told then: {_told(late)}")
    if guess.commas:
        guess.notes.append(f"a comma stands before the decimals, and its event part reads it so: {_told(guess.commas)}")
    if compared := [c for c in measured if left[c].kinds["compared"]]:
        guess.notes.append(f"some cells are bounds, as `> 89`, and are left out as unparseable: {_told(compared)}")


def keep_what_was_so(guess: Guess, counted: bool) -> None:
    """Leave out of a table without a time what nobody says was so from the beginning: it may tell the future.

    Args:
        guess: What the table may be.
        counted: Whether times count from an admission, so that the beginning is that of a stay.
    """
    sure = f"{FROM_BIRTH}|{FROM_START}" if counted else FROM_BIRTH
    kept = {c for c in (*guess.measured, *guess.traits) if re.search(sure, flat(c))}
    doubted = [c for c in (*guess.measured, *guess.traits) if c not in kept]
    guess.measured, guess.traits, guess.commas = (
        tuple(c for c in columns if c in kept) for columns in (guess.measured, guess.traits, guess.commas)
    )
    if doubted:
        guess.notes.append(f"nothing says since when these are so, and they are not read: {_told(doubted)}")


def _is_an_id(shape: ColumnShape) -> bool:
    """Whether each of many records has a text, or a large number, of its own."""
    return shape.is_unique and shape.n > 20 and (not shape.is_number or 2 * shape.n_big > shape.n)


def guess_dictionary(shapes: Shapes) -> Guess:
    """Return whether a table without subjects may name codes: it has texts, each another."""
    named = [c for name in LABELS for c in shapes if flat(c).endswith(name)]
    texts = [c for c in (*named, *shapes) if shapes[c].share("text") > 0.5 and not shapes[c].is_time]
    fit = [c for c in texts if c in named or 2 * shapes[c].n_distinct > shapes[c].n_filled]
    if not fit or len(shapes) < 2:
        why = "left out: no column says whose a record is, and it names no codes"
        return Guess("other", unread=tuple(shapes), notes=[why])
    return Guess("dictionary", label=fit[0])
