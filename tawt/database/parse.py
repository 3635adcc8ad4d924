"""What the parse tree of a select says: relations by scope, functions by the engine's own catalog, constants.

The engine's catalog says of each function what it is. A stage may call what gives the same result for the same
arguments, whether built in or a macro of such: not the clock, chance, settings, sequences, files or the environment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import duckdb

from tawt.files import digest

Node = dict[str, Any]

_READING = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
_OF_ENGINE = (
    "version", "age", "current_localtime", "current_localtimestamp", "json_serialize_plan", "json_serialize_sql",
    "json_deserialize_sql", "user", "current_user", "session_user", "current_role",
)  # fmt: skip
"""Functions that the catalog holds for constant, and that tell of the engine, the session or the clock; `age` of one
time does."""
LONGEST_MADE = 10_000
"""Letters of a text whose length is a number that a function is given, and how often one may be repeated."""
_MADE_LONG = {"lpad": 1, "rpad": 1, "repeat": 1, "bitstring": 1}
"""Functions that make a text as long as a number says, and the place of the number."""
_FORMATS = ("format", "printf")
"""Functions that make a text as long as a number in their first text says."""
_SPECIAL = frozenset(("unnest", "unlist"))
"""Part of the grammar: in no catalog."""


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """An engine that only parses: opening one takes longer than all stages of a pipeline do to parse."""
    return duckdb.connect(":memory:", config={"threads": 1, "errors_as_json": True})


def statements(text: str) -> list[duckdb.Statement]:
    """Return the statements of a text.

    Raises:
        duckdb.Error: It does not parse.
    """
    return _engine().cursor().extract_statements(text)


@cache
def parse(text: str) -> Node | None:
    """Return the parse tree of selects; None where the text is anything else."""
    ((serialized,),) = _engine().cursor().execute("select json_serialize_sql(?)", [text]).fetchall()
    tree: Node = json.loads(serialized)
    if str(tree.get("error_type")).lower() not in ("none", "parser", "not implemented", "invalid input"):
        raise MemoryError  # what is no mistake of a text
    return None if tree.get("error") else tree


@lru_cache(maxsize=1024)
def meaning(text: str) -> str:
    """Return the hash of what selects say: comments, line ends, blanks and the case of keywords are none of it."""
    return digest(_without_places(parse(text)))


def _without_places(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_places(child) for key, child in node.items() if not key.startswith("query_location")}
    return [_without_places(item) for item in node] if isinstance(node, list) else node


def unparse(tree: Node) -> str:
    """Return the text of a parse tree."""
    ((text,),) = _engine().cursor().execute("select json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()
    return str(text)


def walk(node: Any) -> Iterator[Node]:
    """Yield every mapping of the parse tree in the order of the text as far as the tree keeps it."""
    if isinstance(node, dict):
        yield node
        # `with` stands before the body in the text but after it in some nodes
        for key in sorted(node, key=lambda k: k != "cte_map"):
            yield from walk(node[key])
    elif isinstance(node, list):
        for item in node:
            yield from walk(item)


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
        _engine().cursor().execute(f"select cast($value as {type_})", {"value": value}).fetchall()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        return False
    return True


@cache
def is_zone(name: str) -> bool:
    """Return whether the engine knows a time zone of that name."""
    try:
        _engine().cursor().execute("select timezone(?, timestamptz '2000-01-01 00:00:00+00')", [name]).fetchall()
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


def refused_functions(tree: Node, row_wise: bool) -> Iterator[str]:
    """Yield the functions of a tree that a stage may not call.

    Args:
        tree: A parse tree.
        row_wise: Whether the stage gives one row per row, each made of its own cells alone.
    """
    for node in walk(tree):
        kind, name = node.get("class"), str(node.get("function_name", "")).lower()
        if kind == "COLUMN_REF":
            names = node.get("column_names") or [""]
            name = str(names[0]).lower()
            if len(names) == 1 and is_called(name):
                yield name
        elif kind == "WINDOW" and row_wise:
            yield f"{name} over"
        elif kind in ("FUNCTION", "WINDOW") and not _is_allowed(name, row_wise):
            yield name


@cache
def is_called(word: str) -> bool:
    """Return whether the engine calls a function for a word that no relation has as a column."""
    name = word.replace('"', '""')
    try:
        _engine().cursor().execute(f'explain select "{name}"')
    except duckdb.BinderException:
        return False
    return True


def unbounded_texts(tree: Node) -> Iterator[str]:
    """Yield the functions that make a text of a length which is not written out, or of one beyond all cells.

    A cell in the making is seen by no limit of the engine, and these make it letter by letter, deaf to Ctrl-C. Lists
    are not meant: the engine takes their room at once, and is told by the system where there is none.
    """
    for node in walk(tree):
        name = str(node.get("function_name", "")).lower()
        place = 0 if name in _FORMATS else _MADE_LONG.get(name)
        if place is not None and not _is_short(node, place):
            yield name


def _is_short(call: Node, place: int) -> bool:
    """Return whether the argument in a place is a constant that asks for no long text."""
    given = [(one.get("expression") or {}).get("literal") or {} for one in call.get("arguments", ())]
    # in `a.lpad(5)` a stands where a schema could, and all places are others
    if call.get("schema") or len(given) <= place or given[place].get("kind") != ("INTEGER" if place else "STRING"):
        return False
    text = str(given[place]["text"])
    # a width can be an argument too
    named = _WIDTH_ELSEWHERE.search(text) is not None
    return not named and all(int(number) <= LONGEST_MADE for number in re.findall(r"[0-9]+", text))


_WIDTH_ELSEWHERE = re.compile(r"%[^a-zA-Z%]*\*|\{[^}]*\{")


@lru_cache(maxsize=1)
def _catalog() -> dict[str, list[tuple[str, str | None, str | None]]]:
    listed = "select lower(function_name), function_type, stability, macro_definition from duckdb_functions()"
    rows = _engine().cursor().execute(listed).fetchall()
    catalog: dict[str, list[tuple[str, str | None, str | None]]] = {}
    for name, kind, stability, definition in rows:
        catalog.setdefault(name, []).append((kind, stability, definition))
    return catalog


def is_taken(name: str) -> bool:
    """Return whether a call of that name means something to the engine: a function of its own, a type, a word."""
    tree = parse(f"select {name}(x)")
    one = tree["statements"][0]["node"]["select_list"][0] if tree is not None else {}
    return name in _catalog() or one.get("class") != "FUNCTION" or one.get("function_name") != name


def is_aggregate(name: str) -> bool:
    """Return whether the engine has an aggregate of that name."""
    return any(kind == "aggregate" for kind, _, _ in _catalog().get(name, ()))


def macro_trees(name: str) -> Iterator[Node]:
    """Yield what the macros of that name stand for."""
    for kind, _, definition in _catalog().get(name, ()):
        if kind == "macro" and (tree := parse(f"select {definition}")) is not None:
            yield tree


@cache
def _is_allowed(name: str, row_wise: bool) -> bool:
    """Return whether every function of this name may be called."""
    if name in _SPECIAL:
        return not row_wise
    entries = _catalog().get(name, [])
    return bool(entries) and name not in _OF_ENGINE and all(_is_pure(*entry, row_wise) for entry in entries)


def _is_pure(kind: str, stability: str | None, definition: str | None, row_wise: bool) -> bool:
    if kind == "macro":
        tree = parse(f"select {definition}")
        return (
            tree is not None
            and not any(relations(tree))
            and not [*refused_functions(tree, row_wise), *table_functions(tree)]
        )
    if kind in ("table", "table_macro"):
        # `range` and its like are lists too, where no relation is expected
        return True
    if kind == "scalar":
        return stability == "CONSISTENT"
    return kind in ("aggregate", "window") and not row_wise
