"""A project of one table that a test writes itself; a large invented MEDS dataset, shuffled, with ties, -0.0, NaN and
infinities, ingested once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tests.unit.pipeline.days import QUICK, Day, write_place

N_LARGE = 1_200_000
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def day_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day's place, ingested and encoded; not to be changed."""
    place = tmp_path_factory.mktemp("day")
    write_place(place)
    day = Day(place)
    day.ingest()
    tawt.build_vocab(day.work, **QUICK)
    return place


@pytest.fixture
def day(day_made: Path, tmp_path: Path) -> Day:
    """A place of one's own."""
    day = Day(Path(shutil.copytree(day_made, tmp_path / "day")))
    day.ingest()
    return day


@pytest.fixture
def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`make_project(raw_columns, staged_columns, staging, part)`: the pipeline `lab` over one table `readings`.

    It lies in `tmp_path / "assets"`, and can be made again with other texts. Returns the empty raw folder.
    """

    def make(raw: list[dict[str, object]], staged: list[dict[str, object]], staging: str, part: str) -> Path:
        assets = tmp_path / "assets"
        contract = {
            "name": "raw.readings",
            "description": "One row is one reading.",
            "paths": ["readings"],
            "columns": raw,
        }
        for path, text in {
            "sql/lab/staging/readings.sql": staging,
            "sql/lab/event_parts/readings.sql": part,
            "schemas/lab/readings.json": json.dumps(contract),
            "schemas/lab/staging/readings.json": json.dumps(
                {"name": "staging.readings", "description": "One row is one reading.", "columns": staged}
            ),
            "pipelines/lab.yaml": "name: lab\nsource: lab\n",
        }.items():
            (assets / path).parent.mkdir(parents=True, exist_ok=True)
            (assets / path).write_text(text)
        for path in (ROOT / "schemas").glob("*.json"):
            (assets / "schemas" / path.name).write_bytes(path.read_bytes())
        if not (assets / "sql" / "shared").exists():
            (assets / "sql" / "shared").symlink_to(ROOT / "sql" / "shared")
        monkeypatch.setattr("tawt.project._PACKAGE", assets / "tawt")
        (tmp_path / "raw").mkdir(exist_ok=True)
        return tmp_path / "raw"

    return make


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
