"""One SQL file -> its text, what it reads and its parameters; all taken from the parse tree, none from comments.

Refused at load: more than one statement, anything but a `select`, a table function, a file path or a relation
without a known layer, what hangs on the order of rows, and in staging whatever could lose or repeat a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from tawt.contracts.layers import LAYERS, Layer
from tawt.contracts.reasons import CONTENT_FAULTS
from tawt.database.catalog import LONGEST_MADE, is_taken, refused_functions, unbounded_texts
from tawt.database.connect import stopped_at, text_place
from tawt.database.growth import growth
from tawt.database.macros import Macro, Macros, hold_calls, load_macros
from tawt.database.parse import (
    Node,
    casts_of_parameters,
    constants,
    fits,
    parse,
    relations,
    statements,
    table_functions,
    walk,
    writing_node,
)
from tawt.errors import ConfigError, StageError, TawtError, faults_of, nearest
from tawt.readers import MAX_WRITTEN_BYTES, read_text
from tawt.room import hold_memory
from tawt.sources.row_wise import check_carried, check_row_wise, order_dependent

_CLOCK = "time_of_day_lost"
_BAD = ("unparseable", "unparseable_zone", "out_of_range")
"""What the macros say of a cell."""
_OF_CONTENTS = (*CONTENT_FAULTS, "missing", "not_finite")
REASON = re.compile(r"drop:\w+|quarantine:(?P<column>[^:]+):\w+")


@dataclass(frozen=True)
class SqlFile:
    """A checked stage file."""

    name: str
    """`<layer>.<relation>`."""
    path: Path
    text: str
    references: tuple[str, ...]
    """Relations read, in order of the text; the first is the driving input, whose `_row` the stage carries."""
    parameters: tuple[str, ...]
    """Named parameters, sorted."""
    casts: frozenset[tuple[str, str]] = frozenset()
    """Parameters that the text casts, each with the type."""
    reasons: frozenset[str] = frozenset()
    """The reasons that the text can give: no other may come out, so that no cell gets into one."""
    faults: frozenset[str] = frozenset()
    """The same of what it can give as `_faults`, each `column:reason`."""
    macros: tuple[Macro, ...] = ()
    """The macros that it hangs on."""
    declared: bool = False
    """Whether it follows from the contract of a raw table, and no file holds it."""

    @property
    def summary(self) -> str:
        """The first comment line: what one row is."""
        first = self.text.lstrip().splitlines()[0] if self.text.strip() else ""
        return first.lstrip("- ").strip() if first.startswith("--") else ""


def read_sql(path: Path, layer: str, macros: Macros | None = None) -> SqlFile:
    """Read and check one stage file.

    Args:
        path: The file.
        layer: Its layer.
        macros: What it may call beside the engine's functions; by default what comes with tawt.

    Raises:
        StageError: The text is not one plain `select` over relations that this layer may read.
    """
    with faults_of(path):
        text = read_text(path, "mend the file", StageError, "the text of a stage", MAX_WRITTEN_BYTES)
        return checked(path, LAYERS[layer], text, macros or load_macros())


@lru_cache(maxsize=256)
def checked(path: Path, layer: Layer, text: str, macros: Macros, declared: bool = False) -> SqlFile:
    """Check the text of a stage; see `read_sql`. One that is `declared` was made from the contract at the path."""
    name = f"{layer.name}.{path.stem}"
    where = f"{name} ({path.name})"
    found = statements_of(text, where, StageError, path)
    if len(found) != 1:
        raise StageError(where, f"holds {len(found)} statements, expected one select", "keep one")
    if found[0].type != duckdb.StatementType.SELECT:
        kind = str(found[0].type).rpartition(".")[2].lower()
        raise StageError(where, f"holds a {kind} statement, expected one select", "the runner writes the files itself")
    tree = parse(text)
    if tree is None:
        raise StageError(where, "is no plain select, expected one", "write it as one select")
    writes = writing_node(tree)
    if writes is not None:
        raise StageError(where, f"holds a {writes}, expected one select", "the runner writes the files itself")
    if not declared and parse(f"select * from ({text}\n)") is None:
        raise StageError(
            where, "ends in `;` or cannot stand in brackets, expected one select that can",
            "take the `;` out: the runner reads from the select",
        )  # fmt: skip
    references = _references(tree, where, layer)
    if layer.row_wise:
        check_row_wise(tree, where, references)
    for function in refused_functions(tree, row_wise=layer.row_wise):
        if function in macros.names:
            continue
        hint = "what looks at several rows belongs in event_parts; clocks, chance, settings and files in no stage"
        near = "" if is_taken(function) else nearest(function, macros.names)
        raise StageError(
            where,
            f"calls `{function}`, expected functions of cells" + (" of one row" if layer.row_wise else ""),
            near if near.startswith("did you mean") else hint,
        )
    hold_lengths(tree, where, StageError)
    hold_calls(tree, macros.listed, where)
    growth(tree, macros.growths, where)
    for what in order_dependent(tree):
        raise StageError(
            where, f"holds {what}, expected a result that any order of the rows gives",
            "say which rows in an ORDER BY that leaves no ties, for example by _row",
        )  # fmt: skip
    if layer.row_wise and not declared:
        check_carried(tree, where)
    reasons = {text for text in constants(tree) if REASON.fullmatch(text) and text.isprintable()}
    keys = {f"quarantine:{column}:{word}" for column in _named(tree, "key_fault") for word in ("missing", *_BAD)}
    keys |= {f"quarantine:{column}:{word}" for column in _named(tree, "content_fault") for word in _OF_CONTENTS}
    faults = {f"{column}:{word}" for column in _named(tree, "cell_fault") for word in _BAD}
    faults |= {f"{column}:{_CLOCK}" for column in _named(tree, "clock_fault")}
    return SqlFile(
        name, path, text, references, tuple(sorted(found[0].named_parameters)), casts_of_parameters(tree),
        frozenset(reasons | keys), frozenset(faults), macros.used(tree), declared,
    )  # fmt: skip


def _named(tree: Node, macro: str) -> Iterator[str]:
    """Yield the columns that the calls of a macro name first, where they are written out."""
    for node in walk(tree):
        if node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() == macro:
            given = [(one.get("expression") or {}).get("literal") or {} for one in node.get("arguments", ())]
            if given and given[0].get("kind") == "STRING" and str(given[0]["text"]).isprintable():
                yield str(given[0]["text"])


def statements_of(text: str, where: str, kind: type[TawtError], path: Path | None = None) -> list[duckdb.Statement]:
    """Return the statements of a text; raise an error of a kind, with the place, where it does not parse."""
    try:
        return statements(text)
    except duckdb.Error as error:
        hold_memory(error, where)
        place = text_place(error, text)
        line, _ = stopped_at(error, text)
        word = _word_as_name(text.splitlines()[line - 1]) if line else None
        word = None if word == "end" and "case" in text.lower() else word
        hint = f'`{word}` is a word of SQL: as the name of a column it stands in quotes, `"{word}"`' if word else ""
        refused = kind(where, f"does not parse{place}, expected one select", hint or "mend it there")
        refused.path, refused.line = path, line
        refused.hint = hint or refused.mend or refused.hint
        raise refused from None


def _word_as_name(line: str) -> str | None:
    """Return the word of SQL that stands in a line where a column is: first in an item, before `as` or a comma."""
    words = duckdb.execute(
        "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
    ).fetchall()
    named = re.findall(r"(?:^|,|\bselect\b)\s*([a-z_]+)(?=\s+as\b|\s*,)", line, re.IGNORECASE)
    return next((word for word in named if (word.lower(),) in words), None)


def hold_lengths(tree: Node, where: str, kind: type[TawtError]) -> None:
    """Hold texts that are made to a length that is written out; raise an error of a kind."""
    for function in unbounded_texts(tree):
        raise kind(
            where, f"calls `{function}` for a length not written out, expected a number up to {LONGEST_MADE:,}",
            "write it as `lpad(text, 5, '0')`; a length from a cell could fill the memory, and not be interrupted",
        )  # fmt: skip


def _references(tree: Node, where: str, layer: Layer) -> tuple[str, ...]:
    for function in table_functions(tree):
        raise StageError(
            where,
            f"calls `{function}` in the place of a relation, expected only relations",
            "bind the file as a raw table of the source",
        )
    built_in = [name for name in layer.reads if name in LAYERS and LAYERS[name].built_in]
    readable = [name if name in built_in else f"{name}.<name>" for name in layer.reads]
    found: dict[str, int] = {}
    for relation in relations(tree):
        schema, table = relation.schema or (relation.table if relation.table in built_in else ""), relation.table
        known = table == schema if schema in built_in else schema in layer.reads and table.replace("_", "").isalnum()
        name = schema if schema == table else f"{schema}.{table}" if schema else table
        if not known or relation.qualified:
            steps = [one["key"] for node in walk(tree) for one in (node.get("cte_map") or {}).get("map", [])]
            near = nearest(name, steps) if not schema and steps else ""
            raise StageError(
                where, f"reads `{name}`, expected a relation of {' or '.join(layer.reads)}",
                near if near.startswith("did you mean") else f"a stage of {layer.name} reads {' or '.join(readable)}",
            )  # fmt: skip
        found[name] = min(found.get(name, relation.location), relation.location)
    if not found:
        raise StageError(where, "reads no relation, expected at least one", f"select from {readable[0]}")
    return tuple(sorted(found, key=lambda reference: found[reference]))


def hold_parameters(sql: SqlFile, values: dict[str, Any]) -> None:
    """Hold the pipeline's parameters to the types that a stage casts them to, before a stage runs.

    Raises:
        ConfigError: One is no such value.
    """
    for name, type_ in sorted(sql.casts):
        if name in values and not fits(values[name], type_):
            raise ConfigError(
                f"parameters.{name}", f"`{values[name]}` is no {type_.lower()}, expected one, as {sql.name} reads it",
                f"give another: `--set parameters.{name}=VALUE`, or in the pipeline's YAML",
            )  # fmt: skip


def parameters_for(sql: SqlFile, values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that a stage needs.

    Raises:
        StageError: A parameter has no value in the pipeline.
    """
    missing = [name for name in sql.parameters if name not in values]
    if missing:
        raise StageError(
            sql.name,
            f"parameter `${missing[0]}` has no value, expected one under `parameters:`",
            nearest(missing[0], values),
        )
    return {name: values[name] for name in sql.parameters}
