"""The model that a step trains: where it starts, which weights learn, and what happens when there is nothing to learn."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from tawt.config.latent import KL
from tawt.config.next_event import NEXT
from tawt.objectives.contrastive import info_nce
from tawt.objectives.parts import MASKED, PARTS, subjects_of
from tawt.objectives.pretrain_model import build_model, count_parameters

ALL = {
    "masked": {"variables": 0.2, "summary_weight": 0.5, "token_weight": 1.0},
    "forecast": {"weight": 1.0, "earliest_hours": 0.5, "window_hours": 6.0, "whole_share": 0.0},
    "contrastive": {"weight": 1.0},
}
MODELS = [{}, {"granularity": "timestamp", "pooling": "per_type"}, {"pooling": "attention"}, {"pooling": "cls"}]


def gradients(case, example):
    """Gradients by name under the sum of all losses."""
    out = case.model(example)
    loss = sum(out.sums.values())
    if out.projection is not None:
        loss = loss + info_nce(out.projection, example.view_of, 0.1)
    case.model.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in case.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("value_loss", ["squared", "huber"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_fresh_model_starts_at_its_baselines(make, model, value_loss):
    """Before the first step every part costs what the trivial guess costs."""
    tree = {name: part | ({"value_loss": value_loss} if name != "contrastive" else {}) for name, part in ALL.items()}
    case = make(tree, model, fresh=True)
    example = case.prepare(case.batch, 0)
    with torch.no_grad():
        ours = {part: total.item() for part, total in case.model(example).sums.items()}
    assert set(ours) == set(example.counts) == set(example.baseline) and min(example.counts.values()) > 10
    assert ours == pytest.approx(example.baseline, rel=1e-5)


def test_the_subjects_of_a_part_are_those_whose_triplets_it_asks_for(make):
    """Each part's subjects are read off the documents that its positions lie in, one by one."""
    example = make(ALL).prepare(make(ALL).batch, 0)
    batch, hidden, ahead = example.batch, example.masked, example.forecast
    subject, ends = batch.subject_id.tolist(), batch.cu_seqlens.tolist()

    def whose(at):
        return {subject[sum(end <= i for end in ends) - 1] for i in at.tolist()}

    expected = {
        part: whose(getattr(hidden, f"{name}_at"))
        for part, name in zip(MASKED[:-1], ("type", "value", "token", "category", "status"), strict=True)
    }
    expected["summary"] = {subject[i] for i in hidden.summary_at.tolist()}
    cut = [subject[i] for i in ahead.document.tolist()]
    expected |= {"forecast_value": {cut[i] for i in ahead.value_row.tolist()}, "forecast_presence": set(cut)}
    expected["contrastive"] = {s for s in subject if subject.count(s) > 1}
    found = {part: subjects_of(example, part).tolist() for part in PARTS if part not in ("label", "paired", KL, *NEXT)}
    assert {part: set(of) for part, of in found.items()} == expected and len({*map(len, found.values())}) > 2
    assert all(0 < len(of) == len(set(of)) for of in found.values())


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_weight_that_may_learn_has_a_gradient(make, model):
    """With all objectives no weight is left out, so that several processes agree on what they exchange."""
    case = make(ALL, model)
    found = gradients(case, case.prepare(case.batch, 0))
    silent = [name for name, gradient in found.items() if gradient is None or not gradient.any()]
    assert not silent
    assert all(parameter.requires_grad for parameter in case.model.parameters())


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_nothing_to_predict_costs_zero_and_no_nan(make, model):
    """A batch without a single position gives losses of 0 and finite gradients for every weight."""
    case = make(ALL, model)
    example = case.prepare(case.batch, 0)

    def nothing(targets):
        return replace(targets, **{name: x[:0] for name, x in vars(targets).items() if isinstance(x, torch.Tensor)})

    empty = replace(
        example,
        masked=replace(nothing(example.masked), n_categories=0),
        forecast=nothing(example.forecast),
        view_of=torch.arange(len(example.view_of)),
    )
    assert all(total.item() == 0 for total in case.model(empty).sums.values())
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients(case, empty).values())


@pytest.mark.parametrize("pooling", ["attention", "per_type"])
def test_a_readout_that_nothing_teaches_is_frozen(make, pooling):
    """Under masked reconstruction of tokens alone the readout's weights take no gradient and all others do."""
    case = make({}, {"pooling": pooling})
    frozen = {name for name, p in case.model.named_parameters() if not p.requires_grad}
    assert frozen and all(name.startswith("encoder.") for name in frozen)
    found = gradients(case, case.prepare(case.batch, 0))
    assert all(gradient is not None for gradient in found.values())


def test_parts_that_are_off_have_no_weights(make):
    """Heads are built for what is predicted, and for nothing else."""
    names = {
        name for name, _ in make({"masked": {"weight": 0}, "forecast": {"weight": 1}}).model.heads.named_parameters()
    }
    assert names == {
        f"documents.forecast_{part}.{what}" for part in ("value", "presence") for what in ("weight", "bias")
    }
    none = make({"masked": {"value": 0.15, "status_weight": 0, "category_weight": 0}}).model.heads
    assert not any("status" in name or "category" in name for name, _ in none.named_parameters())


def test_the_seed_decides_the_weights_and_leaves_torch_alone(make):
    """The same seed gives the same weights, another others; torch's own random state is untouched."""
    case = make(ALL)
    before = torch.random.get_rng_state()
    one, two, other = (build_model(case.config, case.dataset.vocabulary, seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert count_parameters(one).total == sum(p.numel() for p in one.parameters())


def test_projections_have_length_one(make):
    """Views are compared by cosine: projections are of length 1, in float32 also under bf16 autocast."""
    case = make(ALL)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = case.model(case.prepare(case.batch, 0))
    assert out.projection.dtype == torch.float32
    assert torch.allclose(out.projection.norm(dim=1), torch.ones(1), atol=1e-5)
    assert all(total.dtype == torch.float32 and total.isfinite() for total in out.sums.values())


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_host_asks_the_device_for_nothing(make, model):
    """A forward pass and the losses never need a number off the device: on tensors without any, all goes through."""
    case = make(ALL, model)
    example = case.prepare(case.batch, 0)
    assert example.masked.n_categories > 0
    with FakeTensorMode() as without_numbers:
        weights = {name: without_numbers.from_tensor(x) for name, x in tensors_of(case.model)}
        out = functional_call(case.model, weights, (without(example, without_numbers),))
    assert set(out.sums) == set(example.counts)


def tensors_of(module):
    """Parameters and buffers by name."""
    return [*module.named_parameters(), *module.named_buffers()]


def without(data, mode):
    """A dataclass whose tensors have shapes and no numbers."""
    moved = {}
    for name, value in ((f.name, getattr(data, f.name)) for f in fields(data)):
        if isinstance(value, torch.Tensor):
            moved[name] = mode.from_tensor(value)
        elif is_dataclass(value):
            moved[name] = without(value, mode)
    return replace(data, **moved)
