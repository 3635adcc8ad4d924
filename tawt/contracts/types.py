"""The types of columns, in one table: in a contract, in files, in the engine, and how a cell becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
from pydantic import BeforeValidator


@dataclass(frozen=True)
class Type:
    """One type."""

    arrow: pa.DataType
    """In files."""
    sql: str
    """In the engine."""
    macro: str | None = None
    """What reads a cell of text as one; None where a cell is taken as it is."""
    smallest: int | float | None = None
    """The smallest number of it, where that is not the smallest that the macro reads."""
    largest: int | float | None = None

    @property
    def is_time(self) -> bool:
        """Whether it is a day, or a day and a time."""
        return self.macro in ("moment", "calendar_day")

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return self.macro in ("whole", "number")


_FLOAT32 = 3.4028234663852886e38


def _whole(arrow: pa.DataType, sql: str, n_bits: int, signed: bool = True) -> Type:
    low, high = (-(1 << n_bits - 1), (1 << n_bits - 1) - 1) if signed else (0, (1 << n_bits) - 1)
    return Type(arrow, sql, "whole", low, high)


TYPES: dict[str, Type] = {
    "bool": Type(pa.bool_(), "boolean", "truth"),
    "int8": _whole(pa.int8(), "tinyint", 8),
    "int16": _whole(pa.int16(), "smallint", 16),
    "int32": _whole(pa.int32(), "integer", 32),
    "int64": Type(pa.int64(), "bigint", "whole"),
    "uint8": _whole(pa.uint8(), "utinyint", 8, signed=False),
    "uint32": _whole(pa.uint32(), "uinteger", 32, signed=False),
    "float32": Type(pa.float32(), "float", "number", -_FLOAT32, _FLOAT32),
    "float64": Type(pa.float64(), "double", "number"),
    "subject": Type(pa.int64(), "bigint", "whole"),
    "string": Type(pa.string(), "varchar", "words"),
    "large_string": Type(pa.large_string(), "varchar", "words"),
    "date32": Type(pa.date32(), "date", "calendar_day"),
    "timestamp[us]": Type(pa.timestamp("us"), "timestamp", "moment"),
    "list<string>": Type(pa.list_(pa.string()), "varchar[]"),
    "list<int64>": Type(pa.list_(pa.int64()), "bigint[]"),
    "list<float64>": Type(pa.list_(pa.float64()), "double[]"),
}
"""Type in a contract -> what it is elsewhere. The id of a `subject` is text; its number stands in the place of it."""
SHORT = {"timestamp": "timestamp[us]", "date": "date32", "int": "int64", "float": "float64", "text": "string"}
"""Other words for some types."""


def _long(name: Any) -> Any:
    return SHORT.get(name, name) if isinstance(name, str) else name


if TYPE_CHECKING:
    TypeName = str
else:
    TypeName = Annotated[
        Literal[tuple(TYPES)],
        BeforeValidator(_long, json_schema_input_type=Literal[(*TYPES, *SHORT)]),
    ]
