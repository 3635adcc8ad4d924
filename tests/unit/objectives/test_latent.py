"""What an example holds of a latent, and what its divergence costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tawt.batching.batch import HIDDEN, MASK
from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.objectives.baselines import count_baselines
from tawt.objectives.parts import divisors, kl_share, subjects_of, weights
from tawt.objectives.prepare import Preparer
from tawt.objectives.pretrain_model import build_model, count_parameters

SHAPE = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}
LATENT = {"model": SHAPE, "trains_encoder": True, "n_queries": 3, "d_latent": 2}


@pytest.fixture
def made(workspace):
    """`made(training, **latent)`: batch, example, what makes it, and a fresh model."""

    def make(training=True, latent=True, **changes):
        config = PretrainConfig.model_validate({
            "model": SHAPE | {"causal": True, "dropout": 0.0},
            "objective": {"masked": {"weight": 0}, "next": {"weight": 2.0}, "latent": LATENT | changes if latent else {}},
            "batching": {"tokens_per_batch": 2048, "order": "by_type"},
        })  # fmt: skip
        dataset = open_dataset(workspace)
        train, vocabulary = dataset.split("train"), dataset.vocabulary
        batch = PackedLoader(train, vocabulary, config.batching, 0).batch(0)
        baselines = count_baselines(train.shards, vocabulary, config.objective, [batch], people=train.people)
        prepare = Preparer(config, vocabulary, baselines, training)
        model = build_model(config, vocabulary, 0)
        model.start_at(baselines)
        return batch, prepare(batch, 3), prepare, model.eval()

    return make


def test_what_is_dropped_is_hidden_from_the_decoder_alone(made):
    """A share of its events is masked in training, the encoder sees all, what is asked is as without; in validation none is."""
    batch, example, _, _ = made()
    _, plain, _, _ = made(latent=False)
    _, validation, _, _ = made(training=False)
    hidden = example.batch.data_type == MASK
    assert 0.2 < hidden.float().mean() < 0.4
    assert (example.batch.value_status[hidden] == HIDDEN).all() and (example.batch.value_token[hidden] == 0).all()
    for name, truth in vars(plain.next).items():
        assert torch.equal(getattr(example.next, name), truth) if isinstance(truth, torch.Tensor) else True, name
    for whole in (example.latent.whole, validation.latent.whole, validation.batch):
        assert np.array_equal(whole.data_type.numpy(), batch.data_type)
    assert (validation.batch.data_type != MASK).all() and example.counts["kl"] == batch.n_documents


def test_noise_hangs_on_the_document_and_the_number_of_the_batch(made):
    """A document has its own in whatever company; another batch, or validation, draws anew."""
    batch, example, prepare, _ = made()
    some = batch.select(np.isin(batch.document, [1, 2]))
    keep = np.array([1, 2])
    noise = example.latent.noise
    assert torch.equal(prepare(batch, 3).latent.noise, noise) and noise.shape == (batch.n_documents, 6)
    assert not torch.isclose(prepare(batch, 4).latent.noise, noise).any()
    assert not torch.isclose(made(training=False)[1].latent.noise, noise).any()
    assert torch.equal(noise[keep], prepare(batch, 3).latent.noise[keep]) and len({*noise[:, 0].tolist()}) == len(noise)
    assert some.n_documents == batch.n_documents  # what loses all keeps its last moment, and its noise
    assert torch.equal(prepare(some, 3).latent.noise, noise)


def test_a_fresh_decoder_costs_what_one_without_a_latent_costs(made):
    """Part by part; and a divergence below the free bits costs these, with no gradient to be less."""
    _, example, _, model = made(event_dropout=0)
    _, same, _, plain = made(latent=False)
    with torch.no_grad():
        ours, theirs = model(example).sums, plain(same).sums
    assert {part: x.item() for part, x in ours.items() if part != "kl"} == pytest.approx(
        {part: x.item() for part, x in theirs.items()}, rel=1e-4
    )
    for parameter in (model.latent.to_mean, model.latent.to_deviation, model.latent.mean, model.latent.deviation):
        parameter.data.zero_()
    cost = model(example).sums["kl"]
    assert cost.item() == pytest.approx(example.baseline["kl"], rel=1e-5) and example.baseline["kl"] > 0
    assert torch.autograd.grad(cost, model.latent.mean)[0].abs().max() == 0


def test_all_parts_are_told_for_each_event_where_there_is_a_latent():
    """Then their sum is what records cost, for each of their events; without, each part weighs the same."""
    count = {"step": 55, "next_type": 50, "next_number": 20, "kl": 5}
    assert divisors(count) == dict.fromkeys(count, 50)
    del count["kl"]
    assert divisors(count | {"gap": 0}) == count | {"gap": 1}


def test_its_weight_rises_to_beta(made):
    """In a line over the first steps, and stays; it is a part as others are, of all subjects of a batch."""
    batch, example, prepare, model = made(beta=0.5, warmup_steps=4)
    objective = prepare.config.objective
    assert weights(objective)["kl"] == 1.0 and list(weights(objective))[-1] == "kl"
    assert [kl_share(objective, step) for step in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1, 1, 1]
    assert {*subjects_of(example, "kl").tolist()} == {*batch.subject_id.tolist()}
    counts = count_parameters(model)
    assert counts.latent > 0 and counts.total == sum(p.numel() for p in model.parameters())
