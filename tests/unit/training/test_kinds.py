"""A new kind of task is one class: with its place in `KINDS`, labels of it are read, learned, answered and measured."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands.evaluate import evaluate
from tawt.commands.finetune import finetune
from tawt.errors import CheckpointError, ConfigError
from tawt.evaluation.predictions import read_predictions
from tawt.heads.kinds import KINDS
from tawt.heads.kinds.binary import Labels
from tawt.heads.kinds.kind import as_tuple
from tawt.heads.kinds.numbers import Numbers

QUICK = ("train.threads=1", "train.max_steps=4", "train.warmup_steps=1")


class Shares(Labels):
    """A share, from 0 to 1, by its logit."""

    name, plural, alone, words = "shares", "shares", "", ()
    family, reads = "numbers", ("float_value",)

    @classmethod
    def described(cls, rows, config):
        return {"outputs": rows.asked, "prior": as_tuple(rows.value.mean(0))}

    said = Numbers.said


def relabel(workspace, **columns):
    """Label the same prediction times with other answers."""
    table = pq.read_table(workspace / "labels" / "long.parquet").select(["subject_id", "prediction_time"])
    for name, of in columns.items():
        table = table.append_column(name, of(len(table)))
    pq.write_table(table, workspace / "labels" / "task.parquet")


@pytest.mark.parametrize("mode", ["probe", "head"])
@pytest.mark.parametrize("kind", ["shares", "counts"])
def test_a_new_kind_is_one_class(labelled, monkeypatch, kind, mode):
    """Of labels, by either head, come answers within what the kind can be, measured beside what is simpler."""
    monkeypatch.setitem(KINDS, "shares", Shares)
    workspace = labelled
    column = {"shares": "float_value", "counts": "integer_value"}[kind]
    dealt = {"shares": lambda n: np.arange(n) % 5 / 4, "counts": lambda n: np.arange(n) % 7}[kind]
    relabel(workspace, **{column: lambda n: pa.array(dealt(n), pa.float32() if kind == "shares" else pa.int64())})
    run = finetune(workspace, "task", "base", mode=mode, kind=kind, epochs=1, device="cpu", settings=QUICK).run
    assert json.loads((run / "task.json").read_text())["kind"] == kind
    beside = ("mean", "ridge regression", "GRU-D", "untrained encoder", "shuffled labels")
    result = evaluate(workspace, "task", run, baselines=beside, n_draws=5, device="cpu")  # as the run has learned
    said = read_predictions(result.folder / f"{run.name}.parquet")
    family = "counts" if kind == "counts" else "numbers"  # of counts it has one word everywhere
    assert said.kind == said.about["kind"] == result.comparison.kind == family
    assert ("poisson_deviance" in result.comparison.titles) == (kind == "counts")
    if kind == "counts":
        assert said.outcome.low.min() == 0, "no count is below 0, and some intervals would begin there"
    assert (said.outcome.predicted > 0).all() and np.ptp(said.outcome.predicted) > 0
    assert kind == "counts" or (said.outcome.predicted < 1).all()
    assert len(result.comparison.rows) == 5 and result.shuffled is not None and result.shuffled.metric == "spearman"


def test_a_kind_that_is_not_there_is_told(labelled, monkeypatch):
    """A run of a kind that this version does not have is refused with those that it has, and so is one that is asked."""
    monkeypatch.setitem(KINDS, "shares", Shares)
    workspace = labelled
    relabel(workspace, float_value=lambda n: pa.array(np.arange(n) % 5 / 4, pa.float32()))
    run = finetune(workspace, "task", "base", mode="probe", kind="shares", device="cpu", settings=QUICK).run
    monkeypatch.delitem(KINDS, "shares")
    with pytest.raises(CheckpointError, match="kind that this version of tawt does not have, expected one of time"):
        evaluate(workspace, "task", run, kind="numbers", device="cpu")
    with pytest.raises(ConfigError, match="--kind shares"):
        evaluate(workspace, "task", run, kind="shares", device="cpu")
