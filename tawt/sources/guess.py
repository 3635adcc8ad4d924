"""What the columns of an unknown table may mean, guessed from their names and the shapes of their cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from tawt.sources.alike import what_tells_apart
from tawt.sources.guess_codes import codes_of, named_code, note_missing_codes, take_instead, words_alone
from tawt.sources.guess_columns import keep_what_was_so, take_columns, told_of
from tawt.sources.names import (
    ADMITTED,
    BIRTH,
    CERTAINTY,
    CHANGED,
    DONE,
    DOUBTFUL,
    ERROR,
    FROM_BIRTH,
    IDS,
    LABELS,
    LEFT,
    NUMBERS,
    OPERATOR,
    PERSONAL,
    SIDES,
    STAYS,
    TEXTS,
    UNITS,
    WRONG,
    YES,
    flat,
)
from tawt.sources.odd import MISSING, is_no_number
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import ColumnShape
from tawt.sources.times import note_form, take_dates, take_later, take_times


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
    take_times(left, guess, is_once, is_of_stays)
    _take_births(left, guess)
    left = {column: shape for column, shape in left.items() if not shape.unread_time or column in guess.birth}
    _take_marked(left, guess)
    for column in (guess.time, guess.ready, guess.end, guess.death, guess.stay, *guess.birth, *guess.events):
        left.pop(column or "", None)
    if is_of_stays or _is_stay(name, guess.end):
        take_later(shapes, guess)  # of a stay it is the end
        left.pop(guess.end or "", None)
    is_admitted = guess.time is not None and re.search(ADMITTED, flat(guess.time)) is not None and guess.minutes is None
    is_stay = (is_of_stays or _is_stay(name, guess.end)) and (guess.end is not None or is_admitted)
    guess.is_stay = is_stay
    is_person = is_once and (bool(guess.birth) or any(re.search(FROM_BIRTH, flat(column)) for column in left))
    if is_person and not (is_stay or is_of_stays) and guess.time is not None and guess.minutes is None:
        take_dates(guess)
    guess.codes = codes_of(name, left, is_of_stays or is_once or is_stay)
    if not guess.codes and not is_once and not is_of_stays and not guess.end:
        guess.codes = named_code(left, named) or words_alone(left)
    has_values = any(flat(column) in (*NUMBERS, *TEXTS) for column in left)
    if guess.codes and is_admitted and guess.end is None and not (is_of_stays or has_values):
        guess.time = None  # that of an admission says nothing of when its codes were known
    take_later(shapes, guess)
    if guess.codes and not (is_stay or guess.lasts) and not (guess.death and not guess.time):
        guess.kind = "results"
        take_instead(left, guess)
        rest = {column: shape for column, shape in left.items() if column not in (*guess.codes, guess.instead)}
        _take_values(rest, guess, left[guess.codes[-1]])
        _take_done(rest, guess)
        guess.label = _label_beside(left, guess) if guess.instead is None else None
        note_missing_codes(shapes, guess)
    else:
        take_columns(left, guess)
        if is_stay and guess.end is None:
            keep_what_was_so(guess, counted=True)
    specimen = tuple(c for c in left if re.search(r"^(specimen|sample|accession)(id|number)?$", flat(c)))
    told = [*guess.codes, guess.number, guess.text, guess.unit, guess.ready] if guess.kind == "results" else []
    known = [guess.subject or guess.stay, guess.time, guess.clocks.get(guess.time or ""), *told, *specimen[:1]]
    if guess.time is not None:
        guess.identity = (*specimen[:1], *what_tells_apart(shapes, [column for column in known if column is not None]))
    return guess


def _is_stay(name: str, end: str | None) -> bool:
    return any(word in flat(name) for word in STAYS) or re.search(LEFT, flat(end or "")) is not None


def _take_marked(left: dict[str, ColumnShape], guess: Guess) -> None:
    """Take what marks a record as wrong or doubtful, by a yes or by a word: such a record is dropped."""
    told, unread = list[str](), list[str]()
    for column in [c for c in left if re.search(f"{ERROR}|{CHANGED}|{CERTAINTY}", flat(c))]:
        shape = left.pop(column)
        is_error, is_doubt = (bool(re.search(one, flat(column))) for one in (ERROR, CERTAINTY))
        words = shape.words_of((*WRONG, *DOUBTFUL) if is_doubt else WRONG)
        if is_error and shape.is_flag:
            guess.marked[column] = YES
            told.append(f"`{column}` says yes")
        elif words:
            guess.marked[column] = words
            told.append(f"`{column}` says {told_of(words)}")
        else:
            unread.append(column)
    if told:
        guess.notes.append(f"records where {' or '.join(told)} are dropped as wrong, cancelled or doubtful")
    if unread:
        guess.notes.append(
            f"may mark records that are wrong, or tell what became of them, and is not read: {told_of(unread)}"
        )


def _take_births(left: Shapes, guess: Guess) -> None:
    by_flat = {flat(column): column for column in left}
    days = [c for c, shape in left.items() if re.search(BIRTH, flat(c)) and shape.is_time]
    if days:
        guess.birth = (max(days, key=lambda c: left[c].has_clock),)
        note_form(guess.birth[0], left[guess.birth[0]], guess)
        return
    parts = [by_flat[name] for name in ("yearofbirth", "monthofbirth", "dayofbirth") if name in by_flat]
    years = parts[:1] or [by_flat[name] for name in ("birthyear", "yob", "geburtsjahr", "gebjahr") if name in by_flat]
    if years:
        guess.birth = tuple(parts) if len(parts) == 3 else tuple(years[:1])
    elif {"anchorage", "anchoryear"} <= by_flat.keys():
        guess.birth = (by_flat["anchorage"], by_flat["anchoryear"])
        guess.notes.append("the birth is the year of the anchor less the age: its first of January")


def _first(names: Sequence[str], left: Mapping[str, str], fits: Mapping[str, bool]) -> str | None:
    ranked = [c for name in names for c, bare in left.items() if bare == name and fits[c]]
    return ranked[0] if ranked else None


def _take_values(left: Shapes, guess: Guess, code: ColumnShape) -> None:
    # `physicalexamtext` beside `physicalexampath` is a text, and what only says the code again is no result
    known = {c: (flat(c), _less_the_code(flat(c), flat(code.name))) for c, s in left.items() if not code.tells(s)}
    number, text = (
        next((one for way in (0, 1) if (one := _first(names, {c: bare[way] for c, bare in known.items()}, fits))), None)
        for names, fits in (
            (NUMBERS, {c: left[c].is_number for c in known}),
            (TEXTS, {c: not (left[c].is_prose or left[c].is_time) for c in known}),
        )
    )
    if text == number and number is not None:
        text = _first(TEXTS, {c: bare[0] for c, bare in known.items() if c != number},
                      {c: not (left[c].is_prose or left[c].is_time) for c in known})  # fmt: skip
    guess.number, guess.text = number, text
    rest = {c: s for c, s in left.items() if c not in (number, text)}
    units = [c for c, s in rest.items() if re.search(UNITS, flat(c)) and not s.is_number]
    guess.unit = units[0] if units and (number or text) else None
    bounds = [sign for sign, side in SIDES.items() if side and not sign.isdigit()]
    sides = [c for c, s in rest.items() if re.search(OPERATOR, flat(c)) or (s.is_of(SIDES) and s.words_of(bounds))]
    guess.side = sides[0] if sides and number else None
    for column in (c for c in (guess.number, guess.text) if c is not None):
        if marks := [mark for mark in left[column].marks if mark in MISSING or is_no_number(mark)]:
            guess.notes.append(f"{told_of(marks)} in `{column}` is read as missing")
        if odd := left[column].odd_marks:
            guess.notes.append(
                f"UNDECIDED: {told_of(odd)} in `{column}` may mean missing: read as a result; see `marks`"
            )


def _take_done(left: Shapes, guess: Guess) -> None:
    """Take, of a record without a result, the words that say whether it was done; name what else has few words."""
    if guess.number is not None or guess.text is not None:
        return
    few = [c for c, s in left.items() if s.share("text") > 0.5 and 1 < s.n_distinct <= 50 and not _says_who(c)]
    done = [column for column in few if re.search(DONE, flat(column))]
    guess.text = done[0] if done else None
    if done:
        guess.notes.append(f"`{done[0]}` is read as what came of it: what was not given or done says so there alone")
    if others := [column for column in few if column not in done[:1]]:
        guess.notes.append(f"has few different words beside `{guess.codes[-1]}`, and is not read: {told_of(others)}")


def _says_who(column: str) -> bool:
    return re.search(f"{IDS}|{PERSONAL}|{UNITS}", flat(column)) is not None


def _less_the_code(name: str, code: str) -> str:
    """Return a name without what it has in front in common with that of the code."""
    shared = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(name, code, strict=False)))
    return name[shared:] if shared > 3 else name


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


def guess_dictionary(shapes: Shapes) -> Guess:
    """Return whether a table without subjects may name codes: it has texts, each another."""
    named = [c for name in LABELS for c in shapes if flat(c).endswith(name)]
    texts = [c for c in (*named, *shapes) if shapes[c].share("text") > 0.5 and not shapes[c].is_time]
    fit = [c for c in texts if c in named or 2 * shapes[c].n_distinct > shapes[c].n_filled]
    if not fit or len(shapes) < 2:
        why = "left out: no column says whose a record is, and it is no list of codes with their names"
        return Guess("other", unread=tuple(shapes), notes=[why])
    return Guess("dictionary", label=fit[0])
