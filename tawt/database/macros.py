"""`sql/shared/macros/NAME.sql` -> the macros of every connection, each made before what calls it.

A macro is one expression over its parameters: it looks at no relation, no other row, no clock and no file. So it may
stand in any stage, and hides nothing from the rules that stages are held to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import duckdb

from tawt.database.catalog import is_taken, refused_functions, unbounded_texts
from tawt.database.growth import Growth, growth
from tawt.database.parse import Node, parse, walk
from tawt.errors import StageError, faults_of, nearest
from tawt.project import Project, asset_root
from tawt.readers import MAX_WRITTEN_BYTES, read_text

FOLDER = "sql/shared/macros"
_FORM = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*create\s+macro\s+(?P<head>(?P<name>\w+)\s*\((?P<given>[^()]*)\))\s+as\s", re.IGNORECASE
)
_CONSTANT = re.compile(r"'[^']*'|\[[^\]]*\]|\{[^}]*\}")
"""What stands for a parameter that is left out, where commas may stand in it."""
_RESERVED = "tawt_"
"""How the names of macros begin that shards and samples hang on, and that a project cannot replace."""


@dataclass(frozen=True)
class Macro:
    """One macro."""

    name: str
    path: Path
    sentence: str
    """The first line: what it gives."""
    head: str
    """How it is called, as `moment(cell, zone := null)`."""
    text: str
    """The statement that makes it."""
    calls: tuple[str, ...]
    """The macros that it calls."""
    tree: Node = field(compare=False, repr=False)
    """What it gives, parsed."""
    parameters: tuple[str, ...]
    """What it is called with."""
    required: tuple[str, ...]
    """Those without which it cannot be called."""


@dataclass(frozen=True)
class Macros:
    """The macros of a project, each after those that it calls."""

    listed: tuple[Macro, ...]
    growths: Mapping[str, Growth] = field(default_factory=dict, compare=False, repr=False)
    """What a call of each becomes."""

    @property
    def names(self) -> frozenset[str]:
        """Their names."""
        return frozenset(macro.name for macro in self.listed)

    def used(self, tree: Node) -> tuple[Macro, ...]:
        """Return the macros that a select hangs on: those that it calls, and those that these call."""
        found = called(tree, self.names)
        for macro in reversed(self.listed):
            found |= set(macro.calls) if macro.name in found else set()
        return tuple(macro for macro in self.listed if macro.name in found)


def make_macros(connection: duckdb.DuckDBPyConnection, macros: Iterable[Macro]) -> None:
    """Make macros on a connection, and those that shards follow from with any; as they were read, whatever became of
    their files since.

    Raises:
        StageError: One does not fit those that it calls.
    """
    own = {one.name: one for one in load_macros().listed if one.name.startswith(_RESERVED)}
    of = {one.name: one for one in macros} | own
    order = TopologicalSorter({name: [call for call in of[name].calls if call in of] for name in sorted(of)})
    made = [of[name] for name in order.static_order()]
    try:
        connection.execute("".join(f"{macro.text};\n" for macro in made))
    except duckdb.Error:
        for macro in made:
            _make(connection, macro)


def _make(connection: duckdb.DuckDBPyConnection, macro: Macro) -> None:
    try:
        connection.execute(macro.text.replace("create", "create or replace", 1))
    except duckdb.Error:
        what = f"does not fit the macros that it calls ({', '.join(macro.calls)})" if macro.calls else "has no type"
        raise StageError(
            f"macro {macro.name} ({macro.path.name})", f"{what}, expected an expression of types that fit", "mend one"
        ) from None


def load_macros(project: Project | None = None) -> Macros:
    """Return the macros of a project, its own in the place of those that come with tawt.

    Args:
        project: By default what comes with tawt alone.

    Raises:
        StageError: A file is not one macro, or holds what no row by itself could give.
    """
    paths = list((project or Project()).files(FOLDER, ".sql").values())
    texts = [read_text(path, "mend the file", StageError, "a macro", MAX_WRITTEN_BYTES) for path in paths]
    return _checked(tuple(zip(paths, texts, strict=True)))


def called(tree: Node, names: frozenset[str]) -> set[str]:
    """Return which functions of a tree have one of some names."""
    functions = (str(node.get("function_name", "")).lower() for node in walk(tree) if node.get("class") == "FUNCTION")
    return set(functions) & names


def hold_calls(tree: Node, macros: Collection[Macro], where: str) -> None:
    """Hold the calls of macros to what each is called with: one that was edited may take more or fewer than before.

    Raises:
        StageError: A call gives too many, or leaves out what the macro needs.
    """
    of = {macro.name: macro for macro in macros}
    for node in walk(tree):
        macro = of.get(str(node.get("function_name", "")).lower()) if node.get("class") == "FUNCTION" else None
        if macro is None or node.get("schema"):  # in `cell.half()` the cell stands where a schema could
            continue
        given = [str(one.get("name") or "").lower() for one in node.get("arguments", ())]
        in_place = given.count("")
        known = {*macro.parameters[:in_place], *given}
        if in_place > len(macro.parameters) or not known.issuperset(macro.required):
            number = f"{len(given)} argument{'s' * (len(given) != 1)}"
            raise StageError(
                where, f"calls `{macro.name}` with {number}, expected `{macro.head}`, as its file says",
                f"mend the call, or the macro: {macro.path}",
            )  # fmt: skip


@lru_cache(maxsize=16)
def _checked(files: tuple[tuple[Path, str], ...]) -> Macros:
    names = frozenset(path.stem for path, _ in files)
    macros = {}
    for path, text in files:
        with faults_of(path):
            macros[path.stem] = _read(path, text, names)
    try:
        order = list(TopologicalSorter({name: macro.calls for name, macro in macros.items()}).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise StageError(
            f"macro {error.args[1][0]}",
            f"calls itself ({circle}), expected a macro that ends",
            "take one of the calls out",
        ) from None
    growths: dict[str, Growth] = {}
    for macro in (macros[name] for name in order):
        where = f"macro {macro.name} ({macro.path.name})"
        with faults_of(macro.path):
            hold_calls(macro.tree, macros.values(), where)
            grown = growth(macro.tree, growths, where, macro.parameters)
        growths[macro.name] = Growth(macro.parameters, grown.own, grown.uses)
    return Macros(tuple(macros[name] for name in order), growths)


def _read(path: Path, text: str, names: frozenset[str]) -> Macro:
    where = f"macro {path.stem} ({path.name})"
    form = _FORM.match(text)
    if form is None:
        raise StageError(
            where, "is not of the form, expected `create macro NAME(cell) as EXPRESSION`",
            "write one macro to a file, with a first line `-- SENTENCE.`",
        )  # fmt: skip
    name, body = form["name"], text[form.end() :].strip()
    if name != path.stem or not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise StageError(
            where,
            f"makes `{name}`, expected the name of its file in small letters",
            f"call the file {name.lower()}.sql",
        )
    if is_taken(name):
        raise StageError(
            where, "has a name that means something to the engine, expected another", "give it one of its own"
        )
    packaged = asset_root() / FOLDER / path.name
    if name.startswith(_RESERVED) and not (packaged.is_file() and packaged.read_text(encoding="utf-8") == text):
        raise StageError(
            where, f"begins with `{_RESERVED}`, expected a name of its own",
            "these macros are not to be replaced: shards and samples follow from them",
        )  # fmt: skip
    given = [one.partition(":=") for one in _CONSTANT.sub("", form["given"]).lower().split(",")]
    parameters = tuple(dict.fromkeys(name.strip() for name, _, _ in given if name.strip()))
    required = tuple(name for name in parameters if not any(one.strip() == name and sign for one, sign, _ in given))
    tree = one_expression(body, where, parameters, names)
    first = text.lstrip().splitlines()[0]
    sentence = first.lstrip("- ").strip() if first.startswith("--") else ""
    head = " ".join(form["head"].split())
    calls = tuple(sorted(called(tree, names)))
    return Macro(name, path, sentence, head, f"create macro {head} as {body}", calls, tree, parameters, required)


def one_expression(text: str, where: str, parameters: Collection[str], names: Collection[str]) -> Node:
    """Return the parse tree of a text that is one expression over parameters, made of functions of one row's cells.

    Args:
        text: What its author wrote.
        where: Where it stands.
        parameters: The names that it may say, in small letters.
        names: Of the macros that it may call.

    Raises:
        StageError: It is anything else.
    """
    tree = parse(f"select {text}\n") if not text.rstrip().endswith(";") else None
    if tree is None or not _is_one_expression(tree):
        expected = "one over its parameters" if parameters else "one of cells that are written out"
        raise StageError(where, f"does not end in one expression, expected {expected}", "no `;`, no select, no table")
    _hold(tree, where, parameters, names)
    return tree


def _is_one_expression(tree: Node) -> bool:
    node = tree["statements"][0]["node"] if len(tree["statements"]) == 1 else {}
    return (
        node.get("type") == "SELECT_NODE"
        and [one["alias"] for one in node["select_list"]] == [""]
        and node["from_table"]["type"] == "EMPTY"
        and sum(one.get("type") == "SELECT_NODE" for one in walk(tree)) == 1
        and not any(
            node.get(key) for key in ("where_clause", "having", "qualify", "sample", "group_expressions", "modifiers")
        )
    )


def _hold(tree: Node, where: str, parameters: Collection[str], names: Collection[str]) -> None:
    """Hold an expression to its parameters and to functions of one row."""
    for function in refused_functions(tree, row_wise=True):
        if function not in names:
            raise StageError(
                where, f"calls `{function}`, expected functions of cells of one row", nearest(function, names)
            )
    for function in unbounded_texts(tree):
        raise StageError(where, f"calls `{function}` for a length not written out, expected a number", "write it out")
    within = {str(one) for node in walk(tree) if node.get("class") == "LAMBDA" for one in _lambda_names(node)}
    for node in walk(tree):
        if node.get("class") == "PARAMETER":
            raise StageError(
                where, f"names the parameter `${node['identifier']}`, expected those in its brackets",
                "hand it over where the macro is called",
            )  # fmt: skip
        if node.get("class") == "COLUMN_REF" and (word := str(node["column_names"][0]).lower()) not in within.union(
            parameters
        ):
            raise StageError(where, f"names `{word}`, expected one of its parameters", nearest(word, parameters))
        if node.get("class") == "STAR":
            raise StageError(where, "holds `*`, expected its parameters", "name them")


def _lambda_names(node: Node) -> list[str]:
    left = node.get("lhs") or {}
    return [str(one["column_names"][0]).lower() for one in walk(left) if one.get("class") == "COLUMN_REF"]
