"""Two rules of stages, told from the parse tree: staging is row-wise, and no result hangs on the order of rows.

Relations have no order: how rows arrive hangs on threads, and on what the files are cut into. What takes the first rows
that come, numbers them or draws from them is refused unless an ORDER BY says which; whether that leaves ties, a tree
cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import duckdb

from tawt.database.catalog import is_aggregate, macro_trees
from tawt.database.parse import Node, walk
from tawt.errors import StageError
from tawt.room import is_end_of_memory

_NOT_ROW_WISE = {
    "where_clause": "WHERE",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "sample": "SAMPLE",
    "group_expressions": "GROUP BY",
    "modifiers": "DISTINCT, ORDER BY or LIMIT",
}
_EXACT = ("BIGINT", "INT8", "INT64", "LONG", "HUGEINT", "VARCHAR", "TEXT", "STRING")
"""Types that hold every number of a record as it is; which one comes out in the end is held to the contract."""


def check_row_wise(tree: Node, where: str, references: tuple[str, ...]) -> None:
    """Hold a staging stage to one output row per record, so that no record can be lost unseen.

    Raises:
        StageError: It could lose, repeat or join records.
    """
    hint = "give the record a _reason (`drop:<rule>` or `quarantine:<column>:<reason>`) instead"
    if len(references) != 1:
        raise StageError(where, f"reads {len(references)} raw tables, expected one", "join in event_parts")
    for node in walk(tree):
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


def looks_around(tree: Node) -> bool:
    """Return whether a select makes something of several rows: what it says of a record then hangs on others."""
    for node in walk(tree):
        name = str(node.get("function_name", "")).lower()
        if node.get("class") == "WINDOW" or (node.get("class") == "FUNCTION" and is_aggregate(name)):
            return True
        if node.get("class") == "FUNCTION" and any(looks_around(macro) for macro in macro_trees(name)):
            return True
    return False


def check_carried(tree: Node, where: str) -> None:
    """Hold a row-wise stage to the `_row` of each record, as it is: another record's would pass every count.

    Raises:
        StageError: Something else than the `_row` of the relation gets that name in one of its selects.
    """
    for node in walk(tree):
        named = [*node.get("column_name_alias", ()), *(node.get("aliases") or ())]
        if any(map(_is_row, named)) or (node.get("type") == "SELECT_NODE" and not _carries(node)):
            raise StageError(
                where, "gives the name _row to something else, expected the _row of its relation as it is",
                "write `_row`, `_row::bigint as _row` or a plain `*` in every select",
            )  # fmt: skip


def _is_row(name: object) -> bool:
    return str(name).lower() == "_row"


def _carries(select: Node) -> bool:
    relation = select.get("from_table", {})
    # a column of the same name yields to the relation
    of_relation = {"", str(relation.get("alias") or relation.get("table_name") or "").lower()}
    for item in select.get("select_list", ()):
        # a star over the expression of a column gives that column's name to what is made of it
        if any(node.get("class") == "STAR" and (node is not item or node.get("columns")) for node in walk(item)):
            return False
        if item.get("class") == "STAR":
            # a struct can be unpacked like a relation
            named = [entry["value"] for entry in item.get("replace_list", ()) if _is_row(entry["key"])]
            renamed = [_is_row(entry["value"]) for entry in item.get("rename_list", ())]
            if str(item.get("relation_name") or "").lower() not in of_relation or any(renamed):
                return False
        else:
            name = item.get("alias") or (item.get("column_names") or [""])[-1]
            named = [item] if _is_row(name) else []
        if not all(_is_plain(one, of_relation) for one in named):
            return False
    return True


def _is_plain(node: Node, of_relation: set[str]) -> bool:
    if node.get("class") == "CAST" and str((node.get("type_expr") or {}).get("type_name")).upper() in _EXACT:
        node = node["child"]
    *before, name = node.get("column_names") or [""]
    return _is_row(name) and len(before) < 2 and {str(one).lower() for one in before} <= of_relation


def order_dependent(tree: Node) -> Iterator[str]:
    """Yield what hangs on the order in which rows arrive, or on chance, in words."""
    for node in walk(tree):
        kind, name = node.get("class"), str(node.get("function_name", "")).lower()
        if node.get("sample"):
            yield "SAMPLE"
        if node.get("ref_type") == "POSITIONAL" or node.get("nearest_approx"):
            yield "a join by position" if node.get("ref_type") == "POSITIONAL" else "an approximate join"
        if isinstance(modifiers := node.get("modifiers"), list):
            yield from _unordered_modifiers(modifiers)
        if kind == "FUNCTION":
            for macro in macro_trees(name):
                yield from order_dependent(macro)
            if is_aggregate(name) and not _orders(node.get("order_bys")) and not _any_order(node):
                yield f"`{name}` without ORDER BY"
        elif kind == "WINDOW" and not _orders(node) and not _orders(node, "arg_orders"):
            whole = (node.get("start"), node.get("end")) in _WHOLE
            if node.get("type") != "WINDOW_AGGREGATE" or not whole or not _any_order(node):
                yield f"`{name}` over a window without ORDER BY"


_WHOLE = {("UNBOUNDED_PRECEDING", end) for end in ("CURRENT_ROW_RANGE", "UNBOUNDED_FOLLOWING")}
"""Frames that hold every row of a partition without an order."""


def _unordered_modifiers(modifiers: list[Node]) -> Iterator[str]:
    ordered = any(_orders(one, places=True) for one in modifiers)
    for one in modifiers:
        if one.get("type") in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER") and not ordered:
            yield "LIMIT or OFFSET without ORDER BY"
        if one.get("distinct_on_targets") and not ordered:
            yield "DISTINCT ON without ORDER BY"


def _orders(node: Node | None, key: str = "orders", places: bool = False) -> bool:
    """Return whether there is an order by any column; with `places`, also by the place or all of the columns."""
    expressions = [order.get("expression") for order in (node or {}).get(key) or ()]
    nodes = [inner for expression in expressions for inner in walk(expression)]
    return any(
        inner.get("class") in ("COLUMN_REF", "POSITIONAL_REFERENCE")
        or (places and (inner.get("class") == "STAR" or (inner.get("literal") or {}).get("kind") == "INTEGER"))
        for inner in nodes
    )  # fmt: skip


_COLUMNS, _CONSTANTS = ("x", "y", "f", "z", "t"), ("2", "0.5", "[1, 5]", "','")
_CONSTANT = frozenset(("CONSTANT", "PARAMETER", "FUNCTION", "CAST", "OPERATOR"))
_ORDERS = {"up": "i", "down": "i desc", "mixed": "hash(i)"}


@cache
def _trial() -> duckdb.DuckDBPyConnection:
    """An engine with the same rows in three orders.

    Each value stands twice in a column, beside two others of each other column: what picks a row by a key hangs on the
    order where keys are alike. There are many values: few are counted in a table of all, in its own order.
    """
    connection = duckdb.connect(config={"threads": 1, "enable_external_access": False})
    for name, order in _ORDERS.items():
        connection.execute(
            f"create table {name} as select (i // 2) * 1000003 as x, (i * 7919 % 10000) // 2 as y, "
            "(i * 37 % 10000) // 2 / 8 as f, i % 2 = 0 as z, 'k' || (i * 77 % 10000) // 2 as t "
            f"from range(10000) r(i) order by {order}"
        )
    return connection


@cache
def any_order_will_do(name: str, arguments: tuple[bool, ...]) -> bool:
    """Return whether an aggregate gives the same of the same rows in any order: it is tried; rounding is let pass.

    Args:
        name: Of the aggregate.
        arguments: For each whether it holds a column; it is tried with every kind of them that it takes.
    """
    call = '"' + name.replace('"', '""') + '"'
    tried = False
    for given in product(*(_COLUMNS if column else _CONSTANTS for column in arguments)):
        try:
            one, *others = (
                _trial().execute(f"select {call}({', '.join(given)}) from {table}").fetchone() for table in _ORDERS
            )
        except duckdb.Error as error:
            if is_end_of_memory(error):
                raise
            continue
        if not all(_alike(one, other) for other in others):
            return False
        tried = True
    return tried


def _any_order(call: Node) -> bool:
    """Return the same of a call in a tree; what is made of constants alone is one."""
    given = [[node["class"] for node in walk(one) if "class" in node] for one in call.get("arguments") or ()]
    return any_order_will_do(str(call["function_name"]).lower(), tuple(not _CONSTANT.issuperset(one) for one in given))


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)
