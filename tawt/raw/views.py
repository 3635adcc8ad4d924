"""Raw tables as numbered views `raw.<table>`.

Every CSV column arrives as VARCHAR and is typed in staging. `_row` numbers the readable records in file order. A
record that breaks the CSV standard is set aside with its line, never padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import duckdb
import pyarrow as pa

from tawt.contracts.contract import Column
from tawt.contracts.opted_out import NOBODY
from tawt.contracts.table import marks_of, number_marks
from tawt.contracts.types import TYPES
from tawt.database.connect import file_list, identifier, literal, parquet_files, wrapped_errors
from tawt.database.limits import Limits
from tawt.database.stream import batches
from tawt.errors import SourceError
from tawt.raw.find import RawTable
from tawt.raw.formats import format_of
from tawt.raw.identity import RawFile, open_bytes
from tawt.raw.members import MemberReader
from tawt.raw.parquet import as_contracted, parquet_types
from tawt.raw.rejects import rejected_lines
from tawt.readers import parquet_batches


def bind_raw(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    parallel: bool = False,
    numbers: str = "",
    some_out: bool = False,
) -> MemberReader | None:
    """Make the view `raw.<table>`: the contract's columns and `_row`.

    Args:
        connection: Where.
        table: The table.
        parallel: Whether several threads read one file. Behind a malformed line the engine then can lose records, so
            the caller counts.
        numbers: The relation of subjects whose ids are text, whose numbers stand in the place of ids; by default these
            stand as they are.
        some_out: Whether some subjects opted out: they have no number there, and are nobody.

    Returns:
        The reader behind the view where the table is spread over many small files (it counts what it sets aside).
    """
    reader = None
    if table.members is not None:
        reader = MemberReader(table.members, [(f.path, f.place) for f in table.files], table.dialect.encoding)
        connection.register(f"_members_{table.name}", reader.batches())
        rows = f"select {_cells(table, table.files[0])}, _row from _members_{table.name}"
    else:
        number = "row_number() over ()" + (f" + {table.n_before}" if table.n_before else "")
        rows = f"select *, {number} as _row from ({_parts(table, parallel)})"
    if numbers and table.contract.subjects:
        rows = _numbered(table, rows, numbers, some_out)
    connection.execute(f"create or replace view raw.{identifier(table.name)} as {rows}")
    return reader


def subject_id(cell: str) -> str:
    """Return the SQL that reads the id of a subject which is text: blanks around it are none of it."""
    return f"nullif(trim({cell}), '')"


def _numbered(table: RawTable, rows: str, numbers: str, some_out: bool) -> str:
    """Return rows with numbers in the place of ids, as text like all cells."""
    columns = list(enumerate(table.contract.subjects))
    ids = {column: subject_id(f"r.{identifier(column)}") for _, column in columns}
    given = ", ".join(
        f"({_number(f's{i}', ids[column], some_out)})::varchar as {identifier(column)}" for i, column in columns
    )
    joins = " ".join(f"left join {numbers} s{i} on s{i}.id = {ids[column]}" for i, column in columns)
    return f"select r.* replace ({given}) from ({rows}) r {joins}"


def _number(joined: str, id_: str, some_out: bool) -> str:
    number = f"{joined}.subject_id"
    return f"case when {id_} is not null then coalesce({number}, {NOBODY}) end" if some_out else number


def _parts(table: RawTable, parallel: bool) -> str:
    """Return the SQL that reads the files of a table, in order.

    Those that are written alike are given to the engine together; of others it would make one header, and of columns of
    several types one type, which holds not every id and time as it is.
    """
    selects = []
    types = {file.path: parquet_types(table.contract, file) if table.is_parquet else {} for file in table.files}
    for _, alike in groupby(
        table.files, lambda file: (types[file.path], table.is_text and (file.header, _is_gzip(file)))
    ):
        part = replace(table, files=tuple(alike))
        source = parquet_files([f.path for f in part.files]) if table.is_parquet else _read_csv(part, parallel)
        selects.append(f"select {_cells(table, part.files[0], types[part.files[0].path])} from {source}")
    return " union all ".join(selects)


def _is_gzip(file: RawFile) -> bool:
    return format_of(file.path).is_gzip


def _cells(table: RawTable, file: RawFile, types: dict[str, pa.DataType] | None = None) -> str:
    """Return the SQL that reads the columns of the contract from a file, of Parquet of such types."""
    own = {name.lower(): name for name in file.header}
    cells = [_cell(table, column, own.get(column.name.lower()), types or {}) for column in table.contract.columns]
    return ", ".join(
        f"{cell} as {identifier(column.name)}" for cell, column in zip(cells, table.contract.columns, strict=True)
    )


def _cell(table: RawTable, column: Column, name: str | None, types: dict[str, pa.DataType]) -> str:
    """Return the SQL that reads a column, by its name in the file; what stands for a missing cell is one."""
    if name is None or (table.is_parquet and column.name not in types):
        return f"null::{TYPES[column.cell_type].sql}"
    cell = identifier(name)
    if table.is_parquet:
        cell = as_contracted(cell, types[column.name], column.cell_type)
        if column.cell_type != "string":
            return cell
    # the nearest has the say: the column, else the table, else the pipeline
    own = marks_of(table.contract).get(column.name)
    marks = table.dialect.marks if own is None else own
    return f"case when not {_is_mark(cell, marks, column)} then {cell} end" if marks else cell


def _is_mark(cell: str, marks: Sequence[str], column: Column) -> str:
    """Return the SQL that asks whether a cell stands for a missing one: by its letters, and of a number by what it is,
    for `-9.0` is -9 however a file is written."""
    is_one = f"trim({cell}) in ({', '.join(map(literal, marks))})"
    if numbers := number_marks(column, marks):
        is_one += f" or try_cast({cell} as double) in ({', '.join(map(str, numbers))})"
    return f"coalesce({is_one}, false)"


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
                with open_bytes(file.path, file.place, table.dialect.encoding) as stream:
                    while stream.read(1 << 20):
                        pass
        except SourceError as error:
            return error
    return None


_LONGEST_LINE = 2_000_000
"""Bytes of a record, as the engine has it by default; it counts blank lines to the record behind them."""


def _read_csv(table: RawTable, parallel: bool) -> str:
    """Return files that are all packed, or none, and have one header, as a relation."""
    dialect = table.dialect
    # names in the order of the header; nothing is sniffed, so one odd cell cannot change how a file is read
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in table.files[0].header)
    longest = _LONGEST_LINE + max(file.seen.n_blank for file in table.files)
    compression = "gzip" if _is_gzip(table.files[0]) else "none"
    return (
        f"read_csv({file_list([file.path for file in table.files])}, hive_partitioning = false, "
        f"header = {str(dialect.header).lower()}, auto_detect = false, "
        f"delim = {literal(dialect.delimiter)}, encoding = {literal(dialect.encoding)}, "
        f"quote = {literal(dialect.quote)}, escape = {literal(dialect.quote)}, nullstr = '', columns = {{{columns}}}, "
        f"strict_mode = {str(dialect.strict).lower()}, parallel = {str(parallel).lower()}, store_rejects = true, "
        f"max_line_size = {longest}, compression = {literal(compression)}, "
        f"rejects_table = '_rejects_{table.name}', rejects_scan = '_rejects_scan_{table.name}')"
    )


def unread_file(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[RawTable], limits: Limits
) -> SourceError | None:
    """Return the error of the first raw file that the engine does not read, whole as it may be, if there is one."""
    for table, file in ((one, file) for one in tables if one.members is None for file in one.files):
        try:
            with wrapped_errors(file.place, limits=limits):
                bind_raw(connection, replace(table, files=(file,)))
                _n_read(connection, table)
        except SourceError:
            packed = _is_gzip(file)
            return SourceError(
                file.place,
                f"is whole, but the engine does not read how it is {'packed' if packed else 'written'}, expected "
                + ("what gzip makes" if packed else "an ordinary file"),
                "unpack it, or unpack it and pack it again" if packed else "write it again with another tool",
            )
    return None


def _n_read(connection: duckdb.DuckDBPyConnection, table: RawTable) -> int:
    return sum(batch.num_rows for batch in batches(connection.sql(f"from raw.{identifier(table.name)}")))


def hold_to_count(connection: duckdb.DuckDBPyConnection, table: RawTable) -> None:
    """Read a text table once more, and hold what is handed over and set aside to the count of its bytes.

    Raises:
        SourceError: The engine and the count differ, as they do where quotes stand wildly.
    """
    bind_raw(connection, table)
    n_read = _n_read(connection, table) + len(rejected_lines(connection, table))
    if n_read != table.n_records:
        raise SourceError(
            f"raw.{table.name}",
            f"holds {table.n_records:,} records by its line ends and quotes, and the engine tells {n_read:,} apart, "
            "expected all",
            "look for quotes that open or close in the middle of a cell, most often in the last line",
        )
