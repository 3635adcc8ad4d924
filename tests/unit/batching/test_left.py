"""What is left of documents is known before they are packed, and batches are full of it."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from tawt.batching import passes
from tawt.batching.batch import tensors_of
from tawt.batching.left import make_cutter
from tawt.batching.loader import PackedLoader
from tawt.batching.packing import N_PACKINGS
from tawt.config.load import build
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.objectives.baselines import count_baselines
from tawt.objectives.prepare import Preparer

FORECAST = {"weight": 1.0, "window_hours": 6.0, "earliest_hours": 4.0}
KINDS = {
    "forecast": {"objective": {"forecast": FORECAST}},
    "forecast, removals": {
        "objective": {"forecast": FORECAST},
        "augment": {"variable_dropout": 0.2, "event_dropout": 0.3, "crop": 0.3, "jitter": 0.1, "time_warp": 0.1},
    },
    "views": {"objective": {"contrastive": {"weight": 1.0}}},
    "forecast, views": {"objective": {"forecast": FORECAST, "contrastive": {"weight": 1.0}}},
}


@pytest.fixture
def made(tmp_path, write_dataset, monkeypatch):
    """`made(kind)`: a loader of some hundred subjects, looked through a few rows at a time, and what prepares its batches."""
    write_dataset(tmp_path, {"train": [150, 50]}, median_length=30, max_static=2)
    monkeypatch.setattr(passes, "ROWS", 500)

    def make(kind, window="last"):
        batching = {"tokens_per_batch": 512, "max_length": 100, "window": window}
        config = build(PretrainConfig, {**KINDS[kind], "batching": batching}, kind)
        dataset, ahead = open_dataset(tmp_path), bool(config.objective.forecast.weight)
        loader = PackedLoader(
            dataset.split("train"), dataset.vocabulary, config.batching, 3,
            with_available=ahead, cutter=make_cutter(config, True),
        )  # fmt: skip
        first = (loader.batch(n) for n in range(2))
        baselines = count_baselines(loader.split.shards, dataset.vocabulary, config.objective, first)
        return loader, Preparer(config, dataset.vocabulary, baselines, True)

    return make


@pytest.mark.parametrize("window", ["last", "random", "sliding"])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_full_of_what_reaches_the_model(made, kind, window):
    """In each of two epochs every document comes once, no batch is above the budget, and all but the last are full."""
    loader, prepare = made(kind, window)
    start = 0
    for epoch in (0, 1):
        n = loader.n_batches(epoch)
        examples = [prepare(loader.batch(step), step) for step in range(start, start + n)]
        tokens = [example.n_tokens for example in examples]
        assert max(tokens) <= 512 and sum(tokens) == loader.n_left(epoch)
        assert sorted(tokens)[1] > 0.8 * 512 and np.mean(sorted(tokens)[1:]) > 0.97 * 512
        views = 2 if "views" in kind else 1
        assert sum(example.batch.n_documents for example in examples) == views * loader.n_documents
        start += n
    assert loader.n_left(0) < (1 + ("views" in kind)) * loader.n_tokens


@pytest.mark.parametrize("kind", ["forecast", "forecast, removals"])
def test_a_batch_holds_what_a_cut_of_whole_documents_leaves(made, kind):
    """A document that was cut before it was packed is the one that its whole record gives by itself."""
    loader, prepare = made(kind)
    whole = PackedLoader(loader.split, loader.vocabulary, loader.config, 3, with_available=True)
    records = {}
    for step in range(whole.n_batches(0)):
        batch = prepare.cutter.timed(whole.batch(step), 0)
        records |= {int(s): (e, c) for s, e, c in zip(batch.subject_id, batch.end, batch.is_cut, strict=True)}
    n_cut = 0
    for step in range(loader.n_batches(0)):
        batch = loader.batch(step)
        for subject, end, is_cut in zip(batch.subject_id, batch.end, batch.is_cut, strict=True):
            assert records[int(subject)] == (end, is_cut)
            n_cut += is_cut
        window = batch.time - batch.end[batch.document]
        assert window.max() <= 6 * 3_600_000_000, "rows behind the window are not read"
    assert n_cut > 50


def test_batches_follow_from_seed_and_step_alone(made):
    """Asked for one by one and backwards, or made ahead while another thread plans, they are the same to the last bit."""
    loader, prepare = made("forecast, removals")
    n = sum(loader.n_batches(epoch) for epoch in range(3))
    other, _ = made("forecast, removals")
    ahead = list(islice(other.stream(make=prepare), n))
    for step in reversed(range(n)):
        example = prepare(loader.batch(step), step)
        for one, two in zip(tensors_of(example), tensors_of(ahead[step]), strict=True):
            assert one.equal(two)


def test_far_epochs_cut_as_those_of_their_packing(made):
    """An epoch a round later has the batches of the first round in another order, with the same prediction times."""
    loader, _ = made("forecast", "random")
    starts = np.cumsum([0, *(loader.n_batches(epoch) for epoch in range(N_PACKINGS + 2))])
    rounds = [
        [tuple(loader.batch(step).end.tolist()) for step in range(starts[epoch], starts[epoch + 1])]
        for epoch in (1, N_PACKINGS + 1)
    ]
    assert rounds[0] != rounds[1] and sorted(rounds[0]) == sorted(rounds[1])
