"""A task as it is read: an ACES file taken unchanged, held to the rules of its language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from tawt.config.base import Section, is_pattern
from tawt.config.load import Places, build, parse_yaml
from tawt.errors import ConfigError
from tawt.labels.rules import check
from tawt.labels.sections import PLACEHOLDER, Written
from tawt.readers import GIVEN, MAX_WRITTEN_BYTES, read_text

_IN_BRACKETS = re.compile(
    r"(:[ \t]+)(\([ \t]*\w*[ \t]*,[ \t]*\w*[ \t]*\)|(?:and|or)\([\w \t,()]*\))(?=[ \t]*(?:[,}#]|$))", re.MULTILINE
)


class Task(Written):
    """A task that fits together."""

    @model_validator(mode="after")
    def _fits(self) -> Task:
        check(self)
        return self


class Predicates(Section):
    """A dataset's own predicates, which take the place of those of a task."""

    metadata: Any = None
    """Whatever its author says of it."""
    description: str | None = None
    """Which dataset they are of."""
    predicates: dict[str, Any] = {}
    """They are laid over the task's, by name."""
    patient_demographics: dict[str, Any] = {}
    """The same of facts without a time."""
    refused: dict[str, str] = {}
    """Ready task -> why the dataset cannot answer it."""
    entered: Annotated[str, AfterValidator(is_pattern)] | None = None
    """Codes of diagnoses and procedures that were entered in the stay, and are of no bill after it: those in which this
    regular expression is found."""


def read_predicates(path: Path) -> Predicates:
    """Read what a dataset says of its codes, and of tasks.

    Raises:
        ConfigError: The file is no YAML, or is none of predicates.
    """
    over, places = _read(path)
    return build(Predicates, over, str(path), places)


def read_task(path: Path, predicates: Path | None = None) -> Task:
    """Read an ACES task.

    Args:
        path: The task.
        predicates: A dataset's own predicates, whole ones of which take the place of the task's.

    Raises:
        ConfigError: A file is no YAML, or what it says does not fit; names the line and the nearest name.
    """
    data, places = _read(path)
    if predicates is not None:
        over, stood = _read(predicates)
        build(Predicates, over, str(predicates), stood)
        for section in ("predicates", "patient_demographics"):
            laid: dict[str, Any] = over.get(section) or {}
            if laid:
                _forget(places, section, laid)
                data[section] = {**(data.get(section) or {}), **laid}
        places = {key: place for key, place in stood.items() if len(key) > 1} | places
    return build(Task, data, str(path), places)


def unsaid(path: Path, predicates: Path | None) -> list[str]:
    """Return the predicates of a task whose codes neither it nor a dataset's own predicates say.

    Raises:
        ConfigError: A file is no YAML.
    """
    own = _read(path)[0].get("predicates") or {}
    over = (_read(predicates)[0].get("predicates") or {}) if predicates is not None else {}
    return [name for name, said in own.items() if said == PLACEHOLDER and name not in over]


def _read(path: Path) -> tuple[dict[str, Any], Places]:
    text = read_text(path, GIVEN, ConfigError, "an ACES task", MAX_WRITTEN_BYTES)
    # `{admission: (None, 0)}`: within braces YAML takes the comma for the end of an entry
    return parse_yaml(_IN_BRACKETS.sub(r'\1"\2"', text), str(path))


def _forget(places: Places, section: str, names: Mapping[str, Any]) -> None:
    for key in [key for key in places if key[0] == section and len(key) > 1 and key[1] in names]:
        del places[key]
