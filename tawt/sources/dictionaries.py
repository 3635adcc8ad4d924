"""Which table names the codes of which: told by the cells that two columns share, and only then by their names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tawt.sources.drafted import Drafted
from tawt.sources.names import flat
from tawt.sources.roles import Guess, Shapes
from tawt.sources.shapes import ColumnShape

_MOST = 0.5
"""Share of a table's codes that a dictionary must know."""


class _Fit(NamedTuple):
    """How well a dictionary names the codes of a table."""

    score: float
    share: float
    dictionary: Drafted
    codes: tuple[str, ...]


def named_columns(shapes: Shapes, dictionaries: Iterable[tuple[Shapes, Guess]]) -> list[str]:
    """Return the columns of a table whose cells a dictionary names: its codes may be there."""
    known = [(own, by) for of, guess in dictionaries for by, own in of.items() if by != guess.label and _is_key(own)]
    return [
        column
        for column, shape in shapes.items()
        if not shape.is_unique and any(_shared(column, shape, by, own, "") >= 0.9 for own, by in known)
    ]


def give_dictionaries(drafted: Sequence[Drafted]) -> None:
    """Let each table of codes be named by the dictionary that knows them, where one does better than all others."""
    dictionaries = [table for table in drafted if table.guess.kind == "dictionary"]
    rivalled = set[str]()
    for table in drafted:
        table.prefix = table.name.upper()
        if not (table.has_events and table.guess.codes):
            continue
        fits = sorted((fit for one in dictionaries for fit in _fits(table, one)), key=lambda fit: -fit.score)
        if not fits:
            continue
        best, *others = fits
        rivals = [fit.dictionary.name for fit in others if fit.dictionary is not best.dictionary]
        if any(best.score - fit.score < 0.1 for fit in others if fit.dictionary is not best.dictionary):
            rivalled |= {best.dictionary.name, *rivals}
            table.guess.notes.append(
                f"UNDECIDED: `{best.dictionary.name}` and `{rivals[0]}` both know its codes, so neither names them"
            )
        elif best.dictionary.guess.codes not in ((), best.codes):
            table.guess.notes.append(f"`{best.dictionary.name}` names other codes by another column, so not its own")
        else:
            best.dictionary.guess.codes = best.codes
            best.dictionary.names.append(table)
            table.guess.label = None
            if best.share < 0.95:
                table.guess.notes.append(f"`{best.dictionary.name}` names {best.share:.0%} of its codes")
    for one in dictionaries:
        if not one.names:
            one.leave_out(f"has no subject, and {_why_not(one, drafted, one.name in rivalled)}")
        elif len(one.names) > 1:
            names = ", ".join(table.name for table in one.names)
            one.guess.notes.append(f"names the codes of {names}: a code that several have is one data_type")
            for table in one.names:
                table.prefix = _bare(one.name).upper()


def _why_not(one: Drafted, drafted: Sequence[Drafted], is_rivalled: bool) -> str:
    """Return why a table of texts is taken for the dictionary of no table."""
    keys = [shape for column, shape in one.shapes.items() if column != one.guess.label and _is_key(shape)]
    coded = [table for table in drafted if table.has_events and table.guess.codes]
    may = [t.name for t in coded if any(t.shapes[t.guess.codes[-1]].part_in(key) >= 0.9 for key in keys)]
    if is_rivalled:
        return "another table knows the same codes"
    if may:
        return f"knows the codes of {', '.join(may)}, which may be by chance: they are few, or numbers as others have"
    return "its ids are no table's codes"


def _fits(table: Drafted, one: Drafted) -> Iterator[_Fit]:
    """Yield the ways in which a dictionary may name the codes of a table."""
    *versions, code = table.guess.codes
    by_flat = {flat(column): column for column in one.shapes}
    if any(flat(version) not in by_flat for version in versions):
        return
    theirs = tuple(by_flat[flat(version)] for version in versions)
    shape = table.shapes[code]
    for column, own in one.shapes.items():
        if column == one.guess.label or column in theirs or not (_is_key(own) or (theirs and not own.is_time)):
            continue
        share = _shared(code, shape, column, own, _bare(one.name))
        if share >= _MOST or (share > 0 and one.is_cut):
            here = one.found.place.rpartition("/")[0] == table.found.place.rpartition("/")[0]
            score = share + 0.2 * _are_called_alike(code, column, "") + 0.3 * _near(one, table) + 0.15 * here
            yield _Fit(score, share, one, (*theirs, column))


def _shared(code: str, shape: ColumnShape, by: str, own: ColumnShape, dictionary: str) -> float:
    """Return the share of a table's codes that are ids of a dictionary; 0 where that may be by chance."""
    if _are_called_alike(code, by, dictionary):
        return shape.part_in(own)
    share = shape.part_in(own) if shape.is_telling else 0.0
    return share if share >= 0.9 and not own.is_counter else 0.0


def _is_key(shape: ColumnShape) -> bool:
    """Whether hardly an id of a column comes twice."""
    return len(shape.hashes) > 0 and not shape.is_time and shape.n_distinct >= 0.98 * shape.n_filled


def _are_called_alike(code: str, by: str, dictionary: str) -> bool:
    """Whether the name of a code's column is that of the dictionary's, or of the dictionary and an id."""
    own, other = flat(code), flat(by)
    stem = re.sub(r"(code|id|cd|nr|key)$", "", own)
    if other in ("id", "code", "nr", "key"):
        return bool(stem) and stem in flat(dictionary)
    return own == other or (len(other) > 2 and own.endswith(other))


def _near(one: Drafted, table: Drafted) -> bool:
    """Whether the names of a dictionary and of a table say that they belong together."""
    bare = _bare(one.name)
    return (
        bare[:3] == table.name[:3]
        or bare in table.name
        or difflib.SequenceMatcher(None, bare, table.name).ratio() >= 0.75
    )


def _bare(name: str) -> str:
    return re.sub(r"^(d|dim|ref|lu|lkp)_", "", name)
