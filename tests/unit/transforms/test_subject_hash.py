"""The subject hash never changes, is the same in SQL and numpy, and spreads."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.transforms.subject_hash import SAMPLE_SALT, SHARD_SALT, SPLIT_SALT, assign_splits, subject_hash

IDS = [0, 1, 42, 10_000_001, 2**31, 2**32, -1, -7, 2**63 - 1, -(2**63)]
GOLDEN = {
    1: [379550018, 3845195771, 2622372123, 4042969062, 2137137985, 0, 2095255969, 3550455922, 1403459282, 1824081650],
    2: [
        3503704748,
        1455606463,
        988163854,
        1778307281,
        1056232652,
        3467960566,
        821740735,
        700804916,
        2930154196,
        449171848,
    ],
    1000: [
        3313872137,
        668141824,
        2808958475,
        3486994382,
        3193949309,
        790516870,
        51703110,
        603932641,
        2634065676,
        2570832147,
    ],
}


def by_hand(subject_id: int, salt: int) -> int:
    """The hash in Python's unbounded integers."""

    def scramble(x: int) -> int:
        for _ in range(2):
            x = (x ^ x >> 16) * 0x45D9F3B % 2**32
        return x ^ x >> 16

    unsigned = subject_id % 2**64
    return scramble(unsigned % 2**32 ^ scramble(unsigned // 2**32) ^ scramble(salt))


def test_hashes_are_the_golden_ones() -> None:
    """Shards, splits and samples of today's workspaces hang on these numbers: they never change."""
    assert (SAMPLE_SALT, SHARD_SALT, SPLIT_SALT) == (1, 2, 1000)
    for salt, golden in GOLDEN.items():
        assert subject_hash(np.array(IDS), salt).tolist() == golden


def test_sql_numpy_and_python_agree_on_every_id() -> None:
    """Negative ids, the ends of int64 and random ids hash alike in DuckDB, numpy and unbounded integers."""
    rng = np.random.default_rng(3)
    ids = np.concatenate([IDS, rng.integers(-(2**63), 2**63 - 1, 2000), rng.integers(0, 10**8, 2000)])
    connection = connect(Limits(1, "1GB"), [])
    connection.register("ids", {"i": ids})
    for salt in (SAMPLE_SALT, SHARD_SALT, SPLIT_SALT, SPLIT_SALT + 12345):
        expected = [by_hand(int(i), salt) for i in ids]
        assert subject_hash(ids, salt).tolist() == expected
        assert connection.sql(f"select tawt_hash(i, {salt}) from ids").fetchnumpy().popitem()[1].tolist() == expected


@pytest.mark.parametrize("first", [0, 10_000_000, -50_000, 2**40])
def test_ids_in_a_row_spread_evenly(first: int) -> None:
    """50,000 consecutive ids fill 64 shards, and the shares of the splits, as chance would."""
    ids = np.arange(first, first + 50_000)
    per_shard = np.bincount(subject_hash(ids, SHARD_SALT) % 64, minlength=64)
    expected = len(ids) / 64
    chi2 = float(((per_shard - expected) ** 2 / expected).sum())
    assert chi2 < 63 + 5 * np.sqrt(2 * 63)
    for seed in (0, 1):
        shares = np.bincount(assign_splits(ids, (0.8, 0.1, 0.1), seed), minlength=3) / len(ids)
        assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


def test_split_shard_and_sample_do_not_know_of_one_another() -> None:
    """Within a shard, and within a sample, the splits have the shares they have everywhere."""
    ids = np.arange(100_000)
    splits = assign_splits(ids, (0.8, 0.1, 0.1), 0)
    for chosen in (subject_hash(ids, SHARD_SALT) % 16 == 3, subject_hash(ids, SAMPLE_SALT) < 2**32 // 20):
        assert np.mean(splits[chosen] == 0) == pytest.approx(0.8, abs=0.025)
        assert np.mean(splits[chosen] == 2) == pytest.approx(0.1, abs=0.02)


def test_a_share_of_one_takes_everybody() -> None:
    """Shares of 1 and 0 leave nobody out and let nobody in."""
    ids = np.arange(20_000)
    for place in range(3):
        shares = tuple(float(i == place) for i in range(3))
        assert set(assign_splits(ids, shares, 0).tolist()) == {place}
