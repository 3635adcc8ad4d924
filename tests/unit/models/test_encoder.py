"""How the encoder computes, which must not change what it computes."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from tawt.batching.batch import make_layout
from tawt.config.model import ModelConfig
from tawt.models.encoder import Encoder


def an_encoder(vocabulary, **changes):
    torch.manual_seed(0)
    config = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ffn": 16, "dropout": 0.2} | changes
    return Encoder(ModelConfig.model_validate(config), vocabulary)


def outcome(encoder, batch):
    """Embeddings and gradients, with the same dropout each time."""
    torch.manual_seed(3)
    encoder.zero_grad(set_to_none=True)
    embedding = encoder.embed(batch)
    embedding.square().sum().backward()
    return embedding.detach(), {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}


def test_a_layout_that_comes_along_is_used(small):
    """A batch with its layout made gives what one without gives, whatever the granularity and readout."""
    vocabulary, batch = small
    for granularity in ("triplet", "timestamp"):
        for pooling in ("mean", "cls"):
            encoder = an_encoder(vocabulary, granularity=granularity, pooling=pooling).eval()
            made = replace(batch, layout=make_layout(batch, granularity, with_cls=pooling == "cls"))
            assert torch.equal(encoder.embed(batch), encoder.embed(made))
            assert encoder.states(batch).shape == (batch.n_tokens, 16)


def test_activation_checkpointing_changes_no_bit(small):
    """Blocks computed again give the same embedding and gradients, dropout included, and keep fewer activations."""
    vocabulary, batch = small
    encoder = an_encoder(vocabulary)
    kept: list[int] = []

    def saved(x):
        kept[-1] += x.numel()
        return x

    found = []
    for again in (False, True):
        encoder.prepare(torch.device("cpu"), torch.float32, activation_checkpointing=again)
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(saved, lambda x: x):
            found.append(outcome(encoder, batch))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])
    assert kept[1] < kept[0]


@pytest.mark.parametrize("kernel", ["packed", "reference"])
def test_padding_to_a_static_length_changes_nothing(small, kernel):
    """Tokens added to reach a static length leave embeddings and gradients as they are."""
    vocabulary, batch = small
    encoder = an_encoder(vocabulary, dropout=0.0, kernel=kernel, pooling="attention")
    plain = outcome(encoder, batch)
    reasons = encoder.prepare(torch.device("cpu"), torch.float32, static_step=384)
    padded = outcome(encoder, batch)
    assert reasons["kernel"].startswith(kernel)
    assert torch.allclose(plain[0], padded[0], atol=1e-5)
    for name, grad in plain[1].items():
        assert torch.allclose(grad, padded[1][name], atol=1e-4, rtol=1e-3), name


def test_a_compiled_encoder_keeps_the_names_of_its_weights(small, monkeypatch):
    """The blocks go through `torch.compile` as one function; weights keep their names and results stay."""
    vocabulary, batch = small
    seen = []

    def stand_in(function, **options):
        seen.append(options)
        return function

    monkeypatch.setattr(torch, "compile", stand_in)
    encoder = an_encoder(vocabulary, dropout=0.0)
    names, before = list(encoder.state_dict()), encoder.embed(batch)
    encoder.prepare(torch.device("cpu"), torch.float32, compiled=True)
    assert seen == [{"dynamic": False}]
    assert list(encoder.state_dict()) == names and any(n.startswith("blocks.0.attention.") for n in names)
    assert torch.equal(encoder.embed(batch), before)


def test_the_readout_is_float32_under_autocast(small):
    """Under bf16 autocast the embedding is float32 and near that of float32."""
    vocabulary, batch = small
    for pooling in ("mean", "attention", "per_type"):
        encoder = an_encoder(vocabulary, pooling=pooling, combine="concat", granularity="timestamp").eval()
        exact = encoder.embed(batch)
        with torch.autocast("cpu", torch.bfloat16):
            half = encoder.embed(batch)
        assert half.dtype == torch.float32
        assert (half - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_flex_needs_no_preparation(small, pooling, monkeypatch):
    """An encoder that nobody prepared pads to whole blocks where its kernel is FlexAttention, and embeds the same."""
    vocabulary, batch = small
    encoder = an_encoder(vocabulary, d_model=32, pooling=pooling).eval()
    assert batch.n_tokens % 128
    with torch.no_grad():
        expected = encoder.embed(batch)
        monkeypatch.setattr("tawt.models.encoder.choose_kernel", lambda *asked: ("flex", ""))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*flex_attention called without torch.compile.*")
            assert torch.allclose(encoder.embed(batch), expected, atol=1e-5)
