"""A macro beside its YAML case: what it gives for cells that are written out.

    - {cell: " 12 ", gives: 12}
    - {cell: "2150-01-02T08:00:00Z", zone: Europe/Berlin, gives: "2150-01-02 09:00:00"}
    - {call: "believable(5, low := 9)", gives: ~}

A line names the parameters by their names; all of them are texts, just as they stand, and `~` is null. Where one is no
text, `call` is the whole expression, held to what a macro itself may say: cells written out, functions of them and
nothing else. What comes out is compared as a value of its type.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from tawt.config.load import parse_yaml
from tawt.database.connect import connect, literal
from tawt.database.limits import Limits
from tawt.database.macros import Macro, Macros, load_macros, one_expression
from tawt.errors import ConfigError, StageError, nearest
from tawt.project import Project
from tawt.readers import GIVEN, MAX_WRITTEN_BYTES, read_text
from tawt.sources.case_files import TextLoader

_FORM = "a line is as `- {cell: 12, gives: 12}`"


def run_macro_case(path: Path, project: Project) -> list[str]:
    """Run a macro on the cells of its case, and return one line per difference.

    Args:
        path: `tests/sql/shared/macros/NAME.yaml`.
        project: Has the macro of that name.

    Raises:
        ConfigError: The case is not of the form above, or there is no such macro.
        StageError: A macro of the project is refused.
    """
    macros = load_macros(project)
    macro = next((one for one in macros.listed if one.name == path.stem), None)
    if macro is None:
        raise ConfigError(str(path), "is of no macro, expected the name of one", nearest(path.stem, macros.names))
    text = read_text(path, GIVEN, ConfigError, "a YAML file", MAX_WRITTEN_BYTES)
    # the reader wants keys: the lines become those of one
    indented = "\n".join(f"  {line}" for line in text.splitlines())
    lines = parse_yaml(f"lines:\n{indented}", str(path), TextLoader)[0]["lines"]
    if not isinstance(lines, list) or not lines:
        raise ConfigError(str(path), "holds no line, expected a list of cells and what they give", _FORM)
    with closing(connect(Limits.of(1), [], project=project)) as connection:
        found = (_differs(connection, macro, macros, line, number, path) for number, line in enumerate(lines, 1))
        return [difference for difference in found if difference is not None]


def _differs(
    connection: duckdb.DuckDBPyConnection, macro: Macro, macros: Macros, line: Any, number: int, path: Path
) -> str | None:
    if not isinstance(line, dict) or "gives" not in line:
        raise ConfigError(str(path), f"line {number} says not what it `gives`, expected a cell and that", _FORM)
    call = _call(macro, {name: given for name, given in line.items() if name != "gives"}, str(path))
    try:
        one_expression(call, f"line {number}", set(), macros.names)
        relation = connection.sql(f"select {call}\nas given")
        type_ = relation.types[0]
        given = relation.fetchall()[0][0]
        wanted = connection.execute(f"select {_text(line['gives'])}::{type_}").fetchall()[0][0]
    except StageError as error:
        return f"line {number}: {error.what}"
    except duckdb.Error as error:
        return f"line {number}: does not run: {told(error)}"
    return None if given == wanted else f"line {number}: gives {given!r}, expected {wanted!r}"


def _call(macro: Macro, given: dict[str, Any], where: str) -> str:
    if set(given) == {"call"}:
        return str(given["call"])
    arguments = []
    for parameter in macro.head.partition("(")[2].rstrip(")").split(","):
        name, optional, _ = (part.strip() for part in parameter.partition(":="))
        if name in given:
            arguments.append((f"{name} := " if optional else "") + _text(given.pop(name)))
        elif not optional:
            raise ConfigError(where, f"names no `{name}`, expected the parameters of {macro.head}", _FORM)
    for name in given:
        raise ConfigError(where, f"names `{name}`, expected the parameters of {macro.head}", _FORM)
    return f"{macro.name}({', '.join(arguments)})"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return "null::varchar" if value is None else literal(str(value))


def told(error: duckdb.Error) -> str:
    """Return what the engine says of a mistake: cells of a case are invented, so it may quote them."""
    kind, _, said = str(error).partition(": ")
    try:
        return f"{kind}: {json.loads(said)['exception_message'].splitlines()[0]}"
    except (ValueError, KeyError, TypeError):
        return str(error).splitlines()[0]
