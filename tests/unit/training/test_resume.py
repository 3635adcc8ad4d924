"""A run that was stopped anywhere and resumed ends in the same bytes as one left alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from tawt.config.load import dump
from tawt.errors import CheckpointError, ConfigError
from tawt.tasks.pretrain import pretrain
from tawt.training.metrics import SPEED_FIELDS, read_metrics

SCRIPT = """
import sys
from pathlib import Path
from tawt.tasks.pretrain import pretrain
from tawt.training import loop

step = loop.Trainer._step
def slow(self, *args):
    import time
    time.sleep(0.02)
    print("step", args[0], flush=True)
    return step(self, *args)
loop.Trainer._step = slow
pretrain(Path(sys.argv[1]), sys.argv[2], device="cpu", out=Path(sys.argv[3]), resume=True)
"""


def files(run) -> dict[str, bytes]:
    """What must be equal between two runs, whatever their names: all weights, optimizer states, configs, and metrics without speeds."""
    found = {
        str(p.relative_to(run)): p.read_bytes()
        for p in sorted(run.rglob("*"))
        if p.is_file() and p.name not in ("metrics.jsonl", "versions.json", "README.md")
    }
    lines = [{k: v for k, v in line.items() if k not in SPEED_FIELDS} for line in read_metrics(run / "metrics.jsonl")]
    return found | {"metrics": json.dumps(lines).encode()}


@pytest.mark.parametrize("stop_after", [1, 4, 6, 11])
def test_stopped_and_resumed_equals_uninterrupted(workspace, config, tmp_path, power_cut, stop_after):
    """An error in the middle of any step, then `resume`: weights, optimizer, checkpoints and metrics are equal byte for byte."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    power_cut(stop_after, workspace, config, device="cpu", out=tmp_path / "b")
    result = pretrain(workspace, config, device="cpu", out=tmp_path / "b", resume=True)
    assert result.plan.start_step == stop_after // 4 * 4
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert result.weights.read_bytes() == (tmp_path / "a" / "model.safetensors").read_bytes()


def test_killed_and_resumed_equals_uninterrupted(workspace, config, tmp_path, with_train):
    """SIGKILL at several moments, each followed by `resume`, ends in the same bytes as an uninterrupted run."""
    config = with_train(config, max_steps=60, checkpoint_every=7)
    (tmp_path / "small.yaml").write_text(dump(config))
    pretrain(workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "a")
    words = [sys.executable, "-c", SCRIPT, str(workspace), str(tmp_path / "small.yaml"), str(tmp_path / "b")]
    starts = []
    for steps in (9, 20, None):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        starts.append(int(process.stdout.readline().split()[1]))
        if steps is not None:
            for _ in range(steps):
                process.stdout.readline()
            time.sleep(0.023)  # into the step, a validation or the writing of a checkpoint
            process.send_signal(signal.SIGKILL)
        process.stdout.read()
        process.wait()
    assert process.returncode == 0
    assert 0 == starts[0] < starts[1] < starts[2] < 60, "no kill came after a checkpoint"
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_two_resumes_at_once_take_turns(workspace, config, tmp_path, with_train):
    """A second `resume` of a run that is still training waits for it, then finds it whole; nothing is overwritten."""
    config = with_train(config, max_steps=40, checkpoint_every=4)
    (tmp_path / "small.yaml").write_text(dump(config))
    pretrain(workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "a")
    words = [sys.executable, "-c", SCRIPT, str(workspace), str(tmp_path / "small.yaml"), str(tmp_path / "b")]
    first = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    first.stdout.readline()  # it has begun
    events = []
    with pytest.raises(ConfigError, match="in use by another process"):
        pretrain(workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "b")
    result = pretrain(
        workspace, tmp_path / "small.yaml", device="cpu", out=tmp_path / "b", resume=True, report=events.append
    )
    first.stdout.read()
    assert first.wait() == 0
    assert any("waiting for it to end" in event.get("text", "") for event in events)
    assert result.plan.start_step == 40
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


def test_resume_without_a_checkpoint_starts_and_says_so(workspace, config, tmp_path):
    """`resume` where no run is yet starts from the beginning and says so."""
    events = []
    result = pretrain(workspace, config, device="cpu", out=tmp_path / "new", resume=True, report=events.append)
    assert result.plan.start_step == 0 and result.weights.exists()
    assert any(e["event"] == "note" and "no checkpoint yet" in e["text"] for e in events)


def test_an_existing_run_is_not_overwritten(workspace, config, tmp_path):
    """Without `resume`, a run folder that is there is refused, with both ways out as the hint."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    before = files(tmp_path / "a")
    with pytest.raises(ConfigError) as error:
        pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    assert "--resume" in error.value.hint and "--out" in error.value.hint
    assert files(tmp_path / "a") == before


def test_resume_refuses_another_schedule(workspace, config, tmp_path, with_train):
    """Another `max_steps` or model would silently be another run: refused, naming key and both values; how often to save may change."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"train\.max_steps was 12, is 24"):
        pretrain(workspace, with_train(config, max_steps=24), device="cpu", out=tmp_path / "a", resume=True)
    with pytest.raises(CheckpointError, match=r"model\.d_ffn was 16, is 24"):
        pretrain(workspace, config, settings=["model.d_ffn=24"], device="cpu", out=tmp_path / "a", resume=True)
    events = []
    changed = with_train(config, checkpoint_every=3, threads=2)
    pretrain(workspace, changed, device="cpu", out=tmp_path / "a", resume=True, report=events.append)
    assert any("threads was 1 and is 2" in event.get("text", "") for event in events)


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
