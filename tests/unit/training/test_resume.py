"""A run that was stopped anywhere and resumed ends in the same bytes as one left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from tawt.commands.pretrain import pretrain
from tawt.config.load import dump
from tawt.errors import CheckpointError, ConfigError, DatasetError
from tawt.files import write_hashes, write_sealed
from tawt.seals import LIST, sha256_file
from tawt.training import setup
from tawt.training.metrics import read_metrics
from tawt.training.versions import Versions

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch._dynamo  # which the first step of an optimizer imports
from tawt.commands.pretrain import pretrain
from tawt.training import loop

step = loop.Trainer._step
def slow(self, *args):
    import time
    time.sleep(0.02)
    print("step", args[0], flush=True)
    return step(self, *args)
loop.Trainer._step = slow
for line in sys.stdin:
    workspace, config, out = json.loads(line)
    if (child := os.fork()) == 0:
        print("child", os.getpid(), flush=True)
        pretrain(Path(workspace), config, device="cpu", out=Path(out), resume=Path(out).exists())
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Beside:
    """Trainings in processes of their own, forked from one that has imported what they need."""

    def __init__(self, forks: subprocess.Popen) -> None:
        self._forks, self._child = forks, 0

    def start(self, *paths: object) -> None:
        """Train from a workspace by a config into a folder, or go on with what is there."""
        print(json.dumps([str(path) for path in paths]), file=self._forks.stdin, flush=True)
        self._child = self.said("child")

    def said(self, word: str) -> int:
        """Read as far as the next line of a word, and return its number."""
        for line in self._forks.stdout:
            if line.startswith(f"{word} "):
                return int(line.split()[1])
        raise AssertionError(f"no `{word}` was said")

    def kill(self) -> None:
        """End the training at once."""
        os.kill(self._child, signal.SIGKILL)


@pytest.fixture(scope="module")
def beside():
    """The trainings beside this process."""
    words = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forks:
        yield Beside(forks)


def files(run) -> dict[str, bytes]:
    """What must be equal between two runs, whatever their names: all weights, optimizer states, configs, and metrics without speeds."""
    found = {
        str(p.relative_to(run)): p.read_bytes()
        for p in sorted(run.rglob("*"))
        if p.is_file() and p.relative_to(run).as_posix() not in ("metrics.jsonl", "versions.json", "README.md", LIST)
    }
    lines = [
        {k: v for k, v in line.items() if k not in ("tokens_per_s", "seconds")}
        for line in read_metrics(run / "metrics.jsonl")
    ]
    return found | {"metrics": json.dumps(lines).encode()}


@pytest.mark.parametrize("stop_after", [1, 4, 6, 11])
def test_stopped_and_resumed_equals_uninterrupted(workspace, config, tmp_path, broken_off, stop_after):
    """An error in the middle of any step, then `resume`: weights, optimizer, checkpoints and metrics are equal byte for byte."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    broken_off(stop_after, workspace, config, device="cpu", out=tmp_path / "b")
    result = pretrain(workspace, config, device="cpu", out=tmp_path / "b", resume=True)
    assert result.plan.start_step == stop_after // 4 * 4
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert result.weights.read_bytes() == (tmp_path / "a" / "model.safetensors").read_bytes()


def test_killed_and_resumed_equals_uninterrupted(workspace, config, tmp_path, with_train, beside):
    """SIGKILL at several moments, each followed by `resume`, ends in the same bytes as an uninterrupted run."""
    config = with_train(config, max_steps=30, checkpoint_every=7)
    (tmp_path / "small.yaml").write_text(dump(config))
    pretrain(workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "a")
    starts = []
    for steps in (9, 13, None):
        beside.start(workspace, tmp_path / "small.yaml", tmp_path / "b")
        starts.append(beside.said("step"))
        if steps is not None:
            for _ in range(steps):
                beside.said("step")
            time.sleep(0.023)  # into the step, a validation or the writing of a checkpoint
            beside.kill()
        code = beside.said("ended")
    assert code == 0
    assert 0 == starts[0] < starts[1] < starts[2] < 30, "no kill came after a checkpoint"
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_two_resumes_at_once_take_turns(workspace, config, tmp_path, with_train, beside):
    """A second `resume` of a run that is still training waits for it, then finds it whole; nothing is overwritten."""
    config = with_train(config, max_steps=30, checkpoint_every=4)
    (tmp_path / "small.yaml").write_text(dump(config))
    pretrain(workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "a")
    beside.start(workspace, tmp_path / "small.yaml", tmp_path / "b")
    beside.said("step")  # it has begun
    events = []
    with pytest.raises(ConfigError, match="in use by another process"):
        pretrain(workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "b")
    result = pretrain(
        workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "b", resume=True, report=events.append
    )
    assert beside.said("ended") == 0
    assert any("waiting for it to end" in event.get("text", "") for event in events)
    assert result.plan.start_step == 30
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_can_be_resumed(workspace, config, tmp_path, number):
    """SIGTERM and Ctrl-C end at the next step boundary with a checkpoint and the line that resumes; the end is bit-equal."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    events = []

    def interrupt(event):
        events.append(event)
        if event["event"] == "step" and event["step"] == 6:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        pretrain(workspace, config, device="cpu", out=tmp_path / "b", report=interrupt)
    assert signal.getsignal(number) is before
    assert events[-1]["event"] == "stopped" and events[-1]["step"] == 6
    assert events[-1]["resume"].endswith(f"--out {tmp_path / 'b'} --resume")
    pretrain(workspace, config, device="cpu", out=tmp_path / "b", resume=True)
    ours, theirs = files(tmp_path / "a"), files(tmp_path / "b")
    assert ours["model.safetensors"] == theirs["model.safetensors"] and ours["metrics"] == theirs["metrics"]


def test_resuming_a_finished_run_changes_nothing(workspace, config, tmp_path):
    """`resume` on a run that reached its end leaves every byte as it was."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    before = files(tmp_path / "a")
    result = pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True)
    assert result.plan.start_step == 12 and files(tmp_path / "a") == before


def test_a_finished_run_keeps_its_provenance(workspace, config, tmp_path):
    """`resume` on a finished run by another torch tells its results again, and not that it was made with that torch."""
    made = pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    about = json.loads((tmp_path / "a" / "versions.json").read_text())
    about["packages"]["torch"] = "2.0.0"
    write_sealed(tmp_path / "a" / "versions.json", about)
    write_hashes(tmp_path / "a")
    about = json.loads((tmp_path / "a" / "versions.json").read_text())
    again = pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True)
    assert again.metrics == made.metrics and {"train", "tuning", "health"} == made.metrics.keys()
    assert json.loads((tmp_path / "a" / "versions.json").read_text()) == about


def test_a_run_that_goes_on_elsewhere_tells_both(workspace, config, tmp_path, broken_off, with_train):
    """Of a run resumed with other versions, `versions.json` tells those of now and, up to which step, those of before."""
    for stop in (5, 9):
        broken_off(stop, workspace, config, device="cpu", out=tmp_path / "a", resume=stop == 9)
        about = json.loads((tmp_path / "a" / "versions.json").read_text())
        assert "earlier" not in about or stop == 9
        about["packages"]["torch"] = f"2.0.{stop}"
        write_sealed(tmp_path / "a" / "versions.json", about)
    pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True)
    about = json.loads((tmp_path / "a" / "versions.json").read_text())
    earlier = [(part["until_step"], part["packages"]["torch"]) for part in about["earlier"]]
    assert earlier == [(4, "2.0.5"), (8, "2.0.9")] and not about["packages"]["torch"].startswith("2.0.")


def in_values(path, row: int) -> int:
    """Where a row's value stands in a shard's file."""
    values = np.asarray(pa.ipc.open_file(path).read_all()["value"])
    assert len(values) > 64
    return path.read_bytes().index(values.tobytes()) + 4 * (row % len(values))


def test_a_shard_that_is_written_to_ends_the_run_at_the_next_checkpoint(workspace, config, tmp_path):
    """A run whose shard is written to in place, with the time of writing set back, makes no checkpoint and no weights of
    it; put back, the run is resumed to the bytes of one left alone."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    path = workspace / "dataset" / "train" / "00000.arrow"
    at, before = in_values(path, 7), path.stat()
    own = path.read_bytes()[at]

    def write(event, byte=own ^ 1):
        if event == {"event": "checkpoint", "step": 4, "path": str(tmp_path / "b" / "checkpoints" / "step-000004")}:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([byte]))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(DatasetError, match="is not as it was written") as error:
        pretrain(workspace, config, device="cpu", out=tmp_path / "b", report=write)
    assert error.value.where == str(path) and "--force" in error.value.hint
    assert [p.name for p in (tmp_path / "b" / "checkpoints").glob("step-*")] == ["step-000004"]
    assert not (tmp_path / "b" / "model.safetensors").exists() and not (tmp_path / "b" / LIST).exists()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([own]))
    pretrain(workspace, config, device="cpu", out=tmp_path / "b", resume=True)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_resume_refuses_another_dataset(workspace, config, tmp_path, broken_off, shards):
    """Records that changed under a run, with the same vocabulary and the same sizes, are not trained on in silence."""
    broken_off(5, workspace, config, device="cpu", out=tmp_path / "a")
    shards.write_dataset(workspace, {"train": [40, 20], "tuning": [10], "held_out": [10]}, max_static=2)
    folder, listed = workspace / "dataset" / "train", workspace / "dataset" / "dataset.json"
    path, manifest = folder / "00000.arrow", json.loads(listed.read_text())
    whole, said = path.read_bytes(), listed.read_text()
    at = in_values(path, -1)  # the last row of a shard
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    entry = manifest["splits"]["train"][0] | {"sha256": sha256_file(path)}
    manifest["splits"]["train"] = [entry, *manifest["splits"]["train"][1:]]
    write_sealed(listed, manifest)
    with pytest.raises(CheckpointError, match="belongs to dataset") as error:
        pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True)
    assert "--out" in error.value.hint
    path.write_bytes(whole)
    with pytest.raises(DatasetError, match="is not as it was written"):
        pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True)
    listed.write_text(said)
    assert pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True).plan.start_step == 4


def test_lost_metrics_are_said(workspace, config, tmp_path, broken_off):
    """A run whose `metrics.jsonl` is gone goes on, and says what begins anew with it."""
    broken_off(5, workspace, config, device="cpu", out=tmp_path / "a")
    (tmp_path / "a" / "metrics.jsonl").unlink()
    events = []
    pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True, report=events.append)
    assert any("no line of the steps made" in event.get("text", "") for event in events)


@pytest.mark.parametrize(("log_every", "validate_every"), [(50, 2), (50, 0), (1, 0)])
def test_metrics_that_were_not_due_are_not_said_to_be_lost(
    workspace, config, tmp_path, broken_off, with_train, log_every, validate_every
):
    """Where `log_every` was longer and is shorter now, no line is missed that nobody was to write."""
    config = with_train(config, log_every=log_every, validate_every=validate_every, max_steps=5)
    broken_off(4, workspace, config, device="cpu", out=tmp_path / "a")
    events = []
    config = with_train(config, log_every=1)
    pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True, dry_run=True, report=events.append)
    assert not any("no line of the steps made" in event.get("text", "") for event in events)


MADE = {
    "packages": {}, "python": "3", "machine": "x", "device": "cpu", "precision": "fp32", "processes": 1, "seed": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("step", "threads", "wanted"),
    [
        (20, 3, [(5, 1), (10, 2)]), (20, 9, [(5, 1), (10, 2), (20, 3)]), (12, 9, [(5, 1), (10, 2), (12, 3)]), (10, 2, [(5, 1)]),
        (10, 3, [(5, 1), (10, 2)]), (7, 9, [(5, 1), (7, 2)]), (5, 1, []), (3, 1, []), (3, 3, [(3, 1)]),
    ],
)  # fmt: skip
def test_what_is_made_anew_is_no_longer_told(step, threads, wanted):
    """A run taken up again from before a change of threads tells what the steps that stay were made with, in order, and
    nothing of those that are made anew."""
    earlier = [
        {**MADE, "threads": n, "reasons": {"threads": "x"}, "until_step": until} for until, n in ((5, 1), (10, 2))
    ]
    before = Versions.model_validate({**MADE, "threads": 3, "reasons": {}, "earlier": earlier})
    now = Versions.model_validate({**MADE, "threads": threads, "reasons": {"threads": "y"}}).since(step, before)
    told = [(part.until_step, part.threads) for part in now.earlier]
    assert now.threads == threads and told == wanted


def test_a_signal_before_the_first_step_is_an_interrupt(workspace, config, tmp_path, monkeypatch):
    """SIGTERM while a run is set up ends it with a word, not in silence, and leaves no run folder."""
    real = setup.count_baselines

    def interrupted(*args, **more):
        signal.raise_signal(signal.SIGTERM)
        return real(*args, **more)

    monkeypatch.setattr(setup, "count_baselines", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    assert signal.getsignal(signal.SIGTERM) is before and not (tmp_path / "a").exists()


def test_resume_where_no_run_is_starts_one_and_says_which_may_be_meant(workspace, config, tmp_path):
    """`resume` of a folder without a run starts it, as a job that is started again and again wants; a near name is said."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "deep")
    events = []
    result = pretrain(workspace, config, device="cpu", out=tmp_path / "deeq", resume=True, report=events.append)
    assert result.plan.start_step == 0 and result.weights.exists()
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert any("is new: nothing to resume" in note and "did you mean `deep`?" in note for note in notes)


def test_resume_without_a_checkpoint_starts_and_says_so(workspace, config, tmp_path, broken_off):
    """`resume` of a run that was broken off before its first checkpoint starts from the beginning and says so."""
    events = []
    result = pretrain(workspace, config, device="cpu", out=tmp_path / "whole")
    broken_off(2, workspace, config, device="cpu", out=tmp_path / "new")
    again = pretrain(workspace, config, device="cpu", out=tmp_path / "new", resume=True, report=events.append)
    assert any(e["event"] == "note" and "no checkpoint yet" in e["text"] for e in events)
    assert again.weights.read_bytes() == result.weights.read_bytes()


def test_an_existing_run_is_not_overwritten(workspace, config, tmp_path):
    """Without `resume`, a run folder that is there is refused, with both ways out as the hint."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    before = files(tmp_path / "a")
    with pytest.raises(ConfigError) as error:
        pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    assert "--resume" in error.value.hint and "--out" in error.value.hint
    assert files(tmp_path / "a") == before


def test_resume_refuses_another_schedule(workspace, config, tmp_path, with_train, broken_off):
    """Another `max_steps` or model would silently be another run: refused, naming key and both values; how often to save may change."""
    broken_off(9, workspace, config, device="cpu", out=tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"train\.max_steps was 12, is 24"):
        pretrain(workspace, with_train(config, max_steps=24), device="cpu", out=tmp_path / "a", resume=True)
    with pytest.raises(CheckpointError, match=r"model\.d_ffn was 16, is 24"):
        pretrain(workspace, config, settings=["model.d_ffn=24"], device="cpu", out=tmp_path / "a", resume=True)
    events = []
    changed = with_train(config, checkpoint_every=3, threads=2)
    pretrain(workspace, changed, device="cpu", out=tmp_path / "a", resume=True, report=events.append)
    assert any("threads was 1 and is 2" in event.get("text", "") for event in events)


def test_a_run_from_before_a_key_came_can_go_on(workspace, config, tmp_path, broken_off):
    """A checkpoint whose config lacks keys that are at their defaults now is resumed; one where they differ is refused."""
    broken_off(9, workspace, config, device="cpu", out=tmp_path / "a")
    path = tmp_path / "a" / "checkpoints" / "step-000008" / "state.json"
    state = json.loads(path.read_text())
    del state["config"]["objective"]["masked"]["value_scale"], state["config"]["objective"]["forecast"]
    path.write_text(json.dumps(state))
    write_hashes(path.parent)
    with pytest.raises(CheckpointError, match=r"masked\.value_scale was normalized, is rank"):
        settings = ["objective.masked.value_scale=rank"]
        pretrain(workspace, config, settings=settings, device="cpu", out=tmp_path / "a", resume=True)
    assert pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True).plan.start_step == 8
    about = json.loads((tmp_path / "a" / "versions.json").read_text())
    assert "earlier" not in about  # the same versions, on the same machine


def test_resume_refuses_another_vocabulary(workspace, config, tmp_path, shards):
    """A checkpoint of another vocabulary is refused with a hint."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    shards.write_dataset(tmp_path / "other", {"train": [30]}, n_types=25)
    with pytest.raises(CheckpointError, match="belongs to vocabulary") as error:
        pretrain(tmp_path / "other", config, device="cpu", out=tmp_path / "a", resume=True)
    assert "--out" in error.value.hint


@pytest.mark.parametrize("broken", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_broken_checkpoint_is_one_clear_error(workspace, config, tmp_path, broken):
    """A file of the checkpoint cut off in its middle is an error that names the file."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    path = tmp_path / "a" / "checkpoints" / "step-000012" / broken
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=broken):
        pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True)


def test_resume_of_a_run_by_its_name_is_told_its_folder(workspace, config, tmp_path, monkeypatch):
    """`--out` takes a place: where it is new and the workspace has a run of that name, none begins beside it."""
    (run := workspace / "runs" / "a b").mkdir(parents=True)
    (run / "packages.txt").write_text("sha256 of the rest: 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="a b is a run, expected the folder") as error:
        pretrain(workspace, config, device="cpu", out="a b", resume=True)
    assert f"`--out '{run}'`" in error.value.hint and not (tmp_path / "a b").exists()
