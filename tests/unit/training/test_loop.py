"""The loop: it learns, accumulates exactly, validates on the same masks and stops at what is not finite."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from tawt.commands.pretrain import pretrain
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.objective import ContrastiveConfig, ForecastConfig, ObjectiveConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.errors import TrainingError
from tawt.files import write_sealed
from tawt.objectives.contrastive import info_nce
from tawt.objectives.parts import weights
from tawt.training import loop, scaler, watch
from tawt.training.checkpoint import ScalerState
from tawt.training.metrics import MetricsFile, read_metrics


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
    monkeypatch.setattr(loop.Trainer, "fit", lambda self: made.append(self) or {})
    pretrain(workspace, config, device="cpu", out=workspace / "runs" / "caught")
    monkeypatch.undo()
    made[0].metrics = MetricsFile(workspace / "scratch.jsonl", 0)
    return made[0]


ALL = ObjectiveConfig(forecast=ForecastConfig(weight=1.0), contrastive=ContrastiveConfig(weight=0.5))


@pytest.mark.parametrize("objective", [ObjectiveConfig(), ALL], ids=["masked", "all"])
def test_accumulated_gradient_is_that_of_one_big_batch(workspace, config, monkeypatch, objective):
    """The gradient over several packed batches is that of the mean over all their positions, each with other counts, and of
    InfoNCE among the documents of all of them, found here by autograd through everything at once."""
    model = config.model.model_copy(update={"dropout": 0.0})
    run = trainer(workspace, config.model_copy(update={"model": model, "objective": objective}), monkeypatch)
    k = run.setup.batches_per_step
    assert k == 2
    examples = [run.setup.prepare[0](run.setup.train.batch(i), i) for i in range(k)]
    before = {name: p.detach().clone() for name, p in run.setup.model.named_parameters()}
    monkeypatch.setattr(run.stepper.optimizer, "step", lambda: None)
    run.config.__dict__["clip"] = 1e9
    counted = run.stepper.count(examples, False)
    results = run.stepper.step(0.0, examples, counted)
    seen = {name: p.grad.clone() for name, p in run.setup.model.named_parameters() if p.grad is not None}
    assert examples[0].counts != examples[1].counts
    run.setup.model.zero_grad()
    outs = [run.setup.model(example) for example in examples]
    weight = weights(objective)
    total = {part: sum(e.counts[part] for e in examples) for part in weight if part != "contrastive"}
    loss = sum(weight[part] * sum(out.sums[part] for out in outs) / n for part, n in total.items() if n)
    if "contrastive" in weight:
        documents = torch.cat([out.projection for out in outs])
        view_of = torch.cat([e.view_of for e in examples])
        loss = loss + weight["contrastive"] * info_nce(documents, view_of, 0.1) / len(view_of)
        assert counted.count["contrastive"] == len(view_of)
    loss.backward()
    for name, p in run.setup.model.named_parameters():
        assert torch.equal(p, before[name])
        if p.grad is not None:
            assert torch.allclose(seen[name], p.grad, atol=1e-6, rtol=1e-4), name
    sums, bad, rest = run.stepper.read(results.tolist())
    whole = sum(weight[part] * sums[part] / n for part, n in counted.count.items() if n)
    assert whole == pytest.approx(loss.item(), rel=1e-5) and not bad
    norm = torch.stack([p.grad.norm() for p in run.setup.model.parameters() if p.grad is not None]).norm()
    assert rest["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)


def plant_nan(workspace, row: int, split: str = "train", value: float = np.nan) -> int:
    """Overwrite a value in a mapped shard with NaN, or another number, as a broken writer would; return its row."""
    path = workspace / "dataset" / split / "00000.arrow"
    table = pa.ipc.open_file(path).read_all()
    status = np.asarray(table["value_status"])
    row = int(np.flatnonzero(status == 1)[row])
    data, listed = bytearray(path.read_bytes()), workspace / "dataset" / "dataset.json"
    before = hashlib.sha256(data).hexdigest()
    at = data.index(np.asarray(table["value"])[:64].tobytes())
    data[at + 4 * row : at + 4 * row + 4] = np.float32(value).tobytes()
    path.write_bytes(data)
    write_sealed(listed, json.loads(listed.read_text().replace(before, hashlib.sha256(data).hexdigest())))
    return row


def test_a_nan_in_a_shard_stops_with_its_place(workspace, config, tmp_path, with_train):
    """A value that is not a number ends the run with the step, the part, the batch, and the very row of the shard; no weights
    appear, and the checkpoint before it is as it was."""
    row = plant_nan(workspace, 100)
    with pytest.raises(TrainingError, match="not finite") as error:
        pretrain(workspace, with_train(config, checkpoint_every=1), device="cpu", out=tmp_path / "a")
    assert error.value.where.startswith("step ")
    assert "the loss part `" in error.value.what and f"not a number in 00000.arrow row {row})" in error.value.what
    assert "batch" in error.value.what and "weights were not changed" in error.value.what
    assert not (tmp_path / "a" / "model.safetensors").exists()
    lines = read_metrics(tmp_path / "a" / "metrics.jsonl")
    steps = int(error.value.where.split()[1])
    assert [x["step"] for x in lines if x["split"] == "train"] == list(range(1, steps))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_endless_number_stops_with_its_place(workspace, config, tmp_path, value):
    """So does an infinite one, also where numbers are predicted as ranks."""
    row = plant_nan(workspace, 100, value=value)
    settings = [
        "objective.masked.value_scale=rank",
        "objective.forecast.weight=1",
        "objective.forecast.value_scale=rank",
    ]
    with pytest.raises(TrainingError, match=rf"not a number in 00000.arrow row {row}\)"):
        pretrain(workspace, config, settings=settings, device="cpu", out=tmp_path / "a")


def test_a_nan_in_tuning_stops_with_its_place(workspace, config, tmp_path, with_train):
    """The same in `tuning` ends the run at its first validation, and says the split, the batch and the row."""
    row = plant_nan(workspace, 30, "tuning")
    with pytest.raises(TrainingError, match=r"step 5: the loss part `\w+` of tuning is not finite") as error:
        pretrain(workspace, with_train(config, checkpoint_every=5), device="cpu", out=tmp_path / "a")
    assert f"not a number in 00000.arrow row {row})" in error.value.what
    assert "no checkpoint was made of this step" in error.value.what
    assert not list((tmp_path / "a").glob("checkpoints/step-*"))


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_what_is_not_finite_changes_no_weight(workspace, config, monkeypatch, part):
    """A NaN weight makes the loss bad, an infinite gradient only itself: either way the step is named and nothing moves."""
    run = trainer(workspace, config, monkeypatch)
    examples = [run.setup.prepare[0](run.setup.train.batch(i), i) for i in range(2)]
    if part == "loss":
        with torch.no_grad():
            run.setup.model.heads.tokens.number.weight[0, 0] = float("nan")
    else:
        run.setup.model.heads.tokens.number.weight.register_hook(lambda grad: grad * float("inf"))
    before = {name: p.detach().clone() for name, p in run.setup.model.named_parameters()}
    run._began = 0.0
    with pytest.raises(TrainingError, match="not finite") as error:
        run._step(2, examples, False)
    assert error.value.where == "step 3" and "batch 4" in error.value.what
    assert ("loss part `value`" if part == "loss" else "`heads.tokens.number.weight`") in error.value.what
    # and no later step moves them either, though it is on its way already
    monkeypatch.setattr(run, "_check", lambda *a: None)
    run.setup.model.heads.tokens.number.weight._backward_hooks = None
    run.stepper.step(1.0, examples, run.stepper.count(examples, False))
    for name, p in run.setup.model.named_parameters():
        assert torch.equal(p.detach().nan_to_num(7), before[name].nan_to_num(7)), name


def test_results_that_come_later_are_all_written(workspace, config, tmp_path, monkeypatch):
    """With results read two steps late, as on CUDA, metrics, weights and the end are those of reading at once."""
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    real = watch.Delayed.__init__

    def late(self, device):
        real(self, device)
        self._lag = watch.LAG

    monkeypatch.setattr(watch.Delayed, "__init__", late)
    pretrain(workspace, config, device="cpu", out=tmp_path / "b")
    ours, theirs = (
        [
            {k: v for k, v in x.items() if k not in ("tokens_per_s", "seconds")}
            for x in read_metrics(tmp_path / r / "metrics.jsonl")
        ]
        for r in "ab"
    )
    assert ours == theirs
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_a_step_is_timed_where_it_is_made_and_not_where_its_results_are_read(monkeypatch):
    """Read three at once, as on CUDA behind a step that is compiled, each step has its own seconds."""
    now = [0.0]
    monkeypatch.setattr(watch.time, "perf_counter", lambda: now[0])
    pending = watch.Delayed(torch.device("cpu"))
    pending._lag = watch.LAG
    got = []
    for step, (before, takes) in enumerate([(1.0, 2.0), (0.0, 30.0), (5.0, 3.0), (0.0, 4.0)]):
        now[0] += before  # a validation, a checkpoint: no part of a step
        pending.begin()
        now[0] += takes
        pending.put(torch.tensor([float(step)]), {})
        got += pending.due()
    got += pending.due(everything=True)
    assert [(results, seconds) for results, seconds, _ in got] == [
        ([0.0], 2.0),
        ([1.0], 30.0),
        ([2.0], 3.0),
        ([3.0], 4.0),
    ]


def test_fp16_scales_its_loss_and_skips_what_overflows(workspace, config, tmp_path, with_train):
    """fp16 lowers the scale until gradients fit, counts the skipped steps, starts from the loss of fp32, and resumes with
    its scale to the same bytes."""
    half = with_train(config, precision="fp16", max_steps=6, checkpoint_every=3)
    run = pretrain(workspace, half, device="cpu", out=tmp_path / "a").run
    lines = [x for x in read_metrics(run / "metrics.jsonl") if x["split"] == "train"]
    full = pretrain(workspace, with_train(half, precision="fp32"), device="cpu", out=tmp_path / "b").run
    assert lines[0]["loss"] == pytest.approx(read_metrics(full / "metrics.jsonl")[0]["loss"], rel=0.02)
    skipped = [line["skipped"] for line in lines]
    made = [
        line["scale"] * 2.0 ** -(now - before) for line, now, before in zip(lines, skipped, [0, *skipped], strict=False)
    ]
    assert [line["scale"] for line in lines[1:]] == made[:-1]  # half after a step that was skipped, else the same
    before = (run / "model.safetensors").read_bytes()
    (run / "checkpoints" / "latest").write_text("step-000003\n")
    pretrain(workspace, half, device="cpu", out=tmp_path / "a", resume=True)
    assert (run / "model.safetensors").read_bytes() == before
    again = [x for x in read_metrics(run / "metrics.jsonl") if x["split"] == "train"]
    assert [x["scale"] for x in again] == [x["scale"] for x in lines]


def test_the_scale_halves_at_an_overflow_and_doubles_after_many_good_steps(monkeypatch):
    """Power-of-two steps down and up, and a state that gives it back."""
    monkeypatch.setattr(scaler, "PATIENCE", 3)
    one = scaler.LossScaler(torch.device("cpu"), True)
    one.update(torch.tensor(True))
    assert one.scale == scaler.START / 2
    for _ in range(3):
        one.update(torch.tensor(False))
    assert one.scale == scaler.START
    one.update(torch.tensor(True))
    one.update(torch.tensor(False))
    other = scaler.LossScaler(torch.device("cpu"), True)
    other.load(one.state())
    assert other.state() == one.state() == ScalerState(scale=scaler.START / 2, good=1.0)


def test_a_scale_is_taken_up_only_where_losses_are_scaled():
    """A run that goes on in fp32 has its losses as they are, and one that has no scale yet begins with the first."""
    without = scaler.LossScaler(torch.device("cpu"), False)
    without.load(ScalerState(scale=8.0, good=1.0))
    without.update(torch.tensor(True))
    assert without.scale == 1 and without.state() is None
    new = scaler.LossScaler(torch.device("cpu"), True)
    new.load(None)
    assert new.scale == scaler.START


def test_validation_is_the_same_each_time(workspace, config, monkeypatch):
    """Validating twice gives the same numbers, whatever was drawn in between, and leaves no gradient."""
    run = trainer(workspace, config, monkeypatch)
    first = run.validate(1)
    torch.rand(7)
    second = run.validate(1)
    assert first == second and first["split"] == "tuning" and first["n_value"] > 10 >= first["subjects_value"] > 0
    assert all(p.grad is None for p in run.setup.model.parameters())


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
    """Importing pretrain and embed loads no duckdb or polars, nor what turns records into shards."""
    code = (
        "import sys, tawt.commands.pretrain, tawt.commands.embed; "
        "print([m for m in sys.modules if m.split('.')[0] in ('duckdb', 'polars') or m.startswith(('tawt.database', 'tawt.builtin', 'tawt.transforms'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
