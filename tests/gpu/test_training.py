"""Training on a device: the same loss curve as on CPU, number formats, resuming, a stop at what is not finite.

Each test runs on CPU as well, where it holds the test itself to what is known.
"""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
import shards

from tawt.commands.pretrain import pretrain
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.errors import TrainingError
from tawt.training.checkpoint import read_tensors
from tawt.training.metrics import read_metrics

DEVICES = pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu), "cpu"])
STEPS = 8


def _config(**train) -> PretrainConfig:
    settings = {"max_steps": STEPS, "threads": 1, "validate_every": 4, "validate_batches": 2, "checkpoint_every": 4}
    return PretrainConfig(
        model=ModelConfig(d_model=64, n_layers=2, n_heads=4, d_ffn=64, dropout=0.0),
        batching=BatchingConfig(tokens_per_batch=512, max_length=128),
        train=TrainConfig(**{**settings, "lr": 3e-3, "warmup_steps": 1, **train}),
    )


def _curve(run) -> np.ndarray:
    return np.array([line["loss"] for line in read_metrics(run / "metrics.jsonl") if line["split"] == "train"])


@DEVICES
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-3), ("bf16", 5e-2), ("fp16", 1e-2)])
def test_the_loss_curve_is_that_of_the_host(tmp_path, workspace, device, precision, tolerance):
    """Over some steps the loss is that of fp32 on CPU: to TF32's rounding in fp32, to their own in bf16 and fp16."""
    if device == "cuda" and precision == "bf16":
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            pytest.skip("the device has no bf16")
    pretrain(workspace, _config(precision="fp32"), device="cpu", out=tmp_path / "host")
    pretrain(workspace, _config(precision=precision), device=device, out=tmp_path / "there")
    host, there = _curve(tmp_path / "host"), _curve(tmp_path / "there")
    assert len(host) == STEPS
    assert np.abs(there / host - 1).max() < tolerance
    if precision == "fp16":
        lines = [line for line in read_metrics(tmp_path / "there" / "metrics.jsonl") if line["split"] == "train"]
        assert all(line["scale"] >= 1 for line in lines) and lines[-1]["skipped"] < STEPS


@DEVICES
def test_the_seconds_of_steps_are_those_that_passed(tmp_path, workspace, device):
    """Every step took some time, and all of them together no more than the whole command."""
    began = time.perf_counter()
    run = pretrain(workspace, _config(), device=device, out=tmp_path / "run").run
    whole = time.perf_counter() - began
    seconds = [line["seconds"] for line in read_metrics(run / "metrics.jsonl") if line["split"] == "train"]
    assert len(seconds) == STEPS and min(seconds) > 0 and sum(seconds) <= whole


@DEVICES
def test_a_resumed_run_goes_on(tmp_path, workspace, device):
    """From its first checkpoint a run ends where it ended before: bit-equal on CPU, to rounding on CUDA."""
    whole, again = tmp_path / "whole", tmp_path / "again"
    pretrain(workspace, _config(), device=device, out=whole)
    shutil.copytree(whole, again)
    shutil.rmtree(again / "checkpoints" / f"step-{STEPS:06d}")
    (again / "checkpoints" / "latest").write_text("step-000004\n")
    (again / "model.safetensors").unlink()
    result = pretrain(workspace, _config(), device=device, out=again, resume=True)
    assert result.plan.start_step == 4
    tolerance = 0.0 if device == "cpu" else 2e-2
    np.testing.assert_allclose(_curve(again), _curve(whole), rtol=tolerance)
    before, after = read_tensors(whole / "model.safetensors"), read_tensors(again / "model.safetensors")
    for name, tensor in before.items():
        assert float((after[name] - tensor).norm()) <= tolerance * float(tensor.norm()), name


@DEVICES
def test_a_value_that_is_no_number_stops_the_run(tmp_path, device):
    """A NaN in a shard ends the run with its step and rows; the weights are those of the step before."""
    made = shards.write_dataset(tmp_path / "w", {"train": [60]}, max_static=2)
    columns, index = made["train"][0]
    numeric = np.flatnonzero(columns["value_status"] == shards.NUMERIC)
    columns["value"] = columns["value"].copy()
    columns["value"][numeric[len(numeric) // 2 :][:40]] = np.nan
    entry = shards.write_shard(tmp_path / "w" / "dataset" / "train", "00000", columns, index)
    sha = shards.write_vocabulary(tmp_path / "w")
    shards.write_manifest(tmp_path / "w", sha, {"train": [entry]})
    config = _config(validate_every=0, checkpoint_every=1, keep_checkpoints=100)
    with pytest.raises(TrainingError, match=r"not a number in 00000.arrow row") as stopped:
        pretrain(tmp_path / "w", config, device=device, out=tmp_path / "run")
    step = int(str(stopped.value).partition("step ")[2].split()[0].strip(":"))
    for folder in (tmp_path / "run" / "checkpoints").glob("step-*"):
        assert all(tensor.isfinite().all() for tensor in read_tensors(folder / "model.safetensors").values())
        assert int(folder.name.removeprefix("step-")) < step
