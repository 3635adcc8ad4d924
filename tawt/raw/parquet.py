"""Columns of Parquet as the text that a CSV file would hold, so that they go through the same macros; NaN is none."""

from __future__ import annotations

import pyarrow as pa

from tawt.contracts.contract import Contract
from tawt.database.connect import literal
from tawt.errors import SourceError
from tawt.raw.identity import RawFile
from tawt.readers import parquet_schema

_NO_TEXT = (
    pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)  # fmt: skip
_EXACT = {16: 2**11, 32: 2**24, 64: 9 * 10**15}
"""Bits of a float -> where whole numbers begin of which it holds not each: one of them may stand for another."""
_UTC = ("UTC", "Etc/UTC", "GMT", "Z", "+00:00")


def parquet_types(contract: Contract, file: RawFile) -> dict[str, pa.DataType]:
    """Return the type in a file of each column of the contract; of a column that holds nothing there is none.

    Raises:
        SourceError: A column is of a type that could only be guessed at.
    """
    types: dict[str, pa.DataType] = {}
    columns = {column.name.lower(): column for column in contract.columns}
    for field in parquet_schema(file.path, "copy it again", SourceError, file.place):
        column = columns.get(field.name.lower())
        if column is None or pa.types.is_null(field.type):
            continue
        have = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        zone = _zone(have)
        if zone is not None and zone not in _UTC:
            raise SourceError(
                file.place, f"column `{column.name}` is in the time zone {zone}, expected clock times or UTC",
                "write the times as they stood on the clock, without a zone",
            )  # fmt: skip
        is_list = pa.types.is_list(have) or pa.types.is_large_list(have)
        kind = str(have).partition("<")[0]  # the fields of a struct have names of their own
        if not is_list if column.cell_type != "string" else not is_cell(have):
            raise SourceError(
                file.place, f"column `{column.name}` is {kind}, expected {column.cell_type}", "cast it in the file"
            )
        types[column.name] = have
    return types


def is_cell(type_: pa.DataType) -> bool:
    """Return whether what a column holds can be read as text."""
    return not any(is_it(type_) for is_it in _NO_TEXT)


def _zone(type_: pa.DataType) -> str | None:
    return type_.tz if pa.types.is_timestamp(type_) else None


def as_contracted(column: str, have: pa.DataType, want: str) -> str:
    """Return the SQL that reads a Parquet column; where text is wanted, as the text that a CSV file would hold.

    NaN is null. Whether a number is finite is asked first: what the engine takes `isnan`, a range or a rounding for
    hangs on the smallest and largest number of the column, which many files list without it.
    """
    utc = _zone(have) is not None
    if utc:
        column = f"{column}::timestamptz::timestamp"
    if want != "string":
        return column
    if pa.types.is_timestamp(have):
        # an instant is told in the zone of the source, or is none, as the same text would be
        return f"{column}::timestamp::varchar || 'Z'" if utc else f"{column}::timestamp::varchar"
    if pa.types.is_floating(have):
        # ids with gaps are often written as floats: 7.0 is the id 7, and 7.5 is none
        whole = f"{column} = trunc({column}) and abs({column}) < {_EXACT[have.bit_width]}"
        number = f"case when {whole} then try_cast({column} as bigint)::varchar else {column}::varchar end"
        return f"case when isfinite({column}) then {number} when {_is_infinite(column)} then {column}::varchar end"
    if pa.types.is_decimal(have) and have.scale > 0:  # as databases write whole numbers, with all zeros
        return f"regexp_replace({column}::varchar, {literal('[.]?0+$')}, '')"
    return f"{column}::varchar"


def _is_infinite(column: str) -> str:
    return f"contains({column}::varchar, 'inf')"
