"""Two processes that make the same stage at once: whoever publishes it first has made it, and the other harms nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tawt
from tawt.errors import StageError
from tawt.pipeline import presence
from tests.unit.conftest import Hospital

ROOT = Path(__file__).parents[3]
QUICK = {"threads": 1, "memory_limit": "500MB"}
STOPPED = """
import os, signal, sys
import tawt
from tawt.pipeline import sql_stage

def cut(*given):
    made = own(*given)
    if stop:
        stop.pop()
        os.kill(os.getpid(), signal.SIGSTOP)
    return made

own, sql_stage.cut, stop = sql_stage.cut, cut, [1]
tawt.run("staging.patients", sys.argv[1], part=sys.argv[2], wait="0", threads=1, memory_limit="500MB")
"""
"""A part that is stopped when it has written the rows of a stage aside."""


@pytest.mark.parametrize(("first", "second"), [("1/1", "1/1"), ("1/1", "1/2")])
def test_a_part_that_slept_while_another_made_its_stage_takes_what_is_there(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """As the same part, which took it for gone, or as one of another number of parts: what is published stays whole."""
    tawt.ingest(hospital.raw, "demo", w := tmp_path / "w", settings=("shards=3",), prepare=True, **QUICK)
    line = [sys.executable, "-c", STOPPED, str(w), first]
    slept = subprocess.Popen(line, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    while Path(f"/proc/{slept.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert slept.poll() is None, slept.communicate()[1]
        time.sleep(0.1)
    monkeypatch.setattr(presence, "STILL_SECONDS", 0.5)
    tawt.run("staging.patients", w, part=second, wait="0", **QUICK)
    os.kill(slept.pid, signal.SIGCONT)
    said = slept.communicate(timeout=600)[1]
    assert slept.returncode == 0 or "another process is this part now" in said, said
    assert [one.detail for one in tawt.check(w) if not one.ok and one.check in ("files", "records")] == []
    assert not [path for path in (w / ".aside").rglob("*") if path.is_file() and path.suffix != ".json"]


@pytest.mark.parametrize("other", [{"duckdb": "0.0.1"}, {"tawt run": "events"}])
def test_parts_that_make_other_things_do_not_wait_for_one_another_for_ever(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, str]
) -> None:
    """As with another version on one of the machines, or another selection: each gives signs of life, and neither would make
    what the other waits for."""
    monkeypatch.setattr(presence, "BEAT_SECONDS", 0.1)
    tawt.ingest(hospital.raw, "demo", w := tmp_path / "w", settings=("shards=3",), prepare=True, **QUICK)
    with (
        presence.Presence(w / ".aside" / presence.PARTS, presence.Part(2, 2), print, other),
        pytest.raises(StageError) as told,
    ):
        tawt.run("staging", w, part="1/2", wait="10m", **QUICK)
    ((name, there),) = other.items()
    assert f"part 2/2, which makes something else ({name} {there}, and " in told.value.what
