"""YAML file -> one frozen config tree: `--set a.b=c` overrides, unknown keys refused with nearest name and line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tawt.config.base import one_or_more
from tawt.config.hints import KeyPath, expectation, fields_at, meant, mend_of
from tawt.config.loader import BoundedLoader, Loader
from tawt.errors import ConfigError, cut, nearest
from tawt.readers import GIVEN, MAX_WRITTEN_BYTES, read_text

Tree = TypeVar("Tree", bound=BaseModel)
Places = dict[KeyPath, str]
"""Key -> the file and the line where it stands."""

_FORM = "write `key: value`, one to a line, with two spaces more for a key inside another"
_OVERRIDE = "for example --set train.lr=3e-4"


def read_yaml(path: Path) -> tuple[dict[str, Any], Places]:
    """Read a YAML mapping and the place of each key, `file:line`.

    Raises:
        ConfigError: The file is absent, is not YAML, is not a mapping, or gives a key twice.
    """
    return parse_yaml(read_text(path, GIVEN, ConfigError, "a YAML file", MAX_WRITTEN_BYTES), str(path))


def parse_yaml(text: str, where: str, loader_type: type[BoundedLoader] | None = None) -> tuple[dict[str, Any], Places]:
    """Parse YAML text as `read_yaml` does; `where` names it in errors, the loader says what words mean.

    Raises:
        ConfigError: It is not YAML, is not a mapping, or gives a key twice.
    """
    loader: Callable[[str], BoundedLoader] = loader_type or Loader
    data, lines = _parsed(text, where, loader)
    return copy.deepcopy(data), {path: f"{where}:{line}" for path, line in lines.items()}


@lru_cache(maxsize=256)
def _parsed(
    text: str, where: str, loader_of: Callable[[str], BoundedLoader]
) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Parse a text once: a command reads the contracts of its project many times over."""
    try:
        loader = loader_of(text)
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        if node is None:
            return {}, lines
        _note_lines(node, (), lines, where)
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}{line}", f"{cut(str(error.problem), 80)}, expected YAML", _FORM) from None
    except RecursionError:
        raise ConfigError(where, "is nested too deep to read, expected YAML", _FORM) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(where, f"cannot be read ({type(error).__name__}), expected YAML", _FORM) from None
    if not isinstance(data, dict):
        raise ConfigError(where, f"holds a {type(data).__name__}, expected a mapping of keys", _FORM)
    return data, lines


def _note_lines(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(
                    f"{where}:{key.start_mark.line + 1}", "a key is a list or a mapping, expected a word", _FORM
                )
            path = (*at, key.value)
            line = key.start_mark.line + 1
            if path in lines:
                raise ConfigError(
                    f"{where}:{line}",
                    f"key `{cut(key.value)}` stands twice (first on line {lines[path]}), expected once",
                    "take one of the two out",
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


def extended(
    path: Path, base_of: Callable[[Path, str], Path], above: Sequence[Path] = ()
) -> tuple[dict[str, Any], Places]:
    """Read a YAML mapping that may extend another one: what it says is laid on what the other says.

    Mappings are laid on key by key, and what is `off` stays off. Anything else, lists too, takes the place of what was
    there, and `~` takes a key of the other away.

    Args:
        path: The file.
        base_of: Gives the file of what stands behind `extends:` in a file.
        above: The files that lead here.

    Returns:
        The mapping, and the place of each key in whichever file it stands in.

    Raises:
        ConfigError: A file cannot be read, extends what is not there, or itself.
    """
    data, places = read_yaml(path)
    if (name := data.pop("extends", None)) is None:
        return data, places
    place = places.pop(("extends",))
    if not isinstance(name, str):
        raise ConfigError(place, "`extends` is no name, expected a pipeline's name or a .yaml file", "write one there")
    chain = (*above, path)
    try:
        base = base_of(path, name)
    except ConfigError as error:
        raise ConfigError(place, error.what, error.hint) from None
    if any(base.samefile(one) for one in chain):
        raise ConfigError(
            place, f"`extends` leads in a circle: {' -> '.join(one.name for one in (*chain, base))}, expected an end",
            "take one `extends` of these out",
        )  # fmt: skip
    under, stood = extended(base, base_of, chain)
    return _laid(under, data, stood), stood | places


def _laid(base: Mapping[str, Any], over: Mapping[str, Any], places: Places, at: KeyPath = ()) -> dict[str, Any]:
    """Return a mapping with another laid on it, and forget the places of what that takes the place of."""
    out = dict(base)
    for key, value in over.items():
        here, old = (*at, key), out.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            out[key] = _laid(old, value, places, here)
            continue
        added = old if here == ("off",) and isinstance(value, list) and isinstance(old, list) else []
        for path in [path for path in places if path[: len(here)] == here]:
            del places[path]
        if value is None and key in out:
            del out[key]
        else:
            out[key] = [*value, *(one for one in added if one not in value)] if added else value
    return out


def overrides(settings: str | Iterable[str]) -> dict[str, Any]:
    """Turn `["train.lr=3e-4", ...]` into a nested mapping; values are read as YAML.

    Raises:
        ConfigError: An item is not `key=value`.
    """
    tree: dict[str, Any] = {}
    for setting in one_or_more(settings):
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {setting}", "is no override, expected `key=value`", _OVERRIDE)
        branch: dict[str, Any] = {}
        leaf = branch
        *parents, last = key.strip().split(".")
        for parent in parents:
            leaf = leaf.setdefault(parent, {})
        try:
            leaf[last] = Loader(value).get_single_data() if value.strip() else None
        except (yaml.YAMLError, RecursionError, ValueError):
            raise ConfigError(
                f"--set {key.strip()}", "has a value that is no YAML, expected `key=value`", _OVERRIDE
            ) from None
        tree = merge(tree, branch)
    return tree


def build(
    tree_type: type[Tree],
    data: Mapping[str, Any],
    where: str,
    places: Mapping[KeyPath, str] | None = None,
    settings: Iterable[str] = (),
) -> Tree:
    """Validate a mapping into a config tree.

    Args:
        tree_type: The tree.
        data: What to validate.
        where: The file, for errors.
        places: The file and the line of each key.
        settings: The overrides that were laid on; an error in one of them names it instead of the file.

    Raises:
        ConfigError: A key is unknown (with the nearest name) or a value does not fit; names the line where known.
    """
    try:
        return tree_type.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        # a key that is misspelled is missing too: what is there is told first
        errors.sort(key=lambda one: one["type"] != "extra_forbidden")
        path = _in_data(errors[0]["loc"], data)
        dotted = ".".join(map(str, path))
        places = places or {}
        stands = next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), where)
        set_by = next((key for key in overridden(settings) if f"{dotted}.".startswith(f"{key}.")), None)
        if set_by is None and path not in places:  # an override made it
            set_by = next((key for key in overridden(settings) if key.startswith(f"{dotted}.")), None)
        place = f"--set {set_by}" if set_by else stands
        known = fields_at(tree_type, path[:-1])
        if errors[0]["type"] == "extra_forbidden":
            hint = meant(dotted, overridden(settings), tree_type) or nearest(str(path[-1]), known)
            raise ConfigError(place, f"unknown key `{cut(dotted)}`, expected a key of this section", hint) from None
        if errors[0]["type"] == "missing":
            raise ConfigError(place, f"key `{dotted}` is missing, expected a value", f"add `{path[-1]}:`") from None
        if errors[0]["type"] == "value_error" and isinstance(_at(data, path), Mapping):
            # a check of several keys: those that it compared are named, or else what was set of their section
            own = getattr(errors[0].get("ctx", {}).get("error"), "keys", ())
            compared = [".".join((*map(str, path), key)) for key in own]
            near = compared or ([dotted] if path else [])
            within = [key for key in overridden(settings) if not near or any(_overlap(key, other) for other in near)]
            placed: dict[str, str] = {}  # the first in each file: a pipeline and what it extends are two
            for at in filter(None, (places.get((*path, *key.split("."))) for key in own)):
                placed.setdefault(at.rpartition(":")[0], at)
            place = " ".join(f"--set {key}" for key in within) or " and ".join(placed.values()) or place
            names = " and ".join(f"`{key}`" for key in near)
            said_of = f"{names}: " if names else ""
            what = errors[0]["msg"].removeprefix("Value error, ")
            expected, mend = "keys that fit together", "change one of them"
            if len(near) == 1:
                expected, mend = "another value", f"change {names}"
            raise ConfigError(place, f"{said_of}{what}, expected {expected}", mend) from None
        # one message per kind that a value may have, as `a valid integer or 'auto'`
        said = dict.fromkeys(expectation(e["msg"]) for e in errors if _in_data(e["loc"], data) == path)
        hint = (
            "see `tawt/config` for what each key means"
            if not path
            else mend_of(path, _at(data, path), errors, tree_type)
        )
        raise ConfigError(place, f"`{dotted}` does not fit, expected {' or '.join(said)}", hint) from None


def _overlap(one: str, other: str) -> bool:
    """Return whether one of two dotted keys is, or lies within, the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _in_data(location: tuple[int | str, ...], data: Any) -> KeyPath:
    """Return the part of an error's location that are keys of the data, not kinds of a union."""
    path: list[int | str] = []
    for part in location:
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list | tuple) and isinstance(part, int):
            data = data[part]
        else:
            break
        path.append(part)
    return tuple(path)


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else data[int(part)]
    return data


def overridden(settings: Iterable[str]) -> list[str]:
    """Return the keys that overrides set."""
    return [setting.partition("=")[0].strip() for setting in one_or_more(settings)]


def load(tree_type: type[Tree], path: Path, settings: Iterable[str] = ()) -> Tree:
    """Read a YAML file, lay `--set` overrides on it and validate; see `read_yaml`, `overrides` and `build`."""
    data, places = read_yaml(path)
    settings = one_or_more(settings)
    return build(tree_type, merge(data, overrides(settings)), str(path), places, settings)


def dump(tree: BaseModel) -> str:
    """Return the resolved tree as YAML, keys in the order of the fields."""
    return _written(json.dumps(tree.model_dump(mode="json")))


@lru_cache(maxsize=16)
def _written(tree: str) -> str:
    """A workspace looks at its pipeline's text at every stage; to write it takes a hundred times as long."""
    return yaml.safe_dump(json.loads(tree), sort_keys=False, allow_unicode=True, width=100)
