"""Which records share most of the traces that hardly any other has: they lie on disk, and a part of them in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any

import numpy as np

from tawt.arrays import Ints, Words
from tawt.chance import draw
from tawt.room import naming

LEAST, MOST_ALIKE = 10, 3
"""Traces of a record from which it can be known again, and records that may share one of them."""
SKETCH, SHARED = 64, 5
"""Traces of a record that are compared first, the smallest, and how many of them two must share."""
COPY = 0.5
"""Share of the shorter record's own traces from which it is a copy."""
ROWS_AT_ONCE = 1 << 22
"""Rows that are sorted in memory at once; a row takes some 100 bytes meanwhile."""
_ROWS_TO_WRITE = 1 << 20
_MOST_BITS = 7
_TRACE = np.dtype([("trace", "<u8"), ("record", "<u4")])
_PAIR = np.dtype([("pair", "<i8"), ("n", "<u4"), ("n_first", "<u4")])
Rows = np.ndarray[Any, np.dtype[np.void]]


class Parts:
    """Rows on disk, dealt out by random words to parts that are sorted one at a time, the smallest words first."""

    def __init__(self, row: np.dtype[np.void], bits: int, files: Sequence[IO[bytes]]) -> None:
        self._row, self._bits, self._files = row, bits, files

    def add(self, word: Words, rows: Rows) -> None:
        """Keep rows, each in the part of its word."""
        part = (word >> np.uint64(64 - self._bits)) if self._bits else np.zeros_like(word)
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(len(self._files), dtype=np.uint64), side="right")
        for file, own in zip(self._files, np.split(rows[order], ends[:-1]), strict=True):
            file.write(own.tobytes())

    def __iter__(self) -> Iterator[Rows]:
        for file in self._files:
            file.seek(0)
            yield np.frombuffer(file.read(), dtype=self._row)


@contextmanager
def on_disk(row: np.dtype[np.void], n_rows: int, folder: Path | None) -> Iterator[Parts]:
    """Hold rows of a type on disk, of which there are so many at most; None = in the system's own folder."""
    bits = min(_MOST_BITS, max(0, -(-n_rows // ROWS_AT_ONCE) - 1).bit_length())
    with naming(folder or Path(gettempdir())), ExitStack() as held:
        # a file without a name is gone with the process, however that ends
        yield Parts(row, bits, [held.enter_context(TemporaryFile(dir=folder)) for _ in range(1 << bits)])


def alike(traces: Iterable[Words], n_traces: int, folder: Path | None) -> tuple[int, Ints]:
    """Return how many records can be known again, and the pairs `(p, 2)` that share most of what is their own.

    A trace is a record's own where three records at most have it.

    Args:
        traces: The distinct traces of each record: random words.
        n_traces: How many there are at most.
        folder: Where what is not looked at lies meanwhile; None = the system's own place.
    """
    with on_disk(_TRACE, n_traces, folder) as all_traces, on_disk(_PAIR, n_traces, folder) as all_pairs:
        n_records = _keep(traces, all_traces)
        n_own = np.zeros(n_records, dtype=np.int64)
        for part in all_traces:
            record, trace = _rare(part)
            place = n_own[record] + _place_of_its_kind(record)
            n_own += np.bincount(record, minlength=n_records)
            rows = _pairs(trace, record, place < SKETCH, n_records)
            all_pairs.add(draw(rows["pair"]), rows)
        found = [_copies(part, n_own) for part in all_pairs]
    return int((n_own >= LEAST).sum()), np.concatenate(found)


def _keep(traces: Iterable[Words], parts: Parts) -> int:
    """Write the traces of all records, some at a time, and return how many records there are."""
    held: list[Rows] = []
    n_held = n_records = 0

    def write() -> None:
        rows = np.concatenate([np.empty(0, _TRACE), *held])
        parts.add(rows["trace"], rows)
        held.clear()

    for own in traces:
        rows = np.empty(len(own), _TRACE)
        rows["trace"], rows["record"] = own, n_records
        held.append(rows)
        n_records += 1
        n_held += len(own)
        if n_held >= _ROWS_TO_WRITE:
            write()
            n_held = 0
    write()
    return n_records


def _rare(part: Rows) -> tuple[Ints, Words]:
    """Return records and traces of those that few records have, the smallest traces first."""
    order = np.argsort(part["trace"], kind="stable")
    trace, record = part["trace"][order], part["record"][order].astype(np.int64)
    n = _sizes(trace)
    few = np.repeat(n <= MOST_ALIKE, n)
    return record[few], trace[few]


def _pairs(trace: Words, record: Ints, first: np.ndarray, n_records: int) -> Rows:
    """Return each pair of records that share some traces, with how many, and how many that are first of both."""
    pair, both = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=bool)]
    for gap in range(1, MOST_ALIKE):
        same = trace[gap:] == trace[:-gap]
        pair.append(record[:-gap][same] * n_records + record[gap:][same])
        both.append(first[:-gap][same] & first[gap:][same])
    return _summed(np.concatenate(pair), np.ones(sum(map(len, pair)), dtype=np.int64), np.concatenate(both))


def _summed(pair: Ints, n: Ints, n_first: np.ndarray) -> Rows:
    """Return each pair once, with its sums."""
    order = np.argsort(pair, kind="stable")
    size = _sizes(pair[order])
    start = np.cumsum(size) - size
    rows = np.empty(len(start), _PAIR)
    rows["pair"] = pair[order][start]
    if len(start):
        rows["n"] = np.add.reduceat(n[order].astype(np.int64), start)
        rows["n_first"] = np.add.reduceat(n_first[order].astype(np.int64), start)
    return rows


def _copies(part: Rows, n_own: Ints) -> Ints:
    rows = _summed(part["pair"], part["n"], part["n_first"])
    pair = np.stack(np.divmod(rows["pair"], max(1, len(n_own))), 1)
    least = n_own[pair].min(1)
    return pair[(least >= LEAST) & (rows["n_first"] >= SHARED) & (rows["n"] >= COPY * least)]


def _sizes(ordered: np.ndarray) -> Ints:
    """Return how often each number of an ordered array is there."""
    ends = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.diff(np.concatenate(([0], ends, [len(ordered)]))) if len(ordered) else np.empty(0, dtype=np.int64)


def _place_of_its_kind(numbers: Ints) -> Ints:
    """Return how many equal numbers there are before each."""
    order = np.argsort(numbers, kind="stable")
    n = _sizes(numbers[order])
    place = np.empty(len(numbers), dtype=np.int64)
    place[order] = np.arange(len(numbers)) - np.repeat(np.cumsum(n) - n, n)
    return place
