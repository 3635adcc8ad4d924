"""How YAML is read: plain values alone, a bounded number of them, and the words that a reader expects."""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_NODES = 100_000
"""Words, lists and mappings in one file, aliases written out: more is none of ours, and would keep a core busy."""

_OF_EVENTS = {"check_event", "peek_event", "get_event"}


class BoundedLoader(yaml.SafeLoader):
    """SafeLoader of a bounded number of nodes, so that no alias of aliases stands for more than can be read."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._n_nodes = 0
        self._within: dict[int, int] = {}
        """Node -> nodes in it, itself counted."""
        if yaml.__with_libyaml__:  # ten times as fast at what costs most: to find the words and marks of a text
            fast = yaml.cyaml.CParser(stream)
            for name in _OF_EVENTS:
                setattr(self, name, getattr(fast, name))

    def get_single_node(self) -> yaml.Node | None:
        """Compose the one document. What libyaml refuses is read once more without it, which tells better why."""
        try:
            return super().get_single_node()
        except yaml.MarkedYAMLError:
            if not _OF_EVENTS & vars(self).keys():
                raise
            for name in _OF_EVENTS:
                delattr(self, name)
            self._n_nodes, self._within = 0, {}
            self.anchors: dict[str, yaml.Node] = {}
            return super().get_single_node()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose the next node and count what it holds; an alias holds what it stands for."""
        event, before = self.peek_event(), self._n_nodes
        node = super().compose_node(parent, index)
        aliased = isinstance(event, yaml.AliasEvent)
        if aliased and id(node) not in self._within:
            raise _refused(event, "an alias stands within what it stands for")
        self._n_nodes += self._within[id(node)] if aliased else 1
        self._within[id(node)] = self._n_nodes - before
        if isinstance(node, yaml.ScalarNode) and any("\ud800" <= letter <= "\udfff" for letter in node.value):
            raise _refused(event, "has half of a surrogate pair, which no file can be written with")
        if self._n_nodes > MAX_NODES:
            raise _refused(event, f"more than {MAX_NODES:,} keys and values, aliases written out")
        return node


def _refused(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, event.start_mark)


class Loader(BoundedLoader):
    """Loader that reads `3e-4` as a number (YAML 1.1: a string) and keeps on, off, yes, no, dates and 12:30 as text."""


_AS_TEXT = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "timestamp", "int", "float"))
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _AS_TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
