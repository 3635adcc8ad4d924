"""The number of records of a raw file: as Python's own CSV reader counts them, in blocks of any size."""

from __future__ import annotations

import csv
import io
import random

import pytest

from tawt.raw.records import RecordCounter, Records, Tail


def _count(data: bytes, step: int, quote: str | None = '"') -> Records:
    counter = RecordCounter(",", quote)
    for start in range(0, len(data), step):
        counter.add(data[start : start + step])
    return counter.end()


def _by_csv_module(data: bytes) -> int:
    """Rows with a field, less the header."""
    return sum(1 for row in csv.reader(io.StringIO(data.decode(), newline="")) if row) - 1


HEADER = b"a,b,c\n"
SHAPES = {
    "nothing behind the header": (b"", 0),
    "short and long": (b"1,2,3\n1,2\n1,2,3,4\n\n4,5,6\n", 4),
    "no last line end": (b"1,2,3\n4,5,6", 2),
    "blank lines": (b"\n\n1,2,3\n\n\n4,5,6\n\n", 2),
    "blanks alone are a record": (b"1,2,3\n   \n", 2),
    "crlf": (b"1,2,3\r\n\r\n4,5,6\r\n", 2),
    "carriage returns": (b"1,2,3\r4,5,6\r", 2),
    "line end in quotes": (b'1,"a\nb\n\n",3\n4,5,6\n', 2),
    "quote in quotes": (b'1,"a""\nb",3\n"""",5,6\n"","",""\n', 3),
    "quote within a field": (b'1,6 ft 2",3\n4,5",6\n7,8,9\n', 3),
    "text behind a quote": (b'1,"a"b"\n4,5,6\n', 2),
    "other characters that end lines elsewhere": ("1,a\x0b\x0c\x1c\u2028\x85b,3\n".encode(), 1),
    "nul": (b"1,\0,3\n\0\n", 2),
    "a line longer than a block": (b"1," + b"x" * 100_000 + b",3\n4,5,6\n", 2),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_of_any_shape_is_counted(shape: str, mark: bytes) -> None:
    """The number is the one that was counted by hand, the csv module agrees, and where blocks end does not matter."""
    data, n = SHAPES[shape]
    assert _by_csv_module(HEADER + data) == n
    for step in (1, 2, 3, 7, 1000, 1 << 20) if len(data) < 1000 else (999, 1 << 20):
        counted = _count(mark + HEADER + data, step)
        assert (counted.n_records, counted.not_utf8, counted.open_quote) == (n, None, None), step


def test_any_text_is_counted_as_the_csv_module_counts_it() -> None:
    """Random texts of quotes, fields and line ends, well formed or not; only blanks before a quote differ on purpose."""
    random_ = random.Random(7)
    pieces = [b'"', b'""', b",", b",", b"\n", b"\r\n", b"\r", b"a", b"bc"]
    for _ in range(4000):
        data = HEADER + b"".join(random_.choice(pieces) for _ in range(random_.randint(0, 16)))
        counted = _count(data, random_.randint(1, 9))
        assert counted.n_records == _by_csv_module(data), data
        assert counted == _count(data, 1 << 20), data


def test_long_tables_are_counted_in_whole_blocks() -> None:
    """A table of many blocks, well formed with quoted line ends, then with one wild quote, has the same count."""
    record = b'1,"two\nlines, ""quoted""",3\n4,plain,6\n'
    data = HEADER + record * 20_000
    assert _count(data, 1 << 18).n_records == 40_000
    assert _count(data + b'7,8" wide,9\n' + record * 9, 1 << 18).n_records == 40_019


def test_what_is_not_as_it_should_be_is_placed() -> None:
    """Bytes that are not UTF-8 and a quote that is never closed have their line; uneven line ends are told."""
    assert _count(HEADER + b"1,2,3\n4,\xb5,6\n7,\xb5,9\n", 4).not_utf8 == 3
    assert _count(HEADER + "1,\u00b5,3\n".encode(), 1).not_utf8 is None
    assert _count(HEADER + b"1,2,3\n4,5,\xc3", 3).not_utf8 == 3
    for step in (1, 5, 1 << 20):
        assert _count(HEADER + b'1,"2\n",3\n4,"5,6\n7,8,9\n', step).open_quote == 4
    assert _count(HEADER + b'1,"2\r\n",3\n', 3).even_ends and _count(b"a\r\n1\r\n", 2).even_ends
    assert not _count(HEADER + b"1,2,3\r\n", 3).even_ends and not _count(HEADER + b"1,2\r,3\n", 3).even_ends


def test_without_quotes_every_line_is_a_record() -> None:
    """A table that knows no quotes takes them as text."""
    assert _count(b'a,b\n1,"2\n3,4"\n\n"\n', 3, quote=None).n_records == 3


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_the_longest_stretch_of_blank_lines_is_measured_wherever_blocks_end(ends: bytes) -> None:
    """Of stretches of 64 bytes or more the longest is told, in blocks of any size; shorter ones are none."""
    data = b"a,b,c" + ends * 100 + b"1,2,3" + ends * 500 + b"4,5,6" + ends * 200
    for step in (3, 64, 129, 1000, 1 << 20):
        assert _count(data, step).n_blank == 500 * len(ends), step
        assert _count(b"a,b,c" + ends * 20 + b"1,2,3" + ends, step).n_blank == 0, step


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_what_stands_behind_the_last_record_is_none(step: int) -> None:
    """Ctrl-Z and NUL at the end are held back however the text is cut into blocks; within, and NUL behind a cell, they
    are text."""
    records = b"a\r\n1\r\n\0\x1a2\r\n"
    tails = {
        records: [b"", b"\x1a", b"\x1a\r\n", b"\0\0\0", b"\x1a\0\0\n\0", b"\0" * 50],
        records + b"3": [b"", b"\x1a", b"\x1a\x1a\n"],
        records + b"3\0": [b"", b"\0\0"][:1],
        records + b"3\0\0\r\n": [b"", b"\0"],
    }
    for text, ends in tails.items():
        for end in ends:
            tail, whole = Tail(), text + end
            read = b"".join(tail.add(whole[i : i + step]) for i in range(0, len(whole), step))
            assert (read, len(tail)) == (text, len(end)), (text, end)
