"""A decoder with a latent, from the encoder that it names to a run that stands alone."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tawt.commands.pretrain import pretrain
from tawt.config.load import build, load
from tawt.config.model import ModelConfig
from tawt.config.next_event import DRAWN
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError
from tawt.runs.load import load_decoder
from tawt.training.memory import least_parameters
from tawt.training.metrics import read_metrics


@pytest.fixture
def encoded(workspace, config, with_train):
    """A workspace with a pretrained encoder, whose readout has weights of its own."""
    model = config.model.model_copy(update={"pooling": "attention"})
    pretrain(
        workspace, with_train(config.model_copy(update={"model": model}), max_steps=2), device="cpu",
        out=workspace / "runs" / "encoder",
    )  # fmt: skip
    return workspace


@pytest.fixture
def decoder(config):
    """`decoder(**latent)`: a small config, with dropout and accumulation on."""

    def make(**latent):
        tree = config.model_dump()
        tree["model"] |= {"causal": True}
        tree["batching"] |= {"order": "by_type"}
        tree["objective"] = {
            "masked": {"weight": 0}, "next": {"weight": 1},
            "latent": {"encoder": "encoder", "n_queries": 2, "d_latent": 3, "warmup_steps": 6} | latent,
        }  # fmt: skip
        return PretrainConfig.model_validate(tree)

    return make


def left(run):
    """Weights, and lines of metrics without speeds."""
    lines = [
        {key: value for key, value in line.items() if key not in ("tokens_per_s", "seconds")}
        for line in read_metrics(run / "metrics.jsonl")
    ]
    return (run / "model.safetensors").read_bytes(), json.dumps(lines)


@pytest.mark.parametrize("learns", [False, True], ids=["read", "trained"])
def test_stopped_and_resumed_equals_uninterrupted(encoded, decoder, tmp_path, broken_off, learns):
    """Byte for byte, though the encoder that it began from is gone by then: the run has it, and stands alone."""
    config = decoder(trains_encoder=learns)
    pretrain(encoded, config, device="cpu", out=tmp_path / "a")
    broken_off(6, encoded, config, device="cpu", out=tmp_path / "b")
    was = load_file(encoded / "runs" / "encoder" / "model.safetensors")
    shutil.rmtree(encoded / "runs" / "encoder")
    result = pretrain(encoded, config, device="cpu", out=tmp_path / "b", resume=True)
    assert result.plan.start_step == 4 and left(tmp_path / "a") == left(tmp_path / "b")
    now = load_file(result.weights)
    kept = {name: torch.equal(was[name], now[f"latent.{name}"]) for name in was if "pooling" not in name and
            name.startswith("encoder.")}  # fmt: skip
    assert kept and all(kept.values()) != learns
    loaded, line = load_decoder(tmp_path / "b"), result.metrics["tuning"]
    assert loaded.latent is not None and loaded.heads.of_latent.weight.abs().max() > 0
    assert loaded.config.objective.latent.model.pooling == "mean"
    assert line["kl_record"] > 0 and 0 <= line["active_kl"] <= 6 and 0 <= line["active_units"] <= 6
    # what is minimized is what records cost, for each of their events
    cost = sum(line[f"loss_{part}"] * line[f"n_{part}"] for part in (*DRAWN, "kl")) / line["n_next_type"]
    assert line["loss"] == pytest.approx(cost, rel=1e-9)


def test_what_cannot_be_read_with_is_refused(encoded, decoder, with_train, tmp_path):
    """An encoder that is not there, is a decoder, or is of another shape than is said; and what does not go together."""
    pretrain(encoded, with_train(decoder(), max_steps=1), device="cpu", out=encoded / "runs" / "decoder")
    shape = ModelConfig(d_model=24, n_layers=1, n_heads=2, d_ffn=16)
    for latent, kind, said in (
        ({"encoder": "nobody"}, CheckpointError, "`nobody` is no run yet"), ({"encoder": "decoder"}, ConfigError, "is a decoder"),
        ({"model": shape}, ConfigError, "is not that of `encoder`"),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            pretrain(encoded, decoder(**latent), device="cpu", out=tmp_path / "x")
    tree = decoder().model_dump()
    for change, said in (
        ({"objective": tree["objective"] | {"next": {"weight": 0}, "masked": {"weight": 1}}}, "told to a decoder"),
        ({"train": tree["train"] | {"parallel": "fsdp"}}, "is not shared out"),
        ({"objective": tree["objective"] | {"latent": {"model": shape.model_dump()}}}, "must learn"),
        ({"objective": tree["objective"] | {"latent": {"encoder": "a", "model": {"causal": True}}}}, "whole record"),
    ):
        with pytest.raises(ConfigError, match=said):
            build(PretrainConfig, tree | change, "config.yaml")


def test_an_encoder_of_another_vocabulary_is_refused(encoded, decoder, write_dataset, tmp_path):
    """Its numbers would be other data_types'; nothing is written."""
    write_dataset(tmp_path / "other", {"train": [40], "tuning": [10]}, n_types=12)
    with pytest.raises(CheckpointError, match="has vocabulary"):
        pretrain(
            tmp_path / "other", decoder(encoder=str(encoded / "runs" / "encoder")), device="cpu",
            out=tmp_path / "other" / "runs" / "x",
        )  # fmt: skip
    assert not (tmp_path / "other" / "runs" / "x").exists()


def test_a_dry_run_counts_what_reads(encoded, decoder):
    """Parameters and memory grow by the encoder, whose tables are its own; nothing is written."""
    plain = decoder(encoder="")
    with_one, without = (pretrain(encoded, c, device="cpu", dry_run=True).plan for c in (decoder(), plain))
    assert with_one.parameters.total > without.parameters.total + with_one.parameters.latent * 0.9 > 0
    assert with_one.memory_bytes > without.memory_bytes and without.parameters.latent == 0
    vocabulary = open_dataset(encoded).vocabulary
    assert least_parameters(with_one.config, vocabulary) > least_parameters(without.config, vocabulary)
    assert not (encoded / "runs" / "custom").exists()


def test_a_run_begins_from_one_with_a_latent(encoded, decoder, with_train, tmp_path):
    """`--init` takes what reads along with the rest."""
    config = with_train(decoder(trains_encoder=True), max_steps=3)
    first = pretrain(encoded, config, device="cpu", out=tmp_path / "a")
    notes = []
    pretrain(
        encoded, with_train(config, max_steps=1, lr=1e-12), device="cpu", out=tmp_path / "b", init=tmp_path / "a",
        report=lambda event: notes.append(event.get("text", "")),
    )  # fmt: skip
    ours, theirs = load_file(first.weights), load_file(tmp_path / "b" / "model.safetensors")
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)
    assert any(f"{len(ours)} of {len(ours)} tensors" in text for text in notes)
    assert load(PretrainConfig, tmp_path / "b" / "config.yaml").objective.latent.model is not None
