"""The types of columns, in one table: in a contract, in files, in the engine, and how a cell becomes one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import pyarrow as pa
from pydantic import AfterValidator


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
    takes: tuple[str, ...] = ()
    """Other types of the engine, as patterns, that become it without a guess."""
    refuses: tuple[str, ...] = ()
    """Other types of the engine that a text is cast to where the macro is meant."""

    def becomes(self, type_: str) -> bool:
        """Return whether a type of the engine becomes it without a guess."""
        return re.fullmatch("|".join(('"NULL"', re.escape(self.sql.upper()), *self.takes)), type_) is not None

    @property
    def is_time(self) -> bool:
        """Whether it is a day, or a day and a time."""
        return self.macro in ("moment", "calendar_day")

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return self.macro in ("whole", "number")


_WHOLE = ("U?(TINY|SMALL|BIG|HUGE)INT", "U?INTEGER")
_NUMBER = (*_WHOLE, "FLOAT", "DOUBLE", r"DECIMAL\(.*\)")
_WORDS = (*_WHOLE, r"ENUM\(.*\)", "UUID")
_MOMENT = ("TIMESTAMP(_S|_MS|_NS)?", "DATE")
_CLOCK = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS", "TIME", "TIME WITH TIME ZONE", "TIME_NS")
_FLOAT32 = 3.4028234663852886e38


def _whole(arrow: pa.DataType, sql: str, n_bits: int, signed: bool = True) -> Type:
    low, high = (-(1 << n_bits - 1), (1 << n_bits - 1) - 1) if signed else (0, (1 << n_bits) - 1)
    return Type(arrow, sql, "whole", low, high, _WHOLE)


TYPES: dict[str, Type] = {
    "bool": Type(pa.bool_(), "boolean", "truth"),
    "int8": _whole(pa.int8(), "tinyint", 8),
    "int16": _whole(pa.int16(), "smallint", 16),
    "int32": _whole(pa.int32(), "integer", 32),
    "int64": Type(pa.int64(), "bigint", "whole", takes=_WHOLE),
    "uint8": _whole(pa.uint8(), "utinyint", 8, signed=False),
    "uint32": _whole(pa.uint32(), "uinteger", 32, signed=False),
    "float32": Type(pa.float32(), "float", "number", -_FLOAT32, _FLOAT32, _NUMBER),
    "float64": Type(pa.float64(), "double", "number", takes=_NUMBER),
    "subject": Type(pa.int64(), "bigint", "whole", takes=_WHOLE),
    "string": Type(pa.string(), "varchar", "words", takes=_WORDS),
    "large_string": Type(pa.large_string(), "varchar", "words", takes=_WORDS),
    "date32": Type(pa.date32(), "date", "calendar_day"),
    "timestamp[us]": Type(pa.timestamp("us"), "timestamp", "moment", takes=_MOMENT, refuses=_CLOCK),
    "list<string>": Type(pa.list_(pa.string()), "varchar[]", takes=(r".*\[\]",)),
    "list<int64>": Type(pa.list_(pa.int64()), "bigint[]", takes=(r".*\[\]",)),
    "list<float64>": Type(pa.list_(pa.float64()), "double[]", takes=(r".*\[\]",)),
}
"""Type in a contract -> what it is elsewhere. The id of a `subject` is text; its number stands in the place of it."""
SHORT = {
    "date": "date32", "timestamp": "timestamp[us]", "datetime": "timestamp[us]", "int": "int64", "integer": "int64",
    "float": "float64", "double": "float64", "text": "string",
}  # fmt: skip
"""Other words for some types."""


def macro_for(type_: str) -> str | None:
    """Return what reads a text as a type of the engine; None where a text is one, or nothing does."""
    own = [one for one in TYPES.values() if one.sql.upper() == type_]
    near = [one for one in TYPES.values() if type_ in one.refuses or (one.macro != "words" and one.becomes(type_))]
    macro = next((one.macro for one in (*own, *near)), None)
    return None if macro == "words" else macro


def _long(name: str) -> str:
    return SHORT.get(name, name)


if TYPE_CHECKING:
    TypeName = str
else:
    TypeName = Annotated[
        Literal[("int64", "float64", "string", "bool", *SHORT, *dict.fromkeys(TYPES))], AfterValidator(_long)
    ]
