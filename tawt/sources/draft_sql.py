"""The event parts and the dictionaries of a draft, as SQL to read and to edit."""

from __future__ import annotations

from tawt.contracts.table import OF_VALUE
from tawt.database.connect import literal
from tawt.sources.draft_moments import case_of, placed, when
from tawt.sources.drafted import MARKED, Drafted
from tawt.sources.names import plain
from tawt.sources.shapes import YES

_OF_VALUE = ", ".join(column.name for column in OF_VALUE)


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
    given += [_OF_VALUE] if table.has_value and not guess.commas else []
    if guess.commas:
        steps, source = [*steps, *_judged(table, source)], "judged"
        given += _judged_value(table)
    given += [f"{when(table, guess.ready)} as available_time, -- guessed: when it could be read"] if guess.ready else []
    given += [f"{table.column(guess.specimen)} as record_id"] if guess.specimen else []
    if guess.marked is not None:
        flags = ", ".join(map(literal, YES))
        whens.insert(0, f"when lower({table.column(guess.marked)}) in ({flags}) then 'drop:{MARKED}'")
    given += ["_row", *([f"{case_of(whens)} as _reason"] if whens else [])]
    return "\n".join([*_header(table), *_with(steps), _select(given, source)]) + "\n"


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


def code_of(table: Drafted, prefix: str | None = None) -> str:
    """Return the SQL of a record's code."""
    parts = [f"{literal((prefix or table.prefix) + '//')} || {table.column(table.guess.codes[0])}"]
    parts += [f"'//' || {table.column(column)}" for column in table.guess.codes[1:]]
    return " || ".join(parts)


def _judged(table: Drafted, source: str) -> list[str]:
    """Return the steps that judge a result whose numbers have a comma."""
    said = f"result_text(with_point({table.column(table.guess.text)})) as said"
    status = "result_status(said, null::double, null::varchar) as value_status"
    return [
        f"read as (\n    select *, {said}\n    from {source}\n)",
        f"judged as (\n    select *, {status}\n    from read\n)",
    ]


def _judged_value(table: Drafted) -> list[str]:
    return [
        "result_number(value_status, said, null::double) as numeric_value",
        "case when value_status = 'category' then said end as text_value",
        "result_as_it_came(value_status, said, null::varchar) as raw_value",
        *([f"unit_text({table.column(table.guess.unit)}) as unit"] if table.guess.unit else []),
        "value_status",
    ]


def code_of_column(table: Drafted, column: str) -> str:
    """Return the code of a column that is a measurement of its own."""
    return f"{table.prefix}//{plain(column).upper()}"


def _wide(table: Drafted) -> str:
    steps, source, time, whens = placed(table, "time")
    if table.guess.commas:
        read = ", ".join(f"number(with_point({table.column(c)})) as {table.column(c)}" for c in table.guess.commas)
        steps.append(f"numbers as (\n    select * replace ({read})\n    from {source}\n)")
        source = "numbers"
    begins = bool(time) and bool(table.guess.end or table.guess.events)
    branches = _branches(table, source, time, begins)
    steps = [*steps, "events as (\n" + "\n    union all\n".join(branches) + "\n)"]
    given = [", ".join(["subject_id", "time", "code", *_of_values(table)])]
    if tells_facts(table):
        given.append(f"{_status(table)} as value_status")
    given += ["greatest(time, begins) as available_time, -- not before what it is of began"] if begins else []
    given.append("_row")
    whens += ["when code is null then 'drop:nothing_measured'"] if not is_told_whole(table) else []
    given += [f"{case_of(whens)} as _reason"] if whens else []
    return "\n".join([*_header(table), *_with(steps), _select(given, "events")]) + "\n"


def _of_values(table: Drafted) -> list[str]:
    guess = table.guess
    return ["numeric_value"] * bool(guess.measured) + ["text_value"] * bool(guess.traits or guess.late)


def _status(table: Drafted) -> str:
    """Return the SQL of a status where rows with a value stand beside those that are facts without one."""
    words = {"numeric_value": "numeric", "text_value": "category"}
    whens = [f"when {column} is not null then '{words[column]}'" for column in _of_values(table)]
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


def _branches(table: Drafted, source: str, time: str, begins: bool) -> list[str]:
    """Return the selects whose rows are the events of a record, and last the records that have none."""
    guess = table.guess
    time = time or "null::timestamp"
    events = {c: code_of_column(table, c) for c in (*guess.events, *([guess.end] if guess.end else []))}
    found = [(time, literal(table.prefix), "null", "null", "")] if is_told_whole(table) else []
    if birth := _born(table):
        found.append((birth, "'MEDS_BIRTH'", "null", "null", f"\n    where {birth} is not null"))
    if guess.death is not None:
        where = f"\n    where {table.column(guess.death)} is not null"
        found.append((_died(table), "'MEDS_DEATH'", "null", "null", where))
    if events and guess.minutes is None:
        found.append(("time", "code", "null", "null", _unpivot(table, "time", events)))
    elif events:
        for column, code in events.items():
            where = f"\n    where {table.column(column)} is not null"
            found.append((when(table, column), literal(code), "null", "null", where))
    end = table.column(guess.end) if guess.end else ""
    for texts_of, at in ((guess.traits, time), (guess.late, when(table, guess.end))):
        if texts_of:
            named = {c: code_of_column(table, c) for c in texts_of}
            where = f"\n    where {end} is not null" if texts_of is guess.late else ""  # it would be a static fact
            found.append((at, "code", "null", "text_value", _unpivot(table, "text_value", named) + where))
    if guess.measured:
        named = {c: code_of_column(table, c) for c in guess.measured}
        found.append((time, "code", "numeric_value", "null", _unpivot(table, "numeric_value", named)))
    if not is_told_whole(table):
        found.append((time, "null", "null", "null", f"\n    where {_says_nothing(table)}"))
    columns = {"time": "timestamp", "code": "varchar", "numeric_value": "double", "text_value": "varchar"}
    kept = [name for name in columns if name in ("time", "code", *_of_values(table))]
    texts = []
    for place, (*said, rest) in enumerate(found):
        given = dict(zip(columns, said, strict=True))
        if place == 0:  # the first select names the columns for all
            typed = {name: f"null::{columns[name]}" if what == "null" else what for name, what in given.items()}
            given = {name: what if what == name else f"{what} as {name}" for name, what in typed.items()}
        parts = [given[name] for name in kept] + [time if place else f"{time} as begins"] * begins
        texts.append(f"    select _row, subject_id, {', '.join(parts)}\n    from {source}{rest}")
    return texts


def _unpivot(table: Drafted, into: str, codes: dict[str, str]) -> str:
    """Return what makes a row of each filled cell of some columns."""
    pairs = ",\n        ".join(f"{table.column(column)} as {literal(code)}" for column, code in codes.items())
    return f" unpivot ({into} for code in (\n        {pairs}\n    ))"


def _says_nothing(table: Drafted) -> str:
    guess = table.guess
    columns = [*guess.traits, *(c for c in (guess.death, *guess.events, *guess.birth[:1]) if c is not None)]
    parts = [f"coalesce({', '.join(table.column(c) for c in guess.measured)}) is null"] if guess.measured else []
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
    clock = table.shapes[column].has_clock or table.guess.minutes is not None
    return when(table, column) + ("" if clock else " + interval '23:59:59'")


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
