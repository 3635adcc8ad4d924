"""Token embeddings, time encodings and readouts, against what they should be by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig, Time2VecConfig
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.reader import open_dataset
from tawt.models.build import build_model, count_parameters
from tawt.models.embeddings import TripletEmbedding
from tawt.models.pooling import DocumentPooling, segment_softmax
from tawt.models.time_encoding import Gaps, Time2Vec, TimeEncoding


@pytest.fixture
def data(tmp_path, write_dataset):
    """Vocabulary and a packed batch."""
    write_dataset(tmp_path, {"train": [20]})
    dataset = open_dataset(tmp_path)
    return dataset.vocabulary, PackedLoader(dataset.split("train"), dataset.vocabulary, BatchingConfig(), 0).batch(0)


def of_kind(vocabulary, kind: str) -> int:
    """The first data_type of a kind."""
    return vocabulary.value_kind.index(kind)


def one_token(batch, **changes):
    """The first timed token of a batch as a document of its own, with some fields set."""
    i = int((~batch.is_static).nonzero()[0])
    names = (
        "data_type",
        "value",
        "value_token",
        "value_status",
        "hours",
        "is_static",
        "gap_hours",
        "type_gap_hours",
    )
    cut = {name: getattr(batch, name)[i : i + 1] for name in names}
    for name, value in changes.items():
        cut[name] = torch.tensor([value], dtype=cut[name].dtype)
    return replace(batch, **cut, cu_seqlens=torch.tensor([0, 1], dtype=torch.int32), max_seqlen=1)


@pytest.mark.parametrize("how", ["continuous", "tokens", "both"])
def test_every_field_of_a_triplet_is_seen(data, how):
    """Another number, bin, category, status or data_type gives another vector; two categories of one lab have two."""
    vocabulary, batch = data
    torch.manual_seed(0)
    embedding = TripletEmbedding(ModelConfig(value=how), vocabulary)
    lab, text = of_kind(vocabulary, "numeric"), of_kind(vocabulary, "categorical")
    number = {"data_type": lab, "value": 0.5, "value_token": 5, "value_status": ValueStatus.NUMERIC}
    word = {"data_type": text, "value": 0.0, "value_token": 2, "value_status": ValueStatus.CATEGORY}
    changes = [number | {"value": -0.5, "value_token": 2}, number | {"data_type": lab + 15}, word]
    changes += [word | {"value_token": 3}, word | {"value_token": 1}]
    changes += [number | {"value_status": s, "value": 0.0, "value_token": 0} for s in range(3, 10)]
    vectors = [embedding(one_token(batch, **fields)) for fields in [number, *changes]]
    for i, a in enumerate(vectors):
        for b in vectors[i + 1 :]:
            assert (a - b).abs().max() > 1e-3


def test_a_number_is_read_only_where_there_is_one(data):
    """The value column of a token whose status says that there is no number has no effect."""
    vocabulary, batch = data
    embedding = TripletEmbedding(ModelConfig(), vocabulary)
    absent = {
        "data_type": of_kind(vocabulary, "numeric"),
        "value_token": 0,
        "value_status": ValueStatus.ABSENT,
    }
    assert torch.equal(
        embedding(one_token(batch, value=0.0, **absent)), embedding(one_token(batch, value=3.0, **absent))
    )


def test_the_same_number_means_something_else_in_another_lab(data):
    """Scale and shift per data_type change what a number adds, and get a gradient."""
    vocabulary, batch = data
    value = TripletEmbedding(ModelConfig(value="continuous"), vocabulary).value
    lab = of_kind(vocabulary, "numeric")
    token = one_token(batch, data_type=lab, value=1.0, value_token=0, value_status=ValueStatus.NUMERIC)
    before = value(token)
    before.sum().backward()
    assert value.scale.weight.grad[lab].abs().sum() > 0 and value.shift.weight.grad[lab].abs().sum() > 0
    with torch.no_grad():
        value.shift.weight[lab] += 1
    assert not torch.equal(before, value(token))


def test_statics_have_their_own_time(data):
    """All statics share one time vector, whatever their hours and gaps."""
    _, batch = data
    encoding = TimeEncoding(ModelConfig())
    out = encoding(replace(batch, hours=torch.where(batch.is_static, 99.0, batch.hours)))
    assert batch.is_static.sum() > 1
    assert torch.equal(out[batch.is_static], encoding.static.expand(int(batch.is_static.sum()), -1))


def test_time2vec_keeps_its_minutes_for_a_century():
    """A century after the origin the encoding is that of float64 arithmetic to 1e-5, where float32 hours would miss by minutes."""
    torch.manual_seed(0)
    config = Time2VecConfig(shortest_hours=1.0)
    encode = Time2Vec(config, 32)
    torch.nn.init.normal_(encode.drift)
    hours = torch.tensor([0.0, 0.1, 524_287.37, 876_000.02], dtype=torch.float64)
    exact = (
        torch.outer(hours, encode.grid) + encode.phase + hours[:, None] / config.longest_hours * encode.drift
    ).sin()
    trend = hours.log1p()[:, None] / math.log1p(config.longest_hours)
    expected = torch.cat((exact, trend), -1) @ encode.out.weight.double().T + encode.out.bias
    assert torch.allclose(encode(hours).double(), expected, atol=1e-5)
    assert (hours.float() - hours).abs().max() * 60 > 0.5, "the case is not met"


def test_time2vec_gradients_do_not_grow_with_the_hour():
    """A century after the origin, the gradient of every weight is at most a few times that of the first day."""

    def largest(hour: float) -> float:
        torch.manual_seed(0)
        encode = Time2Vec(Time2VecConfig(), 32)
        encode(torch.full((1,), hour, dtype=torch.float64)).square().sum().backward()
        return max(float(p.grad.abs().max()) for p in encode.parameters())

    assert largest(876_000.3) < 10 * largest(24.3)


def test_no_earlier_event_of_the_type_is_not_a_gap_of_zero():
    """ "None" has a vector of its own, other than that of a gap of zero hours."""
    gaps = Gaps(16)
    zero, none = (gaps(torch.zeros(1), torch.tensor([gap])) for gap in (0.0, -1.0))
    assert (zero - none).abs().max() > 1e-2


def test_readouts_equal_loops(data):
    """Mean, max and attention over packed documents are those of a loop over documents."""
    _, batch = data
    torch.manual_seed(0)
    config = ModelConfig(d_model=24, n_heads=3)
    states = torch.randn(batch.n_tokens, 24)
    parts = [states[a:b] for a, b in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True)]
    attention = DocumentPooling(config, "attention")
    torch.nn.init.normal_(attention.score.weight)
    heads = [(p @ attention.score.weight.T).softmax(0) for p in parts]
    naive = {
        "mean": torch.stack([p.mean(0) for p in parts]),
        "max": torch.stack([p.amax(0) for p in parts]),
        "attention": torch.stack(
            [(w[:, :, None] * p.view(len(p), 3, 8)).sum(0).view(-1) for w, p in zip(heads, parts, strict=True)]
        ),
    }
    for how, expected in naive.items():
        pool = attention if how == "attention" else DocumentPooling(config, how)
        assert torch.allclose(pool(states, batch.document, batch.n_documents), expected, atol=1e-5), how


def test_untrained_attention_pooling_is_the_mean(data):
    """Attention pooling starts as mean pooling."""
    _, batch = data
    states = torch.randn(batch.n_tokens, 96)
    pooled = [
        DocumentPooling(ModelConfig(), how)(states, batch.document, batch.n_documents) for how in ("attention", "mean")
    ]
    assert torch.allclose(*pooled, atol=1e-5)


def test_segment_softmax_survives_large_scores():
    """Scores of a thousand neither overflow nor lose the smaller segment."""
    weights = segment_softmax(torch.tensor([[1000.0], [0.0], [-1000.0], [-1000.0]]), torch.tensor([0, 0, 1, 1]), 2)
    assert weights[:, 0].tolist() == [1.0, 0.0, 0.5, 0.5]


def test_weights_follow_from_the_seed(data):
    """The same seed gives the same weights whatever torch's state is, and leaves that state alone."""
    vocabulary, _ = data
    torch.manual_seed(1)
    first = build_model(ModelConfig(), vocabulary, 5).state_dict()
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))
    second = build_model(ModelConfig(), vocabulary, 5).state_dict()
    third = build_model(ModelConfig(), vocabulary, 6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_parameter_counts_add_up(data):
    """Tables, encoder and heads together are all parameters, and only tables grow with the vocabulary."""
    vocabulary, _ = data
    model = build_model(ModelConfig(), vocabulary, 0)
    counts = count_parameters(model)
    assert counts.total == sum(p.numel() for p in model.parameters())
    assert 200_000 < counts.encoder < 800_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"d_model": 50, "n_heads": 4},
        {"n_heads": 2, "decay": {"n_free_heads": 3}},
        {"rotary": {"longest_hours": 0.1}},
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong):
    """Heads that do not divide the width, more free heads than heads, and wavelengths upside down are errors."""
    with pytest.raises(ValidationError):
        ModelConfig(**wrong)
