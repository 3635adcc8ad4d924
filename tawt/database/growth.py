"""How large an expression becomes once every macro in it stands for what it gives: the engine writes each out.

A macro that names its parameter twice doubles what it is called with: thirty of them, one around the other, are a
billion terms, and no limit of the engine sees them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tawt.errors import StageError

MOST_TERMS = 20_000
"""Terms that one call may become; the largest of a macro that comes with tawt becomes 1,500."""


@dataclass(frozen=True)
class Growth:
    """What a call of a macro becomes."""

    parameters: tuple[str, ...] = ()
    own: int = 0
    """Terms besides what it is called with."""
    uses: Counter[str] = field(default_factory=Counter)
    """How often each parameter stands in it."""


def growth(node: Any, of: Mapping[str, Growth], where: str, parameters: Collection[str] = ()) -> Growth:
    """Return what a parse tree becomes, each call of a macro held to a size that the engine can write out.

    Args:
        node: The tree, or a part of it.
        of: What calls of macros become.
        where: The text, for the message.
        parameters: The names that stand for what it is called with, in small letters.

    Raises:
        StageError: A call becomes larger.
    """
    own, uses, called = 0, Counter[str](), False
    if isinstance(node, list):
        parts = [(1, growth(one, of, where, parameters)) for one in node if isinstance(one, dict | list)]
    elif not isinstance(node, dict):
        return Growth()
    elif node.get("class") == "COLUMN_REF" and (word := str(node["column_names"][0]).lower()) in parameters:
        return Growth((), 0, Counter({word: 1}))
    elif node.get("class") == "FUNCTION" and (macro := of.get(str(node.get("function_name")).lower())) is not None:
        own, parts, places, called = macro.own, [], iter(macro.parameters), True
        for argument in node.get("arguments", ()):
            name = str(argument.get("name") or next(places, "")).lower()
            parts.append((macro.uses[name], growth(argument, of, where, parameters)))
    else:
        own = int("class" in node)
        parts = [(1, growth(child, of, where, parameters)) for child in node.values() if isinstance(child, dict | list)]
    for times, part in parts:
        own += times * part.own
        for name, n in part.uses.items():
            uses[name] += times * n
    if called and own + uses.total() > MOST_TERMS:
        raise StageError(
            where,
            f"calls a macro that becomes more than {MOST_TERMS:,} terms once it is written out, expected fewer",
            "a macro that names its parameter twice doubles what it is called with: call fewer within one another",
        )
    return Growth((), own, uses)
