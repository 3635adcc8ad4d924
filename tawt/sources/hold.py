"""Holds a stage that was read to the contracts of all that it comes from: what it reads, why it sets records aside, and
how it reads cells. One stage alone is held as those of a whole graph.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from tawt.contracts.contract import Contract, own_contract
from tawt.contracts.layers import LAYERS, layer_of, raw_table
from tawt.contracts.reasons import REASONS
from tawt.contracts.table import Table
from tawt.database.macros import Macros, load_macros
from tawt.errors import StageError, closest, faults_of, nearest
from tawt.project import Project
from tawt.raw.beside import IMAGES
from tawt.sources.casts import hold_reading
from tawt.sources.sql_file import REASON, SqlFile, read_sql
from tawt.sources.stage import Stage
from tawt.sources.tables import Tables, contract_of, declared_stage


def stage_of(
    sql: SqlFile, files: Project, source: str, tables: Mapping[str, Table], serving: Mapping[str, set[str]]
) -> Stage:
    """Return the stage of a text.

    Args:
        sql: The text.
        files: Has its contract.
        source: Its source.
        tables: The raw tables of the source.
        serving: Built-in stages that give numbers to ids of raw tables, each with those tables.

    Raises:
        StageError: It has no contract.
    """
    layer, _, name = sql.name.partition(".")
    contract = contract_of(files, source, layer, name, tables)
    if contract is None:
        raise StageError(
            sql.name, "has no contract, expected one", f"describe its columns in schemas/{source}/{layer}/{name}.json"
        )
    read = {table for name in sql.references if (table := raw_table(name)) is not None}
    return Stage(
        sql.name, (*sql.references, *(name for name, served in serving.items() if served & read)), contract, sql
    )


def stage_alone(name: str, tables: Tables, given: Collection[str] = ()) -> dict[str, Stage]:
    """Return a stage of SQL behind all those that it comes from, in an order in which they can run, each held as in a
    graph of the whole source.

    Args:
        name: `<layer>.<name>`; nothing is returned where nothing is written of it.
        tables: The raw tables of its source.
        given: Stages whose rows are there: of staging, given or behind what is, only the contract counts, and a file of
            it may be half-edited.

    Raises:
        ContractError: A contract does not hold.
        StageError: A stage is refused.
    """
    macros = load_macros(tables.project)
    found: dict[str, Stage] = {}
    sql = _sql_of(name, tables, macros)
    if sql is None:
        return {}

    def add(one: SqlFile, is_given: bool) -> None:
        for other in one.references:
            there = is_given or other in given
            if other not in found and (read := _sql_of(other, tables, macros, there)) is not None:
                add(read, there)
        found[one.name] = stage_of(one, tables.project, tables.source, tables, {})

    add(sql, False)
    for one, stage in found.items():
        with faults_of(stage.sql.path if stage.sql is not None else sql.path):
            hold_inputs(stage, found, tables)
            found[one] = held_stage(stage, found, tables, macros)
    return found


def _sql_of(name: str, tables: Tables, macros: Macros, given: bool = False) -> SqlFile | None:
    """Return the SQL of a stage, that of its file or what follows from a raw table; None where it is none."""
    layer, _, table = name.partition(".")
    declared = layer == "staging" and table in tables
    path = tables.project.find(f"sql/{tables.source}/{layer}/{table}.sql") if layer in LAYERS else None
    if path is not None and not (declared and given):
        return read_sql(path, layer, macros)
    return declared_stage(tables[table], tables.files[table], macros) if declared else None


def hold_inputs(stage: Stage, found: Mapping[str, Stage], raw: Mapping[str, Table]) -> None:
    """Hold what a stage reads to what there is.

    Raises:
        StageError: Nothing makes it, or it takes contents for records of another table than theirs.
    """
    if "contents" in stage.inputs and stage.sql is not None and stage.inputs[0] != IMAGES:
        raise StageError(
            stage.name, f"reads contents and its records are those of {stage.inputs[0]}, expected those of {IMAGES}",
            f"read {IMAGES} first: an event is known by its record",
        )  # fmt: skip
    for reference in stage.inputs:
        table = raw_table(reference)
        if not (table in raw if table is not None else reference in found or layer_of(reference).built_in):
            raise StageError(
                stage.name, f"reads `{reference}`, which no file makes, expected a stage or a raw table",
                nearest(reference, [*found, *(f"raw.{one}" for one in raw)]),
            )  # fmt: skip


def held_stage(stage: Stage, found: Mapping[str, Stage], raw: Mapping[str, Table], macros: Macros) -> Stage:
    """Return a stage that knows the names and words of the contracts that it comes from, held to them.

    Args:
        stage: The stage.
        found: The others that it comes from.
        raw: The raw tables of its source.
        macros: What it may call.

    Raises:
        StageError: It gives a reason of no contract, or reads cells by itself.
    """
    held = _hold_reasons(stage, found, raw)
    _hold_reading(stage, found, raw, macros)
    return held


def _hold_reasons(stage: Stage, found: Mapping[str, Stage], raw: Mapping[str, Table]) -> Stage:
    """Hold the reasons of a stage to names and words in contracts, its own or one of what it came from, and to tawt's
    words; return the stage, which knows both."""
    words = {*REASONS}
    reasons = sorted(stage.sql.reasons if stage.sql is not None else ())
    names: set[str] = set()
    for name in (stage.name, *_origins(stage, found)):
        contract = _contract(name, found, raw)
        names |= set(contract.names)
        words |= set(contract.reasons)
    for reason in reasons:
        if (word := reason.rpartition(":")[2]) not in words:
            first = next((n for n in _origins(stage, found) if raw_table(n) is not None), stage.inputs[0])
            raise StageError(
                stage.name, f"gives the reason `{word}`, expected a word of tawt's or of `reasons` in a contract",
                closest(word, words)
                or f"a word of your own stands in `reasons: [{word}]` of the contract of {first}",
            )  # fmt: skip
        column = matched["column"] if (matched := REASON.fullmatch(reason)) else None
        if column is not None and column not in names:
            raise StageError(
                stage.name,
                f"quarantines for `{column}`, expected a column of its contract or of what it reads",
                nearest(column, names),
            )
    return replace(stage, cells=frozenset(names), words=frozenset(words))


def _origins(stage: Stage, found: Mapping[str, Stage]) -> list[str]:
    """Return what a stage came from, nearest first."""
    todo = list(stage.inputs)
    for name in todo:
        todo += [one for one in (found[name].inputs if name in found else ()) if one not in todo]
    return todo


def _hold_reading(stage: Stage, found: Mapping[str, Stage], raw: Mapping[str, Table], macros: Macros) -> None:
    """Hold a stage that is written by hand to macros where it reads cells."""
    if stage.sql is None or stage.sql.declared:
        return
    hold_reading(stage.sql, {name: _contract(name, found, raw) for name in stage.inputs}, macros)


def _contract(name: str, found: Mapping[str, Stage], raw: Mapping[str, Table]) -> Contract:
    """Return the contract of what a stage comes from; what is built in is of every pipeline's."""
    if (table := raw_table(name)) is not None:
        return raw[table]
    return found[name].contract if name in found else own_contract(name)
