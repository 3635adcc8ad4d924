"""Token embeddings, time encodings and simple readouts, against what they should be by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tawt.batching.batch import make_layout
from tawt.batching.host import HostBatch
from tawt.config.model import CalendarConfig, ModelConfig, WavelengthsConfig
from tawt.config.train import PretrainConfig
from tawt.contracts.value_status import ValueStatus
from tawt.models.embeddings import TokenEmbedding
from tawt.models.pooling import DocumentPooling
from tawt.models.segments import segment_softmax
from tawt.models.time_encoding import Calendar, Gaps, Sinusoidal, Time2Vec, TimeEncoding
from tawt.objectives.pretrain_model import build_model, count_parameters


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


def embedded(embedding, batch, granularity="triplet"):
    """Token vectors of a batch."""
    return embedding(batch, make_layout(batch, granularity))[0]


@pytest.mark.parametrize("combine", ["sum", "concat"])
@pytest.mark.parametrize("how", ["continuous", "tokens", "both"])
def test_every_field_of_a_triplet_is_seen(data, how, combine):
    """Another number, bin, category, status or data_type gives another vector; two categories of one lab have two."""
    vocabulary, batch = data
    torch.manual_seed(0)
    embedding = TokenEmbedding(ModelConfig(value=how, combine=combine), vocabulary)
    lab, text = of_kind(vocabulary, "numeric"), of_kind(vocabulary, "categorical")
    number = {"data_type": lab, "value": 0.5, "value_token": 5, "value_status": ValueStatus.NUMERIC}
    word = {"data_type": text, "value": 0.0, "value_token": 2, "value_status": ValueStatus.CATEGORY}
    changes = [number | {"value": -0.5, "value_token": 2}, number | {"data_type": lab + 15}, word]
    changes += [word | {"value_token": 3}, word | {"value_token": 1}]
    changes += [number | {"value_status": s, "value": 0.0, "value_token": 0} for s in range(3, 10)]
    vectors = [embedded(embedding, one_token(batch, **fields)) for fields in [number, *changes]]
    for i, a in enumerate(vectors):
        for b in vectors[i + 1 :]:
            assert (a - b).abs().max() > 1e-3


def test_a_number_is_read_only_where_there_is_one(data):
    """The value column of a token whose status says that there is no number has no effect."""
    vocabulary, batch = data
    embedding = TokenEmbedding(ModelConfig(), vocabulary)
    absent = {
        "data_type": of_kind(vocabulary, "numeric"),
        "value_token": 0,
        "value_status": ValueStatus.ABSENT,
    }
    assert torch.equal(
        embedded(embedding, one_token(batch, value=0.0, **absent)),
        embedded(embedding, one_token(batch, value=3.0, **absent)),
    )


def test_the_same_number_means_something_else_in_another_lab(data):
    """Scale and shift per data_type change what a number adds, and get a gradient."""
    vocabulary, batch = data
    value = TokenEmbedding(ModelConfig(value="continuous"), vocabulary).value
    lab = of_kind(vocabulary, "numeric")
    token = one_token(batch, data_type=lab, value=1.0, value_token=0, value_status=ValueStatus.NUMERIC)
    before = value(token)
    before.sum().backward()
    assert value.scale.weight.grad[lab].abs().sum() > 0 and value.shift.weight.grad[lab].abs().sum() > 0
    with torch.no_grad():
        value.shift.weight[lab] += 1
    assert not torch.equal(before, value(token))


@pytest.mark.parametrize("granularity", ["triplet", "timestamp"])
def test_statics_have_their_own_time(data, granularity):
    """Statics have one time vector, whatever the hours and gaps that stand beside them, and others do not."""
    _, batch = data
    encoding = TimeEncoding(ModelConfig(time=("time2vec", "sinusoidal", "delta", "calendar")))
    assert batch.is_static.sum() > 1
    odd = [torch.where(batch.is_static, 99.0, x) for x in (batch.hours, batch.gap_hours, batch.type_gap_hours)]
    clock = batch.clock_hours[batch.document]
    out = encoding.of_tokens(odd[0], odd[1], batch.is_static, clock)
    same = (out == encoding.static).all(-1)
    assert torch.equal(same, batch.is_static)
    assert torch.equal((encoding.of_triplets(odd[2], batch.is_static) == 0).all(-1), batch.is_static)
    torch.manual_seed(0)
    embedding = TokenEmbedding(ModelConfig(), data[0])
    shifted = replace(batch, hours=torch.where(batch.is_static, batch.hours, batch.hours + 1000.5))
    a, b = (embedded(embedding, x, granularity) for x in (batch, shifted))
    static = make_layout(batch, granularity).is_static
    assert torch.equal(a[static], b[static]) and not torch.equal(a[~static], b[~static])


def test_sinusoidal_keeps_its_minutes_for_a_century():
    """A century after the origin the fixed sines are those of float64 arithmetic to 1e-6."""
    torch.manual_seed(0)
    encode = Sinusoidal(WavelengthsConfig(n_frequencies=7), 16)
    hours = torch.tensor([0.0, 524_287.37, 876_000.02], dtype=torch.float64)
    angles = torch.outer(hours, 2 * math.pi / torch.logspace(0, math.log10(876_600), 7, dtype=torch.float64))
    expected = torch.cat((angles.sin(), angles.cos()), -1) @ encode.out.weight.double().T
    assert torch.allclose(encode(hours).double(), expected, atol=1e-6)


def test_a_token_of_a_moment_is_the_sum_of_its_triplets(small):
    """With one token per timestamp, a token is what a loop over its triplets adds up to, and its time once."""
    vocabulary, batch = small
    for combine in ("sum", "concat"):
        torch.manual_seed(0)
        embedding = TokenEmbedding(ModelConfig(d_model=16, combine=combine), vocabulary)
        if embedding.project is not None:
            torch.nn.init.normal_(embedding.project.weight)
        moments: dict[tuple, list[int]] = {}
        for i, document in enumerate(batch.document.tolist()):
            moments.setdefault((document, bool(batch.is_static[i]), float(batch.hours[i])), []).append(i)
        assert max(map(len, moments.values())) > 3 and len(moments) < batch.n_tokens
        time, expected = embedding.time, []
        for (_, static, hour), members in moments.items():
            rows = torch.tensor(members)
            what = embedding.data_type(batch.data_type[rows]).sum(0)
            value = embedding.value(batch)[rows].sum(0)
            status = embedding.status(batch.value_status[rows]).sum(0)
            when = time.static
            if not static:
                when = time.time2vec(torch.tensor([hour], dtype=torch.float64))[0]
                when = when + time.gaps.of_events(batch.gap_hours[rows[:1]])[0]
                when = when + time.gaps.of_types(batch.type_gap_hours[rows]).sum(0)
            parts = (what, value, status, when)
            expected.append(sum(parts) if combine == "sum" else embedding.project(torch.cat(parts)))
        got = embedded(embedding, batch, "timestamp")
        assert torch.allclose(got, torch.stack(expected), atol=1e-5), combine


def test_side_by_side_starts_as_the_sum(data):
    """With the same seed, concatenation and projection give the sum's tokens at the start, of the same shape."""
    vocabulary, batch = data
    made = []
    for combine in ("sum", "concat"):
        torch.manual_seed(0)
        made.append(embedded(TokenEmbedding(ModelConfig(combine=combine), vocabulary), batch))
    assert made[0].shape == (batch.n_tokens, 96) and torch.allclose(*made, atol=1e-5)


def test_time2vec_keeps_its_minutes_for_a_century():
    """A century after the origin the encoding is that of float64 arithmetic to 1e-5, where float32 hours would miss by minutes."""
    torch.manual_seed(0)
    config = WavelengthsConfig(shortest_hours=1.0)
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


def some_clock(origins, times):
    """Documents of one token each, `times` after `origins`, as tensors."""
    n, one = len(times), np.ones(len(times), np.int64)
    us = np.array([t // timedelta(microseconds=1) for t in times])
    return HostBatch(
        data_type=one, value=one.astype(np.float32), value_token=one, value_status=one, time=us, available=None,
        identity=one.astype(np.uint32),
        bounds=np.arange(n + 1), n_static=0 * one, subject_id=one, end=us, n_cut=0,
        origin=np.array([(o - datetime(1970, 1, 1)) // timedelta(microseconds=1) for o in origins]),
    ).tensors()  # fmt: skip


def test_calendar_waves_are_those_of_exact_arithmetic():
    """A century after a birth, also one before 1970, the waves are those of the clock in exact fractions to 1e-6."""
    origins = [datetime(1948, 2, 29, 3, 7, 11, 5), datetime(2101, 7, 4, 23, 59, 59, 999_999), datetime(1970, 1, 1)]
    after = [timedelta(days=36_500, seconds=1, microseconds=3), timedelta(hours=7, minutes=1), timedelta(0)]
    batch = some_clock(origins, after)
    encode = Calendar(CalendarConfig(n_harmonics=3), 36)
    with torch.no_grad():
        encode.out.weight.copy_(torch.eye(36)[:, :18])
    got, expected = encode(batch.hours, batch.clock_hours)[:, :18], []
    for origin, time in zip(origins, after, strict=True):
        us = (origin + time - datetime(1970, 1, 1)) // timedelta(microseconds=1)
        periods = [timedelta(days=d) // timedelta(microseconds=1) for d in (1, 7, 365.2425)]
        turns = [Fraction(n * us, period) % 1 for n in (1, 2, 3) for period in periods]
        expected.append([f(2 * math.pi * float(turn)) for f in (math.sin, math.cos) for turn in turns])
    assert torch.allclose(got, torch.tensor(expected), atol=1e-6)


def test_hours_of_the_day_are_read_off_calendar_waves_in_a_straight_line():
    """Of times decades after births at any hour, a linear model of the calendar's vectors tells day from night, and one of the
    default grid's vectors does not."""
    rng = np.random.default_rng(0)
    origins = [datetime(1950, 1, 1) + timedelta(minutes=int(m)) for m in rng.integers(0, 26_000_000, 600)]
    after = [timedelta(minutes=int(m)) for m in rng.integers(0, 40_000_000, 600)]
    batch = some_clock(origins, after)
    by_day = np.array([8 <= (origin + time).hour < 20 for origin, time in zip(origins, after, strict=True)])
    torch.manual_seed(0)
    right = []
    for vectors in (
        Calendar(CalendarConfig(), 64)(batch.hours, batch.clock_hours),
        Time2Vec(WavelengthsConfig(), 64)(batch.hours),
    ):
        x = vectors.detach().double().numpy()
        x = np.column_stack(((x - x[:400].mean(0)) / x[:400].std(0), np.ones(600)))
        fit = np.linalg.solve(x[:400].T @ x[:400] + 0.1 * np.eye(65), x[:400].T @ (by_day[:400] - 0.5))
        right.append(((x[400:] @ fit > 0) == by_day[400:]).mean())
    assert right[0] > 0.93 and right[1] < 0.65


def test_time2vec_gradients_do_not_grow_with_the_hour():
    """A century after the origin, the gradient of every weight is at most a few times that of the first day."""

    def largest(hour: float) -> float:
        torch.manual_seed(0)
        encode = Time2Vec(WavelengthsConfig(), 32)
        encode(torch.full((1,), hour, dtype=torch.float64)).square().sum().backward()
        return max(float(p.grad.abs().max()) for p in encode.parameters())

    assert largest(876_000.3) < 10 * largest(24.3)


def test_no_earlier_event_of_the_type_is_not_a_gap_of_zero():
    """ "None" has a vector of its own, other than that of a gap of zero hours."""
    gaps = Gaps(16)
    zero, none = (gaps.of_types(torch.tensor([gap])) for gap in (0.0, -1.0))
    assert (zero - none).abs().max() > 1e-2


def test_readouts_equal_loops(small):
    """Mean, max and attention over packed documents are those of a loop over documents."""
    _, batch = small
    torch.manual_seed(0)
    config, layout = ModelConfig(d_model=24, n_heads=3, pooling="attention"), make_layout(batch)
    states = torch.randn(batch.n_tokens, 24)
    parts = [states[a:b] for a, b in layout.spans]
    attention = DocumentPooling(config)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    pooled = []
    for (a, b), end in zip(layout.spans, batch.end_hours, strict=True):
        age = torch.where(batch.is_static[a:b], 0, end - batch.hours[a:b]).float()
        scores = states[a:b] @ attention.queries.query.weight.T - age.log1p()[:, None] * attention.queries.recency
        weights = scores.softmax(0)
        pooled.append(torch.cat([weights[:, h] @ states[a:b, 8 * h : 8 * h + 8] for h in range(3)]))
    naive = {
        "mean": torch.stack([p.mean(0) for p in parts]),
        "max": torch.stack([p.amax(0) for p in parts]),
        "attention": torch.stack(pooled),
    }
    for how, expected in naive.items():
        pool = attention if how == "attention" else DocumentPooling(ModelConfig(pooling=how))
        assert torch.allclose(pool(states, layout), expected, atol=1e-5), how


def test_untrained_attention_pooling_is_the_mean(data):
    """Attention pooling starts as mean pooling."""
    _, batch = data
    states, layout = torch.randn(batch.n_tokens, 96), make_layout(batch)
    pooled = [DocumentPooling(ModelConfig(pooling=how))(states, layout) for how in ("attention", "mean")]
    assert torch.allclose(*pooled, atol=1e-5)


def test_segment_softmax_survives_large_scores():
    """Scores of a thousand neither overflow nor lose the smaller segment."""
    weights = segment_softmax(torch.tensor([[1000.0], [0.0], [-1000.0], [-1000.0]]), torch.tensor([0, 0, 1, 1]), 2)
    assert weights[:, 0].tolist() == [1.0, 0.0, 0.5, 0.5]


def test_weights_follow_from_the_seed(data):
    """The same seed gives the same weights whatever torch's state is, and leaves that state alone."""
    vocabulary, _ = data
    torch.manual_seed(1)
    first = build_model(PretrainConfig(), vocabulary, 5).state_dict()
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))
    second = build_model(PretrainConfig(), vocabulary, 5).state_dict()
    third = build_model(PretrainConfig(), vocabulary, 6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_parameter_counts_add_up(data):
    """Tables, encoder and heads together are all parameters, and only tables grow with the vocabulary."""
    vocabulary, _ = data
    model = build_model(PretrainConfig(), vocabulary, 0)
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
