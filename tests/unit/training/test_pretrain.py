"""`pretrain` and `embed` as functions: plans, run folders, embeddings and errors."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.commands.embed import embed
from tawt.commands.pretrain import pretrain
from tawt.config.load import load
from tawt.config.named import resolve_config
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError, TrainingError
from tawt.objectives import prepare
from tawt.objectives.pretrain_model import PretrainModel, count_parameters
from tawt.runs.load import load_encoder
from tawt.training import memory, setup, step


def test_a_dry_run_says_what_would_happen_and_writes_nothing(workspace, config, with_train):
    """Parameters, tokens and steps, packing, device, dtype and memory are told with reasons; no file appears."""
    before = sorted(workspace.rglob("*"))
    plan = pretrain(workspace, with_train(config, threads=0), device="cpu", dry_run=True).plan
    assert sorted(workspace.rglob("*")) == before
    assert plan.n_subjects == 60 and plan.n_steps == 12 and plan.start_step == 0
    assert plan.tokens_per_step == 1024 and 0.5 < plan.packing_efficiency <= 1
    assert plan.memory_bytes > 16 * plan.parameters.total
    assert {"device", "precision", "threads", "tokens_per_step", "start_step"} <= plan.reasons.keys()


def test_a_run_folder_tells_how_it_was_made(workspace, config):
    """Resolved config, vocabulary, versions, threads and seed are recorded, and the config can be run again."""
    run = pretrain(workspace, config, device="cpu").run
    assert run == workspace / "runs" / "pretrain"
    assert load(PretrainConfig, run / "config.yaml") == config
    assert (run / "vocabulary.parquet").read_bytes() == (workspace / "vocabulary" / "vocabulary.parquet").read_bytes()
    about = json.loads((run / "versions.json").read_text())
    assert (
        about["packages"]["torch"] == torch.__version__.split("+")[0] or about["packages"]["torch"] == torch.__version__
    )
    assert about["threads"] == 1 and about["seed"] == 0 and about["device"] == "cpu"
    assert {"tawt", "numpy", "pyarrow"} <= about["packages"].keys()
    *packages, seal = (run / "packages.txt").read_text().splitlines()
    assert seal.startswith("# sha256 of the rest: ")
    assert packages == sorted(packages, key=str.lower) and any(line.startswith("numpy==") for line in packages)
    again = pretrain(workspace, run / "config.yaml", device="cpu", out=workspace / "runs" / "again")
    assert again.weights.read_bytes() == (run / "model.safetensors").read_bytes()
    assert [p.name for p in run.rglob(".*")] == [".lock"]  # nothing written aside is left


def test_progress_is_told(workspace, config):
    """Before the first step what it runs on and why; each step reports loss, baseline, rate, speed and time left."""
    events = []
    pretrain(workspace, config, device="cpu", report=events.append)
    kinds = [e["event"] for e in events]
    begun = events[kinds.index("begun")]["means"]
    assert kinds.index("begun") < kinds.index("step") and begun["device"] == ("cpu", "asked for")
    assert {"precision", "threads", "attention"} <= begun.keys()
    steps = [e for e in events if e["event"] == "step"]
    assert [e["step"] for e in steps] == list(range(1, 13))
    assert {"max_steps", "loss", "baseline", "lr", "tokens_per_s", "eta_s"} <= steps[0].keys()
    assert [e["step"] for e in events if e["event"] == "checkpoint"] == [4, 8, 12]
    assert [e["step"] for e in events if e["event"] == "validation"] == [5, 10, 12]


@pytest.mark.parametrize(
    ("preset", "least", "most"),
    [("pretrain_small", 1e5, 8e5), ("pretrain_3090ti", 2e7, 3e7), ("pretrain_base", 8e7, 1.2e8)],
)
def test_the_shipped_configs_hold(workspace, preset, least, most):
    """Each preset is valid, fits its own batches, and has the size that it states, beside the embedding tables."""
    name, tree = resolve_config(preset, [])
    vocabulary = open_dataset(workspace).vocabulary
    with torch.device("meta"):
        counts = count_parameters(PretrainModel(tree, vocabulary))
    assert name == preset and least < counts.encoder + counts.heads < most
    assert tree.batching.tokens_per_batch >= 4 * tree.batching.max_length
    if preset != "pretrain_small":
        assert tree.model.d_head == 64


def test_a_preset_plans_itself(workspace):
    """The default is `pretrain_small`, whose dry run names the run folder and every choice."""
    plan = pretrain(workspace, device="cpu", dry_run=True).plan
    assert plan.run.name == "pretrain_small" and 1e5 < plan.parameters.total < 8e5
    assert {"memory", "kernel", "compiled", "processes", "threads"} <= plan.reasons.keys()


def test_two_views_must_fit(workspace, config):
    """With the contrastive objective a batch holds each document twice; a longest document that does not fit is refused."""
    settings = ["objective.contrastive.weight=1", "batching.max_length=300"]
    with pytest.raises(ConfigError, match="expected at most 256") as error:
        pretrain(workspace, config, settings=settings, device="cpu", dry_run=True)
    assert "tokens_per_batch=600" in error.value.hint


def test_an_unknown_config_or_key_names_the_nearest(workspace):
    """A name that is no config and a key that is none are errors of use with the nearest name."""
    with pytest.raises(ConfigError, match="is no config, expected") as error:
        pretrain(workspace, "pretrain_smal")
    assert "pretrain_small" in error.value.hint
    with pytest.raises(ConfigError, match=r"train\.max_step`") as error:
        pretrain(workspace, settings=["train.max_step=3"])
    assert "max_steps" in error.value.hint


def test_without_tuning_subjects_a_run_says_so(tmp_path, config, write_dataset):
    """A dataset whose tuning split is empty trains without validation and says so."""
    write_dataset(tmp_path, {"train": [20], "tuning": [0]})
    events = []
    result = pretrain(tmp_path, config, device="cpu", report=events.append)
    assert "tuning" not in result.metrics
    assert any("no tuning subject" in e.get("text", "") for e in events)


def test_a_dry_run_finds_what_the_run_would_stumble_over(tmp_path, config, write_dataset, with_train):
    """Best weights that nothing can choose are refused before the first step, by a dry run too."""
    write_dataset(tmp_path, {"train": [20], "tuning": [0]})
    best = with_train(config, keep_best=1, final="best")
    with pytest.raises(ConfigError, match="no tuning subject"):
        pretrain(tmp_path, best, device="cpu", dry_run=True)


def test_a_plan_says_what_reaches_the_model(workspace, config):
    """Cutting and moments take tokens away: the share that a dry run tells is that of the batches the run then makes."""
    settings = ["objective.forecast.weight=1", "model.granularity=timestamp"]
    whole = pretrain(workspace, config, device="cpu", dry_run=True).plan
    plan = pretrain(workspace, config, settings=settings, device="cpu", dry_run=True).plan
    assert whole.reaching == pytest.approx(whole.packing_efficiency, abs=0.1) and plan.reaching < 0.8 * whole.reaching
    seen = []
    real = prepare.Preparer.__call__

    def watched(self, batch, number):
        example = real(self, batch, number)
        if self.training:
            seen.append((number, example.batch.layout.n_tokens))
        return example

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare.Preparer, "__call__", watched)
        pretrain(workspace, config, settings=settings, device="cpu")
    first = dict(seen)
    assert plan.reaching == pytest.approx(sum(first[i] for i in range(4)) / (4 * 512))


def test_a_plan_wonders_about_what_may_not_be_meant(workspace, config, monkeypatch):
    """Hundreds of passes, more memory than there is and a warm-up that is cut are said, by a dry run and by the run."""
    assert pretrain(workspace, config, device="cpu", dry_run=True).plan.doubts == (
        "warmup_steps 50 is cut to 1, a tenth of max_steps",
    )
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000_000)
    settings = ["train.max_steps=90000", "train.warmup_steps=5"]
    passes, memory_said = pretrain(workspace, config, settings=settings, device="cpu", dry_run=True).plan.doubts
    assert "passes over train" in passes and "0.1 GB are there" in memory_said
    few = ["objective.contrastive.weight=1", "batching.tokens_per_batch=256", "train.warmup_steps=0"]
    (said,) = pretrain(
        workspace, config, settings=[*few, "train.accumulate_tokens=0"], device="cpu", dry_run=True
    ).plan.doubts[1:]
    assert "documents a step" in said
    events = []
    pretrain(workspace, config, device="cpu", report=events.append)
    assert sum("GB are there" in event.get("text", "") for event in events) == 1


@pytest.mark.parametrize(("module", "where"), [(setup, "count_baselines"), (step, "make_optimizer")])
def test_memory_that_runs_out_before_the_first_step_says_what_to_set(workspace, config, monkeypatch, module, where):
    """Not a mistake in tawt: the same advice as in a step, and no run folder is left."""

    def none_left(*args, **more):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(module, where, none_left)
    with pytest.raises(TrainingError, match="memory ran out") as error:
        pretrain(workspace, config, device="cpu")
    assert "batching.tokens_per_batch" in error.value.hint and "precision" not in error.value.hint
    assert not (workspace / "runs" / "pretrain").exists()


def test_a_workspace_without_a_dataset_is_an_error(tmp_path, config):
    """Without `dataset/`, the error says which command makes the workspace."""
    (tmp_path / "w").mkdir()  # beside which there is no workspace that could be meant
    with pytest.raises(ConfigError, match="holds nothing of a workspace") as error:
        pretrain(tmp_path / "w", config)
    assert "tawt ingest" in error.value.hint
    assert list((tmp_path / "w").iterdir()) == []


def test_embeddings_are_one_row_per_subject(workspace, config):
    """Every subject of every split has one row, sorted by subject, with the time of its last event and the right type."""
    pretrain(workspace, config, device="cpu")
    events = []
    result = embed(workspace, "pretrain", device="cpu", report=events.append)
    assert events[-1] == {"event": "embed", "n_done": 80, "n_rows": 80}
    table = pq.read_table(result.path)
    assert result.path == workspace / "embeddings" / "pretrain.parquet"
    assert table.schema.types == [pa.int64(), pa.timestamp("us"), pa.string(), pa.list_(pa.float32(), 16)]
    assert table.column_names == ["subject_id", "time", "split", "embedding"]
    dataset, expected, times = open_dataset(workspace), {}, {}
    for name in ("train", "tuning", "held_out"):
        split = dataset.split(name)
        for i, subject in enumerate(split.subject_ids.tolist()):
            expected[subject] = name
            stamps = split.columns(i).timestamp[split.n_static[i] :]
            times[subject] = int(split.origins[i]) + (int(stamps[-1]) if len(stamps) else 0)
    subjects = table["subject_id"].to_pylist()
    assert subjects == sorted(expected) and result.n_subjects == len(expected) == 80
    assert dict(zip(subjects, table["split"].to_pylist(), strict=True)) == expected
    assert table["time"].cast(pa.int64()).to_pylist() == [times[s] for s in subjects]
    assert result.n_cut > 0


def test_embeddings_are_the_encoders(workspace, config):
    """A row is what the loaded encoder makes of that subject's last window; mean and max may be asked of any run."""
    run = pretrain(workspace, config, device="cpu").run
    loaded = load_encoder(run)
    assert not loaded.encoder.training and loaded.weights == run / "model.safetensors"
    dataset = open_dataset(workspace)
    loader = PackedLoader(dataset.split("tuning"), dataset.vocabulary, config.batching, 0)
    out = {}
    with torch.inference_mode():
        for batch in loader.sequential():
            states = loaded.encoder.states(batch)
            for i, (a, b) in enumerate(zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True)):
                out[int(batch.subject_id[i])] = (states[a:b].mean(0).numpy(), states[a:b].amax(0).numpy())
    for k, how in enumerate(("mean", "max")):
        path = embed(
            workspace, run, splits=["tuning"], device="cpu", pooling=how, out=workspace / "embeddings" / "e.parquet"
        ).path
        table = pq.read_table(path)
        rows = np.array(table["embedding"].to_pylist())
        wanted = np.stack([out[s][k] for s in table["subject_id"].to_pylist()])
        assert np.allclose(rows, wanted, atol=1e-5)
    with pytest.raises(ConfigError, match="the run has `mean`"):
        embed(workspace, run, pooling="attention", device="cpu")


def test_an_unfinished_run_embeds_from_its_checkpoint(workspace, config):
    """Without final weights the newest checkpoint is used, and a note and the result say which."""
    run, notes = pretrain(workspace, config, device="cpu").run, []

    def heard(event):
        told = event["event"] == "note" and "what the dataset was made from" not in event["text"]
        notes.extend([event["text"]] if told else [])

    whole = pq.read_table(embed(workspace, run, device="cpu", report=heard).path)
    (run / "model.safetensors").unlink()
    assert notes == []
    result = embed(workspace, run, device="cpu", report=heard)
    (note,) = notes
    assert note.startswith("pretrain is not finished: it is read as it was after step 12 of 12")
    assert result.weights == run / "checkpoints" / "step-000012" / "model.safetensors"
    assert pq.read_table(result.path).equals(whole)


def test_runs_that_do_not_fit_are_refused(workspace, config, tmp_path, shards):
    """An unknown run, a folder without weights and a workspace of another vocabulary are errors with a hint."""
    run = pretrain(workspace, config, device="cpu").run
    with pytest.raises(CheckpointError) as error:
        embed(workspace, "pretran")
    assert "pretrain" in error.value.hint
    shards.write_dataset(tmp_path / "other", {"train": [5]}, n_types=30)
    with pytest.raises(CheckpointError, match="vocabulary") as error:
        embed(tmp_path / "other", run)
    assert "tawt pretrain" in error.value.hint
    (run / "model.safetensors").unlink()
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(CheckpointError, match="no weights yet"):
        embed(workspace, run)
    assert not (tmp_path / "other" / "embeddings").exists()


def test_a_run_folder_says_that_it_holds_patients_data(workspace, config, broken_off):
    """From the first step on, finished or not, the folder's README says what it holds and how to share the model."""
    run = workspace / "runs" / "pretrain"
    broken_off(1, workspace, config, device="cpu")
    assert not (run / "model.safetensors").exists()
    for _ in range(2):
        text = (run / "README.md").read_text()
        assert "This folder holds patients' data" in text and "TawtModel.save_pretrained" in text
        pretrain(workspace, config, device="cpu", resume=True)
