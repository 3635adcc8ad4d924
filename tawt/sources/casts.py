"""Cells are read by macros: a stage that casts a text to a number, a day, a time or a truth by itself is refused.

A cast takes `1E+11` for a whole number, `1.7` for 2, `1_000` and `nan` for numbers and `epoch` for 1970. Whether what
is cast comes from a text is told from the parse tree, column by column, through the steps of the stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tawt.contracts.contract import Contract
from tawt.contracts.types import TYPES, macro_for
from tawt.database.catalog import tells, type_called
from tawt.database.macros import Macros
from tawt.database.parse import Node, parse
from tawt.errors import StageError
from tawt.sources.sql_file import SqlFile

_PARSERS = ("strptime", "try_strptime", "to_timestamp", "epoch_ms")
Columns = Mapping[str, bool]
"""Column of a relation -> whether it comes from a text."""


def hold_reading(sql: SqlFile, read: Mapping[str, Contract], macros: Macros) -> None:
    """Refuse a stage that reads a cell by itself.

    Args:
        sql: The stage.
        read: What the relations that it reads promise.
        macros: What reads cells.

    Raises:
        StageError: It casts a text, or parses a time from one.
    """
    tree = parse(sql.text)
    assert tree is not None
    texts = {name: _texts(contract) for name, contract in read.items()}
    for what, macro in _Reading(texts, macros.names).of_tree(tree):
        raise StageError(
            sql.name, f"{what} by itself, expected a macro that refuses what is none",
            f"write `{macro}(...)` in its place: see docs/reference/macros.md",
        )  # fmt: skip


def _texts(contract: Contract) -> Columns:
    return {column.name.lower(): TYPES[column.cell_type].macro == "words" for column in contract.columns}


class _Reading:
    """Which columns come from texts, select by select."""

    def __init__(self, relations: Mapping[str, Columns], macros: frozenset[str]) -> None:
        self.relations, self.macros = relations, macros
        self.found: list[tuple[str, str]] = []

    def of_tree(self, tree: Node) -> Iterator[tuple[str, str]]:
        """Yield what is read without a macro, in words, and the macro that reads it."""
        for statement in tree["statements"]:
            self._of_query(statement["node"], {})
        yield from self.found

    def _of_query(self, node: Node, steps: Mapping[str, Columns]) -> dict[str, bool]:
        """Return the columns that a select gives, and note what it casts."""
        steps = dict(steps)
        for entry in (node.get("cte_map") or {}).get("map", []):
            steps[entry["key"].lower()] = self._of_query(entry["value"]["query_node"], steps)
        if node.get("type") == "SELECT_NODE":
            columns = self._of_relation(node.get("from_table") or {}, steps)
            given = self._given(node.get("select_list", []), columns)
            self._note([part for key, part in node.items() if key != "cte_map"], {**given, **columns}, steps)
            return given
        parts = [*(node.get("children") or ()), node.get("left"), node.get("right")]
        sides = [self._of_query(part, steps) for part in parts if isinstance(part, dict)]
        names = list(sides[0]) if sides else []
        by_place = [list(side.values()) for side in sides]
        return {name: any(side[i] for side in by_place if i < len(side)) for i, name in enumerate(names)}

    def _of_relation(self, node: Node, steps: Mapping[str, Columns]) -> dict[str, bool]:
        kind = node.get("type")
        if kind == "BASE_TABLE":
            schema, table = str(node.get("schema_name") or "").lower(), str(node.get("table_name") or "").lower()
            step = steps.get(table) if not schema else None
            known = {name.lower(): columns for name, columns in self.relations.items()}
            return dict(step if step is not None else known.get(f"{schema}.{table}" if schema else table, {}))
        if kind == "SUBQUERY":
            return self._of_query(node["subquery"]["node"], steps)
        columns: dict[str, bool] = {}
        for side in ("left", "right"):
            if isinstance(node.get(side), dict):
                for name, text in self._of_relation(node[side], steps).items():
                    columns[name] = columns.get(name, False) or text
        return columns

    def _given(self, items: list[Node], columns: Columns) -> dict[str, bool]:
        given: dict[str, bool] = {}
        for place, item in enumerate(items):
            if item.get("class") == "STAR":
                replaced = {str(one["key"]).lower(): one["value"] for one in item.get("replace_list", ())}
                for name, text in columns.items():
                    given[name] = self._is_text(replaced[name], columns) if name in replaced else text
            else:
                name = str(item.get("alias") or (item.get("column_names") or [f"_{place}"])[-1]).lower()
                given[name] = self._is_text(item, {**given, **columns})
        return given

    def _note(self, part: object, columns: Columns, steps: Mapping[str, Columns]) -> None:
        """Note the casts of texts in a part of a select."""
        for node in _within(part):
            kind, function = node.get("class"), str(node.get("function_name", "")).lower()
            if kind == "SUBQUERY":
                self._of_query(node["subquery"]["node"], {**steps})
            elif kind == "CAST":
                type_ = str((node.get("type_expr") or {}).get("type_name", ""))
                macro = macro_for(type_called(type_))
                if macro is not None and self._is_text(node["child"], columns):
                    self.found.append((f"casts a text to {type_.lower()}", macro))
            elif (
                kind == "FUNCTION"
                and function in _PARSERS
                and any(self._is_text(one, columns) for one in _given_to(node))
            ):
                self.found.append((f"reads a time with `{function}`", "moment_as"))

    def _is_text(self, node: Node, columns: Columns) -> bool:
        """Return whether an expression is a cell, or made of one without a macro between."""
        kind = node.get("class")
        if kind == "COLUMN_REF":
            return columns.get(str(node["column_names"][-1]).lower(), False)
        if kind in ("CAST", "COLLATE"):
            return self._is_text(node["child"], columns)
        if kind == "CASE":
            branches = [check["then_expr"] for check in node.get("case_checks", ())] + [node.get("else_expr")]
            return any(self._is_text(one, columns) for one in branches if isinstance(one, dict))
        if kind == "OPERATOR" and node.get("type") not in (
            "OPERATOR_COALESCE",
            "ARRAY_EXTRACT",
            "STRUCT_EXTRACT",
            "ARRAY_SLICE",
        ):
            return False
        if kind == "OPERATOR":
            return any(self._is_text(one, columns) for one in node.get("children", ()))
        if kind in ("FUNCTION", "WINDOW"):
            name = str(node.get("function_name", "")).lower()
            if name in self.macros or tells(name):
                return False
            return any(self._is_text(one, columns) for one in _given_to(node))
        return False


def _given_to(node: Node) -> list[Node]:
    """Return the arguments of a call, in whichever form the tree has them."""
    given = [*node.get("arguments", ()), *node.get("children", ())]
    return [one.get("expression", one) for one in given if isinstance(one, dict)]


def _within(part: object) -> Iterator[Node]:
    """Yield the mappings of a part of a tree, and of a select within it the one that holds it alone."""
    if isinstance(part, dict):
        yield part
        if part.get("class") == "SUBQUERY" or part.get("type") == "SUBQUERY":
            return
        for value in part.values():
            yield from _within(value)
    elif isinstance(part, list):
        for item in part:
            yield from _within(item)
