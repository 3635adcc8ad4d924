"""Rows of a shard in their total order, and which of them are equal to an earlier one.

Subject, moment and place of a row are packed into one number, and numbers are sorted; all else is asked only of rows of
one record, and of those that a hash takes for equal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tawt.transforms.columns import NO_TIME, Int64s, array_of, dictionary_of, ranks_of, times_of
from tawt.transforms.unit_rules import Judged

_MIX = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93))


def in_order(table: pa.Table, judged: Judged) -> Int64s:
    """Return the rows by subject, time, table rank and source row, then by all else that tells them apart.

    Args:
        table: Rows of event parts, with their `table_rank`.
        judged: Their numbers.
    """
    rank, row = table["table_rank"].to_numpy(), table["_row"].to_numpy()
    by_record = np.lexsort((row, rank))
    order = by_record[_by_moment(_numbered(table["subject_id"])[by_record], times_of(table["time"])[by_record])]
    told = (table["subject_id"].to_numpy(), times_of(table["time"]), rank, row)
    again = np.zeros(len(order), dtype=np.bool_)
    again[1:] = np.logical_and.reduce([(of := column[order])[1:] == of[:-1] for column in told])
    again[:-1] |= again[1:]
    if again.any():  # several rows of one record
        several = told_of(table, judged, order[again])
        order[again] = order[again][several.select(pl.arg_sort_by(several.columns)).to_series()]
    return order


def _numbered(subjects: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return each row's subject by its place among those of the shard."""
    of_row = array_of(subjects).dictionary_encode()
    place = np.empty(len(of_row.dictionary), dtype=np.uint64)
    place[np.argsort(of_row.dictionary.to_numpy())] = np.arange(len(place), dtype=np.uint64)
    return place[of_row.indices.to_numpy()]


def _by_moment(subject: npt.NDArray[np.uint64], time: Int64s) -> Int64s:
    """Return the rows by subject and time, those of a moment as they come."""
    timed = time != NO_TIME
    first = time.min(where=timed, initial=np.iinfo(np.int64).max)
    since = np.where(timed, time.view(np.uint64) - first.view(np.uint64), 0)
    # times are of whole seconds or minutes, as their source has them: counted in these they take few bits
    moment = np.where(timed, since // max(np.gcd.reduce(since), np.uint64(1)) + np.uint64(1), 0)
    subject_bits, moment_bits, row_bits = (
        int(most).bit_length() for most in (subject.max(initial=0), moment.max(initial=0), len(time))
    )
    if subject_bits + moment_bits + row_bits > 64:
        return np.lexsort((moment, subject))
    above = (subject << np.uint64(moment_bits) | moment) << np.uint64(row_bits)
    packed = pl.Series(above | np.arange(len(time), dtype=np.uint64)).sort().to_numpy()
    return (packed & np.uint64((1 << row_bits) - 1)).astype(np.int64)


def told_of(table: pa.Table, judged: Judged, rows: Int64s) -> pl.DataFrame:
    """Return all that tells rows apart, in the order by which they are sorted."""
    taken = table.take(pa.array(rows))
    return pl.DataFrame(
        {
            "subject_id": taken["subject_id"].to_numpy(),
            "time": times_of(taken["time"]),
            "table_rank": taken["table_rank"].to_numpy(),
            "source_row": taken["_row"].to_numpy(),
            "code": ranks_of(taken["code"]),
            "value": pl.Series(judged.value[rows]).fill_nan(float("-inf")),
            "number": np.where(judged.changed[rows], taken["numeric_value"].to_numpy(), 0.0),
            "text": ranks_of(taken["text_value"]),
            "raw": ranks_of(taken["raw_value"]),
            "unit": ranks_of(taken["unit"]),
            "status": judged.status[rows],
            "available_time": times_of(taken["available_time"]),
        }
    )


def equal_to_earlier(
    table: pa.Table, judged: Judged, order: Int64s, record_ids: Callable[[], pa.ChunkedArray | None]
) -> Int64s:
    """Return the places in the order of rows that an earlier one is equal to, in all but the number of its record.

    Args:
        table: As of `in_order`.
        judged: As of `in_order`.
        order: The rows in their order.
        record_ids: Returns what tells records of the table apart that are otherwise alike: it takes long, and is seldom
            asked; None = nothing does.
    """
    columns = (table["subject_id"].to_numpy(), times_of(table["time"]), dictionary_of(table["code"])[0])
    words = (*(column.view(np.uint64) for column in columns), judged.value.view(np.uint32))
    # rows can be equal only where this is: it is of few columns, and wraps around
    alike = np.add.reduce([word * odd for word, odd in zip(words, _MIX, strict=True)])
    ordered = pl.Series(alike).sort().to_numpy()
    twins = pl.Series(ordered[1:][ordered[1:] == ordered[:-1]])
    suspects = np.flatnonzero(pl.Series(alike[order]).is_in(twins.implode()).to_numpy())
    told = told_of(table, judged, order[suspects])
    others = [name for name in told.columns if name != "source_row"]
    first = told.select(pl.struct(others).is_first_distinct()).to_series()
    if not first.all() and (ids := record_ids()) is not None:
        of_rows = pl.Series("record_id", ids.take(pa.array(order[suspects])).to_pylist(), pl.String)
        first = told.with_columns(of_rows).select(pl.struct([*others, "record_id"]).is_first_distinct()).to_series()
    return suspects[~first.to_numpy()]
