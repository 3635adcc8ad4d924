"""The nulls that the author of a select wrote in the place of a column: they stand in the text, in a `case` too (one
without `else` ends in a null), and reach the column through steps, unions and subqueries as they are. A null that was
read, that a function gave or that a join left is none of them, nor is one of a `case` that asks about the time itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tawt.database.parse import Node, parse, unparse


@dataclass(frozen=True)
class _Step:
    """A `with` of a text, and those that it may read."""

    query: Node
    names: tuple[str, ...]
    scope: Mapping[str, _Step]


_Null = tuple[Node, bool]
"""A null, and whether it stands under a condition."""


def with_moment(text: str, column: str, moment: str) -> tuple[str | None, bool]:
    """Return a select with a moment for each null that its author wrote as a column, None where none is; and whether
    one of them stands under a condition."""
    tree = json.loads(json.dumps(parse(text)))  # a copy: what was parsed is kept
    nulls = list(_of_query(tree["statements"][0]["node"], column, {}))
    for node, _ in nulls:
        if node["class"] == "CONSTANT":  # a step that is read twice gives its nulls twice
            node |= {**_moment(moment), "alias": node["alias"]}
    return unparse(tree) if nulls else None, any(conditional for _, conditional in nulls)


def _moment(moment: str) -> Node:
    tree = json.loads(json.dumps(parse(f"select cast('{moment}' as timestamp)")))
    node: Node = tree["statements"][0]["node"]["select_list"][0]
    return node


def _of_query(query: Node, column: str | int, scope: Mapping[str, _Step]) -> Iterator[_Null]:
    """Yield the nulls of a column of a select or of a union of them, by its name or by its place."""
    for entry in (query.get("cte_map") or {}).get("map", []):
        step = entry["value"]
        scope = {**scope, entry["key"].lower(): _Step(step["query_node"], tuple(step["aliases"]), scope)}
    if query["type"] == "SET_OPERATION_NODE":
        children, kind = query["children"], query["setop_type"]
        place = column if kind == "UNION_BY_NAME" else _place(children[0], column)
        for child in children if kind.startswith("UNION") else children[:1]:
            yield from _of_query(child, _place_in(child, place, children[0], column), scope)
    elif query["type"] == "SELECT_NODE":
        given = query["select_list"]
        place = _place(query, column)
        if isinstance(place, int):
            yield from _of_expression(given[place], query, scope) if _is_at(given, place) else ()
            return
        for star in given:
            if star["class"] == "STAR" and star["expr"] is None:
                yield from _of_star(star, place, query, scope)


def _place(query: Node, column: str | int) -> str | int:
    """Return at which place a select gives a column, from the end (-1) where a `*` stands before it; its name where
    that is not known, for it may come with a `*`."""
    given = _given(query)
    for place, item in enumerate(given):
        named = item["class"] != "STAR" and str(item["alias"] or (item.get("column_names") or [""])[-1]).lower()
        if column in (place, named):
            return next((one for one in (place, place - len(given)) if _is_at(given, one)), column)
    return column


def _place_in(query: Node, place: str | int, first: Node, column: str | int) -> str | int:
    """Return at which place a part of a union has what the first part has at one, counted from either end."""
    given, n = _given(first), len(_given(first))
    places = [place] if isinstance(place, int) else []
    if places and not any(item["class"] == "STAR" for item in given):
        places.append(places[0] - n if places[0] >= 0 else places[0] + n)
    return next((one for one in places if _is_at(_given(query), one)), column if places else place)


def _given(query: Node) -> list[Node]:
    """Return what a select gives, or the first of a union."""
    while query["type"] == "SET_OPERATION_NODE":
        query = query["children"][0]
    return list(query.get("select_list", ()))


def _is_at(given: list[Node], place: int) -> bool:
    """Return whether a select gives one column at a place: no `*` stands there, nor on the way from the end."""
    within = -len(given) <= place < len(given)
    return within and all(item["class"] != "STAR" for item in (given[: place + 1] if place >= 0 else given[place:]))


def _of_star(star: Node, column: str | int, query: Node, scope: Mapping[str, _Step]) -> Iterator[_Null]:
    for item in star["replace_list"]:
        if item["key"].lower() == column:
            yield from _of_expression(item["value"], query, scope)
            return
    if isinstance(column, str) and column not in map(str.lower, star["exclude_list"]) and not star["rename_list"]:
        yield from _of_relation(query["from_table"], column, star["relation_name"].lower(), scope)


def _of_expression(node: Node, query: Node, scope: Mapping[str, _Step]) -> Iterator[_Null]:
    kind = node["class"]
    if kind == "CONSTANT" and node["literal"]["kind"] == "NULL_LITERAL":
        yield node, False
    elif kind == "CAST":
        yield from _of_expression(node["child"], query, scope)
    elif kind == "CASE":
        given = [*(check["then_expr"] for check in node["case_checks"]), node["else_expr"]]
        if not _judges(given, [check["when_expr"] for check in node["case_checks"]]):
            for one in given:
                yield from ((node, True) for node, _ in _of_expression(one, query, scope))
    elif kind == "FUNCTION" and node["function_name"] == "if":
        asked, *given = (one["expression"] for one in node["arguments"])
        if not _judges(given, [asked]):
            for one in given:
                yield from ((node, True) for node, _ in _of_expression(one, query, scope))
    elif kind == "COLUMN_REF":
        *of, column = map(str.lower, node["column_names"])
        yield from _of_relation(query["from_table"], column, of[-1] if of else "", scope)


def _judges(given: list[Node], asked: list[Node]) -> bool:
    """Return whether what is given is asked about first (`case when t > '2000-01-01' then t end`): the null that is
    left then hangs on what was read."""
    return bool(_columns(given) & _columns(asked))


def _columns(nodes: Any) -> set[str]:
    """Return the columns that some expressions name."""
    if isinstance(nodes, list):
        return {name for one in nodes for name in _columns(one)}
    if not isinstance(nodes, Mapping):
        return set()
    own = {nodes["column_names"][-1].lower()} if nodes.get("class") == "COLUMN_REF" else set()
    return own.union(*map(_columns, nodes.values()))


def _of_relation(node: Node, column: str, of: str, scope: Mapping[str, _Step]) -> Iterator[_Null]:
    """Yield the nulls of a column of what a select reads; `of`, where it is said, is the relation's name in it."""
    kind = node["type"]
    if kind == "JOIN":
        for side in ("left", "right"):
            yield from _of_relation(node[side], column, of, scope)
    elif kind == "PIVOT" and not any(column in map(str.lower, one) for one in _made(node)):
        yield from _of_relation(node["source"], column, "", scope)
    elif kind in ("BASE_TABLE", "SUBQUERY"):
        name = str(node.get("table_name", "")).lower()
        step = scope.get(name) if kind == "BASE_TABLE" and not node["schema_name"] else None
        if kind == "SUBQUERY":
            step = _Step(node["subquery"]["node"], (), scope)
        if step is not None and of in ("", str(node["alias"]).lower() or name):
            names = [name.lower() for name in (node["column_name_alias"] or step.names)]
            yield from _of_query(step.query, names.index(column) if column in names else column, step.scope)


def _made(pivot: Node) -> Iterator[list[str]]:
    """Yield the names of the columns that an `unpivot` makes."""
    yield pivot["unpivot_names"]
    for one in pivot["pivots"]:
        yield one["unpivot_names"]
