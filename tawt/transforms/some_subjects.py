"""A shard in pieces, so that what is in memory at once hangs neither on its size nor on that of a subject.

Pieces are of whole subjects, in their order; of one that has more rows than a piece they are of whole moments. What is
made of each moment by itself, and counted of each subject once, is the same for any pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tawt.readers import parquet_batches, read_parquet
from tawt.transforms.columns import NO_TIME, times_of

MOST_ROWS = 1 << 18
"""Rows of a piece, where none of its moments has more: 200 MB while they are merged."""


@dataclass(frozen=True)
class Piece:
    """Some subjects, or some time of one."""

    first: int
    last: int
    """The last subject."""
    since: int = NO_TIME
    """Microseconds; `NO_TIME` = from what has no time on."""
    until: int | None = None
    """The time from which on it is another piece; None = the end."""

    @property
    def part_of(self) -> int | None:
        """The subject who is in other pieces, too; None = it is of whole ones."""
        return self.first if self.since != NO_TIME or self.until is not None else None

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return those of some rows that are in it."""
        subject = rows["subject_id"]
        held = pc.and_(pc.greater_equal(subject, self.first), pc.less_equal(subject, self.last))
        if self.part_of is not None:
            time = pc.fill_null(rows["time"].cast(pa.int64()), NO_TIME)
            held = pc.and_(held, pc.greater_equal(time, self.since))
            if self.until is not None:
                held = pc.and_(held, pc.less(time, self.until))
        return rows.filter(held)


def pieces_of(files: Mapping[Path, int], n_at_once: int = 1) -> list[Piece | None]:
    """Return the pieces of a shard whose rows are in any order in its files, of so many each; None = all of it.

    Several are one where as many may be in memory at once.
    """
    most = n_at_once * MOST_ROWS
    if sum(files.values()) <= most:
        return [None]
    subjects, n_rows = np.empty(0, np.int64), np.empty(0, np.int64)
    for file in files:
        found, n = np.unique(read_parquet(file, ["subject_id"])["subject_id"].to_numpy(), return_counts=True)
        subjects, place = np.unique(np.append(subjects, found), return_inverse=True)
        n_rows = np.bincount(place, weights=np.append(n_rows, n), minlength=len(subjects)).astype(np.int64)
    pieces: list[Piece | None] = []
    for a, b in _together(n_rows.tolist(), most):
        whole = Piece(int(subjects[a]), int(subjects[b - 1]))
        pieces += _of_moments(files, whole, most) if n_rows[a:b].sum() > most else [whole]
    return pieces


def _together(n_rows: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield the first place and the one after the last of subjects that are together of no more than so many rows."""
    start = held = 0
    for i, n in enumerate(n_rows):
        if i > start and held + n > most:
            yield start, i
            start, held = i, 0
        held += n
    if len(n_rows) > start:
        yield start, len(n_rows)


def _of_moments(files: Iterable[Path], whole: Piece, most: int) -> list[Piece]:
    """Return the pieces of one subject."""
    times = np.sort(np.concatenate([times_of(read_piece(file, ["time"], whole)["time"]) for file in files]))
    starts: list[int] = np.unique(times[::most]).tolist()
    return [
        Piece(whole.first, whole.last, since if i else NO_TIME, until)
        for i, (since, until) in enumerate(zip(starts, [*starts[1:], None], strict=True))
    ]


def read_piece(path: Path, columns: Sequence[str], piece: Piece | None, **options: Any) -> pa.Table:
    """Return the rows of a piece, in their order; as of `read_parquet`."""
    if piece is None:
        return read_parquet(path, columns, **options)
    told = [*dict.fromkeys([*columns, "subject_id", *(["time"] if piece.part_of is not None else [])])]
    kept = [piece.of(rows) for rows in parquet_batches(path, told, **options)]
    return pa.Table.from_batches(kept).select(columns) if kept else read_parquet(path, columns, **options)


def by_subjects(path: Path, columns: Sequence[str] | None, whole: bool = True, **options: Any) -> Iterator[pa.Table]:
    """Yield the rows of a file that is sorted by subject, some subjects at a time; of an empty file its columns.

    Args:
        path: The file.
        columns: As of `read_parquet`.
        whole: Whether a subject that has more rows than a piece is one by itself; else it is cut at any row.
        options: As of `read_parquet`.
    """
    held: list[pa.RecordBatch] = []
    n_held, n_given = 0, 0
    for batch in parquet_batches(path, columns, **options):
        held.append(batch)
        n_held += len(batch)
        while n_held > MOST_ROWS:
            rows = pa.Table.from_batches(held)
            subject = rows["subject_id"].to_numpy()
            end = int(np.searchsorted(subject, subject[MOST_ROWS]))  # where the one that is cut begins
            end = end or (int(np.searchsorted(subject, subject[0], side="right")) if whole else MOST_ROWS)
            if end == n_held:  # one subject so far, and there may be more of it
                break
            n_given += 1
            yield rows.slice(0, end)
            held = rows.slice(end).combine_chunks().to_batches()
            n_held -= end
    if held or not n_given:
        yield pa.Table.from_batches(held) if held else read_parquet(path, columns, **options)


class Groups:
    """Writes rows that come in pieces to a Parquet file, in row groups of one size, as if they came at once.

    Args:
        path: The file; none is made of no rows.
        size: Rows of a group.
        options: Of the writer.
    """

    def __init__(self, path: Path, size: int, **options: Any) -> None:
        self._path, self._size, self._options = path, size, options
        self._held: pa.Table | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Take in rows."""
        held = table if self._held is None else pa.concat_tables([self._held, table])
        whole = len(held) // self._size * self._size
        for at in range(0, whole, self._size):
            self._write(held.slice(at, self._size))
        # a copy of what is left: a slice keeps all that it is cut from
        self._held = held.take(pa.array(np.arange(whole, len(held)))) if whole else held

    def _write(self, group: pa.Table) -> None:
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, group.schema, **self._options)
        self._writer.write_table(group.combine_chunks(), row_group_size=self._size)

    def __enter__(self) -> Groups:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None and self._held is not None and (len(self._held) or self._writer is None):
                self._write(self._held)
        finally:
            if self._writer is not None:
                self._writer.close()
