"""Augmentations: what each may change, and that only subject, place and salts decide it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tawt.batching.augment import altered, thinned
from tawt.batching.host import HostBatch, concatenate
from tawt.batching.loader import PackedLoader
from tawt.batching.views import two_views
from tawt.config.augment import AugmentConfig
from tawt.config.batching import BatchingConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.reader import open_dataset

OF_TOKENS = ("data_type", "value", "value_token", "value_status", "time", "is_static", "available", "identity")
ALL = AugmentConfig(variable_dropout=0.1, event_dropout=0.3, crop=0.3, jitter=0.1, scaling=0.1, time_warp=0.2)
EACH = [AugmentConfig(**{name: value}) for name, value in ALL.model_dump().items()] + [ALL]


def augment(batch, config, vocabulary, *salts):
    """All changes, removals first."""
    return altered(thinned(batch, config, *salts), config, vocabulary, *salts)


@pytest.fixture
def data(tmp_path, write_dataset):
    """Vocabulary and a packed batch of some dozen documents, of one token each among them."""
    write_dataset(tmp_path, {"train": [60]}, lengths=[1, 1, 2, 3] + [5, 40, 80, 20] * 14)
    dataset = open_dataset(tmp_path)
    config = BatchingConfig(tokens_per_batch=4096)
    loader = PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0, with_available=True)
    return dataset.vocabulary, loader.batch(0)


def documents(batch) -> dict[int, dict[str, np.ndarray]]:
    """Columns of each document by its subject."""
    out = {}
    for i, (a, b) in enumerate(pairwise(batch.bounds.tolist())):
        columns = {name: getattr(batch, name)[a:b] for name in OF_TOKENS}
        columns |= {name: getattr(batch, name)[i] for name in ("end", "origin")}
        out[int(batch.subject_id[i])] = columns
    return out


def same(a, b) -> bool:
    """Whether two dicts of arrays are bit-equal."""
    return all(np.array_equal(a[name], b[name]) for name in a)


def only(batch, chosen):
    """The batch of some documents, taken one by one and laid down in the order asked for."""
    parts = []
    for i in chosen:
        keep = batch.document == i
        columns = {name: getattr(batch, name)[keep] for name in OF_TOKENS if name != "is_static"}
        own = {name: getattr(batch, name)[i : i + 1] for name in ("subject_id", "origin", "end", "n_static")}
        parts.append(HostBatch(**columns, **own, bounds=np.array([0, keep.sum()]), n_cut=0))
    return concatenate(parts)


def one_kind(batch, vocabulary=None, salt=1, **amounts):
    """The batch after one kind of change."""
    return augment(batch, AugmentConfig(**amounts), vocabulary, salt)


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
    differing = [s for s in whole if not same(whole[s], other[s])]
    assert len(differing) > 10


@pytest.mark.parametrize("config", EACH)
def test_no_document_is_empty_and_order_is_kept(data, config):
    """Every document keeps a token, statics first, times in order, its prediction time."""
    vocabulary, batch = data
    for salt in range(5):
        got = augment(batch, config, vocabulary, salt)
        assert np.array_equal(got.subject_id, batch.subject_id) and np.array_equal(got.end, batch.end)
        assert (np.diff(got.bounds) >= 1).all() and got.n_tokens == got.bounds[-1]
        for columns in documents(got).values():
            static, time = columns["is_static"], columns["time"]
            assert not (static[1:] & ~static[:-1]).any()
            assert (np.diff(time[~static]) >= 0).all()


def test_variable_dropout_takes_all_of_a_variable_or_nothing(data):
    """Each data_type of a document stays whole or goes whole, in about the share asked for."""
    _, batch = data
    before, after = documents(batch), documents(one_kind(batch, variable_dropout=0.4))
    gone = []
    for subject, columns in before.items():
        left = after[subject]["data_type"]
        for data_type in np.unique(columns["data_type"]):
            n, n_left = int((columns["data_type"] == data_type).sum()), int((left == data_type).sum())
            if len(left) > 1:
                assert n_left in (0, n)
                gone.append(n_left == 0)
    assert len(gone) > 200 and np.mean(gone) == pytest.approx(0.4, abs=0.08)


def test_event_dropout_spares_statics(data):
    """Statics all stay; of the timed triplets a share between none and the amount goes, another per document."""
    _, batch = data
    before, after = documents(batch), documents(one_kind(batch, event_dropout=0.8))
    shares = []
    for subject, columns in before.items():
        n_static = int(columns["is_static"].sum())
        assert int(after[subject]["is_static"].sum()) == n_static
        if len(columns["time"]) >= 40:
            shares.append(1 - (len(after[subject]["time"]) - n_static) / (len(columns["time"]) - n_static))
    assert np.mean(shares) == pytest.approx(0.4, abs=0.1) and np.std(shares) > 0.12 and max(shares) < 0.95


def test_crop_leaves_one_run(data):
    """What is left is a run of whole moments and at least the share that must stay, statics aside; both ends are cut."""
    _, batch = data
    before, after = documents(batch), documents(one_kind(batch, crop=0.5))
    ends = set()
    for subject, columns in before.items():
        old, new = (np.unique(c["time"][~c["is_static"]]).tolist() for c in (columns, after[subject]))
        assert np.isin(columns["time"], new).sum() == np.isin(after[subject]["time"], new).sum()
        assert columns["is_static"].sum() == after[subject]["is_static"].sum()
        starts = [i for i in range(len(old) - len(new) + 1) if old[i : i + len(new)] == new]
        assert starts and len(new) >= 0.5 * len(old)
        if len(old) > 10:
            ends |= {starts[0] > 0, -(starts[0] + len(new) < len(old)) - 2}
    assert ends == {True, False, -2, -3}


@pytest.mark.parametrize("change", ["jitter", "scaling"])
def test_changed_numbers_fall_in_the_bins_of_the_pipeline(data, change, shards):
    """Noise of the size asked for is laid on measured numbers alone, and their bins are those of the new numbers."""
    vocabulary, batch = data
    numeric, seventh = batch.value_status == 1, np.arange(batch.n_tokens) % 7 == 0
    batch = replace(batch, value_status=np.where(numeric & seventh, 7, batch.value_status))
    got = one_kind(batch, vocabulary, **{change: 0.3})
    measured = batch.value_status == 1
    assert (batch.value_status == 7).any() and measured.sum() > 300
    np.testing.assert_array_equal(got.value[~measured], batch.value[~measured])
    np.testing.assert_array_equal(got.value_token[~measured], batch.value_token[~measured])
    new, old = got.value[measured].astype(np.float64), batch.value[measured].astype(np.float64)
    noise = new - old if change == "jitter" else np.log(new / old)
    assert noise.mean() == pytest.approx(0, abs=0.06) and noise.std() == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal(got.value_token[measured], 1 + np.searchsorted(shards.EDGES, new, side="right"))
    if change == "scaling":
        factors = {}
        pairs = zip(batch.document[measured].tolist(), batch.data_type[measured].tolist(), noise, strict=True)
        for document, data_type, factor in pairs:
            assert factors.setdefault((document, data_type), factor) == pytest.approx(factor, abs=1e-4)


@pytest.mark.parametrize("amount", [0.05, 0.6])
def test_time_warp_changes_gaps_within_bounds(data, amount):
    """Each gap, and the one to the prediction time, changes by its share at most; the prediction time and equal times stay."""
    _, batch = data
    largest = 0.0
    after = documents(one_kind(batch, time_warp=amount))
    for subject, columns in documents(batch).items():
        static = columns["is_static"]
        np.testing.assert_array_equal(after[subject]["time"][static], columns["time"][static])
        old, new = (np.diff([*c["time"][~static], columns["end"]]) for c in (columns, after[subject]))
        assert (abs(new - old) <= amount * old + 5).all()
        assert (new[old == 0] == 0).all()
        far = old > 0.01 * US_PER_HOUR
        if far.any():
            largest = max(largest, (abs(new - old) / old.clip(1))[far].max())
        assert (after[subject]["available"] >= after[subject]["time"])[~static].all()
    assert largest > 0.8 * amount


def test_nothing_asked_for_is_the_batch_itself(data):
    """With no amount above 0 a batch is handed back, and any one of them changes it."""
    vocabulary, batch = data
    assert augment(batch, AugmentConfig(), vocabulary, 6) is batch
    for name, amount in ALL.model_dump().items():
        got = one_kind(batch, vocabulary, **{name: amount})
        assert not np.array_equal(got.value, batch.value) or not np.array_equal(got.time, batch.time), name


def test_select_keeps_the_last_moment_of_a_document_that_would_be_empty(data):
    """With nothing kept, each document is its last moment, all of it, without a gap to what is gone."""
    _, batch = data
    nothing = np.zeros(batch.n_tokens, dtype=np.bool_)
    got, still = batch.select(nothing), batch.select(nothing | (batch.document == 7))
    kept = documents(still)
    for i, (subject, columns) in enumerate(documents(batch).items()):
        last = (columns["time"] == columns["time"][-1]) & (columns["is_static"] == columns["is_static"][-1])
        for name, column in documents(got)[subject].items():
            np.testing.assert_array_equal(column, columns[name][last] if name in OF_TOKENS else columns[name])
        assert len(kept[subject]["time"]) == (len(last) if i == 7 else last.sum())
    assert got.n_tokens > got.n_documents
    seen = got.tensors()
    assert (seen.gap_hours == 0).all() and (seen.type_gap_hours == -1).all()


def test_two_views_are_two_documents_of_one_subject(data):
    """A batch of views is each document augmented twice, differently, under its subject's number."""
    _, batch = data
    both, d = two_views(batch, ALL, 7, 0, 3), batch.n_documents
    assert both.subject_id.tolist() == batch.subject_id.tolist() * 2 and both.n_documents == 2 * d
    for view in (0, 1):
        expected = documents(thinned(batch, ALL, 7, 0, 3, view))
        got = documents(only(both, range(view * d, (view + 1) * d)))
        assert all(same(got[s], expected[s]) for s in expected)
    first, second = documents(only(both, range(d))), documents(only(both, range(d, 2 * d)))
    assert sum(first[s]["value"].tolist() != second[s]["value"].tolist() for s in first) > 40
