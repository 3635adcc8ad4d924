"""The readout per data_type, against loops over triplets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tawt.batching.batch import make_layout
from tawt.batching.masking import HIDDEN, MASK
from tawt.config.model import ModelConfig
from tawt.contracts.value_status import HAS_NUMBER
from tawt.errors import ConfigError
from tawt.models.encoder import Encoder
from tawt.models.readout import POOLINGS, PerTypeReadout, readout_types
from tawt.models.segments import segment_max, segment_mean, segment_softmax, segment_sum, take

SETTINGS = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16, "dropout": 0.0, "pooling": "per_type"}
READOUT = {"n_types": 6, "d_type": 5, "d_value": 3, "d_state": 4, "n_queries": 2, "d_query": 3, "tau_hours": 0.7}


def a_config(**changes):
    return ModelConfig.model_validate(SETTINGS | {"readout": READOUT} | changes)


def an_encoder(vocabulary, **changes):
    """An encoder with random weights everywhere, zeros and identities too."""
    torch.manual_seed(0)
    encoder = Encoder(a_config(**changes), vocabulary)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return encoder


def members(batch, document, data_type):
    """Triplets of a document and data_type whose number is visible."""
    counts = (batch.document == document) & (batch.data_type == data_type)
    counts &= torch.tensor([s in HAS_NUMBER for s in batch.value_status.tolist()])
    return counts.nonzero()[:, 0]


def rank_of(value, edges):
    """Place among a data_type's bins, straight between edges and one bin's width beyond the outer ones, of variance 1."""
    points = [2 * edges[0] - edges[1], *edges, 2 * edges[-1] - edges[-2]]
    return (2 * np.interp(value, points, np.arange(len(points))) / (len(points) - 1) - 1) * math.sqrt(3)


def ages(batch):
    """Hours of each triplet before its document's prediction time; 0 for a static."""
    return torch.where(batch.is_static, 0, batch.end_hours[batch.document] - batch.hours).float()


@pytest.mark.parametrize("granularity", ["triplet", "timestamp"])
def test_the_readout_per_type_equals_a_loop(small, granularity):
    """Every number of the embedding is that of a plain loop over documents, data_types and their triplets."""
    vocabulary, batch = small
    encoder = an_encoder(vocabulary, granularity=granularity)
    encoded, readout = encoder(batch), encoder.pooling
    assert isinstance(readout, PerTypeReadout) and readout.n_types == 6
    states, layout, tau = encoded.of_triplets(), encoded.layout, readout.tau_hours
    age, values = ages(batch), encoder.embedding.value(batch)
    n_met, n_empty, expected = 0, 0, []
    for document in range(batch.n_documents):
        parts = []
        for column, data_type in enumerate(readout.types):
            rows = members(batch, document, data_type)
            x = torch.zeros(6 * 9 + 3)
            n_empty += not len(rows)
            if len(rows):
                n_met += len(rows) > 2
                rank = torch.from_numpy(rank_of(batch.value[rows].numpy(), vocabulary.bin_edges[data_type])).float()
                features = [batch.value[rows, None], rank[:, None]]
                features += [readout.to_value(values[rows]), readout.to_state(states[rows])]
                features = torch.cat(features, -1)
                late = (age[rows] / tau).log1p()
                pooled = []
                for p in range(6):
                    level, recency = readout.level.weight[column, p], readout.recency.weight[column, p]
                    pooled.append((level * batch.value[rows] - recency * late).softmax(0) @ features)
                x = torch.cat([*pooled, torch.tensor([math.log1p(len(rows)), 1.0, late.min()])])
            parts.append(torch.nn.functional.gelu(x @ readout.weight[column] + readout.bias.view(6, 5)[column]))
        a, b = layout.spans[document]
        tokens, queries = encoded.tokens[a:b], readout.queries
        fading = queries.recency * (layout.age_hours[a:b, None] / tau).log1p()
        weights = (queries.query(tokens) - fading).softmax(0)
        projected = readout.to_query(tokens).view(-1, 2, 3)
        parts += [weights[:, q] @ projected[:, q] for q in range(2)]
        expected.append(torch.cat(parts))
    assert n_met > 5 and n_empty > 0
    embedding = encoder.embed(batch)
    assert embedding.shape == (batch.n_documents, encoder.d_embedding) == (batch.n_documents, 6 * 5 + 2 * 3)
    assert torch.allclose(embedding, torch.stack(expected), atol=1e-5)


def test_untrained_poolings_are_summaries(small):
    """At the start the poolings are near the mean, last, largest and smallest number of a data_type, and the first
    and late ones weigh as powers of their age say."""
    vocabulary, batch = small
    lab = vocabulary.value_kind.index("numeric")
    value, hours = torch.tensor([0.2, -2.5, 0.6, 3.0, -0.4]), torch.tensor([0.0, 9.0, 20.0, 31.0, 40.0])
    fields = {
        "data_type": torch.full((5,), lab),
        "value": value,
        "value_token": torch.tensor([5, 1, 6, 8, 3]),
        "value_status": torch.ones(5, dtype=torch.long),
        "hours": hours.double(),
        "is_static": torch.zeros(5, dtype=torch.bool),
        "gap_hours": torch.zeros(5),
        "type_gap_hours": torch.zeros(5),
    }
    cu_seqlens, end = torch.tensor([0, 5], dtype=torch.int32), torch.tensor([40.0], dtype=torch.float64)
    toy = replace(batch, **fields, cu_seqlens=cu_seqlens, max_seqlen=5, end_hours=end)
    readout = PerTypeReadout(a_config(readout={"types": [vocabulary.codes[lab]], "d_value": 2}), vocabulary)
    states = torch.randn(5, 16)
    summaries = readout.summaries(states, make_layout(toy), states, toy)[0, 0]
    numbers = dict(zip(POOLINGS, summaries[:-3].view(6, -1)[:, 0].tolist(), strict=True))
    assert numbers["mean"] == pytest.approx(0.18, abs=1e-6)
    assert numbers["last"] == pytest.approx(-0.4, abs=0.02)
    assert numbers["max"] == pytest.approx(3.0, abs=0.02)
    assert numbers["min"] == pytest.approx(-2.5, abs=0.02)
    age = (40 - hours) / readout.tau_hours + 1
    assert numbers["first"] == pytest.approx(float((age**3 / (age**3).sum()) @ value), abs=1e-4)
    weights = 1 / age
    assert numbers["late"] == pytest.approx(float((weights / weights.sum()) @ value), abs=1e-4)
    assert summaries[-3:].tolist() == pytest.approx([math.log(6), 1.0, 0.0])


def test_a_hidden_number_is_as_good_as_absent(small):
    """What a hidden value or data_type was has no effect on the embedding, and hiding does have one."""
    vocabulary, batch = small
    encoder = an_encoder(vocabulary)
    chosen = torch.tensor([t in encoder.pooling.types for t in batch.data_type.tolist()])
    for hides in ("value", "data_type", "both"):
        hidden = chosen & (torch.arange(batch.n_tokens) % 3 == 0)
        status = batch.value_status.masked_fill(hidden, HIDDEN) if hides != "data_type" else batch.value_status
        data_type = batch.data_type.masked_fill(hidden, MASK) if hides != "value" else batch.data_type
        value = batch.value.masked_fill(hidden, 0.0) if hides != "data_type" else batch.value
        shown = replace(
            batch,
            data_type=data_type,
            value=value,
            value_status=status,
            value_token=batch.value_token.masked_fill(hidden, 0),
        )
        # the readout itself, given states and value encodings: numbers and bins under a hidden status are not read
        states = torch.randn(batch.n_tokens, 16)
        layout = make_layout(batch)
        planted = replace(shown, value=value.masked_fill(hidden, 7.0), value_token=batch.value_token)
        assert torch.equal(
            encoder.pooling(states, layout, states, shown), encoder.pooling(states, layout, states, planted)
        )
        assert not torch.equal(encoder.embed(batch), encoder.embed(shown))
        # not even that there was one: the count is that of the visible
        summaries = encoder.pooling.summaries(states, layout, states, shown).detach()
        for document in range(batch.n_documents):
            for column, data_type_ in enumerate(encoder.pooling.types):
                n = len(members(shown, document, data_type_))
                assert summaries[document, column, -3] == pytest.approx(math.log1p(n)) and (
                    n or not summaries[document, column].any()
                )


@pytest.mark.parametrize("pooling", ["attention", "per_type", "cls"])
@pytest.mark.parametrize("combine", ["sum", "concat"])
@pytest.mark.parametrize("granularity", ["triplet", "timestamp"])
def test_a_loss_on_the_embedding_reaches_every_parameter(small, pooling, combine, granularity):
    """A loss on the embedding gives every parameter of the encoder a gradient."""
    vocabulary, batch = small
    time = ("time2vec", "sinusoidal", "delta")
    encoder = an_encoder(vocabulary, pooling=pooling, combine=combine, granularity=granularity, time=time)
    encoder.embed(batch).square().sum().backward()
    lacking = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert lacking == []


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "attention", "per_type"])
def test_documents_alone_are_as_packed(small, pooling):
    """A document's embedding is the same alone as among others."""
    vocabulary, batch = small
    for granularity in ("triplet", "timestamp"):
        encoder = an_encoder(vocabulary, pooling=pooling, granularity=granularity)
        together = encoder.embed(batch)
        bounds = batch.cu_seqlens.tolist()
        for i in range(batch.n_documents):
            a, b = bounds[i : i + 2]
            names = ("data_type", "value", "value_token", "value_status", "hours", "is_static", "gap_hours")
            cut = {name: getattr(batch, name)[a:b] for name in (*names, "type_gap_hours")}
            ends = torch.tensor([0, b - a], dtype=torch.int32)
            alone = replace(batch, **cut, cu_seqlens=ends, max_seqlen=b - a, end_hours=batch.end_hours[i : i + 1])
            assert torch.allclose(encoder.embed(alone)[0], together[i], atol=2e-5)


def test_moments_are_triplets_where_no_time_is_shared(small):
    """One token per timestamp gives the same embedding as one per triplet where all times differ."""
    vocabulary, batch = small
    spread = batch.hours + torch.arange(batch.n_tokens) * 1e-3
    apart = replace(batch, hours=spread, is_static=torch.zeros_like(batch.is_static))
    for pooling in ("mean", "per_type"):
        made = [an_encoder(vocabulary, pooling=pooling, granularity=g).embed(apart) for g in ("triplet", "timestamp")]
        assert torch.allclose(*made, atol=1e-5)


@pytest.mark.parametrize("pooling", ["attention", "per_type"])
def test_gradients_are_the_same_each_time(small, pooling):
    """Under deterministic algorithms gradients are equal to the last bit each time, with two threads too, and near those
    with one."""
    vocabulary, batch = small
    threads, found = torch.get_num_threads(), []
    torch.use_deterministic_algorithms(True)
    try:
        for n in (2, 2, 1):
            torch.set_num_threads(n)
            encoder = an_encoder(vocabulary, pooling=pooling, granularity="timestamp", combine="concat")
            encoder.embed(batch).square().sum().backward()
            found.append({name: p.grad for name, p in encoder.named_parameters()})
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    for name, grad in found[0].items():
        assert torch.equal(grad, found[1][name]), name
        assert torch.allclose(grad, found[2][name], rtol=1e-4, atol=1e-5 * float(grad.abs().max())), name


@pytest.mark.parametrize("shape", [(40_000, 3, 20), (3_000, 64, 500), (40_000, 1, 1)], ids=str)
def test_sums_over_segments_are_the_same_bits_at_any_number_of_threads(shape):
    """Sums, means, maxima and softmaxes over segments and the gradients through them have one order, few segments or many."""
    rows, columns, n_segments = shape
    torch.manual_seed(0)
    given, segment = torch.randn(rows, columns), torch.randint(n_segments, (rows,)).sort()[0]
    segment[:n_segments], threads, found = torch.arange(n_segments), torch.get_num_threads(), []
    torch.use_deterministic_algorithms(True)
    try:
        for n in (1, 2, 3, 4):
            torch.set_num_threads(n)
            x = given.clone().requires_grad_()
            weights = segment_softmax(x, segment, n_segments)
            means, largest = (f(x, segment, n_segments) for f in (segment_mean, segment_max))
            out = take(torch.cat((means, largest, segment_sum(x * weights, segment, n_segments)), 1), segment)
            found.append([out.detach(), *torch.autograd.grad(out, x, given.repeat(1, 3))])
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_types_are_named_or_the_most_frequent(small):
    """Named codes are taken in their order, else the most frequent with numbers; what cannot be is refused."""
    vocabulary, _ = small
    numeric = [i for i in range(len(vocabulary)) if vocabulary.n_bins[i]]
    most = sorted(numeric, key=lambda i: (-vocabulary.n_rows[i], i))
    assert readout_types(a_config().readout, vocabulary).tolist() == most[:6]
    named = [vocabulary.codes[i] for i in (numeric[2], numeric[0])]
    assert readout_types(a_config(readout={"types": named}).readout, vocabulary).tolist() == [numeric[2], numeric[0]]
    without = vocabulary.codes[vocabulary.value_kind.index("none")]
    for wrong, says in ((["LAB//0000x"], "no data_type"), ([without], "no numbers"), ([named[0]] * 2, "twice")):
        with pytest.raises(ConfigError, match=says) as caught:
            readout_types(a_config(readout={"types": wrong}).readout, vocabulary)
        assert "did you mean `LAB//" in caught.value.hint or says != "no data_type"
    codes_alone = replace(vocabulary, n_bins=np.zeros_like(vocabulary.n_bins))
    with pytest.raises(ConfigError, match="no data_type with numbers"):
        readout_types(a_config().readout, codes_alone)
