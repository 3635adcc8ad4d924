"""Workspaces, runs and devices that are not as a command needs them: one clear line, and how to mend it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FORM = re.compile(r"\Aerror: .+: .+, expected .+\n\nhint: .+\n\Z")


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished workspace that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "w"))


def _halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)


def test_a_truncated_file_of_a_stage_is_as_good_as_absent(work: Path, tawt) -> None:
    """A Parquet file that lost bytes is noticed by its size: the stage is named as missing, and runs again first."""
    _halve(work / "events" / "data" / "train" / "00000.parquet")
    ended = tawt("build-vocab", "-w", work, "--force")
    assert ended.code == 0 and "brought up to date first: events (it is not finished)" in ended.err
    assert re.search(r"  events .*\(new,", ended.err)


def test_a_garbled_file_of_a_stage_is_said_without_its_content(work: Path, tawt) -> None:
    """Bytes changed in place are found before they are read, and the message says what to make again."""
    _garble(work / "staging" / "labevents" / "part-00000-0.parquet")
    ended = tawt("run", "event_parts.labs", "-w", work, "--force")
    assert ended.code == 1 and FORM.match(ended.error) and "is not as it was written" in ended.error


def test_a_truncated_shard_stops_the_training(work: Path, tawt) -> None:
    """A mapped shard that lost bytes is a DatasetError, before a step is made and without a run folder."""
    _halve(work / "dataset" / "train" / "00000.arrow")
    ended = tawt("pretrain", "-w", work, "--device", "cpu", "--out", work / "runs" / "new")
    assert ended.code == 1 and ended.error.startswith("error: ") and "\n\nhint: " in ended.error
    assert not (work / "runs" / "new").exists()


def test_training_without_a_dataset_names_the_command_that_makes_it(work: Path, tawt) -> None:
    """`tawt pretrain` on a workspace that was only ingested asks for `tawt build-vocab`."""
    shutil.rmtree(work / "dataset")
    ended = tawt("pretrain", "-w", work, "--device", "cpu", "--out", work / "runs" / "new")
    assert ended.code == 1 and "tawt build-vocab" in ended.error and not (work / "runs" / "new").exists()


def test_a_device_that_is_not_there_is_an_error(work: Path, tawt) -> None:
    """`--device cuda` without CUDA, and a word that is no device, end before anything is written."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    for device, code in (("cuda", 1), ("cuda:7", 1), ("tpu", 2)):
        ended = tawt("pretrain", "-w", work, "--device", device, "--out", work / "runs" / "new")
        assert ended.code == code, device
        assert ended.error.startswith("error: ") and ", expected " in ended.error
        assert not (work / "runs" / "new").exists()


def test_a_checkpoint_of_another_vocabulary_is_refused(work: Path, tawt, tiny) -> None:
    """A run is not resumed on a workspace whose vocabulary is another; what it embeds is read in its own."""
    assert tawt("build-vocab", "-w", work, "--set", "vocabulary.min_count=40", "--threads", 1).code == 0
    run = work / "runs" / "tiny"
    ended = tawt("pretrain", "--out", run, "--resume", *tiny, "-w", work, "--device", "cpu")
    assert ended.code == 1 and "vocabulary" in ended.error and "\n\nhint: " in ended.error
    ended = tawt("embed", "--run", "tiny", "-w", work, "--device", "cpu")
    assert ended.code == 0 and "carried" in ended.err


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("embed", "--run", "tini"), "tiny", 1),
        (("show", "staging.labevent"), "did you mean `staging.labevents`?", 2),
        (("show", "event_parts.lab_specimens"), "off in the pipeline", 2),
        (("sql", "stagin.patients"), "did you mean `staging.patients`?", 2),
        (("sql", "events"), "is code", 2),
        (("run", "staging.labs"), "names no stage", 2),
        (("query", "select nothing from events"), "nothing", 1),
        (("query", "select * from event"), "event", 1),
    ],
)
def test_a_name_that_is_not_there_brings_the_nearest(words, said: str, code: int, finished: Path, tawt) -> None:
    """Unknown runs, stages, columns and relations are named, with what was meant where it can be told."""
    ended = tawt(*words, "-w", finished)
    assert ended.code == code, ended.err
    assert said in ended.error and "\n\nhint: " in ended.error


@pytest.mark.parametrize(
    "words", [("build-vocab",), ("run", "events"), ("stages",), ("show", "events"), ("query", "select 1"), ("check",)]
)
def test_a_folder_that_is_no_workspace_is_said(words, tmp_path: Path, tawt) -> None:
    """A command on an empty or absent folder says which command makes a workspace, and makes nothing."""
    ended = tawt(*words, "-w", tmp_path / "w")
    assert ended.code == 2 and FORM.match(ended.error) and "tawt ingest" in ended.error
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_that_cannot_be_made_is_said(tmp_path: Path, hospital: Path, tawt) -> None:
    """A file in the place of the workspace, or of a folder above it, is one line."""
    (tmp_path / "file").write_text("mine")
    for place, code in (("file", 2), ("file/below", 1)):
        ended = tawt("ingest", hospital, "-p", "demo", "-w", tmp_path / place)
        assert ended.code == code and FORM.match(ended.error), ended.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_moved_raw_folder_is_said(work: Path, tmp_path: Path, tawt) -> None:
    """A workspace whose raw tables are elsewhere asks for them when a stage needs them, and not before."""
    from tawt.files import read_json, write_sealed

    write_sealed(work / "local.json", {**read_json(work / "local.json"), "raw_root": str(tmp_path / "gone")})
    assert tawt("run", "events", "-w", work).code == 0
    assert tawt("check", "-w", work).code == 0
    for words in (("run", "staging.labevents"), ("show", "staging.labevents", "--quarantine")):
        ended = tawt(*words, "-w", work)
        assert ended.code == 1 and "tawt ingest RAW_DIR" in ended.error


def test_what_a_killed_run_left_aside_is_cleaned(work: Path, tawt) -> None:
    """Leftovers of a stage in `.aside` do not get into its next run."""
    left = work / ".aside" / "staging.patients" / "_route=0"
    left.mkdir(parents=True)
    (left / "data_9.parquet").write_bytes(b"half")
    assert tawt("run", "staging.patients", "-w", work, "--force").code == 0
    assert not left.exists()
    assert tawt("check", "-w", work).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "RAW", "-p", "demo", "--sample", "20%", "--set", "splits.seed=9"),
        ("build-vocab", "--set", "vocabulary.normalization=robust", "--force"),
        ("run", "staging.patients", "--force"),
        ("demo", "--subjects", 10, "--device", "cpu"),
    ],
)
def test_a_command_is_refused_while_another_is_at_work_and_changes_nothing(
    words, finished: Path, hospital: Path, tmp_path: Path, tawt, tree
) -> None:
    """Whoever changes a workspace holds its lock before it writes: a refused command leaves every file as it was."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    (work / "hospital.json").write_text("{}")  # a demo would replace it, were it not at work
    words = [hospital if word == "RAW" else word for word in words]
    code = "import sys; from pathlib import Path; from tawt.pipeline.holding import hold\n"
    code += "with hold(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as at_work:
        assert at_work.stdout is not None and at_work.stdout.readline()
        before = tree(work)
        refused = tawt(*words, "-w", work)
        assert refused.code == 2 and "is in use by another tawt command" in refused.err
        if words[0] != "demo":
            assert tawt(*words, "-w", work, "--dry-run").code == 0
        assert tree(work) == before
        at_work.communicate()
    if words[0] == "run":
        assert tawt(*words, "-w", work).code == 0


def test_a_demo_does_not_take_a_folder_that_is_none(finished: Path, tmp_path: Path, tawt, tree) -> None:
    """A workspace, or any folder that no demo made, is refused and not even a lock is laid into it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    for folder in (finished, tmp_path / "mine"):
        before = tree(folder)
        ended = tawt("demo", "-w", folder, "--subjects", 10, "--device", "cpu")
        assert ended.code == 2 and "is not a demo's" in ended.error and tree(folder) == before


def test_a_pretraining_that_cannot_start_leaves_no_run_folder(finished: Path, tmp_path: Path, tawt, tiny) -> None:
    """A broken tuning shard is one error, and the same command works once the shard is whole again."""
    work = Path(shutil.copytree(finished, tmp_path / "w"))
    shard = next((work / "dataset" / "tuning").glob("[0-9]*[0-9].arrow"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    words = ("pretrain", "-w", work, "--device", "cpu", "--out", tmp_path / "run", *tiny)
    broken = tawt(*words)
    assert broken.code == 1 and "hint:" in broken.err
    assert not (tmp_path / "run").exists()
    shard.write_bytes(whole)
    assert tawt(*words).code == 0
