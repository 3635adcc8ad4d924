"""What is told of embeddings: known shapes, known targets, and nothing of few subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.dataset.reader import open_dataset
from tawt.runs.load import load_encoder
from tawt.training.device import choose_compute
from tawt.training.health import Targets, auroc, embedding_health, probe, spread, targets_of


def test_rank_counts_the_directions_that_vary():
    """Embeddings spread alike over k of d axes have effective rank and participation ratio k; the others are dead."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((400, 8)) - 0.0)[0]
    basis = np.linalg.qr(basis - basis.mean(0))[0]
    vectors = np.concatenate([basis * 20, np.zeros((400, 24))], 1) + 3.0
    found = spread(vectors)
    assert found["effective_rank"] == pytest.approx(8) and found["participation_ratio"] == pytest.approx(8)
    assert found["dead_share"] == 24 / 32
    assert found["mean_norm"] == pytest.approx(np.linalg.norm(vectors, axis=1).mean())
    assert found["common_share"] == pytest.approx((vectors.mean(0) ** 2).sum() / (vectors**2).sum(1).mean())


def test_uniformity_is_that_of_all_pairs():
    """It is the log of the mean Gaussian of distances on the sphere: 0 for one point, lower the more they spread."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 5))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [np.exp(-2 * ((unit[i] - unit[j]) ** 2).sum()) for i in range(40) for j in range(i)]
    assert spread(vectors)["uniformity"] == pytest.approx(np.log(np.mean(pairs)))
    assert spread(np.ones((40, 5)))["uniformity"] == pytest.approx(0, abs=1e-9)


def test_a_probe_reads_what_is_there_and_nothing_else():
    """A linear target is found on the other half, noise is not, and rare classes of sex are left out."""
    rng = np.random.default_rng(1)
    vectors, subjects = rng.standard_normal((600, 10)), np.arange(600)
    age = 50 + 9 * vectors[:, 0] + rng.standard_normal(600)
    sex = np.where(np.arange(600) < 5, 7, (vectors[:, 1] + 0.3 * rng.standard_normal(600) > 0).astype(int))
    found = probe(vectors, Targets(age, sex), subjects)
    assert 0.97 < found["age_r2"] < 1 and 0.95 < found["sex_auroc"] < 1
    assert found["age_n"] == 600 and found["sex_n"] == 595
    noise = probe(vectors, Targets(rng.permutation(age), rng.permutation(sex)), subjects)
    assert abs(noise["age_r2"]) < 0.1 and 0.38 < noise["sex_auroc"] < 0.62


def test_a_probe_of_few_subjects_is_not_reported():
    """Below 50 subjects, or with a class of at most 10 in one half, there is no number."""
    rng = np.random.default_rng(2)
    vectors, subjects = rng.standard_normal((200, 4)), np.arange(200)
    age, sex = np.full(200, np.nan), np.zeros(200, dtype=np.int64)
    age[:49], sex[:15] = 50 + rng.standard_normal(49), 1
    assert probe(vectors, Targets(age, sex), subjects) == {}
    age[:80], sex[:80] = 50 + rng.standard_normal(80), 1
    assert set(probe(vectors, Targets(age, sex), subjects)) == {"age_r2", "age_n", "sex_auroc", "sex_n"}


def test_auroc_counts_pairs():
    """It equals the share of pairs in which the positive scores higher, ties half."""
    rng = np.random.default_rng(3)
    score, positive = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.4
    gap = score[positive][:, None] - score[~positive]
    assert auroc(score, positive) == pytest.approx(((gap > 0) + 0.5 * (gap == 0)).mean())


@pytest.mark.parametrize(("number", "category"), [("Age", "Gender"), ("DEMO//AGE", "SEX")])
def test_age_and_sex_are_found_by_the_names_of_codes(number, category, workspace):
    """The first number of a code Age and the category of a code Gender or Sex are a subject's; others have none."""
    dataset = open_dataset(workspace)
    codes = list(dataset.vocabulary.codes)
    codes[4], codes[6] = number, category
    split, n = dataset.split("tuning"), 60
    found = targets_of(split, replace(dataset.vocabulary, codes=tuple(codes)), np.arange(n))
    for i in range(n):
        rows = split.columns(i)
        numbers = [
            v for v, t, s in zip(rows.value, rows.data_type, rows.value_status, strict=True) if t == 4 and s == 1
        ]
        tokens = [v for v, t in zip(rows.value_token, rows.data_type, strict=True) if t == 6]
        assert found.age[i] == numbers[0] if numbers else np.isnan(found.age[i])
        assert (found.sex[i] >= 0) == bool(tokens)
    assert np.isfinite(found.age).sum() > 10 and len(np.unique(found.sex)) > 2
    nothing = targets_of(split, dataset.vocabulary, np.arange(n))
    assert np.isnan(nothing.age).all() and (nothing.sex == -1).all()


def test_age_is_counted_from_birth_where_there_is_one(workspace):
    """With an event MEDS_BIRTH at the origin, age is the time of the last event in years; codes GENDER//X are classes."""
    dataset = open_dataset(workspace)
    split = dataset.split("tuning")
    codes = list(dataset.vocabulary.codes)
    codes[5], codes[6], codes[9] = "MEDS_BIRTH", "GENDER//F", "GENDER//M"
    vocabulary = replace(dataset.vocabulary, codes=tuple(codes))
    found = targets_of(split, vocabulary, np.arange(60))
    at_birth = 0
    for i in range(60):
        rows = split.columns(i)
        born = np.flatnonzero(rows.data_type == 5)
        if len(born) and rows.timestamp[born[0]] == 0:
            at_birth += 1
            assert found.age[i] == pytest.approx(rows.timestamp[-1] / 3.6e9 / 8766)
        else:
            assert np.isnan(found.age[i])
    assert 0 < at_birth < 60
    assert (found.sex >= 0).sum() > 10


def test_health_is_that_of_the_runs_own_embeddings(make_run, workspace):
    """What is measured is what `embed` gives; mode and random state stay, and no subject is shown."""
    loaded = load_encoder(make_run("a"))
    dataset, compute = open_dataset(workspace), choose_compute("cpu", "fp32", 1)
    model = torch.nn.Module()
    model.encoder = loaded.encoder
    model.train()
    loader = PackedLoader(dataset.split("tuning"), dataset.vocabulary, loaded.config.batching, 0)
    state = torch.get_rng_state()
    found = embedding_health(model, loader, compute, dataset.vocabulary)
    assert model.training and model.encoder.training and torch.equal(torch.get_rng_state(), state)
    model.eval()
    with torch.no_grad():
        vectors = np.concatenate([loaded.encoder.embed(b).numpy() for b in loader.sequential()]).astype(np.float64)
    assert found == {"n_subjects": 120, **spread(vectors)}
    assert embedding_health(model, loader, compute, dataset.vocabulary, max_subjects=30)["n_subjects"] == 30
    assert embedding_health(model, loader, compute, dataset.vocabulary, max_subjects=10) == {"n_subjects": 10}


def test_a_probe_is_tested_on_subjects_that_it_was_not_fitted_on():
    """Noise of many columns can be learned by heart, which is worth nothing on the other half of the subjects."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        age, sex = 50 + 9 * rng.standard_normal(160), rng.integers(0, 2, 160)
        found.append(probe(rng.standard_normal((160, 60)), Targets(age, sex), np.arange(160)))
    assert 0.42 < np.mean([each["sex_auroc"] for each in found]) < 0.58
    assert np.mean([each["age_r2"] for each in found]) < 0.02
