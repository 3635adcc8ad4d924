"""Counts of train, held to a count of one row at a time."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tawt.transforms.counting import COLUMNS, Tally

Row = tuple[int, str, float | None, str | None, str]


def rows_of(rng: random.Random, n: int) -> list[Row]:
    """Rows of few subjects, codes and numbers, so that all of them come again, each subject's together."""
    rows = []
    for _ in range(n):
        code = rng.choice(["GLU", "Ä", "a", "B//C", "Z"])
        status = rng.choice(["numeric", "numeric", "censored_low", "category", "absent"])
        has_number = status in ("numeric", "censored_low")
        number = float(np.float32(rng.choice([-1e30, -2.5, -2.25, 0.0, 1e-40, 0.1, 3.5, 3e38]))) if has_number else None
        unit = rng.choice(["mg/dL", "µg", None]) if has_number and code != "Z" else None
        rows.append((rng.randrange(-3, 12), code, number, unit, status))
    return sorted(rows, key=lambda row: row[0])


def table_of(rows: list[Row], chunks: int = 1) -> pa.Table:
    """Rows as they are read: texts as dictionaries, each chunk with its own."""
    schema = pa.schema(zip(COLUMNS, (pa.int64(), pa.string(), pa.float32(), pa.string(), pa.string()), strict=True))
    size = -(-len(rows) // chunks)
    parts = [pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows[i : i + size]], schema)
             for i in range(0, len(rows), size)]  # fmt: skip
    texts = ("code", "unit", "value_status")
    encoded = [
        pa.table({name: part[name].dictionary_encode() if name in texts else part[name] for name in COLUMNS})
        for part in parts
    ]
    return pa.concat_tables(encoded)


@pytest.mark.parametrize("n_shards", [1, 2, 9])
def test_rows_subjects_and_numbers_are_counted_one_by_one(n_shards: int) -> None:
    """However subjects lie in shards, each code has its rows, its subjects and its last unit, and each of its numbers
    how often it came, in the order of codes and numbers.
    """
    rows = rows_of(random.Random(3), 4_000)
    tally = Tally()
    for shard in range(n_shards):
        tally.add(table_of([row for row in rows if row[0] % n_shards == shard], chunks=1 + shard % 3))
    names = sorted({code for _, code, *_ in rows})
    expected = [
        {
            "code": name,
            "n_rows": sum(code == name for _, code, *_ in rows),
            "n_subjects": len({subject for subject, code, *_ in rows if code == name}),
            "unit": max((unit for _, code, _, unit, _ in rows if code == name and unit is not None), default=None),
            "n_value_subjects": len({row[0] for row in rows if row[1] == name and row[4] == "numeric"}),
        }
        for name in names
    ]
    assert tally.codes().to_pylist() == expected
    numbers = Counter((names.index(code), number) for _, code, number, _, status in rows if status == "numeric")
    found = tally.numbers()
    assert len(numbers) == 40 and found["value"].type == pa.float64()
    assert found.to_pylist() == [
        {"code": c, "value": v, "n": n} for (c, v), n in sorted(numbers.items(), key=lambda x: x[0])
    ]


def test_a_shard_without_a_number_adds_none() -> None:
    """Codes and rows are counted yet, and there is no number at all."""
    tally = Tally()
    tally.add(table_of([(1, "A", None, None, "absent"), (1, "A", None, None, "category")]))
    assert tally.codes()["n_rows"].to_pylist() == [2] and len(tally.numbers()) == 0
