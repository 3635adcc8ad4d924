"""Several processes train as one: gloo on CPU, started as torchrun starts them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tawt.commands.finetune import finetune
from tawt.commands.pretrain import pretrain
from tawt.config.load import dump
from tawt.config.objective import ContrastiveConfig, ForecastConfig, ObjectiveConfig
from tawt.config.train import PretrainConfig
from tawt.runs.teacher import TEACHER
from tawt.training.distributed import FSDP_ON_CPU, torch_version
from tawt.training.metrics import read_metrics
from tests.unit.training.test_pairs import CONFIG, beside  # noqa: F401
from tests.unit.training.test_pairs import config as config_of_pairs

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture(scope="module")
def together():
    """`together(workspace, config, out, fault="none", *task)`: two processes train to their end; (exit code, what it said, on
    stdout and on stderr) of each."""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as worker:

        def run(workspace, config, out, fault="none", *task):
            path = out.with_suffix(".yaml")
            path.write_text(dump(config))
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                port = s.getsockname()[1]
            print(json.dumps([2, port, *map(str, (workspace, path, out)), fault, *task]), file=worker.stdin, flush=True)
            codes = json.loads(worker.stdout.readline())
            said = [[Path(f"{out}.{i}.{name}").read_text() for name in ("out", "err")] for i in range(2)]
            return [(code, *words) for code, words in zip(codes, said, strict=True)]

        yield run


def assert_alike(a, b):
    """Metrics and weights of two runs are equal but for rounding."""
    ours, theirs = read_metrics(a / "metrics.jsonl"), read_metrics(b / "metrics.jsonl")
    assert [(x["step"], x["split"]) for x in ours] == [(x["step"], x["split"]) for x in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for key in one.keys() - {"split", "tokens_per_s", "seconds"}:
            assert one[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6), (one["step"], key)
    one, other = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    assert one.keys() == other.keys()
    for name in one:
        assert torch.allclose(one[name], other[name], atol=1e-5), name


@pytest.fixture
def everything(config, with_train):
    """Masked, forecast and contrastive, with dropout; two batches a step."""
    objective = ObjectiveConfig(forecast=ForecastConfig(weight=1.0), contrastive=ContrastiveConfig(weight=0.5))
    config = config.model_copy(update={"objective": objective})
    return with_train(config, max_steps=6, checkpoint_every=3, validate_every=3)


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_train_as_one(workspace, everything, tmp_path, together, with_train, how):
    """Two processes with a batch each give the loss curve and weights of one with both, and either resumes the other's run."""
    if how == "fsdp" and torch_version() < FSDP_ON_CPU:
        pytest.skip(f"torch {torch.__version__} has no right FSDP2 on CPU")
    pretrain(workspace, everything, device="cpu", out=tmp_path / "one")
    ended = together(workspace, with_train(everything, parallel=how), tmp_path / "two")
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert_alike(tmp_path / "one", tmp_path / "two")
    # one goes on where two stopped
    for run in ("one", "two"):
        (tmp_path / run / "checkpoints" / "latest").write_text("step-000003\n")
    result = pretrain(workspace, everything, device="cpu", out=tmp_path / "two", resume=True)
    assert result.plan.start_step == 3
    assert_alike(tmp_path / "one", tmp_path / "two")
    # and two where one did
    before = load_file(tmp_path / "one" / "model.safetensors")
    ended = together(workspace, with_train(everything, parallel=how), tmp_path / "one", fault="resume")
    assert [code for code, _, _ in ended] == [0, 0], ended
    after = load_file(tmp_path / "one" / "model.safetensors")
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_learn_pairs_as_one(beside, tmp_path, together, with_train, how):  # noqa: F811
    """They count the same candidates and have the same losses and gradients, though there are steps in which a process has
    no image; images join the record, too."""
    if how == "fsdp" and torch_version() < FSDP_ON_CPU:
        pytest.skip(f"torch {torch.__version__} has no right FSDP2 on CPU")
    objective = {"masked": {"weight": 1}, "paired": {**CONFIG["objective"]["paired"], "whole_share": 0.3}}
    batching = {"tokens_per_batch": 128, "max_length": 64}
    train = {"accumulate_tokens": 256, "max_steps": 3, "checkpoint_every": 3, "validate_every": 3}
    config = config_of_pairs(objective=objective, batching=batching, train=train)
    workspace, one, two = beside(has=12), tmp_path / "one", tmp_path / "two"
    pretrain(workspace, config, device="cpu", out=one)
    ended = together(workspace, with_train(config, parallel=how), two)
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert_alike(one, two)
    n_pairs = [line.get("n_paired", 0) for line in read_metrics(two / "metrics.jsonl") if line["split"] == "train"]
    assert 0 in n_pairs and max(n_pairs) > 1
    mean = [load_file(run / "checkpoints" / "step-000003" / "optimizer.safetensors") for run in (one, two)]
    for name, gradient in mean[0].items():
        assert torch.allclose(gradient, mean[1][name], rtol=1e-3, atol=1e-6), name


def test_two_processes_learn_a_latent_as_one(workspace, config, tmp_path, together, with_train):
    """Documents have their noise and their divergence whichever process reads them, and however many make a step."""
    shape = config.model.model_dump()
    tree = config.model_dump() | {
        "model": shape | {"causal": True},
        "objective": {
            "masked": {"weight": 0}, "next": {"weight": 1},
            "latent": {"model": shape, "trains_encoder": True, "n_queries": 2, "warmup_steps": 3},
        },
    }  # fmt: skip
    tree["batching"]["order"] = "by_type"
    config = with_train(PretrainConfig.model_validate(tree), max_steps=4, validate_every=4)
    pretrain(workspace, config, device="cpu", out=tmp_path / "one")
    ended = together(workspace, config, tmp_path / "two")
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert_alike(tmp_path / "one", tmp_path / "two")
    assert read_metrics(tmp_path / "two" / "metrics.jsonl")[-2]["kl_record"] > 0


def test_steps_that_cannot_be_dealt_out_are_refused(workspace, config, tmp_path, together, with_train):
    """A run of one batch a step does not resume with two processes; one process says so."""
    config = with_train(config, accumulate_tokens=0, max_steps=4)
    pretrain(workspace, config, device="cpu", out=tmp_path / "one")
    ended = together(workspace, config, tmp_path / "one", fault="resume")
    assert [code for code, _, _ in ended] == [1, 1]
    assert "expected a multiple of 2 processes" in ended[0][1] and "error" not in ended[1][1]


def test_an_error_of_one_process_ends_all_with_one_message(workspace, config, tmp_path, together):
    """Where the second process runs out of memory, it says so, the first ends without a word, and nobody hangs."""
    ended = together(workspace, config, tmp_path / "two", fault="memory")
    assert [code for code, _, _ in ended] == [1, 1], ended
    assert "memory ran out" in ended[1][1] and "error" not in ended[0][1] and "Traceback" not in ended[0][2]


def test_a_signal_to_one_process_stops_all_at_one_step(workspace, config, tmp_path, together):
    """SIGTERM to the second process: all stop after the same step with a checkpoint, and the run goes on to the same weights."""
    ended = together(workspace, config, tmp_path / "two", fault="signal")
    assert [code for code, _, _ in ended] == [130, 130], ended
    assert "stopped" in ended[0][1] and "stopped" not in ended[1][1]
    ended = together(workspace, config, tmp_path / "two", fault="resume")
    assert [code for code, _, _ in ended] == [0, 0], ended
    pretrain(workspace, config, device="cpu", out=tmp_path / "one")
    assert_alike(tmp_path / "one", tmp_path / "two")


def test_one_process_teaches_and_all_learn_the_same(half_labelled, tmp_path, together):
    """Its answers are those of a run of one process, as is what is learned; after a kill they are read, and the bytes are
    those of a run that was left alone. A teacher that fails speaks for all."""
    learn = ("train.max_steps=8", "train.checkpoint_every=3", "train.validate_every=4", "train.threads=1",
             "train.accumulate_tokens=1000", "objective.label.self_training.weight=0.5")  # fmt: skip
    one = finetune(half_labelled, "half", "base", settings=learn, device="cpu", out=tmp_path / "one").run

    def two(name, fault="none"):
        return together(half_labelled, PretrainConfig(), tmp_path / name, fault, "half", "base", *learn)

    ended = two("two")
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert [said.splitlines().count("teaches") for _, said, _ in ended] == [1, 0]
    assert (one / TEACHER).read_bytes() == (tmp_path / "two" / TEACHER).read_bytes()
    assert_alike(one, tmp_path / "two")
    ended = two("killed", "kill")
    assert ended[1][0] == -9 and ended[0][0] == 1 and (tmp_path / "killed" / "checkpoints" / "step-000003").is_dir()
    ended = two("killed", "resume")
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert not any("teaches" in said.splitlines() for _, said, _ in ended)
    for name in ("model.safetensors", TEACHER):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    ended = two("ill", "teacher")
    assert [code for code, _, _ in ended] == [1, 1] and "the teacher: is ill" in ended[0][1], ended
    assert "error" not in ended[1][1] + ended[1][2] and not (tmp_path / "ill").exists()
