"""How the tables of a folder hang together: whose records they are, which names codes, which ends a stay."""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import duckdb

from tawt.database.catalog import is_called
from tawt.raw.tables import FoundTable
from tawt.sources.guess import guess_table
from tawt.sources.names import IDS, STAYS, SUBJECTS, flat, plain
from tawt.sources.roles import Guess, Shapes

_OF_VALUE = ("numeric_value", "text_value", "raw_value", "unit", "value_status", "said", "counted", "counted_cell")
"""Names that staging has for columns of its own where a table has a value."""
_OF_EVENTS = ("time", "code", "numeric_value", "text_value", "value_status", "begins", "minutes", "stay_end")
"""Names that an event part of several columns has for its own."""
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@cache
def reserved_words() -> frozenset[str]:
    """Return the words that are no name of a column in SQL without quotes."""
    with duckdb.connect() as connection:
        words = connection.execute("select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'")
        return frozenset(word for (word,) in words.fetchall())


@dataclass
class Drafted:
    """A table of the draft."""

    name: str
    """The relation: `raw.<name>`, `staging.<name>`."""
    found: FoundTable
    shapes: Shapes
    guess: Guess
    staged: dict[str, str] = field(default_factory=dict)
    """Columns that are read -> their names in staging."""
    types: dict[str, str] = field(default_factory=dict)
    """Columns that are read -> their types."""
    prefix: str = ""
    """What its codes begin with."""
    stays: Drafted | None = None
    """The table whose stays say when its records could be read, for one without a time."""
    names: list[Drafted] = field(default_factory=list)
    """Of a dictionary: the tables whose codes it names."""

    @property
    def of_value(self) -> list[str]:
        """The columns that are judged together as a value."""
        return [c for c in (self.guess.text, self.guess.number, self.guess.unit) if c is not None]

    @property
    def has_events(self) -> bool:
        """Whether its records become measurements."""
        return self.guess.kind in ("results", "wide")

    def column(self, raw: str | None) -> str:
        """Return a column's name in staging, as SQL has it."""
        assert raw is not None
        name = self.staged[raw]
        return name if _SIMPLE.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def look_at(tables: Mapping[str, tuple[FoundTable, Shapes]], subject: str | None = None) -> list[Drafted]:
    """Guess what each table is, and how they hang together.

    Args:
        tables: Every table, with the shapes of its columns, by the name of its relation.
        subject: The name of the subject's column, where the user gives it.
    """
    shapes = {name: of_table for name, (_, of_table) in tables.items()}
    subjects = guess_subjects(shapes, subject)
    stays = stay_columns(shapes, subjects)
    drafted = []
    for name, (found, of_table) in tables.items():
        guess = guess_table(name, of_table, subjects.get(name), stays, name in stays.values())
        drafted.append(Drafted(name, found, of_table, guess))
    by_name = {table.name: table for table in drafted}
    for table in drafted:
        _give_time(table, by_name, stays)
    _give_deaths(drafted)
    _give_dictionaries(drafted)
    wholes = _whole_ids(drafted)
    for table in drafted:
        _name_columns(table, wholes)
    return drafted


def guess_subjects(tables: Mapping[str, Shapes], named: str | None = None) -> dict[str, str]:
    """Return the subject's column of each table that has one.

    Args:
        tables: Shapes of the columns of each table.
        named: The column's name, where the user gives it.
    """
    by_flat = {table: {flat(column): column for column in shapes} for table, shapes in tables.items()}
    counted = Counter(name for columns in by_flat.values() for name in columns if name in SUBJECTS)
    if named is not None:
        main = flat(named)
    else:
        ranked = sorted(counted, key=lambda name: (name == "_member", -counted[name], SUBJECTS.index(name)))
        main = ranked[0] if ranked else _by_share(by_flat, tables)
    # a name that stands beside the main one somewhere is of something else
    others = [n for n in SUBJECTS if n in counted and not any(main in c and n in c for c in by_flat.values())]
    found = {}
    for table, columns in by_flat.items():
        name = next((one for one in (main, *others) if one in columns), None)
        if name is not None:
            found[table] = columns[name]
        elif re.search(r"^(patient|person|subject|pat)s?$", flat(table)) and "id" in columns:
            found |= {table: columns["id"]} if tables[table][columns["id"]].is_unique else {}
    return found


def _by_share(by_flat: Mapping[str, Mapping[str, str]], tables: Mapping[str, Shapes]) -> str:
    """Return the id that is in most tables; empty if none is."""
    counted = Counter(
        name
        for table, columns in by_flat.items()
        for name, column in columns.items()
        if re.search(IDS, name) and not tables[table][column].is_time
    )
    return max(counted, key=lambda name: counted[name], default="")


def stay_columns(tables: Mapping[str, Shapes], subjects: Mapping[str, str]) -> dict[str, str]:
    """Return the columns that number stays, as they are compared, each with the table that has one record of a stay."""
    found: dict[str, str] = {}
    for table, subject in subjects.items():
        for column, shape in tables[table].items():
            name = flat(column) if flat(column) != "id" else flat(table).rstrip("s")
            is_stay = column != subject and shape.is_unique and any(word in name for word in STAYS)
            elsewhere = [
                t
                for t in subjects
                if t != table and any(flat(c).removesuffix("id") == name.removesuffix("id") for c in tables[t])
            ]
            if is_stay and elsewhere and any(s.is_time for s in tables[table].values()):
                found.setdefault(name, table)
    return found


def _give_time(table: Drafted, by_name: Mapping[str, Drafted], stays: Mapping[str, str]) -> None:
    """Let a table without a time of its own take that of its stays; without one, its records tell nothing of when."""
    guess = table.guess
    says = (guess.measured, guess.traits, guess.birth, guess.death, guess.time, guess.codes)
    if table.has_events and not any(says):
        guess.kind = "other"
        guess.notes.append("has no column that says something of a subject")
    if not table.has_events or guess.time is not None:
        return
    home = by_name.get(stays.get(flat(guess.stay), "")) if guess.stay is not None else None
    if home is not None and home is not table and (home.guess.end or home.guess.time):
        table.stays = home
        guess.notes.append(f"has no time: told when its stay in `{home.name}` ends, joined by `{guess.stay}`")
    elif guess.subject is not None and not table.shapes[guess.subject].is_unique and not guess.death:
        guess.kind = "other"
        guess.unread = tuple(table.shapes)
        guess.notes.append("has several records of a subject and no time: join it to a table that has one")
    elif guess.kind == "wide" and (guess.measured or guess.traits):
        guess.notes.append("has no time: its columns are static facts, known from the first day on")
    elif guess.kind == "results":
        guess.notes.append("has no time: its codes are static facts, known from the first day on")


def _give_deaths(drafted: list[Drafted]) -> None:
    """Let one table tell deaths, where several do: one of the subjects first."""
    tell = [table for table in drafted if table.has_events and table.guess.death is not None]
    tell.sort(key=lambda table: (not table.shapes[table.guess.subject or ""].is_unique, table.guess.kind != "wide"))
    for table in tell[1:]:
        table.guess.notes.append(f"`{table.guess.death}` is not read: `{tell[0].name}` tells deaths")
        table.guess.death = None


def _give_dictionaries(drafted: list[Drafted]) -> None:
    """Let each table of codes be named by the dictionary that is nearest, by its folder and its name."""
    dictionaries = [table for table in drafted if table.guess.kind == "dictionary"]
    for table in drafted:
        table.prefix = table.name.upper()
        if table.guess.kind != "results":
            continue
        code, *version = reversed([flat(c) for c in table.guess.codes])

        def near(one: Drafted, table: Drafted = table) -> tuple[bool, float, int]:
            here = one.found.place.rpartition("/")[0] == table.found.place.rpartition("/")[0]
            bare = re.sub(r"^(d|dim|ref)_", "", one.name)
            return here, difflib.SequenceMatcher(None, bare, table.name).ratio(), -len(one.name)

        fit = [
            one
            for one in dictionaries
            if len(one.guess.codes) == len(table.guess.codes)
            and (own := flat(one.guess.codes[-1]))
            and (code == own or (own != "id" and len(own) > 2 and code.endswith(own)))
            and [flat(c) for c in one.guess.codes[:-1]] == version
        ]
        if fit:
            best = max(fit, key=near)
            best.names.append(table)
            table.guess.label = None
    for one in dictionaries:
        if not one.names:
            one.guess.kind = "other"
            one.guess.notes.append("may be a dictionary, of codes that no table has")
        elif len(one.names) > 1:
            for table in one.names:
                table.prefix = re.sub(r"^(d|dim|ref)_", "", one.name).upper()


def _whole_ids(drafted: list[Drafted]) -> dict[str, bool]:
    """Return, by name as it is compared, whether an id or a code is a whole number in every table: else it is text."""
    found: dict[str, bool] = {}
    for table in drafted:
        guess = table.guess
        for column in (
            *guess.codes,
            *([guess.stay] if guess.stay else []),
            *([guess.subject] if guess.subject else []),
        ):
            name = "subject" if column == guess.subject else flat(column)
            shape = table.shapes[column]
            whole = shape.is_whole and not shape.n_padded and (name == "subject" or name.endswith(("id", "version")))
            found[name] = found.get(name, True) and (whole or not shape.n_filled)
    for one in drafted:
        for table in one.names:  # a code and its name in the dictionary must be written alike
            for own, other in zip(one.guess.codes, table.guess.codes, strict=True):
                found[flat(own)] = found[flat(other)] = found[flat(own)] and found[flat(other)]
    return found


def _name_columns(table: Drafted, wholes: Mapping[str, bool]) -> None:
    """Choose which columns are read, by what names and as what."""
    guess = table.guess
    whole = {column: wholes[flat(column)] for column in (*guess.codes, *([guess.stay] if guess.stay else []))}
    days = [c for c in (guess.time, guess.ready, guess.end, guess.death, *guess.events, *guess.birth) if c is not None]
    if guess.kind == "results":  # such a table tells one moment of a record
        days = [c for c in days if c in (guess.time, guess.ready)]
    if guess.subject is not None and guess.kind != "other":
        table.staged[guess.subject] = "subject_id"
        table.types[guess.subject] = "int64" if wholes["subject"] else "subject"
    read = {
        **{column: "int64" if is_whole else "string" for column, is_whole in whole.items()},
        **dict.fromkeys(days, "timestamp" if guess.minutes is None else "int64" if guess.minutes else "string"),
        **dict.fromkeys(guess.birth if len(guess.birth) > 1 or not _is_day(table, guess.birth) else (), "int64"),
        **dict.fromkeys([c for c in (guess.number, *guess.measured) if c is not None], "float64"),
        **dict.fromkeys(
            [c for c in (guess.specimen, guess.text, guess.unit, guess.label, *guess.traits, *guess.late) if c],
            "string",
        ),
    }
    for column in table.shapes if guess.kind != "other" else ():
        if column in read:
            table.types[column] = read[column]
            own = (*(_OF_EVENTS if guess.kind == "wide" else ()), *(_OF_VALUE if table.of_value else ()), "minutes")
            reserved = frozenset() if column in table.of_value else reserved_words().union(own)
            name = plain(column, table.staged.values(), reserved)
            # staging has names in `_cell` itself, and SQL takes some words for functions
            table.staged[column] = f"{name}_" if name.endswith("_cell") or is_called(name) else name
    guess.unread = tuple(column for column in table.shapes if column not in table.staged)


def _is_day(table: Drafted, birth: tuple[str, ...]) -> bool:
    return len(birth) == 1 and table.shapes[birth[0]].is_time


def by_name(found: Iterable[FoundTable]) -> dict[str, FoundTable]:
    """Give each table the name of its relation; two of one name get that of their folder in front."""
    groups: dict[str, list[FoundTable]] = defaultdict(list)
    for table in found:
        groups[plain(table.name, reserved=reserved_words())].append(table)
    named: dict[str, FoundTable] = {}
    for name, alike in groups.items():
        for table in alike:
            folder = table.place.rpartition("/")[0]
            wanted = name if len(alike) == 1 else f"{folder.rpartition('/')[2]}_{name}"
            named[plain(wanted, named, reserved_words())] = table
    return named
