"""The relations that a stage reads, made of rows that are written out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from tawt.contracts.contract import Column, Contract, own_contract
from tawt.contracts.layers import layer_of, raw_table
from tawt.contracts.table import is_mark
from tawt.contracts.types import TYPES
from tawt.database.connect import identifier
from tawt.errors import ConfigError, nearest
from tawt.sources.case_files import Case, Row
from tawt.sources.tables import Tables

NO_VALUE = object()
"""What a text is that is no value of a type."""
_NO_ROWS: Mapping[str, list[Row]] = {}


def make_relations(
    connection: duckdb.DuckDBPyConnection, tables: Tables, read: Iterable[str],
    given: Mapping[str, list[Row]] = _NO_ROWS, case: Case | None = None,
) -> None:  # fmt: skip
    """Make the relations that a stage of a source reads: with the given rows, or empty.

    Raises:
        ConfigError: What is given does not fit its contract.
    """
    for name in read:
        layer, _, stage = name.partition(".")
        contract: Contract | None
        if (table := raw_table(name)) is not None:
            contract = tables.get(table)
        elif layer_of(name).built_in:
            contract = own_contract(layer)
        else:
            contract = tables.contract(layer, stage)
        if contract is not None:
            _fill(
                connection, name, contract, given.get(name, []), case.place("given", name) if case is not None else ""
            )


def _fill(
    connection: duckdb.DuckDBPyConnection, relation: str, contract: Contract, rows: list[Row], where: str
) -> None:
    columns = (*contract.columns, Column(name="_row", type="int64"))
    types = {column.name: TYPES[column.cell_type].sql for column in columns}
    described = ", ".join(f"{identifier(name)} {type_}" for name, type_ in types.items())
    layer, _, table = relation.partition(".")
    place = f"{layer}.{identifier(table or layer)}"
    connection.execute(f"create table {place} ({described})")
    if not table:
        connection.execute(f"create view main.{layer} as from {place}")
    cells = [{"_row": str(number)} | row for number, row in enumerate(rows, 1)]
    names = list(dict.fromkeys(name for row in cells for name in row))
    given: list[list[str | None]] = []
    for name in names:
        if name not in types:
            what = f"`{relation}` has no column `{name}`, expected one of its own"
            raise ConfigError(where, what, nearest(name, types))
        texts = [text_of(row.get(name)) for row in cells]
        for number, value in enumerate(typed(connection, texts, types[name]), 1):
            if value is NO_VALUE:
                type_ = next(column.type for column in columns if column.name == name)
                what = f"row {number} of `{relation}`: `{name}` is no {type_}, expected one"
                raise ConfigError(where, what, "`~` is a cell that is missing; a text stands in a raw table")
        # as the raw view gives them: what the column says to stand for a missing cell is one
        given.append([None if is_mark(contract, name, str(text)) else text for text in texts])
    if cells:
        listed = ", ".join(f"unnest(?::varchar[])::{types[name]}" for name in names)
        connection.execute(f"insert into {place} ({', '.join(map(identifier, names))}) select {listed}", given)


def typed(connection: duckdb.DuckDBPyConnection, texts: list[str | None], sql_type: str) -> list[Any]:
    """Return texts as values of a type; `NO_VALUE` where one is none."""
    if sql_type.lower() == "varchar":
        return texts
    asked = f"select list_transform(?::varchar[], lambda text: try_cast(text as {sql_type}))"
    values = connection.execute(asked, [texts]).fetchall()[0][0]
    return [
        NO_VALUE if value is None and text is not None else value for text, value in zip(texts, values, strict=True)
    ]


def text_of(cell: Any) -> str | None:
    """Return a cell of a case as text that the engine reads as a value."""
    if isinstance(cell, list):
        return "[" + ", ".join(str(item) for item in cell) + "]"
    return None if cell is None else str(cell)
