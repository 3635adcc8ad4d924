"""The predicates of a task as relations: one row a moment at which it holds, never a column each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from tawt.database.connect import identifier, literal
from tawt.database.parse import engine
from tawt.errors import ConfigError
from tawt.labels.language import ANY_EVENT, RECORD_END, RECORD_START, Derived, derived
from tawt.labels.rules import plain
from tawt.labels.sections import Column, Predicate, Written

CLOCKS = {"time": "time", "available_time": "case when time is not null then coalesce(available_time, time) end"}
"""Clock -> when something counts as having happened; null where it is a fact without a time."""


@dataclass
class Query:
    """A select in the making: named relations, each after those that it reads."""

    task: Written
    events: str
    """The relation of events, as it stands in `from`."""
    clock: str = "time"
    """The clock that orders a record."""
    ranged: bool = False
    """Whether it is of the subjects from `$low` to `$high` alone."""
    relations: dict[str, str] = field(default_factory=dict)
    """Name -> its select."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Plain predicate -> its number in `marks`."""

    def add(self, name: str, text: str) -> str:
        """Add a relation, once, and return its name."""
        self.relations.setdefault(name, text)
        return name

    def text(self, last: str) -> str:
        """Return the whole select."""
        named = ",\n".join(f"{name} as materialized (\n    {text}\n)" for name, text in self.relations.items())
        return f"with {named}\n{last}"


def add_events(query: Query) -> None:
    """Add the events, the moments of each record, and which codes each plain predicate is about."""
    task = query.task
    known = task.all_predicates
    query.numbers = {
        n: i for i, n in enumerate(name for name, _ in task.needed() if name in known and not known[name].expr)
    }
    columns = {"subject_id", "code", "numeric_value"} | {c for n in query.numbers for c in known[n].other_cols}
    within = "where subject_id between $low and $high" * query.ranged
    wanted = ", ".join(f"{identifier(name)}" for name in sorted(columns - {"time"}))
    query.relations["e"] = f"select {wanted}, {CLOCKS[query.clock]} as time from {query.events} {within}"
    query.add(
        "record", "select subject_id, min(time) as first, max(time) as last from e where time is not null group by 1"
    )
    query.add("moments", "select distinct subject_id, time from e where time is not null")
    if not query.numbers:
        return
    query.add("codes", "select distinct code from e")
    query.add(
        "matches",
        " union all ".join(
            f"select code, {i}::smallint as p from codes where {code_sql(name, known[name])}"
            for name, i in query.numbers.items()
        ),
    )
    query.add(
        "marks",
        "select subject_id, time, p, count(*) as n from e join matches using (code) "
        f"where {_values(query)} group by all",
    )


def absent(connection: duckdb.DuckDBPyConnection, task: Written, events: str = "events") -> list[str]:
    """Return the plain predicates that a task asks for and whose code no event has: mistyped, or of another source."""
    known = task.all_predicates
    plain_ones = [name for name, _ in task.needed() if name in known and not known[name].expr]
    if not plain_ones:
        return []
    counted = ", ".join(f"count(*) filter (where {code_sql(name, known[name])})" for name in plain_ones)
    (row,) = connection.execute(f"select {counted} from (select distinct code from {events})").fetchall()
    return [name for name, n in zip(plain_ones, row, strict=True) if not n]


def hindered(task: Written, codes: Sequence[str]) -> list[str]:
    """Return what a task cannot do without, and of which there is no code: its trigger, its label, what has to be in a
    window or ends one."""
    with closing(engine().cursor()) as connection:
        connection.register("_codes", pa.table({"code": pa.array(codes, pa.string())}))
        gone = {*absent(connection, task, "_codes")}
    known = task.all_predicates

    def comes(part: str | Derived) -> bool:
        if isinstance(part, str):
            one = known.get(part)
            return part not in gone if one is None or one.expr is None else comes(derived(one.expr))
        return (all if part.every else any)(map(comes, part.parts))

    wanted = [task.trigger, *(name for name, one in known.items() if one.static)]
    for window in task.windows.values():
        wanted += [one.predicate for one in window.bounds if one is not None and one.predicate]
        wanted += [*window.label, *(name for name, (least, _) in window.has.items() if least)]
    return [name for name in dict.fromkeys(wanted) if not comes(name)]


def code_sql(name: str, one: Predicate) -> str:
    """Return the condition that a plain predicate puts on `code`."""
    assert one.code is not None
    if one.code.any is not None:
        return f"code in ({', '.join(map(literal, one.code.any))})"
    assert one.code.regex is not None
    pattern = literal(one.code.regex)
    try:
        engine().cursor().execute(f"select regexp_matches('', {pattern})")
    except duckdb.Error:
        raise ConfigError(
            f"predicates.{name}.code.regex", "is no regular expression, expected one without look-around", "mend it"
        ) from None
    return f"regexp_matches(code, {pattern})"


def _values(query: Query) -> str:
    asked = []
    for name, i in query.numbers.items():
        one = query.task.all_predicates[name]
        held = [_equals(column, value) for column, value in one.other_cols.items()]
        # a bound is read as the number of an event was, so that 1.3 is 1.3 in both
        number = "(numeric_value::float)"
        if one.value_min is not None:
            sign = ">=" if one.value_min_inclusive else ">"
            held.append(f"{number} {sign} {one.value_min!r}::float and not isnan{number}")
        if one.value_max is not None:
            held.append(f"{number} {'<=' if one.value_max_inclusive else '<'} {one.value_max!r}::float")
        if held:
            asked.append(f"when {i} then {' and '.join(held)}")
    return f"case p {' '.join(asked)} else true end" if asked else "true"


def _equals(column: str, value: Column) -> str:
    name = identifier(column)
    if isinstance(value, bool):
        return f"try_cast({name} as boolean) is {str(value).lower()}"
    if isinstance(value, str):
        return f"{name}::varchar = {literal(value)}"
    return f"try_cast({name} as double) = {value!r}::float"


def hits(query: Query, name: str) -> str:
    """Add the relation of a predicate, `(subject_id, time, n)`, and return its name; `n` is how often it holds."""
    if name == ANY_EVENT:
        return query.add("hits_any", "select subject_id, time, 1 as n from moments")
    if name in (RECORD_START, RECORD_END):
        side = "first" if name == RECORD_START else "last"
        return query.add(f"hits_{side}", f"select subject_id, {side} as time, 1 as n from record")
    one = query.task.all_predicates[name]
    if one.static:  # whoever is left has it, at every moment
        return hits(query, ANY_EVENT)
    if one.expr is None:
        i = query.numbers[name]
        return query.add(f"hits_{i}", f"select subject_id, time, n from marks where p = {i} and time is not null")
    own = f"hits_of_{name}"
    return own if own in query.relations else _derived_hits(query, derived(one.expr), own)


def _derived_hits(query: Query, tree: Derived, name: str) -> str:
    parts = [
        hits(query, part) if isinstance(part, str) else _derived_hits(query, part, f"{name}_{i}")
        for i, part in enumerate(tree.parts)
    ]
    word = " intersect " if tree.every else " union "
    both = word.join(f"select subject_id, time from {part}" for part in parts)
    return query.add(name, f"select subject_id, time, 1 as n from ({both})")


def sums(query: Query, name: str) -> str:
    """Add how often a predicate has held up to each of its moments, `(subject_id, time, upto)`."""
    of = hits(query, name)
    return query.add(
        f"upto_{of}",
        f"select subject_id, time, sum(n) over (partition by subject_id order by time)::bigint as upto from {of}",
    )


def values(query: Query, name: str, key: str) -> str:
    """Add the values of a label predicate, `(subject_id, time, value)`, one a moment: the mean of those there."""
    numbers = ", ".join(str(query.numbers[leaf]) for leaf in plain(query.task, name, key))
    return query.add(
        f"values_{name}",
        "select subject_id, time, avg(numeric_value::double) as value from e join matches using (code) "
        f"where p in ({numbers}) and time is not null and isfinite(numeric_value) and {_values(query)} group by all",
    )
