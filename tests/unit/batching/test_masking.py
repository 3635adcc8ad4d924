"""Masks: what is hidden leaves no trace in what the model reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise, permutations, product

import numpy as np
import pytest
import torch

from tawt.batching.batch import HIDDEN, MASK
from tawt.batching.host import HostBatch
from tawt.batching.loader import PackedLoader
from tawt.batching.masking import TRAINING, VALIDATION, Masks, draw_masks, hide, may_lose
from tawt.batching.views import VIEWS, two_views
from tawt.config.augment import AugmentConfig
from tawt.config.batching import BatchingConfig
from tawt.config.objective import MaskedConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.reader import open_dataset
from tawt.transforms.identity import identities

CONFIG = MaskedConfig(value=0.2, data_type=0.15, event=0.15)
NONE = {"value": 0.0, "data_type": 0.0, "event": 0.0}


@pytest.fixture
def data(tmp_path, write_dataset):
    """Vocabulary and a packed batch of a few thousand tokens."""
    write_dataset(tmp_path, {"train": [60]}, median_length=80)
    dataset = open_dataset(tmp_path)
    loader = PackedLoader(dataset.split("train"), dataset.vocabulary, BatchingConfig(tokens_per_batch=4096), 0)
    return dataset.vocabulary, loader.batch(0)


def same(a, b) -> bool:
    """Whether the model would read equal batches, to the last bit."""
    a, b = a.tensors(), b.tensors()
    return all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
        for x, y in ((getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    )


def with_other_secrets(batch, masks, vocabulary, seed=1):
    """The batch that the loader would have made had the hidden fields been others."""
    rng = np.random.default_rng(seed)
    n = batch.n_tokens
    return replace(
        batch,
        data_type=np.where(masks.data_type, rng.integers(4, len(vocabulary), n), batch.data_type),
        value=np.where(masks.value, rng.normal(size=n).astype(np.float32), batch.value),
        value_token=np.where(masks.value | masks.data_type, rng.integers(0, 9, n), batch.value_token),
        value_status=np.where(masks.value, rng.integers(0, 10, n), batch.value_status),
    )


@pytest.mark.parametrize("hides", ["none", "value", "event"])
def test_hidden_fields_leave_no_trace(data, hides):
    """Other hidden values, tokens, statuses and data_types give the same batch to the last bit, same-type gaps of visible tokens included."""
    vocabulary, batch = data
    config = CONFIG
    if hides != "none":
        config = CONFIG.model_copy(
            update={"spans": 1, "variables": 0.2, "span_share": 0.3, "span_hides": hides, "variable_hides": hides}
        )
    masks = draw_masks(batch, config, may_lose(vocabulary), TRAINING, 0, 0)
    other = with_other_secrets(batch, masks, vocabulary)
    changed = (other.tensors().type_gap_hours != batch.tensors().type_gap_hours)[~masks.data_type]
    assert int(changed.sum()) > 50, "no visible token had its gap to a hidden one: the case is not met"
    assert not same(batch, other)
    assert same(hide(batch, masks), hide(other, masks))


def test_gaps_count_from_the_last_visible_token_of_the_type():
    """With the middle one of three tokens of a type hidden, the third counts from the first, and the hidden one has no gap."""
    batch = toy_batch([5, 5, 5], [0.0, 1.0, 3.0])
    assert batch.tensors().type_gap_hours.tolist() == [-1, 1, 2]
    hidden = np.array([False, True, False])
    seen = hide(batch, Masks(hidden, np.zeros(3, bool), hidden))
    assert seen.tensors().type_gap_hours.tolist() == [-1, -1, 3]
    assert seen.data_type.tolist() == [5, MASK, 5]


def moments_of(rows, n):
    """`n` documents of other subjects, each of the same moment of some rows: data_type, number, token, status."""
    data_type, value, token, status = (np.tile(column, n) for column in zip(*rows, strict=True))
    batch = HostBatch(
        data_type=data_type, value=value.astype(np.float32), value_token=token, value_status=status,
        time=np.zeros(n * len(rows), np.int64), available=None, identity=np.zeros(n), bounds=np.arange(n + 1) * len(rows),
        n_static=np.zeros(n, np.int64), subject_id=np.arange(n), origin=np.zeros(n, np.int64),
        end=np.zeros(n, np.int64), n_cut=0,
    )  # fmt: skip
    return at_times(batch, 0 * batch.time)


def at_times(batch, time):
    """The batch with its triplets at these times, told apart as in a shard."""
    content = (
        batch.subject_id[batch.document],
        time,
        time,
        batch.data_type,
        batch.value,
        batch.value_token,
        batch.value_status,
    )
    return replace(batch, time=time, identity=(identities(*content) >> np.uint64(32)).astype(np.uint32))


TWIN, OTHER = (5, 0.0, 1, 2), (5, 0.0, 2, 2)
ALL_LOSE = np.full(9, 2)


def test_a_visible_twin_does_not_tell_what_is_hidden():
    """Of three simultaneous triplets that are one of two categories each, a hidden one is either as often, whatever the visible ones are."""
    n, shown = 400, Counter()
    for rows in product((TWIN, OTHER), repeat=3):
        batch = moments_of(rows, n)
        masks = draw_masks(batch, MaskedConfig(value=0.4, data_type=0, event=0), ALL_LOSE, TRAINING, 0, 0)
        for hidden, token in zip(masks.value.reshape(n, 3), batch.value_token.reshape(n, 3), strict=True):
            for i in np.flatnonzero(hidden):
                shown[tuple(sorted(token[~hidden])), int(token[i])] += 1
    met = {visible for visible, _ in shown}
    assert len(met) == 6, "none, one or two visible ones, of each category"
    for visible in met:
        one, other = shown[visible, 1], shown[visible, 2]
        assert abs(one - other) < 4 * (one + other) ** 0.5 and one + other > 200, visible


def test_equal_triplets_of_one_moment_are_drawn_each_by_itself():
    """Both of two twins are hidden as often as two draws would have it, also where they are static and timed, and their noises differ."""
    n, share = 2000, 0.4
    batch = moments_of([TWIN, TWIN], n)
    config = MaskedConfig(value=share, data_type=0, event=0)
    for n_static in (0, 1, 2):
        batch = replace(batch, n_static=np.full(n, n_static))
        hidden = draw_masks(batch, config, ALL_LOSE, TRAINING, 0, 0).value.reshape(n, 2)
        assert hidden.mean(0) == pytest.approx([share, share], abs=0.05)
        assert hidden.all(1).mean() == pytest.approx(share**2, abs=0.03)
    numbers = moments_of([(5, 1.0, 0, 1)] * 2, n)
    noise = numbers.triplet_words(3).reshape(n, 2)
    assert (noise[:, 0] != noise[:, 1]).all()


def test_a_twin_is_not_drawn_as_its_equal_of_another_moment_is():
    """Of three equal triplets, two of one moment and one of a later one, any two are hidden together as often as two draws would have it."""
    n, share = 2000, 0.4
    for later in ((0, 0, 1), (0, 1, 1)):
        batch = at_times(moments_of([TWIN] * 3, n), np.tile(later, n) * US_PER_HOUR)
        masks = draw_masks(batch, MaskedConfig(value=share, data_type=0, event=0), ALL_LOSE, TRAINING, 0, 0)
        hidden = masks.value.reshape(n, 3)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert (hidden[:, i] & hidden[:, j]).mean() == pytest.approx(share**2, abs=0.03)


@pytest.mark.parametrize(
    "rows",
    [
        [TWIN, TWIN, TWIN, OTHER],
        [TWIN, OTHER, (5, 0.0, 1, 3), (5, 0.0, 1, 3)],  # of another status alone
        [TWIN, TWIN, (6, 0.0, 1, 2), (6, 0.5, 1, 2)],
        [(5, 0.5, 1, 2), (5, -0.5, 1, 2), (7, 0.0, 1, 2), (5, 0.5, 1, 2)],
    ],
)
def test_any_order_of_twins_hides_the_same_set(rows):
    """In all 24 orders of four simultaneous triplets, some of them equal, what is hidden and what is not are the same, document by document."""
    n, config = 60, MaskedConfig(value=0.2, data_type=0.2, event=0.2)

    def found(order):
        batch = moments_of([rows[i] for i in order], n)
        masks = draw_masks(batch, config, ALL_LOSE, TRAINING, 0, 0)
        columns = (
            batch.document, batch.data_type, batch.value, batch.value_token, batch.value_status, masks.data_type, masks.value,
        )  # fmt: skip
        return Counter(zip(*(column.tolist() for column in columns), strict=True))

    first, *others = (found(order) for order in permutations(range(4)))
    assert len(others) == 23 and all(other == first for other in others)


def toy_batch(data_type, hours):
    """One document of numeric tokens."""
    n, time = len(data_type), np.array(hours) * US_PER_HOUR
    one = np.ones(n, np.int64)
    return HostBatch(
        data_type=np.array(data_type), value=np.ones(n, np.float32), value_token=one, value_status=one,
        time=time.astype(np.int64), available=None, identity=one.astype(np.uint32), bounds=np.array([0, n]), n_static=np.array([0]),
        subject_id=np.array([1]), origin=np.array([0]), end=time[-1:].astype(np.int64), n_cut=0,
    )  # fmt: skip


def test_nothing_hidden_is_the_batch_itself(data):
    """Without masks, hiding gives back the loader's batch to the last bit, its same-type gaps too."""
    _, batch = data
    none = np.zeros(batch.n_tokens, bool)
    assert same(hide(batch, Masks(none, none, none)), batch)


def test_each_kind_hides_its_fields(data):
    """A hidden value loses number, token and status; a hidden data_type loses type and token, and its number all but halves."""
    vocabulary, batch = data
    masks = draw_masks(batch, CONFIG, may_lose(vocabulary), TRAINING, 0, 0)
    seen = hide(batch, masks)
    only_value, only_type = masks.value & ~masks.data_type, masks.data_type & ~masks.value
    assert min(int(only_value.sum()), int(only_type.sum()), int((masks.value & masks.data_type).sum())) > 50
    assert (seen.value[masks.value] == 0).all() and (seen.value_status[masks.value] == HIDDEN).all()
    assert (seen.value_token[masks.value | masks.data_type] == 0).all()
    assert (seen.data_type[masks.data_type] == MASK).all()
    np.testing.assert_array_equal(seen.data_type[only_value], batch.data_type[only_value])
    rounded = [min(3.0, max(-3.0, round(float(number) * 2) / 2)) for number in batch.value[only_type]]
    assert seen.value[only_type].tolist() == rounded and len(set(rounded)) > 5
    before, after = batch.tensors(), seen.tensors()
    assert (after.type_gap_hours[masks.data_type] == -1).all()
    assert torch.equal(after.hours, before.hours) and torch.equal(after.gap_hours, before.gap_hours)


def test_masks_are_a_function_of_their_seed(data):
    """The same salts give the same masks in any order of asking; another batch number, seed or use gives others."""
    vocabulary, batch = data
    losable = may_lose(vocabulary)

    def masks(*salts):
        drawn = draw_masks(batch, CONFIG, losable, *salts)
        return np.concatenate((drawn.data_type, drawn.value))

    first = masks(TRAINING, 0, 7)
    others = [masks(TRAINING, 0, 8), masks(TRAINING, 1, 7), masks(VALIDATION, 0, 7)]
    assert np.array_equal(first, masks(TRAINING, 0, 7))
    assert not any(np.array_equal(first, other) for other in others)


def alone(batch, i):
    """The batch of one document."""
    a, b = batch.bounds[i], batch.bounds[i + 1]
    tokens = ("data_type", "value", "value_token", "value_status", "time", "identity")
    own = ("n_static", "subject_id", "origin", "end")
    return replace(
        batch, **{name: getattr(batch, name)[a:b] for name in tokens},
        **{name: getattr(batch, name)[i : i + 1] for name in own}, bounds=np.array([0, b - a]),
    )  # fmt: skip


def test_a_document_has_the_same_masks_alone_and_in_its_batch(data):
    """Tokens, spans and variables that are hidden hang on the document, not on what it is packed with."""
    vocabulary, batch = data
    config = CONFIG.model_copy(update={"spans": 2, "span_share": 0.3, "variables": 0.2})
    masks = draw_masks(batch, config, may_lose(vocabulary), TRAINING, 0, 0)
    assert batch.n_documents > 20 and masks.variable.sum() > 50
    for i, (a, b) in enumerate(pairwise(batch.bounds)):
        own = draw_masks(alone(batch, i), config, may_lose(vocabulary), TRAINING, 0, 0)
        for f in fields(masks):
            np.testing.assert_array_equal(getattr(own, f.name), getattr(masks, f.name)[a:b])


def test_two_views_of_a_document_have_masks_of_their_own(data):
    """Views that nothing has changed differ in what is hidden, also in their spans and variables."""
    vocabulary, batch = data
    views = two_views(batch, AugmentConfig(), VIEWS, 0, 0)
    for config in (CONFIG, NONE | {"spans": 1, "span_share": 0.3}, NONE | {"variables": 0.3}):
        masks = draw_masks(views, MaskedConfig.model_validate(config), may_lose(vocabulary), TRAINING, 0, 0)
        first, second = np.split(masks.value, 2)
        assert first.sum() > 100 and second.sum() > 100
        assert (first != second).sum() > 0.4 * (first | second).sum()


def test_shares_are_those_of_the_config(data):
    """About the configured shares are hidden; a data_type without values never loses a value alone, specials lose nothing."""
    vocabulary, batch = data
    losable = may_lose(vocabulary)
    kind = losable[batch.data_type]
    assert (kind == 1).any() and (kind == 2).any()
    n, counts = 0, np.zeros(3)
    for step in range(20):
        masks = draw_masks(batch, CONFIG, losable, TRAINING, 0, step)
        only_value = masks.value & ~masks.data_type
        assert not only_value[kind == 1].any()
        counts += [
            only_value[kind == 2].mean(),
            (masks.data_type & ~masks.value).mean(),
            (masks.data_type & masks.value).mean(),
        ]
        n += 1
    assert counts / n == pytest.approx([CONFIG.value, CONFIG.data_type, CONFIG.event], abs=0.01)
    special = replace(batch, data_type=np.full_like(batch.data_type, 3))
    masks = draw_masks(special, CONFIG, losable, TRAINING, 0, 0)
    assert not (masks.value | masks.data_type).any()


@pytest.mark.parametrize("hides", ["value", "event"])
def test_a_hidden_variable_is_hidden_wherever_it_occurs(data, hides):
    """Each data_type of each document is hidden everywhere or nowhere, about the configured share; a special one never."""
    vocabulary, batch = data
    losable = may_lose(vocabulary)
    config = MaskedConfig(value=0, data_type=0, event=0, variables=0.3, variable_hides=hides)
    masks = draw_masks(batch, config, losable, TRAINING, 0, 0)
    hidden, pairs = [], list(zip(batch.document.tolist(), batch.data_type.tolist(), strict=True))
    for pair in sorted(set(pairs)):
        at = np.array([i for i, other in enumerate(pairs) if other == pair])
        chosen = masks.variable[at]
        assert chosen.all() or not chosen.any()
        assert np.array_equal(masks.value[at], chosen)
        assert np.array_equal(masks.data_type[at], chosen & (hides == "event"))
        if losable[pair[1]] > (hides == "value"):
            hidden.append(bool(chosen[0]))
        else:
            assert not chosen.any()
    assert len(hidden) > 200 and np.mean(hidden) == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("hides", ["value", "event"])
def test_a_span_hides_one_run_of_time(data, hides):
    """In each document the tokens of a span are all those between two times, no more moments than its share; statics are not among them."""
    vocabulary, batch = data
    losable = may_lose(vocabulary)
    config = MaskedConfig(value=0, data_type=0, event=0, spans=1, span_share=0.4, span_hides=hides)
    masks = draw_masks(batch, config, losable, TRAINING, 0, 0)
    assert np.array_equal(masks.data_type, masks.value & (hides == "event"))
    assert not masks.variable.any()
    may = losable[batch.data_type] > (hides == "value")
    n_met = 0
    for a, b in pairwise(batch.bounds.tolist()):
        hours, chosen, timed = batch.hours[a:b], masks.value[a:b], ~batch.is_static[a:b]
        assert not (chosen & ~timed).any()
        if chosen.any():
            low, high = hours[chosen].min(), hours[chosen].max()
            between = timed & (hours >= low) & (hours <= high) & may[a:b]
            assert np.array_equal(chosen, between)
            n_moments, n_hidden = (
                len(np.unique(hours[which])) for which in (timed, timed & (hours >= low) & (hours <= high))
            )
            assert n_hidden <= min(0.4 * n_moments + 1, n_moments - 1)
            n_met += int(chosen.sum() < (timed & may[a:b]).sum())
    assert n_met > 20


def test_spans_hide_the_same_share_after_a_long_silence(data):
    """Half of the longest span's share is hidden on average, also where a birth decades before the rest is the first event."""
    vocabulary, batch = data
    config = MaskedConfig(value=0, data_type=0, event=0, spans=1, span_share=0.4, span_hides="event")
    first = [next((t for t in range(a, b) if not batch.is_static[t]), None) for a, b in pairwise(batch.bounds.tolist())]
    born = batch.time.copy()
    born[[t for t in first if t is not None]] -= 60 * 8766 * US_PER_HOUR
    losable = np.ones(len(vocabulary), dtype=np.int64)
    assert batch.n_documents > 3
    for time in (batch.time, born):
        there = replace(batch, time=time)
        shares = [draw_masks(there, config, losable, TRAINING, 0, n).value[~batch.is_static].mean() for n in range(200)]
        assert np.mean(shares) == pytest.approx(0.2, abs=0.03)


def test_a_hidden_data_type_is_not_known_by_its_value(data):
    """Where whole variables lose their values, every token of hidden data_type lost its value, so that none tells by it
    whether it is of such a variable."""
    vocabulary, batch = data
    config = MaskedConfig(value=0, data_type=0.2, event=0, variables=0.3, variable_hides="value")
    masks = draw_masks(batch, config, may_lose(vocabulary), TRAINING, 0, 0)
    assert masks.data_type.sum() > 20 and masks.variable.sum() > 20
    assert bool((masks.value | ~masks.data_type).all())


@pytest.mark.parametrize("name", ["time", "available", "identity", "bounds", "n_static", "vlaue"])
def test_only_the_content_of_triplets_is_replaced_by_itself(data, name):
    """What moments, gaps and draws were made from stays, and so does a batch given a name that it has not."""
    _, batch = data
    with pytest.raises(AssertionError, match=name):
        batch.but(**{name: batch.value})
    moments, other = batch.moments, batch.but(value=batch.value + 1)
    assert other.moments is moments and np.array_equal(other.value, batch.value + 1)
