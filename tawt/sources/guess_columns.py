"""Which columns of a table are measurements of their own, and since when they are known."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tawt.sources.names import (
    BIRTH,
    CLOCK,
    CODED,
    FROM_BIRTH,
    FROM_START,
    IDS,
    LATE,
    OFFSETS,
    OUTCOME,
    PERSONAL,
    flat,
)
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import ColumnShape
from tawt.sources.units_named import unit_named


def take_columns(left: Shapes, guess: Guess) -> None:
    """Each column that is a number or one of few words becomes a measurement of its own.

    Of what ends, only what is known to be so at its beginning is told then, and all else at its end: a name that no
    list knows must not tell the future.
    """
    measured, traits, late, later = list[str](), list[str](), list[str](), list[str]()
    ends = guess.lasts or ((guess.end,) if guess.end is not None else ())
    early = FROM_BIRTH if guess.lasts else f"{FROM_BIRTH}|{FROM_START}"
    for column, shape in left.items():
        bare = flat(column)
        is_code = column in guess.codes or (bool(ends) and bool(re.search(CODED, bare)))
        if re.search(rf"{PERSONAL}|{CLOCK}", bare) or shape.is_prose or shape.is_time or shape.is_clock:
            continue
        is_late = bool(re.search(LATE, bare)) or not re.search(early, bare)
        if re.search(OUTCOME, bare) or (re.search(LATE, bare) and not ends):
            later.append(column)
        elif is_code:
            traits += [column] if column not in guess.codes else []
        elif _says_nothing(column, shape):
            continue
        elif shape.is_number:
            measured.append(column)
        elif shape.n_distinct <= max(50, 0.2 * shape.n_filled):
            traits.append(column)
        if is_late and ends:
            late.append(column)
    guess.measured, guess.traits = tuple(measured), tuple(traits)
    guess.units = {column: unit for column in measured if (unit := unit_named(column)) is not None}
    if guess.units:
        guess.notes.append(f"their names say their units, see its event part: {told_of(guess.units)}")
    told = (*guess.codes, *measured, *traits)
    guess.late = tuple(column for column in late if column in told)
    if later:
        guess.notes.append(f"may be of later, or tell the outcome, and is not read: {told_of(later)}")
    if guess.late:
        at = f"the last of {told_of(ends)}" if ends[1:] else told_of(ends)
        guess.notes.append(f"told at {at}, for nothing says that it is known before: {told_of(guess.late)}")
    if ends and (known := [column for column in told if column not in late]):
        since = "as so from the first day on" if guess.lasts else f"at `{guess.time}`, as known from the start"
        guess.notes.append(f"told {since}: {told_of(known)}")
    if compared := [c for c in measured if left[c].kinds["compared"]]:
        guess.notes.append(f"some cells are bounds, as `> 89`, and are left out as unparseable: {told_of(compared)}")


def _says_nothing(column: str, shape: ColumnShape) -> bool:
    """Whether a column is an id, a code of its own, or counts time."""
    bare = flat(column)
    is_id = re.search(IDS, bare) is not None and (shape.n_distinct > 20 or shape.is_whole)
    counts = any(re.search(one, bare) for one in OFFSETS)
    is_code = shape.is_number and (
        re.search(f"{BIRTH}|code$|cd$", bare) is not None or 2 * shape.n_big > shape.n_filled
    )
    return is_id or counts or is_code or _is_an_id(shape)


def keep_what_was_so(guess: Guess, counted: bool) -> None:
    """Leave out of a table without a time what nobody says was so from the beginning: it may tell the future.

    Args:
        guess: What the table may be.
        counted: Whether times count from an admission, so that the beginning is that of a stay.
    """
    sure = f"{FROM_BIRTH}|{FROM_START}" if counted else FROM_BIRTH
    told = (*guess.measured, *guess.traits) if guess.death else (*guess.codes, *guess.measured, *guess.traits)
    kept = {c for c in told if re.search(sure, flat(c))}
    doubted = [c for c in told if c not in kept]
    guess.codes = () if guess.codes and guess.codes[-1] in doubted else guess.codes
    guess.measured, guess.traits = (
        tuple(c for c in columns if c in kept) for columns in (guess.measured, guess.traits)
    )
    if doubted:
        guess.notes.append(f"nothing says since when these are so, and they are not read: {told_of(doubted)}")


def _is_an_id(shape: ColumnShape) -> bool:
    """Whether each of many records has a text, or a large number, of its own."""
    return shape.is_unique and shape.n > 20 and (not shape.is_number or 2 * shape.n_big > shape.n)


def told_of(names: Iterable[str]) -> str:
    """Return names as a note has them."""
    return ", ".join(f"`{name}`" for name in sorted(names))
