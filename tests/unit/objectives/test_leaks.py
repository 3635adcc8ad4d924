"""What is hidden leaves no trace: other hidden fields, the same predictions bit for bit."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tawt.batching.masking import hide
from tawt.contracts.value_status import HAS_NUMBER, ValueStatus
from tawt.objectives import prepare

HIDES = {
    "tokens": {"value": 0.3, "data_type": 0.2, "event": 0.2},
    "spans of values": {"value": 0.0, "data_type": 0.0, "event": 0.0, "spans": 2, "span_share": 1.0},
    "spans of events": {"spans": 2, "span_share": 1.0, "span_hides": "event"},
    "variables": {"value": 0.0, "data_type": 0.0, "event": 0.0, "variables": 0.5, "summary_weight": 1.0},
    "whole variables": {"variables": 0.5, "variable_hides": "event", "summary_weight": 1.0},
    "all": {"value": 0.2, "data_type": 0.2, "event": 0.2, "spans": 1, "variables": 0.2, "summary_weight": 1.0},
}
MODELS = {
    "triplet": {},
    "timestamp": {"granularity": "timestamp"},
    "per_type": {"pooling": "per_type", "granularity": "timestamp"},
    "per_type of triplets": {"pooling": "per_type"},
    "cls": {"pooling": "cls"},
    "attention": {"pooling": "attention", "time": ["sinusoidal", "delta"], "combine": "concat"},
}
ALL = {"forecast": {"weight": 1.0, "earliest_hours": 0.5}, "contrastive": {"weight": 1.0}}


def altered(batch, masks, vocabulary, seed=0):
    """The batch with other, legal fields wherever something will be hidden."""
    rng = np.random.default_rng(seed)
    kind, status = batch.data_type.copy(), batch.value_status.copy()
    value, token = batch.value.copy(), batch.value_token.copy()
    no_type, no_value = masks.data_type, masks.value
    kind[no_type] = rng.integers(4, len(vocabulary), no_type.sum())
    # of a hidden data_type with a visible number, the bin is hidden; of a hidden value everything
    token[no_type] = rng.integers(0, 1 + vocabulary.n_bins[kind[no_type]])
    n = int(no_value.sum())
    states = np.array([*HAS_NUMBER, ValueStatus.ABSENT, ValueStatus.CATEGORY, ValueStatus.NONE])
    status[no_value] = rng.choice(states, n)
    value[no_value] = np.where(np.isin(status[no_value], HAS_NUMBER), rng.normal(size=n) * 3, 0)
    token[no_value] = rng.integers(0, 1 + vocabulary.n_bins[kind[no_value]] + vocabulary.n_categories[kind[no_value]])
    return replace(batch, data_type=kind, value_status=status, value=value, value_token=token)


def predictions(case, example, targets):
    """All that the model says: losses against the same targets, embedding, projection, states."""
    example = replace(example, masked=targets)
    with torch.no_grad():
        out = case.model(example)
        encoded = case.model.encoder(example.batch)
        embedding = case.model.encoder.readout(encoded, example.batch)
    projection = [] if out.projection is None else [out.projection]
    return [*out.sums.values(), *projection, encoded.tokens, embedding]


def both(case, monkeypatch, how=hide):
    """Predictions for the batch and for an altered one, hidden by `how`, with the same masks."""

    def hide_altered(batch, masks):
        other = altered(batch, masks, case.dataset.vocabulary)
        return how(other, masks)

    monkeypatch.setattr(prepare, "hide", how)
    first = case.prepare(case.batch, 0)
    monkeypatch.setattr(prepare, "hide", hide_altered)
    second = case.prepare(case.batch, 0)
    return predictions(case, first, first.masked), predictions(case, second, first.masked)


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("hides", HIDES)
@pytest.mark.parametrize("model", MODELS)
def test_predictions_do_not_depend_on_what_is_hidden(make, monkeypatch, hides, model):
    """Whatever the hidden fields were, states, embedding and every prediction are bit-equal."""
    case = make({"masked": HIDES[hides] | {"token_weight": 1.0}}, MODELS[model])
    assert equal(*both(case, monkeypatch))


@pytest.mark.parametrize("model", ["triplet", "per_type"])
def test_nor_with_all_objectives_and_augmentations(make, monkeypatch, model):
    """The same for a cut, augmented and doubled batch."""
    case = make(
        {"masked": HIDES["all"] | {"token_weight": 1.0}, **ALL}, MODELS[model],
        {"variable_dropout": 0.1, "event_dropout": 0.2, "jitter": 0.1, "time_warp": 0.1},
    )  # fmt: skip
    assert equal(*both(case, monkeypatch))


def keeping(field, where):
    """A `hide` that forgets one field."""

    def leaky(batch, masks):
        hidden, at = hide(batch, masks), getattr(masks, where)
        return replace(hidden, **{field: np.where(at, getattr(batch, field), getattr(hidden, field))})

    return leaky


def gaps_of_all(own):
    """A `hide` whose same-type gaps are those over hidden data_types too: of these alone, or of visible tokens alone."""

    def leaky(batch, masks):
        seen, before = hide(batch, masks).tensors(), batch.tensors().type_gap_hours
        at = torch.from_numpy(masks.data_type == own)
        gaps = replace(seen, type_gap_hours=torch.where(at, before, seen.type_gap_hours))
        return SimpleNamespace(tensors=lambda: gaps)

    return leaky


def number_shows(batch, masks):
    """A `hide` that leaves a hidden number where it was, under a status that says nothing of the old one."""
    hidden = keeping("value", "value")(batch, masks)
    return replace(hidden, value_status=np.where(masks.value, ValueStatus.NUMERIC, hidden.value_status))


LEAKS = {
    "value": number_shows,
    "bin or category": keeping("value_token", "value"),
    "status": keeping("value_status", "value"),
    "data_type": keeping("data_type", "data_type"),
    "bin of a hidden data_type": keeping("value_token", "data_type"),
    "its own gap": gaps_of_all(own=True),
    "gaps of others to it": gaps_of_all(own=False),
}


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("model", ["triplet", "per_type"])
def test_a_planted_leak_is_seen(make, monkeypatch, leak, model):
    """A `hide` that forgets one field changes predictions, so the test above can fail."""
    case = make({"masked": HIDES["tokens"] | {"token_weight": 1.0}}, MODELS[model])
    assert not equal(*both(case, monkeypatch, LEAKS[leak]))
