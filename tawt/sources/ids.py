"""How ids and codes are read: as whole numbers or as texts, in one way wherever they mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tawt.raw.cells import Apart, Cells, Joined, Place
from tawt.sources.drafted import Drafted
from tawt.sources.names import flat

_FEW = 11
"""Fewer ids than this are not counted out."""
_WRITE = "where they mean the same, write them alike in the raw files"
_LETTERS = "here `9` stands for digits, `A` and `a` for letters"


class _Ids(NamedTuple):
    """Columns whose ids mean the same."""

    of: list[tuple[Drafted, str]]
    home: tuple[Drafted, str]
    """The column in which those of the others are looked up."""
    else_: str
    """What becomes of those that are written otherwise there."""
    are_people: bool = False


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
        columns = {c for ids in groups for t, c in (*ids.of, ids.home) if t is table}
        if columns:
            cells.gather(table.name, sorted(columns))
    for ids in groups:
        members = [*ids.of, *([ids.home] if ids.home and ids.home not in ids.of else [])]
        names = {_name(table, column) for table, column in members}
        apart = cells.apart([_place(one) for one in ids.of], _place(ids.home) if not ids.are_people else None)
        if ids.are_people:
            found["subject"] = apart.is_whole and not apart.n_padded
        as_numbers = apart.is_whole and not apart.n_within
        if apart.n:
            found |= dict.fromkeys(names, as_numbers)
        if apart.n and as_numbers:
            _tell_numbers(members, apart)
        else:
            _tell(ids, cells.joined([_place(one) for one in members if one != ids.home], _place(ids.home), _FEW), apart)
    return found


def _name(table: Drafted, column: str) -> str:
    return "subject" if column == table.guess.subject else flat(column)


def _place(one: tuple[Drafted, str]) -> Place:
    return one[0].name, one[1]


def _groups(drafted: Sequence[Drafted]) -> list[_Ids]:
    people = [(t, t.guess.subject) for t in drafted if t.guess.subject is not None and t.guess.kind != "other"]
    found = []
    if people:
        home = max(people, key=lambda one: (one[0].is_once, one[0].shapes[one[1]].n_distinct))
        found.append(_Ids(people, home, "read as other subjects, so that a person may be split in two", True))
    for table in drafted:
        of, stay = table.joins, table.guess.stay
        if of is not None and table.joined_by is not None and stay is not None:
            found.append(_Ids([(table, stay)], (of, table.joined_by), "not joined, so their records are quarantined"))
        found += [
            _Ids([(one, one.guess.codes[-1])], (table, table.guess.codes[-1]), "not found, so they have no name")
            for one in table.names
        ]
    return found


def _tell_numbers(members: list[tuple[Drafted, str]], apart: Apart) -> None:
    """Say which ids are read as numbers, for they differ only by zeros and blanks."""
    of = "; ".join(f"`{column}` of {table.name}" for table, column in members)
    for table, column in members:
        table.guess.notes.insert(
            0, f"guessed: {_count(apart.n)} ids have zeros in front or blanks around them in one table and not in "
            f"another, and are read as numbers: {of}"
        )  # fmt: skip
        table.guess.doubts[column] = "read as a number: zeros in front say nothing"


def _tell(ids: _Ids, joined: dict[Place, Joined], apart: Apart) -> None:
    """Say which ids are written otherwise than where they are looked up, or are not there at all."""
    home, own = ids.home
    theirs = joined.pop(_place(ids.home))
    n_told = 0
    for table, column in [one for one in ids.of if _place(one) in joined]:
        here = joined[_place((table, column))]
        n_apart = here.n_alike - here.n_same
        is_lost = (
            here.n_alike < 0.5 * here.n and min(here.n, theirs.n) >= _FEW and _name(table, column) == _name(home, own)
        )
        if not n_apart and not is_lost:
            continue
        n_told += n_apart
        forms = " beside ".join(", ".join(f"`{form}`" for form in one.forms) for one in (here, theirs) if one.forms)
        looks = f" ({forms}; {_LETTERS})" if here.forms and theirs.forms else ""
        of, at = f"`{column}` of {table.name}", f"`{own}` of {home.name}"
        said = (
            f"{_count(n_apart)} ids of {of} are written otherwise than in {at}{looks}: "
            f"{_part(here.n_same, here.n)} of its ids join as they stand"
            if n_apart
            else f"{_part(here.n_same, here.n)} of the {here.n:,} ids of {of} join those in {at}{looks}"
        )
        table.guess.notes.insert(0, f"UNDECIDED: {said}, and those that do not are {ids.else_}; {_WRITE}")
        for one, name in ((table, column), (home, own)):
            one.guess.doubts[name] = (
                f"UNDECIDED, for {_count(n_apart)} ids are written in several ways"
                if n_apart
                else "UNDECIDED, for few ids are in both tables"
            ) + f", see `{table.name}`"
    if apart.n > n_told and (ids.are_people or not n_told):
        of = "; ".join(f"`{column}` of {table.name}" for table, column in ids.of)
        ids.of[0][0].guess.notes.insert(
            0, f"UNDECIDED: {_count(apart.n - n_told)} ids are written in several ways, as with zeros in front, "
            f"capitals or signs here and not there, and are {ids.else_}; {_WRITE}: {of}"
        )  # fmt: skip


def _count(n: int) -> str:
    return f"{n:,}" if n >= _FEW else f"fewer than {_FEW}"


def _part(n: int, of: int) -> str:
    """Return a part of some ids in words where the number would tell of few."""
    if n in (0, of):
        return "all" if n else "none"
    return f"fewer than {_FEW}" if n < _FEW else "nearly all" if of - n < _FEW else f"{n:,} of {of:,}"
