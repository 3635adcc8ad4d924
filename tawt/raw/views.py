"""Raw tables as numbered views `raw.<table>`.

Every CSV column arrives as VARCHAR and is typed in staging. `_row` numbers the readable records in file order. A
record that breaks the CSV standard is set aside with its line, never padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import pyarrow as pa

from tawt.config.pipeline import Csv
from tawt.database.connect import Limits, identifier, literal, wrapped_errors
from tawt.errors import SourceError
from tawt.raw.find import RawTable
from tawt.raw.formats import format_of
from tawt.raw.identity import delimiter_of, open_bytes
from tawt.raw.members import MemberReader
from tawt.raw.rejects import rejected_lines
from tawt.readers import parquet_batches, parquet_schema


def bind_raw(
    connection: duckdb.DuckDBPyConnection, table: RawTable, dialect: Csv, parallel: bool = False
) -> MemberReader | None:
    """Make the view `raw.<table>`: the contract's columns and `_row`.

    Args:
        connection: Where.
        table: The table.
        dialect: How text files are written.
        parallel: Whether several threads read one file. Behind a malformed line the engine then can lose records, so
            the caller counts.

    Returns:
        The reader behind the view where the table is spread over many small files (it counts what it sets aside).
    """
    reader = None
    if table.members is not None:
        reader = MemberReader(table.members, [(file.path, file.place) for file in table.files])
        source = f"_members_{table.name}"
        connection.register(source, reader.batches())
    elif table.is_parquet:
        source = _read_parquet(table)
    else:
        source = _read_csv(table, dialect, parallel)
    types = _parquet_types(table) if table.is_parquet else {}
    selected = [
        f"{_as_contracted(identifier(table.columns[c.name]), types.get(c.name), c.type)} as {identifier(c.name)}"
        if c.name in table.columns
        else f"null::varchar as {identifier(c.name)}"
        for c in table.contract.columns
    ]  # fmt: skip
    number = "_row" if table.members is not None else "row_number() over () as _row"
    connection.execute(
        f"create or replace view raw.{identifier(table.name)} as select {', '.join(selected)}, {number} from {source}"
    )
    return reader


_NO_TEXT = (
    pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)  # fmt: skip
_READABLE = {
    "string": (lambda have: not any(is_it(have) for is_it in _NO_TEXT),),
    "int64": (pa.types.is_integer,),
    "float32": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_string),
    "timestamp[us]": (pa.types.is_timestamp, pa.types.is_date, pa.types.is_string, pa.types.is_large_string),
    "list<string>": (pa.types.is_list, pa.types.is_large_list),
}
"""Type in a contract -> what a Parquet column may be instead, without a rounded id or a guessed time."""
_UTC = ("UTC", "Etc/UTC", "GMT", "Z", "+00:00")


def _parquet_types(table: RawTable) -> dict[str, pa.DataType]:
    """Return the type in the files of each column of the contract; where files differ, the one that needs most care.

    Raises:
        SourceError: A column is of a type that could only be guessed at.
    """
    types: dict[str, pa.DataType] = {}
    for file in table.files:
        for field in parquet_schema(file.path, "copy it again", SourceError, file.place):
            column = next((c for c in table.contract.columns if c.name.lower() == field.name.lower()), None)
            if column is None or pa.types.is_null(field.type):
                continue
            have = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            zone = _zone(have)
            if zone is not None and zone not in _UTC:
                raise SourceError(
                    file.place, f"column `{column.name}` is in the time zone {zone}, expected clock times or UTC",
                    "write the times as they stood on the clock, without a zone",
                )  # fmt: skip
            readable = _READABLE.get(column.type)
            kind = str(have).partition("<")[0]  # the fields of a struct have names of their own
            if readable is not None and not any(is_it(have) for is_it in readable):
                raise SourceError(
                    file.place, f"column `{column.name}` is {kind}, expected {column.type}", "cast it in the file"
                )
            if column.name not in types or pa.types.is_floating(have) or zone is not None:
                types[column.name] = have
    return types


def _zone(type_: pa.DataType) -> str | None:
    return type_.tz if pa.types.is_timestamp(type_) else None


def _as_contracted(column: str, have: pa.DataType | None, want: str) -> str:
    """Return the SQL that reads a Parquet column; where text is wanted, as the text that a CSV file would hold."""
    if have is not None and _zone(have) is not None:
        column = f"{column}::timestamptz::timestamp"
    if have is None or want != "string":
        return column
    if pa.types.is_timestamp(have):
        return f"{column}::timestamp::varchar"
    if pa.types.is_floating(have):
        # ids with gaps are often written as floats: 7.0 is the id 7, and 7.5 is none
        whole = f"{column} = trunc({column}) and abs({column}) < 9e15"
        return f"case when {whole} then {column}::bigint::varchar else {column}::varchar end"
    return f"{column}::varchar"


def _read_parquet(table: RawTable) -> str:
    files = ", ".join(literal(str(file.path)) for file in table.files)
    return f"read_parquet([{files}], union_by_name = true)"


def damaged_file(tables: Sequence[RawTable]) -> SourceError | None:
    """Return the error of the first raw file that another reader cannot read to its end either, if there is one.

    What the engine says of a page that it cannot read is told from no other mistake of a stage.
    """
    for table, file in ((one, file) for one in tables if one.members is None for file in one.files):
        try:
            if table.is_parquet:
                for _ in parquet_batches(file.path, None, "copy it again", SourceError, file.place):
                    pass
            else:
                with open_bytes(file.path, file.place) as stream:
                    while stream.read(1 << 20):
                        pass
        except SourceError as error:
            return error
    return None


_LONGEST_LINE = 2_000_000
"""Bytes of a record, as the engine has it by default; it counts blank lines to the record behind them."""


def _read_csv(table: RawTable, dialect: Csv, parallel: bool) -> str:
    files = ", ".join(literal(str(file.path)) for file in table.files)
    # names in the order of the header; nothing is sniffed, so one odd cell cannot change how a file is read
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in table.header)
    delimiter = literal(delimiter_of(table.files[0].path, dialect))
    # the engine tells by the letters before a `?`, which may stand in the name of any folder
    packed = {format_of(file.path).is_gzip for file in table.files}
    longest = _LONGEST_LINE + max(file.seen.n_blank for file in table.files)
    compression = "auto" if len(packed) > 1 else "gzip" if True in packed else "none"
    return (
        f"read_csv([{files}], header = true, auto_detect = false, delim = {delimiter}, "
        f"quote = {literal(dialect.quote)}, escape = {literal(dialect.quote)}, nullstr = '', columns = {{{columns}}}, "
        f"strict_mode = {str(dialect.strict).lower()}, parallel = {str(parallel).lower()}, store_rejects = true, "
        f"max_line_size = {longest}, compression = {literal(compression)}, "
        f"rejects_table = '_rejects_{table.name}', rejects_scan = '_rejects_scan_{table.name}')"
    )


def unread_file(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[RawTable], dialect: Csv, limits: Limits
) -> SourceError | None:
    """Return the error of the first raw file that the engine does not read, whole as it may be, if there is one."""
    for table, file in ((one, file) for one in tables if one.members is None for file in one.files):
        try:
            with wrapped_errors(file.place, limits=limits):
                bind_raw(connection, replace(table, files=(file,)), dialect)
                _n_read(connection, table)
        except SourceError:
            packed = format_of(file.path).is_gzip
            return SourceError(
                file.place,
                f"is whole, but the engine does not read how it is {'packed' if packed else 'written'}, expected "
                + ("what gzip makes" if packed else "an ordinary file"),
                "unpack it, or unpack it and pack it again" if packed else "write it again with another tool",
            )
    return None


def _n_read(connection: duckdb.DuckDBPyConnection, table: RawTable) -> int:
    reader: pa.RecordBatchReader = connection.sql(f"from raw.{identifier(table.name)}").to_arrow_reader()
    n_read = 0
    while (batch := next(reader, None)) is not None:
        n_read += batch.num_rows
    return n_read


def hold_to_count(connection: duckdb.DuckDBPyConnection, table: RawTable, dialect: Csv) -> None:
    """Read a text table once more, and hold what is handed over and set aside to the count of its bytes.

    Raises:
        SourceError: The engine and the count differ, as they do where quotes stand wildly.
    """
    bind_raw(connection, table, dialect)
    n_read = _n_read(connection, table) + len(rejected_lines(connection, table, dialect))
    if n_read != table.n_records:
        raise SourceError(
            f"raw.{table.name}",
            f"holds {table.n_records:,} records by its line ends and quotes, and the engine tells {n_read:,} apart, "
            "expected all",
            "look for quotes that open or close in the middle of a cell, most often in the last line",
        )
