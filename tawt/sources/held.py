"""A select, wrapped so that it gives what its contract promises: types are the contract's, and in an event part the
columns that it leaves out follow from those that it has.

What runs is this text, which `tawt sql STAGE --held` prints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import duckdb

from tawt.contracts.contract import Column, Contract
from tawt.contracts.layers import Layer, layer_of
from tawt.contracts.reasons import AT_ITS_TIME, FAULTS
from tawt.contracts.types import TYPES
from tawt.database.connect import as_relation
from tawt.errors import ContractError, listed, nearest
from tawt.sources.declare import plain_name
from tawt.sources.stage import Stage

_ROW = Column(name="_row", type="int64", nullable=False)
_REASON = Column(name="_reason", type="string")


def held_on(connection: duckdb.DuckDBPyConnection, stage: Stage, parameters: Mapping[str, Any]) -> str:
    """Return the select that runs, on a connection that has what the stage reads; no row is read.

    Raises:
        ContractError: As of `held_select`.
        duckdb.Error: The engine refuses the select.
    """
    assert stage.sql is not None and stage.contract is not None
    text = stage.sql.text
    given = as_relation(connection, text, parameters)
    for column, n in Counter(given.columns).items():
        if n > 1:
            raise ContractError(
                stage.name, f"gives `{column}` {n} times, expected once", "give one another name, or none"
            )
    have = dict(zip(given.columns, map(str, given.types), strict=True))
    return held_select(text, stage.contract, stage.name, have, stage.inputs[0])


def held_select(text: str, contract: Contract, stage: str, have: Mapping[str, str], driving: str) -> str:
    """Return a stage's select, held to its contract; where a measurement was not taken as it was given, its row
    is marked, to be counted.

    Args:
        text: The select of its author.
        contract: What it promises.
        stage: `<layer>.<name>`.
        have: The columns that it gives, each with its type in the engine.
        driving: The relation whose `_row` it carries.

    Raises:
        ContractError: It gives a column that is none of the contract's, or of a type that only could be guessed at, or
            lacks one that follows from nothing.
    """
    columns = {column.name: column for column in (*contract.columns, _ROW, _REASON)}
    for name, type_ in have.items():
        column = columns.get(name)
        if column is None and name != FAULTS:
            raise ContractError(
                stage, f"column `{name}` is not in the contract {contract.name}, expected only its columns",
                f"{nearest(name, set(columns) - set(have))}; else add it to the contract, or do not give it",
            )  # fmt: skip
        column = column or Column(name=FAULTS, type="string")
        if not TYPES[column.type].becomes(type_) or (name == FAULTS and type_ not in ("VARCHAR", '"NULL"')):
            macro = TYPES[column.type].macro
            reads = type_ == "VARCHAR" and macro not in (None, "words")
            hint = (
                f"read it with `{macro}(...)`"
                if reads
                else "give another; a list is written `[one, two]`"
                if macro is None
                else "give another"
            )
            raise ContractError(stage, f"column `{name}` is {type_}, expected {column.type}", hint)
    follows = _that_follow(layer_of(stage), have)
    given = {}
    for name, column in columns.items():
        if name in follows or name in have:
            what = follows.get(name, plain_name(name))
            what = "[]" if what == "null" and column.sql_type.endswith("[]") else what
            given[name] = f"({what})::{column.sql_type}" if " " in what else f"{what}::{column.sql_type}"
        elif name == "_row":
            raise ContractError(
                stage,
                "column `_row` is missing, expected it in the last projection",
                f"carry _row of {driving} through",
            )
        elif column.required:
            raise ContractError(
                stage, f"column `{name}` is missing, expected {listed(contract.names)}",
                "give it in the last projection",
            )  # fmt: skip
    faults = [FAULTS] if FAULTS in have else []
    if layer_of(stage).measured:
        if have.get("numeric_value") in ("FLOAT", "DOUBLE"):
            faults.append("case when not isfinite(numeric_value) then 'numeric_value:not_finite' end")
        if have.get("available_time", '"NULL"') != '"NULL"' and "time" in have:
            given[AT_ITS_TIME] = "(available_time is null and time is not null)"
    if faults:
        several = f"nullif(concat_ws(' ', {', '.join(faults)}), '')"
        given[FAULTS] = f"({faults[0]})::varchar" if len(faults) == 1 else several
    projection = ",\n".join(f"    {what} as {plain_name(name)}" for name, what in given.items())
    # the newline keeps a closing comment of the author's from swallowing the bracket
    return f"select\n{projection}\nfrom (\n{text.strip()}\n)"


def _that_follow(layer: Layer, have: Mapping[str, str]) -> dict[str, str]:
    """Return what the columns of a stage are that it leaves out, or cannot settle alone: a measurement is never
    readable before its time, and what a value is follows from what there is of it."""
    follows = {name: "null" for name in (*layer.spare, "_reason") if name not in have}
    if not layer.measured:
        return follows
    time = "null" if "time" in follows else "time"
    follows["available_time"] = f"greatest(available_time, {time})" if "available_time" in have else time
    if "value_status" not in have:
        whens = []
        if "numeric_value" in have:
            follows["numeric_value"] = "case when isfinite(numeric_value::double) then numeric_value end"
            whens.append("when isfinite(numeric_value::double) then 'numeric'")
            whens.append("when numeric_value is not null then 'unparsed'")
        if "text_value" in have:
            whens.append("when text_value is not null then 'category'")
        if "raw_value" in have:
            whens.append("when raw_value is not null then 'unparsed'")
        follows["value_status"] = f"case {' '.join(whens)} else 'absent' end" if whens else "'none'"
    return follows
