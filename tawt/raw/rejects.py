"""What the engine set aside of a text file: the line of each record, and whether a quote in it swallows others.

The engine gives the byte that a record begins at, with the blank lines before it; the rest is told from the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import IO

import duckdb

from tawt.config.pipeline import Csv
from tawt.errors import SourceError
from tawt.raw.find import RawTable
from tawt.raw.identity import QUOTES, RawFile, open_bytes

_BLOCK = 1 << 20
_LONGEST = 32 << 20
"""A record that is longer is none: the engine holds no more of one at once."""
_FILLED, _END = re.compile(rb"[^\r\n]"), re.compile(rb"[\r\n]")


def rejected_lines(
    connection: duckdb.DuckDBPyConnection, table: RawTable, parallel: bool = False
) -> list[tuple[str, int, str]]:
    """Return file, line and kind of every record that breaks the CSV standard, after the view was read to its end.

    Args:
        connection: Where.
        table: The table.
        parallel: Whether several threads read one file. They can take what is none for the begin of a record: then
            only how many there are is told, with line 0.

    Raises:
        SourceError: A quote is never closed, or not where its cell ends: the records behind it were read as part of one
            cell.
    """
    if not table.is_text:
        return []
    rows = connection.execute(
        f"select s.file_path, e.line_byte_position - 1, min(lower(replace(e.error_type::varchar, ' ', '_'))) "
        f"from _rejects_{table.name} e join _rejects_scan_{table.name} s using (scan_id, file_id) "
        f"group by s.file_path, e.line_byte_position order by all"
    ).fetchall()
    if parallel:
        return [(path, 0, kind) for path, _, kind in rows]
    lines: list[tuple[str, int, str]] = []
    for file in table.files:
        mine = [row[1:] for row in rows if row[0] == str(file.path)]
        found = _records(file, [position for position, _ in mine], table.dialect)
        for (number, swallows), (_, kind) in zip(found, mine, strict=True):
            if swallows:
                raise SourceError(
                    f"{file.place}:{number}",
                    "opens a quote that swallows the lines after it, expected every quote to be closed in its cell",
                    QUOTES,
                )
            lines.append((file.place, number, kind))
    return lines


def _records(file: RawFile, positions: Sequence[int], dialect: Csv) -> Iterator[tuple[int, bool]]:
    """Yield the line, from 1, of the record at each byte position, in ascending order, and whether it swallows any.

    A record with line ends in cells that are quoted as the standard has it is one, however wrong it is otherwise.
    """
    if not positions:
        return
    record = _record(dialect.delimiter.encode(), dialect.quote.encode())
    with open_bytes(file.path, file.place, dialect.encoding) as stream:
        window = _Window(stream)
        for position in positions:
            window.move(position)
            while True:
                match = record.match(window.text, window.here)
                assert match is not None
                is_whole = _END.match(window.text, match.end()) is not None
                if is_whole or not window.grow():
                    break
            several = _END.search(window.text, window.here, match.end()) is not None
            yield window.line, not is_whole or (several and match["behind"] is not None)


def _record(delimiter: bytes, quote: bytes) -> re.Pattern[bytes]:
    """Return what a record looks like up to its line end, or to a quote that stays open.

    Its group `behind` is text between a closing quote and the end of that cell.
    """
    if not quote:
        return re.compile(rb"[^\r\n]*(?P<behind>(?!))?")
    q, d, first = re.escape(quote), re.escape(delimiter), re.escape(delimiter[:1])
    blanks = b"" if delimiter == b" " else b" *"
    plain = rb"[^\r\n%b]*(?:(?!%b)%b[^\r\n%b]*)*" % (first, d, first, first)
    quoted = rb"%b%b[^%b]*%b(?:%b[^%b]*%b)*(?!%b)%b" % (blanks, q, q, q, q, q, q, q, blanks)
    behind = rb"(?P<behind>(?!%b)[^\r\n])?" % d
    cell = rb"(?:%b%b%b|(?!%b%b)%b)" % (quoted, behind, plain, blanks, q, plain)
    return re.compile(rb"(?:%b(?:%b|(?=[\r\n]|\Z)))*" % (cell, d))


class _Window:
    """A stretch of a stream that moves on, and the line of the place in it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._start, self._ended = stream, 0, False
        self.text, self.here, self.line = b"", 0, 1

    def move(self, position: int) -> None:
        """Move on to a byte of the stream, and over the line ends there."""
        while position > self._start + len(self.text):
            self._pass(len(self.text))
            if not self.grow():
                return
        self._pass(max(self.here, position - self._start))
        while (filled := _FILLED.search(self.text, self.here)) is None:
            self._pass(len(self.text))
            if not self.grow():
                return
        self._pass(filled.start())

    def grow(self) -> bool:
        """Read on, as much again as there is; False at the end, or where there is more than a record can be."""
        n_bytes = len(self.text) - self.here
        if self._ended or n_bytes > _LONGEST:
            return False
        block = self._stream.read(max(_BLOCK, n_bytes))
        self._ended = not block
        # the last line may have no end
        self.text, self._start, self.here = self.text[self.here :] + (block or b"\n"), self._start + self.here, 0
        return True

    def _pass(self, to: int) -> None:
        self.line += self.text.count(b"\n", self.here, to)
        self.here = to
