"""How ids and codes are read: as whole numbers or as texts, in one way wherever they mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tawt.raw.cells import Apart, Cells, Place
from tawt.sources.drafted import Drafted
from tawt.sources.names import flat

_FEW = 11
"""Fewer ids than this are not counted out."""
_WAYS = "with zeros in front, in capitals or with blanks in one place and not in another"


class _Ids(NamedTuple):
    """Columns whose ids mean the same."""

    of: list[tuple[Drafted, str]]
    home: tuple[Drafted, str] | None
    """The column in which those of the others are looked up."""
    else_: str
    """What becomes of those that are written in several ways."""


def whole_ids(drafted: Sequence[Drafted], cells: Cells) -> dict[str, bool]:
    """Return, by name as it is compared, whether an id or a code is a whole number in every table: else it is text.

    Where ids are written in several ways they are read in one, if whole numbers can do that; if not, it is said.
    """
    found: dict[str, bool] = {}
    for table in drafted:
        guess = table.guess
        for column in (*guess.codes, *guess.keys, *(c for c in (guess.stay, guess.subject) if c is not None)):
            name = _name(table, column)
            shape = table.shapes[column]
            whole = shape.is_whole and not shape.n_padded and (name == "subject" or name.endswith(("id", "version")))
            found[name] = found.get(name, True) and (whole or not shape.n_filled)
    # what is joined must be written alike: a code and its name in the dictionary, a stay and its number
    pairs = [pair for one in drafted for t in one.names for pair in zip(one.guess.codes, t.guess.codes, strict=True)]
    pairs += [(t.joined_by, t.guess.stay) for t in drafted if t.joined_by is not None and t.guess.stay is not None]
    for own, other in pairs:
        found[flat(own)] = found[flat(other)] = found[flat(own)] and found[flat(other)]
    groups = _groups(drafted)
    for table in drafted:
        columns = {c for ids in groups for t, c in (*ids.of, *([ids.home] if ids.home else [])) if t is table}
        if columns:
            cells.gather(table.name, sorted(columns))
    for ids in groups:
        members = [*ids.of, *([ids.home] if ids.home else [])]
        names = {_name(table, column) for table, column in members}
        apart = cells.apart([_place(one) for one in ids.of], _place(ids.home) if ids.home else None)
        if names == {"subject"}:
            found["subject"] = apart.is_whole and not apart.n_padded
        if apart.n:
            as_numbers = apart.is_whole and not apart.n_within
            found |= dict.fromkeys(names, as_numbers)
            _tell(ids, members, apart, as_numbers)
    return found


def _name(table: Drafted, column: str) -> str:
    return "subject" if column == table.guess.subject else flat(column)


def _place(one: tuple[Drafted, str]) -> Place:
    return one[0].name, one[1]


def _groups(drafted: Sequence[Drafted]) -> list[_Ids]:
    subjects = [(t, t.guess.subject) for t in drafted if t.guess.subject is not None and t.guess.kind != "other"]
    found = [_Ids(subjects, None, "read as different subjects, so that a person may be split in two")]
    for table in drafted:
        home, stay = table.joins, table.guess.stay
        if home is not None and table.joined_by is not None and stay is not None:
            found.append(_Ids([(table, stay)], (home, table.joined_by), "not joined, so their records are quarantined"))
        found += [
            _Ids([(one, one.guess.codes[-1])], (table, table.guess.codes[-1]), "not found, so they have no name")
            for one in table.names
        ]
    return [ids for ids in found if ids.of]


def _tell(ids: _Ids, members: list[tuple[Drafted, str]], apart: Apart, as_numbers: bool) -> None:
    n = f"{apart.n:,}" if apart.n >= _FEW else f"fewer than {_FEW}"
    of = "; ".join(f"`{column}` of {table.name}" for table, column in members)
    if as_numbers:
        said = f"guessed: {n} ids have zeros in front in one table and none in another, and are read as numbers: {of}"
    else:
        said = (
            f"UNDECIDED: {n} ids are written {_WAYS}, and are {ids.else_}; where they mean the same, write them "
            f"alike in the raw files: {of}"
        )
    for table, column in members:
        table.guess.notes.insert(0, said)
        table.guess.doubts[column] = "read as a number: zeros in front say nothing" if as_numbers else (
            f"UNDECIDED, for {n} ids are written in several ways, see below"
        )  # fmt: skip
