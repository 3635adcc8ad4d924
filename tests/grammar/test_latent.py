"""A decoder with a latent in a world whose records have a trait that no event names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from traits import HIGH, Traits, levels
from world import config, write

import tawt
from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError
from tawt.runs.load import load_decoder
from tawt.synthesis.prior import fit_prior, posteriors, ready_prior
from tawt.synthesis.rollout import COMPANY, invent
from tawt.training.checkpoint import read_tensors, write_tensors

STEPS = 120


def trained(workspace: Path, name: str, **latent):
    """A decoder that was told what a latent says."""
    tree = config(STEPS).model_dump()
    shape = tree["model"] | {"causal": False}
    tree["batching"]["tokens_per_batch"] = 1024
    tree["objective"]["latent"] = {
        "model": shape, "trains_encoder": True, "n_queries": 2, "d_latent": 2, "warmup_steps": STEPS // 2,
    } | latent  # fmt: skip
    result = tawt.pretrain(workspace, PretrainConfig.model_validate(tree), device="cpu", out=workspace / "runs" / name)
    return load_decoder(result.run), result.metrics["tuning"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The world's dataset."""
    workspace = tmp_path_factory.mktemp("traits")
    write(workspace, Traits(), 500)
    return workspace, open_dataset(workspace)


@pytest.fixture(scope="module")
def learned(world):
    """A decoder that learned the world, and its last losses."""
    return trained(world[0], "told", free_bits=0.2)


def drawn(decoder, n, latent, seed=1):
    """Mean numbers of invented records."""
    parts = invent(decoder, np.arange(n), seed, 30, latent=latent)
    return np.concatenate([levels(p.records.bounds, p.records.value, p.records.value_status) for p in parts])


def test_a_latent_says_something_where_it_may_and_nothing_where_it_costs(world, learned):
    """With free bits and events that are dropped all its numbers are active and help to foresee values; without, it collapses."""
    _, told = learned
    collapsed = trained(world[0], "bare", free_bits=0.0, event_dropout=0.0)[1]
    assert told["active_units"] == told["active_kl"] == 4 and told["kl_record"] > 0.7  # one of two costs .69
    assert collapsed["active_units"] < 4 and collapsed["kl_record"] < 0.1
    assert told["loss_next_number"] < collapsed["loss_next_number"]


def test_records_from_one_latent_share_the_trait(world, learned):
    """What a record's latent says of its level comes back in records that are drawn from it, whatever else they are."""
    _, dataset = world
    decoder, _ = learned
    batch = next(PackedLoader(dataset.split("train"), dataset.vocabulary, decoder.config.batching, 0).sequential())
    with torch.no_grad():
        mean = decoder.latent(batch).mean
    level = levels(batch.cu_seqlens.numpy(), batch.value.numpy(), batch.value_status.numpy())
    told = np.resize(np.flatnonzero(np.isfinite(level)), COMPANY)
    made = drawn(decoder, COMPANY, lambda numbers: mean[told])
    has = np.isfinite(made)
    assert has.sum() > 50 and (np.sign(made) == np.sign(level[told]))[has].mean() > 0.9
    assert 0.2 < (level[told] < 0).mean() < 0.5


@pytest.fixture(scope="module")
def priors(world, learned):
    """The three priors of the decoder."""
    _, dataset = world
    splits = dataset.split("train"), dataset.split("tuning")
    return {kind: fit_prior(kind, learned[0], *splits, steps=40) for kind in ("normal", "vae", "gan")}


def test_a_fitted_prior_gives_the_trait_its_share(learned, priors):
    """Within sampling error as often as in the world, and more of it clearly one or the other than from N(0, 1)."""
    made = {kind: drawn(learned[0], 256, lambda n, p=prior: p.draw(n, 5)) for kind, prior in priors.items()}
    truth = np.array(
        [np.mean([x for _, _, x in walk if x is not None] or [np.nan]) for walk in Traits().records(3000, 9)]
    )
    off = {kind: abs(np.nanmean(level > 0) - np.nanmean(truth > 0)) for kind, level in made.items()}
    unclear = {kind: np.nanmean(np.abs(level) < 0.5) for kind, level in made.items()}
    error = (HIGH * (1 - HIGH) / 256) ** 0.5
    assert max(off["vae"], off["gan"]) < 4 * error and off["vae"] <= off["normal"] + 2 * error
    assert unclear["vae"] <= unclear["normal"] + 0.02


def test_priors_have_the_moments_of_latents(world, learned, priors):
    """Of a mixture and of a generator, mean and covariance of draws are those of the latents of train."""
    z = posteriors(learned[0], world[1].split("train"))[1]
    for kind, within in (("vae", 0.15), ("gan", 0.3)):
        made = priors[kind].draw(np.arange(4000), 2).numpy()
        assert np.abs(made.mean(0) - z.mean(0)).max() < within, kind
        assert np.abs(np.cov(made.T) - np.cov(z.T)).max() < 2 * within, kind


def test_a_prior_is_made_again_where_its_run_is_another(world, learned, tmp_path):
    """Read where weights, subjects and settings are the same; of other weights it is fitted anew."""
    _, dataset = world
    decoder = learned[0]
    given = dataset.split("train"), dataset.split("tuning")
    path = tmp_path / "vae.safetensors"
    first = ready_prior(path, "vae", decoder, *given)
    content = path.read_bytes()
    again = ready_prior(path, "vae", decoder, *given)
    assert path.read_bytes() == content
    assert torch.equal(first.draw(np.arange(9), 1), again.draw(np.arange(9), 1))
    weights = read_tensors(decoder.weights)
    weights["latent.mean"] = weights["latent.mean"] + 3
    write_tensors(weights, tmp_path / "model.safetensors")
    other = replace(decoder, weights=tmp_path / "model.safetensors")
    ready_prior(path, "vae", other, *given)
    assert path.read_bytes() != content


def test_a_decoder_without_a_latent_has_no_posteriors(world):
    """It is told so, with what to pretrain."""
    workspace, dataset = world
    run = tawt.pretrain(workspace, config(1), device="cpu", out=workspace / "runs" / "plain").run
    with pytest.raises(CheckpointError, match="has no latent"):
        fit_prior("vae", load_decoder(run), dataset.split("train"), None)
