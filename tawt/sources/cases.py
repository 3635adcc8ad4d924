"""One SQL stage against a YAML case: invented input rows in, expected output rows out.

    params: {earliest_time: 1900-01-01}         # values of the `$named` parameters
    given: {raw.labevents: [{subject_id: 1}]}   # input rows; columns not named are null, `_row` counts from 1
    expect: [{subject_id: 1, _reason: ~}]       # output rows; only the named columns are compared
    ctes: {typed: [{subject: 1}]}               # the same for single steps of the stage (optional)

Cells are read as text, just as they stand (`~` is null), and take the type of their column; so `1.50` in a
raw table stays `1.50`. Rows are compared in order of `_row`, then of the other columns, nulls first. What a
stage gives is held to its contract, as when it runs: so a case sees the columns that follow from others too.

Where a stage reads a staging table, and rows of the raw table are given instead, staging is made of them on the way:
so one case holds a raw table's contract and what becomes of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.contract import Contract
from tawt.contracts.layers import LAYERS, SQL_LAYERS
from tawt.contracts.reasons import FAULTS
from tawt.database.connect import Limits, as_relation, connect, identifier, text_place
from tawt.database.macros import load_macros
from tawt.errors import ConfigError, ContractError, nearest
from tawt.project import Project
from tawt.sources.case_files import Case, Row
from tawt.sources.given import NO_VALUE, make_relations, text_of, typed
from tawt.sources.held import held_select
from tawt.sources.sql_file import SqlFile, read_sql
from tawt.sources.steps import cte_text
from tawt.sources.tables import Tables, declared_stage


class DoesNotRun(ValueError):
    """A stage is not there, gives what its contract does not have, or is refused by the engine."""


def run_case(case: Case, project: Project) -> list[str]:
    """Run one stage on the rows of one case, in a fresh database.

    Args:
        case: What is given, and what is expected.
        project: Has the stage, and the contracts.

    Returns:
        One line per difference; none where the stage does what the case says.

    Raises:
        ConfigError: The case is of another form, or names a relation or column that no contract has.
        StageError: The stage is refused.
    """
    case.hold()
    differences: list[str] = []
    try:
        with _ready(case, project) as made:
            differences += _differences(made, made.rows(), case.expect)
            for step, expected in case.ctes.items():
                differences += [f"cte `{step}`: {said}" for said in _of_step(made, step, expected)]
    except DoesNotRun as error:
        differences.append(str(error))
    return differences


def rows_of(case: Case, project: Project) -> list[Row]:
    """Return the rows that a stage makes of what a case gives, in the order in which cases compare them.

    Raises:
        ConfigError: What is given is of no relation or column that a contract has.
        DoesNotRun: The stage does not run.
        StageError: The stage is refused.
    """
    with _ready(case, project) as made:
        return made.rows()


@dataclass(frozen=True)
class _Made:
    """A stage, and a database that has what it reads."""

    connection: duckdb.DuckDBPyConnection
    sql: SqlFile
    contract: Contract | None
    params: Row

    def rows(self, step: str | None = None) -> list[Row]:
        """Return the rows that it gives, or that one of its steps does."""
        if step is None:
            _make(self.connection, self.sql.text, self.params, self.contract, self.sql.name)
        else:
            _make(self.connection, cte_text(self.sql.text, step), self.params)
        names = list(_types(self.connection))
        order = sorted(names, key=lambda name: name != "_row")
        listed = ", ".join(f"{identifier(name)} nulls first" for name in order)
        result = self.connection.execute(f"select * from result order by {listed}").fetchall()
        return [dict(zip(names, row, strict=True)) for row in result]


@contextmanager
def _ready(case: Case, project: Project) -> Iterator[_Made]:
    """Make what the stage of a case reads, staging on the way if that is not given."""
    tables = Tables(project, case.source)
    layer, _, name = case.stage.partition(".")
    sql = _sql_of(tables, layer, name)
    if sql is None:
        stages = [*project.files(f"sql/{case.source}/{layer}", ".sql"), *(tables if layer == "staging" else ())]
        near = nearest(name, stages) if layer in LAYERS and stages else nearest(layer, [one.name for one in SQL_LAYERS])
        raise DoesNotRun(f"is of no stage: sql/{case.source}/{layer}/{name}.sql is not there, {near}")
    params = PipelineConfig(name=case.source, source=case.source).values | case.params
    on_the_way = [made for name in sql.references if (made := _staging_of(case, name, tables)) is not None]
    read = {*sql.references, *(name for made in on_the_way for name in made.references)}
    macros = {macro for made in (sql, *on_the_way) for macro in made.macros}
    with closing(connect(Limits.of(1), [], project=project, macros=macros)) as connection:
        make_relations(connection, tables, read, case.given, case)
        for relation in case.given:
            if relation not in read:
                what = f"gives `{relation}`, which {case.stage} does not read, expected what it reads"
                raise ConfigError(case.place("given", relation), what, nearest(relation, read))
        for made in on_the_way:
            table = made.name.partition(".")[2]
            try:
                _make(connection, made.text, params, tables.contract("staging", table), made.name)
            except DoesNotRun as error:
                raise DoesNotRun(f"{made.name}, which it reads: {error}") from None
            columns = f"* exclude (_reason{f', {FAULTS}' if FAULTS in _types(connection) else ''})"
            connection.execute(
                f"insert into staging.{identifier(table)} by name select {columns} from result where _reason is null"
            )
        yield _Made(connection, sql, tables.contract(layer, name), params)


def _of_step(made: _Made, step: str, expected: list[Row]) -> list[str]:
    try:
        return _differences(made, made.rows(step), expected)
    except KeyError:
        return ["is not in the stage"]
    except DoesNotRun as error:
        return [str(error)]


def _sql_of(tables: Tables, layer: str, name: str) -> SqlFile | None:
    """Return the SQL of a stage, that of its file or what follows from a raw table; None where it is none."""
    macros = load_macros(tables.project)
    if layer in LAYERS and (path := tables.project.find(f"sql/{tables.source}/{layer}/{name}.sql")) is not None:
        return read_sql(path, layer, macros)
    if layer == "staging" and name in tables:
        return declared_stage(tables[name], tables.files[name], macros)
    return None


def _staging_of(case: Case, relation: str, tables: Tables) -> SqlFile | None:
    """Return the staging stage that must make a relation of what a case gives; None where it gives that itself."""
    layer, _, name = relation.partition(".")
    sql = _sql_of(tables, layer, name) if layer == "staging" and relation not in case.given else None
    return sql if sql is not None and case.given.keys() & set(sql.references) else None


def told(error: duckdb.Error) -> str:
    """Return what the engine says of a mistake: the rows are invented, so it may quote them."""
    kind, _, said = str(error).partition(": ")
    try:
        return f"{kind}: {json.loads(said)['exception_message'].splitlines()[0]}"
    except (ValueError, KeyError, TypeError):
        return str(error).splitlines()[0]


def _make(
    connection: duckdb.DuckDBPyConnection, text: str, params: Row, contract: Contract | None = None, stage: str = ""
) -> None:
    """Make the table `result` of a text, held to a contract if it has one.

    Raises:
        DoesNotRun: It cannot be made, or is not as the contract says.
    """
    used = duckdb.extract_statements(text)[0].named_parameters
    values = {name: params[name] for name in used if name in params}
    try:
        select = text
        if contract is not None:
            given = connection.sql(text, params=values)
            have = dict(zip(given.columns, map(str, given.types), strict=True))
            select = held_select(text, contract, stage, have, "its first relation")
        connection.execute(f"create or replace table result as {select}", values)
    except ContractError as error:
        raise DoesNotRun(error.what) from None
    except duckdb.Error as error:
        raise DoesNotRun(_mistake(connection, text, values, error)) from None


def _mistake(connection: duckdb.DuckDBPyConnection, text: str, values: Row, error: duckdb.Error) -> str:
    """Return what is wrong with a text, and where, if the engine refuses it by itself."""
    try:
        as_relation(connection, text, values)
    except duckdb.Error as own:
        return f"does not run{text_place(own, text)}: {told(own)}"
    return f"does not run: {told(error)}"


def _types(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the columns of `result`, each with its type."""
    return {str(name): str(type_) for name, type_, *_ in connection.execute("describe result").fetchall()}


def _differences(made: _Made, rows: list[Row], expected: list[Row]) -> list[str]:
    """List where rows are not the expected ones."""
    types, differences = _types(made.connection), []
    if len(rows) != len(expected):
        differences.append(f"{len(rows)} rows, expected {len(expected)}")
    named = {name for row in expected for name in row} & types.keys()
    values = {name: typed(made.connection, [text_of(row.get(name)) for row in expected], types[name]) for name in named}
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=False), 1):
        for name, cell in wanted.items():
            if name not in row:
                differences.append(f"row {number}: no column `{name}`, {nearest(name, types)}")
                continue
            value = values[name][number - 1]
            value = cell if value is NO_VALUE else value
            if row[name] != value and (row[name] == row[name] or value == value):  # NaN is not itself
                differences.append(f"row {number}: `{name}` is {_shown(row[name])}, expected {_shown(value)}")
    return differences


def _shown(value: Any) -> str:
    return repr(str(value)) if isinstance(value, str | date) else "null" if value is None else str(value)
