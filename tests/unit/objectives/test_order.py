"""The order of simultaneous rows tells nothing: any permutation of them is the same document to everything that follows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.contracts.value_status import HAS_NUMBER
from tawt.dataset.reader import open_dataset

TRIPLET = ("data_type", "value", "value_token", "value_status", "time", "available", "identity")
OBJECTIVES = {
    "masks": {"masked": {"spans": 1, "variables": 0.2, "variable_hides": "event", "token_weight": 1.0}},
    "forecast": {"masked": {"weight": 0.0}, "forecast": {"weight": 1.0, "earliest_hours": 0.5, "window_hours": 8.0}},
    "all": {
        "masked": {"value": 0.2, "data_type": 0.2, "event": 0.2, "summary_weight": 1.0, "variables": 0.2},
        "forecast": {"weight": 1.0, "earliest_hours": 0.5}, "contrastive": {"weight": 1.0},
    },
}  # fmt: skip
AUGMENT = {
    "variable_dropout": 0.1, "event_dropout": 0.4, "crop": 0.3, "jitter": 0.2, "scaling": 0.1, "time_warp": 0.2,
}  # fmt: skip
MODELS = {
    "triplet": {"attention": ["rotary", "decay", "bucket", "cosine", "recency"]},
    "timestamp": {"granularity": "timestamp", "time": ["time2vec", "sinusoidal", "delta"], "combine": "concat"},
    "cls": {"pooling": "cls"},
    "attention": {"pooling": "attention"},
    "per_type": {"pooling": "per_type"},
}


def another_order(batch, how):
    """The batch with the rows of each moment sorted by data_type, or in a random order; and which row stands where."""
    keys = batch.data_type if how == "sorted" else np.random.default_rng(1).random(batch.n_tokens)
    moment = np.repeat(np.arange(len(batch.moments) - 1), np.diff(batch.moments))
    order = np.lexsort((keys, moment))
    assert (order != np.arange(batch.n_tokens)).mean() > 0.3
    columns = {name: getattr(batch, name) for name in TRIPLET}
    return replace(batch, **{name: None if x is None else x[order] for name, x in columns.items()}), order


def rows(batch):
    """Each triplet with its document and its gaps, as a multiset."""
    names = ("document", "data_type", "value", "value_token", "value_status", "hours", "gap_hours", "type_gap_hours")
    return Counter(zip(*(getattr(batch, name).tolist() for name in names), strict=True))


@pytest.mark.parametrize("how", ["sorted", "random"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", MODELS)
def test_any_order_of_simultaneous_rows_is_the_same_example(make, how, objective, model):
    """What is cut, dropped, changed, hidden and asked for, losses, states and embeddings are the same in another order."""
    case = make(OBJECTIVES[objective], MODELS[model], AUGMENT)
    other, _ = another_order(case.batch, how)
    first, second = (case.prepare(batch, 3) for batch in (case.batch, other))
    assert rows(first.batch) == rows(second.batch) and first.counts == second.counts
    assert torch.equal(first.batch.end_hours, second.batch.end_hours)
    assert first.baseline == pytest.approx(second.baseline, rel=1e-5)
    if first.forecast is not None:
        for name in vars(first.forecast):
            assert torch.equal(getattr(first.forecast, name), getattr(second.forecast, name)), name
    with torch.no_grad():
        losses = [{part: float(x) for part, x in case.model(e).sums.items()} for e in (first, second)]
        embeddings = [case.model.encoder.embed(e.batch) for e in (first, second)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert torch.allclose(*embeddings, rtol=1e-3, atol=1e-4 * float(embeddings[0].abs().max()))


@pytest.mark.parametrize("model", MODELS)
def test_states_move_along_with_their_rows(make, model):
    """A permutation of simultaneous rows permutes their states, and leaves the embedding."""
    case = make({}, MODELS[model])
    other, order = another_order(case.batch, "random")
    with torch.no_grad():
        states = case.model.encoder.states(case.batch.tensors())
        moved = case.model.encoder.states(other.tensors())
    assert torch.allclose(states[torch.from_numpy(order)], moved, rtol=1e-3, atol=1e-4 * float(states.abs().max()))


def permuted(shards, written, seed):
    """Columns of a shard with the rows of each subject's moments in a random order."""
    columns, index = written
    owner = np.repeat(np.arange(len(index["length"])), index["length"])
    static = np.arange(len(owner)) - index["start"][owner] < index["n_static"][owner]
    order = np.lexsort((np.random.default_rng(seed).random(len(owner)), columns["timestamp"], ~static, owner))
    return {name: column[order] for name, column in columns.items() if name != "identity"}, index


@pytest.mark.parametrize("window", ["last", "random", "sliding"])
def test_windows_hold_the_same_rows_in_any_order_of_the_file(tmp_path, shards, window):
    """Windows that cut through moments, and through statics, take the same rows of a dataset written in another order."""
    made = shards.write_dataset(tmp_path / "a", {"train": [40]}, median_length=60, max_static=12)
    made["train"][0][0]["available_time"] += np.arange(len(made["train"][0][0]["value"]))  # so that rows differ
    for name, seed in (("a", 0), ("b", 1)):
        folder = tmp_path / name
        entry = shards.write_shard(folder / "dataset" / "train", "00000", *permuted(shards, made["train"][0], seed))
        shards.write_manifest(folder, shards.write_vocabulary(folder), {"train": [entry]})
    config = BatchingConfig(tokens_per_batch=64, max_length=10, window=window)
    n_cut_within = 0
    loaders = []
    for name in ("a", "b"):
        dataset = open_dataset(tmp_path / name)
        loaders.append(PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0, with_available=True))
    a, b = loaders
    seen = Counter()
    for step in range(a.n_batches(0)):
        one, two = a.batch(step), b.batch(step)
        assert one.bounds.tolist() == two.bounds.tolist() and one.end.tolist() == two.end.tolist()
        found = [
            Counter(zip(x.document.tolist(), *(getattr(x, name).tolist() for name in TRIPLET), strict=True))
            for x in (one, two)
        ]
        assert found[0] == found[1]
        seen.update(zip(one.subject_id[one.document].tolist(), one.time.tolist(), one.available.tolist(), strict=True))
        n_cut_within += int((np.diff(one.moments) < 10).sum())
    assert n_cut_within > 50
    if window == "sliding":  # and side by side they share a moment out among them
        columns, index = made["train"][0]
        timed = [
            (int(s), int(t), int(a)) for s, t, a in zip(
                columns["subject_id"], columns["timestamp"], columns["available_time"], strict=True
            ) if t
        ]  # fmt: skip
        owners = np.repeat(index["n_static"], index["length"])
        assert all(
            seen[row] == 1
            for row, n_static in zip(timed, owners[columns["timestamp"] > 0], strict=True)
            if n_static < 10
        )


def test_the_number_under_a_hidden_data_type_does_not_name_it(make):
    """Numbers of two data_types, one in steps of a tenth and one in steps of a seventh, are the same few when it is hidden."""
    case = make({"masked": {"value": 0.0, "data_type": 1.0, "event": 0.0}})
    number = np.isin(case.batch.value_status, HAS_NUMBER)
    steps = np.where(case.batch.data_type % 2, 10, 7)
    batch = replace(case.batch, value=np.where(number, np.rint(case.batch.value * steps) / steps, 0).astype(np.float32))
    seen = case.prepare(batch, 0).batch
    found = [set(seen.value[torch.from_numpy(number & (batch.data_type % 2 == odd))].tolist()) for odd in (0, 1)]
    exact = [set(batch.value[number & (batch.data_type % 2 == odd)].tolist()) for odd in (0, 1)]
    assert all(len(one) > 15 for one in exact) and len(exact[0] & exact[1]) < 6
    assert found[0] | found[1] <= {n / 2 for n in range(-6, 7)} and len(found[0] & found[1]) >= 7
