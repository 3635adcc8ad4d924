"""Tools of others that read MEDS, in an environment of their own, for they want other versions than tawt."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tawt
from tawt.hospital.invent import write_hospital

HERE = Path(__file__).parent
PYTHON = Path(os.environ.get("TAWT_PEERS") or HERE.parents[1] / ".venv-peers" / "bin" / "python")
Run = Callable[..., pa.Table]


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`peer(name, *words)`: run `inside/NAME.py OUT WORDS` with their Python, and return the table that it writes."""
    if not PYTHON.is_file():
        pytest.skip("ACES, meds_reader and meds-torch-data are not installed: `bash scripts/peers.sh` does that")
    # not tawt's packages by `PYTHONPATH`, and their commands by name, for they start one another
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    own |= {"PATH": f"{PYTHON.parent}:{own['PATH']}", "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}

    def run(name: str, *words: object) -> pa.Table:
        out = tmp_path_factory.mktemp(name) / "out.parquet"
        line = [str(PYTHON), str(HERE / "inside" / f"{name}.py"), str(out), *map(str, words)]
        ended = subprocess.run(line, env=own, cwd=out.parent, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
        return pq.read_table(out)

    return run


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of an invented hospital of 80 people, in two shards."""
    folder = tmp_path_factory.mktemp("peers")
    write_hospital(folder / "raw", n_subjects=80, seed=11)
    tawt.ingest(folder / "raw", "demo", folder / "ws", threads=1, memory_limit="1GB", settings=("shards=2",))
    return folder / "ws"


def rows_of(root: Path, split: str = "*") -> pa.Table:
    """Return the rows of a MEDS dataset, file by file."""
    return pa.concat_tables(
        pq.read_table(path, partitioning=None) for path in sorted(root.glob(f"data/{split}/*.parquet"))
    )
