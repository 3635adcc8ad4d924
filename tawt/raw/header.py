"""The names of a raw file's columns, and what is said where expected ones are not among them."""

from __future__ import annotations

import csv
import difflib
import io

from tawt.config.pipeline import Csv, Members
from tawt.errors import SourceError
from tawt.raw.formats import format_of
from tawt.raw.identity import RawFile, delimiter_of, open_bytes
from tawt.raw.members import MemberReader
from tawt.readers import parquet_schema


def about_header(missing: str, header: tuple[str, ...], known: set[str], n_expected: int) -> str:
    """Return the hint for a header without a column that is expected, by how much of it is known."""
    if 2 * len(known) >= n_expected:
        # a name that no contract knows may be a cell: its place is said
        close = difflib.get_close_matches(missing, [name for name in header if name not in known], n=1, cutoff=0.5)
        return f"is column {header.index(close[0]) + 1} the one meant?" if close else "add it to the file"
    # a first line that names hardly any column may be a record: its cells are not shown
    return (
        f"the first line holds {len(header)} fields, {len(known)} of them expected names; is it the header, and is "
        "`csv: {delimiter: ...}` of the pipeline right?"
    )


def read_header(file: RawFile, dialect: Csv, members: Members | None) -> tuple[str, ...]:
    """Return the names of the columns of a raw file, in order.

    Raises:
        SourceError: It has no header, or is not written as the dialect says.
    """
    if members is not None:
        return ("_member", *MemberReader(members, [(file.path, file.place)]).header())
    if format_of(file.path).is_parquet:
        return tuple(parquet_schema(file.path, "copy it again", SourceError, file.place).names)
    with open_bytes(file.path, file.place) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            row = next(csv.reader(text, delimiter=delimiter_of(file.path, dialect), quotechar=dialect.quote), None)
        except UnicodeDecodeError:
            raise SourceError(
                file.place, "is not UTF-8 text, expected UTF-8", "convert it, for example with iconv"
            ) from None
        except csv.Error:
            raise SourceError(
                file.place, "has a first line that is no header, expected the column names", "copy it again"
            ) from None
    if not row or not any(row):
        raise SourceError(file.place, "has no header line, expected the column names", "copy it again")
    # a column without a name is often the index of a data frame
    return tuple(column.strip() or f"_unnamed_{i}" for i, column in enumerate(row, start=1))
