"""What the parse tree of a select says: relations by scope, constants, casts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import duckdb

Node = dict[str, Any]

_READING = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")


@cache
def engine() -> duckdb.DuckDBPyConnection:
    """An engine that only parses: opening one takes longer than all stages of a pipeline do to parse."""
    return duckdb.connect(":memory:", config={"threads": 1, "errors_as_json": True, "enable_external_access": False})


def statements(text: str) -> list[duckdb.Statement]:
    """Return the statements of a text.

    Raises:
        duckdb.Error: It does not parse.
    """
    return engine().cursor().extract_statements(text)


@cache
def parse(text: str) -> Node | None:
    """Return the parse tree of selects; None where the text is anything else."""
    ((serialized,),) = engine().cursor().execute("select json_serialize_sql(?)", [text]).fetchall()
    tree = _Tree(json.loads(serialized))
    if str(tree.get("error_type")).lower() not in ("none", "parser", "not implemented", "invalid input"):
        raise MemoryError  # what is no mistake of a text
    return None if tree.get("error") else tree


@cache
def words() -> frozenset[str]:
    """Return the words of the engine's grammar; what is none of them names something."""
    found = engine().cursor().execute("select keyword_name from duckdb_keywords()").fetchall()
    return frozenset(str(word) for (word,) in found)


def unparse(tree: Node) -> str:
    """Return the text of a parse tree."""
    ((text,),) = engine().cursor().execute("select json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()
    return str(text)


def walk(node: Any) -> Iterator[Node]:
    """Yield every mapping of the parse tree in the order of the text as far as the tree keeps it."""
    return iter(node.nodes if isinstance(node, _Tree) else _nodes(node))


class _Tree(dict[str, Any]):
    """The parse tree of a text, which is asked many things and never changed: its mappings are listed once."""

    @cached_property
    def nodes(self) -> list[Node]:
        return _nodes(self)


def _nodes(node: Any) -> list[Node]:
    found: list[Node] = []
    # by hand: a generator within a generator costs as many steps as the tree is deep
    left = [node] if isinstance(node, dict | list) else []
    while left:
        one = left.pop()
        if isinstance(one, dict):
            found.append(one)
            # `with` stands before the body in the text but after it in some nodes
            within = sorted(one, key=lambda k: k != "cte_map") if "cte_map" in one else one
            inner = [one[key] for key in within]
        else:
            inner = one
        left += [child for child in reversed(inner) if isinstance(child, dict | list)]
    return found


def casts_of_parameters(tree: Node) -> frozenset[tuple[str, str]]:
    """Return what the named parameters of a tree are cast to: name and type, as a text of SQL."""
    found = set()
    for node in walk(tree):
        child = node.get("child") if node.get("class") == "CAST" and not node.get("try_cast") else None
        if isinstance(child, dict) and child.get("class") == "PARAMETER":
            one = json.loads(json.dumps(parse("select null")))  # a copy: what was parsed is kept
            null = one["statements"][0]["node"]["select_list"][0]
            one["statements"][0]["node"]["select_list"] = [{**node, "alias": "", "child": null}]
            type_ = unparse(one).partition(" AS ")[2].rstrip().rstrip(";").rstrip()[:-1]
            found.add((str(child["identifier"]), type_))
    return frozenset(found)


@lru_cache(maxsize=1024, typed=True)
def fits(value: object, type_: str) -> bool:
    """Return whether the engine takes a value for one of a type."""
    try:
        engine().cursor().execute(f"select cast($value as {type_})", {"value": value}).fetchall()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        return False
    return True


@cache
def is_zone(name: str) -> bool:
    """Return whether the engine knows a time zone of that name."""
    try:
        engine().cursor().execute("select timezone(?, timestamptz '2000-01-01 00:00:00+00')", [name]).fetchall()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        return False
    return True


def writing_node(tree: Node) -> str | None:
    """Return the kind of a node that does more than read: a `with` may hold a `copy` or an `insert`."""
    kinds = (str(node.get("type", "")) for node in walk(tree))
    return next((kind.lower() for kind in kinds if kind.endswith("_NODE") and kind not in _READING), None)


@dataclass(frozen=True)
class Relation:
    """A relation that is named in a text and is no `with` of it there."""

    schema: str
    table: str
    location: int
    qualified: bool
    """Whether it names a database too, or a version."""


def relations(node: Any, scope: frozenset[str] = frozenset()) -> Iterator[Relation]:
    """Yield the relations that a tree reads; a `with` is known in its own select alone, to what comes after it."""
    if isinstance(node, list):
        for item in node:
            yield from relations(item, scope)
    if not isinstance(node, dict):
        return
    if node.get("type") == "RECURSIVE_CTE_NODE":
        scope |= {str(node.get("cte_name", "")).lower()}
    for entry in (node.get("cte_map") or {}).get("map", []):
        yield from relations(entry["value"], scope)
        scope |= {entry["key"].lower()}
    if node.get("type") == "BASE_TABLE":
        schema, table = str(node.get("schema_name") or ""), str(node.get("table_name") or "")
        if schema or table.lower() not in scope:
            qualified = bool(node.get("catalog_name") or node.get("at_clause"))
            yield Relation(schema, table, int(node.get("query_location") or 0), qualified)
    for key, child in node.items():
        if key != "cte_map":
            yield from relations(child, scope)


def constants(tree: Node) -> frozenset[str]:
    """Return the texts that stand in quotes."""
    found = (node.get("literal") for node in walk(tree) if node.get("class") == "CONSTANT")
    return frozenset(str(one["text"]) for one in found if isinstance(one, dict) and one.get("kind") == "STRING")


def table_functions(tree: Node) -> Iterator[str]:
    """Yield the functions that stand where a relation could, and the words that do, which tell of the engine."""
    for node in walk(tree):
        if node.get("type") == "TABLE_FUNCTION":
            yield str((node.get("function") or {}).get("function_name", ""))
        elif node.get("type") == "SHOW_REF":
            if node.get("query"):
                yield "summarize" if node.get("show_type") == "SUMMARY" else "describe"
            else:
                name = str(node.get("table_name") or "").replace("__show_tables_expanded", "all tables")
                yield f"show {name.strip(chr(34))}".strip()
