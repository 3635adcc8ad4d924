"""How an unknown text is written, told from its beginning: encoding, delimiter, and whether it has a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice

DELIMITERS = ",;\t|"
_DATA = re.compile(r"\s*([-+<>]?\d[\d.,:/ -]*|\d{4}-\d\d-\d\d.*)\s*", re.ASCII)
"""A number, a day or a time: seldom the name of a column."""


def delimiter_in(text: str) -> str:
    """Return what cuts the first lines into the same number of fields, and into most."""
    best, most = ",", 1
    for delimiter in DELIMITERS:
        rows = [row for row in islice(rows_in(text, delimiter), 50) if row]
        alike = sum(len(row) == len(rows[0]) for row in rows)
        if rows and len(rows[0]) > most and alike >= 0.8 * len(rows):
            best, most = delimiter, len(rows[0])
    return best


def rows_in(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the records of a text, cut into fields."""
    return unbroken(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def unbroken(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield rows up to one that no reader of CSV takes, such as a field without end."""
    try:
        yield from rows
    except csv.Error:
        return


def is_record(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first line is a record like those behind it, and so has no names of columns.

    It is where it has about as many numbers and days as they, or where one of its fields comes again in its column.
    """
    alike = [row for row in rows if len(row) == len(first) and list(row) != list(first)]
    if len(first) < 2 or not alike:
        return len(first) > 1 and sum(map(_is_data, first)) * 2 >= len(first)
    n_data = sum(map(_is_data, first))
    usual = sum(sum(map(_is_data, row)) for row in alike) / len(alike)
    again = sum(any(row[i] == field for row in alike) for i, field in enumerate(first) if field.strip())
    return n_data > 0.5 * usual or again > 0


def _is_data(field: str) -> bool:
    return _DATA.fullmatch(field) is not None
