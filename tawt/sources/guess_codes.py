"""Which column of a table says what a record is of: its code, with the version or type of that, or a name instead."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from tawt.sources.names import CODES, IDS, LABELS, NUMBERS, PERSONAL, SURE, SYSTEMS, TEXTS, flat
from tawt.sources.odd import MISSING
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import ColumnShape

_SODIUM = "NA"
_NAMED = {*CODES, *LABELS} - {*TEXTS, "type", "category", "event", "eventtype", "currservice", "orgname", "description"}
"""Names of columns in which `NA` may be sodium."""


def take_sodium(shapes: Shapes) -> None:
    """Take `NA` for a code or a name where the others are as short, and some of its records have a result or a name."""
    for column, shape in shapes.items():
        if flat(column) not in _NAMED or not shape.marks[_SODIUM] or 2 * shape.n_brief < shape.n_filled:
            continue
        beside = [s for c, s in shapes.items() if c != column and flat(c) in (*NUMBERS, *TEXTS, *LABELS)]
        of_it = shape.records == hash(_SODIUM)
        filled = [~np.isin(s.records, [*map(hash, (None, "", *s.marks))]) for s in beside]
        if not beside or 10 * np.count_nonzero(of_it & np.any(filled, axis=0)) > np.count_nonzero(of_it):
            shape.take_for_a_word(_SODIUM)


def note_missing_codes(shapes: Shapes, guess: Guess) -> None:
    """Say of codes and names how `NA` is read, and in how many records there is none."""
    for column in dict.fromkeys(c for c in (guess.codes[-1], guess.instead, guess.label) if c is not None):
        shape = shapes[column]
        if shape.share("text") and shape.n_of(_SODIUM) and not shape.marks[_SODIUM]:
            guess.notes.append(
                f"`NA` in `{column}` is read as sodium, for it stands beside other short ones: where it means missing, "
                "say `marks: [NA]`"
            )
        marks = [mark for mark in shape.marks if mark in MISSING]
        n_none = shape.kinds["empty"] + sum(shape.marks[mark] for mark in marks)
        if n_none >= 0.005 * shape.n and column == guess.codes[-1] and guess.instead is None:
            said = f" or {', '.join(f'`{mark}`' for mark in marks)}, which is read as missing," if marks else ""
            guess.notes.append(
                f"`{column}` is empty{said} in {n_none / shape.n:.0%} of the records: they are quarantined"
            )


def codes_of(name: str, left: Shapes, surely: bool) -> tuple[str, ...]:
    """Return the column whose cells say what a row is, and a column of its version if there is one."""
    stem = flat(name).rstrip("s")

    def rank(column: str) -> float | None:
        bare = flat(column)
        if bare.endswith("conceptid"):
            # of `measurement_concept_id`, `unit_concept_id` and so on, the one of the table's own name
            return 0 if stem.startswith(bare.removesuffix("conceptid")) else None
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
    few = {flat(c): c for c, shape in left.items() if shape.n_distinct < 20 and c != code}
    version = [few[name] for name in (f"{stem}version", *SYSTEMS) if name in few]
    if not version and stem and (type_ := few.get(f"{stem}type")) and left[type_].n_filled >= left[code].n_filled:
        labels = [shape for c, shape in left.items() if flat(c) in (*LABELS, *(stem + name for name in LABELS))]
        version = [type_] if any(left[code].n_beside(shape) > left[code].n_distinct for shape in labels) else []
    return (*version[:1], code)


def take_instead(left: Shapes, guess: Guess) -> None:
    """Take a name in words for what a record is of where its code is 0 or empty, which says nothing."""
    code = left[guess.codes[-1]]
    n_none = code.n - code.n_filled + code.n_of("0") * (not code.is_flag)
    names = {
        flat(c): c for c, s in left.items() if s.share("text") > 0.5 and s.n_filled >= 0.98 * s.n and not s.is_prose
    }
    others = [names[name] for name in CODES if name in names and names[name] not in guess.codes]
    if others and n_none >= 0.005 * code.n:
        guess.instead = others[0]
        guess.notes.append(
            f"`{code.name}` is 0 or empty in {n_none / code.n:.0%} of the records: there `{others[0]}` is the code"
        )


def _is_sure(column: str, rank: float) -> bool:
    return rank < SURE or re.search(r"code$|cd$", flat(column)) is not None


def _may_be_code(shape: ColumnShape, is_sure: bool) -> bool:
    if shape.is_time or shape.is_clock or shape.share("decimal") > 0.05 or 2 * shape.n_filled < shape.n:
        return False
    if is_sure:  # few records may have a code each
        return shape.n < 200 or shape.n_distinct < 0.8 * shape.n_filled
    return not shape.is_number and (shape.n < 20 or shape.n_distinct < 0.5 * shape.n_filled)


def words_alone(left: Shapes) -> tuple[str, ...]:
    """Return, of a table that has only words, the column with most different ones that come again."""
    if any(shape.is_number and not re.search(IDS, flat(column)) for column, shape in left.items()):
        return ()
    fit = [c for c, s in left.items() if _may_be_code(s, False) and not re.search(f"{IDS}|{PERSONAL}", flat(c))]
    return (max(fit, key=lambda c: left[c].n_distinct),) if fit else ()


def named_code(left: Shapes, named: Iterable[str]) -> tuple[str, ...]:
    """Return, of a table with a result, the column with most codes that a dictionary names."""
    if not any(flat(column) in (*NUMBERS, *TEXTS) for column in left):
        return ()
    fit = [c for c in named if c in left and _may_be_code(left[c], True)]
    return (max(fit, key=lambda c: left[c].n_distinct),) if fit else ()
