"""The invented hospital, ingested and encoded once for all tests that only look at it, and projects that tests edit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.hospital.invent import HospitalSummary, write_hospital
from tests.unit.clinic import clinic, ingested, make_project, raw  # noqa: F401
from tests.unit.days import day, day_made  # noqa: F401


@dataclass(frozen=True)
class Hospital:
    """An invented hospital and the workspace made of it, in three shards."""

    raw: Path
    summary: HospitalSummary
    workspace: Path

    def events(self) -> pa.Table:
        """All events, in the order of their files."""
        return read_events(self.workspace)


def read_events(workspace: Path) -> pa.Table:
    """Return all events of a workspace, sorted by the order that every shard keeps."""
    files = sorted((workspace / "events" / "data").rglob("*.parquet"))
    keys = ("subject_id", "time", "table_rank", "source_row", "code")
    return pa.concat_tables(pq.read_table(f, partitioning=None) for f in files).sort_by(
        [(key, "ascending", "at_start") if key == "time" else (key, "ascending") for key in keys]
    )


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """60 subjects, `tawt ingest` and `tawt build-vocab` done; look, do not touch."""
    folder = tmp_path_factory.mktemp("hospital")
    summary = write_hospital(folder / "raw", n_subjects=60, seed=7)
    tawt.ingest(folder / "raw", "demo", folder / "ws", threads=2, memory_limit="1GB", settings=("shards=3",))
    tawt.build_vocab(folder / "ws", threads=2, memory_limit="1GB")
    return Hospital(folder / "raw", summary, folder / "ws")


@pytest.fixture
def own_workspace(hospital: Hospital, tmp_path: Path) -> Path:
    """A copy of the hospital's workspace that a test may break."""
    return Path(shutil.copytree(hospital.workspace, tmp_path / "ws"))


@pytest.fixture
def write_meds(tmp_path: Path) -> Callable[..., Path]:
    """`write_meds(rows)`: a raw MEDS folder with one Parquet file, written by pyarrow."""

    def write(rows: pa.Table, name: str = "meds") -> Path:
        path = tmp_path / name / "data" / "0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(rows, path)
        return tmp_path / name

    return write
