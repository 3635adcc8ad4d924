"""What a config that does not hold is told: which key an unknown one means, and what puts a value right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tawt.config.pipeline import PipelineConfig
from tawt.config.train import PretrainConfig
from tawt.errors import nearest

KeyPath = tuple[str | int, ...]

_QUOTED = re.compile(r"'([^']*)'")
_INSTANCE = re.compile(r"a valid dictionary or instance of \w+")
_LENGTH = re.compile(r"(String|Tuple|List) should have (at (?:most|least)) (\d+ (?:character|item)s?).*")
_TREES: dict[type[BaseModel], str] = {
    PretrainConfig: "a key of a training config: `tawt pretrain --set` takes it",
    PipelineConfig: "a key of a pipeline: `tawt ingest --set` or `tawt build-vocab --set` takes it",
}


def meant(unknown: str, settings: Iterable[str], tree_type: type[BaseModel]) -> str:
    """Return a hint at the key that is meant by one that is unknown; empty where none is known to be.

    Args:
        unknown: The key as far as it is read, `train` of `train.max_steps`.
        settings: Keys that were typed as overrides.
        tree_type: The config that lacks it.
    """
    typed = next((key for key in settings if f"{key}.".startswith(f"{unknown}.")), unknown)
    if own := [key for key in keys_of(tree_type) if key.endswith(f".{typed}")]:
        return f"did you mean {' or '.join(f'`{key}`' for key in own)}?"
    for other, whose in _TREES.items() if "." not in unknown and tree_type in _TREES else ():
        found = [key for key in keys_of(other) if key == typed or key.endswith(f".{typed}")]
        if other is not tree_type and (found or any(key.startswith(f"{unknown}.") for key in keys_of(other))):
            return f"`{found[0] if found else typed}` is {whose}"
    return ""


def keys_of(tree_type: type[BaseModel]) -> list[str]:
    """Return every key of a config, sections before what is in them."""
    keys: list[str] = []
    for name, field in tree_type.model_fields.items():
        named = get_origin(field.annotation) is dict  # its keys are the user's
        kinds = () if named else (field.annotation, *get_args(field.annotation))
        section = next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)
        keys += [name, *(f"{name}.{key}" for key in (keys_of(section) if section is not None else ()))]
    return keys


def mend_of(path: KeyPath, value: Any, errors: Sequence[Any], tree_type: type[BaseModel]) -> str:
    """Return what would put a value right: the nearest word of those that it may be, or which key to change."""
    allowed = [word for e in errors if e["type"] == "literal_error" for word in _QUOTED.findall(e["ctx"]["expected"])]
    if allowed and isinstance(value, str):
        return nearest(value, allowed)
    if isinstance(path[-1], int):  # the place in a list
        return f"change item {path[-1] + 1} of `{'.'.join(map(str, path[:-1]))}`"
    if any(e["type"] == "model_type" for e in errors) and (keys := fields_at(tree_type, path)):
        return f"set what is in it, as {' or '.join(f'`{path[-1]}.{key}`' for key in keys)}"
    if any(e["type"] in ("tuple_type", "list_type") for e in errors):
        return f"write a list, as `{path[-1]}=[{value}]`"
    with suppress(ValidationError, AttributeError):  # the default, where all of the tree has one
        if isinstance(usual := reduce(getattr, map(str, path), tree_type()), int | float | str):
            return f"for example {'.'.join(map(str, path))}={usual}"
    return f"change `{path[-1]}`"


def expectation(message: str) -> str:
    """Turn "Input should be a valid integer, unable to ..." into "a valid integer"."""
    said = message.removeprefix("Value error, ").removeprefix("Input should be ")
    said = _LENGTH.sub(r"\2 \3", said)
    said = _INSTANCE.sub("a mapping of keys", said).replace("a valid tuple", "a list")
    return said.partition(", unable to")[0]


def fields_at(tree_type: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys of the section at a place in a config; none where it is no section."""
    here: Any = tree_type
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[str(part)].annotation
        for option in (here, *get_args(here)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                here = option
                break
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []
