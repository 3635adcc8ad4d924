"""What the engine's catalog says of functions and types.

A stage may call what gives the same result for the same arguments, whether built in or a macro of such: not the clock,
chance, settings, sequences, files or the environment. The session's zone is a setting, but always the one of `connect`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import duckdb

from tawt.database.parse import Node, engine, parse, relations, table_functions, walk

_OF_ENGINE = (
    "version", "age", "current_localtime", "current_localtimestamp", "json_serialize_plan", "json_serialize_sql",
    "json_deserialize_sql", "user", "current_user", "session_user", "current_role",
)  # fmt: skip
"""Functions that the catalog holds for constant, and that tell of the engine, the session or the clock; `age` of one
time does."""
_VALUES = frozenset((
    "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp",
    "current_user", "localtime", "localtimestamp", "session_user", "user",
))  # fmt: skip
"""Words that are calls without brackets, as the engine has them: to ask it of each column takes longer than all else
that a wide table is asked; a test does."""
LONGEST_MADE = 10_000
"""Letters of a text whose length is a number that a function is given, and how often one may be repeated."""
_MADE_LONG = {"lpad": 1, "rpad": 1, "repeat": 1, "bitstring": 1}
"""Functions that make a text as long as a number says, and the place of the number."""
_FORMATS = ("format", "printf")
"""Functions that make a text as long as a number in their first text says."""
_SPECIAL = frozenset(("unnest", "unlist"))
"""Part of the grammar: in no catalog."""
_TOLD = frozenset(("BOOLEAN", "INTEGER", "BIGINT", "UINTEGER", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE"))
"""What functions give that tell something of a text."""


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


def is_called(word: str) -> bool:
    """Return whether the engine calls a function for a word, in small letters, that no relation has as a column."""
    return word in _VALUES


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


@dataclass(frozen=True)
class _Function:
    """A function, as the catalog has it; several have one name."""

    kind: str
    stability: str | None
    definition: str | None
    gives: str | None
    takes: tuple[str, ...]

    @property
    def reads_zone(self) -> bool:
        """Whether it reckons with moments that have a zone: what of the session it hangs on is the zone."""
        return (
            bool(self.takes)
            and re.search("TIME ZONE|TIMESTAMPTZ", " ".join((*self.takes, self.gives or ""))) is not None
        )


@lru_cache(maxsize=1)
def _catalog() -> dict[str, list[_Function]]:
    listed = """
        select lower(function_name), function_type, stability, macro_definition, return_type, parameter_types
        from duckdb_functions()
    """
    catalog: dict[str, list[_Function]] = {}
    for name, kind, stability, definition, gives, takes in engine().cursor().execute(listed).fetchall():
        one = _Function(kind, stability, definition, gives, tuple(type_ or "" for type_ in takes or ()))
        catalog.setdefault(name, []).append(one)
    return catalog


def tells(name: str) -> bool:
    """Return whether a function tells something of what it is given, as a length or whether it is so: a count, a
    number or a truth, and never a part of it."""
    entries = _catalog().get(name, ())
    return bool(entries) and all(one.gives in _TOLD for one in entries)


@cache
def type_called(name: str) -> str:
    """Return what the engine calls a type that a text names, perhaps by another word."""
    try:
        quoted = name.replace('"', '""')
        return str(engine().cursor().execute(f'select typeof(null::"{quoted}")').fetchall()[0][0])
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        return name.upper()


def is_taken(name: str) -> bool:
    """Return whether a call of that name means something to the engine: a function of its own, a type, a word."""
    tree = parse(f"select {name}(x)")
    one = tree["statements"][0]["node"]["select_list"][0] if tree is not None else {}
    return name in _catalog() or one.get("class") != "FUNCTION" or one.get("function_name") != name


def is_aggregate(name: str) -> bool:
    """Return whether the engine has an aggregate of that name."""
    return any(one.kind == "aggregate" for one in _catalog().get(name, ()))


def macro_trees(name: str) -> Iterator[Node]:
    """Yield what the macros of that name stand for."""
    for one in _catalog().get(name, ()):
        if one.kind == "macro" and (tree := parse(f"select {one.definition}")) is not None:
            yield tree


@cache
def _is_allowed(name: str, row_wise: bool) -> bool:
    """Return whether every function of this name may be called."""
    if name in _SPECIAL:
        return not row_wise
    entries = _catalog().get(name, [])
    return bool(entries) and name not in _OF_ENGINE and all(_is_pure(one, row_wise) for one in entries)


def _is_pure(one: _Function, row_wise: bool) -> bool:
    if one.kind == "macro":
        tree = parse(f"select {one.definition}")
        return (
            tree is not None
            and not any(relations(tree))
            and not [*refused_functions(tree, row_wise), *table_functions(tree)]
        )
    if one.kind in ("table", "table_macro"):
        # `range` and its like are lists too, where no relation is expected
        return True
    if one.kind == "scalar":
        return one.stability == "CONSISTENT" or (one.stability == "CONSISTENT_WITHIN_QUERY" and one.reads_zone)
    return one.kind in ("aggregate", "window") and not row_wise
