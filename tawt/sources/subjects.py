"""Whose the records of a folder's tables are: the column of a person in each, or of a stay whose person another has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from tawt.sources.names import CASES, CODES, COUNTERS, GOOD_TIME, IDS, OFFSETS, PARENTS, STAYS, SUBJECTS, flat
from tawt.sources.roles import Shapes
from tawt.sources.shapes import ColumnShape, is_id_by_name

_TIMES = rf"{GOOD_TIME}|{'|'.join(OFFSETS)}|time|date|datum|zeit|fecha|heure|hora"

_PERSON = r"^(pat(?!h)|subj|pers|proband|teiln|partic|pazi|paci)"
"""Beginnings of names that are of a person, where the ids themselves are too short to tell."""


@dataclass
class Whose:
    """Whose the records of each table are."""

    columns: dict[str, str] = field(default_factory=dict)
    """Table -> the column of its subject."""
    owners: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Table without one -> its column of a stay, or of what names one, the table that says whose that is, and the
    column of that there."""
    stays: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Column that numbers stays, as it is compared -> the table that has one record of each, and the column there."""
    notes: list[str] = field(default_factory=list)


def whose_records(tables: Mapping[str, Shapes], named: str | None = None) -> Whose:
    """Return whose the records of each table are.

    Args:
        tables: Shapes of the columns of each table.
        named: The name of the subject's column, where the user gives it.
    """
    by_flat = {table: {flat(column): column for column in shapes} for table, shapes in tables.items()}
    counted = Counter(name for columns in by_flat.values() for name in columns if name in SUBJECTS)
    ranked = sorted(counted, key=lambda name: (name == "_member", -counted[name], SUBJECTS.index(name)))
    main = ranked[0] if ranked else _by_share(by_flat, tables)
    same = _named_by_files(by_flat, tables) if main == "_member" else ""
    main = same or main
    person = _person_of(main, by_flat, tables)
    if named is not None:
        main = flat(named)
    elif person is not None:
        main = person
    # a name that stands beside the main one somewhere is of something else, and so is a stay's beside that of a person
    others = [
        n
        for n in SUBJECTS
        if n in counted and not any(main in columns and n in columns for columns in by_flat.values())
        if is_of_stay(main) or not is_of_stay(n)
    ]
    found = Whose()
    for table, columns in by_flat.items():
        name = next((one for one in (main, *others) if one in columns), None)
        if name is not None:
            found.columns[table] = columns[name]
        elif re.search(r"^(patient|person|subject|pat)(en|s)?$", flat(table)) and "id" in columns:
            found.columns |= {table: columns["id"]} if tables[table][columns["id"]].is_unique else {}
    found.stays = _stay_columns(tables, found.columns)
    found.owners = _owners(tables, found.columns)
    _note(found, main, person, tables)
    if same and main == same:
        column = next(by_flat[table][same] for table in by_flat if same in by_flat[table])
        files = ", ".join(table for table, own in found.columns.items() if own == "_member")
        found.notes.append(f"the subject is `{column}`: the names of the files of {files} are ids of it")
    return found


def of_one_subject(header: Sequence[str]) -> bool:
    """Return whether a file of a header may hold the records of one subject: it has times, and no column of ids."""
    names = [flat(name) for name in header]
    return any(re.search(_TIMES, name) for name in names) and not any(
        name in SUBJECTS or is_of_stay(name) or re.search(IDS, name) for name in names
    )


def subject_at(header: Sequence[str], named: str | None = None) -> int | None:
    """Return which column of a header says whose a record is: the one that the user names, or by its name."""
    names = [flat(name) for name in header]
    found = [names.index(name) for name in ([flat(named)] if named else SUBJECTS) if name in names]
    return found[0] if found else None


def is_of_stay(name: str) -> bool:
    """Whether a name, as it is compared, is rather that of a stay than of a person."""
    return name in CASES or any(word in name for word in STAYS)


def names_whose(shapes: Shapes) -> bool:
    """Whether a table has a column that is called as ids of subjects or of stays are."""
    return any(flat(c) in SUBJECTS or (is_of_stay(flat(c)) and re.search(IDS, flat(c)) is not None) for c in shapes)


def stay_name(table: str, column: str) -> str:
    """Return the name by which other tables know a column of a table, as it is compared."""
    return (flat(table).rstrip("s") if flat(column) == "id" else flat(column)).removesuffix("id")


def _by_share(by_flat: Mapping[str, Mapping[str, str]], tables: Mapping[str, Shapes]) -> str:
    """Return the id that is in most tables; empty if none is."""
    counted = Counter(
        name
        for table, columns in by_flat.items()
        for name, column in columns.items()
        if re.search(IDS, name) and not tables[table][column].is_time
    )
    return max(counted, key=lambda name: counted[name], default="")


def _named_by_files(by_flat: Mapping[str, Mapping[str, str]], tables: Mapping[str, Shapes]) -> str:
    """Return the id of most tables whose cells are the names of files of one subject each; empty if none is."""
    files = [shapes["_member"] for shapes in tables.values() if "_member" in shapes]
    counted = Counter(
        name
        for table, columns in by_flat.items()
        for name, column in columns.items()
        for shape in [tables[table][column]]
        if column != "_member" and not (shape.is_time or re.search(COUNTERS, name))
        if not (shape.is_counter and shape.is_unique)  # it numbers records, and so has whatever numbers there are
        if any(one.part_in(shape) >= 0.5 and (one.is_telling or re.search(_PERSON, name)) for one in files)
    )
    return max(counted, key=lambda name: counted[name], default="")


def _person_of(main: str, by_flat: Mapping[str, Mapping[str, str]], tables: Mapping[str, Shapes]) -> str | None:
    """Return the name of the person's column where the likeliest subject is rather a stay: one table has both."""
    for table, columns in by_flat.items():
        if main in columns and is_of_stay(main) and tables[table][columns[main]].is_unique:
            beside = [name for name in SUBJECTS if name in columns and name != main and not is_of_stay(name)]
            if beside:
                return beside[0]
    return None


def _stay_columns(tables: Mapping[str, Shapes], subjects: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for table, subject in subjects.items():
        for column, shape in tables[table].items():
            name = stay_name(table, column)
            is_stay = column != subject and shape.is_unique and any(word in name for word in STAYS)
            elsewhere = any(stay_name(t, c) == name for t in tables if t != table for c in tables[t])
            if is_stay and elsewhere and any(s.is_time for s in tables[table].values()):
                found.setdefault(name, (table, column))
    return found


def _owners(tables: Mapping[str, Shapes], subjects: Mapping[str, str]) -> dict[str, tuple[str, str, str]]:
    """Return, of each table without a subject, its column whose cells are ids of a table that has one."""
    known = [
        (table, column, shape, tables[table][subject])
        for table, subject in subjects.items()
        for column, shape in tables[table].items()
        if column != subject and len(shape.hashes) and _numbers_stays(table, column, shape)
    ]
    homes = [(table, column) for table, column, shape, _ in known if shape.is_unique]
    # a stay may be listed twice, as after a transfer: its number still leads to one person
    homes += [
        (table, column)
        for table, column, shape, subject in known
        if any(word in flat(table) for word in STAYS) and column not in {own for _, own in homes}
        if 2 * shape.n_distinct > shape.n_filled and shape.n_beside(subject) == shape.n_distinct
    ]
    found = new = _leading_to(homes, tables, subjects)
    while new:  # a result may name an order, which names the stay
        homes = [
            (table, column)
            for table in new
            for column, shape in tables[table].items()
            if column != new[table][0] and len(shape.hashes) and shape.is_unique and is_id_by_name(column)
            if not re.search(COUNTERS, flat(column))
        ]
        new = _leading_to(homes, tables, {*subjects, *found})
        found = found | new
    return found


def _leading_to(
    homes: Sequence[tuple[str, str]], tables: Mapping[str, Shapes], known: Container[str]
) -> dict[str, tuple[str, str, str]]:
    """Return, of each table that is not known, its column whose cells are ids in one of some homes."""
    found: dict[str, tuple[str, str, str]] = {}
    for table, shapes in tables.items():
        fit = [
            (shape.part_in(tables[home][own]), stay_name(home, own) in flat(home), column, home, own)
            for column, shape in shapes.items()
            for home, own in homes
            if table not in known and flat(column) not in CODES and stay_name(table, column) == stay_name(home, own)
        ]
        share, _, *owner = max(fit, default=(0.0, False, "", "", ""))
        if share >= 0.5:
            found[table] = (owner[0], owner[1], owner[2])
    return found


def _numbers_stays(table: str, column: str, shape: ColumnShape) -> bool:
    """Whether the cells of a column may be ids by which other tables name the records of this one."""
    bare = flat(column)
    if re.search(COUNTERS, bare):
        return False
    return (
        is_of_stay(stay_name(table, column))
        or bare in SUBJECTS
        or (bool(re.search(IDS, bare)) and (not shape.is_counter or bool(re.search(PARENTS, bare))))
    )


def _note(found: Whose, main: str, person: str | None, tables: Mapping[str, Shapes]) -> None:
    column = next((c for table in tables for c in tables[table] if flat(c) == main), main)
    known = [tables[table][c] for table, c in found.columns.items() if flat(c) == main]
    for table, other in found.columns.items():
        shape = tables[table][other]
        if known and flat(other) not in (main, "_member") and not any(shape.part_in(one) for one in known):
            found.notes.append(
                f"UNDECIDED: `{other}` of {table} is taken for the subject, and shares no cell with `{column}`"
            )
    lost = [
        table
        for table, shapes in tables.items()
        if table not in found.columns and table not in found.owners and names_whose(shapes)
    ]
    if lost:
        found.notes.insert(
            0, f"LEFT OUT: {', '.join(lost)} have neither `{column}` nor the number of a stay that leads to it, so "
            "nothing says whose their records are"
        )  # fmt: skip
    if person is not None and main != person and is_of_stay(main):
        found.notes.insert(
            0, f"WRONG FOR SPLITS: the subject is `{column}`, a stay; `{person}` is the person, and one with several "
            f"stays lies in several splits: draft again with `--subject {person}`"
        )  # fmt: skip
    elif is_of_stay(main) and found.columns:
        found.notes.insert(
            0, f"UNDECIDED: the subject is `{column}`, which may be a stay: no column says which are of one person, "
            "and one with several may lie in several splits"
        )  # fmt: skip
