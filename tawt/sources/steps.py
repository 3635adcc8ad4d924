"""The steps of a stage: one cut out of its select, with those that it needs."""

from __future__ import annotations

from tawt.database.connect import identifier
from tawt.database.parse import Node, parse, relations, unparse


def cte_text(text: str, name: str) -> str:
    """Return the stage rewritten in its parse tree so that it hands back one of its steps, made of those it needs.

    Raises:
        KeyError: The stage has no such CTE.
    """
    tree, step = parse(text), parse(f"select * from {identifier(name)}")
    assert tree is not None and step is not None
    steps = tree["statements"][0]["node"]["cte_map"]["map"]
    if name not in [entry["key"] for entry in steps]:
        raise KeyError(name)
    needed = {name.lower()}
    kept: list[Node] = []
    for entry in reversed(steps):  # a step reads those before it
        if entry["key"].lower() in needed:
            kept.insert(0, entry)
            needed |= {one.table.lower() for one in relations(entry["value"]) if not one.schema}
    (statement,) = step["statements"]
    node = {**statement["node"], "cte_map": {"map": kept}}
    return unparse({**step, "statements": [{**statement, "node": node}]})


def cte_names(text: str) -> list[str]:
    """Return the steps of a stage, in order."""
    tree = parse(text)
    assert tree is not None
    return [str(entry["key"]) for entry in tree["statements"][0]["node"]["cte_map"]["map"]]
