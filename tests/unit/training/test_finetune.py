"""`finetune`: what learns in each mode, where the head starts, and that it is the loop of pretraining."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from tawt.commands.embed import embed
from tawt.commands.finetune import finetune
from tawt.commands.pretrain import pretrain
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError, StaleError
from tawt.pipeline.stale import Fresh
from tawt.quality.runs import Runs
from tawt.quality.strangers import Known
from tawt.runs import training
from tawt.runs.teacher import TEACHER
from tawt.seals import LIST, changed_files
from tawt.training import checkpoint, loop, settle
from tests.unit.training.test_resume import files

QUICK = ("train.threads=1", "train.keep_best=2")


@pytest.fixture(autouse=True)
def few_penalties(monkeypatch):
    """A probe tries two penalties on two folds: which it chooses is asked in tests/unit/heads."""
    monkeypatch.setattr("tawt.heads.probe.PENALTIES", (0.01, 1.0))
    monkeypatch.setattr("tawt.heads.probe.N_FOLDS", 2)


def weights(run):
    return load_file(run / "model.safetensors")


def stop_at(patch, n):
    """Let a training end before its step `n`."""
    real = loop.Trainer._step

    def failing(self, step, *rest):
        if step == n:
            raise RuntimeError("the end")
        return real(self, step, *rest)

    patch.setattr(loop.Trainer, "_step", failing)


@pytest.mark.parametrize("mode", ["probe", "head", "last-k", "lora", "full"])
def test_each_mode_changes_what_it_says(labelled, mode):
    """The head learns; of the encoder nothing, the last block and the readout, updates of low rank, or all."""
    before = weights(labelled / "runs" / "base")
    result = finetune(labelled, "long", "base", mode=mode, epochs=2, device="cpu", settings=QUICK)
    after = weights(result.run)
    assert result.run == labelled / "runs" / f"base-long-{mode}"
    changed = {name for name in before.keys() & after.keys() if not np.array_equal(before[name], after[name])}
    encoder = {name for name in after if name.startswith("encoder.")}
    assert encoder == {name for name in before if name.startswith("encoder.")}  # updates are merged
    assert "heads.label.linear.weight" in after
    if mode in ("probe", "head"):
        assert not changed
    else:
        of_blocks = {name for name in changed if name.startswith("encoder.blocks.")}
        assert of_blocks
        table = {name for name in changed if name.startswith("encoder.embedding.")}
        assert bool(table) == (mode == "full")
    assert result.metrics["tuning"]["loss"] < 2
    task = json.loads((result.run / "task.json").read_text())
    assert task["kind"] == "binary" and task["outputs"] == ["label"]
    assert embed(labelled, result.run, device="cpu").n_subjects > 0


def test_a_task_that_can_be_seen_is_learned(labelled):
    """Lengths stand in the counts of the embedding: the probe is far better than the rate, and training no worse."""
    events = []
    start = finetune(labelled, "long", "base", mode="probe", device="cpu", settings=QUICK, report=events.append)
    assert start.metrics["tuning"]["loss"] < 0.8 * start.metrics["tuning"]["baseline"]
    assert any("by the others' rates alone" in e.get("text", "") for e in events)
    full = finetune(labelled, "long", "base", mode="head", epochs=4, device="cpu", settings=(*QUICK, "train.lr=1e-4"))
    assert full.metrics["tuning"]["loss"] < 1.2 * start.metrics["tuning"]["loss"]
    assert full.metrics["start"]["loss"] == pytest.approx(start.metrics["tuning"]["loss"], rel=1e-5)
    assert "start" not in start.metrics


def test_labels_of_some_subjects_and_of_several_times_are_enough(labelled):
    """A task may ask about few subjects of a split, and about each at several times; the embeddings are looked at all the same."""
    file = labelled / "labels" / "long.parquet"
    table = pq.read_table(file)
    table = table.filter(pa.array(np.arange(len(table)) % 3 != 0))
    earlier = table.set_column(
        1,
        "prediction_time",
        pa.array(table["prediction_time"].cast(pa.int64()).to_numpy() - 7_200_000_000, pa.timestamp("us")),
    )
    pq.write_table(pa.concat_tables([table, earlier]), file)
    tuning = open_dataset(labelled).split("tuning").subject_ids
    result = finetune(labelled, "long", "base", mode="head", epochs=1, device="cpu", settings=QUICK)
    lines = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]
    looked = [line for line in lines if line["split"] == "health"]
    assert [line["n_subjects"] for line in looked] == [int(np.isin(tuning, table["subject_id"].to_numpy()).sum())]


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_run_that_was_stopped_ends_in_the_same_bytes(labelled, mode, monkeypatch):
    """Labels, head and updates are part of what a checkpoint brings back."""
    settings = (*QUICK, "train.max_steps=8", "train.checkpoint_every=3", "train.validate_every=4")
    whole = finetune(labelled, "long", "base", mode=mode, device="cpu", settings=settings)
    out = labelled / "runs" / "stopped"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the end"):
        stop_at(patch, 5)
        finetune(labelled, "long", "base", mode=mode, device="cpu", settings=settings, out=out)
    again = finetune(labelled, "long", "base", mode=mode, device="cpu", settings=settings, out=out, resume=True)
    assert again.weights.read_bytes() == whole.weights.read_bytes()
    table = pq.read_table(labelled / "labels" / "long.parquet")
    pq.write_table(table.slice(1), labelled / "labels" / "long.parquet")
    with pytest.raises(CheckpointError):
        finetune(labelled, "long", "base", mode=mode, device="cpu", settings=settings, out=out, resume=True)


def test_what_does_not_fit_is_told(labelled):
    """A name that is no label set, a mode that is none, labels of nobody here, and labels in pretraining are refused."""
    with pytest.raises(ConfigError, match="is no label set") as error:
        finetune(labelled, "lnog", "base")
    assert "long" in error.value.hint
    with pytest.raises(ConfigError, match="is none, expected one of probe"):
        finetune(labelled, "long", "base", mode="last")
    table = pq.read_table(labelled / "labels" / "long.parquet")
    nobody = table.set_column(0, "subject_id", pa.array(range(-len(table), 0), pa.int64()))
    pq.write_table(nobody, labelled / "labels" / "nobody.parquet")
    with pytest.raises(ConfigError, match="no label of a subject of train"):
        finetune(labelled, "nobody", "base")
    with pytest.raises(ConfigError, match="expected no labels") as error:
        pretrain(labelled, settings=["objective.label.weight=1", "objective.forecast.weight=0"], device="cpu")
    assert "tawt finetune" in error.value.hint


def test_a_teacher_answers_where_there_is_no_label(half_labelled, monkeypatch):
    """Unlabelled prediction times are learned from, as a probe of the labelled ones answers them; a resumed run agrees."""
    labelled = half_labelled
    table = pq.read_table(labelled / "labels" / "long.parquet")
    empty = pq.read_table(labelled / "labels" / "half.parquet")["boolean_value"].is_null().to_numpy()
    settings = (*QUICK, "objective.label.self_training.weight=0.5", "train.max_steps=6", "train.checkpoint_every=3")
    events = []
    run = finetune(labelled, "half", "base", mode="full", device="cpu", settings=settings, report=events.append).run
    said = pq.read_table(run / "teacher.parquet")
    assert not (run / "teacher.parquet").stat().st_mode & 0o077, "no workspace says who may look into it"
    outputs = np.array(said["outputs"].to_pylist())[:, 0]
    assert any(f"{empty.sum()} prediction times without a label" in e.get("text", "") for e in events)
    of = dict(zip(said["subject_id"].to_pylist(), outputs, strict=True))
    told = np.array([of[s] for s in table["subject_id"].to_numpy()[empty]])
    truth = table["boolean_value"].to_numpy(zero_copy_only=False)[empty]
    assert told[truth].mean() > told[~truth].mean()  # it learned from the others
    split = set(open_dataset(labelled).split("train").subject_ids.tolist())
    assert np.isnan([x for s, x in of.items() if s not in split]).all()  # nobody else is taught
    out = labelled / "runs" / "stopped"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the end"):
        stop_at(patch, 5)
        finetune(labelled, "half", "base", mode="full", device="cpu", settings=settings, out=out)
    again = finetune(labelled, "half", "base", mode="full", device="cpu", settings=settings, out=out, resume=True)
    assert again.weights.read_bytes() == (run / "model.safetensors").read_bytes()
    plain = labelled / "runs" / "plain"
    finetune(labelled, "half", "base", mode="full", device="cpu", settings=(*QUICK, "train.max_steps=6"), out=plain)
    assert (plain / "model.safetensors").read_bytes() != again.weights.read_bytes()
    with pytest.raises(ConfigError, match="each prediction time of train has a label"):
        finetune(labelled, "long", "base", device="cpu", settings=settings, out=run.with_name("q"))


def test_what_is_refused_is_refused_before_a_teacher_learns(half_labelled, monkeypatch):
    """Stale labels, a folder that is taken, and a config that cannot hold; a dry run asks no teacher."""
    w, learn = half_labelled, (*QUICK, "objective.label.self_training.weight=0.5", "train.max_steps=4")
    run = finetune(w, "half", "base", device="cpu", settings=learn).run

    def never(*args):
        raise AssertionError("it learned")

    monkeypatch.setattr("tawt.commands.finetune.teach", never)
    refused = {
        "is there already": {},
        "wandb": {"settings": (*learn, "train.loggers=[wandb]"), "out": w / "runs" / "q"},
    }
    for said, more in refused.items():
        with pytest.raises(ConfigError, match=said):
            finetune(w, "half", "base", **({"device": "cpu", "settings": learn} | more))
    finetune(w, "half", "base", device="cpu", settings=learn, out=w / "runs" / "dry", dry_run=True)
    finetune(w, "half", "base", device="cpu", settings=learn, resume=True, dry_run=True)
    monkeypatch.setattr("tawt.pipeline.fresh._of_labels", lambda root, labels: Fresh({}, fault="they are old"))
    with pytest.raises(StaleError, match="they are old"):
        finetune(w, "half", "base", device="cpu", settings=learn, out=w / "runs" / "q")
    monkeypatch.undo()
    (run / TEACHER).unlink()
    with pytest.raises(CheckpointError, match=TEACHER):
        finetune(w, "half", "base", device="cpu", settings=learn, resume=True)


def test_a_teacher_is_asked_anew_where_nothing_was_learned_from_it(half_labelled):
    """What it said before a run made a step is taken if it is of the same; else it is asked; steps made with it hold it."""
    w, learn = half_labelled, (*QUICK, "objective.label.self_training.weight=0.5", "train.max_steps=4")
    run = finetune(w, "half", "base", device="cpu", settings=learn).run
    said = (run / TEACHER).read_bytes()
    table = pq.read_table(run / TEACHER)
    pq.write_table(table.replace_schema_metadata({b"made_of": b"else"}), run / TEACHER)
    for name in (LIST, "unfinished.json"):
        (run / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="another run"):
        finetune(w, "half", "base", device="cpu", settings=learn, resume=True)
    shutil.rmtree(run / "checkpoints")
    finetune(w, "half", "base", device="cpu", settings=learn, resume=True)
    assert (run / TEACHER).read_bytes() == said


ENDS = [
    (loop.Trainer, "validate"), (loop, "save_checkpoint"), (checkpoint, "name_latest"), (settle, "say_best"),
    (settle, "say_unfinished"), (settle, "remove_checkpoint"), (training, "write_tensors"), (training, "write_hashes"),
]  # fmt: skip
"""What a run does at its end, one after the other."""


@pytest.mark.parametrize("mode", ["probe", "head"])
def test_broken_off_at_its_end_and_resumed_equals_uninterrupted(labelled, mode, monkeypatch):
    """Whatever of its last checkpoint is written, of a probe its only one, a resumed run ends in the same bytes; and
    one that is finished may be resumed, and stays as it is."""
    how = {"mode": mode, "epochs": 2, "device": "cpu", "settings": QUICK}
    done = finetune(labelled, "long", "base", out=labelled / "runs" / "done", **how)
    before, last = files(done.run), done.plan.n_steps
    for room, name in ENDS:
        real, run = getattr(room, name), labelled / "runs" / f"off-{name}"

        def ends(*args, real=real, run=run):
            made = run / "checkpoints" / f"step-{last:06d}"
            if made.exists() or (args[1:2] == (last,)) or (real.__name__ == "save_checkpoint" and args[3].step == last):
                raise RuntimeError("the end")
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(room, name, ends)
            try:
                finetune(labelled, "long", "base", out=run, **how)
            except RuntimeError as error:
                assert str(error) == "the end"
            else:
                assert mode == "probe" and name in ("say_best", "remove_checkpoint")  # a probe has no such thing
                continue
        runs = Runs(labelled, known := Known())
        assert runs.wrong == {} and {path for path in run.rglob("*") if path.is_file()} <= known.files | known.locks
        finetune(labelled, "long", "base", out=run, resume=True, **how)
        assert files(run) == before, name
        assert changed_files(run) == [] and not (run / "unfinished.json").exists()
    again = finetune(labelled, "long", "base", out=done.run, resume=True, **how)
    assert (
        files(done.run) == before
        and changed_files(done.run) == []
        and again.metrics["tuning"] == done.metrics["tuning"]
    )
