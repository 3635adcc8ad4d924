"""What `tawt query` is asked: one select over the relations of a workspace, or the explain of one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tawt.contracts.layers import LAYERS
from tawt.database.catalog import refused_functions
from tawt.database.connect import SCHEMAS
from tawt.database.macros import load_macros
from tawt.database.parse import parse, relations, table_functions, writing_node
from tawt.errors import ConfigError, StageError, nearest
from tawt.project import Project
from tawt.shell import command
from tawt.sources.sql_file import hold_lengths, statements_of

_EXPLAIN = re.compile(r"^\s*explain(\s+analyze)?\b", re.IGNORECASE)
_QUERY_RELATIONS = (
    *(one.name for one in LAYERS.values() if one.built_in and one.suffix == ".parquet"), "ledger", "quarantine",
    "codes",
)  # fmt: skip
_QUERY_FUNCTIONS = (
    "unnest", "range", "generate_series", "random", "now", "today", "current_date", "current_timestamp", "describe",
    "summarize", "show tables",
)  # fmt: skip
"""What a query may call and a stage may not: nothing is made from its result."""


def check_select(
    text: str,
    workspace: object = "WORKSPACE",
    there: Mapping[str, tuple[str, str] | None] | None = None,
    project: Project | None = None,
) -> frozenset[str]:
    """Hold a query to one `select` over the workspace's relations, or the `explain` of one.

    Args:
        text: The query.
        workspace: For hints.
        there: The relations of the workspace, in lower case -> why one cannot be read and the command that makes it, or
            nothing; None = any that one may have.
        project: Whose macros it may call.

    Returns:
        The relations that it reads, in lower case.

    Raises:
        ConfigError: It is anything else, or calls for files, settings or the engine itself.
        StageError: It reads what is no relation of a workspace.
    """
    explained = _EXPLAIN.sub("", text)
    example = f"for example `{command('query', 'select count(*) from events', workspace=workspace)}`"
    listed = statements_of(explained, "query", ConfigError)
    kind = str(listed[0].type).rpartition(".")[2].lower() if len(listed) == 1 else ""
    tree = parse(explained) if kind == "select" else None
    if tree is None or writing_node(tree) is not None:
        what = (
            f"is a {kind} that does more than read"
            if kind == "select"
            else f"is a {kind} statement"
            if kind
            else (f"holds {len(listed)} statements")
        )
        raise ConfigError("query", f"{what}, expected one select (or the explain of one)", example)
    callable_ = {*_QUERY_FUNCTIONS, *load_macros(project).names}
    for function in (*table_functions(tree), *refused_functions(tree, row_wise=False)):
        if function.lower() not in callable_:
            raise ConfigError("query", f"calls `{function}`, expected functions of cells", example)
    hold_lengths(tree, "query", ConfigError)
    named = set()
    for found in relations(tree):
        schema, table = found.schema.lower(), found.table.lower()  # as the engine takes them
        name = f"{schema}.{table}" if schema and schema != table else table
        may = schema in SCHEMAS if schema else table in _QUERY_RELATIONS
        known = dict.fromkeys(_QUERY_RELATIONS) if there is None else there
        unmade = known.get(name) if not found.qualified else None
        if found.qualified or not may or (there is not None and name not in there) or unmade:
            shown = f"{found.schema}.{found.table}" if schema else found.table
            why = f"which {unmade[0]}, " if unmade else ""
            near = nearest(name, [one for one, lack in known.items() if not lack])
            what = f"reads `{shown}`, {why}expected a relation of the workspace"
            raise StageError("query", what, f"`{unmade[1]}`" if unmade else near)
        named.add(name)
    return frozenset(named)


def is_explained(text: str) -> bool:
    """Return whether a query asks how it would run."""
    return _EXPLAIN.match(text) is not None
