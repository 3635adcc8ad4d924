"""Whose the records of a drafted table are and when, as SQL: times that count from a stay, and joins to stays."""

from __future__ import annotations

from collections.abc import Sequence

from tawt.database.connect import literal
from tawt.sources.drafted import Drafted

_APART = "-- guessed: the stays of a subject begin a year apart, for nothing says when they were.\n"


def when(table: Drafted, column: str | None) -> str:
    """Return the SQL of a time, as a time of the calendar; empty where there is none."""
    if column is None:
        return ""
    name, minutes = table.column(column), table.guess.minutes
    if minutes is None:
        return name
    counted = _clock(name) if minutes == 0 else name if minutes == 1 else f"{minutes} * {name}"
    return f"{_begin(table)} + to_minutes({counted})"


def _read(table: Drafted) -> str:
    """Return the SQL of its records, days joined with the times on them."""
    days = [(day, clock) for day, clock in table.guess.clocks.items() if day in table.staged]
    joined = [f"{_of_day(table, day)} as {table.column(day)}" for day, _ in days]
    select = f"select * replace ({', '.join(joined)}) " if joined else ""
    return f"{select}from staging.{table.name}"


def _of_day(table: Drafted, column: str) -> str:
    """Return the SQL of a moment as staging has it: a day with the time on it, where another column has that."""
    clock = table.guess.clocks.get(column)
    name = table.column(column)
    return name if clock is None else f"day_and_clock({name}, {table.column(clock)})"


def _begin(table: Drafted) -> str:
    """Return the SQL of what times count from."""
    has_stays = table.owner is not None and table.owner.tells_stays
    return "stay_begins" if has_stays else "$pseudo_epoch::timestamp"


def _clock(name: str) -> str:
    return f"60 * whole(split_part({name}, ':', 1)) + whole(split_part({name}, ':', 2))"


def placed(table: Drafted, time_is: str | None = None) -> tuple[list[str], str, str, list[str]]:
    """Return the steps that give a table its subject and time, the relation to select from, the time, and when a record
    has none of them.

    Args:
        table: The table.
        time_is: What the time is called where that is asked; by default what is selected here.
    """
    guess = table.guess
    time, source, steps, whens = when(table, guess.time), f"staging.{table.name}", list[str](), list[str]()
    if table.joins is not None:
        steps, source = _joined(table), "told"
    elif table.died_in is not None:
        steps, source = _died_elsewhere(table, *table.died_in), "told"
    elif _read(table) != f"from {source}":
        steps, source = [f"records as (\n    {_read(table)}\n)"], "records"
    if table.owner is not None:
        whens.append(f"when subject_id is null then {literal(f'quarantine:{table.column(guess.stay)}:no_admission')}")
    if table.stays is not None:
        time = moment_of_stay(table.stays)
        reason = literal(
            f"quarantine:{table.column(guess.stay)}:{'no_discharge' if table.stays.lends_end else 'missing'}"
        )
        whens.append(f"when {time_is or time} is null then {reason}")
    elif table.tells_stays:
        own = table.column(guess.stay)
        steps = [f"{_APART}told as (\n    select\n        *,\n        {_begins(table, own)}\n    from {source}\n)"]
        source, time = "told", "stay_begins"
    elif guess.minutes == 0 and time:
        name = table.column(guess.time)
        steps.append(f"placed as (\n    select *, {_clock(name)} as minutes\n    from {source}\n)")
        source, time = "placed", f"{_begin(table)} + to_minutes(minutes)"
        whens.append(f"when {time_is or 'minutes'} is null then {literal(f'quarantine:{name}:unparseable')}")
    return steps, source, time, whens


def _begins(stays: Drafted, stay: str, grouped: bool = False) -> str:
    """Return the SQL of when a stay begins, where there is no calendar."""
    subject = "max(subject_id)" if grouped else "subject_id"
    orders = [f"min({stays.column(c)})" if grouped else stays.column(c) for c in stays.guess.orders]
    window = f"partition by {subject}\n            order by {', '.join([*orders, stay])}"
    nth = f"dense_rank() over (\n            {window}\n        )::integer - 1"
    return f"$pseudo_epoch::timestamp + to_years({nth}) as stay_begins"


def moment_of_stay(stays: Drafted) -> str:
    """Return what the moment is called that a table of stays gives to the records that are joined to it."""
    return "stay_end" if stays.lends_end is not None else "stay_time"


def _moment(table: Drafted, column: str | None) -> str:
    return _of_day(table, column) if column is not None and table.guess.minutes is None else when(table, column)


def _joined(table: Drafted) -> list[str]:
    """Return the steps that join the stays to the records that name them."""
    stays = table.joins
    assert stays is not None
    own, theirs = table.column(table.guess.stay), stays.column(table.joined_by)
    given = [f"{theirs} as stay"]
    if table.stays is not None:
        given.append(f"max({_moment(stays, stays.lends_time)}) as {moment_of_stay(stays)}")
    if table.ready_in is not None:
        given.append(f"max({_moment(stays, stays.guess.ready)}) as ready_at")
    if table.owner is not None:
        given.insert(0, "max(subject_id) as subject_id")
        given += [_begins(stays, theirs, grouped=True)] if stays.tells_stays else []
        group, on = f"{theirs}\n    having count(distinct subject_id) = 1", ""
        remark = "-- guessed: whose a record is, its stay says.\n"
    else:
        given.insert(0, "subject_id")
        group, on = f"subject_id, {theirs}", "stays.subject_id = records.subject_id and "
        remark = "-- A stay that is listed twice would double its records: one end of each speaks.\n"
    carried = [f"stays.{part.rpartition(' as ')[2]}" for part in given if part not in ("subject_id", given[1])]
    remark = _APART if stays.tells_stays else remark
    listed = ",\n        ".join(given)
    steps, source = _with_subject(stays)
    return [
        "-- What is named first drives: its records are counted, and its _row is carried on.\n"
        f"records as (\n    {_read(table)}\n)",
        *steps,
        f"{remark}stays as (\n    select\n        {listed}\n    from {source}\n    group by {group}\n)",
        f"told as (\n    select records.*, {', '.join(carried)}\n    from records\n"
        f"    left join stays on {on}stays.stay = records.{own}\n)",
    ]


def _with_subject(table: Drafted) -> tuple[list[str], str]:
    """Return the steps that say whose the records of a table are, and the relation that has its subject."""
    home = table.owner
    if home is None:
        return [], f"staging.{table.name}"
    steps, source = _with_subject(home)
    own, theirs = table.column(table.guess.stay), home.column(table.joined_by)
    return [
        *steps,
        f"-- guessed: whose a record of {table.name} is, {home.name} says.\n"
        f"{table.name}_of_subjects as (\n    select {table.name}.*, owners.subject_id\n    from staging.{table.name}\n"
        f"    inner join (\n        select max(subject_id) as subject_id, {theirs} as stay\n        from {source}\n"
        f"        group by {theirs}\n        having count(distinct subject_id) = 1\n"
        f"    ) as owners on owners.stay = {table.name}.{own}\n)",
    ], f"{table.name}_of_subjects"


def _died_elsewhere(table: Drafted, home: Drafted, column: str) -> list[str]:
    """Return the steps that give each record the moment of a death, where another table has it."""
    return [
        f"-- What is named first drives: its records are counted, and its _row is carried on.\n"
        f"records as (\n    {_read(table)}\n)",
        f"-- guessed: the moment of a death of which {table.name} has the day.\n"
        f"deaths as (\n    select subject_id, max({_of_day(home, column)}) as died_at\n    from staging.{home.name}\n"
        f"    group by subject_id\n)",
        "told as (\n    select records.*, died_at\n    from records\n"
        "    left join deaths on deaths.subject_id = records.subject_id\n)",
    ]


def case_of(whens: Sequence[str]) -> str:
    """Return the SQL of a reason: null but in some cases."""
    if len(whens) == 1:
        return f"case {whens[0]} end"
    return "case\n" + "\n".join(f"        {one}" for one in whens) + "\n    end"
