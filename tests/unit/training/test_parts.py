"""Device, precision, threads, optimizer, schedule, metrics file and checkpoint folder, each by itself."""

from __future__ import annotations

import errno
import json
import math
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributed.run import parse_args

from tawt import files
from tawt.batching.source import Source
from tawt.config.train import TrainConfig
from tawt.errors import CheckpointError, ConfigError, DeviceError
from tawt.shell import command
from tawt.training import checkpoint, device
from tawt.training.checkpoint import (
    Checkpoint,
    CheckpointState,
    full_weights,
    latest_checkpoint,
    load_optimizer,
    load_weights,
    save_checkpoint,
    write_tensors,
)
from tawt.training.choices import choose_compile, loader_config, static_step
from tawt.training.device import MOST_THREADS, choose_compute
from tawt.training.distributed import World
from tawt.training.folder import note_other_compute, resume_command
from tawt.training.gradient_cache import shares
from tawt.training.metrics import MetricsFile, read_metrics
from tawt.training.optim import learning_rate, make_optimizer
from tawt.training.settle import outdated_checkpoints, remove_checkpoint
from tawt.training.watch import not_finite


@pytest.fixture(autouse=True)
def one_thread():
    """Leave torch with one thread, whatever a test chose."""
    yield
    torch.set_num_threads(1)


def test_cuda_that_is_not_there_is_one_clear_error(monkeypatch):
    """Asking for CUDA without a device says what torch finds and what to type instead."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="finds no CUDA device") as error:
        choose_compute("cuda")
    assert "--device cpu" in error.value.hint and error.value.exit_code == 1
    assert choose_compute("auto").device.type == "cpu"


def test_an_unknown_device_is_an_error_of_use():
    """A device that is no device is refused as a wrong option."""
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda"):
        choose_compute("gpu")


def test_choices_come_with_reasons():
    """Threads and precision are set as asked, and each choice has its reason."""
    asked = choose_compute("cpu", "bf16", 2)
    assert (asked.precision, asked.threads, torch.get_num_threads()) == ("bf16", 2, 2)
    assert set(asked.reasons.values()) == {"asked for"}
    chosen = choose_compute("cpu")
    assert chosen.precision == "fp32" and 1 <= chosen.threads <= MOST_THREADS
    assert chosen.reasons["threads"].startswith("rule") and chosen.reasons["precision"].startswith("auto")


def test_threads_that_would_spin_are_not_started(monkeypatch):
    """One thread where waiting threads spin, one per usable CPU up to a limit where they sleep, whatever torch had before."""
    monkeypatch.setattr(device, "usable_cpus", lambda: 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert choose_compute("cpu").threads == MOST_THREADS
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)  # a command run in this process may have set it
    chosen = choose_compute("cpu")
    assert chosen.threads == torch.get_num_threads() == 1
    assert "GOMP_SPINCOUNT" in chosen.reasons["threads"]


def test_only_matrices_decay():
    """Weights of linear layers decay; biases, norms, single vectors and embedding tables do not; no parameter is lost."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.linear, self.norm = nn.Embedding(3, 4), nn.Linear(4, 4), nn.LayerNorm(4)
            self.vector = nn.Parameter(torch.zeros(4))

    net = Net()
    decays, keeps = make_optimizer(net, TrainConfig(weight_decay=0.3)).param_groups
    assert [p.shape for p in decays["params"]] == [net.linear.weight.shape] and decays["weight_decay"] == 0.3
    assert len(keeps["params"]) == 5 and keeps["weight_decay"] == 0


def test_the_rate_rises_falls_and_ends_at_its_share():
    """Warm-up ends at the highest rate, the cosine at `min_lr` of it; a short run shortens its warm-up to a tenth."""
    config = TrainConfig(max_steps=100, warmup_steps=10, lr=2.0, min_lr=0.1)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.2) and rates[9] == rates[10] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] == pytest.approx(0.2)
    assert learning_rate(2, TrainConfig(max_steps=20, warmup_steps=10, lr=2.0)) == 2.0
    assert learning_rate(0, TrainConfig(max_steps=1, lr=2.0)) == 2.0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", lambda step: 2.0 - 1.8 * (step - 10) / 89),
        ("inverse_sqrt", lambda step: max(0.2, 2.0 * math.sqrt(10 / (step + 1)))),
        ("constant", lambda step: 2.0),
        ("cosine", lambda step: 0.2 + 0.9 * (1 + math.cos(math.pi * (step - 10) / 89))),
    ],
)
def test_schedules_have_their_closed_forms(schedule, expected):
    """After the warm-up each schedule follows its formula, and none jumps where the warm-up ends."""
    config = TrainConfig(max_steps=100, warmup_steps=10, lr=2.0, min_lr=0.1, schedule=schedule)
    for step in range(10, 100):
        assert learning_rate(step, config) == pytest.approx(expected(step)), step
    assert learning_rate(9, config) == 2.0 and learning_rate(10, config) > 1.85


def test_inverse_sqrt_stops_falling_at_the_least_rate():
    """Far from the warm-up, `inverse_sqrt` stays at `min_lr`."""
    config = TrainConfig(max_steps=10_000, warmup_steps=10, lr=1.0, min_lr=0.1, schedule="inverse_sqrt")
    assert learning_rate(9_999, config) == 0.1 < learning_rate(500, config)


def test_metrics_after_the_checkpoint_are_cut(tmp_path):
    """Opening with a last step drops later lines and a torn one, and keeps the rest as it was."""
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(f'{{"step": {i}, "split": "train", "loss": 0.{i}}}\n' for i in (1, 2, 3)) + '{"step": 4, "lo'
    )
    file = MetricsFile(path, 2)
    file.write({"step": 3, "split": "train", "loss": 0.4})
    file.close()
    assert [line["loss"] for line in read_metrics(path)] == [0.1, 0.2, 0.4]
    assert path.read_text().count("\n") == 3


def net_and_optimizer():
    """A net after one step."""
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    optimizer = make_optimizer(net, TrainConfig())
    net(torch.ones(3)).sum().backward()
    optimizer.step()
    return net, optimizer


def state_of(step: int) -> CheckpointState:
    """What is said of a checkpoint, all but its step."""
    return CheckpointState(
        step=step, config={"train": {"max_steps": 9}}, vocabulary="v", dataset="d", seed=0, threads=1, precision="fp32", processes=1,
        batches_per_step=1,
    )  # fmt: skip


def saved(run, net, optimizer, step):
    """A checkpoint, and those that are outdated by it gone, but for one."""
    save_checkpoint(run, net, optimizer, state_of(step))
    for folder in outdated_checkpoints(run, step, 2):
        remove_checkpoint(folder)


def test_a_checkpoint_gives_back_weights_and_moments(tmp_path):
    """Saved and loaded, weights and optimizer state are equal to the last bit, and the next step too."""
    net, optimizer = net_and_optimizer()
    save_checkpoint(tmp_path, net, optimizer, state_of(1))
    other = nn.Linear(3, 2)
    its = make_optimizer(other, TrainConfig())
    found = latest_checkpoint(tmp_path)
    load_weights(other, found.folder / "model.safetensors")
    load_optimizer(found, other, its)
    assert found.step == 1 and torch.equal(net.weight, other.weight)
    for n, o in ((net, optimizer), (other, its)):
        n.zero_grad()
        n(torch.ones(3)).square().sum().backward()
        o.step()
    assert torch.equal(net.weight, other.weight) and torch.equal(net.bias, other.bias)


def test_the_newest_checkpoints_are_kept(tmp_path):
    """Only the newest `keep` folders stay, `latest` names the last, and nothing written aside is left."""
    net, optimizer = net_and_optimizer()
    for step in (10, 20, 30):
        saved(tmp_path, net, optimizer, step)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["latest", "step-000020", "step-000030"]
    assert latest_checkpoint(tmp_path).step == 30
    assert {p.name for p in (tmp_path / "checkpoints" / "step-000030").iterdir()} == {
        "files.json", "model.safetensors", "optimizer.safetensors", "state.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "stay"),
    [
        ((999_800, 1_000_000), ["step-1000000", "step-999800"]),
        ((40, 60, 50), ["step-000040", "step-000050"]),  # taken up again at 40: 60 is of what was given up
        ((80, 65), ["step-000065"]),
    ],
)
def test_the_checkpoint_just_written_stays(tmp_path, steps, stay):
    """Checkpoints are counted by step, not by name, and those beyond the one just written go before it."""
    net, optimizer = net_and_optimizer()
    for step in steps:
        saved(tmp_path, net, optimizer, step)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("step-*")) == stay
    assert latest_checkpoint(tmp_path).step == steps[-1]


def test_a_printed_command_can_be_pasted(tmp_path):
    """Words with blanks or brackets are quoted in the line that resumes a run."""
    said = resume_command(tmp_path / "my ws", "pretrain_demo", ["train.betas=[0.9, 0.95]"], "cpu", None)
    assert shlex.split(said) == [
        "tawt", "pretrain", "-w", str(tmp_path / "my ws"), "--config", "pretrain_demo", "--device", "cpu", "--set",
        "train.betas=[0.9, 0.95]", "--resume",
    ]  # fmt: skip


def test_blocks_are_compiled_where_that_can_help(config):
    """On CUDA with a kernel of CUDA; never around loops that differ by batch, not even where it is asked for."""
    cuda = replace(choose_compute("cpu"), device=torch.device("cuda"))
    assert choose_compile(config, cuda, World(), "flex")[0] and choose_compile(config, cuda, World(), "varlen")[0]
    for kernel in ("packed", "reference"):
        compiled, reason = choose_compile(config, cuda, World(), kernel)
        assert not compiled and kernel in reason
        asked = config.model_copy(update={"train": config.train.model_copy(update={"compile": "on"})})
        with pytest.raises(ConfigError, match="loops follow each batch's documents"):
            choose_compile(asked, cuda, World(), kernel)
    fsdp = config.model_copy(update={"train": config.train.model_copy(update={"parallel": "fsdp"})})
    assert not choose_compile(fsdp, cuda, World(size=2), "flex")[0]


def test_the_line_that_resumes_starts_the_same_processes(tmp_path, monkeypatch):
    """Under torchrun the printed command starts as many processes, on as many machines."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    said = resume_command(tmp_path, "pretrain_small", (), "cuda", None)
    assert said == f"torchrun --nproc-per-node 8 -m -- tawt pretrain -w {tmp_path} --device cuda --resume"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert resume_command(tmp_path, "pretrain_small", (), "cuda", None).startswith(
        "torchrun --nnodes 2 --nproc-per-node 4 -m -- tawt pretrain"
    )


def test_torchrun_takes_no_option_of_a_printed_command_for_its_own(monkeypatch):
    """What it reads of the line is the number of processes; all behind `tawt` is ours, `--run` too, which it has in longer."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    words = shlex.split(command("finetune", "death", workspace="w", run="pairs"))[1:]
    read = parse_args(words)
    assert (read.nproc_per_node, read.module, read.training_script) == ("2", True, "tawt")
    assert read.training_script_args == words[-6:] == ["finetune", "death", "-w", "w", "--run", "pairs"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, -0.1)},
        {"seed": 2**63},
        {"threads": 100_000},
        {"accumulate_tokens": 2**40},
    ],
)
def test_what_torch_could_not_bear_is_refused(wrong):
    """Decay rates outside [0, 1), a seed beyond 63 bits, and sizes that no machine has are errors of the config."""
    with pytest.raises(ValueError, match=r"should be (less|greater) than"):
        TrainConfig(**wrong)


def test_a_file_that_cannot_be_written_says_what_the_system_said(tmp_path):
    """Where the disk is full, the error is the system's own with the file's name, and nothing takes the file's place."""
    write_tensors(full_weights(nn.Linear(2, 2)), tmp_path / "w")
    before = (tmp_path / "w").read_bytes()
    script = (
        "import resource, sys, torch; from pathlib import Path; from tawt.training.checkpoint import write_tensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try: write_tensors({'w': torch.zeros(100_000)}, Path(sys.argv[1]))\n"
        "except OSError as error: print(error.errno, error.filename)"
    )
    ended = subprocess.run([sys.executable, "-c", script, tmp_path / "w"], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(errno.EFBIG), str(tmp_path / "w")]
    assert (tmp_path / "w").read_bytes() == before


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_no_setting_is_infinite(key):
    """A learning rate or decay that is not finite is refused, not trained with."""
    for value in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite"):
            TrainConfig(**{key: value})


def test_a_broken_projection_blames_its_own_batch_alone():
    """Where the contrastive loss is not finite, the batches tell it whose projections are not."""
    good, bad = torch.ones(2, 3), torch.full((2, 3), torch.nan)
    told = shares(torch.tensor(torch.nan), [good, bad, good], [good, bad, good], first=True)
    assert [bool(share.isfinite()) for share in told] == [True, False, True]
    told = shares(torch.tensor(2.5), [good, good], [good, good], first=True)
    assert [float(share) for share in told] == [2.5, 0.0]
    told = shares(torch.tensor(2.5), [good, good], [good, good], first=False)
    assert [float(share) for share in told] == [0.0, 0.0]


def test_a_checkpoint_without_its_name_in_latest_is_written_anew(tmp_path):
    """A folder left by a kill before `latest` was written, or half written aside, does not stop the next save."""
    net, optimizer = net_and_optimizer()
    root = tmp_path / "checkpoints"
    (root / "step-000010").mkdir(parents=True)
    (root / "step-000010" / "state.json").write_text("{}")
    (root / ".step-000010.tmp").mkdir()
    save_checkpoint(tmp_path, net, optimizer, state_of(10))
    assert latest_checkpoint(tmp_path).step == 10
    assert sorted(p.name for p in root.iterdir()) == ["latest", "step-000010"]


@pytest.mark.parametrize("side", ["before it is published", "after it is published", "after latest"])
def test_latest_names_a_whole_checkpoint_whenever_a_kill_comes(tmp_path, monkeypatch, side):
    """A kill on either side of the publishing leaves a `latest` that names a checkpoint with all its files."""
    net, optimizer = net_and_optimizer()
    save_checkpoint(tmp_path, net, optimizer, state_of(1))
    publish, write_text = files.publish, checkpoint.write_text

    def cut(*args):
        if side != "before it is published":
            publish(*args)
        if side != "after latest":
            raise RuntimeError("killed")

    def named(path, text):
        write_text(path, text)
        raise RuntimeError("killed")

    monkeypatch.setattr(files, "publish", cut)
    monkeypatch.setattr(checkpoint, "write_text", named)
    with pytest.raises(RuntimeError, match="killed"):
        save_checkpoint(tmp_path, net, optimizer, state_of(2))
    found = latest_checkpoint(tmp_path)
    assert found.step == (2 if side == "after latest" else 1)
    load_weights(nn.Linear(3, 2), found.folder / "model.safetensors")
    load_optimizer(found, net, make_optimizer(net, TrainConfig()))


def test_equal_weights_are_equal_bytes(tmp_path):
    """Files hold nothing but the weights: no times, no order of insertion."""
    weights = full_weights(net_and_optimizer()[0])
    write_tensors(weights, tmp_path / "a")
    write_tensors(dict(reversed(weights.items())), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    header = (tmp_path / "a").read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert set(json.loads(header[8 : 8 + size])) == {"weight", "bias"}


@pytest.mark.parametrize("other", [nn.Linear(3, 3), nn.Linear(3, 2, bias=False), nn.Bilinear(3, 3, 2)])
def test_weights_of_another_model_are_refused(tmp_path, other):
    """Another shape, an unexpected or a missing weight is an error that names it, and nothing is loaded."""
    net, _ = net_and_optimizer()
    write_tensors(full_weights(net), tmp_path / "w")
    with pytest.raises(CheckpointError, match="tensor `"):
        load_weights(other, tmp_path / "w")


@pytest.mark.parametrize(
    "line",
    [
        {"step": -1}, {"step": 10**10}, {"step": 1.0}, {"step": True}, {"step": None}, {"loss": None}, {"split": "held_out"},
        {"n_value": "9"}, {"loss_value": []}, {"loss_value": None}, {"loss": 10**400}, {"seconds": 2**64},
    ],
)  # fmt: skip
def test_a_line_that_is_none_of_metrics_is_named(line, tmp_path):
    """By its number, where a step is none, a loss is absent, a split is none that is logged, or a number is a text."""
    path, good = tmp_path / "metrics.jsonl", {"step": 1, "split": "train", "loss": 0.5}
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | line) + "\n")
    with pytest.raises(CheckpointError, match="expected a line of metrics") as error:
        read_metrics(path)
    assert error.value.where == f"{path}:2"


def test_two_views_may_fill_a_batch(config):
    """With the contrastive objective a longest document of just half the budget is welcome, and one token more is not."""
    twice = config.objective.model_copy(
        update={"contrastive": config.objective.contrastive.model_copy(update={"weight": 1})}
    )
    for longest, fits in ((256, True), (257, False)):
        batching = config.batching.model_copy(update={"tokens_per_batch": 512, "max_length": longest})
        asked = config.model_copy(update={"objective": twice, "batching": batching})
        if fits:
            assert [loader_config(asked, training).tokens_per_batch for training in (True, False)] == [512, 256]
        else:
            with pytest.raises(ConfigError, match="expected at most 256"):
                loader_config(asked, True)


def test_a_gpu_without_bf16_has_fp16(monkeypatch):
    """By itself with a loss scaler; bf16 that is asked for is refused, and nothing imitates it."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old one")
    old = torch.device("cuda")
    assert [device._dtype(asked, old)[0] for asked in ("auto", "fp16", "fp32")] == [torch.float16] * 2 + [torch.float32]
    with pytest.raises(DeviceError, match="an old one has no bf16") as error:
        device._dtype("bf16", old)
    assert "`--set train.precision=fp16`" in error.value.hint


@pytest.mark.parametrize("budget", [64, 1024, 1025, 1032, 5000, 65_536])
def test_few_lengths_cover_the_budget(config, budget):
    """Eight shapes at most, of whole blocks of 128, and no longer than it takes."""
    batching = config.batching.model_copy(update={"tokens_per_batch": budget})
    enough = next(step for step in range(128, 10**6, 128) if 8 * step >= budget)
    assert static_step(config.model_copy(update={"batching": batching})) == enough


def test_what_makes_the_rest_of_a_run_another_one_is_told(tmp_path):
    """Threads, precision and processes that are not those of the checkpoint are named, each with what it was."""
    now = choose_compute("cpu", "fp32", 1)
    made = CheckpointState(
        config={"train": {"max_steps": 9}},
        vocabulary="",
        dataset="",
        seed=0,
        threads=2,
        precision="bf16",
        processes=1,
        batches_per_step=1,
    )
    said: list[str] = []
    for state in (made, made.model_copy(update={"threads": 1, "precision": "fp32"})):
        note_other_compute(Checkpoint(tmp_path, state), now, 1, lambda event: said.append(event["text"]))
    rest = "what follows is equal but for rounding"
    assert said == [f"threads was 2 and is 1: {rest}", f"precision was bf16 and is fp32: {rest}"]


@pytest.mark.parametrize(("n", "end"), [(1, "batch 0 (rows)"), (3, "batch 2 (rows)"), (5, "batch 2 (rows) and 2 more")])
def test_a_few_of_the_batches_at_fault_are_named(n, end):
    """Of many three, and how many more there are."""
    source = Source((), (), ("train/0.arrow", 4, 4))
    error = not_finite(7, "the loss", range(n), lambda number: source)
    assert f"{end}; the weights were not changed" in str(error).replace(str(source), "rows")
