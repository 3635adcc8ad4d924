"""Statics at the head: what is known without a time is told beside any embedding, by then and no sooner."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from tawt.commands.evaluate import evaluate
from tawt.commands.finetune import finetune
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError
from tawt.evaluation.predictions import read_predictions
from tawt.heads.labels import read_labels
from tawt.heads.statics import facts_at
from tawt.heads.task import AGE, IS_KNOWN, NUMBER, Fact, TaskSpec
from tawt.readers import read_record
from tawt.runs.answer import answer, load_task
from tawt.training.device import choose_compute

QUICK = ("train.threads=1", "train.max_steps=4", "train.warmup_steps=1", "objective.label.statics=true")
LATER = 60_000_000


def split_of(static, born=0):
    """A split of one subject with some static rows (data_type, value, token, status, available) and a birth, or none."""
    rows = [*static, (9, 0.0, 0, ValueStatus.NONE, 0)]
    kind, value, token, status, available = map(np.array, zip(*rows, strict=True))
    columns = SimpleNamespace(
        data_type=np.where(kind == 9, 9 if born else 8, kind), value=value, value_token=token, value_status=status,
        timestamp=np.zeros(len(rows), dtype=np.int64), available_time=available,
    )  # fmt: skip
    return SimpleNamespace(
        subject_ids=np.array([7]), origins=np.array([0]), n_static=np.array([len(static)]), time_origin="birth",
        columns=lambda i: columns,
    )  # fmt: skip


def test_facts_are_what_was_known_by_then():
    """A number is told in standard deviations beside its flag, a category by its token, the age in years; what could not
    be read yet, or is an empty cell, is not known and told as nothing."""
    vocabulary = SimpleNamespace(codes=(*"abcdefghi", "MEDS_BIRTH"))
    facts = [Fact(data_type=i, what=what) for i in (4, 5) for what in (IS_KNOWN, NUMBER, 3)]
    facts[1] = Fact(data_type=4, what=NUMBER, mean=1.0, scale=2.0)
    facts += [Fact(data_type=AGE, what=IS_KNOWN), Fact(data_type=AGE, what=NUMBER, mean=40.0, scale=10.0)]
    rows = [(4, 5.0, 0, ValueStatus.NUMERIC, 0), (5, 0.0, 3, ValueStatus.CATEGORY, LATER)]
    year = 8766 * 3_600_000_000
    told = facts_at(split_of(rows, born=1), vocabulary, np.array([7, 7]), np.array([1, 50 * year]), facts)
    np.testing.assert_allclose(told, [[1, 2, 0, 0, 0, 0, 1, -4], [1, 2, 0, 1, 0, 1, 1, 1]], atol=1e-6)
    empty = [(4, 0.0, 0, ValueStatus.ABSENT, 0), (5, 0.0, 0, ValueStatus.NONE, 0)]
    told = facts_at(split_of(empty), vocabulary, np.array([7]), np.array([50 * year]), facts)
    np.testing.assert_allclose(told, [[0, 0, 0, 1, 0, 0, 0, 0]])


@pytest.mark.parametrize("mode", ["probe", "head", "full"])
def test_a_head_reads_facts_beside_the_embedding(labelled, mode):
    """A run has a weight for each fact of its task, train and evaluation see the same ones, and what it answers is what
    weights, embedding and facts give."""
    run = finetune(labelled, "long", "base", mode=mode, epochs=1, device="cpu", settings=QUICK).run
    spec, plain = (
        read_record(run / "task.json", TaskSpec, "", CheckpointError),
        json.loads((run / "task.json").read_text()),
    )
    assert spec.statics and len(plain["statics"]) == len(spec.statics)
    weight = load_file(run / "model.safetensors")["heads.label.linear.weight"]
    without = finetune(
        labelled, "long", "base", mode=mode, epochs=1, device="cpu", settings=QUICK[:3], out=labelled / "runs" / "other"
    ).run
    n_facts = weight.shape[1] - load_file(without / "model.safetensors")["heads.label.linear.weight"].shape[1]
    assert n_facts == len(spec.statics) and np.abs(weight[:, -n_facts:]).max() > 0
    beside = ("prevalence", "untrained encoder", "shuffled labels")
    result = evaluate(labelled, "long", run, baselines=beside, n_draws=5, device="cpu")
    said, labels = (
        read_predictions(result.folder / f"{run.name}.parquet"),
        read_labels(labelled / "labels" / "long.parquet"),
    )
    dataset = open_dataset(labelled)
    facts = facts_at(
        dataset.split("held_out"), dataset.vocabulary, said.subject_id, said.prediction_time, spec.statics
    )  # fmt: skip
    assert np.ptp(facts, 0).max() > 0 and len(labels) > len(facts)
    # weights of facts changed, answers change where facts are, and as they say
    task = load_task(run)
    task.head.linear.weight.data[:, -n_facts:] += 1.0
    rows, now, _ = answer(task, dataset.split("held_out"), labels, choose_compute("cpu", "fp32", 1))
    logit = [np.log(p / (1 - p)) for p in (now[:, 0].astype(np.float64), said.outcome.score)]
    order = np.lexsort((labels.time[rows], labels.subject_id[rows]))
    np.testing.assert_allclose(logit[0][order] - logit[1], facts.sum(1), atol=1e-3)


def test_where_nothing_is_static_it_is_told(labelled, monkeypatch):
    """Without a fact that enough people have, the setting is an error, not a head like others."""
    monkeypatch.setattr("tawt.heads.statics.SMALL_CELL", 1000)
    with pytest.raises(ConfigError, match=r"objective.label.statics.*finds no static fact"):
        finetune(labelled, "long", "base", mode="probe", device="cpu", settings=QUICK)
