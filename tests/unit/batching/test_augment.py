"""Augmentations: what each may change, and that only subject, place and salts decide it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tawt.batching.augment import augment, crop, event_dropout, jitter, scaling, time_warp, variable_dropout
from tawt.batching.edit import concatenate, remake_gaps, select
from tawt.batching.loader import PackedLoader
from tawt.batching.views import two_views
from tawt.config.augment import AugmentConfig
from tawt.config.batching import BatchingConfig
from tawt.dataset.reader import open_dataset

OF_TOKENS = (
    "data_type", "value", "value_token", "value_status", "hours", "is_static", "available_hours", "gap_hours",
    "type_gap_hours",
)  # fmt: skip
ALL = AugmentConfig(variable_dropout=0.1, event_dropout=0.3, crop=0.3, jitter=0.1, scaling=0.1, time_warp=0.2)
EACH = [AugmentConfig(**{name: value}) for name, value in ALL.model_dump().items()] + [ALL]


@pytest.fixture
def data(tmp_path, write_dataset):
    """Vocabulary and a packed batch of some dozen documents, of one token each among them."""
    write_dataset(tmp_path, {"train": [60]}, lengths=[1, 1, 2, 3] + [5, 40, 80, 20] * 14)
    dataset = open_dataset(tmp_path)
    config = BatchingConfig(tokens_per_batch=4096)
    loader = PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0, with_available=True)
    return dataset.vocabulary, loader.batch(0)


def documents(batch) -> dict[int, dict[str, torch.Tensor]]:
    """Columns of each document by its subject."""
    out = {}
    for i, (a, b) in enumerate(pairwise(batch.cu_seqlens.tolist())):
        columns = {name: getattr(batch, name)[a:b] for name in OF_TOKENS}
        columns |= {name: getattr(batch, name)[i] for name in ("end_hours", "end_time")}
        out[int(batch.subject_id[i])] = columns
    return out


def same(a, b) -> bool:
    """Whether two dicts of tensors are bit-equal."""
    return all(torch.equal(a[name], b[name]) for name in a)


def only(batch, chosen):
    """The batch of some documents, taken one by one and laid down in the order asked for."""
    parts = []
    for i in chosen:
        keep = (batch.document == i).numpy()
        bounds = torch.tensor([0, int(keep.sum())], dtype=torch.int32)
        columns = {name: getattr(batch, name)[torch.from_numpy(keep)] for name in OF_TOKENS}
        own = {name: getattr(batch, name)[i : i + 1] for name in ("subject_id", "end_hours", "end_time")}
        parts.append(replace(batch, **columns, **own, cu_seqlens=bounds, max_seqlen=int(bounds[1]), n_cut=0))
    return concatenate(parts)


@pytest.mark.parametrize("config", EACH)
def test_a_document_does_not_depend_on_its_batch(data, config):
    """Alone, in another order or with others, a document becomes the same to the last bit; other salts give another."""
    vocabulary, batch = data
    whole = documents(augment(batch, config, vocabulary, 6, 0, 1))
    others = only(batch, [i for i in reversed(range(batch.n_documents)) if i % 3 == 0])
    some = documents(augment(others, config, vocabulary, 6, 0, 1))
    assert len(some) > 15
    assert all(same(columns, whole[subject]) for subject, columns in some.items())
    other = documents(augment(batch, config, vocabulary, 6, 0, 2))
    differing = [
        s for s in whole if any(a.shape != other[s][k].shape or not a.equal(other[s][k]) for k, a in whole[s].items())
    ]
    assert len(differing) > 10


@pytest.mark.parametrize("config", EACH)
def test_no_document_is_empty_and_order_is_kept(data, config):
    """Every document keeps a token, statics first, times in order, its prediction time; gaps are those of a fresh batch."""
    vocabulary, batch = data
    for salt in range(5):
        got = augment(batch, config, vocabulary, salt)
        assert torch.equal(got.subject_id, batch.subject_id) and torch.equal(got.end_hours, batch.end_hours)
        lengths = got.cu_seqlens.diff()
        assert (lengths >= 1).all() and got.max_seqlen == int(lengths.max()) and got.n_tokens == int(got.cu_seqlens[-1])
        for columns in documents(got).values():
            static, hours = columns["is_static"], columns["hours"]
            assert not (static[1:] & ~static[:-1]).any()
            assert (hours[~static].diff() >= 0).all()
        again = remake_gaps(got)
        assert torch.equal(again.gap_hours, got.gap_hours) and torch.equal(again.type_gap_hours, got.type_gap_hours)


def test_variable_dropout_takes_all_of_a_variable_or_nothing(data):
    """Each data_type of a document stays whole or goes whole, in about the share asked for."""
    _, batch = data
    before, after = documents(batch), documents(variable_dropout(batch, 0.4, 1))
    gone = []
    for subject, columns in before.items():
        left = after[subject]["data_type"]
        for data_type in columns["data_type"].unique():
            n, n_left = int((columns["data_type"] == data_type).sum()), int((left == data_type).sum())
            if len(left) > 1:
                assert n_left in (0, n)
                gone.append(n_left == 0)
    assert len(gone) > 200 and np.mean(gone) == pytest.approx(0.4, abs=0.08)


def test_event_dropout_spares_statics(data):
    """Statics all stay; of the timed triplets a share between none and the amount goes, another per document."""
    _, batch = data
    before, after = documents(batch), documents(event_dropout(batch, 0.8, 1))
    shares = []
    for subject, columns in before.items():
        n_static = int(columns["is_static"].sum())
        assert int(after[subject]["is_static"].sum()) == n_static
        if len(columns["hours"]) >= 40:
            shares.append(1 - (len(after[subject]["hours"]) - n_static) / (len(columns["hours"]) - n_static))
    assert np.mean(shares) == pytest.approx(0.4, abs=0.1) and np.std(shares) > 0.12 and max(shares) < 0.95


def test_crop_leaves_one_run(data):
    """What is left of the timed triplets is contiguous and at least the share that must stay; both ends are cut."""
    _, batch = data
    before, after = documents(batch), documents(crop(batch, 0.5, 1))
    ends = set()
    for subject, columns in before.items():
        old, new = (c["value"][~c["is_static"]].tolist() for c in (columns, after[subject]))
        assert torch.equal(columns["value"][columns["is_static"]], after[subject]["value"][after[subject]["is_static"]])
        starts = [i for i in range(len(old) - len(new) + 1) if old[i : i + len(new)] == new]
        assert starts and len(new) >= 0.5 * len(old)
        if len(old) > 10:
            ends |= {starts[0] > 0, -(starts[0] + len(new) < len(old)) - 2}
    assert ends == {True, False, -2, -3}


@pytest.mark.parametrize("change", [jitter, scaling])
def test_changed_numbers_fall_in_the_bins_of_the_pipeline(data, change, shards):
    """Noise of the size asked for is laid on measured numbers alone, and their bins are those of the new numbers."""
    vocabulary, batch = data
    status = np.where(np.arange(batch.n_tokens) % 7 == 0, 7, batch.value_status.numpy())
    numeric = (batch.value_status == 1).numpy()
    batch = replace(batch, value_status=torch.from_numpy(np.where(numeric, status, batch.value_status.numpy())))
    got = change(batch, 0.3, vocabulary, 1)
    measured = (batch.value_status == 1).numpy()
    assert (batch.value_status == 7).any() and measured.sum() > 300
    assert torch.equal(got.value[~measured], batch.value[~measured])
    assert torch.equal(got.value_token[~measured], batch.value_token[~measured])
    new, old = got.value.numpy()[measured].astype(np.float64), batch.value.numpy()[measured].astype(np.float64)
    noise = new - old if change is jitter else np.log(new / old)
    assert noise.mean() == pytest.approx(0, abs=0.06) and noise.std() == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal(
        got.value_token.numpy()[measured], 1 + np.searchsorted(shards.EDGES, new, side="right")
    )
    if change is scaling:
        factors = {}
        pairs = zip(batch.document[measured].tolist(), batch.data_type[measured].tolist(), noise, strict=True)
        for document, data_type, factor in pairs:
            assert factors.setdefault((document, data_type), factor) == pytest.approx(factor, abs=1e-4)


@pytest.mark.parametrize("amount", [0.05, 0.6])
def test_time_warp_changes_gaps_within_bounds(data, amount):
    """Each gap, and the one to the prediction time, changes by its share at most; the prediction time and equal times stay."""
    _, batch = data
    largest = 0.0
    after = documents(time_warp(batch, amount, 1))
    for subject, columns in documents(batch).items():
        static = columns["is_static"]
        assert torch.equal(after[subject]["hours"][static], columns["hours"][static])
        end = columns["end_hours"][None]
        old, new = (torch.cat((c["hours"][~static], end)).diff() for c in (columns, after[subject]))
        assert ((new - old).abs() <= amount * old + 2e-9).all()
        assert (new[old == 0] == 0).all()
        if (old > 0.01).any():
            largest = max(largest, float(((new - old).abs() / old)[old > 0.01].max()))
        late = (after[subject]["available_hours"] >= after[subject]["hours"])[~static]
        assert late.all()
    assert largest > 0.8 * amount


def test_augment_of_one_kind_is_that_kind(data):
    """With one amount above 0 the library call equals the single transformation; with none it is the batch itself."""
    vocabulary, batch = data
    kinds = {
        "variable_dropout": variable_dropout(batch, 0.1, 6), "event_dropout": event_dropout(batch, 0.3, 6),
        "crop": crop(batch, 0.3, 6), "jitter": jitter(batch, 0.1, vocabulary, 6),
        "scaling": scaling(batch, 0.1, vocabulary, 6), "time_warp": time_warp(batch, 0.2, 6),
    }  # fmt: skip
    for name, expected in kinds.items():
        got = augment(batch, AugmentConfig(**{name: getattr(ALL, name)}), vocabulary, 6)
        assert all(map(same, documents(got).values(), documents(expected).values()))
        assert not torch.equal(got.value, batch.value) or not torch.equal(got.hours, batch.hours)
    assert augment(batch, AugmentConfig(), vocabulary, 6) is batch


def test_select_keeps_the_last_token_of_a_document_that_would_be_empty(data):
    """With nothing kept, each document is its last token, without a gap to what is gone."""
    _, batch = data
    got = select(batch, np.zeros(batch.n_tokens, dtype=np.bool_))
    last = batch.cu_seqlens[1:].long() - 1
    assert torch.equal(got.value, batch.value[last]) and torch.equal(got.hours, batch.hours[last])
    assert got.max_seqlen == 1 and (got.gap_hours == 0).all() and (got.type_gap_hours == -1).all()


def test_two_views_are_two_documents_of_one_subject(data):
    """A batch of views is each document augmented twice, differently, under its subject's number."""
    vocabulary, batch = data
    both, view_of = two_views(batch, ALL, vocabulary, 7, 0, 3)
    d = batch.n_documents
    assert torch.equal(view_of, batch.subject_id.repeat(2)) and both.n_documents == 2 * d
    for view in (0, 1):
        expected = documents(augment(batch, ALL, vocabulary, 7, 0, 3, view))
        got = documents(only(both, range(view * d, (view + 1) * d)))
        assert all(same(got[s], expected[s]) for s in expected)
    first, second = documents(only(both, range(d))), documents(only(both, range(d, 2 * d)))
    assert sum(first[s]["value"].tolist() != second[s]["value"].tolist() for s in first) > 40
