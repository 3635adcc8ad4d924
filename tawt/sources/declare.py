"""A declared raw table -> the select that stages it, as text to read, print and edit, and the contract of that.

Three levels, so that each cell is read once: `read` reads, `judged` names the status of a value, the last one gives the
columns. A cell that is asked about again, should nothing have been read from it, goes along as `NAME_cell`.
"""

from __future__ import annotations

from functools import cache

from tawt.contracts.contract import Column, Contract
from tawt.contracts.raw_column import RawColumn, has_short_year
from tawt.contracts.reasons import FAULTS
from tawt.contracts.table import OF_VALUE, Table
from tawt.contracts.types import TYPES
from tawt.database.catalog import is_called
from tawt.database.connect import identifier, literal
from tawt.database.parse import parse, words
from tawt.errors import ContractError
from tawt.shell import command

_TIMES = ("$earliest_time::timestamp", "$latest_time::timestamp")
_DAYS = ("$earliest_time::date", "$latest_time::date")


def staging_contract(table: Table) -> Contract:
    """Return what the declared staging of a table promises."""
    plain = {column.name: column.plain for column in table.columns}
    columns = [
        Column(name=c.plain, type=c.type, nullable=c.nullable, unit=c.unit, description=c.description)
        for c in table.staged
    ]
    return Contract(
        name=f"staging.{table.table}", description=table.description,
        grain=tuple(plain.get(name, name) for name in table.grain),
        columns=(*columns, *(OF_VALUE if table.value is not None else ())),
    )  # fmt: skip


def staging_select(table: Table, place: str) -> str:
    """Return the select that stages a table.

    Args:
        table: What the table is.
        place: Where that is said, for the header.

    Raises:
        ContractError: A column has a name in staging that SQL reads as a function.
    """
    for column in table.staged:
        if is_called(column.plain.lower()):
            raise ContractError(
                place, f"names a column `{column.plain}`, which SQL reads as a function, expected another name",
                "give it one: `as: NAME`",
            )  # fmt: skip
    read = ["_row", *(part for column in table.staged for part in _read(table, column))]
    given = [_given(column) for column in table.staged]
    steps = [("read", read, f"raw.{plain_name(table.table)}")]
    if table.value is not None:
        read += _read_value(table)
        asked = "said, counted, counted_cell" + (", unit" if table.value.unit else "")
        steps.append(("judged", ["*", f"result_status({asked}) as value_status"], "read"))
        given += [
            "result_number(value_status, said, counted) as numeric_value",
            "case when value_status = 'category' then said end as text_value",
            "result_as_it_came(value_status, said, counted_cell) as raw_value",
            "result_unit(value_status, said, unit) as unit",
            "value_status",
        ]
    keys = [_fault("key_fault", c) if not c.nullable else _bad_key(c) for c in table.staged if c.key]
    faults = [_fault("cell_fault", c) for c in table.staged if not c.key and _may_fail(c)]
    faults += [_clock_fault(c) for c in table.staged if TYPES[c.type].macro == "calendar_day"]
    if table.value is not None and table.value.text and table.value.number:
        told = literal(f"{table.value.text}:contradicted")
        faults.append(f"case when contradicts(said, counted, counted_cell) then {told} end")
    given += ["_row", f"{_first(keys)} as _reason"]
    given += [f"{_all(faults)} as {FAULTS}"] if faults else []
    lines = [f"-- {' '.join(table.description.split())}"]
    lines += [f"-- source: {' '.join(table.source.split())}"] if table.source else []
    lines += [
        f"-- made from {place}; `{command('sql', f'staging.{table.table}')} --write` makes a file of it to edit",
        "",
    ]
    withs = [f"{step} as (\n{_indented(_select(what, source))}\n)" for step, what, source in steps]
    return "\n".join([*lines, "with " + ",\n\n".join(withs), "", _select(given, steps[-1][0])]) + "\n"


@cache
def plain_name(word: str) -> str:
    """Return a name as SQL writes it: in quotes where it must be."""
    simple = word.isascii() and word.islower() and word.replace("_", "a").isalnum() and not word[0].isdigit()
    if simple and word not in words():
        return word
    tree = parse(f"select {word} from t") if simple else None
    one = tree["statements"][0]["node"]["select_list"][0] if tree is not None else {}
    return word if one.get("column_names") == [word] else identifier(word)


def _read(table: Table, column: RawColumn) -> list[str]:
    """Return how a column is read, and its cell where that is asked about again."""
    cell, plain = _named(table, column), plain_name(column.plain)
    macro = TYPES[column.type].macro
    read = _call(macro, column, _pointed(column, cell)) if macro is not None else cell
    parts = [f"{read} as {plain}" if read != plain else plain]
    return [*parts, f"{cell} as {_cell(column)}"] if column.key or _may_fail(column) else parts


def _call(macro: str, column: RawColumn, cell: str) -> str:
    """Return the call that reads a cell of a column."""
    zone = ", $zone" if TYPES[column.type].is_time else ""
    if not column.format:
        return f"{macro}({cell}{zone})"
    # first the forms with two digits, which match no year of four
    short = [form for form in column.format if has_short_year(form)]
    calls = []
    for forms in (short, [form for form in column.format if form not in short]):
        call = f"{macro}_as({cell}, [{', '.join(map(literal, forms))}]{zone})"
        if forms:
            calls.append(_in_century(column, call) if forms is short else call)
    return calls[0] if len(calls) == 1 else f"coalesce({', '.join(calls)})"


def _in_century(column: RawColumn, call: str) -> str:
    """Return what reads years of two digits, as one of the hundred years up to the last that can be."""
    type_ = TYPES[column.type]
    read = f"in_century({call}, timestamp {literal(_last_moment(column))})"
    return f"{read}::{type_.sql}" if type_.macro != "moment" else read


def _last_moment(column: RawColumn) -> str:
    """Return the last time that can be: a day means all of it."""
    high = str(column.high)
    return high if ":" in high else f"{high} 23:59:59.999999"


def _pointed(column: RawColumn, cell: str) -> str:
    """Return the SQL of a cell whose number has a point before its decimals and no other sign."""
    if column.signs is None:
        return cell
    decimal, thousands = map(literal, column.signs)
    return f"with_point({cell}, decimal := {decimal}, thousands := {thousands})"


def _named(table: Table, column: RawColumn) -> str:
    """Return a column by its name in the files, with its relation where the name alone would be a function."""
    own = plain_name(column.name)
    return f"raw.{plain_name(table.table)}.{identifier(column.name)}" if is_called(column.name.lower()) else own


def _cell(column: RawColumn) -> str:
    return plain_name(f"{column.plain}_cell")


def _may_fail(column: RawColumn) -> bool:
    """Return whether something can stand in a cell of which nothing is read."""
    return TYPES[column.type].macro not in (None, "words")


def _bounds(column: RawColumn) -> list[str]:
    """Return the bounds of what can be, each with its word, as arguments."""
    type_ = TYPES[column.type]
    usual = (_TIMES if type_.macro == "moment" else _DAYS) if type_.is_time else (type_.smallest, type_.largest)
    bounds = []
    for word, own, other in (("low", column.low, usual[0]), ("high", column.high, usual[1])):
        if own is not None and type_.is_time:
            whole_day = word == "high" and type_.macro == "moment"
            bounds.append(f"{word} := {type_.sql} {literal(_last_moment(column) if whole_day else str(own))}")
        elif own is not None or other is not None:
            bounds.append(f"{word} := {own if own is not None else other}")
    return bounds


def _given(column: RawColumn) -> str:
    """Return a column as it is given: without what lies outside of what can be. A key takes its record along; what its
    type cannot hold is left out all the same."""
    plain, bounds = plain_name(column.plain), _bounds(column)
    left_out = bounds and (not column.key or TYPES[column.type].smallest is not None)
    return f"believable({', '.join([plain, *bounds])}) as {plain}" if left_out else plain


def _fault(macro: str, column: RawColumn) -> str:
    return f"{macro}({', '.join([literal(column.name), _cell(column), plain_name(column.plain), *_bounds(column)])})"


def _clock_fault(column: RawColumn) -> str:
    """Return what tells that a day was read from a cell with a time of day."""
    return f"clock_fault({literal(column.name)}, {_cell(column)}, {_call('moment', column, _cell(column))})"


def _bad_key(column: RawColumn) -> str:
    """Return why a record cannot be used for a key that may be empty, as the time of a static fact may."""
    return f"case when words({_cell(column)}) is not null then {_fault('key_fault', column)} end"


def _first(reasons: list[str]) -> str:
    if len(reasons) < 2:
        return reasons[0] if reasons else "null::varchar"
    return "coalesce(\n" + ",\n".join(f"        {reason}" for reason in reasons) + "\n    )"


def _all(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return "nullif(concat_ws(' ',\n" + ",\n".join(f"        {fault}" for fault in faults) + "\n    ), '')"


def _read_value(table: Table) -> list[str]:
    value = table.value
    assert value is not None
    cell = {column.name: _named(table, column) for column in table.columns}
    point = {column.name: _pointed(column, cell[column.name]) for column in table.columns}
    text, number = value.text or value.number, value.number
    assert text is not None
    # a text that is a number, and is not written as its column says, is none of that and no word
    odd = [f"case when {point[text]} is null then {cell[text]} end"] if point[text] != cell[text] else []
    cells = ([cell[number]] if number else []) + (odd if text != number else [])
    counted_cell = f"coalesce({', '.join(cells)})" if cells[1:] else cells[0] if cells else "null::varchar"
    return [
        f"result_text({point[text]}) as said",
        f"{f'number({point[number]})' if number else 'null::double'} as counted",
        f"{counted_cell} as counted_cell",
        f"{f'unit_text({cell[value.unit]})' if value.unit else 'null::varchar'} as unit",
    ]


def _select(what: list[str], source: str) -> str:
    return "select\n" + ",\n".join(f"    {one}" for one in what) + f"\nfrom {source}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.splitlines())
