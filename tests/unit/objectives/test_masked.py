"""Masked reconstruction and its trivial baselines, against loops over single tokens."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.batching.masking import TRAINING, draw_masks, hide, may_lose
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig
from tawt.config.train import MaskedConfig
from tawt.contracts.value_status import HAS_NUMBER, ValueStatus
from tawt.dataset.reader import open_dataset
from tawt.models.build import build_model
from tawt.objectives.baselines import count_baselines
from tawt.objectives.masked import PARTS, baseline_sums, loss_sums, make_targets

CONFIG = MaskedConfig(value=0.3, data_type=0.1, event=0.1, max_value=1.0)


@pytest.fixture
def case(tmp_path, write_dataset):
    """Dataset, model with weights that are not at their start, batch, masks and targets."""
    write_dataset(tmp_path, {"train": [40]}, median_length=60)
    dataset = open_dataset(tmp_path)
    vocabulary = dataset.vocabulary
    batch = PackedLoader(dataset.split("train"), vocabulary, BatchingConfig(tokens_per_batch=2048), 0).batch(0)
    model = build_model(ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16), vocabulary, 0).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    masks = draw_masks(batch, CONFIG, may_lose(vocabulary), TRAINING, 0, 0)
    return dataset, model, batch, masks, make_targets(batch, masks, vocabulary, CONFIG)


def positions(batch, masks, vocabulary):
    """Where each part is predicted, token by token."""
    at = defaultdict(list)
    for i in range(batch.n_tokens):
        kind, status = int(batch.data_type[i]), int(batch.value_status[i])
        if masks.data_type[i]:
            at["data_type"].append(i)
        elif masks.value[i]:
            at["status"].append(i)
            if status in HAS_NUMBER:
                at["value"].append(i)
            if status == ValueStatus.CATEGORY and vocabulary.categories[kind]:
                at["category"].append(i)
    return at


def test_losses_equal_a_loop_over_tokens(case):
    """Every part is the sum over its own tokens: numbers only where one exists, categories among their own data_type's."""
    dataset, model, batch, masks, targets = case
    vocabulary, heads, embedding = dataset.vocabulary, model.heads, model.encoder.embedding
    states = model.encoder(hide(batch, masks)).detach()
    ours = loss_sums(model, states, targets)
    at = positions(batch, masks, vocabulary)
    assert all(len(at[part]) > 20 for part in PARTS), "a part has hardly a position"
    assert {part: len(at[part]) for part in PARTS} == targets.counts()
    naive = dict.fromkeys(PARTS, 0.0)
    for part, where in at.items():
        for i in where:
            state, kind = states[i : i + 1], batch.data_type[i : i + 1]
            if part == "data_type":
                naive[part] -= heads.types(state, embedding.data_type.weight).log_softmax(-1)[0, kind].item()
            if part == "status":
                naive[part] -= heads.statuses(state, kind).log_softmax(-1)[0, batch.value_status[i]].item()
            if part == "value":
                truth = min(1.0, max(-1.0, batch.value[i].item()))
                naive[part] += (heads.numbers(state).item() - truth) ** 2
            if part == "category":
                first, n = vocabulary.category_offset[kind], vocabulary.n_categories[kind]
                table = embedding.value.category_rows[first : first + n]
                wanted = torch.nn.functional.gelu(heads.to_category(state))
                logits = (table @ wanted[0]) + heads.category_bias[first : first + n]
                place = batch.value_token[i] - vocabulary.n_bins[kind] - 1
                naive[part] -= logits.log_softmax(-1)[place].item()
    assert {p: ours[p].item() for p in PARTS} == pytest.approx(naive, rel=1e-4)


def test_baselines_equal_counts_of_train(case):
    """The trivial guesses are the smoothed shares and means of train, counted here row by row."""
    dataset, _, batch, masks, targets = case
    vocabulary = dataset.vocabulary
    rows = dataset.split("train").shards[0]
    kinds = rows.data_type.tolist()
    types, per_type = Counter(kinds), Counter(kinds)
    statuses = Counter(zip(kinds, rows.value_status.tolist(), strict=True))
    texts, n_texts, numbers = Counter(), Counter(), defaultdict(list)
    for kind, token, value, status in zip(kinds, rows.value_token, rows.value, rows.value_status, strict=True):
        if token > vocabulary.n_bins[kind]:
            texts[kind, int(token)] += 1
            n_texts[kind] += 1
        if status in HAS_NUMBER:
            numbers[kind].append(min(1.0, max(-1.0, float(value))))
    naive = dict.fromkeys(PARTS, 0.0)
    for part, where in positions(batch, masks, vocabulary).items():
        for i in where:
            kind, status = int(batch.data_type[i]), int(batch.value_status[i])
            if part == "data_type":
                naive[part] -= math.log((types[kind] + 1) / (types.total() + len(vocabulary)))
            if part == "status":
                naive[part] -= math.log((statuses[kind, status] + 1) / (per_type[kind] + 10))
            if part == "category":
                n = vocabulary.n_categories[kind]
                naive[part] -= math.log((texts[kind, int(batch.value_token[i])] + 1) / (n_texts[kind] + n))
            if part == "value":
                mean = sum(numbers[kind]) / len(numbers[kind])
                naive[part] += (mean - min(1.0, max(-1.0, batch.value[i].item()))) ** 2
    baselines = count_baselines(dataset.split("train").shards, vocabulary, CONFIG.max_value)
    ours = baseline_sums(baselines, targets, vocabulary)
    assert {p: ours[p].item() for p in PARTS} == pytest.approx(naive, rel=1e-4)


def test_counting_stops_at_its_limit(case):
    """Only the first `max_rows` triplets are counted."""
    dataset = case[0]
    shard = dataset.split("train").shards[0]
    first = count_baselines([shard.rows(0, 100)], dataset.vocabulary, 1.0)
    cut = count_baselines([shard, shard], dataset.vocabulary, 1.0, max_rows=100)
    assert all(torch.equal(getattr(first, name), getattr(cut, name)) for name in first.__dataclass_fields__)


def test_a_fresh_model_starts_at_its_baselines(case):
    """Before the first step, types, categories and statuses cost what the trivial guess costs, and numbers what zero costs."""
    dataset, _, batch, masks, targets = case
    vocabulary = dataset.vocabulary
    baselines = count_baselines(dataset.split("train").shards, vocabulary, CONFIG.max_value)
    model = build_model(ModelConfig(d_model=32, n_layers=1, n_heads=2, d_ffn=16), vocabulary, 0).eval()
    model.heads.start_at(baselines.log_type, baselines.log_category, baselines.log_status)
    ours = loss_sums(model, model.encoder(hide(batch, masks)), targets)
    theirs = baseline_sums(baselines, targets, vocabulary)
    assert ours["value"].item() == pytest.approx(targets.value_is.square().sum().item(), rel=1e-5)
    for part in ("data_type", "category", "status"):
        assert ours[part].item() == pytest.approx(theirs[part].item(), rel=1e-5)
