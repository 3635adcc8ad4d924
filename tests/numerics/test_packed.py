"""Packed documents against each by itself, and the calendar, which must not matter."""

from __future__ import annotations

from dataclasses import fields, replace

import pyarrow.parquet as pq
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.commands.embed import embed
from tawt.commands.pretrain import pretrain
from tawt.config.batching import BatchingConfig
from tawt.config.model import DecayConfig, ModelConfig
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.dataset.reader import open_dataset
from tawt.models.encoder import Encoder

BATCHING = BatchingConfig(tokens_per_batch=700, max_length=300)


@pytest.fixture
def packed(tmp_path, write_dataset):
    """A dataset's vocabulary and one packed batch of documents of 1 to 300 tokens."""
    write_dataset(tmp_path, {"train": [12]}, lengths=[1, 2, 3, 40, 500, 60, 8, 1, 90, 33, 71, 20])
    dataset = open_dataset(tmp_path)
    batch = next(PackedLoader(dataset.split("train"), dataset.vocabulary, BATCHING, 0).sequential())
    assert batch.n_documents > 3 and batch.max_seqlen == 300 and bool(batch.is_static.any())
    return dataset.vocabulary, batch


def document(batch, i):
    """The batch that holds document `i` alone."""
    a, b = batch.cu_seqlens[i].item(), batch.cu_seqlens[i + 1].item()
    cut = {}
    for f in fields(batch):
        tensor = getattr(batch, f.name)
        if isinstance(tensor, torch.Tensor) and f.name != "cu_seqlens":
            cut[f.name] = tensor[a:b] if len(tensor) == batch.n_tokens else tensor[i : i + 1]
    return replace(batch, **cut, cu_seqlens=torch.tensor([0, b - a], dtype=torch.int32), max_seqlen=b - a)


def an_encoder(vocabulary, **changes):
    torch.manual_seed(0)
    config = ModelConfig(**{"d_model": 32, "n_layers": 2, "n_heads": 4, "d_ffn": 48, "dropout": 0.0, **changes})
    return Encoder(config, vocabulary)


def gradients(encoder, outputs, weight):
    """Gradients of a weighted sum of what came out, by name."""
    (torch.cat(outputs) * weight).sum().backward()
    grads = {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}
    encoder.zero_grad(set_to_none=True)
    return grads


@pytest.mark.parametrize("granularity", ["triplet", "timestamp"])
@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "attention", "per_type"])
def test_packed_equals_one_by_one(packed, pooling, granularity):
    """States, embeddings and all gradients of a packed batch are those of its documents run one at a time."""
    vocabulary, batch = packed
    terms = ("rotary", "decay", "bucket", "cosine", "recency")
    encoder = an_encoder(vocabulary, pooling=pooling, granularity=granularity, ffn="swiglu", attention=terms,
                         decay=DecayConfig(learned=True))  # fmt: skip
    weight = torch.randn(batch.n_documents, encoder.d_embedding)
    together = encoder.embed(batch)
    apart = torch.cat([encoder.embed(document(batch, i)) for i in range(batch.n_documents)])
    assert torch.allclose(together, apart, atol=2e-5)
    states = torch.cat([encoder.states(document(batch, i)) for i in range(batch.n_documents)])
    assert torch.allclose(encoder.states(batch), states, atol=2e-5)
    ours, theirs = gradients(encoder, [together], weight), gradients(encoder, [apart], weight)
    assert ours.keys() == theirs.keys() and any("slopes" in name for name in ours)
    scale = max(g.abs().max() for g in theirs.values())
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], atol=float(scale) * 1e-5, rtol=1e-3), name


@pytest.mark.parametrize("attention", [("rotary", "decay"), ("bucket", "cosine", "recency")])
def test_the_whole_model_agrees_with_the_reference_attention(packed, attention):
    """States and gradients are the same with the kernel and with the plain reference in its place."""
    vocabulary, batch = packed
    weight, made = torch.randn(batch.n_tokens, 32), []
    for kernel in ("packed", "reference"):
        encoder = an_encoder(vocabulary, attention=attention, kernel=kernel)
        states = encoder.states(batch)
        made.append((states, gradients(encoder, [states], weight)))
    (fast, ours), (plain, theirs) = made
    assert torch.allclose(fast, plain, atol=1e-5)
    scale = max(g.abs().max() for g in theirs.values())
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], atol=float(scale) * 1e-5, rtol=1e-3), name


def test_documents_never_see_one_another(packed):
    """Changing one document leaves the states of the others equal to the last bit, and changes its own."""
    vocabulary, batch = packed
    encoder = an_encoder(vocabulary)
    a, b = batch.cu_seqlens[2:4].tolist()
    value = batch.value.clone()
    value[a:b] += 1
    status = batch.value_status.clone()
    status[a:b] = 1
    before, after = encoder.states(batch), encoder.states(replace(batch, value=value, value_status=status))
    other = torch.ones(batch.n_tokens, dtype=torch.bool)
    other[a:b] = False
    assert torch.equal(before[other], after[other])
    assert not torch.equal(before[a:b], after[a:b])


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_static_is_as_near_to_all_times(packed, pooling):
    """Moving all of a document's events away from the origin, by 60 years and some minutes, leaves its embedding as it was,
    though statics and [CLS] stay where they are: they have no time to be far from."""
    vocabulary, batch = packed
    terms = ("rotary", "decay", "bucket", "cosine", "recency")
    encoder = an_encoder(vocabulary, pooling=pooling, attention=terms, time=("delta",))
    shift = 60 * 8766 + 17 / 60
    later = replace(
        batch, hours=torch.where(batch.is_static, 0.0, batch.hours + shift), end_hours=batch.end_hours + shift
    )
    assert (batch.is_static.any() and not batch.is_static.all()) or pooling == "cls"
    assert torch.allclose(encoder.embed(batch), encoder.embed(later), atol=1e-5)


HOURS = 3_600_000_000
SHIFTS = {
    "none": (("time2vec", "delta"), ("day",), 8766 * HOURS, True),
    "day": (("calendar",), ("day",), 24 * HOURS, True),
    "day by hours": (("calendar",), ("day",), 25 * HOURS, False),
    "week": (("calendar", "delta"), ("day", "week"), 7 * 24 * HOURS, True),
    "week by days": (("calendar",), ("day", "week"), 24 * HOURS, False),
    "year": (("calendar",), ("day", "week", "year"), 146_097 * 24 * HOURS, True),
    "year by weeks": (("calendar",), ("year",), 7 * 24 * HOURS, False),
}
"""Time encodings, periods of the calendar, by how much subjects are shifted (times a number of their own), and whether nothing
is to change. 146,097 days are 400 years and 20,871 weeks."""


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shifted_calendar_changes_no_bit(tmp_path, shards, shift):
    """Moving every subject by its own number of years leaves the trained embeddings equal to the last bit, draws of prediction
    times included; with calendar waves, whole days, weeks or years do, and nothing less."""
    time, periods, by, stays = SHIFTS[shift]
    config = PretrainConfig(
        model=ModelConfig(d_model=16, n_layers=1, n_heads=2, d_ffn=16, time=time, calendar={"periods": periods}),
        batching=BATCHING,
        objective={"forecast": {"weight": 1.0, "earliest_hours": 0.5}},
        augment={"event_dropout": 0.2},
        train=TrainConfig(max_steps=3, validate_every=0, threads=1),
    )
    files = []
    for name, n in (("a", 0), ("b", 1)):
        made = shards.write_dataset(tmp_path / name, {"train": [20]})
        (columns, index), entries = made["train"][0], []
        index["origin"] = index["origin"] + n * (1 + index["subject_id"] % 5) * by
        entries.append(shards.write_shard(tmp_path / name / "dataset" / "train", "00000", columns, index))
        sha = shards.write_vocabulary(tmp_path / name)
        shards.write_manifest(tmp_path / name, sha, {"train": entries})
        pretrain(tmp_path / name, config, device="cpu", out=tmp_path / name / "runs" / "r")
        files.append(pq.read_table(embed(tmp_path / name, "r", splits=["train"], device="cpu").path))
    assert files[0]["embedding"].equals(files[1]["embedding"]) == stays
    assert not files[0]["time"].equals(files[1]["time"]), "the calendar was not shifted"
