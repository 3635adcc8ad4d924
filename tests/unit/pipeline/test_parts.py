"""Processes that share a run out: the bytes of one, whoever is killed, started twice, or comes late."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tawt
from tawt.errors import ConfigError, StageError, StaleError
from tawt.pipeline import board, presence
from tawt.pipeline.board import BoardInFolder
from tawt.pipeline.each_shard import HANDED_IN
from tawt.pipeline.presence import Part, Presence
from tests.unit.conftest import Hospital
from tests.unit.pipeline.test_stability import hashes, reasons

ROOT = Path(__file__).parents[3]
QUICK = {"threads": 1, "memory_limit": "500MB"}
RUN = "tawt.run('{selection}', '{w}', part='{part}', wait='{wait}', threads=1, memory_limit='500MB')"


@pytest.fixture(scope="module")
def prepared(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of the hospital in which nothing is made yet."""
    w = tmp_path_factory.mktemp("parts") / "w"
    result = tawt.ingest(hospital.raw, "demo", w, settings=("shards=3",), prepare=True, **QUICK)
    assert result.n_run > 15 and not list(w.glob("staging")), "it says what would run, and runs nothing"
    return w


@pytest.fixture
def w(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it of a test's own."""
    return Path(shutil.copytree(prepared, tmp_path / "w"))


def start(w: Path, part: str, wait: str = "2m", kill_at: int = 0, selection: str = "+dataset") -> subprocess.Popen[str]:
    """Start a part in a process of its own, which ends at once where it would do its n-th act on the file system."""
    call = RUN.format(selection=selection, w=w, part=part, wait=wait)
    text = f"import tawt; from tests.unit.pipeline.killed import counted; tawt.run; counted({kill_at}); {call}"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", text], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def ended(*processes: subprocess.Popen[str]) -> list[int]:
    """Wait for processes; return how they ended."""
    said = [process.communicate(timeout=600)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) <= {0, 9}, said
    return codes


def is_as_made_alone(w: Path, hospital: Hospital) -> bool:
    """Whether all that is promised is of the same bytes as in the hospital, all is finished, and nothing lies aside."""
    asides = [path for path in (w / ".aside").rglob("*") if path.is_file()]
    wrong = [finding for finding in tawt.check(w) if not finding.ok]
    return hashes(w) == hashes(hospital.workspace) and asides == [] and wrong == []


def test_three_parts_give_the_bytes_of_one_process(hospital: Hospital, w: Path, tmp_path: Path) -> None:
    """Started by the array script of the guide; each makes some stages and some shards, the ledger is whole, and a run after
    them finds all made."""
    guide = (ROOT / "docs" / "guides" / "many-machines.md").read_text(encoding="utf-8")
    script = guide.split("```bash\n")[1].split("```")[0]
    assert script.count("/scratch/mimic") == 1
    (tmp_path / "parts.sh").write_text(script.replace("/scratch/mimic", str(w)), encoding="utf-8")
    (tmp_path / "tawt").write_text(f'#!/bin/sh\nexec {sys.executable} -m tawt "$@"\n', encoding="utf-8")
    (tmp_path / "tawt").chmod(0o755)
    of_all = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    of_each = [of_all | {"SLURM_ARRAY_TASK_ID": i, "SLURM_ARRAY_TASK_COUNT": "3"} for i in "123"]
    line = ["bash", tmp_path / "parts.sh"]
    assert ended(*(subprocess.Popen(line, env=env, stderr=subprocess.PIPE, text=True) for env in of_each)) == [0, 0, 0]
    assert is_as_made_alone(w, hospital)
    assert reasons(tawt.run("+dataset", w, **QUICK)) == {}


@pytest.mark.parametrize("kill_at", [40, 250])
def test_a_part_that_is_killed_in_the_middle_loses_nothing(hospital: Hospital, w: Path, kill_at: int) -> None:
    """The others wait for it, and it goes on when it is run again."""
    killed, other = start(w, "1/2", kill_at=kill_at), start(w, "2/2")
    assert ended(killed) == [9]
    assert ended(start(w, "1/2"), other) == [0, 0]
    assert is_as_made_alone(w, hospital)


def test_the_same_part_twice_at_once_does_no_harm(hospital: Hospital, w: Path) -> None:
    """The second waits for the first to end, and finds what is left."""
    assert ended(*(start(w, part) for part in ("1/2", "1/2", "2/2"))) == [0, 0, 0]
    assert is_as_made_alone(w, hospital)


def test_who_waits_says_which_parts_are_missing(w: Path) -> None:
    """It ends with the parts that gave no sign, what they were to make, and the command of one of them."""
    with pytest.raises(StageError) as told:
        tawt.run("+dataset", w, part="1/4", wait="0", **QUICK)
    assert "waits for parts 2/4, 3/4, 4/4 (" in str(told.value) and "no sign" in str(told.value)
    assert "--part 2/4" in told.value.hint and f"`tawt run +dataset -w {w}`" in told.value.hint
    assert tawt.check(w)[0] is not None and "last command" in [f.check for f in tawt.check(w) if not f.ok]


def test_a_part_that_failed_is_told_to_those_that_wait(w: Path) -> None:
    """They end at once with what ended it, and not when their time to wait is over."""
    other = start(w, "2/2", wait="10m")
    folder = w / ".aside" / presence.PARTS
    while not (folder / "2-of-2.json").exists():
        time.sleep(0.05)
    with pytest.raises(StageError), Presence(BoardInFolder(folder), Part(1, 2), print):
        time.sleep(3)  # so that the other has seen it, and waits
        raise StageError("the disk", "is full", "")
    said = other.communicate(timeout=600)[1]
    assert other.returncode == 1 and "waits for part 1/2, which ended (the disk: is full" in said


def test_a_part_that_had_failed_before_is_told_to_those_that_begin_to_wait(w: Path) -> None:
    """It may be run again any moment, so they wait; but they say what ended it, and not that it gives no sign alone."""
    with pytest.raises(StageError), Presence(BoardInFolder(w / ".aside" / presence.PARTS), Part(1, 2), print):
        raise StageError("the disk", "is full", "")
    with pytest.raises(StageError, match=r"no sign for 0 s; 1/2 had ended before \(the disk: is full"):
        tawt.run("+dataset", w, part="2/2", wait="0", **QUICK)


def test_a_part_tells_others_no_cell_that_a_library_quotes(tmp_path: Path) -> None:
    """Of an error that is not ours it tells the kind: what others print, and what lies there, holds no more."""
    with pytest.raises(ValueError), Presence(BoardInFolder(tmp_path), Part(1, 2), print):
        raise ValueError("could not convert 'canary'")
    told = (tmp_path / "1-of-2.json").read_text(encoding="utf-8")
    assert "ValueError" in told and "canary" not in told


def test_one_process_makes_what_parts_have_left(hospital: Hospital, w: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What parts have handed in of a stage with shards is taken by a run without parts, which makes the rest of them."""
    from tawt.builtin import events

    tawt.run("+event_parts,+codes", w, **QUICK)
    with pytest.raises(StageError, match="2/2"):
        tawt.run("events", w, part="1/2", wait="0", **QUICK)
    handed = [path.name for path in (w / ".aside").rglob(f"events-*{HANDED_IN}/.done/*.json")]
    assert len(handed) == 2, "of three shards"
    made, merge = [], events.merge_shard
    monkeypatch.setattr(events, "merge_shard", lambda *given: made.append(given) or merge(*given))
    tawt.run("+dataset", w, **QUICK)
    assert len(made) == 1 and is_as_made_alone(w, hospital)


def test_no_other_command_changes_a_workspace_while_parts_are_at_work(w: Path) -> None:
    """It is told that it is in use."""
    first = start(w, "1/2", wait="1m")
    while not (w / ".aside" / presence.PARTS / "1-of-2.json").exists():
        time.sleep(0.05)
    with pytest.raises(ConfigError, match="in use by another tawt command"):
        tawt.run("+dataset", w, **QUICK)
    first.kill()
    assert first.wait(60) != 0


@pytest.mark.parametrize("given", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_a_part_that_is_none_is_refused(w: Path, given: str) -> None:
    """Numbers run from 1 to N."""
    with pytest.raises(ConfigError, match="is no part, expected i/N with i from 1 to N"):
        tawt.run("+dataset", w, part=given)


def test_a_part_is_of_the_raw_tables_that_were_prepared(hospital: Hospital, tmp_path: Path) -> None:
    """Where one has changed since, each part is told to have them read first; nothing is forced by a part."""
    raw = Path(shutil.copytree(hospital.raw, tmp_path / "raw"))
    tawt.ingest(raw, "demo", tmp_path / "w", prepare=True, **QUICK)
    shutil.copy(raw / "hosp/patients.csv.gz", raw / "hosp/patients.csv.gz.new")
    (raw / "hosp/patients.csv.gz.new").replace(raw / "hosp/patients.csv.gz")
    with pytest.raises(StaleError, match="remembers other raw tables") as told:
        tawt.run("+dataset", tmp_path / "w", part="1/1", **QUICK)
    assert "--prepare" in told.value.hint
    with pytest.raises(ConfigError, match="expected no --force with --part"):
        tawt.run("+dataset", tmp_path / "w", part="1/1", force=True, **QUICK)


def test_a_silent_part_of_another_machine_is_taken_for_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place is taken when it has been silent for long, and not before; when it wakes it is told so."""
    monkeypatch.setattr(board, "STILL_SECONDS", 1.0)
    monkeypatch.setattr(board, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(presence.socket, "gethostname", lambda: "a")
    said: list[str] = []
    with Presence(BoardInFolder(tmp_path), Part(1, 2), print) as first:
        monkeypatch.setattr(presence.socket, "gethostname", lambda: "b")
        began = time.monotonic()
        monkeypatch.setattr(first, "_write", lambda: time.sleep(2))  # it hangs, and does not write for two seconds
        with Presence(BoardInFolder(tmp_path), Part(1, 2), said.append) as second:
            assert time.monotonic() - began >= 1 and len(said) == 1 and "waits for it to end" in said[0]
            first._thread.join(10)
            second.hold()
            with pytest.raises(StageError, match="another process is this part now"):
                first.hold()
