"""Two processes that make the same stage at once: whoever publishes it first has made it, and the other harms nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from pathlib import Path

import pytest

import tawt
from tawt.errors import ConfigError, FileError, StageError
from tawt.pipeline import board, presence, run
from tawt.pipeline.holding import hold_together, still
from tawt.pipeline.manifest import Manifest
from tawt.pipeline.workspace import Workspace
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
    monkeypatch.setattr(board, "STILL_SECONDS", 0.5)
    tawt.run("staging.patients", w, part=second, wait="0", **QUICK)
    os.kill(slept.pid, signal.SIGCONT)
    said = slept.communicate(timeout=600)[1]
    assert slept.returncode == 0 or "another process is this part now" in said, said
    assert [one.detail for one in tawt.check(w) if not one.ok and one.check in ("files", "records")] == []
    assert not [path for path in (w / ".aside").rglob("*") if path.is_file() and path.suffix != ".json"]


@pytest.mark.parametrize("stage", ["staging.labevents", "event_parts.labs"])
def test_a_part_holds_what_others_made_to_its_hash(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Whether it makes a whole stage of it or a share of one: between two machines a bit may flip that is a number yet."""
    tawt.ingest(hospital.raw, "demo", w := tmp_path / "w", settings=("shards=3",), prepare=True, **QUICK)
    own = run.commit

    def commit(workspace: Workspace, folder: Path, quarantine: Path | None, manifest: Manifest) -> Manifest:
        made = own(workspace, folder, quarantine, manifest)
        if manifest.stage == stage:
            path = w / max(made.files, key=lambda name: made.files[name])
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        return made

    monkeypatch.setattr(run, "commit", commit)
    with pytest.raises(FileError, match="is not as it was written") as told:
        tawt.run("+event_parts,+codes", w, part="1/1", wait="0", **QUICK)
        tawt.run("events", w, part="1/2", wait="0", **QUICK)
    assert stage.replace(".", "/") in told.value.where


def test_who_looks_at_a_workspace_is_told_that_parts_have_changed_it(hospital: Hospital, tmp_path: Path) -> None:
    """They hold the lock together, as lookers do: an export or a check that saw the half of it would tell of damage."""
    w = Path(shutil.copytree(hospital.workspace, tmp_path / "w"))

    def look(publish: bool) -> None:
        with still(w):
            if publish:
                os.utime(w / "manifests" / "events.json", (1, 1))

    with hold_together(w):
        Context().run(look, False)
        with pytest.raises(ConfigError, match="in use by another tawt command"):
            Context().run(look, True)


@pytest.mark.parametrize("other", [{"duckdb": "0.0.1"}, {"tawt run": "events"}])
def test_parts_that_make_other_things_do_not_wait_for_one_another_for_ever(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, str]
) -> None:
    """As with another version on one of the machines, or another selection: each gives signs of life, and neither would make
    what the other waits for."""
    monkeypatch.setattr(board, "BEAT_SECONDS", 0.1)
    tawt.ingest(hospital.raw, "demo", w := tmp_path / "w", settings=("shards=3",), prepare=True, **QUICK)
    with (
        presence.Presence(board.BoardInFolder(w / ".aside" / presence.PARTS), presence.Part(2, 2), print, other),
        pytest.raises(StageError) as told,
    ):
        tawt.run("staging", w, part="1/2", wait="10m", **QUICK)
    ((name, there),) = other.items()
    assert f"part 2/2, which makes something else ({name} {there}, and " in told.value.what


@pytest.mark.parametrize("before", [b"", b"who was it before", b"another one"])
def test_of_many_that_begin_at_once_as_the_same_part_one_does(tmp_path: Path, before: bytes) -> None:
    """Each has seen that nobody keeps the sign up, and none knows of the others; where another has begun since, none does."""
    shown = b"" if before == b"" else b"who was it before"
    for turn in range(30):
        folder, start = tmp_path / str(turn), threading.Barrier(8)
        folder.mkdir()
        if before:
            (folder / "sign").write_bytes(before)

        def take(i: int, place: Path = folder, begin: threading.Barrier = start) -> bool:
            begin.wait()
            return board.BoardInFolder(place).take("sign", b"%d" % i, shown)

        with ThreadPoolExecutor(8) as pool:
            taken = [*pool.map(take, range(8))]
        assert [path.name for path in folder.iterdir()] == ["sign"]
        if before == b"another one":
            assert not any(taken) and (folder / "sign").read_bytes() == before
        else:
            assert sum(taken) == 1 and (folder / "sign").read_bytes() == b"%d" % taken.index(True)


def test_a_sign_that_is_written_again_is_never_empty(tmp_path: Path) -> None:
    """Who looks just then would take its part for gone, and be the same part at the same time."""
    place, ended = board.BoardInFolder(tmp_path), threading.Event()
    assert place.take("sign", b"0" * 200, b"")

    def beat() -> None:
        while not ended.is_set():
            place.write("sign", b"1" * 200)

    writer = threading.Thread(target=beat)
    writer.start()
    try:
        assert {len(place.read("sign")) for _ in range(3000)} == {200}
    finally:
        ended.set()
        writer.join()
