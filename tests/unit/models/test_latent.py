"""What a latent reads off records, and how a decoder is told it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tawt.batching.batch import make_layout
from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.config.latent import LatentConfig
from tawt.config.model import ModelConfig
from tawt.config.next_event import NextConfig
from tawt.dataset.reader import open_dataset
from tawt.models.decoder.heads import NextHeads
from tawt.models.decoder.latent import Latent, Posterior, encoder_of, normals
from tawt.models.decoder.reading import Reading
from tawt.models.encoder import Encoder
from tawt.synthesis.rollout import from_nothing

SHAPE = ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16, dropout=0.3)


@pytest.fixture
def records(tmp_path, write_dataset):
    """Vocabulary and a batch of whole records on the host."""
    write_dataset(tmp_path, {"train": [6]}, lengths=[30, 3, 12, 25, 1, 18])
    dataset = open_dataset(tmp_path)
    config = BatchingConfig(tokens_per_batch=400, max_length=200, order="by_type")
    return dataset.vocabulary, PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0).batch(0)


def a_latent(vocabulary, shape=SHAPE, **how):
    """One whose weights are not at their start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        latent = Latent(LatentConfig(model=shape, trains_encoder=True, n_queries=3, d_latent=2, **how), vocabulary)
        for parameter in latent.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    return latent


def one_document(batch, i):
    """A document by itself."""
    columns = {name: getattr(batch, name)[i : i + 1] for name in (
        "n_static", "subject_id", "origin", "end", "begins", "ends")}  # fmt: skip
    rows = slice(batch.bounds[i], batch.bounds[i + 1])
    columns |= {name: getattr(batch, name)[rows] for name in (
        "data_type", "value", "value_token", "value_status", "time", "identity")}  # fmt: skip
    return replace(batch, **columns, bounds=batch.bounds[i : i + 2] - batch.bounds[i])


@pytest.mark.parametrize("granularity", ["triplet", "timestamp"])
def test_packed_is_one_by_one(records, granularity):
    """A record has the posterior that it has by itself, and the gradients of all are the sum of those of each."""
    vocabulary, batch = records
    latent = a_latent(vocabulary, SHAPE.model_copy(update={"granularity": granularity, "pooling": "cls"})).eval()
    names = [name for name, p in latent.named_parameters() if p.requires_grad]

    def told(batch):
        latent.zero_grad()
        found = latent(batch.tensors())
        (found.mean.square().sum() + found.log_deviation.sum()).backward()
        gradients = {name: p.grad.clone() for name, p in latent.named_parameters() if p.grad is not None}
        return found.mean.detach(), found.log_deviation.detach(), gradients

    mean, log, gradients = told(batch)
    alone = [told(one_document(batch, i)) for i in range(batch.n_documents)]
    assert torch.allclose(mean, torch.cat([a[0] for a in alone]), atol=1e-5)
    assert torch.allclose(log, torch.cat([a[1] for a in alone]), atol=1e-5)
    assert gradients.keys() == {*names} and (mean.std(0) > 0.05).all(), "records differ"
    for name in names:
        assert torch.allclose(gradients[name], sum(a[2][name] for a in alone), rtol=1e-3, atol=1e-4), name


def test_the_divergence_is_that_of_two_normals():
    """Number by number as torch's own distributions have it; a draw has their mean and deviation."""
    mean, log = torch.randn(5, 6), torch.randn(5, 6)
    posterior = Posterior(mean, log)
    own = Normal(mean, log.exp())
    assert torch.allclose(posterior.divergence(), kl_divergence(own, Normal(0.0, 1.0)), atol=1e-5)
    noise = torch.randn(5, 6)
    assert torch.allclose(own.log_prob(posterior.drawn(noise)), Normal(0.0, 1.0).log_prob(noise) - log, atol=1e-4)


def test_an_encoder_that_does_not_learn_reads_as_it_did(records):
    """Nothing of it takes a gradient, and its dropout is off while the rest trains; one that learns drops."""
    vocabulary, batch = records
    for learns in (False, True):
        config = LatentConfig(model=SHAPE, encoder="one", trains_encoder=learns)
        latent = Latent(config, vocabulary).train()
        latent(batch.tensors()).mean.sum().backward()
        reached = {name for name, p in latent.named_parameters() if p.grad is not None}
        assert any(name.startswith("encoder.") for name in reached) == learns
        assert {"to_mean", "to_read.weight", "queries.query.weight"} <= reached
        assert torch.equal(latent(batch.tensors()).mean, latent(batch.tensors()).mean) != learns


def test_an_encoder_is_read_without_its_readout():
    """A readout with weights of its own becomes a mean; [CLS] stays, which the other tokens have seen."""
    pooled = {how: encoder_of(SHAPE.model_copy(update={"pooling": how})).pooling for how in
              ("mean", "cls", "max", "attention", "per_type")}  # fmt: skip
    assert pooled == {"mean": "mean", "cls": "cls", "max": "max", "attention": "mean", "per_type": "mean"}


def test_a_decoder_that_is_told_nothing_yet_is_the_plain_one(records):
    """At the start, whatever is drawn, its states are to the bit those of a decoder without a latent."""
    vocabulary, batch = records
    config = SHAPE.model_copy(update={"causal": True})
    encoder, packed = Encoder(config, vocabulary).eval(), batch.tensors()
    heads = NextHeads(config, NextConfig(), vocabulary, 6)
    z = torch.randn(batch.n_documents, 6)
    plain = encoder(packed).tokens
    assert torch.equal(encoder.closed(*encoder.opened(packed, heads.told(z))).tokens, plain)
    heads.of_latent.weight.data.normal_()
    assert (encoder.closed(*encoder.opened(packed, heads.told(z))).tokens - plain).abs().amax(1).min() > 1e-3


def test_reading_on_is_told_the_same(records):
    """With a latent, prompts and one event more give the states of the records at once; of some, those of theirs."""
    vocabulary, batch = records
    config = SHAPE.model_copy(update={"causal": True, "dropout": 0.0})
    encoder, told = Encoder(config, vocabulary).eval(), torch.randn(batch.n_documents, config.d_model)
    packed = batch.tensors()
    whole = encoder.closed(*encoder.opened(packed, told)).tokens
    ends = torch.from_numpy(batch.bounds[1:] + np.arange(batch.n_documents))
    chosen, alone = torch.tensor([3, 0]), int(batch.lengths.argmin())
    event = one_document(batch, alone).tensors()
    assert event.n_tokens == 1
    with torch.no_grad():
        reading = Reading(encoder, packed, told)
        begun = Reading(encoder, from_nothing(batch.origin), told)
        read = begun.of(torch.tensor([alone])).read(event, make_layout(event))
    assert (reading.last - whole[ends]).abs().max() < 1e-5
    assert torch.equal(reading.of(chosen).told, told[chosen])
    assert (read - whole[ends[alone]]).abs().max() < 1e-5


def test_noise_is_a_words_own_and_normal():
    """Equal words give equal numbers wherever they stand; of many, all moments are those of a standard normal."""
    words = np.arange(20_000, dtype=np.uint64) * np.uint64(77)
    made = normals(words, 4)
    assert torch.equal(normals(words[5:7], 4), made[5:7]) and made.isfinite().all()
    assert made.mean(0).abs().max() < 0.04 and (made.std(0) - 1).abs().max() < 0.03
    assert (torch.corrcoef(made.T) - torch.eye(4)).abs().max() < 0.04
