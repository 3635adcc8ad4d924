"""Dropout, and its end before that of the run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tawt.commands.pretrain import pretrain
from tawt.config.load import build, merge, overrides
from tawt.config.train import PretrainConfig
from tawt.models.dropout import stop_dropping
from tawt.training.metrics import read_metrics


def losses(workspace, config: PretrainConfig, name: str, *settings: str) -> list[float]:
    """The loss of each of eight steps that change no weight of the run `begun`."""
    still = ("train.max_steps=8", "train.lr=1e-30", "train.weight_decay=0", "train.validate_every=0")
    made = build(PretrainConfig, merge(config.model_dump(), overrides([*still, *settings])), "config")
    result = pretrain(workspace, made, device="cpu", init="begun", out=workspace / "runs" / name)
    return [line["loss"] for line in read_metrics(result.run / "metrics.jsonl") if line["split"] == "train"]


@pytest.mark.parametrize("of", ["dropout", "attention_dropout"])
def test_the_last_steps_have_no_dropout(workspace, config, of):
    """With `dropout_until`, steps have the loss of a run with dropout up to there, and that of one without behind."""
    pretrain(workspace, config, device="cpu", out=workspace / "runs" / "begun")  # at the start all say the same
    none = ("model.dropout=0", "model.attention_dropout=0")
    without = losses(workspace, config, "without", *none)
    always = losses(workspace, config, "always", *none, f"model.{of}=0.4")
    until = losses(workspace, config, "until", *none, f"model.{of}=0.4", "train.dropout_until=0.6")
    assert all(a != b for a, b in zip(always, without, strict=True))
    assert until == always[:5] + without[5:]


def test_a_run_is_continued_where_dropout_has_ended(workspace, config, broken_off):
    """Stopped before dropout ends or behind, a resumed run has the weights of one that was left alone."""
    settings = overrides(["train.max_steps=8", "model.dropout=0.3", "train.dropout_until=0.5"])
    made = build(PretrainConfig, merge(config.model_dump(), settings), "config")
    left = pretrain(workspace, made, device="cpu", out=workspace / "runs" / "left")
    for steps in (3, 6):
        run = workspace / "runs" / f"r{steps}"
        broken_off(steps, workspace, made, device="cpu", out=run)
        again = pretrain(workspace, made, device="cpu", out=run, resume=True)
        assert again.weights.read_bytes() == left.weights.read_bytes(), steps


def test_what_stops_dropping_says_so_once():
    """A model that drops nothing is told apart from one that did, for what was captured of it holds no more."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.0)))
    assert [stop_dropping(model), stop_dropping(model)] == [True, False]
    x = torch.ones(64, 2)
    assert torch.equal(model.train()(x), model.eval()(x))
