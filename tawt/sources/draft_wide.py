"""The events of a table that has a measurement per column, as SQL: begin and end, birth, death, values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tawt.database.connect import literal
from tawt.sources.draft_moments import when
from tawt.sources.drafted import Drafted
from tawt.sources.names import plain


def code_of(table: Drafted, prefix: str | None = None) -> str:
    """Return the SQL of a record's code."""
    versions = [table.column(column) for column in table.guess.codes[:-1]]
    return f"{literal(f'{prefix or table.prefix}//')} || " + " || '//' || ".join([*versions, what_it_is_of(table)])


def what_it_is_of(table: Drafted) -> str:
    """Return the SQL of what a record is of: its code, or a name in words where that is 0 or empty."""
    code = table.column(table.guess.codes[-1])
    if table.guess.instead is None:
        return code
    text = code if table.types[table.guess.codes[-1]] == "string" else f"{code}::varchar"
    return f"case when ltrim({text}, '0') <> '' then {text} else {table.column(table.guess.instead)} end"


def code_of_column(table: Drafted, column: str) -> str:
    """Return the code of a column that is a measurement of its own."""
    return f"{table.name.upper()}//{plain(column).upper()}"


def of_values(table: Drafted) -> list[str]:
    """Return the names of the values that its events carry."""
    return ["numeric_value"] * bool(table.guess.measured) + ["text_value"] * bool(table.guess.traits)


def unit_of(table: Drafted) -> str:
    """Return the SQL of a number's unit, as the names of the columns say it; empty where none does."""
    codes: dict[str, list[str]] = {}
    for column in table.guess.measured:
        if (unit := table.guess.units.get(column)) is not None:
            codes.setdefault(unit, []).append(literal(code_of_column(table, column)))
    whens = [f"\n        when code in ({', '.join(listed)}) then {literal(unit)}" for unit, listed in codes.items()]
    return f"case{''.join(whens)}\n    end as unit" if whens else ""


def status_of(table: Drafted) -> str:
    """Return the SQL of a status where rows with a value stand beside those that are facts without one."""
    words = {"numeric_value": "numeric", "text_value": "category"}
    whens = [f"when {column} is not null then '{words[column]}'" for column in of_values(table)]
    return f"case {' '.join(whens)} else 'none' end" if whens else "'none'"


def tells_facts(table: Drafted) -> bool:
    """Whether some of its events carry no value: the beginning or the end of a stay, a birth, a death."""
    guess = table.guess
    return is_told_whole(table) or bool(guess.birth or guess.death or guess.end or guess.events)


def is_told_whole(table: Drafted) -> bool:
    """Whether each record of a table of columns is an event itself, as the beginning of a stay is."""
    guess = table.guess
    has_time = guess.time is not None or table.stays is not None or table.tells_stays
    return has_time and bool(guess.end or table.tells_stays or not (guess.measured or guess.traits))


class _Branch(NamedTuple):
    """One of the selects whose rows are the events of a record."""

    time: str
    code: str = "code"
    number: str = "null"
    text: str = "null"
    rest: str = ""
    is_late: bool = False
    """Whether it is known at the end of the record."""


def branches(table: Drafted, source: str, time: str, carried: Mapping[str, str]) -> list[str]:
    """Return the selects whose rows are the events of a record, and last the records that have none.

    Args:
        table: The table.
        source: What they select from.
        time: When a record happened.
        carried: What each row has besides, by name; empty = it is called so already.
    """
    guess, time = table.guess, time or "null::timestamp"
    at_end = _at_end(table)
    found = [_Branch(time, literal(table.name.upper()))] if is_told_whole(table) else []
    if birth := _born(table):
        found.append(_Branch(birth, "'MEDS_BIRTH'", rest=f"\n    where {birth} is not null"))
    if guess.death is not None:
        found.append(_Branch(_died(table), "'MEDS_DEATH'", rest=f"\n    where {_died(table)} is not null"))
    events = {c: code_of_column(table, c) for c in (*guess.events, *([guess.end] if guess.end else []))}
    if events and guess.minutes is None:
        found.append(_Branch("time", rest=_unpivot(table, "time", events)))
    elif events:
        found += [
            _Branch(when(table, column), literal(code), rest=f"\n    where {table.column(column)} is not null")
            for column, code in events.items()
        ]
    for late in (False, True):
        at, where = (at_end, f"\n    where {at_end} is not null") if late else (time, "")  # it would be a static fact
        texts, numbers = (
            {c: code_of_column(table, c) for c in columns if (c in guess.late) is late}
            for columns in (guess.traits, guess.measured)
        )
        if guess.codes and (guess.codes[-1] in guess.late or guess.time is None) is late:
            filled = f"{'and' if late else 'where'} {table.column(guess.codes[-1])} is not null"
            found.append(_Branch(at, code_of(table), rest=f"{where}\n    {' ' * 4 * late}{filled}", is_late=late))
        if texts:
            rest = _unpivot(table, "text_value", texts) + where
            found.append(_Branch(at, text="text_value", rest=rest, is_late=late))
        if numbers:
            rest = _unpivot(table, "numeric_value", numbers) + where
            found.append(_Branch(at, number="numeric_value", rest=rest, is_late=late))
    if not is_told_whole(table):
        found.append(_Branch(time, "null", rest=f"\n    where {_says_nothing(table)}"))
    types = {"time": "timestamp", "code": "varchar", "numeric_value": "double", "text_value": "varchar"}
    kept = [name for name in types if name in ("time", "code", *of_values(table))]
    selects = []
    for place, branch in enumerate(found):
        given = dict(zip(types, branch[:4], strict=True))
        if place == 0:  # the first select names the columns for all
            typed = {name: f"null::{types[name]}" if what == "null" else what for name, what in given.items()}
            given = {name: what if what == name else f"{what} as {name}" for name, what in typed.items()}
        of_it = (
            {**carried, "readable": branch.time}
            if "readable" in carried and guess.is_stay and not branch.is_late
            else carried
        )
        more = [name if not what else what if place else f"{what} as {name}" for name, what in of_it.items()]
        listed = ", ".join(["_row", "subject_id", *(given[name] for name in kept), *more])
        selects.append(f"    select {listed}\n    from {source}{branch.rest}")
    return selects


def _unpivot(table: Drafted, into: str, codes: dict[str, str]) -> str:
    """Return what makes a row of each filled cell of some columns."""
    pairs = ",\n        ".join(f"{table.column(column)} as {literal(code)}" for column, code in codes.items())
    return f" unpivot ({into} for code in (\n        {pairs}\n    ))"


def _at_end(table: Drafted) -> str:
    """Return the SQL of when is told what is known at the end of a record."""
    guess = table.guess
    if guess.lasts:
        lasts = ", ".join(table.column(column) for column in guess.lasts)
        return f"greatest({lasts})" if guess.lasts[1:] else lasts
    return _died(table) if guess.death is not None and guess.time is None else when(table, guess.end)


def _says_nothing(table: Drafted) -> str:
    guess = table.guess
    of_lasts = guess.late if guess.lasts else ()
    measured = [c for c in guess.measured if c not in of_lasts]
    columns = [*(c for c in guess.traits if c not in of_lasts), *guess.events, *guess.birth[:1]]
    parts = [f"coalesce({', '.join(table.column(c) for c in measured)}) is null"] if measured else []
    if of_lasts:
        lost = " and ".join(f"{table.column(column)} is null" for column in of_lasts)
        parts.append(f"({_at_end(table)} is null or ({lost}))")
    parts += [f"{_died(table)} is null"] if guess.death is not None else []
    return "\n        and ".join([*parts, *(f"{table.column(column)} is null" for column in columns)])


def _born(table: Drafted) -> str:
    """Return the SQL of a birth."""
    birth = table.guess.birth
    names = [table.column(column) for column in birth]
    if len(names) == 3:
        year, month, day = names
        return f"make_timestamp({year}, coalesce({month}, 1), 1, 0, 0, 0) + to_days(coalesce({day}, 1) - 1)"
    if len(names) == 2:
        return f"make_timestamp({names[1]} - {names[0]}, 1, 1, 0, 0, 0)"
    if names and table.types[birth[0]] == "int64":
        return f"make_timestamp({names[0]}, 1, 1, 0, 0, 0)"
    return names[0] if names else ""


def _died(table: Drafted) -> str:
    """Return the SQL of a death: one that is known by its day alone counts from the end of the day."""
    column = table.guess.death
    assert column is not None
    day = when(table, column)
    day = day if table.guess.minutes is not None else f"end_of_day({day})"
    return f"coalesce(died_at, {day})" if table.died_in is not None else day
