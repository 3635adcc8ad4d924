"""One SQL stage against a YAML case: invented input rows in, expected output rows out.

    params: {earliest_time: 1900-01-01}         # values of the `$named` parameters
    given: {raw.labevents: [{subject_id: 1}]}   # input rows; columns not named are null, `_row` counts from 1
    expect: [{subject_id: 1, _reason: ~}]       # output rows; only the named columns are compared
    ctes: {typed: [{subject: 1}]}               # the same for single steps of the stage (optional)

Cells are read as text, just as they stand (`~` is null), and take the type of their column; so `1.50` in a
raw table stays `1.50`. Rows are compared in order of `_row`, then of the other columns, nulls first. The
columns of `staging` and `event_parts` are held to their contract: names, types and order, `_row`, `_reason`.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tawt.config.load import parse_yaml
from tawt.config.loader import BoundedLoader
from tawt.contracts.contract import Column, Contract, read_contract
from tawt.database.connect import identifier
from tawt.database.macros import load_macros
from tawt.database.parse import Node, parse, relations, unparse
from tawt.errors import ConfigError, nearest
from tawt.project import Project
from tawt.readers import GIVEN, MAX_WRITTEN_BYTES, read_text
from tawt.sources.graph import contract_path

_KEYS = ("params", "given", "expect", "ctes")

Row = dict[str, Any]


class TextLoader(BoundedLoader):
    """Loader that keeps every scalar but null as the text that stands there."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in ("tag:yaml.org,2002:null",)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def run_case(case_path: Path, sql_path: Path) -> list[str]:
    """Run one stage on the rows of one case, in a fresh database.

    Args:
        case_path: `tests/sql/<source>/<layer>/<name>.yaml`.
        sql_path: `<root>/sql/<source>/<layer>/<name>.sql`; the contracts are in `<root>/schemas`.

    Returns:
        One line per difference; none where the stage does what the case says.

    Raises:
        ConfigError: The case is not of the form above, or names a relation or column that no contract has.
    """
    case = _read_case(case_path)
    text = sql_path.read_text(encoding="utf-8")
    with duckdb.connect() as connection:
        load_macros(Project.at(sql_path.parents[3])).make(connection)
        _create_relations(connection, case.get("given") or {}, sql_path, str(case_path))
        params = case.get("params") or {}
        differences = _compare(connection, text, params, case.get("expect"), "")
        differences += _check_columns(connection, sql_path) if "result" in _tables(connection) else []
        for name, rows in (case.get("ctes") or {}).items():
            try:
                step = cte_text(text, name)
            except KeyError:
                differences.append(f"cte `{name}`: is not in the stage")
                continue
            differences += _compare(connection, step, params, rows, f"cte `{name}`: ")
    return differences


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
    case, _ = parse_yaml(read_text(path, GIVEN, ConfigError, "a YAML file", MAX_WRITTEN_BYTES), str(path), TextLoader)
    if not {"given", "expect"} <= set(case):
        raise ConfigError(str(path), "lacks `given:` or `expect:`, expected both")
    for key in case:
        if key not in _KEYS:
            raise ConfigError(str(path), f"unknown key `{key}`, expected a case's", nearest(key, _KEYS))
    return case


def _create_relations(
    connection: duckdb.DuckDBPyConnection, given: dict[str, list[Row]], sql_path: Path, where: str
) -> None:
    """Make every relation that the stage could read: with the given rows, or empty."""
    files, source = Project.at(sql_path.parents[3]), sql_path.parents[1].name
    paths = [
        path for layer in ("raw", "staging") for path in files.files(f"schemas/{source}/{layer}", ".json").values()
    ]
    paths += [path for path in [files.find("schemas/events.json")] if path is not None]
    relations = {contract.name: contract for contract in map(read_contract, paths)}
    for layer in ("raw", "staging", "events"):
        connection.execute(f"create schema {layer}")
    for name in given:
        if name not in relations:
            raise ConfigError(where, f"`{name}` has no contract, expected one", nearest(name, relations))
    for name, contract in relations.items():
        _fill(connection, contract, given.get(name) or [], where)


def _fill(connection: duckdb.DuckDBPyConnection, contract: Contract, rows: list[Row], where: str) -> None:
    columns = (*contract.columns, Column(name="_row", type="int64"))
    names = [column.name for column in columns]
    typed = ", ".join(f"{identifier(c.name)} {c.sql_type}" for c in columns)
    layer, _, table = contract.name.partition(".")
    table = table or layer
    connection.execute(f"create table {layer}.{identifier(table)} ({typed})")
    for number, row in enumerate(rows, 1):
        for name in row:
            if name not in names:
                raise ConfigError(
                    where, f"`{contract.name}` has no column `{name}`, expected one of its own", nearest(name, names)
                )
        cells = [_text(({"_row": str(number)} | row).get(name)) for name in names]
        marks = ", ".join(f"?::varchar::{c.sql_type}" for c in columns)
        connection.execute(f"insert into {layer}.{identifier(table)} values ({marks})", cells)
    if layer == table:
        connection.execute(f"create view main.{layer} as from {layer}.{layer}")


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}


def _check_columns(connection: duckdb.DuckDBPyConnection, sql_path: Path) -> list[str]:
    source, layer, _ = sql_path.parts[-3:]
    path = Project.at(sql_path.parents[3]).find(contract_path(source, layer, sql_path.stem))
    if path is None:
        return []
    described = connection.execute("describe result").fetchall()
    have = {str(name): f"{name} {str(type_).lower()}" for name, type_, *_ in described}
    columns = [c for c in read_contract(path).columns if c.required or c.name in have]
    wanted = [*(f"{c.name} {c.sql_type}" for c in columns), "_row bigint", "_reason varchar"]
    wanted += ["_faults varchar"] if "_faults" in have else []
    pairs = enumerate(zip_longest(have.values(), wanted, fillvalue="none"), 1)
    return [f"column {n} is `{a}`, expected `{b}` of the contract" for n, (a, b) in pairs if a != b][:1]


def _text(cell: Any) -> str | None:
    if isinstance(cell, list):
        return "[" + ", ".join(str(item) for item in cell) + "]"
    return None if cell is None else str(cell)


def _compare(
    connection: duckdb.DuckDBPyConnection, text: str, params: Row, expect: list[Row] | None, where: str
) -> list[str]:
    """Run one text and list where its rows are not the expected ones."""
    try:
        used = duckdb.extract_statements(text)[0].named_parameters
        values = {name: params[name] for name in used if name in params}
        connection.execute(f"create or replace table result as {text}", values)
        described = connection.execute("describe result").fetchall()
    except duckdb.Error as error:
        return [f"{where}does not run: {str(error).splitlines()[0]}"]
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
            value = connection.execute(f"select ?::varchar::{types[name]}", [_text(cell)]).fetchall()[0][0]
            if row[name] != value:
                differences.append(f"{where}row {number}: `{name}` is {row[name]!r}, expected {value!r}")
    return differences
