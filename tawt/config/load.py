"""YAML file -> one frozen config tree: `--set a.b=c` overrides, unknown keys refused with the nearest name and the line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tawt.errors import ConfigError, nearest

Tree = TypeVar("Tree", bound=BaseModel)
KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads `3e-4` as a number (YAML 1.1 makes it a string) and keeps on/off/yes/no as words."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool",)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Read a YAML mapping and the line on which each key stands.

    Raises:
        ConfigError: The file is absent, is not YAML, is not a mapping, or gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(path), f"cannot be read ({type(error).__name__}), expected a YAML file"
        ) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Parse YAML text as `read_yaml` does; `where` names it in errors."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            return {}, {}
        lines: dict[KeyPath, int] = {}
        _note_lines(node, (), lines, where)
        data = _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}{line}", f"{error.problem}, expected YAML") from None
    if not isinstance(data, dict):
        raise ConfigError(where, f"holds a {type(data).__name__}, expected a mapping of keys")
    return data, lines


def _note_lines(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*at, key.value)
            line = key.start_mark.line + 1
            if path in lines:
                raise ConfigError(
                    f"{where}:{line}",
                    f"key `{key.value}` stands twice (first on line {lines[path]}), expected once",
                )
            lines[path] = line
            _note_lines(value, path, lines, where)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _note_lines(value, (*at, i), lines, where)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it, mapping by mapping."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def overrides(settings: Iterable[str]) -> dict[str, Any]:
    """Turn `["train.lr=3e-4", ...]` into a nested mapping; values are read as YAML.

    Raises:
        ConfigError: An item is not `key=value`.
    """
    tree: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {setting}", "is not `key=value`", "write for example --set train.lr=3e-4"
            )
        branch: dict[str, Any] = {}
        leaf = branch
        *parents, last = key.strip().split(".")
        for parent in parents:
            leaf = leaf.setdefault(parent, {})
        leaf[last] = _Loader(value).get_single_data() if value.strip() else None
        tree = merge(tree, branch)
    return tree


def build(
    tree_type: type[Tree], data: Mapping[str, Any], where: str, lines: Mapping[KeyPath, int] | None = None
) -> Tree:
    """Validate a mapping into a config tree.

    Raises:
        ConfigError: A key is unknown (with the nearest name) or a value does not fit; names the line where known.
    """
    try:
        return tree_type.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path: KeyPath = tuple(first["loc"])
        line = next(
            (f":{lines[path[:n]]}" for n in range(len(path), 0, -1) if lines and path[:n] in lines), ""
        )
        dotted = ".".join(map(str, path))
        if first["type"] == "extra_forbidden":
            known = _fields_at(tree_type, path[:-1])
            raise ConfigError(
                f"{where}{line}",
                f"unknown key `{dotted}`, expected a key of this section",
                nearest(str(path[-1]), known),
            ) from None
        message = first["msg"][0].lower() + first["msg"][1:]
        raise ConfigError(f"{where}{line}", f"`{dotted}`: {message}") from None


def load(tree_type: type[Tree], path: Path, settings: Iterable[str] = ()) -> Tree:
    """Read a YAML file, lay `--set` overrides on it and validate; see `read_yaml`, `overrides` and `build`."""
    data, lines = read_yaml(path)
    return build(tree_type, merge(data, overrides(settings)), str(path), lines)


def dump(tree: BaseModel) -> str:
    """Return the resolved tree as YAML, keys in the order of the fields."""
    return yaml.safe_dump(tree.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def expand(path: str) -> Path:
    """Return a user's path with `~` and `${VAR}` expanded: the only place that reads the environment."""
    return Path(os.path.expandvars(path)).expanduser()


def _fields_at(tree_type: type[BaseModel], path: KeyPath) -> list[str]:
    here: Any = tree_type
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[str(part)].annotation
        for option in (here, *get_args(here)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                here = option
                break
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []
