"""One SQL stage against a YAML case: invented input rows in, expected output rows out.

    params: {earliest_time: 1900-01-01}         # values of the `$named` parameters
    given: {raw.labevents: [{subject_id: 1}]}   # input rows; columns not named are null, records count from 1
    expect: [{subject_id: 1, _reason: ~}]       # output rows; only the named columns are compared
    ctes: {typed: [{subject: 1}]}               # the same for single steps of the stage (optional)

Cells are read as text, just as they stand (`~` is null), and take the type of their column; so `1.50` in a
raw table stays `1.50`. Rows are compared in order of `_row`, then of the other columns, nulls first.

The given rows are written as files, and the stage runs on them as on a workspace's: what an ingest refuses of it is
refused here, in the same words. Where a stage reads a staging table, and rows of the raw table are given instead,
staging runs on the way, and so does whatever else lies between: one case holds a raw table's contract and what becomes
of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from tawt.config.pipeline import PipelineConfig
from tawt.contracts.account import Places
from tawt.contracts.contract import Contract
from tawt.contracts.layers import LAYERS, SQL_LAYERS, layer_of, raw_table
from tawt.contracts.reasons import AT_ITS_TIME
from tawt.database.connect import connect, identifier, literal, parquet_files
from tawt.database.limits import Limits
from tawt.errors import ConfigError, StageError, nearest
from tawt.pipeline.relations import bind_output
from tawt.pipeline.sql_stage import run_on
from tawt.pipeline.untimed import name_untimed
from tawt.project import Project
from tawt.raw.find import RawTable, find_raw_tables
from tawt.sources.case_files import Case, Row
from tawt.sources.given import NO_VALUE, make_relations, text_of, typed
from tawt.sources.held import held_on
from tawt.sources.hold import stage_alone
from tawt.sources.macro_cases import told
from tawt.sources.sql_file import hold_parameters, parameters_for
from tawt.sources.stage import Bound, Input, Settings
from tawt.sources.steps import cte_names, cte_text
from tawt.sources.tables import Tables

_JOINED = 1_000_000
"""What is added to the numbers of records of all but the first relation: no record of one is taken for another's."""
_OF_CELLS = (duckdb.DataError, duckdb.InvalidInputException)
"""Errors of the engine that speak of a cell."""


def run_case(case: Case, project: Project) -> list[str]:
    """Run one stage on the rows of one case, in a folder aside.

    Args:
        case: What is given, and what is expected.
        project: Has the stage, and the contracts.

    Returns:
        One line per difference; none where the stage does what the case says.

    Raises:
        ConfigError: The case is of another form, or names a stage, relation or column that is not there.
        ContractError: What the stage gives is not what its contract promises.
        StageError: The stage is refused.
    """
    case.hold()
    with _ready(case, project) as (connection, bound):
        differences = _differences(connection, _rows(connection, bound), case.expect)
        for step, expected in case.ctes.items():
            differences += [f"cte `{step}`: {said}" for said in _of_step(connection, bound, step, expected)]
    return differences


def rows_of(case: Case, project: Project) -> list[Row]:
    """Return the rows that a stage makes of what a case gives, in the order in which cases compare them, without what
    they are only marked with to be counted.

    Raises:
        ConfigError: What is given is of no relation or column that a contract has.
        ContractError: What the stage gives is not what its contract promises.
        StageError: The stage is refused.
    """
    with _ready(case, project) as (connection, bound):
        rows = _rows(connection, bound)
        return [{name: cell for name, cell in row.items() if name != AT_ITS_TIME} for row in rows]


@contextmanager
def _ready(case: Case, project: Project) -> Iterator[tuple[duckdb.DuckDBPyConnection, Bound]]:
    """Make what the stage of a case reads, stages on the way if those are not given, and run it once.

    One connection has it all: to open one takes longer than what is asked of it.
    """
    tables = Tables(project, case.source)
    stages = stage_alone(case.stage, tables, case.given)
    if not stages:
        raise _no_stage(case, tables)
    *before, stage = stages.values()
    asked = {*stage.inputs}
    for one in reversed(before):  # of what lies before, what is not given
        asked |= {*one.inputs} if one.name in asked - case.given.keys() else set()
    made: set[str] = set()
    for one in before:
        if one.name in asked - case.given.keys() and (case.given.keys() | made) & {*one.inputs}:
            made.add(one.name)
    on_the_way = [one for one in before if one.name in made]
    drivers = [stage.inputs[0]]
    for name in drivers:  # their records are those of the stage
        drivers += stages[name].inputs[:1] if name in stages else ()
    read = dict.fromkeys(name for one in (*on_the_way, stage) for name in one.inputs)
    for relation in case.given:
        if relation not in read:
            what = f"gives `{relation}`, which {case.stage} does not read, expected what it reads"
            raise ConfigError(case.place("given", relation), what, nearest(relation, read))
    pipeline = PipelineConfig(name=case.source, source=case.source)
    values = pipeline.values | case.params
    macros = {macro for one in (*on_the_way, stage) if one.sql is not None for macro in one.sql.macros}
    with TemporaryDirectory(prefix="tawt-") as aside:
        root = Path(aside)
        with closing(connect(Limits.of(1), [root], project=project, macros=macros)) as connection:
            inputs, raw = _given(connection, case, tables, read, drivers, root, pipeline)
            settings = Settings(pipeline, 1, project=project)
            for one in (*on_the_way, stage):
                assert one.sql is not None
                hold_parameters(one.sql, case.params)
                for parameter in one.sql.parameters:
                    if parameter not in values:
                        what = f"gives `${parameter}` no value, which {one.name} reads, expected one"
                        raise ConfigError(case.place(), what, f"as `params: {{{parameter}: VALUE}}`")
                bound = Bound(
                    one, {name: inputs[name] for name in one.inputs if name in inputs},
                    {name: raw[name] for name in one.raw_tables}, parameters_for(one.sql, values), settings,
                    Limits.of(1), root=root, spill=root / "spill",
                )  # fmt: skip
                files = _run(connection, bound, root / "made" / one.name)
                if one is not stage:
                    if one.name not in drivers:
                        files = [_moved(connection, files)]
                    inputs[one.name] = Input(one.name, files[0].parent, tuple(files), Places(), 0, "")
                    bind_output(connection, inputs[one.name])
            yield connection, bound


def _no_stage(case: Case, tables: Tables) -> ConfigError:
    layer, _, name = case.stage.partition(".")
    there = [*tables.project.files(f"sql/{case.source}/{layer}", ".sql"), *(tables if layer == "staging" else ())]
    near = nearest(name, there) if layer in LAYERS and there else nearest(layer, [one.name for one in SQL_LAYERS])
    return ConfigError(case.place(), f"is of no stage: sql/{case.source}/{layer}/{name}.sql is not there, {near}")


def _given(
    connection: duckdb.DuckDBPyConnection, case: Case, tables: Tables, read: Iterable[str], drivers: Collection[str],
    root: Path, pipeline: PipelineConfig,
) -> tuple[dict[str, Input], dict[str, RawTable]]:  # fmt: skip
    """Write the rows that a case gives as files, none of what it does not, and return them as stages read them."""
    inputs: dict[str, Input] = {}
    contracts: dict[str, Contract] = {}
    make_relations(connection, tables, read, case.given, case)
    for number, name in enumerate(read):
        table, layer = raw_table(name), name.partition(".")[0]
        relation = f"{layer}.{identifier(name.partition('.')[2] or layer)}"
        folder = root / str(number)
        file = folder / (layer_of(name).rows if table is None else "") / "rows.parquet"
        file.parent.mkdir(parents=True)
        numbered = any("_row" in row for row in case.given.get(name, ()))
        if table is not None:
            rows = f"select * exclude (_row) from {relation} order by _row"
        else:
            rows = f"from {relation}" if numbered or name in drivers else _of_another(relation)
        connection.execute(f"copy ({rows}) to {literal(str(file))} (format parquet)")
        connection.execute(f"drop table {relation}")  # what the files hold is read, as from a workspace
        if table is not None:
            paths = (f"{number}/{file.stem}",)
            contracts[table] = tables[table].model_copy(update={"paths": paths, "required": True})
        else:
            inputs[name] = Input(name, folder, (file,), Places(), len(case.given.get(name, ())), "")
            bind_output(connection, inputs[name])
    raw, _ = find_raw_tables(root, pipeline, contracts, None)
    return inputs, raw


def _of_another(relation: str) -> str:
    """Return the rows of a relation that drives no stage: numbered so that no record of one is taken for another's."""
    return f"select * replace (_row + {_JOINED} as _row) from {relation}"


def _moved(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> Path:
    """Return rows of a stage that drives none, as `_of_another`."""
    moved = files[0].with_name("rows.parquet")
    connection.execute(f"copy ({_of_another(parquet_files(files))}) to {literal(str(moved))} (format parquet)")
    return moved


def _run(connection: duckdb.DuckDBPyConnection, bound: Bound, folder: Path) -> list[Path]:
    """Run a stage as an ingest does; the rows are invented, so what the engine says of a cell may be told."""
    try:
        return run_on(connection, bound, folder)
    except StageError as error:
        if isinstance(error.__context__, _OF_CELLS):
            raise StageError(error.where, f"stops at a cell: {told(error.__context__)}", error.hint) from None
        raise


def _rows(connection: duckdb.DuckDBPyConnection, bound: Bound, step: str | None = None) -> list[Row]:
    """Put what a stage gives, or one of its steps, into the table `result`, and return the rows.

    Raises:
        KeyError: It has no such step.
        duckdb.Error: The engine refuses it.
    """
    text = held_on(connection, bound.stage, bound.parameters) if step is None else cte_text(bound.sql.text, step)
    used = duckdb.extract_statements(text)[0].named_parameters
    values = {name: value for name, value in bound.parameters.items() if name in used}
    connection.execute(f"create or replace table result as {text}", values)
    if step is None and bound.stage.layer.measured:
        name_untimed(connection, bound.sql.text, bound.parameters, "result")
    names = list(_types(connection))
    order = ", ".join(f"{identifier(name)} nulls first" for name in sorted(names, key=lambda name: name != "_row"))
    result = connection.execute(f"select * from result order by {order}").fetchall()
    return [dict(zip(names, row, strict=True)) for row in result]


def _of_step(connection: duckdb.DuckDBPyConnection, bound: Bound, step: str, expected: list[Row]) -> list[str]:
    try:
        return _differences(connection, _rows(connection, bound, step), expected)
    except KeyError:
        return [f"is not in the stage, {nearest(step, cte_names(bound.sql.text))}"]
    except duckdb.Error as error:
        return [f"does not run: {told(error)}"]


def _types(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the columns of `result`, each with its type."""
    return {str(name): str(type_) for name, type_, *_ in connection.execute("describe result").fetchall()}


def _differences(connection: duckdb.DuckDBPyConnection, rows: list[Row], expected: list[Row]) -> list[str]:
    """List where rows are not the expected ones."""
    types, differences = _types(connection), []
    if len(rows) != len(expected):
        differences.append(f"{len(rows)} rows, expected {len(expected)}")
    named = {name for row in expected for name in row} & types.keys()
    values = {name: typed(connection, [text_of(row.get(name)) for row in expected], types[name]) for name in named}
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
