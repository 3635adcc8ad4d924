"""The loop: it learns, accumulates exactly, validates on the same masks and stops at what is not finite."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.batching.masking import TRAINING, draw_masks, hide, may_lose
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import TrainingError
from tawt.models.build import build_model
from tawt.objectives.masked import PARTS, loss_sums, make_targets, weights
from tawt.tasks.pretrain import pretrain
from tawt.training import loop
from tawt.training.metrics import read_metrics


def plant_structure(workspace, shards) -> None:
    """Write a dataset where the gap before an event tells its data_type, and a subject's number is the same everywhere."""
    rng = np.random.default_rng(0)
    sha, entries, first = shards.write_vocabulary(workspace, n_types=5), {}, 0
    for split, n_subjects in (("train", 60), ("tuning", 15)):
        lengths = rng.integers(20, 60, n_subjects)
        columns, index = shards.invent(rng, first + np.arange(n_subjects), lengths, np.zeros(n_subjects), n_types=5)
        first += n_subjects
        owner = np.repeat(np.arange(n_subjects), lengths)
        family = rng.choice([0, 2, 3], len(owner))
        clock = np.cumsum(np.array([1, 4, 16, 64])[family]) * shards.US_PER_HOUR
        start = np.concatenate([[0], clock])[index["start"]]
        numeric = family != 2
        number = np.where(numeric, rng.choice([-1.0, 1.0], n_subjects)[owner], 0.0)
        bins = 1 + np.searchsorted(shards.EDGES, number, side="right")
        columns |= {
            "data_type": (family + 4).astype(np.int32),
            "timestamp": clock - start[owner],
            "value": number.astype(np.float32),
            "value_status": np.where(numeric, shards.NUMERIC, shards.CATEGORY).astype(np.uint8),
            "value_token": np.where(numeric, bins, 2 + owner % 2).astype(np.int32),
        }
        entries[split] = [shards.write_shard(workspace / "dataset" / split, "00000", columns, index)]
    shards.write_manifest(workspace, sha, entries)


def test_the_loss_falls_below_its_trivial_baseline(tmp_path, shards):
    """On records with a planted rule, unseen subjects' types, numbers and categories are predicted far better than trivially."""
    plant_structure(tmp_path, shards)
    config = PretrainConfig(
        model=ModelConfig(d_model=32, n_layers=2, n_heads=4, d_ffn=64, dropout=0.0),
        batching=BatchingConfig(tokens_per_batch=1024, max_length=64),
        train=TrainConfig(max_steps=150, lr=3e-3, validate_every=150, threads=1),
    )
    result = pretrain(tmp_path, config, device="cpu")
    line = result.metrics["tuning"]
    for part in ("data_type", "value", "category"):
        assert line[f"n_{part}"] > 20
        assert line[f"loss_{part}"] < 0.5 * line[f"baseline_{part}"], part
    assert line["loss"] < 0.5 * line["baseline"]
    lines = [x for x in read_metrics(result.run / "metrics.jsonl") if x["split"] == "train"]
    assert [x["step"] for x in lines] == list(range(1, 151))
    assert lines[0]["loss"] == pytest.approx(lines[0]["baseline"], rel=0.2), "it does not start at the baseline"


def trainer(workspace, config, monkeypatch):
    """A Trainer that has not made a step yet."""
    made = []
    monkeypatch.setattr(loop.Trainer, "fit", lambda self, start: made.append(self) or {})
    pretrain(workspace, config, device="cpu", out=workspace / "runs" / "caught")
    monkeypatch.undo()
    return made[0]


def test_accumulated_gradient_is_that_of_one_big_batch(workspace, config, monkeypatch):
    """The gradient over several packed batches equals that of their tokens in one batch, though each has other counts of targets."""
    config = config.model_copy(update={"model": config.model.model_copy(update={"dropout": 0.0})})
    run = trainer(workspace, config, monkeypatch)
    k = loop.batches_per_step(config)
    assert k == 2
    parts = [run._prepare(run.train.batch(i), TRAINING, 0, i) for i in range(k)]
    seen = {}
    monkeypatch.setattr(run.optimizer, "step", lambda: None)
    monkeypatch.setattr(torch.nn.utils, "clip_grads_with_norm_", lambda *a: None)
    run._step(0, parts)
    for name, p in run.model.named_parameters():
        seen[name] = p.grad.clone() if p.grad is not None else None
    counts = [targets.counts() for _, targets in parts]
    assert counts[0] != counts[1]
    run.model.zero_grad()
    total = {part: sum(c[part] for c in counts) for part in PARTS}
    sums = [loss_sums(run.model, run.model.encoder(batch), targets) for batch, targets in parts]
    weight = weights(config.objective)
    mean = sum(weight[part] * sum(s[part] for s in sums) / total[part] for part in PARTS)
    mean.backward()
    for name, p in run.model.named_parameters():
        if p.grad is not None:
            assert torch.allclose(seen[name], p.grad, atol=1e-6, rtol=1e-4), name


def test_one_document_per_batch_gives_the_gradient_of_the_packed_batch(workspace):
    """Documents fed one at a time with sums over all targets give the packed batch's gradient."""
    dataset = open_dataset(workspace)
    vocabulary = dataset.vocabulary
    batching = BatchingConfig(tokens_per_batch=600, max_length=100)
    batch = PackedLoader(dataset.split("train"), vocabulary, batching, 0).batch(0)
    objective = PretrainConfig().objective
    model = build_model(ModelConfig(d_model=16, n_layers=2, n_heads=2, d_ffn=16), vocabulary, 0).eval()
    masks = draw_masks(batch, objective, may_lose(vocabulary), TRAINING, 0, 0)
    hidden, targets = hide(batch, masks), make_targets(batch, masks, vocabulary, objective)
    sum(loss_sums(model, model.encoder(hidden), targets).values()).backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    from dataclasses import fields, replace

    states = []
    for a, b in zip(batch.cu_seqlens[:-1].tolist(), batch.cu_seqlens[1:].tolist(), strict=True):
        cut = {
            f.name: getattr(hidden, f.name)[a:b]
            for f in fields(hidden)
            if isinstance(getattr(hidden, f.name), torch.Tensor) and len(getattr(hidden, f.name)) == batch.n_tokens
        }
        states.append(model.encoder(replace(hidden, **cut, cu_seqlens=torch.tensor([0, b - a]), max_seqlen=b - a)))
    sum(loss_sums(model, torch.cat(states), targets).values()).backward()
    scale = max(float(g.abs().max()) for g in packed.values())
    for name, p in model.named_parameters():
        if p.grad is not None:
            assert torch.allclose(packed[name], p.grad, atol=1e-5 * scale, rtol=1e-3), name


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run(workspace, config, tmp_path, monkeypatch, part):
    """A NaN in one part of the loss, or in a gradient alone, ends the run with the step and the part, before the weights change."""
    real = loop.loss_sums

    def broken(model, states, targets):
        sums = real(model, states, targets)
        if broken.left == 0:
            if part == "loss":
                sums["value"] = sums["value"] * float("nan")
            else:
                model.heads.number.weight.register_hook(lambda grad: grad * float("inf"))
        broken.left -= 1
        return sums

    broken.left = 4  # two batches a step: the third step
    monkeypatch.setattr(loop, "loss_sums", broken)
    with pytest.raises(TrainingError, match="not finite") as error:
        pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    assert error.value.where == "step 3"
    assert ("`value`" if part == "loss" else "`heads.number.weight`") in error.value.what
    assert not (tmp_path / "a" / "model.safetensors").exists()


def test_validation_is_the_same_each_time(workspace, config, monkeypatch):
    """Validating twice gives the same numbers, whatever was drawn in between, and leaves no gradient."""
    run = trainer(workspace, config, monkeypatch)
    first = run.validate(1)
    torch.rand(7)
    second = run.validate(1)
    assert first == second and first["split"] == "tuning" and first["n_value"] > 0
    assert all(p.grad is None for p in run.model.parameters())


def test_no_operator_may_add_in_the_order_of_its_threads(workspace, config, tmp_path, monkeypatch):
    """A step runs under torch's deterministic algorithms on CPU, and the setting of the process is as before afterwards."""
    seen = []
    real = loop.Trainer._step

    def look(self, *args):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return real(self, *args)

    monkeypatch.setattr(loop.Trainer, "_step", look)
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    assert seen == [True] * 12 and not torch.are_deterministic_algorithms_enabled()


def test_two_threads_repeat_themselves(workspace, config, tmp_path, with_train):
    """Two runs with two threads end in the same bytes."""
    runs = [tmp_path / "a", tmp_path / "b"]
    for run in runs:
        pretrain(workspace, with_train(config, threads=2, max_steps=6), device="cpu", out=run)
    torch.set_num_threads(1)
    assert (runs[0] / "model.safetensors").read_bytes() == (runs[1] / "model.safetensors").read_bytes()


def test_bf16_trains(workspace, config, tmp_path, with_train):
    """Autocast to bf16 on CPU starts from a loss close to that of float32."""
    firsts = []
    for precision in ("fp32", "bf16"):
        changed = with_train(config, precision=precision, max_steps=3)
        pretrain(workspace, changed, device="cpu", out=tmp_path / precision)
        firsts.append(read_metrics(tmp_path / precision / "metrics.jsonl")[0]["loss"])
    assert firsts[0] != firsts[1]
    assert firsts[0] == pytest.approx(firsts[1], rel=0.02)


def test_the_trainer_imports_neither_duckdb_nor_polars():
    """Importing pretrain and embed loads no duckdb, polars or pipeline module."""
    code = (
        "import sys, tawt.tasks.pretrain, tawt.tasks.embed; "
        "print([m for m in sys.modules if m.split('.')[0] in ('duckdb', 'polars') or m.startswith(('tawt.pipeline', 'tawt.transforms'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
