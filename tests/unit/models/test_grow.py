"""Weights for a longer vocabulary: what was known is the same, bit for bit, and what is new begins as it is told."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tawt.batching.loader import PackedLoader
from tawt.commands.extend import _config
from tawt.config.batching import BatchingConfig
from tawt.config.model import ModelConfig, ReadoutConfig
from tawt.config.objective import ContrastiveConfig, ForecastConfig, MaskedConfig, ObjectiveConfig
from tawt.config.train import PretrainConfig
from tawt.dataset.likeness import Began, beginnings
from tawt.dataset.reader import open_dataset
from tawt.dataset.vocabulary import read_vocabulary
from tawt.errors import CheckpointError
from tawt.models.decoder.places import ranks
from tawt.models.decoder.schedule import N_MARKS
from tawt.models.grow import Growth, hold_longer, is_counted
from tawt.objectives.baselines import forecast_types
from tawt.objectives.pretrain_model import build_model
from tawt.runs.load import Saved

N_OLD = 17


@pytest.fixture
def both(tmp_path, shards):
    """An old vocabulary and its batch; the new one has 3 data_types more, one of more bins, and a category more."""
    shards.write_dataset(tmp_path, {"train": [12]}, n_types=13, lengths=[30] * 12)
    dataset = open_dataset(tmp_path)
    old = dataset.vocabulary
    batch = PackedLoader(dataset.split("train"), old, BatchingConfig(), 0).batch(0).tensors()
    shards.write_vocabulary(tmp_path / "new", n_types=16)
    path = tmp_path / "new" / "vocabulary" / "vocabulary.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[6] |= {"categories": [*rows[6]["categories"], "LARGE"], "category_subjects": [500] * 4}
    edges = [-3.0, *rows[4]["bin_edges"], 30.0]
    rows[19] |= {"n_bins": 10, "bin_edges": edges, "bin_subjects": [500] * 10, "edge_subjects": [500] * 9}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return old, read_vocabulary(path), batch


def config(pooling="per_type", granularity="triplet"):
    """A small model with every head on; the readout and forecasting leave it to the vocabulary what they take."""
    model = ModelConfig(
        d_model=16, n_layers=1, n_heads=2, d_ffn=16, dropout=0.0, pooling=pooling, granularity=granularity,
        readout=ReadoutConfig(n_types=4),
    )  # fmt: skip
    objective = ObjectiveConfig(
        masked=MaskedConfig(token_weight=1, status_weight=1, summary_weight=1, variables=0.1), forecast=ForecastConfig(weight=1, n_types=4),
        contrastive=ContrastiveConfig(weight=1),
    )  # fmt: skip
    return PretrainConfig(model=model, objective=objective)


def trained(config, vocabulary):
    """A model of which no row is zero, as training leaves it."""
    model = build_model(config, vocabulary, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point() and (not name.startswith("encoder.pooling.") or parameter.dim() != 1):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def grown(config, old, new, began=None, init="similar"):
    """The model before, and the model of the longer vocabulary."""
    before = trained(config, old)
    longer = _config(Saved(config, old, None), new)
    columns = (
        forecast_types(old, config.objective.forecast.n_types),
        forecast_types(new, longer.objective.forecast.n_types),
    )
    after = build_model(longer, new, 5).eval()
    with torch.no_grad():
        counted = {name: p + 0.5 for name, p in after.named_parameters() if is_counted(name)}
    began = began or beginnings(old, new, init, {})
    growth = Growth(old, new, began, columns, counted, torch.Generator().manual_seed(0))
    tensors = growth.grow(dict(before.named_parameters()))
    with torch.no_grad():
        for name, parameter in after.named_parameters():
            assert tensors[name].shape == parameter.shape, name
            parameter.copy_(tensors[name])
    return before, after


@pytest.mark.parametrize("granularity", ["triplet", "timestamp"])
@pytest.mark.parametrize("pooling", ["per_type", "mean", "cls", "attention"])
def test_who_has_nothing_new_keeps_every_bit(both, pooling, granularity):
    """States and embeddings of records without new data_types are equal to the bit, and as wide."""
    old, new, batch = both
    before, after = grown(config(pooling, granularity), old, new)
    with torch.inference_mode():
        assert torch.equal(before.encoder.embed(batch), after.encoder.embed(batch))
        assert torch.equal(before.encoder.states(batch), after.encoder.states(batch))


def test_a_decoder_says_of_old_data_types_what_it_said(both):
    """States, latents, and what the heads say of gaps, statuses and numbers of old data_types, keep every bit; steps do as far
    as no new data_type is due; new ones have a scale."""
    old, new, batch = both
    tree = {
        "model": {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16, "causal": True},
        "objective": {"masked": {"weight": 0}, "next": {"weight": 1, "n_hours": 2, "n_days": 3, "n_due": 64, "due_to_others": True, "numbers_so_far": True, "numbers_of_others": True, "hours_after": True, "later_weight": 0.5}, "latent": {
            "model": {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}, "trains_encoder": True, "n_queries": 2,
        }}, "batching": {"order": "by_type"},
    }  # fmt: skip
    before, after = grown(PretrainConfig.model_validate(tree), old, new)
    kinds = torch.arange(4, len(old))
    status = torch.ones_like(kinds)
    told, steps, marks, rank = [], [], torch.rand(len(kinds), 60, N_MARKS), torch.rand(len(kinds))
    after.heads.next.what.type_bias.data[len(old) :] = -40
    ages, others = torch.rand(len(kinds), len(old)) * 40 - 10, torch.rand(len(kinds), 2, len(old)) - 0.5
    minutes = torch.randint(60, ages.shape)
    with torch.inference_mode():
        for model in (before, after):
            heads, states = model.heads.next, model.encoder.states(batch)
            table, own = model.encoder.embedding.data_type.weight, states[: len(kinds)]
            typed = heads.typed(own, kinds, table, own, torch.ones(len(kinds)))
            low, high = ranks(heads.knots, kinds[[0, 3]], torch.tensor([0.1, 0.2]))
            steps.append(heads.steps(own, torch.ones(len(own), dtype=torch.bool), table, kinds, ages))
            told.append([
                states, *vars(heads.gaps(own, table, marks, minutes, ages)).values(),
                heads.what.statuses(typed, kinds), heads.numbers(typed, kinds, status, table, rank, rank - 0.3, others), low, high,
                heads.told(model.latent(batch).mean),
            ])  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(*told, strict=True))
    torch.testing.assert_close(*steps)
    assert after.heads.next.knots.shape[0] == len(new) > len(old)


def test_a_row_that_moved_would_be_noticed(both):
    """The same comparison fails when two old rows change places, or the readout's own data_types are taken anew."""
    old, new, batch = both
    before, after = grown(config(), old, new)
    with torch.no_grad():
        table = after.encoder.embedding.data_type.weight
        table[[4, 5]] = table[[5, 4]].clone()
    with torch.inference_mode():
        assert not torch.equal(before.encoder.embed(batch), after.encoder.embed(batch))


def test_heads_keep_what_they_say_of_old_data_types(both):
    """Logits of old data_types, numbers, bins, statuses, categories and forecasts are the same."""
    old, new, _ = both
    before, after = grown(config(), old, new)
    states = torch.randn(6, 16, generator=torch.Generator().manual_seed(2))
    data_type = torch.tensor([4, 5, 6, 7, 8, 9])
    with torch.inference_mode():
        told = []
        for model in (before, after):
            heads, table = model.heads.tokens, model.encoder.embedding
            typed = heads.typed(states, data_type, table.data_type.weight)
            logits, position = heads.categories(typed, data_type, table.value.category_rows)
            kept = torch.cat([logits[position == k][: int(old.n_categories[t]) or 1] for k, t in enumerate(data_type)])
            told.append([
                heads.types(states, table.data_type.weight)[:, :N_OLD], heads.numbers(typed, data_type),
                heads.bins(typed, data_type)[:, : old.max_bins], heads.statuses(typed, data_type), kept,
            ])  # fmt: skip
        for one, other in zip(*told, strict=True):
            torch.testing.assert_close(one, other)
        documents = torch.randn(3, before.encoder.d_embedding)
        for part in ("forecast_value", "forecast_presence", "summary"):
            values = [
                getattr(m.heads.documents, part)(documents)[:, m.heads.documents.column_of] for m in (before, after)
            ]
            own = before.heads.documents.column_of >= 0
            torch.testing.assert_close(values[0][:, own], values[1][:, :N_OLD][:, own])


def test_new_rows_begin_from_what_is_told(both):
    """One source is copied, two are weighed, and without any the draw hangs on the seed alone."""
    old, new, _ = both
    began = [Began(17, "similar", (4,), (1.0,)), Began(18, "text", (4, 7), (0.75, 0.25)), Began(19, "random")]
    before, after = grown(config(), old, new, began)
    was, now = (model.encoder.embedding for model in (before, after))
    assert torch.equal(now.data_type.weight[17], was.data_type.weight[4])
    torch.testing.assert_close(
        now.data_type.weight[18], 0.75 * was.data_type.weight[4] + 0.25 * was.data_type.weight[7]
    )
    again = grown(config(), old, new, began)[1].encoder.embedding.data_type.weight
    assert (
        torch.equal(now.data_type.weight, again) and not now.data_type.weight[19].eq(was.data_type.weight).all(1).any()
    )
    assert torch.equal(now.value.scale.weight[19], torch.zeros(4))  # it has no numbers to begin from
    for table in (after.heads.tokens.bin_bias.weight, after.heads.tokens.status_bias.weight):
        assert torch.equal(table[17:], torch.full_like(table[17:], 0.5))  # as was counted


def test_a_new_category_begins_as_the_other_that_it_was(both):
    """A text that was OTHER until now changes nothing by getting a category of its own."""
    old, new, _ = both
    before, after = grown(config(), old, new)
    was, now = (model.encoder.embedding.value.category_rows for model in (before, after))
    other, largest = int(new.category_offset[6]), int(new.category_offset[6]) + 4
    assert new.categories[6][-1] == "LARGE" and torch.equal(now[largest], was[int(old.category_offset[6])])
    assert torch.equal(now[other], now[largest])
    # of the data_types behind it all categories have moved by one row, and are as they were
    assert torch.equal(now[largest + 1 : largest + 1 + len(was) - other - 4], was[other + 4 :])


def test_a_vocabulary_that_does_not_go_on_is_refused(both, tmp_path, shards):
    """Another order, other edges or fewer data_types are no longer vocabulary."""
    old, new, _ = both
    hold_longer("here", old, new, "")
    for wrong in ((new, old),):
        with pytest.raises(CheckpointError, match="does not go on from"):
            hold_longer("here", *wrong, "")
    table = pq.read_table(tmp_path / "new" / "vocabulary" / "vocabulary.parquet")
    rows = table.to_pylist()
    for change in ({"code": "OTHER"}, {"center": 9.0}, {"bin_edges": [1.0, *rows[4]["bin_edges"][1:]]}):
        path = tmp_path / "wrong.parquet"
        pq.write_table(pa.Table.from_pylist([*rows[:4], rows[4] | change, *rows[5:]], schema=table.schema), path)
        with pytest.raises(CheckpointError, match="does not go on from"):
            hold_longer("here", old, read_vocabulary(path), "")
