"""The event parts and the dictionaries of a draft, as SQL to read and to edit."""

from __future__ import annotations

import re

from tawt.contracts.table import OF_VALUE
from tawt.database.connect import literal
from tawt.sources.draft_moments import case_of, placed, when
from tawt.sources.draft_wide import (
    branches,
    code_of,
    is_told_whole,
    of_values,
    status_of,
    tells_facts,
    unit_of,
    what_it_is_of,
)
from tawt.sources.drafted import Drafted
from tawt.sources.names import OPERATOR, SIDES, flat
from tawt.sources.times import is_day


def event_part(table: Drafted) -> str:
    """Return the event part of a table."""
    if table.guess.kind == "wide":
        return _wide(table)
    guess = table.guess
    steps, source, time, whens = placed(table)
    given = [
        "subject_id",
        f"{time} as time, -- guessed" if time else "null::timestamp as time, -- guessed: a static fact",
    ]
    given.append(f"{code_of(table)} as code, -- guessed: what the record is of")
    given += _values(table) if table.has_value else []
    known = _known(table, time)
    given += [f"{known} as available_time, -- guessed: when it could be read"] if known else []
    given += [f"{_identity(table)} as record_id"] if guess.identity else []
    whens = [*(f"when {what} then 'drop:{reason}'" for what, reason in table.marks().values()), *whens]
    if guess.instead is not None:
        reason = literal(f"quarantine:{table.column(guess.instead)}:missing")
        whens.append(f"when {what_it_is_of(table)} is null then {reason}")
    given += ["_row", *([f"{case_of(whens)} as _reason"] if whens else [])]
    return "\n".join([*_header(table), *_with(steps), _select(given, source)]) + "\n"


def _wide(table: Drafted) -> str:
    guess = table.guess
    steps, source, time, whens = placed(table, "time")
    carried = {"record_id": _identity(table)} if guess.identity else {}
    carried |= {said: what for said, (what, _) in table.marks().items()}
    if carried:
        made = "".join(f",\n        {what} as {name}" for name, what in carried.items())
        steps.append(f"read as (\n    select\n        *{made}\n    from {source}\n)")
        source = "read"
    begins = {"begins": time} if time and (guess.end or guess.events) else {}
    ready = _ready(table)
    readable = {"readable": ready} if ready else {}
    selects = branches(table, source, time, begins | readable | dict.fromkeys(carried, ""))
    steps = [*steps, "events as (\n" + "\n    union all\n".join(selects) + "\n)"]
    given = [", ".join(["subject_id", "time", "code", *of_values(table)])]
    if unit := unit_of(table):
        given.append(f"{unit}, -- guessed: as the names of the columns say")
    if tells_facts(table):
        given.append(f"{status_of(table)} as value_status")
    known = "greatest(time, begins)" if begins else "time"
    days = (guess.time, guess.end, *guess.events, *guess.lasts)
    known = f"end_of_day({known})" if _tells_days(table, *days) else known
    if ready:
        timed = f" else {known}" if known.startswith("end_of_day") else ""
        known = f"case when readable is not null then greatest({known if begins else 'time'}, readable){timed} end"
        given.append(f"{known} as available_time, -- guessed: when it could be read")
    elif known != "time":
        given.append(
            f"{known} as available_time, -- guessed: not before what it is of began, nor before its day is over"
        )
    given += ["record_id"] * bool(guess.identity) + ["_row"]
    whens = [*(f"when {said} then 'drop:{reason}'" for said, (_, reason) in table.marks().items()), *whens]
    whens += ["when code is null then 'drop:nothing_measured'"] if not is_told_whole(table) else []
    given += [f"{case_of(whens)} as _reason"] if whens else []
    return "\n".join([*_header(table), *_with(steps), _select(given, "events")]) + "\n"


def _values(table: Drafted) -> list[str]:
    """Return the SQL of a result: what says beside a number that it is a bound is heard."""
    names = [column.name for column in OF_VALUE]
    if table.guess.side is None:
        return [", ".join(names)]
    side, by_number = table.guess.side, re.search(OPERATOR, flat(table.guess.side)) is not None
    known = {end: [s for s, to in SIDES.items() if to == end and s.isdigit() is by_number] for end in ("low", "high")}
    whens = "".join(
        f"\n        when value_status = 'numeric' and lower({table.column(side)}) in ({', '.join(map(literal, signs))})"
        f"\n        then 'censored_{end}'"
        for end, signs in known.items()
    )
    names.remove("value_status")
    return [", ".join(names), f"case{whens}\n        else value_status\n    end as value_status, -- guessed: a bound"]


def _known(table: Drafted, time: str) -> str:
    """Return the SQL of when a result could be read; empty where that is when it happened."""
    timed, ready = f"end_of_day({time})" if _tells_days(table, table.guess.time) else "", _ready(table)
    return f"coalesce({ready}, {timed})" if timed and ready else ready or timed


def _ready(table: Drafted) -> str:
    """Return the SQL of when a record could be read, as its table or the one that it belongs to says; or nothing."""
    home = table if table.ready_in is None else table.ready_in
    if home.guess.ready is None:
        return ""
    ready = when(table, table.guess.ready) if home is table else "ready_at"
    return f"end_of_day({ready})" if is_day(home.shapes, home.guess, home.guess.ready) else ready


def _tells_days(table: Drafted, *columns: str | None) -> bool:
    """Whether some of these times, or that of the stay by which it is told, are days."""
    home = table.stays
    of_home = home is not None and is_day(home.shapes, home.guess, home.lends_time)
    return of_home or any(is_day(table.shapes, table.guess, column) for column in columns)


def _identity(table: Drafted) -> str:
    """Return the SQL of what tells apart records that are otherwise alike."""
    names = [table.column(column) for column in table.guess.identity]
    between = ", '//', "
    is_text = table.types[table.guess.identity[0]] == "string"
    return names[0] if len(names) == 1 and is_text else f"concat({between.join(names)})"


def codes(table: Drafted, of: list[Drafted]) -> str:
    """Return the stage that says what codes mean: of a dictionary, or of a table that names its codes itself."""
    guess = table.guess
    label = table.column(guess.label)
    keys = ", ".join(table.column(c) for c in guess.codes)
    names = sorted(one.name for one in of)
    text = [
        f"-- One row is the meaning of one code of {', '.join(names[:-1])}{' and ' * (len(names) > 1)}{names[-1]}.",
        f"-- guessed: `{label}` names a code in words",
        "",
        "with numbered as (",
        f"    select *, row_number() over (partition by {keys} order by _row) as nth",
        f"    from staging.{table.name}",
        ")",
        "",
        "select",
        f"    {code_of(table, of[0].prefix)} as code,",
        f"    {label} as description,",
        "    _row,",
        "    case when nth > 1 then 'drop:listed_before' end as _reason",
        "from numbered",
    ]
    return "\n".join(text) + "\n"


def _header(table: Drafted) -> list[str]:
    row = "one record" if table.guess.kind == "results" else "one measurement in a record"
    return [
        f"-- One row is {row} of {table.name}.",
        "-- guessed: hold it to the manual of the source, and name that here",
        "",
    ]


def _with(steps: list[str]) -> list[str]:
    """Return the steps in front of a select, each with the comment that says what it is for."""
    texts = []
    for place, step in enumerate(steps):
        comment, _, rest = step.partition("\n") if step.startswith("--") else ("", "", step)
        texts.append((f"{comment}\n" if comment else "") + ("with " if place == 0 else "") + rest)
    return [",\n\n".join(texts), ""] if texts else []


def _select(given: list[str], source: str) -> str:
    """Return the last projection; a mark of a guess stands behind its comma."""
    lines = []
    for place, item in enumerate(given):
        what, dash, mark = item.partition(", -- ")
        comma = "," if place < len(given) - 1 else ""
        lines.append(f"    {what}{comma}" + (f"  -- {mark}" if dash else ""))
    return "select\n" + "\n".join(lines) + f"\nfrom {source}"
