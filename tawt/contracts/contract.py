"""One JSON file per relation <-> one `Contract` <-> one Arrow schema."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, model_validator

from tawt.config.base import Conflict, Section
from tawt.config.load import build, read_yaml
from tawt.contracts.types import TYPES, TypeName
from tawt.errors import ContractError, listed, nearest
from tawt.project import asset
from tawt.readers import MAX_WRITTEN_BYTES, read_map

YesNo = Annotated[bool, Field(strict=True)]


class Column(Section):
    """One column of a relation."""

    name: str
    """Name in the file."""
    type: TypeName
    """Its type."""
    nullable: YesNo = True
    """Whether kept rows may be null here; checked after every run."""
    required: YesNo = True
    """Whether it must be there; an absent optional raw column reads as null, and that is said."""
    unit: str | None = None
    """Unit of the numbers, as in `mmol/L` or `us`."""
    description: str = ""
    """What it means, in one sentence."""

    @property
    def cell_type(self) -> str:
        """The type that its cells arrive with, where it is a column of a raw table."""
        return self.type

    @property
    def arrow_type(self) -> pa.DataType:
        """The type in files."""
        return TYPES[self.type].arrow

    @property
    def sql_type(self) -> str:
        """The type in the engine."""
        return TYPES[self.type].sql


class Contract(Section):
    """What a relation promises: its columns, its grain and its order."""

    name: str
    """`<layer>.<relation>`, the same as the path of the file."""
    description: str
    """What one row is, in one sentence."""
    grain: tuple[str, ...] = ()
    """Columns that identify a row."""
    sorted_by: tuple[str, ...] = ()
    """Columns that the rows are ordered by."""
    paths: tuple[str, ...] = ()
    """Raw tables only: where the table may lie below the raw root, without suffix (`hosp/labevents`)."""
    required: YesNo = True
    """Raw tables only: whether the source must have it."""
    reasons: tuple[Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$")], ...] = ()
    """Stages only: words of a `_reason` that they use beside those that every stage may."""
    columns: tuple[Column, ...]
    """The columns in order."""

    @model_validator(mode="after")
    def _is_of_its_columns(self) -> Contract:
        known = {*self.names, *(str(getattr(column, "plain", column.name)) for column in self.columns)}
        for key in ("grain", "sorted_by"):
            for name in getattr(self, key):
                if name not in known:
                    raise Conflict(f"names the column `{name}`, which is not listed ({nearest(name, known)})", key)
        return self

    @property
    def subjects(self) -> tuple[str, ...]:
        """The columns of a raw table that name subjects by text."""
        return tuple(column.name for column in self.columns if column.type == "subject")

    @property
    def names(self) -> list[str]:
        """Names of the columns in order."""
        return [column.name for column in self.columns]

    @property
    def digest(self) -> str:
        """Hash of all that rows hang on: a word more, or another description, changes none."""
        # what a table says of its columns together stands at each of them too
        tables = {"source": True, "key": True, "optional": True}
        words: Any = {"reasons": True, "description": True, **tables, "columns": {"__all__": {"description"}}}
        text = json.dumps(self.model_dump(mode="json", exclude=words), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def arrow_schema(self) -> pa.Schema:
        """Return the Arrow schema, with nullability as declared."""
        return pa.schema([pa.field(c.name, c.arrow_type, c.nullable) for c in self.columns])


def read_contract(path: Path) -> Contract:
    """Read a contract.

    Raises:
        ContractError: The file is absent or is not JSON.
        ConfigError: It is not YAML, if it is called so, a key is unknown or a value does not fit.
    """
    if path.suffix == ".json":
        return build(Contract, read_map(path, "mend the file", ContractError, MAX_WRITTEN_BYTES), str(path))
    data, lines = read_yaml(path)
    return build(Contract, data, str(path), lines)


def own_contract(name: str) -> Contract:
    """Return the contract of what is code of tawt's, such as `events`, or of what all sources give, as `labels`."""
    return read_contract(asset(f"schemas/{name}.json"))


def check_schema(contract: Contract, schema: pa.Schema, where: str) -> None:
    """Hold a file's schema against its contract: names and types, in order (nulls are counted elsewhere).

    Args:
        contract: What the relation promises.
        schema: What the file has.
        where: The stage or file, for the message.

    Raises:
        ContractError: A column is missing, unexpected or of another type.
    """
    have = {field.name: field.type for field in schema}
    missing = [column.name for column in contract.columns if column.required and column.name not in have]
    if missing:
        raise ContractError(
            where,
            f"column `{missing[0]}` is missing, expected {listed(contract.names)}",
            "give it in the last projection, or take it out of the contract",
        )
    unexpected = [name for name in have if name not in contract.names]
    if unexpected:
        raise ContractError(
            where,
            f"column `{unexpected[0]}` is not in the contract {contract.name}, expected only its columns",
            "add it to the contract or drop it from the last projection",
        )
    for column in contract.columns:
        if column.name in have and have[column.name] != column.arrow_type:
            raise ContractError(
                where,
                f"column `{column.name}` is {have[column.name]}, expected {column.type}",
                "cast it in the last projection",
            )
