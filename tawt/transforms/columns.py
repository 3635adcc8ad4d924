"""Arrow columns as numpy arrays that can be sorted and looked up: dictionaries, ranks of texts, times as int64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.cells import SMALL_CELL

Int64s = npt.NDArray[np.int64]

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for a null time: static facts sort first."""

_FIRST_ROWS = 1 << 14
_MOST_PAIRS = 1 << 24


def array_of(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def times_of(column: pa.ChunkedArray) -> Int64s:
    """Return timestamps as int64 microseconds, `NO_TIME` for null."""
    return column.cast(pa.int64()).fill_null(NO_TIME).to_numpy()


def out_of_order(subject: Int64s, time: Int64s, ascending: bool = True) -> int:
    """Return how many rows are followed by an earlier one of their subject.

    Args:
        subject: Whose each row is.
        time: When, as of `times_of`.
        ascending: Whether subjects are to ascend too: then a row that is followed by one of a smaller subject counts.
    """
    early = (subject[1:] == subject[:-1]) & (time[1:] < time[:-1])
    return int(np.count_nonzero(early | (subject[1:] < subject[:-1]) if ascending else early))


def subjects_by_year(subject: Int64s, time: Int64s) -> dict[int, int]:
    """Return how many subjects have a row in each calendar year; rows without a time are in none.

    Args:
        subject: Whose each row is, sorted.
        time: When, as of `times_of`, sorted within each.
    """
    timed = time != NO_TIME
    subject, year = subject[timed], time[timed].astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64)
    first = np.ones(len(year), dtype=np.bool_)
    first[1:] = (subject[1:] != subject[:-1]) | (year[1:] != year[:-1])
    years, n = np.unique(year[first], return_counts=True)
    return dict(zip((years + 1970).tolist(), n.tolist(), strict=True))


def encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of texts as one array of a dictionary."""
    array = array_of(column)
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()


def dictionary_of(column: pa.ChunkedArray) -> tuple[Int64s, list[str]]:
    """Return the index of each row's text (the length of the list for null) and the texts."""
    array = encoded(column)
    texts = array.dictionary.to_pylist()
    return array.indices.fill_null(len(texts)).to_numpy().astype(np.int64), texts


def ranks_of(column: pa.ChunkedArray) -> Int64s:
    """Return each text's place in the sorted list of texts, -1 for null: an order that no file layout changes."""
    index, texts = dictionary_of(column)
    rank = np.empty(len(texts) + 1, dtype=np.int64)
    rank[pc.sort_indices(pa.array(texts, pa.string())).to_numpy()] = np.arange(len(texts))
    rank[len(texts)] = -1
    return rank[index]


def looked_up(index: Int64s, texts: list[str | None], valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return a text column from an index per row; null where the text is None or the row is not valid."""
    mask = None if valid is None else ~valid
    dictionary = pa.array(["" if text is None else text for text in texts], pa.string())
    empty = np.array([text is None for text in texts])[index]
    mask = empty if mask is None else mask | empty
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32), mask=mask), dictionary)


def people_of(group: Int64s, subject: Int64s, n_groups: int) -> Int64s:
    """Return how many subjects have a row of each group: of those that more than few have, at least as many.

    Args:
        group: Of each row, from 0, [n_rows].
        subject: Of each row, sorted, [n_rows].
        n_groups: How many groups there are.
    """
    people, still, size = np.zeros(n_groups, dtype=np.int64), np.arange(n_groups), _FIRST_ROWS
    while len(group):  # of a few subjects first: most rows are of groups that those tell to be frequent
        end = np.searchsorted(subject, subject[min(size, len(subject)) - 1], side="right")
        here, rank = group[:end], np.zeros(end, dtype=np.int64)
        np.cumsum(subject[1:end] != subject[: end - 1], out=rank[1:])
        pairs, n = rank * len(still) + here, (int(rank[-1]) + 1) * len(still)
        if n > _MOST_PAIRS:
            people[still] += np.bincount(np.unique(pairs) % len(still), minlength=len(still))
        else:
            met = np.zeros(n, dtype=np.bool_)
            met[pairs] = True
            people[still] += np.count_nonzero(met.reshape(-1, len(still)), axis=0)
        few = people[still] <= SMALL_CELL
        group, subject, size = group[end:], subject[end:], 2 * size
        if not few.all():
            rest = np.flatnonzero(few[group])
            group, subject, still = (np.cumsum(few) - 1)[group[rest]], subject[rest], still[few]
    return people


def runs_of(subject: Int64s, place: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Return the order of places, where in it the rows of each subject with one place begin, and that place.

    A subject's rows lie together, so that a stable order of the places alone keeps them so: by counting, 16 bits at a
    time.
    """
    order = np.argsort(place.astype(np.uint16), kind="stable")
    if place.max(initial=0) >> 16:
        order = order[np.argsort(place[order] >> 16, kind="stable")]
    subject, place = subject[order], place[order]
    new = np.append(
        np.ones(min(1, len(order)), dtype=np.bool_), (subject[1:] != subject[:-1]) | (place[1:] != place[:-1])
    )
    opens = np.flatnonzero(new)
    return order, opens, place[opens]
