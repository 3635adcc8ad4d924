"""Files of cases: each says what one stage, or several, make of rows that are written out.

`tests/sql/SOURCE/LAYER/STAGE.yaml` is one case, of the stage of its path. `tests/sql/SOURCE.yaml`, and any
`tests/sql/SOURCE/NAME.yaml`, holds those of several stages, one or a list of them below each `LAYER.STAGE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tawt.config.load import Places, parse_yaml
from tawt.config.loader import BoundedLoader
from tawt.errors import ConfigError, nearest
from tawt.readers import GIVEN, MAX_WRITTEN_BYTES, read_text

CASES = Path("tests") / "sql"
"""Where the cases of a project lie."""
FORM = "as `given: {raw.labs: [{subject_id: 1}]}` and `expect: [{subject_id: 1}]`"
_KEYS = ("params", "given", "expect", "ctes")

Row = dict[str, Any]


class TextLoader(BoundedLoader):
    """Loader that keeps every scalar but null as the text that stands there."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in ("tag:yaml.org,2002:null",)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Case:
    """One stage, rows that it is given, and rows that it should give."""

    source: str
    stage: str
    """`<layer>.<name>`."""
    file: Path
    said: Mapping[str, Any]
    places: Places
    at: tuple[str | int, ...] = ()
    """Where it stands in the file."""

    @property
    def name(self) -> str:
        """Its name: `<source>.<layer>.<stage>`."""
        return f"{self.source}.{self.stage}"

    @property
    def line(self) -> int | None:
        """The line where it begins, in a file of several."""
        return int(self.place().rpartition(":")[2]) if self.at else None

    @property
    def given(self) -> dict[str, list[Row]]:
        """Relations and their rows."""
        return {name: rows or [] for name, rows in (self.said.get("given") or {}).items()}

    @property
    def expect(self) -> list[Row]:
        """The rows that should come out."""
        return self.said["expect"] or []

    @property
    def params(self) -> Row:
        """Values of the `$named` parameters."""
        return self.said.get("params") or {}

    @property
    def ctes(self) -> dict[str, list[Row]]:
        """The rows of single steps."""
        return {name: rows or [] for name, rows in (self.said.get("ctes") or {}).items()}

    def place(self, *keys: str | int) -> str:
        """Return the file and the line where something of it stands, or where it begins itself."""
        first = next(iter(self.said), "")  # an entry of a list has no key of its own
        begins = (self.places.get(at) for at in (self.at, (*self.at, first), self.at[:1]) if self.at)
        return self.places.get((*self.at, *keys)) or next(filter(None, begins), str(self.file))

    def hold(self) -> None:
        """Hold it to the form of a case.

        Raises:
            ConfigError: It is of another form.
        """
        if "." not in self.stage:
            form = f"`LAYER.STAGE:`, and below it a case {FORM}"
            raise ConfigError(self.place(), f"`{self.stage}` is no stage, expected one", form)
        for key, said in self.said.items():
            where = self.place(key)
            if key not in _KEYS:
                raise ConfigError(where, f"unknown key `{key}`, expected a case's", nearest(key, _KEYS))
            if key == "expect":
                _hold_rows(said, "expect", where)
            elif not isinstance(said, dict | None):
                raise ConfigError(where, f"`{key}` is no mapping, expected names and what they have", FORM)
            elif key != "params":
                for name, rows in (said or {}).items():
                    _hold_rows(rows, f"{key}.{name}", self.place(key, name))
        if not {"given", "expect"} <= set(self.said):
            raise ConfigError(self.place(), "lacks `given:` or `expect:`, expected both", FORM)


def _hold_rows(rows: Any, key: str, where: str) -> None:
    if not isinstance(rows, list | None) or not all(isinstance(row, dict) for row in rows or ()):
        raise ConfigError(where, f"`{key}` is no list of rows, expected one, each as {{column: cell}}", FORM)


def read_cases(path: Path, folder: Path) -> list[Case]:
    """Return the cases of a file.

    Args:
        path: The file.
        folder: The `tests/sql` that it lies in.

    Raises:
        ConfigError: It is no YAML, lies at another place, or holds what is no case of a stage.
    """
    text = read_text(path, GIVEN, ConfigError, "a YAML file", MAX_WRITTEN_BYTES)
    said, places = parse_yaml(text, str(path), TextLoader)
    source, *below = path.relative_to(folder).with_suffix("").parts
    if len(below) == 2:
        return [Case(source, ".".join(below), path, said, places)]
    if len(below) > 2 or {*_KEYS} & said.keys():
        raise ConfigError(
            str(path), f"lies at another place than {CASES}/SOURCE/LAYER/STAGE.yaml, expected a case there",
            f"or write it below its stage, as `event_parts.labs:`, in {CASES}/{source}.yaml",
        )  # fmt: skip
    cases = []
    for stage, one in said.items():
        listed: list[tuple[tuple[str | int, ...], Any]]
        listed = [((stage, n), case) for n, case in enumerate(one)] if isinstance(one, list) else []
        for at, case in listed or [((stage,), one)]:
            cases.append(Case(source, stage, path, case if isinstance(case, dict) else {}, places, at))
    return cases
