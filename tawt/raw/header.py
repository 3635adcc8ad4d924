"""The names of a raw file's columns, and what is said where expected ones are not among them."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Sequence
from typing import Any

from tawt.config.pipeline import Csv, Members
from tawt.errors import SourceError
from tawt.raw.encoding import NotText, hint_of
from tawt.raw.formats import format_of
from tawt.raw.identity import RawFile, open_bytes
from tawt.raw.members import MemberReader
from tawt.readers import parquet_schema

_FEW = 5
"""How many columns are told by their places."""


def about_header(missing: str, header: tuple[str, ...], known: set[str], n_expected: int) -> str:
    """Return the hint for a header without a column that is expected, by how much of it is known."""
    if 2 * len(known) >= n_expected:
        others = [name for name in header if name not in known]
        close = difflib.get_close_matches(missing, others, n=1, cutoff=0.5)
        # a name that no contract knows may be a cell, unless it is nearly the one that is looked for: its place is said
        there = (
            f"did you mean `{close[0]}`, column {header.index(close[0]) + 1} of the file? "
            if close
            else f"column {', '.join(str(header.index(name) + 1) for name in others[:_FEW])} of the file is of no name "
            "in the contract; "
            if others
            else ""
        )
        return f"{there}else take it out of the contract, or name it under `optional:` there if some files have it"
    # a first line that names hardly any column may be a record: its cells are not shown
    return (
        f"the first line holds {len(header)} fields, {len(known)} of them expected names; is it the header, and is "
        "what the pipeline says of delimiter and encoding right (`csv:`, or `tables:` for one table)?"
    )


def read_header(
    file: RawFile, dialect: Csv, members: Members | None, contracted: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the names of the columns of a raw file, in order.

    Args:
        file: The file.
        dialect: How it is written.
        members: How the table is spread over small files, if it is.
        contracted: Names that the contract gives to the columns of files without a header.

    Raises:
        SourceError: It has no header, or is not written as the dialect says.
    """
    if members is not None:
        return ("_member", *MemberReader(members, [(file.path, file.place)], dialect.encoding).header())
    if format_of(file.path).is_parquet:
        return tuple(parquet_schema(file.path, "copy it again", SourceError, file.place).names)
    quoting: dict[str, Any] = {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
    with open_bytes(file.path, file.place, dialect.encoding) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            row = next(csv.reader(text, delimiter=dialect.delimiter, **quoting), None)
        except UnicodeDecodeError:
            raise NotText(1, "utf-8", hint_of(b"", "utf-8")).at(file.place) from None
        except csv.Error:
            raise SourceError(
                file.place, "has a first line that is no header, expected the column names", "copy it again"
            ) from None
    if not dialect.header and row is not None:
        if len(row) != len(contracted):
            raise SourceError(
                file.place, f"has {len(row)} fields in its first line, expected the {len(contracted)} columns that its "
                "contract names, in order, for it is said to have no header",
                "name all columns in the contract, or take `header: false` out",
            )  # fmt: skip
        if {name.strip().lower() for name in row} == {name.lower() for name in contracted}:
            raise SourceError(
                file.place, "begins with the names of its columns, expected a record, for it is said to have no header",
                "take `header: false` out of the pipeline",
            )  # fmt: skip
        return tuple(contracted)
    if not row or not any(row):
        raise SourceError(file.place, "has no header line, expected the column names", "copy it again")
    # a column without a name is often the index of a data frame
    return tuple(column.strip() or f"_unnamed_{i}" for i, column in enumerate(row, start=1))
