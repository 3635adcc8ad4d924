"""Identities: what tells the triplets of a record from one another, in whatever order simultaneous ones came."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
import pyarrow as pa
import pytest

from tawt.contracts.contract import own_contract
from tawt.transforms.identity import CONTENT, identities
from tawt.transforms.shards import to_dataset

TRIPLETS, DATASET, INDEX = (own_contract(name) for name in ("triplets", "dataset", "dataset_index"))
WORD = (1 << 64) - 1


def crowded(seed: int) -> list[dict]:
    """Records of few moments with many rows, among them equal ones, static and timed, also of other subjects."""
    rng = random.Random(seed)
    rows = []
    for subject in (-3, 8, 9, 10**12):
        start = datetime(2020, 1, 1)
        for time in (None, start, start + timedelta(hours=2)):
            for _ in range(rng.randrange(12)):
                available = None if time is None else time + timedelta(hours=rng.randrange(2))
                number = rng.randrange(3)
                rows.append(
                    {
                        "subject_id": subject, "timestamp": time, "data_type": rng.randrange(5, 7), "value": number / 2,
                        "value_token": number, "value_status": 1, "available_time": available,
                    }
                )  # fmt: skip
    return rows


def written(rows: list[dict]) -> pa.Table:
    return to_dataset(pa.Table.from_pylist(rows, schema=TRIPLETS.arrow_schema()), DATASET, INDEX, None, None)[0]


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_simultaneous_rows_is_the_same_shard(seed: int) -> None:
    """However the rows of each moment are shuffled, the shard has the same bytes, equal rows among them."""
    rows = crowded(seed)
    moments = [list(rows) for _, rows in groupby(rows, lambda row: (row["subject_id"], row["timestamp"]))]
    rng = random.Random(seed)
    shuffled = [row for moment in moments for row in rng.sample(moment, len(moment))]
    assert shuffled != rows and len({str(row) for row in rows}) < len(rows)
    assert written(shuffled).equals(written(rows))


def test_rows_of_a_moment_stand_in_the_order_of_their_identities() -> None:
    """Subjects and times ascend with statics first, also before events at the origin, and within a moment identities do."""
    rows = crowded(1)
    static = [row["timestamp"] is None for row in rows]
    shard = written(rows).to_pylist()
    told = [(row["available_time"], row["timestamp"]) for row, s in zip(shard, static, strict=True) if s]
    assert set(told) == {(-(2**62), 0)}, "an event of the origin, which could be read later, stands among the statics"
    keys = [(row["subject_id"], not s, row["timestamp"], row["identity"]) for row, s in zip(shard, static, strict=True)]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)


def test_identities_are_the_same_whoever_shares_the_shard() -> None:
    """A record's rows are the same alone as beside records that hold equal ones."""
    rows = crowded(2)
    together, alone = written(rows), {}
    for subject in {row["subject_id"] for row in rows}:
        alone[subject] = written([row for row in rows if row["subject_id"] == subject])
    subjects = sorted(alone)
    assert together.equals(pa.concat_tables([alone[subject] for subject in subjects]).combine_chunks())
    assert len({str(row | {"subject_id": 0}) for row in rows}) < len({str(row) for row in rows})


def mixed(word: int) -> int:
    """SplitMix64 in whole numbers: one step from a state."""
    word = (word + 0x9E3779B97F4A7C15) & WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


def test_an_identity_follows_from_content_and_the_number_of_its_equals() -> None:
    """It is SplitMix64 through the columns' bits, and once more for the second and third of equal rows."""
    content = {
        "subject_id": np.array([-3, 8, -3, 8, 8, 8]), "timestamp": np.array([0, 5, 0, 5, 5, 6]),
        "available_time": np.array([0, 7, 0, 7, 7, 7]), "data_type": np.array([4, 5, 4, 5, 5, 5], np.int32),
        "value": np.array([-1.5, 0, -1.5, 0, 0, 0], np.float32), "value_token": np.array([1, 0, 1, 0, 0, 0], np.int32),
        "value_status": np.array([1, 3, 1, 3, 3, 3], np.uint8),
    }  # fmt: skip
    expected, seen = [], []
    for row in zip(*(content[name] for name in CONTENT), strict=True):
        word = 0
        for cell in row:
            bits = int(cell.view(np.uint32)) if cell.dtype == np.float32 else int(cell)
            word = mixed(word ^ (bits & WORD))
        number = seen.count(word)
        seen.append(word)
        expected.append(mixed(word ^ mixed(number)) if number else word)
    got = identities(*(content[name] for name in CONTENT)).tolist()
    assert got == expected and len(set(got)) == 6


def test_identities_are_uniform_and_all_different() -> None:
    """Of 20,000 rows that differ in their time by microseconds, or not at all, no two are alike, and each bit is set by half."""
    n = 20_000
    for time in (np.arange(n), np.zeros(n, np.int64)):
        words = identities(np.full(n, 7), time)
        assert len(set(words.tolist())) == n
        share = [(words >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)]
        assert min(share) > 0.48 and max(share) < 0.52
