"""Raw tables as numbered views `raw.<table>`, and what the reading of their text files set aside.

Every CSV column arrives as VARCHAR and is typed in staging. `_row` numbers the readable records in file order. A
record that breaks the CSV standard is set aside with its line, never padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from tawt.config.data import Csv
from tawt.errors import SourceError
from tawt.pipeline.engine import identifier, literal
from tawt.pipeline.members import MemberReader
from tawt.pipeline.sources import RawTable, delimiter_of, open_bytes


def bind_raw(connection: duckdb.DuckDBPyConnection, table: RawTable, dialect: Csv) -> MemberReader | None:
    """Make the view `raw.<table>`: the contract's columns and `_row`.

    Returns:
        The reader behind the view where the table is spread over many small files (it counts what it sets aside).
    """
    reader = None
    if table.members is not None:
        reader = MemberReader(table.members, [file.path for file in table.files])
        source = f"_members_{table.name}"
        connection.register(source, reader.batches())
    elif table.is_parquet:
        source = _read_parquet(table)
    else:
        source = _read_csv(table, dialect)
    selected = [
        f"{identifier(table.columns[name])} as {identifier(name)}" if name in table.columns
        else f"null::varchar as {identifier(name)}"
        for name in table.contract.names
    ]  # fmt: skip
    number = "_row" if table.members is not None else "row_number() over () as _row"
    connection.execute(
        f"create or replace view raw.{identifier(table.name)} as select {', '.join(selected)}, {number} from {source}"
    )
    return reader


def _read_parquet(table: RawTable) -> str:
    files = ", ".join(literal(str(file.path)) for file in table.files)
    return f"read_parquet([{files}], union_by_name = true)"


def _read_csv(table: RawTable, dialect: Csv, mark: str = "") -> str:
    files = ", ".join(literal(str(file.path)) for file in table.files)
    # names in the order of the header; nothing is sniffed, so one odd cell cannot change how a file is read
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in table.header)
    delimiter = literal(delimiter_of(table.files[0].path, dialect))
    return (
        f"read_csv([{files}], header = true, auto_detect = false, delim = {delimiter}, "
        f"quote = {literal(dialect.quote)}, escape = {literal(dialect.quote)}, nullstr = '', columns = {{{columns}}}, "
        f"strict_mode = {str(dialect.strict).lower()}, store_rejects = true, "
        f"rejects_table = '_rejects_{table.name}{mark}', rejects_scan = '_rejects_scan_{table.name}{mark}')"
    )


def rejected_lines(connection: duckdb.DuckDBPyConnection, table: RawTable, dialect: Csv) -> list[tuple[str, int, str]]:
    """Return file, line and kind of every record that breaks the CSV standard, after the view was read to its end.

    Raises:
        SourceError: A quote is never closed: the records behind it were read as part of one cell.
    """
    if table.members is not None or table.is_parquet:
        return []
    # what a stray quote swallows is one record to the engine: it has line ends inside, and is no quoted text of its own
    swallowing = "" if not dialect.strict else "and e.error_type in ('UNQUOTED VALUE', 'LINE SIZE OVER MAXIMUM')"
    rows = connection.execute(
        f"select s.file_path, e.line_byte_position, min(lower(replace(e.error_type::varchar, ' ', '_'))), "
        f"bool_or(contains(trim(e.csv_line, chr(10) || chr(13)), chr(10)) {swallowing}) "
        f"from _rejects_{table.name} e join _rejects_scan_{table.name} s using (scan_id, file_id) "
        f"group by s.file_path, e.line_byte_position order by all"
    ).fetchall()
    lines: list[tuple[str, int, str]] = []
    for file in table.files:
        mine = [row[1:] for row in rows if row[0] == str(file.path)]
        numbers = _line_numbers(file.path, [position for position, _, _ in mine])
        for number, (_, kind, swallowed) in zip(numbers, mine, strict=True):
            if swallowed:
                raise SourceError(
                    f"{file.relative}:{number}",
                    "opens a quote that swallows the lines after it, expected every quote to be closed in its cell",
                    "mend the line, or set `csv: {quote: ...}` in the pipeline if the file quotes otherwise",
                )
            lines.append((file.relative, number, kind))
    return lines


def _line_numbers(path: Path, positions: Sequence[int]) -> list[int]:
    """Return the lines, from 1, of byte positions in ascending order; the engine's own numbers count records."""
    numbers: list[int] = []
    line, end = 1, 0
    if not positions:
        return numbers
    with open_bytes(path) as stream:
        while len(numbers) < len(positions) and (block := stream.read(1 << 20)):
            start, end, seen = end, end + len(block), 0
            while len(numbers) < len(positions) and positions[len(numbers)] < end:
                here = positions[len(numbers)] - start
                line += block.count(b"\n", seen, here)
                numbers.append(line)
                seen = here
            line += block.count(b"\n", seen)
    return numbers + [line] * (len(positions) - len(numbers))


def file_places(
    connection: duckdb.DuckDBPyConnection, table: RawTable, dialect: Csv
) -> tuple[tuple[str, ...], list[int]]:
    """Return the table's files and the number of each one's first record; several files cost one more reading."""
    names = tuple(file.relative for file in table.files)
    starts = [1]
    for file in table.files[:-1]:
        one = replace(table, files=(file,))
        source = _read_parquet(one) if table.is_parquet else _read_csv(one, dialect, "_count")
        row = connection.execute(f"select count(*) from {source}").fetchone()
        starts.append(starts[-1] + (row[0] if row else 0))
    return names, starts
