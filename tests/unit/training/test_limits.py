"""What a machine lacks is told as what it is; what another command writes is left alone; what changes is noticed."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from tawt import files
from tawt.commands.embed import embed
from tawt.commands.pretrain import pretrain
from tawt.commands.sweep import sweep
from tawt.config.load import build, dump, merge, overrides
from tawt.config.train import PretrainConfig
from tawt.contracts.run import say_unfinished
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError, DatasetError, TrainingError
from tawt.files import alone, write_hashes, write_sealed
from tawt.objectives.pretrain_model import build_model
from tawt.runs import embedding
from tawt.training import threads
from tawt.training.memory import least_parameters


def test_a_model_that_cannot_fit_is_refused_before_it_is_made(workspace):
    """Weights that need more memory than there is end a run, dry or not, with both sizes and nothing left behind."""
    settings = ["model.d_model=65536", "model.n_heads=64", "model.n_layers=1000", "model.d_ffn=262144"]
    for dry_run in (True, False):
        with pytest.raises(TrainingError, match=r"needs [\d,.]+ GB, expected at most the [\d,.]+ GB there") as error:
            pretrain(workspace, "pretrain_demo", settings=settings, device="cpu", dry_run=dry_run)
        assert "model.d_model" in error.value.hint
    assert not (workspace / "runs" / "pretrain_demo").exists()


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["model.pooling=per_type", "model.ffn=swiglu", "objective.contrastive.weight=1", "objective.forecast.weight=1"],
    ],
)
def test_the_parameters_that_are_foreseen_are_most_of_those_made(workspace, settings):
    """What is counted before a model is made is below, and near, what it has."""
    config = build(PretrainConfig, merge({}, overrides([*settings, "model.d_model=256", "model.d_ffn=1024"])), "c")
    vocabulary = open_dataset(workspace).vocabulary
    made = sum(parameter.numel() for parameter in build_model(config, vocabulary, 0).parameters())
    assert 0.6 * made < least_parameters(config, vocabulary) <= made


def test_memory_that_runs_out_in_embed_is_told(workspace, config, monkeypatch):
    """An allocation that fails is one line with the run and what to use instead, and no file is written."""
    pretrain(workspace, config, device="cpu")

    def fail(*args):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(embedding, "_pooled", fail)
    with pytest.raises(TrainingError, match="memory ran out") as error:
        embed(workspace, "pretrain", device="cpu")
    assert "more memory" in error.value.hint and not list((workspace / "embeddings").glob("*.parquet"))


def test_an_embedding_that_is_not_finite_is_refused(workspace, config, monkeypatch):
    """Finite weights of which one overflows give one line with the batch and its rows; the file of before stays."""
    pretrain(workspace, config, device="cpu")
    before = embed(workspace, "pretrain", device="cpu").path.read_bytes()
    weights = workspace / "runs" / "pretrain" / "model.safetensors"
    tensors = load_file(weights)
    tensors["encoder.norm.weight"][0] = 3e38
    save_file(tensors, weights)
    write_hashes(weights.parent)
    with pytest.raises(TrainingError, match=r"not finite, expected numbers; in train, batch 0 \(.*rows") as error:
        embed(workspace, "pretrain", device="cpu", splits=["train"])
    assert "dataset/" in error.value.hint
    assert (workspace / "embeddings" / "pretrain.parquet").read_bytes() == before


def test_embeddings_are_sorted_by_subject_through_splits(workspace, config, tmp_path):
    """Whatever the order of the splits, subjects come out in the order of their ids, each with its own vector, time
    and split."""
    pretrain(workspace, config, device="cpu")
    apart = {
        row["subject_id"]: row
        for split in ("train", "tuning", "held_out")
        for row in pq.read_table(
            embed(workspace, "pretrain", device="cpu", splits=[split], out=tmp_path / f"{split}.parquet").path
        ).to_pylist()
    }
    mixed = embed(workspace, "pretrain", device="cpu", splits=["held_out", "train", "tuning"])
    rows = pq.read_table(mixed.path).to_pylist()
    assert max(i for i, row in apart.items() if row["split"] == "train") < max(apart), "the case is not met"
    assert [row["subject_id"] for row in rows] == sorted(apart)
    for row in rows:
        want = apart[row["subject_id"]]
        assert (row["time"], row["split"]) == (want["time"], want["split"])
        np.testing.assert_allclose(row["embedding"], want["embedding"], atol=1e-5)


def test_one_file_of_embeddings_has_one_writer(workspace, config, monkeypatch):
    """A second `embed` of the same file is refused while the first is at work, and runs after it."""
    pretrain(workspace, config, device="cpu")
    refused: list[ConfigError] = []
    real = embedding._pooled

    def also(*args):
        if not refused:
            with pytest.raises(ConfigError, match="being written by another process") as error:
                embed(workspace, "pretrain", device="cpu")
            refused.append(error.value)
            embed(workspace, "pretrain", device="cpu", out=workspace / "embeddings" / "other.parquet")
        return real(*args)

    monkeypatch.setattr(embedding, "_pooled", also)
    embed(workspace, "pretrain", device="cpu")
    assert refused and "--out" in refused[0].hint
    assert sorted(p.name for p in (workspace / "embeddings").iterdir()) == ["other.parquet", "pretrain.parquet"]


def _rebuilt(workspace: Path) -> None:
    """Put another vocabulary and dataset in the place of those there, as `tawt build-vocab` does: by renames."""
    other = workspace.with_name("other")
    for folder in ("vocabulary", "dataset"):
        shutil.copytree(workspace / folder, other / folder)
    path = other / "vocabulary" / "vocabulary.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("center")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array([1.0] * len(table), pa.float64())), path)
    manifest = json.loads((other / "dataset" / "dataset.json").read_text())
    manifest["vocabulary"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_sealed(other / "dataset" / "dataset.json", manifest)
    for folder in ("vocabulary", "dataset"):
        (workspace / folder).rename(workspace / f".{folder}.old")
        (other / folder).rename(workspace / folder)


def test_a_run_keeps_the_vocabulary_that_it_read(workspace, config):
    """A vocabulary and dataset that are replaced while a run is at work are noticed and not taken: the run is that of
    the old ones, bit for bit, and is not embedded with the new."""
    left = pretrain(workspace, config, device="cpu", out=workspace / "runs" / "left")
    old = (workspace / "vocabulary" / "vocabulary.parquet").read_bytes()
    events: list[dict] = []

    def rebuild(event):
        events.append(event)
        if event["event"] == "step" and event["step"] == 2:
            _rebuilt(workspace)

    made = pretrain(workspace, config, device="cpu", out=workspace / "runs" / "made", report=rebuild)
    assert (made.run / "vocabulary.parquet").read_bytes() == old
    assert made.weights.read_bytes() == left.weights.read_bytes()
    assert any("has changed" in event.get("text", "") for event in events)
    assert (workspace / "vocabulary" / "vocabulary.parquet").read_bytes() != old
    with pytest.raises(CheckpointError, match="has vocabulary"):
        embed(workspace, made.run, device="cpu")


def test_a_dataset_that_is_replaced_while_it_is_opened_is_refused(workspace):
    """Of two datasets no mixture is read: what lies under the path must be what was opened."""
    dataset = open_dataset(workspace)
    _rebuilt(workspace)
    with pytest.raises(DatasetError, match="was replaced while it was read"):
        dataset.split("train")


def test_another_vocabulary_beside_the_weights_is_refused(workspace, config):
    """A run folder in which another vocabulary was laid is not embedded with it."""
    run = pretrain(workspace, config, device="cpu").run
    _rebuilt(workspace)
    shutil.copyfile(workspace / "vocabulary" / "vocabulary.parquet", run / "vocabulary.parquet")
    with pytest.raises(CheckpointError, match=r"vocabulary\.parquet: is not as it was written"):
        embed(workspace, run, device="cpu")
    (run / "files.json").unlink()
    say_unfinished(run, 0)  # as of a run that was not finished
    with pytest.raises(CheckpointError, match=r"vocabulary\.parquet: is another vocabulary"):
        embed(workspace, run, device="cpu")


def test_threads_are_measured_once_by_runs_that_start_together(tmp_path, monkeypatch):
    """Two runs that start at once measure one after the other, and the second takes what the first found."""
    monkeypatch.setattr(threads, "most_threads", lambda: 2)
    monkeypatch.setattr(threads, "threads_sleep", lambda: True)
    inside, measured = threading.Semaphore(1), []

    def measure(work, counts):
        assert inside.acquire(blocking=False), "two measure at once"
        started.set()
        go.wait(10)
        measured.append(1)
        inside.release()
        return {1: 1.0, 2: 0.5}

    monkeypatch.setattr(threads, "measure", measure)
    started, go, found = threading.Event(), threading.Event(), []
    workers = [
        threading.Thread(target=lambda: found.append(threads.measured_threads(tmp_path, {"a": 1}, lambda: None)))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    started.wait(10)
    go.set()
    for worker in workers:
        worker.join(20)
    assert [count for count, _ in found] == [2, 2] and len(measured) == 1


def test_a_workspace_that_may_not_be_written_is_trained_from(workspace, config, tmp_path):
    """With `--out` elsewhere, pretrain (measuring threads) and embed write nothing into the workspace, and say nothing of it."""
    config = config.model_copy(update={"train": config.train.model_copy(update={"threads": 0, "max_steps": 2})})
    (tmp_path / "small.yaml").write_text(dump(config))
    script = (
        "import sys; from pathlib import Path\n"
        "from tawt.commands.pretrain import pretrain; from tawt.commands.embed import embed\n"
        "w, o = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "try: (w / 'x').touch(); sys.exit('the case is not met')\n"
        "except PermissionError: pass\n"
        "run = pretrain(w, o / 'small.yaml', device='cpu', out=o / 'run').run\n"
        "embed(w, run, device='cpu', out=o / 'e.parquet')\n"
    )

    def without_override() -> None:
        # root writes where it may not by a capability; without it, it is as others are
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)

    before = sorted(workspace.rglob("*"))
    for path in (workspace, *before):
        path.chmod(0o555 if path.is_dir() else 0o444)
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", script, workspace, tmp_path], capture_output=True, text=True, env=env, check=False,
        preexec_fn=without_override,
    )  # fmt: skip
    for path in (workspace, *before):
        path.chmod(0o755)
    assert ended.returncode == 0, ended.stderr[-800:]
    assert sorted(workspace.rglob("*")) == before
    assert pq.read_table(tmp_path / "e.parquet").num_rows


def test_metrics_are_on_disk_before_a_checkpoint_is(workspace, config, monkeypatch):
    """Whenever a checkpoint is published, every line of metrics up to it has been flushed to the disk."""
    path, flushed, checked = workspace / "runs" / "pretrain" / "metrics.jsonl", [0], []
    fsync, publish = os.fsync, files.publish

    def noted(handle):
        fsync(handle)
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            flushed.append(path.stat().st_size)

    def held(*args):
        checked.append(flushed[-1] == path.stat().st_size > 0)
        publish(*args)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(files, "publish", held)
    pretrain(workspace, config, device="cpu")
    assert len(checked) == 3 and all(checked)


def test_a_sweep_is_made_by_one_process(workspace, tmp_path):
    """A second sweep of the same folder is refused while the first is at work, and changes nothing."""
    (tmp_path / "s.yaml").write_text("config: pretrain_demo\narms: {a: []}\nseeds: [0]\n")
    folder = workspace / "runs" / "s"
    folder.mkdir(parents=True)
    with alone(folder / ".lock"), pytest.raises(ConfigError, match="in use by another process"):
        sweep(workspace, tmp_path / "s.yaml", device="cpu")
    assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize(("policy", "spins"), [(None, "3000"), ("ACTIVE", None)])
def test_a_pretraining_from_the_command_line_has_threads_that_sleep(tawt, tmp_path, monkeypatch, policy, spins):
    """The command sets how long threads spin before torch is loaded, unless the user has said how they wait."""
    for name, value in (("OMP_WAIT_POLICY", policy), ("GOMP_SPINCOUNT", None)):
        monkeypatch.setenv(name, "x")
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    tawt("pretrain", "-w", tmp_path / "nowhere", "--dry-run")
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_pooling_is_chosen_on_the_command_line(workspace, config, tawt, tmp_path):
    """`tawt embed --pooling max` writes the largest of each document's states; what is no pooling, and one that the run
    has not learned, are refused with what to type."""
    pretrain(workspace, config, device="cpu")
    words = ("embed", "-w", workspace, "--run", "pretrain", "--device", "cpu", "--out", tmp_path / "e.parquet")
    ended = tawt(*words, "--pooling", "max")
    assert ended.code == 0, ended.err
    most = np.array(pq.read_table(tmp_path / "e.parquet")["embedding"].to_pylist())
    assert tawt(*words, "--pooling", "mean").code == 0
    mean = np.array(pq.read_table(tmp_path / "e.parquet")["embedding"].to_pylist())
    own = np.array(pq.read_table(embed(workspace, "pretrain", device="cpu").path)["embedding"].to_pylist())
    assert (most >= mean - 1e-6).all() and (most > mean + 1e-3).any()
    np.testing.assert_allclose(mean, own, atol=1e-5)
    wrong = tawt(*words, "--pooling", "maxx")
    assert wrong.code == 2 and "is no pooling" in wrong.err and "did you mean `max`?" in wrong.err
    unlearned = tawt(*words, "--pooling", "cls")
    assert unlearned.code == 2 and "expected that, mean or max" in unlearned.err
