"""The race of pipelines counts all that a job costs, and what comes out of it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.benchmarks.conftest import BENCHMARKS

pytestmark = pytest.mark.usefixtures("race")
ORPHAN = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.5: pass"
subprocess.Popen([sys.executable, "-c", burn])  # and ends before it
"""


def _run(*words: object) -> str:
    told = [sys.executable, *map(str, words)]
    ended = subprocess.run(told, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("n", [1, 2, 3, 10, 997, 4_000])
def test_another_order_has_every_row_once(n: int) -> None:
    """Of so many rows each stands at one place, in an order that is not that of their numbers."""
    import duckdb
    from extract import row_at

    places = [duckdb.sql(f"select {row_at(order, n)} from range({n})").fetchall() for order in (0, 5)]
    rows = [[row for (row,) in place] for place in places]
    assert rows[0] == [*range(n)] == sorted(rows[1])
    assert n < 10 or rows[0] != rows[1]


def test_an_extract_in_another_order_has_the_same_lines(tmp_path: Path) -> None:
    """Each table has the same lines, and none has them in the same order."""
    from extract import write_extract

    for order in (0, 5):
        write_extract(tmp_path / str(order), n_events=5_000, order=order)
    files = sorted(path.relative_to(tmp_path / "0") for path in tmp_path.glob("0/*/*.csv.gz"))
    assert len(files) == 6
    for file in files:
        one, other = (gzip.decompress((tmp_path / order / file).read_bytes()).splitlines() for order in "05")
        assert sorted(one) == sorted(other) and one[0] == other[0] and one != other, file


def test_the_cost_of_a_job_has_every_process() -> None:
    """CPU time of a process counts that another one started and did not wait for."""
    script = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS / 'race')!r})\n"
        "import os, tempfile; from pathlib import Path; from measured import measure\n"
        "place = Path(tempfile.mkdtemp())\n"
        f"cost = measure([sys.executable, '-c', {ORPHAN!r}], os.environ, place, place / 'log')\n"
        "print(cost.cpu_seconds, cost.largest_bytes, measure([sys.executable, '-c', '1/0'], os.environ, place, place / 'log'))"
    )
    cpu, largest, failed = _run("-c", script).split()
    assert float(cpu) > 0.5 and int(largest) > 1e6
    assert failed == "None"


def test_every_job_stands_behind_the_one_it_reads() -> None:
    """Asked for a job, the one whose output it reads runs too, before it, whichever of them begin a round."""
    from jobs import JOBS, turned, with_needed

    assert with_needed(["cpp", "floor"]) == ["floor", "flat", "cpp"]
    for by in range(12):
        names = turned(list(JOBS), by)
        assert sorted(names) == sorted(JOBS)
        assert all(names.index(job.of) < names.index(name) for name, job in JOBS.items() if job.of)
    assert turned(list(JOBS), 1)[0] != turned(list(JOBS), 0)[0]


def test_a_peer_that_cannot_be_installed_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, with the reason, and the race goes on without it."""
    from venvs import find

    (tmp_path / "venvs").write_text("a file")
    assert find({"meds_etl"}, tmp_path / "venvs") == {}
    assert "meds_etl is left out: " in capsys.readouterr().err


def test_what_is_missing_from_the_events_of_tawt_is_in_its_ledger(tmp_path: Path) -> None:
    """The flat form has every event of the tables; tawt has as many less as its ledger says were duplicates."""
    said = _run(BENCHMARKS / "race", "--events", 20_000, "--rounds", 1, "--only", "ingest", "flat", "--dir", tmp_path)
    (less,) = re.findall(r"against the flat form +-(\d+) +\+0 +\+0 +-(\d+) +\+0", said)
    assert less[0] == less[1] and int(less[0]) > 0
    assert f"tawt's ledger: duplicate {less[0]} (drop)" in said
    assert not [*tmp_path.iterdir()]
