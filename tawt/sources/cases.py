"""One SQL stage against a YAML case: invented input rows in, expected output rows out.

    params: {earliest_time: 1900-01-01}         # values of the `$named` parameters
    given: {raw.labevents: [{subject_id: 1}]}   # input rows; columns not named are null, `_row` counts from 1
    expect: [{subject_id: 1, _reason: ~}]       # output rows; only the named columns are compared
    ctes: {typed: [{subject: 1}]}               # the same for single steps of the stage (optional)

Cells are read as text, just as they stand (`~` is null), and take the type of their column; so `1.50` in a
raw table stays `1.50`. Rows are compared in order of `_row`, then of the other columns, nulls first. What a
stage gives is held to its contract, as when it runs: so a case sees the columns that follow from others too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tawt.config.load import parse_yaml
from tawt.config.loader import BoundedLoader
from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Column, Contract, read_contract
from tawt.contracts.layers import LAYERS, SQL_LAYERS
from tawt.contracts.table import Table, marks_of
from tawt.contracts.types import TYPES
from tawt.database.connect import Limits, connect, identifier, text_place
from tawt.database.macros import load_macros
from tawt.database.parse import Node, parse, relations, unparse
from tawt.errors import ConfigError, ContractError, nearest
from tawt.project import Project, asset
from tawt.readers import GIVEN, MAX_WRITTEN_BYTES, read_text
from tawt.sources.held import held_select
from tawt.sources.sql_file import read_sql
from tawt.sources.tables import contract_of, declared_stage, read_tables, table_files

_KEYS = ("params", "given", "expect", "ctes")
_FORM = "as `given: {raw.labs: [{subject_id: 1}]}` and `expect: [{subject_id: 1}]`"

Row = dict[str, Any]
_NO_VALUE = object()
_NO_ROWS: Mapping[str, list[Row]] = {}


class TextLoader(BoundedLoader):
    """Loader that keeps every scalar but null as the text that stands there."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in ("tag:yaml.org,2002:null",)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def run_case(path: Path, project: Project) -> list[str]:
    """Run one stage on the rows of one case, in a fresh database.

    Args:
        path: `tests/sql/<source>/<layer>/<name>.yaml`.
        project: Has the stage of that name, and the contracts.

    Returns:
        One line per difference; none where the stage does what the case says.

    Raises:
        ConfigError: The case is not of the form above, or names a relation or column that no contract has.
        StageError: The stage is refused.
    """
    case = _read_case(path)
    source, layer, name = (*path.parts[-3:-1], path.stem)
    tables = read_tables(project, source)
    text = _text_of(project, source, layer, name, tables)
    if text is None:
        stages = [*project.files(f"sql/{source}/{layer}", ".sql"), *(tables if layer == "staging" else ())]
        near = nearest(name, stages) if layer in LAYERS and stages else nearest(layer, [one.name for one in SQL_LAYERS])
        return [f"is of no stage: sql/{source}/{layer}/{name}.sql is not there, {near}"]
    contract = contract_of(project, source, layer, name, tables)
    params = PipelineConfig(name=source, source=source).values | (case.get("params") or {})
    with closing(connect(Limits.of(1), [], project=project)) as connection:
        make_relations(connection, project, source, case.get("given") or {}, str(path))
        differences = _compare(connection, text, params, case.get("expect"), "", contract, f"{layer}.{name}")
        for step, rows in (case.get("ctes") or {}).items():
            try:
                shown = cte_text(text, step)
            except KeyError:
                differences.append(f"cte `{step}`: is not in the stage")
                continue
            differences += _compare(connection, shown, params, rows, f"cte `{step}`: ")
    return differences


def _text_of(project: Project, source: str, layer: str, name: str, tables: Mapping[str, Table]) -> str | None:
    """Return the text of a stage, that of its file or the one that follows from a raw table; None where it is none."""
    if layer in LAYERS and (path := project.find(f"sql/{source}/{layer}/{name}.sql")) is not None:
        return read_sql(path, layer, load_macros(project)).text
    if layer == "staging" and name in tables:
        return declared_stage(tables[name], table_files(project, source)[name], load_macros(project)).text
    return None


def cte_text(text: str, name: str) -> str:
    """Return the stage rewritten in its parse tree so that it hands back one of its steps, made of those it needs.

    Raises:
        KeyError: The stage has no such CTE.
    """
    tree, step = parse(text), parse(f"select * from {identifier(name)}")
    assert tree is not None and step is not None
    steps = tree["statements"][0]["node"]["cte_map"]["map"]
    if name not in [entry["key"] for entry in steps]:
        raise KeyError(name)
    needed = {name.lower()}
    kept: list[Node] = []
    for entry in reversed(steps):  # a step reads those before it
        if entry["key"].lower() in needed:
            kept.insert(0, entry)
            needed |= {one.table.lower() for one in relations(entry["value"]) if not one.schema}
    (statement,) = step["statements"]
    node = {**statement["node"], "cte_map": {"map": kept}}
    return unparse({**step, "statements": [{**statement, "node": node}]})


def cte_names(text: str) -> list[str]:
    """Return the steps of a stage, in order."""
    tree = parse(text)
    assert tree is not None
    return [str(entry["key"]) for entry in tree["statements"][0]["node"]["cte_map"]["map"]]


def _read_case(path: Path) -> dict[str, Any]:
    case, places = parse_yaml(
        read_text(path, GIVEN, ConfigError, "a YAML file", MAX_WRITTEN_BYTES), str(path), TextLoader
    )
    if not {"given", "expect"} <= set(case):
        raise ConfigError(str(path), "lacks `given:` or `expect:`, expected both", _FORM)
    for key, said in case.items():
        where = places.get((key,), str(path))
        if key not in _KEYS:
            raise ConfigError(where, f"unknown key `{key}`, expected a case's", nearest(key, _KEYS))
        if key == "expect":
            _hold_rows(said, "expect", where)
        elif not isinstance(said, dict | None):
            raise ConfigError(where, f"`{key}` is no mapping, expected names and what they have", _FORM)
        elif key != "params":
            for name, rows in (said or {}).items():
                _hold_rows(rows, f"{key}.{name}", places.get((key, name), where))
    return case


def _hold_rows(rows: Any, key: str, where: str) -> None:
    if not isinstance(rows, list | None) or not all(isinstance(row, dict) for row in rows or ()):
        raise ConfigError(where, f"`{key}` is no list of rows, expected one, each as {{column: cell}}", _FORM)


def make_relations(
    connection: duckdb.DuckDBPyConnection, project: Project, source: str, given: Mapping[str, list[Row]] = _NO_ROWS,
    where: str = "",
) -> None:  # fmt: skip
    """Make every relation that a stage of a source could read: with the given rows, or empty.

    Raises:
        ConfigError: What is given is of no such relation, or does not fit.
    """
    tables = read_tables(project, source)
    staged = {*tables, *project.files(f"schemas/{source}/staging", ".json")}
    contracts = [*tables.values(), read_contract(asset("schemas/events.json"))]
    contracts += [c for name in staged if (c := contract_of(project, source, "staging", name, tables)) is not None]
    relations = {contract.name: contract for contract in contracts}
    for name in given:
        if name not in relations:
            raise ConfigError(where, f"`{name}` has no contract, expected one", nearest(name, relations))
    for name, contract in relations.items():
        _fill(connection, contract, given.get(name) or [], where)


def _fill(connection: duckdb.DuckDBPyConnection, contract: Contract, rows: list[Row], where: str) -> None:
    columns = (*contract.columns, Column(name="_row", type="int64"))
    names = [column.name for column in columns]
    types = [TYPES[column.cell_type].sql for column in columns]
    typed = ", ".join(f"{identifier(name)} {type_}" for name, type_ in zip(names, types, strict=True))
    layer, _, table = contract.name.partition(".")
    table, marks = table or layer, marks_of(contract)
    connection.execute(f"create table {layer}.{identifier(table)} ({typed})")
    for number, row in enumerate(rows, 1):
        for name in row:
            if name not in names:
                raise ConfigError(
                    where, f"`{contract.name}` has no column `{name}`, expected one of its own", nearest(name, names)
                )
        given = {"_row": str(number)} | row
        for column, type_ in zip(columns, types, strict=True):
            if _typed(connection, given.get(column.name), type_) is _NO_VALUE:
                what = f"row {number} of `{contract.name}`: `{column.name}` is no {column.type}, expected one"
                raise ConfigError(where, what, _FORM)
        places = ", ".join(f"?::varchar::{type_}" for type_ in types)
        cells = [_text(given.get(name)) for name in names]
        # as the raw view gives them: what the column says to stand for a missing cell is one
        cells = [
            None if str(cell).strip() in marks.get(name, ()) else cell for name, cell in zip(names, cells, strict=True)
        ]
        connection.execute(f"insert into {layer}.{identifier(table)} values ({places})", cells)
    if layer == table:
        connection.execute(f"create view main.{layer} as from {layer}.{layer}")


def _typed(connection: duckdb.DuckDBPyConnection, cell: Any, sql_type: str) -> Any:
    """Return a cell as a value of a type; `_NO_VALUE` where it is none."""
    try:
        return connection.execute(f"select ?::varchar::{sql_type}", [_text(cell)]).fetchall()[0][0]
    except duckdb.Error:
        return _NO_VALUE


def _text(cell: Any) -> str | None:
    if isinstance(cell, list):
        return "[" + ", ".join(str(item) for item in cell) + "]"
    return None if cell is None else str(cell)


def _said(error: duckdb.Error) -> str:
    """Return what the engine says of a mistake: the rows are invented, so it may quote them."""
    kind, _, said = str(error).partition(": ")
    try:
        return f"{kind}: {json.loads(said)['exception_message'].splitlines()[0]}"
    except (ValueError, KeyError, TypeError):
        return str(error).splitlines()[0]


def _compare(
    connection: duckdb.DuckDBPyConnection, text: str, params: Row, expect: list[Row] | None, where: str,
    contract: Contract | None = None, stage: str = "",
) -> list[str]:  # fmt: skip
    """Run one text, held to a contract if it has one, and list where its rows are not the expected ones."""
    select, asked = text, "explain "
    try:
        used = duckdb.extract_statements(text)[0].named_parameters
        values = {name: params[name] for name in used if name in params}
        connection.execute(f"{asked}{text}", values)  # which tells the place of a mistake
        given = connection.sql(text, params=values)
        if contract is not None:
            have = dict(zip(given.columns, map(str, given.types), strict=True))
            select = held_select(text, contract, stage, have, "its first relation")
        connection.execute(f"create or replace table result as {select}", values)
        described = connection.execute("describe result").fetchall()
    except ContractError as error:
        return [error.what]
    except duckdb.Error as error:
        return [f"{where}does not run{text_place(error, text, len(asked))}: {_said(error)}"]
    types = {str(name): str(type_) for name, type_, *_ in described}
    order = ", ".join(f"{identifier(n)} nulls first" for n in sorted(types, key=lambda n: n != "_row"))
    result = connection.execute(f"select * from result order by {order}").fetchall()
    rows = [dict(zip(types, row, strict=True)) for row in result]
    expected = expect or []
    differences = []
    if len(rows) != len(expected):
        differences.append(f"{where}{len(rows)} rows, expected {len(expected)}")
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=False), 1):
        for name, cell in wanted.items():
            if name not in row:
                differences.append(f"{where}row {number}: no column `{name}`, {nearest(name, types)}")
                continue
            value = _typed(connection, cell, types[name])
            value = cell if value is _NO_VALUE else value
            if row[name] != value and (row[name] == row[name] or value == value):  # NaN is not itself
                differences.append(f"{where}row {number}: `{name}` is {row[name]!r}, expected {value!r}")
    return differences
