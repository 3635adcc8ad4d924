"""Triplets -> dataset: the same rows uncompressed, without nulls, times as int64 from the subject's own origin.

Simultaneous rows stand in the order of their identities, so that the order in which they came tells nothing.

The origin is subtracted in int64, so a shifted calendar changes no bit of what a model sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tawt.contracts.contract import Contract
from tawt.transforms.columns import NO_TIME, times_of
from tawt.transforms.identity import arranged

ALWAYS = -(1 << 62)
"""When a static fact could be read that was always known: before any time, and far from where sums overflow."""
NOWHERE = -1
"""The data_type of births where the vocabulary has none: every subject falls back, and is counted."""


def to_dataset(
    triplets: pa.Table, contract: Contract, index_contract: Contract, birth: int | None, anchor: int | None
) -> tuple[pa.Table, pa.Table, int]:
    """Return the shard's rows, its index, and the number of subjects whose origin fell back to the first event.

    Args:
        triplets: One shard, sorted by subject.
        contract: Of the dataset.
        index_contract: Of its index.
        birth: The data_type whose first event is the origin; None = not asked for, `NOWHERE` = train has none.
        anchor: The calendar time that is the origin, microseconds; None = not asked for.
    """
    subject = triplets["subject_id"].to_numpy()
    time, available = times_of(triplets["timestamp"]), times_of(triplets["available_time"])
    data_type = triplets["data_type"].to_numpy()
    subjects, start, length = np.unique(subject, return_index=True, return_counts=True)
    place = np.repeat(np.arange(len(subjects)), length)
    static = time == NO_TIME
    origin, n_fallback = _origins(place, time, static, len(subjects), data_type, birth, anchor)
    columns = {
        "subject_id": subject,
        "timestamp": np.where(static, 0, time - origin[place]),
        "data_type": data_type,
        "value": triplets["value"].to_numpy(),
        "value_token": triplets["value_token"].to_numpy(),
        "value_status": triplets["value_status"].to_numpy(),
        "available_time": np.where(available == NO_TIME, ALWAYS, available - origin[place]),
    }
    n_static = np.bincount(place, weights=static, minlength=len(subjects)).astype(np.int32)
    index = {"subject_id": subjects, "start": start, "length": length, "n_static": n_static, "origin": origin}
    return _table(arranged(columns, static), contract), _table(index, index_contract), n_fallback


def as_one(pieces: Sequence[tuple[pa.Table, pa.Table, int]]) -> tuple[pa.Table, pa.Table, int]:
    """Return what `to_dataset` gave of some subjects after others as if it had been given all of them."""
    tables, indexes, n_fallback = zip(*pieces, strict=True)
    starts = np.cumsum([0, *map(len, tables)])
    place = indexes[0].schema.get_field_index("start")
    moved = [
        index.set_column(place, index.field(place), pc.add(index["start"], start).cast(index.field(place).type))
        for index, start in zip(indexes, starts.tolist(), strict=False)
    ]
    return pa.concat_tables(tables), pa.concat_tables(moved), sum(n_fallback)


def _origins(
    place: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64],
    static: npt.NDArray[np.bool_],
    n_subjects: int,
    data_type: npt.NDArray[np.int32],
    birth: int | None,
    anchor: int | None,
) -> tuple[npt.NDArray[np.int64], int]:
    far = np.iinfo(np.int64).max

    def first_of(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        out = np.full(n_subjects, far, dtype=np.int64)
        np.minimum.at(out, place[rows], time[rows])
        return out

    if anchor is not None:
        return np.full(n_subjects, anchor, dtype=np.int64), 0
    first = first_of(~static)
    # a subject with static facts alone has no time to count from
    first[first == far] = 0
    if birth is None:
        return first, 0
    born = first_of(~static & (data_type == birth))
    return np.where(born == far, first, born), int(np.count_nonzero(born == far))


def _table(columns: dict[str, np.ndarray], contract: Contract) -> pa.Table:
    schema = contract.arrow_schema()
    return pa.Table.from_arrays([pa.array(columns[f.name]).cast(f.type) for f in schema], schema=schema)


def write_arrow(table: pa.Table, path: Path) -> None:
    """Write one uncompressed record batch that can be memory-mapped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(batch)
