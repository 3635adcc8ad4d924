"""Examples: a pure function of (batch, seed, number), with what the model needs and nothing of what it must guess."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch

from tawt.batching.batch import MASK, make_layout
from tawt.config.latent import KL
from tawt.config.next_event import NEXT
from tawt.contracts.dataset import US_PER_HOUR
from tawt.objectives import prepare
from tawt.objectives.baselines import forecast_types
from tawt.objectives.parts import PARTS, weights
from tawt.objectives.prepare import Preparer

ALL = {
    "masked": {"variables": 0.2, "summary_weight": 0.5, "token_weight": 1.0},
    "forecast": {"weight": 2.0, "earliest_hours": 0.5, "presence_weight": 0.5},
    "contrastive": {"weight": 0.3},
}
AUGMENT = {"variable_dropout": 0.2, "event_dropout": 0.3, "jitter": 0.1}


def same(a, b) -> bool:
    """Whether two dataclasses hold equal tensors and numbers."""
    if is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_weights_are_of_the_parts_that_are_on(make):
    """A part's weight is its objective's times its own; what weighs nothing is left out."""
    assert weights(make(ALL).config.objective) == {
        "data_type": 1, "value": 1, "token": 1, "category": 1, "status": 0.2, "summary": 0.5, "forecast_value": 2,
        "forecast_presence": 1, "contrastive": 0.3,
    }  # fmt: skip
    assert list(weights(make(ALL).config.objective)) == [
        part for part in PARTS if part not in ("label", "paired", KL, *NEXT)
    ]
    only = make({"masked": {"weight": 0}, "forecast": {"weight": 1}})
    assert weights(only.config.objective) == {"forecast_value": 1, "forecast_presence": 1}


def test_an_example_depends_on_batch_seed_and_number_alone(make):
    """Made twice it is the same; another number, or validation, draws anew."""
    case = make(ALL, augment=AUGMENT)
    first, again = case.prepare(case.batch, 3), case.prepare(case.batch, 3)
    assert same(first, again)
    others = [case.prepare(case.batch, 4), make(ALL, training=False).prepare(case.batch, 3)]
    assert all(not same(first.masked, other.masked) and not same(first.forecast, other.forecast) for other in others)


def test_validation_is_not_augmented(make):
    """Without training, nothing is dropped or jittered: only masks differ from the batch."""
    tree = {"masked": {"value": 0.0, "data_type": 0.1, "event": 0.0}}
    case = make(tree, augment=AUGMENT, training=False)
    seen = case.prepare(case.batch, 0).batch
    shown = (seen.data_type != MASK).numpy()
    np.testing.assert_array_equal(seen.value[shown], case.batch.value[shown])
    assert case.prepare(case.batch, 0).batch.n_tokens == case.batch.n_tokens
    assert make(tree, augment=AUGMENT).prepare(case.batch, 0).batch.n_tokens < case.batch.n_tokens


def test_two_views_are_named_by_their_subject(make):
    """Each document comes twice, under the subject's id, which holds across batches."""
    case = make(ALL)
    example = case.prepare(case.batch, 0)
    assert example.view_of.tolist() == case.batch.subject_id.tolist() * 2
    assert example.batch.n_documents == 2 * case.batch.n_documents


def test_what_comes_next_is_asked_of_the_record_as_it_was(make):
    """Augmentation takes input away, never the truth that is to be forecast."""
    tree = {"forecast": ALL["forecast"]}
    plain, augmented = make(tree), make(tree, augment=AUGMENT)
    assert same(plain.prepare(plain.batch, 0).forecast, augmented.prepare(plain.batch, 0).forecast)


def test_forecast_baselines_are_the_mean_and_the_share_of_windows(make):
    """The trivial forecast is the data_type's mean, and the smoothed share of sampled windows in which it comes."""
    case = make({"masked": {"weight": 0}, "forecast": ALL["forecast"]})
    example, columns = case.prepare(case.batch, 0), case.prepare.columns
    kinds = np.array(case.dataset.vocabulary.value_kind)[columns]
    assert set(kinds) == {"numeric", "mixed"} and len(columns) == 12
    share = case.baselines.presence.double()
    assert ((share > 0) & (share < 1)).all()
    present = example.forecast.present.double()
    entropy = -(present * share.log() + (1 - present) * (1 - share).log()).sum().item()
    mean = case.baselines.mean[torch.from_numpy(columns)][example.forecast.value_column]
    assert example.baseline["forecast_presence"] == pytest.approx(entropy, rel=1e-5)
    squared = (mean - example.forecast.value_is).square().sum().item()
    assert example.baseline["forecast_value"] == pytest.approx(squared, rel=1e-5)
    assert example.counts == {"forecast_value": len(mean), "forecast_presence": present.numel()}


def test_fewer_types_are_the_most_frequent(make):
    """Of more numeric data_types than are asked for, those with most rows are forecast; of equally frequent ones the first."""
    vocabulary = make().dataset.vocabulary
    assert [vocabulary.value_kind[i] for i in range(4, 12)] == [
        "numeric", "none", "categorical", "numeric", "mixed", "numeric", "none", "categorical",
    ]  # fmt: skip
    counted = np.zeros(len(vocabulary), np.int64)
    counted[[4, 5, 6, 7, 8, 9, 12]] = 10, 99, 98, 20, 20, 5, 20
    told = replace(vocabulary, n_rows=counted)
    assert [forecast_types(told, n).tolist() for n in (1, 2, 4, 5)] == [[7], [7, 8], [4, 7, 8, 12], [4, 7, 8, 9, 12]]
    case = make({"forecast": {"weight": 1.0, "n_types": 3}})
    assert case.prepare.columns.tolist() == forecast_types(vocabulary, 3).tolist()


def test_presence_is_the_smoothed_share_of_windows(make):
    """A loop over the sampled windows counts how often each data_type comes: (came + 1) / (windows + 2)."""
    case = make({"masked": {"weight": 0}, "forecast": ALL["forecast"] | {"window_hours": 12.0, "whole_share": 0.0}})
    config, columns = case.config.objective.forecast, case.prepare.columns
    after = case.prepare.cutter.timed(case.batch, 0)
    windows = [i for i in range(case.batch.n_documents) if after.end[i] < case.batch.end[i]]
    came = dict.fromkeys(columns.tolist(), 0)
    for i in windows:
        start, stop = after.end[i], after.end[i] + config.window_hours * US_PER_HOUR
        mine = (case.batch.document == i) & (case.batch.time > start) & (case.batch.time <= stop)
        for kind in set(case.batch.data_type[mine & ~case.batch.is_static].tolist()) & came.keys():
            came[kind] += 1
    assert len(windows) > 5 and 3 < max(came.values()) < len(windows)
    expected = [(n + 1) / (len(windows) + 2) for n in came.values()]
    assert case.baselines.presence.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("model", [{}, {"granularity": "timestamp", "pooling": "cls"}], ids=str)
def test_the_layout_is_made_ahead(make, model):
    """The example's batch carries the tokens that the model's granularity and readout want, and a block mask if asked."""
    case = make(ALL, model)
    example = case.prepare(case.batch, 0)
    expected = make_layout(example.batch, case.config.model.granularity, case.config.model.pooling == "cls")
    assert torch.equal(example.batch.layout.hours, expected.hours)
    assert (example.batch.layout.cls_at is None) == (not model)
    asked = Preparer(case.config, case.dataset.vocabulary, case.baselines, True, lambda layout: layout.n_tokens)
    assert asked(case.batch, 0).batch.layout.blocks == expected.n_tokens


def test_masks_fall_on_what_is_left_after_the_cut(make, monkeypatch):
    """Nothing that comes after a prediction time reaches the masks or their targets."""
    seen = []
    draw = prepare.draw_masks
    monkeypatch.setattr(prepare, "draw_masks", lambda batch, *rest: seen.append(batch) or draw(batch, *rest))
    case = make({"forecast": ALL["forecast"]})
    example = case.prepare(case.batch, 0)
    (batch,) = seen
    assert (batch.time <= batch.end[batch.document]).all()
    assert len(example.forecast.document) and batch.n_tokens < case.batch.n_tokens
