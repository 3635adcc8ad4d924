"""One SQL file -> its text, what it reads and its parameters; all taken from the parse tree, none from comments.

Refused at load: more than one statement, anything but a `select`, a table function, a file path or a relation
without a known layer, and in staging whatever could lose or repeat a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import duckdb

from tawt.errors import ConfigError, StageError, nearest

READABLE = {
    "staging": ("raw",),
    "codes": ("staging",),
    "event_parts": ("staging",),
    "tasks": ("staging", "events"),
}
"""The layers of SQL stages, and the layers that each may read."""

_QUERY = 'for example tawt query "select count(*) from events" -w W'
_READING = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
_NOT_ROW_WISE = {
    "where_clause": "WHERE",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "sample": "SAMPLE",
    "group_expressions": "GROUP BY",
    "modifiers": "DISTINCT, ORDER BY or LIMIT",
}


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

    @property
    def layer(self) -> str:
        """The layer, which is the folder."""
        return self.name.partition(".")[0]

    @property
    def summary(self) -> str:
        """The first comment line: what one row is."""
        first = self.text.lstrip().splitlines()[0] if self.text.strip() else ""
        return first.lstrip("- ").strip() if first.startswith("--") else ""


def read_sql(path: Path, layer: str) -> SqlFile:
    """Read and check one stage file.

    Raises:
        StageError: The text is not one plain `select` over relations that this layer may read.
    """
    name = f"{layer}.{path.stem}"
    where = f"{name} ({path.name})"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StageError(
            where, f"cannot be read ({type(error).__name__}), expected UTF-8 text", "mend the file"
        ) from None
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise StageError(where, f"does not parse, expected one select: {syntax_message(error)}", "mend it") from None
    if len(statements) != 1:
        raise StageError(where, f"holds {len(statements)} statements, expected one select", "keep one")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = str(statements[0].type).rpartition(".")[2].lower()
        raise StageError(where, f"is a {kind} statement, expected one select", "the runner writes the files itself")
    tree = _parse(text)
    writes = _writing_node(tree)
    if writes is not None:
        raise StageError(where, f"holds a {writes}, expected one select", "the runner writes the files itself")
    references = _references(tree, where, layer)
    if layer == "staging":
        _check_row_wise(tree, where, references)
    return SqlFile(name, path, text, references, tuple(sorted(statements[0].named_parameters)))


def check_select(text: str) -> None:
    """Hold a query to one `select` that changes nothing, or the `explain` of one.

    Raises:
        ConfigError: It is anything else.
    """
    explained = re.sub(r"^\s*explain(\s+analyze)?\b", "", text, flags=re.IGNORECASE)
    try:
        statements = duckdb.extract_statements(explained)
        plain = len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT
        plain = plain and _writing_node(_parse(explained)) is None
    except duckdb.Error as error:
        raise ConfigError("query", f"does not parse, expected one select: {syntax_message(error)}", _QUERY) from None
    except StageError:
        plain = False
    if not plain:
        raise ConfigError("query", "is something else, expected one select", _QUERY)


def syntax_message(error: Exception) -> str:
    """Return the first line of an engine error about SQL text; it can quote the text, never data."""
    return str(error).strip().splitlines()[0]


@cache
def _parse(text: str) -> dict[str, Any]:
    # a connection of our own: the default one belongs to the user
    with duckdb.connect() as connection:
        ((serialized,),) = connection.execute("select json_serialize_sql(?)", [text]).fetchall()
    tree: dict[str, Any] = json.loads(serialized)
    if tree.get("error"):
        said = tree.get("error_message", "")
        raise StageError("sql", f"is no plain select, expected one: {said}", "write it as one select")
    return tree


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping of the parse tree in the order of the text as far as the tree keeps it."""
    if isinstance(node, dict):
        yield node
        # `with` stands before the body in the text but after it in some nodes
        for key in sorted(node, key=lambda k: k != "cte_map"):
            yield from _walk(node[key])
    elif isinstance(node, list):
        for item in node:
            yield from _walk(item)


def _writing_node(tree: dict[str, Any]) -> str | None:
    """Return the kind of a node that does more than read: a `with` may hold a `copy` or an `insert`."""
    kinds = (str(node.get("type", "")) for node in _walk(tree))
    return next((kind.lower() for kind in kinds if kind.endswith("_NODE") and kind not in _READING), None)


def _references(tree: dict[str, Any], where: str, layer: str) -> tuple[str, ...]:
    ctes = {entry["key"].lower() for node in _walk(tree) for entry in node.get("cte_map", {}).get("map", [])}
    found: dict[str, int] = {}
    for node in _walk(tree):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            function = node.get("function", {}).get("function_name", "")
            raise StageError(
                where,
                f"calls the table function `{function}`, expected only relations",
                "bind the file as a raw table of the source",
            )
        if kind != "BASE_TABLE":
            continue
        schema, table = str(node.get("schema_name") or ""), str(node.get("table_name") or "")
        if not schema and table.lower() in ctes:
            continue
        if schema not in READABLE[layer] or not table.replace("_", "").isalnum():
            shown = f"{schema}.{table}" if schema else table
            raise StageError(
                where,
                f"reads `{shown}`, expected a relation of {' or '.join(READABLE[layer])}",
                f"a {layer} stage reads {', '.join(f'{known}.<name>' for known in READABLE[layer])}",
            )
        name = schema if schema == table == "events" else f"{schema}.{table}"
        found.setdefault(name, int(node.get("query_location") or 0))
    if not found:
        raise StageError(where, "reads no relation, expected at least one", f"select from {READABLE[layer][0]}.<name>")
    return tuple(sorted(found, key=lambda reference: found[reference]))


@lru_cache(maxsize=1)
def _aggregates() -> frozenset[str]:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select distinct function_name from duckdb_functions() where function_type = 'aggregate'"
        ).fetchall()
    return frozenset(name for (name,) in rows)


def _check_row_wise(tree: dict[str, Any], where: str, references: tuple[str, ...]) -> None:
    """Hold a staging stage to one output row per record, so that no record can be lost unseen."""
    hint = "give the record a _reason (`drop:<rule>` or `quarantine:<column>:<reason>`) instead"
    if len(references) != 1:
        raise StageError(where, f"reads {len(references)} raw tables, expected one", "join in event_parts")
    for node in _walk(tree):
        kind = node.get("type")
        if kind in ("JOIN", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "SUBQUERY"):
            raise StageError(where, f"holds a {kind.lower()}, expected a row-wise select", hint)
        if kind == "SELECT_NODE" and node.get("from_table", {}).get("type") != "BASE_TABLE":
            raise StageError(where, "selects from something other than a relation, expected a row-wise select", hint)
        for key, word in _NOT_ROW_WISE.items():
            if node.get(key):
                raise StageError(where, f"holds {word}, expected a row-wise select", hint)
        if node.get("aggregate_handling") == "FORCE_AGGREGATES":
            raise StageError(where, "holds GROUP BY ALL, expected a row-wise select", hint)
        if kind == "FUNCTION" and node.get("class") == "FUNCTION":
            function = str(node.get("function_name", "")).lower()
            if function in _aggregates() or function in ("unnest", "unlist"):
                raise StageError(where, f"calls `{function}`, expected a row-wise select", hint)


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
