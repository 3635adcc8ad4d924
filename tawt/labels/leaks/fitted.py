"""Statistics of the vocabulary, counted again: they must be those of train, and of nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tawt.labels.leaks.verdict import Verdict, clean, named

_NEAR = 1e-6
"""How far a mean may be off by the order in which it is summed, in standard deviations."""


def audit_statistics(
    connection: duckdb.DuckDBPyConnection, vocabulary: pa.Table, splits: Mapping[str, Sequence[int]]
) -> Verdict:
    """Count rows, means, deviations, ranges and categories again over train, and hold those on record to them.

    Args:
        connection: Where `events` is a relation.
        vocabulary: Its rows.
        splits: Who is in which split.
    """
    code = "PREPROCESSING_FIT"
    rows = [row for row in vocabulary.to_pylist() if row["value_kind"] != "special"]
    own, every = (_counted(connection, chosen) for chosen in (splits.get("train", ()), _all(splits)))
    other = {row["code"]: row["n_subjects"] for row in rows if not _is_of(row, own.get(row["code"]))}
    if not other:
        return clean(code, f"statistics of {len(rows):,} data_types are those of train, counted again")
    of_all = sum(_is_of(row, every.get(row["code"])) for row in rows if row["code"] in other)
    told = f"statistics of {len(other):,} of {len(rows):,} data_types are not those of train: {named(other)}"
    return Verdict(code, "leak", told + (f"; {of_all:,} are those of all splits" if of_all else ""))


def _all(splits: Mapping[str, Sequence[int]]) -> list[int]:
    return [subject for own in splits.values() for subject in own]


def _counted(connection: duckdb.DuckDBPyConnection, subjects: Sequence[int]) -> dict[str, tuple[Any, ...]]:
    """Return of each code its rows, numbers, their mean, deviation, smallest and largest, and its texts."""
    connection.register("counted_of", pa.table({"subject_id": np.asarray(subjects, dtype=np.int64)}))
    found = connection.execute("""
        with own as (
            select e.*, value_status = 'numeric' as number from events e semi join counted_of using (subject_id)
        )
        select code, count(*), count_if(number), avg(numeric_value::double) filter (number),
        stddev_pop(numeric_value::double) filter (number), min(numeric_value::double) filter (number),
        max(numeric_value::double) filter (number), list(distinct text_value) filter (text_value is not null)
        from own group by code
    """).fetchall()
    connection.unregister("counted_of")
    return {str(row[0]): row[1:] for row in found}


def _is_of(row: Mapping[str, Any], counted: tuple[Any, ...] | None) -> bool:
    """Return whether a data_type's statistics are those that were counted."""
    if counted is None:
        return False
    n_rows, n_values, mean, spread, low, high, texts = counted
    if row["n_rows"] != n_rows or not {*row["categories"]} <= {*(texts or ())}:
        return False
    if not row["n_values"]:
        return True
    if row["n_values"] != n_values:
        return False
    room = _NEAR * (spread + abs(mean) * _NEAR) + 1e-12
    if abs(row["mean"] - mean) > room or abs(row["std"] - spread) > room:
        return False
    if row["quantiles"] and (row["quantiles"][0] != low or row["quantiles"][-1] != high):
        return False
    # what varies by no more than rounding has a scale of 1
    if row["normalization"] == "zscore":
        return abs(row["center"] - mean) <= room and (abs(row["scale"] - spread) <= room or row["scale"] == 1.0)
    if row["normalization"] == "robust":
        return bool(row["center"] == row["quantiles"][50])
    return True
