"""How the tables of a folder hang together: whose records they are, which names codes, which ends a stay."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tawt.raw.cells import Cells
from tawt.raw.found import FoundTable
from tawt.sources.centuries import settle_births
from tawt.sources.dictionaries import give_dictionaries, named_columns
from tawt.sources.drafted import Drafted, reserved_words
from tawt.sources.guess import guess_dictionary, guess_table
from tawt.sources.guess_codes import take_sodium
from tawt.sources.guess_columns import keep_what_was_so
from tawt.sources.ids import whole_ids
from tawt.sources.names import DERIVED, PARENTS, flat, plain
from tawt.sources.odd_times import said_of
from tawt.sources.roles import Guess, Shapes
from tawt.sources.subjects import Whose, stay_name
from tawt.sources.times import is_day, note_times, why_untimed


class Looked(NamedTuple):
    """A table that was looked at."""

    found: FoundTable
    shapes: Shapes
    is_cut: bool
    """Whether it has more records than that."""


def look_at(tables: Mapping[str, Looked], whose: Whose, cells: Cells) -> list[Drafted]:
    """Guess what each table is, and how they hang together.

    Args:
        tables: Every table, by the name of its relation.
        whose: Whose their records are.
        cells: Reads them.
    """
    for one in tables.values():
        take_sodium(one.shapes)
    bare = {name: one.shapes for name, one in tables.items() if name not in whose.columns and name not in whose.owners}
    dictionaries = [
        (shapes, guess) for shapes in bare.values() if (guess := guess_dictionary(shapes)).kind == "dictionary"
    ]
    drafted = []
    for name, (found, shapes, is_cut) in tables.items():
        owned = whose.owners[name][0] if name in whose.owners else None
        of_stays = dict((*whose.stays.values(), *(owner[1:] for owner in whose.owners.values())))
        stay = owned or of_stays.get(name) or next((c for c in shapes if _stay(name, c) in whose.stays), None)
        guess = guess_table(
            name, shapes, whose.columns.get(name), stay, has_owner=owned is not None,
            is_of_stays=name in of_stays and owned is None,
            named=named_columns(shapes, dictionaries) if name not in bare else (),
        )  # fmt: skip
        drafted.append(Drafted(name, found, shapes, guess, is_cut))
    by_name = {table.name: table for table in drafted}
    for name, (_, home, own) in whose.owners.items():
        _give_owner(by_name[name], by_name[home], own)
    counted = any(table.guess.minutes is not None for table in drafted)
    for table in drafted:
        _give_time(table, by_name, whose.stays, counted)
        _give_ready(table, drafted)
        _put_off(table)
    _keep_links(drafted, whose)
    _give_deaths(drafted)
    for table in drafted:
        if table.has_events:
            note_times(table.shapes, table.guess, table.ready_in is not None)
    give_dictionaries(drafted)
    beside = [t.shapes[c].numerals for t in drafted for c in (t.guess.number, t.guess.text, *t.guess.measured) if c]
    for table in drafted:
        table.give_signs(beside)
    wholes = whole_ids(drafted, cells)
    settle_births(drafted, cells)
    for table in drafted:
        table.name_columns(wholes)
    return drafted


def _stay(table: str, column: str) -> str:
    return stay_name(table, column) if flat(column) != "id" else ""


def _give_owner(table: Drafted, owner: Drafted, own: str) -> None:
    """Let a table that names only stays take its subjects from the table of the stays, and where to put its times."""
    table.owner = owner
    table.join(owner, own)
    if table.guess.minutes is None or owner.tells_stays:
        return
    if owner.owner is not None:
        table.leave_out(
            f"its times count from a stay, to which only {owner.name} leads: give it the column of the stay"
        )
        return
    owner.tells_stays = True
    guess = owner.guess
    guess.orders = tuple(
        column
        for pattern in (r"year|jahr", r"visitn|nr$|number|seq")
        for column, shape in owner.shapes.items()
        if re.search(pattern, flat(column)) and shape.is_whole and column != guess.stay
    )
    guess.orders = tuple(dict.fromkeys(guess.orders))
    told = f", after {', '.join(f'`{column}`' for column in guess.orders)}" if guess.orders else ""
    guess.notes.append(
        f"UNDECIDED: nothing says how long after one another the stays of a subject were{told}: the draft puts them "
        f"a year apart, in the order of {'these' if guess.orders else f'`{guess.stay}`'}"
    )


def _keep_links(drafted: Sequence[Drafted], whose: Whose) -> None:
    """Keep, of a table that tells nothing itself, what says whose the records of others are."""
    for table in drafted:
        home, by = (table.owner, table.joined_by) if table.has_events else (None, None)
        while home is not None and by is not None:
            if home.guess.kind == "other":
                stay = whose.owners[home.name][0] if home.owner is not None else None
                says = ["tells nothing itself: it is read for whose the records of other tables are"]
                home.guess = Guess("link", home.guess.subject, stay=stay, keys=(by,), notes=says)
            below = home
            home, by = below.owner, below.joined_by


def _put_off(table: Drafted) -> None:
    """Let a table that is made from others make no events: they would be told twice."""
    is_of_omop = "cohortdefinitionid" in map(flat, table.shapes)
    if table.has_events and (re.search(DERIVED, table.name) or is_of_omop):
        table.off = "derived from other tables, it would tell their records again"
        table.guess.notes.append(f"off in the pipeline: {table.off}")
    elif "derived" in table.found.place.lower().split("/")[:-1]:
        table.guess.notes.append("in a folder `derived`: may tell again what other tables tell")


def _give_time(
    table: Drafted, by_name: Mapping[str, Drafted], stays: Mapping[str, tuple[str, str]], counted: bool
) -> None:
    """Let a table without a time of its own take that of its stays; without one, its records tell nothing of when."""
    guess = table.guess
    says = (guess.measured, guess.traits, guess.birth, guess.death, guess.time, guess.codes)
    if table.has_events and not any(says):
        table.leave_out("no column says something of a subject")
    if not table.has_events or guess.time is not None or guess.lasts:
        return
    # where the home of its stays is another than the one that says whose they are, that one tells when, too
    name, own = stays.get(stay_name(table.name, guess.stay), ("", "")) if guess.stay is not None else ("", "")
    home, own = (table.owner, table.joined_by or "") if table.owner is not None else (by_name.get(name), own)
    if table.tells_stays:
        guess.notes.append("has no time: its columns are told when its stay begins")
        keep_what_was_so(guess, counted=True)
    elif home is not None and home is not table and home.lends_time is not None:
        table.stays = home
        table.join(home, own)
        ends = home.lends_end and home.owner is None
        told = f"when its stay in `{home.name}` ends" if ends else f"at `{home.lends_time}` of `{home.name}`"
        guess.notes.append(f"has no time: told {told}, joined by `{guess.stay}`")
        if home.lends_end is None and home.guess.ready is None and guess.ready is None:
            guess.notes.append(
                f"UNDECIDED: nothing says when its records could be read: taken as known at `{home.guess.time}` already"
            )
    elif guess.kind == "results" or (table.owner is not None or not (table.is_once or guess.death)):
        asked = home is not None and home is not table and home.guess.time
        only = f"`{asked}` is when they were begun or asked for, and " if asked else ""
        odd = {column: shape.unread_time for column, shape in table.shapes.items() if shape.unread_time}
        advice = (
            f"{untimed}; join it to a table that has one"
            if (untimed := why_untimed(table.shapes))
            else ("join it to a table that has one")
        )
        if odd:
            advice = (
                f"{said_of(odd)} may be one in a form that is not known: write it as `2024-03-01 08:30`, or read it "
                "with a `format` in the contract"
            )
        table.leave_out(f"{only}no time says when its records were known: {advice}")
    elif guess.measured or guess.traits:
        keep_what_was_so(guess, counted)
        if not (guess.measured or guess.traits or guess.birth or guess.death or guess.events):
            table.leave_out("no column says something of a subject that was so from the start", guess.notes)
        elif guess.measured or guess.traits:
            guess.notes.append(f"has no time: told as so from the first day on: {', '.join(_told_always(table))}")


def _give_ready(table: Drafted, drafted: Sequence[Drafted]) -> None:
    """Let the table that its records belong to say when they could be read, where they do not say it themselves."""
    guess = table.guess
    if not table.has_events or guess.is_stay:
        return
    if guess.ready is not None and guess.time is None and table.stays is None:
        guess.ready = None  # it says when what was always so was written
    elif guess.ready is None and (guess.time or table.stays) and guess.minutes is None:
        homes = [(table.joins, guess.stay, table.joined_by)] if table.joins is not None else _belongs_to(table, drafted)
        for home, stay, own in homes:
            if home is not None and home is table.stays and home.lends_time == home.guess.ready:
                return  # it is told then
            if home is not None and home.guess.ready is not None and not home.guess.is_stay:
                guess.stay = stay
                table.ready_in = home
                table.join(home, own or "")
                guess.notes.append(f"could be read at `{home.guess.ready}` of `{home.name}`, joined by `{stay}`")
                return


def _belongs_to(table: Drafted, drafted: Sequence[Drafted]) -> Iterator[tuple[Drafted, str, str]]:
    """Yield the specimens, orders or reports that the records of a table name, with the columns by which they do."""
    for home in drafted:
        for own, shape in (
            home.shapes.items() if home is not table and home.guess.subject and table.guess.subject else ()
        ):
            if own != home.guess.subject and shape.is_unique and re.search(PARENTS, flat(own)):
                for column, cells in table.shapes.items():
                    if flat(column) == flat(own) and cells.part_in(shape) >= 0.5:
                        yield home, column, own


def _told_always(table: Drafted) -> list[str]:
    return [f"`{column}`" for column in (*table.guess.measured, *table.guess.traits)]


def _give_deaths(drafted: list[Drafted]) -> None:
    """Let one table tell deaths, where several do: one of the subjects; if it has days, another may lend moments."""
    tell = [table for table in drafted if table.has_events and table.guess.death is not None]
    tell.sort(key=lambda table: (not table.is_once, table.guess.kind != "wide"))
    for table in tell[1:]:
        first, death = tell[0], table.guess.death
        assert death is not None
        table.guess.death = None
        has_days = is_day(first.shapes, first.guess, first.guess.death) and not first.is_counted and first.joins is None
        if has_days and first.died_in is None and not is_day(table.shapes, table.guess, death) and table.guess.subject:
            first.died_in, table.guess.lends = (table, death), (*table.guess.lends, death)
            table.guess.notes.append(f"`{death}` gives the moment of deaths of which `{first.name}` has the day")
        else:
            table.guess.notes.append(f"`{death}` is not read: `{first.name}` tells deaths")


def by_name(found: Iterable[FoundTable]) -> dict[str, FoundTable]:
    """Give each table the name of its relation; two of one name get that of their folder in front."""
    groups: dict[str, list[FoundTable]] = defaultdict(list)
    reserved = reserved_words() | {"raw"}  # SQL takes `raw.raw` for the layer
    for table in found:
        groups[plain(table.name, reserved=reserved)].append(table)
    named: dict[str, FoundTable] = {}
    for name, alike in groups.items():
        for table in alike:
            folder = table.place.rpartition("/")[0]
            wanted = name if len(alike) == 1 else f"{folder.rpartition('/')[2]}_{name}"
            named[plain(wanted, named, reserved)] = table
    return named
