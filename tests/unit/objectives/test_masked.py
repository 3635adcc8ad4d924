"""Masked reconstruction and its trivial baselines, against loops over single triplets."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tawt.batching.masking import TRAINING, draw_masks, may_lose
from tawt.contracts.value_status import HAS_NUMBER, ValueStatus
from tawt.objectives import masked
from tawt.objectives.baselines import count_baselines, forecast_types
from tawt.objectives.parts import MASKED

OBJECTIVE = {
    "masked": {
        "value": 0.3, "data_type": 0.1, "event": 0.1, "variables": 0.3, "max_value": 1.0, "token_weight": 1.0,
        "summary_weight": 1.0,
    }
}  # fmt: skip
MODELS = [{}, {"granularity": "timestamp"}, {"pooling": "cls"}]


def clipped(number: float) -> float:
    return min(1.0, max(-1.0, float(number)))


def masks_of(case):
    return draw_masks(case.batch, case.config.objective.masked, may_lose(case.dataset.vocabulary), TRAINING, 0, 0)


def positions(case):
    """Where each part is predicted, triplet by triplet; documents and data_types for `summary`."""
    at, batch, masks, vocabulary = defaultdict(list), case.batch, masks_of(case), case.dataset.vocabulary
    means = defaultdict(list)
    for i in range(batch.n_tokens):
        kind, status = int(batch.data_type[i]), int(batch.value_status[i])
        if masks.variable[i] and status in HAS_NUMBER:
            means[int(batch.document[i]), kind].append(clipped(batch.value[i]))
        if masks.data_type[i]:
            at["data_type"].append(i)
        elif masks.value[i]:
            at["status"].append(i)
            if status in HAS_NUMBER:
                at["value"].append(i)
                at["token"].append(i)
            if status == ValueStatus.CATEGORY and vocabulary.categories[kind]:
                at["category"].append(i)
    at["summary"] = [(document, kind, sum(all_) / len(all_)) for (document, kind), all_ in sorted(means.items())]
    return at


@pytest.mark.parametrize("value_loss", ["squared", "huber"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_losses_equal_a_loop_over_triplets(make, model, value_loss):
    """Every part is the sum over its own positions: numbers only where one exists, classes among the data_type's own."""
    tree = {"masked": OBJECTIVE["masked"] | {"value_loss": value_loss}}
    case = make(tree, model)
    vocabulary, heads, embedding = case.dataset.vocabulary, case.model.heads, case.model.encoder.embedding
    example = case.prepare(case.batch, 0)
    with torch.no_grad():
        ours = case.model(example).sums
        encoded = case.model.encoder(example.batch)
        whole = case.model.encoder.readout(encoded, example.batch)
        states = encoded.of_triplets()
    at = positions(case)
    assert all(len(at[part]) > 20 for part in MASKED), "a part has hardly a position"
    assert example.counts == {part: len(at[part]) for part in MASKED}
    error = functional.mse_loss if value_loss == "squared" else functional.huber_loss
    naive = dict.fromkeys(MASKED, 0.0)
    for part in MASKED:
        for i in at[part]:
            if part == "summary":
                document, kind, mean = i
                column = case.prepare.columns.tolist().index(kind)
                guess = heads.documents.summary(whole[document])[column]
                naive[part] += error(guess, torch.tensor(mean)).item()
                continue
            state, kind = states[i : i + 1], torch.from_numpy(case.batch.data_type[i : i + 1])
            typed = state + embedding.data_type(kind) @ heads.tokens.of_type.weight.T
            bins = int(vocabulary.n_bins[kind])
            place = int(case.batch.value_token[i]) - 1
            if part == "data_type":
                logits = heads.tokens.types(state, embedding.data_type.weight)
                naive[part] -= logits.log_softmax(-1)[0, kind].item()
            if part == "status":
                logits = heads.tokens.statuses(typed, kind)
                naive[part] -= logits.log_softmax(-1)[0, case.batch.value_status[i]].item()
            if part == "token":
                naive[part] -= heads.tokens.bins(typed, kind)[0, :bins].log_softmax(-1)[place].item()
            if part == "value":
                truth = torch.tensor([clipped(case.batch.value[i])])
                naive[part] += error(heads.tokens.numbers(typed, kind), truth).item()
            if part == "category":
                first, n = vocabulary.category_offset[kind], vocabulary.n_categories[kind]
                table = embedding.value.category_rows[first : first + n]
                wanted = functional.gelu(heads.tokens.to_category(typed))
                logits = (table @ wanted[0]) + heads.tokens.category_bias[first : first + n]
                naive[part] -= logits.log_softmax(-1)[place - bins].item()
    assert {part: total.item() for part, total in ours.items()} == pytest.approx(naive, rel=1e-4)
    assert all(total.dtype == torch.float32 for total in ours.values())


def test_baselines_equal_counts_of_train(make):
    """The trivial guesses are the smoothed shares and means of train, counted here row by row."""
    case = make(OBJECTIVE)
    batch, vocabulary = case.batch, case.dataset.vocabulary
    rows = case.dataset.split("train").shards[0]
    kinds = rows.data_type.tolist()
    types, per_type = Counter(kinds), Counter(kinds)
    statuses = Counter(zip(kinds, rows.value_status.tolist(), strict=True))
    texts, n_texts, bins, n_binned, numbers = Counter(), Counter(), Counter(), Counter(), defaultdict(list)
    for kind, token, value, status in zip(kinds, rows.value_token, rows.value, rows.value_status, strict=True):
        if token > vocabulary.n_bins[kind]:
            texts[kind, int(token)] += 1
            n_texts[kind] += 1
        if status in HAS_NUMBER:
            numbers[kind].append(clipped(value))
            bins[kind, int(token)] += 1
            n_binned[kind] += 1
    mean = {kind: sum(all_) / len(all_) for kind, all_ in numbers.items()}
    naive = dict.fromkeys(MASKED, 0.0)
    for part, where in positions(case).items():
        for i in where:
            if part == "summary":
                naive[part] += (mean[i[1]] - i[2]) ** 2
                continue
            kind, status, token = int(batch.data_type[i]), int(batch.value_status[i]), int(batch.value_token[i])
            if part == "data_type":
                naive[part] -= math.log((types[kind] + 1) / (types.total() + len(vocabulary)))
            if part == "status":
                naive[part] -= math.log((statuses[kind, status] + 1) / (per_type[kind] + 10))
            if part == "token":
                naive[part] -= math.log((bins[kind, token] + 1) / (n_binned[kind] + vocabulary.n_bins[kind]))
            if part == "category":
                naive[part] -= math.log((texts[kind, token] + 1) / (n_texts[kind] + vocabulary.n_categories[kind]))
            if part == "value":
                naive[part] += (mean[kind] - clipped(batch.value[i])) ** 2
    assert case.prepare(batch, 0).baseline == pytest.approx(naive, rel=1e-4)


def test_bins_share_the_probability_of_their_own_data_type(make):
    """The shares of a data_type's own bins sum to 1, whether it has fewer bins than others or none; others have no share."""
    case = make()
    vocabulary, n_bins = case.dataset.vocabulary, case.dataset.vocabulary.n_bins.copy()
    n_bins[7] = 3
    shards = case.dataset.split("train").shards
    log_bin = count_baselines(shards, replace(vocabulary, n_bins=n_bins), case.config.objective).log_bin
    met = set()
    for kind, n in enumerate(n_bins.tolist()):
        assert not log_bin[kind, n:].any()
        if n:
            assert log_bin[kind, :n].exp().sum().item() == pytest.approx(1, abs=1e-6)
        met.add(n)
    assert met == {0, 3, 8} and log_bin[7, :3].exp().unique().numel() > 1


def test_counting_stops_at_its_limit(make):
    """Only the first `max_rows` triplets are counted."""
    case = make()
    shard, vocabulary, config = case.dataset.split("train").shards[0], case.dataset.vocabulary, case.config.objective
    first = count_baselines([shard.rows(0, 100)], vocabulary, config)
    cut = count_baselines([shard, shard], vocabulary, config, max_rows=100)
    assert all(torch.equal(getattr(first, name), getattr(cut, name)) for name in vars(first) if name != "next")


def test_a_broken_number_leaves_the_means_of_the_others(make):
    """Numbers that are not finite are left out of the means that heads start from, and the rest are counted as ever."""
    case = make()
    shard, vocabulary, config = case.dataset.split("train").shards[0], case.dataset.vocabulary, case.config.objective
    numbers = np.flatnonzero(np.isin(shard.value_status, HAS_NUMBER))
    value, status = shard.value.copy(), shard.value_status.copy()
    value[numbers[:3]] = (np.nan, np.inf, np.nan)
    status[numbers[:3]] = ValueStatus.ABSENT
    broken = count_baselines([shard._replace(value=value)], vocabulary, config).mean
    assert broken.isfinite().all()
    without = count_baselines([shard._replace(value_status=status)], vocabulary, config).mean
    assert torch.equal(broken, without)


def test_records_of_codes_alone_are_forecast_by_presence(make):
    """Where no data_type has numbers, the most frequent of all are forecast, none of them special."""
    vocabulary = make().dataset.vocabulary
    kinds = tuple("special" if kind == "special" else "none" for kind in vocabulary.value_kind)
    codes_alone = replace(vocabulary, value_kind=kinds)
    ordinary = [i for i, kind in enumerate(kinds) if kind != "special"]
    most = sorted(ordinary, key=lambda i: (-vocabulary.n_rows[i], i))[:5]
    assert forecast_types(codes_alone, 5).tolist() == sorted(most)


def test_only_visible_data_types_reach_the_heads(make):
    """The data_type that a head is told is the one that the batch still shows."""
    case = make(OBJECTIVE)
    example = case.prepare(case.batch, 0)
    for part in ("value", "token", "category", "status"):
        at, kind = (getattr(example.masked, f"{part}_{what}") for what in ("at", "type"))
        assert torch.equal(example.batch.data_type[at], kind)


def test_the_means_of_targets_are_clipped_numbers(make):
    """Targets keep within the limit, so that one outlier cannot own a step."""
    case = make({"masked": OBJECTIVE["masked"] | {"max_value": 0.5}})
    targets = case.prepare(case.batch, 0).masked
    assert targets.value_is.abs().max() == 0.5 and targets.summary_is.abs().max() <= 0.5
    assert masked.counts(targets)["summary"] == len(targets.summary_type)


def test_numbers_can_be_predicted_as_ranks(make):
    """With `value_scale: rank` targets of both objectives are quantile ranks, a summary their mean, and the baselines the
    ranks' own means: of variance 1, however skewed the numbers."""
    objective = {
        "masked": OBJECTIVE["masked"] | {"value_scale": "rank"},
        "forecast": {"weight": 1.0, "value_scale": "rank", "whole_share": 0.0, "window_hours": 200.0},
    }
    raw_forecast = {**objective["forecast"], "value_scale": "normalized", "max_value": 100.0}
    case, plain = make(objective), make({**objective, "forecast": raw_forecast})
    vocabulary = case.dataset.vocabulary
    example, other = case.prepare(case.batch, 0), plain.prepare(case.batch, 0)
    got, raw = example.forecast, other.forecast
    asked = case.prepare.columns[raw.value_column.numpy()]
    assert len(asked) > 20
    np.testing.assert_array_equal(got.value_is, vocabulary.ranks(asked, raw.value_is.numpy()))
    alone = make({"masked": objective["masked"]})
    t, before = alone.prepare(alone.batch, 0).masked, alone.batch
    np.testing.assert_array_equal(t.value_is, vocabulary.ranks(t.value_type.numpy(), before.value[t.value_at.numpy()]))
    assert t.value_is.abs().max() <= np.sqrt(3) + 1e-6 and len(t.summary_is) > 5
    for document, kind, mean in zip(t.summary_at.tolist(), t.summary_type.tolist(), t.summary_is.tolist(), strict=True):
        own = (before.document == document) & (before.data_type == kind)
        own &= np.isin(before.value_status, HAS_NUMBER)
        values = before.value[own]
        assert mean == pytest.approx(vocabulary.ranks(np.full(len(values), kind), values).mean(), abs=1e-5)
    shard = case.dataset.split("train").shards[0]
    number = np.isin(shard.value_status, HAS_NUMBER)
    ranks = vocabulary.ranks(shard.data_type[number].astype(np.int64), shard.value[number])
    for i in np.unique(shard.data_type[number]):
        own = shard.data_type[number] == i
        assert case.baselines.mean[i] == pytest.approx(ranks[own].mean(), abs=1e-5)
    assert torch.equal(case.baselines.mean, case.baselines.forecast_mean)
    assert torch.equal(plain.baselines.mean, case.baselines.mean)
    assert not torch.equal(plain.baselines.forecast_mean, plain.baselines.mean)


def test_no_bin_beyond_the_data_types_own_is_likely(make):
    """A data_type with fewer bins than others shares its probability among its own."""
    heads = make(OBJECTIVE).model.heads.tokens
    heads.n_bins[7] = 3
    share = heads.bins(torch.randn(5, 16), torch.full((5,), 7)).softmax(-1)
    assert (share[:, :3] > 0).all() and not share[:, 3:].any()
