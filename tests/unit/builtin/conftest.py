"""A large invented MEDS dataset, shuffled, with ties, -0.0, NaN and infinities, ingested once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt

N_LARGE = 1_200_000


@dataclass(frozen=True)
class Large:
    """The raw rows, as written, and the workspace of two shards made of them with two threads."""

    rows: pa.Table
    workspace: Path


def meds_rows(n: int, n_subjects: int, seed: int) -> pa.Table:
    """Rows of a MEDS dataset in random order: few distinct times, so that most rows are tied."""
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, 400, n)
    number = rng.normal(1e5, 2, n).astype(np.float32)
    odd = rng.random(n)
    number[odd < 0.02] = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0], np.float32)[
        rng.integers(0, 5, int((odd < 0.02).sum()))
    ]
    return pa.table(
        {
            "subject_id": rng.integers(1, n_subjects + 1, n),
            "time": pa.array(hours * 3_600_000_000, mask=odd > 0.99).cast(pa.timestamp("us")),
            "code": pa.array([f"C//{i}" for i in range(40)]).take(pa.array(rng.integers(0, 40, n))),
            "numeric_value": pa.array(number, mask=(odd > 0.5) & (odd < 0.6)),
        }
    )


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """1.2 M rows: the size at which a partitioned copy was seen to lose its order. Look, do not touch."""
    folder = tmp_path_factory.mktemp("large")
    rows = meds_rows(N_LARGE, 3000, 1)
    (folder / "raw" / "data").mkdir(parents=True)
    half = N_LARGE // 2
    for i in range(2):
        pq.write_table(rows.slice(i * half, half), folder / "raw" / "data" / f"{i}.parquet", row_group_size=100_000)
    tawt.ingest(folder / "raw", "meds", folder / "ws", threads=2, memory_limit="1GB", settings=("shards=2",))
    return Large(rows, folder / "ws")
