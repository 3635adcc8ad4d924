"""What a raw table is, said once: its columns, what each is, and which hold the value of a record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from tawt.config.base import Conflict, Section, one_or_more
from tawt.config.load import build, read_yaml
from tawt.contracts.contract import Column, Contract
from tawt.contracts.raw_column import RawColumn, Texts
from tawt.contracts.reasons import FAULTS
from tawt.contracts.types import TYPES
from tawt.errors import ConfigError, ContractError, nearest

SUFFIXES = (".json", ".yaml", ".yml")
OF_VALUE = (
    Column(name="numeric_value", type="float64", description="The number in `unit`; the bound where it is censored."),
    Column(name="text_value", type="string", description="The text of a value that is no number."),
    Column(
        name="raw_value", type="string",
        description="The cell as it came, where the number or the text does not already say it.",
    ),
    Column(name="unit", type="string", description="The unit as it came."),
    Column(
        name="value_status", type="string", nullable=False,
        description="numeric, category, absent, unparsed, censored_low or censored_high.",
    ),
)  # fmt: skip
"""The columns of staging that a `value` becomes."""
IN_STEPS = ("said", "counted", "counted_cell")
"""Columns of the steps of a select that judges a value."""


class Value(Section):
    """Which columns hold the value of a record. They are judged together, and become `numeric_value`, `text_value`,
    `raw_value`, `unit` and `value_status` in staging."""

    text: str | None = None
    """The result as text, which may be a number or a comparison as `<0.01`."""
    number: str | None = None
    """The result as a number."""
    unit: str | None = None
    """The unit of the number."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return tuple(one for one in (self.text, self.number, self.unit) if one is not None)

    @model_validator(mode="after")
    def _is_one(self) -> Value:
        if self.text is None and self.number is None:
            raise Conflict("a value has a text, a number, or both", "text", "number")
        return self


class Table(Contract):
    """A raw table. From it alone follow the select that stages it, the contract of that, and their documentation."""

    paths: Annotated[Texts, Field(min_length=1)] = ()
    """Where the table may lie below the raw root, without suffix (`hosp/labevents`), one path or a list; by default
    under its own name."""
    grain: Texts = ()
    """Columns of staging that identify a row."""
    source: str = ""
    """Where the table is described: a manual, a web page."""
    key: Texts = ()
    """Columns that a record is of no use without; the same as `key: true` at each."""
    optional: Texts = ()
    """Columns that the files may lack; the same as `required: false` at each."""
    value: Value | None = None
    """Which columns hold the value of a record."""
    columns: tuple[RawColumn, ...]
    """The columns in order: a list, or a mapping of names to types or to what is said of each."""

    @property
    def table(self) -> str:
        """Its name alone."""
        return self.name.partition(".")[2]

    @property
    def staged(self) -> tuple[RawColumn, ...]:
        """The columns that staging has one by one: all but those of the value."""
        of_value = self.value.columns if self.value is not None else ()
        return tuple(column for column in self.columns if column.name not in of_value)

    @model_validator(mode="after")
    def _names_its_columns(self) -> Table:
        for key in self.value.columns if self.value is not None else ():
            if key not in self.names:
                raise Conflict(f"names the column `{key}`, which is not listed ({nearest(key, self.names)})", "value")
            column = next(one for one in self.columns if one.name == key)
            if column.key or column.as_:
                raise Conflict(f"holds the column `{key}`, which is a key or has another name", "value")
        for column in self.staged:
            if column.signs is not None and not TYPES[column.type].is_number:
                raise Conflict(
                    f"says of `{column.name}` how its numbers are written, which is a text and no `value`", "columns"
                )
        plain = [column.plain for column in self.staged] + [one.name for one in OF_VALUE if self.value is not None]
        own = {f"{column.plain}_cell".lower() for column in self.staged} | {"_row", "_reason", FAULTS}
        own |= set(IN_STEPS) if self.value is not None else set()
        counts = Counter(name.lower() for name in plain)
        for name in plain:
            if counts[name.lower()] > 1:
                raise Conflict(
                    f"two columns of staging would be called `{name}`: give one another name (`as:`)", "columns"
                )
            if name.lower() in own:
                raise Conflict(
                    f"`{name}` is a name that staging uses itself: give the column another (`as:`)", "columns"
                )
        if any(name.lower() == "_row" for name in self.names):
            raise Conflict(
                "lists the column `_row`, which is the number that records get here: leave it out", "columns"
            )
        if any(len(name.splitlines()) > 1 for name in self.names):
            raise Conflict("a name of several lines cannot stand in SQL: leave the column out", "columns")
        if len({name.lower() for name in self.names}) < len(self.names):
            raise Conflict("a name stands twice, in small letters or large", "columns")
        return self


def marks_of(contract: Contract) -> dict[str, tuple[str, ...]]:
    """Return the marks of missing that columns say themselves, by name."""
    columns = contract.columns if isinstance(contract, Table) else ()
    return {column.name: column.marks for column in columns if column.marks is not None}


def key_is_named(contract: Contract) -> bool:
    """Return whether its author says without which cells a record is of no use, beside whose it is."""
    if not isinstance(contract, Table):
        return False
    return bool(contract.key) or any(c.key and not _is_subject(c.plain, c.type) for c in contract.columns)


def number_marks(column: Column, marks: Sequence[str]) -> list[float]:
    """Return the marks that stand for a missing cell of a column by their number, however that is written: -9 is -9.0.
    In a column of texts, as ids of subjects are, letters count alone."""
    if not TYPES[column.type].is_number or column.type == "subject":
        return []
    return [float(mark) for mark in marks if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", mark)]


def is_mark(contract: Contract, name: str, cell: str) -> bool:
    """Return whether a cell stands for a missing one by what its column says."""
    column = next((one for one in contract.columns if one.name == name), None)
    marks = marks_of(contract).get(name, ())
    if column is None or not marks:
        return False
    with suppress(ValueError):
        if (numbers := number_marks(column, marks)) and float(cell) in numbers:
            return True
    return cell.strip() in marks


def read_table(path: Path) -> Table:
    """Read the contract of a raw table: `schemas/SOURCE/TABLE.yaml` or `.json`.

    Raises:
        ConfigError: It is no YAML or JSON, a key is unknown, or a value does not fit.
        ContractError: It is named otherwise than its file.
    """
    data, lines, names = _listed(*read_yaml(path), str(path))
    name = data.setdefault("name", f"raw.{path.stem}")
    data.setdefault("paths", [path.stem])
    if name != f"raw.{path.stem}":
        raise ContractError(
            str(path), f"is called `{name}`, expected raw.{path.stem}, as its file is", "leave `name` out"
        )
    try:
        return build(Table, data, str(path), lines)
    except ConfigError as error:
        what, hint = error.what, error.hint
        for i, column in reversed(list(enumerate(names))):
            what, hint = (text.replace(f"columns.{i}", f"columns.{column}") for text in (what, hint))
        raise ConfigError(error.where, what, hint) from None


Lines = dict[tuple[str | int, ...], str]


def _listed(data: dict[str, Any], lines: Lines, where: str) -> tuple[dict[str, Any], Lines, list[str]]:
    """Return a table as it is validated: its columns as a list, each with its name and whether it is a key."""
    columns = data.get("columns")
    names = [str(name) for name in columns] if isinstance(columns, Mapping) else []
    if isinstance(columns, Mapping):
        places = {name: i for i, name in enumerate(names)}
        lines = {
            ("columns", places[str(at[1])], *at[2:]) if at[0] == "columns" and len(at) > 1 else at: line
            for at, line in lines.items()
        }
        said = [one if isinstance(one, Mapping) else {"type": one} for one in columns.values()]
        columns = [{"name": name, **one} for name, one in zip(names, said, strict=True)]
    if not isinstance(columns, list) or not all(isinstance(one, Mapping) for one in columns):
        return data, lines, names
    lists = {word: _names_under(word, data.get(word), lines.get((word,), where)) for word in ("key", "optional")}
    named = {str(one.get(name)) for one in columns for name in ("name", "as")} - {"None"}
    for word, listed in lists.items():
        for name in listed:
            if name not in named:
                raise ConfigError(
                    lines.get((word,), where),
                    f"`{word}` names the column `{name}`, expected one of `columns`",
                    nearest(name, named),
                )
    columns = [_said(one, **lists) for one in columns]
    return {**data, "columns": columns}, lines, names or [str(one.get("name")) for one in columns]


def _names_under(word: str, said: object, where: str) -> list[str]:
    """Return the columns that a table names under a word."""
    if not isinstance(said or [], str | list) or said is False or said == 0:
        hint = "a table that an extract may lack says `required: false`" if word == "optional" else "`key: [COLUMN]`"
        raise ConfigError(where, f"`{word}` is no list, expected names of columns", hint)
    names = one_or_more(said or [])  # type: ignore[arg-type]
    for name in names:
        if not isinstance(name, str):
            what = f"`{word}` names `{name}`, which is no text, expected names of columns"
            raise ConfigError(where, what, f'in quotes it is one: `{word}: ["{name}"]`')
    return list(names)


def _is_subject(plain: str, type_: object) -> bool:
    return type_ == "subject" or plain == "subject_id"


def _said(column: Mapping[str, Any], key: list[str], optional: list[str]) -> dict[str, Any]:
    own = {str(column.get("name")), str(column.get("as"))}
    # a record of nobody is of no use
    is_subject = _is_subject(str(column.get("as", column.get("name"))), column.get("type"))
    said = {
        **({"key": True} if own & set(key) or is_subject else {}),
        **({"required": False} if own & set(optional) else {}),
        **column,
    }
    return said if said.get("key") is not True else {"nullable": False, **said}
