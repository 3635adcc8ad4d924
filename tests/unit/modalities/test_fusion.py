"""Ways in which contents join a record, and what all keep that do: the record's own path where there are none."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tawt.batching.batch import PackedBatch, make_layout
from tawt.config.modalities import Fusion, FusionConfig
from tawt.config.model import ModelConfig
from tawt.dataset.vocabulary import Vocabulary
from tawt.modalities.encoders.modality import Modality
from tawt.modalities.fusion.beside import Beside, Inputs
from tawt.modalities.fusion.fused import Fused
from tawt.modalities.fusion.summed import Summed, TimeBias
from tawt.models.embeddings import Added
from tawt.models.encoder import Encoder

HOWS = get_args(Fusion)
JOINS = [how for how in HOWS if how != "alone"]
K = 2


class Model(nn.Module):
    """An encoder, what joins it, and a linear head: as a run has them."""

    def __init__(self, vocabulary: Vocabulary, how: str, modalities: tuple[Modality, ...], **model: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = Encoder(
            ModelConfig(**{"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ffn": 16, **model}), vocabulary
        )
        self.head = nn.Linear(self.encoder.d_embedding, K)
        config = FusionConfig(how=how, d_content=8, n_heads=2)
        self.encoder.beside = Fused(config, modalities, self.encoder.config.d_model, self.encoder.d_embedding, K)

    @property
    def fused(self) -> Fused:
        """What joins the encoder."""
        return self.encoder.beside

    def forward(self, batch: PackedBatch, found: Beside | None) -> Tensor:
        """Outputs `(d, K)`; without what lies beside it, those of the record's own path."""
        batch = replace(batch, beside=found)
        outputs = self.head(self.encoder.embed(batch))
        return outputs if found is None else self.fused.outputs(outputs, found)

    def stirred(self) -> Model:
        """The model with none of its weights at zero, so that everything has an effect."""
        with torch.no_grad():
            for parameter in self.fused.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
        return self


def some(found: Beside, keep: Tensor) -> Beside:
    """What lies beside, less some of it; in the order of `keep`, places of contents."""
    place = torch.full((len(found.document),), -1)
    place[keep] = torch.arange(len(keep))
    seen = place[found.seen] >= 0
    inputs = []
    for one in found.inputs:
        left = place[one.at] >= 0
        inputs.append(replace(one, at=place[one.at][left], data=one.data[left]))
    rows = (found.document[keep], found.modality[keep], found.age_hours[keep], found.content[keep])
    return Beside(*rows, place[found.seen][seen], found.triplet[seen], tuple(inputs))


@pytest.fixture
def case(beds):
    """`case(how, ...)`: a model, a batch, and what lies beside it."""

    def make(how: str, **model: object):
        found = beds.finder()(beds.batch, training=False)
        return Model(beds.vocabulary, how, beds.modalities, **model).stirred(), beds.batch.tensors(), found

    return make


SHAPES = [{}, {"granularity": "timestamp", "combine": "concat", "pooling": "attention"}, {"pooling": "per_type"}]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("how", JOINS)
def test_without_contents_it_is_the_records_own_path_bit_for_bit(case, how, shape) -> None:
    """Outputs, gradients of encoder and head, and torch's random state; in a batch without any, and beside others."""
    model, batch, found = case(how, **shape)
    model.train()

    def outcome(beside: Beside | None) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        torch.manual_seed(3)
        model.zero_grad()
        out = model(batch, beside)
        out.square().sum().backward()
        own = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None and ".beside." not in n}
        return out.detach(), own, torch.get_rng_state()

    plain, none, some_have = outcome(None), outcome(some(found, torch.arange(0))), outcome(found)
    assert torch.equal(plain[0], none[0]) and torch.equal(plain[2], none[2]) and plain[1].keys() == none[1].keys()
    assert all(torch.equal(grad, none[1][name]) for name, grad in plain[1].items())
    # a gradient for each parameter in either case, as several processes want it
    assert all(p.grad is not None for n, p in model.named_parameters() if n.startswith("encoder.beside."))
    has = torch.zeros(batch.n_documents, dtype=torch.bool)
    has[found.document[found.seen] if how == "token" else found.document] = True
    assert (~has).any() and torch.equal(some_have[0][~has], plain[0][~has])
    assert (some_have[0][has] != plain[0][has]).any(1).all() and torch.equal(some_have[2], plain[2])


@pytest.mark.parametrize("how", HOWS)
def test_contents_join_in_any_order(case, how) -> None:
    """Many contents of one document give the same in whatever order they come."""
    model, batch, found = case(how)
    model.eval()
    shuffled = some(found, torch.randperm(len(found.document), generator=torch.Generator().manual_seed(1)))
    assert torch.bincount(found.document).max() > 5 and not torch.equal(shuffled.document, found.document)
    assert torch.allclose(model(batch, shuffled), model(batch, found), atol=1e-6)


@pytest.mark.parametrize("how", HOWS)
def test_a_document_never_sees_anothers_contents(case, how) -> None:
    """A document answers the same whatever the others have, and no gradient leads from it to their contents."""
    model, batch, found = case(how)
    model.eval()
    have = found.document[found.seen] if how == "token" else found.document
    one = int(have.mode().values)
    out = model(batch, found)
    alone = model(batch, some(found, (found.document == one).nonzero()[:, 0]))
    assert torch.allclose(out[one], alone[one], atol=1e-6) and not torch.allclose(out, alone, atol=1e-3)
    leaves = tuple(replace(i, data=i.data.clone().requires_grad_()) for i in found.inputs)
    model(batch, replace(found, inputs=leaves))[one].sum().backward()
    for inputs in leaves:
        moved = inputs.data.grad.flatten(1).abs().sum(1) > 0
        assert moved.any() and set(found.document[inputs.at][moved].tolist()) == {one}


@pytest.mark.parametrize("how", HOWS)
def test_a_modality_that_is_absent_changes_only_who_had_it(case, how) -> None:
    """Documents that lose their images answer otherwise; those that had none beside their waveforms stay."""
    model, batch, found = case(how)
    model.eval()
    left = some(found, (found.modality == 1).nonzero()[:, 0])
    had = set(found.document[found.seen if how == "token" else slice(None)][
        found.modality[found.seen if how == "token" else slice(None)] == 0].tolist())  # fmt: skip
    same = [d for d in range(batch.n_documents) if d not in had]
    before, after = model(batch, found), model(batch, left)
    assert same and had and torch.allclose(before[same], after[same], atol=1e-6)
    assert all(not torch.equal(before[d], after[d]) for d in had)


def test_contents_alone_are_all_that_is_read(case) -> None:
    """`alone` answers the same whatever the record is; its weights have a gradient of 0, those of contents and of what
    stands for none another; all who have none have one answer."""
    model, batch, found = case("alone")
    model.eval()
    out = model(batch, found)
    out.square().sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    record = [grads[n] for n in grads if n.startswith("encoder.") and ".beside." not in n]
    assert len(record) > 10 and not any(grad.any() for grad in record)
    assert all(grad.any() for n, grad in grads.items() if n.startswith(("encoder.beside.way.", "encoder.beside.side")))
    few = model(batch, some(found, (found.document > 5).nonzero()[:, 0]))
    assert few[:6].std(0).max() < 1e-6 < few[6:].std(0).min() and torch.allclose(few[6:], out[6:], atol=1e-6)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("encoder.") and ".beside." not in name:
                parameter.add_(1.0)
    assert torch.equal(model(batch, found), out)


def test_a_token_is_the_encoder_with_the_value_at_its_event(case) -> None:
    """`token` adds to the encoding of the values of just those triplets, so that all that reads values sees it."""
    model, batch, found = case("token")
    model.eval()
    contents = model.fused.contents(found)
    assert len(found.seen) and not torch.equal(found.seen, torch.arange(len(found.document)))
    values = model.encoder.embedding.value(batch)
    for i, triplet in zip(found.seen.tolist(), found.triplet.tolist(), strict=True):
        values[triplet] += model.fused.to_value(contents[i])
    assert torch.allclose(model.encoder(replace(batch, beside=found)).values, values, atol=1e-6)
    twice = Added(torch.tensor([2, 2]), torch.ones(2, 16))
    once = Added(torch.tensor([2]), torch.full((1, 16), 2.0))
    layout = make_layout(batch)
    for ours, theirs in zip(*(model.encoder.embedding(batch, layout, one) for one in (twice, once)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def by_hand(model: Model, how: str, h: Tensor, contents: Tensor, found: Beside, d: int) -> Tensor:
    """What a way makes of one document, content by content."""
    way = model.fused.way
    rows = [i for i in range(len(contents)) if found.document[i] == d]
    if how == "attention":
        q = way.query(way.norm(h)).view(2, 4)
        out = torch.zeros(2, 4)
        for head in range(2):
            scores, values = [], []
            for i in rows:
                k, v = way.key(contents[i]).view(2, 4)[head], way.value(contents[i]).view(2, 4)[head]
                bias = way.by_time(found.age_hours[i : i + 1])[0, head] + way.by_modality[found.modality[i], head]
                scores.append(float(q[head] @ k / 2 + bias))
                values.append(v)
            weights = np.exp(scores) / np.exp(scores).sum()
            out[head] = sum(float(w) * v for w, v in zip(weights, values, strict=True))
        return h + way.outer(out.flatten())
    slots, there = torch.zeros(2, 8), torch.zeros(2)
    for k in range(2):
        own = [i for i in rows if found.modality[i] == k]
        there[k] = float(bool(own))
        for head in range(2):
            columns = slice(4 * head, 4 * head + 4)
            scores = [float(way.summed.key(contents[i])[head] + way.summed.by_time(found.age_hours[i : i + 1])[0, head])
                      for i in own]  # fmt: skip
            for i, score in zip(own, scores, strict=True):
                slots[k, columns] += contents[i, columns] * math.exp(score) / sum(map(math.exp, scores))
    if how in ("concat", "alone"):
        slots = torch.stack([slots[k] if there[k] else way.stand_in[k] for k in range(2)])
        if how == "alone":
            return way.outer(torch.cat((slots.flatten(), there)))
        inner = way.inner(torch.cat((h, slots.flatten(), there)))
        return h + way.outer(torch.nn.functional.gelu(inner))
    given = torch.cat((slots.flatten(), there))
    if how == "late":
        return h + way.outer(given)
    z = torch.sigmoid(way.gate(torch.cat((h, given))))
    return z * h + (1 - z) * torch.tanh(way.value(given))


@pytest.mark.parametrize("how", [how for how in HOWS if how != "token"])
@torch.no_grad()
def test_each_way_is_its_formula(case, how) -> None:
    """Each document with contents against a loop over them."""
    model, batch, found = case(how)
    h = torch.randn(batch.n_documents, K if how == "late" else 16)
    contents = model.fused.contents(found)
    joined = model.fused.way(h, contents, found)
    for d in set(found.document.tolist()):
        assert torch.allclose(joined[d], by_hand(model, how, h[d], contents, found, d), atol=1e-5)


@torch.no_grad()
def test_contents_fade_with_age(beds) -> None:
    """At the start weights fall as `1 / (1 + age / tau)` to the power of the head's slope; the last head has none."""
    bias, ages = TimeBias(3, 24.0), torch.tensor([0.0, 5.0, 24.0, 240.0, 1e9])
    # linear in the logarithm between knots, so exact at all of them but beyond the last
    expected = -torch.log1p(ages / 24)[:, None] * torch.tensor([1.0, 0.5, 0.0])
    assert torch.allclose(bias(ages)[:4], expected[:4], atol=1e-5) and bias(ages)[4, 0] < -11
    summed = Summed(4, 2, 24.0)
    rows = torch.tensor([[1.0, 1, 1, 1], [0.0, 0, 0, 0]])
    out = summed(rows, torch.tensor([0.0, 24.0]), torch.zeros(2, dtype=torch.int64), 2)
    assert torch.allclose(out, torch.tensor([[2 / 3, 2 / 3, 0.5, 0.5], [0.0, 0, 0, 0]]), atol=1e-6)


@pytest.mark.parametrize("how", HOWS)
def test_each_way_starts_near_the_record_and_learns_what_contents_tell(beds, how) -> None:
    """A fresh model answers as the record alone, or nearly; fitted, it knows what only brightness of an image tells."""
    few, beds.modalities = beds.batch.first(6), beds.modalities[:1]
    batch, found = few.tensors(), beds.finder(encoded=(None,))(few, training=False)
    model = Model(beds.vocabulary, how, beds.modalities, dropout=0.0, n_layers=1)
    start = model(batch, found)
    if how != "alone":
        assert torch.allclose(start, model(batch, None), atol=0.2 if how == "gate" else 0)
    has = torch.zeros(batch.n_documents, dtype=torch.bool)
    has[found.document[found.seen]] = True
    bright = torch.rand(batch.n_documents, generator=torch.Generator().manual_seed(2)) < 0.5
    bright[has.nonzero()[:2, 0]] = torch.tensor([True, False])
    level = torch.where(bright[found.document[found.inputs[0].at]], 0.8, -0.8)
    lit = Inputs(found.inputs[0].at, level[:, None, None, None] * torch.ones(1, 1, 16, 16), False)
    found = replace(found, inputs=(lit,))
    model.requires_grad_(False)  # the record's own path stays, so that only contents can tell
    for part in (model.fused, *([model.head] if how != "late" else [])):
        part.requires_grad_(True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.04)
    truth = bright[has].float()[:, None].expand(-1, K)
    for _ in range(20):
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(model(batch, found)[has], truth)
        loss.backward()
        optimizer.step()
    assert int(has.sum()) > 2 and loss.item() < 0.2
    swapped = replace(found, inputs=(replace(lit, data=-lit.data),))
    assert binary_cross_entropy_with_logits(model(batch, swapped)[has], truth) > 0.7


@pytest.mark.parametrize("how", HOWS)
def test_a_modality_of_ones_own_is_one_class(beds, how) -> None:
    """The class of the guide plugs in everywhere as it stands there: found, prepared, encoded, joined."""
    page = (Path(__file__).parents[3] / "docs" / "concepts" / "modalities.md").read_text()
    (text,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    told: dict[str, Any] = {}
    exec(text, told)
    beds.modalities = (type("Ours", (told["Pulse"],), {"prefix": "WAVEFORM//"})(),)
    found = beds.finder(encoded=(None,), dropout=0.2)(beds.batch, 0, training=True)
    model = Model(beds.vocabulary, how, beds.modalities).stirred().eval()
    batch = beds.batch.tensors()
    assert found.inputs[0].data.shape == (len(found.document), 500) and found.inputs[0].data.any(1).all()
    assert not torch.allclose(model(batch, found), model(batch, None), atol=1e-4)


def test_a_frozen_modality_is_none_of_the_runs_weights(beds) -> None:
    """Its embeddings come in as they were kept, and join as if they were made in the step."""
    found = beds.finder()(beds.batch, training=False)
    model = Model(beds.vocabulary, "gate", beds.modalities).stirred().eval()
    batch, expected = beds.batch.tensors(), None
    with torch.no_grad():
        expected = model(batch, found)
        kept = tuple(
            Inputs(one.at, modality(one.data), True)
            for one, modality in zip(found.inputs, beds.modalities, strict=True)
        )
        assert torch.allclose(model(batch, replace(found, inputs=kept)), expected, atol=1e-6)
    for modality in beds.modalities:
        modality.frozen = True
    frozen = Model(beds.vocabulary, "gate", beds.modalities)
    assert not any(name.startswith("encoder.beside.modalities") for name in frozen.state_dict())
    rest = {
        name: tensor for name, tensor in model.state_dict().items() if not name.startswith("encoder.beside.modalities")
    }
    frozen.load_state_dict(rest)
    with torch.no_grad():
        assert torch.allclose(frozen.eval()(batch, replace(found, inputs=kept)), expected, atol=1e-6)
