"""Records up to an image, against loops over documents: which contents may be drawn, and what is left of the record."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.batching.cut import cut_off
from tawt.batching.host import HostBatch
from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.modalities.contents import NO_TIME
from tawt.modalities.fusion.pairs import Pairing


@pytest.fixture
def windows(beds):
    """`windows(max_length)`: a batch of the split's windows, with both clocks."""

    def make(max_length: int = 100) -> HostBatch:
        config = BatchingConfig(tokens_per_batch=400, max_length=max_length)
        return PackedLoader(beds.split, beds.vocabulary, config, 0, with_available=True).batch(0)

    return make


def eligible(beds, batch: HostBatch, d: int) -> set[int]:
    """Rows of contents that a document may be paired with."""
    own, found = slice(batch.bounds[d], batch.bounds[d + 1]), set()
    timed = ~batch.is_static[own]
    for row in np.flatnonzero(beds.contents.subject_id == batch.subject_id[d]):
        time = int(beds.contents.time[row])
        known = (batch.available[own] < time) & ((batch.time[own] < time) | ~timed)
        within = batch.begins[d] or (batch.time[own][timed] < time).any()
        if time != NO_TIME and known.any() and within and time <= batch.time[own].max():
            found.add(int(row))
    return found


@pytest.mark.parametrize("max_length", [100, 12])
def test_each_content_of_a_window_is_drawn_and_its_record_ends_before_it(beds, windows, max_length):
    """Over many passes each document meets each content that something was known before, and no other; of the record nothing
    is left that happened or could be read from then on, the content's own triplet neither."""
    batch, pairing = windows(max_length), Pairing(beds.finder(), 0.0)
    expected = [eligible(beds, batch, d) for d in range(batch.n_documents)]
    assert any(len(rows) > 2 for rows in expected) and not all(expected)
    met: list[set[int]] = [set() for _ in expected]
    for packing in range(200):
        drawn = pairing(batch, 1, 7, packing)
        left = cut_off(drawn)
        for d, row in enumerate(drawn.pair.tolist()):
            assert drawn.is_cut[d] == (row >= 0)
            if row < 0:
                assert drawn.end[d] == batch.end[d] and left.lengths[d] == batch.lengths[d]
                continue
            met[d].add(row)
            time, own = int(beds.contents.time[row]), slice(left.bounds[d], left.bounds[d + 1])
            began = left.origin[d] - batch.origin[d]
            assert drawn.end[d] == time - 1 and left.end[d] + began == time - 1
            assert (left.available[own] + began < time).all()
            assert (left.is_static[own] | (left.time[own] + began < time)).all()
            whole = slice(batch.bounds[d], batch.bounds[d + 1])
            known = (batch.available[whole] < time) & (batch.is_static[whole] | (batch.time[whole] < time))
            assert left.lengths[d] == known.sum()
    assert met == expected


def test_a_pair_hangs_on_seed_pass_and_subject(beds, windows):
    """Whatever else lies in the batch, a document meets the same content; a share of the documents stays whole."""
    batch, finder = windows(), beds.finder()
    pairing = Pairing(finder, 0.0)
    some = batch.first(6)
    for packing in range(5):
        assert np.array_equal(pairing(batch, 1, 7, packing).pair[:6], pairing(some, 1, 7, packing).pair)
    passes = [pairing(batch, 1, 7, packing).pair for packing in range(40)]
    others = [pairing(batch, 1, 8, packing).pair for packing in range(40)]
    assert not np.array_equal(passes, others) and not np.array_equal(passes[0], passes[1])
    halved = np.array([Pairing(finder, 0.5)(batch, 1, 7, packing).pair for packing in range(40)])
    whole = (halved < 0) & (np.array(passes) >= 0)
    assert 0.35 < whole.sum() / (np.array(passes) >= 0).sum() < 0.65
    assert np.array_equal(halved[~whole], np.array(passes)[~whole])


def test_a_record_that_is_to_find_its_content_sees_no_other(beds, windows):
    """Its own subject's earlier images would tell which; a document that stays whole looks at what is its own."""
    finder = beds.finder()
    drawn = Pairing(finder, 0.4)(windows(), 1, 7, 3)
    left = cut_off(drawn)
    paired = left.pair >= 0
    seen = np.bincount(finder(left, 7, 0, training=False).document.numpy(), minlength=left.n_documents)
    assert seen[paired].sum() == 0 and seen[~paired].sum() > 0
    free = finder(cut_off(HostBatch(**{**vars_of(drawn), "pair": None})), 7, 0, training=False)
    assert np.isin(free.document.numpy(), np.flatnonzero(paired)).any(), "there would be something to see"


def test_pairs_are_the_contents_of_their_documents(beds, windows):
    """Inputs are those contents as their modality prepares them, under the subject, the hash and the modality; augmented
    alike whatever else lies in the batch."""
    finder = beds.finder()
    pairing = Pairing(finder, 0.0)
    left = cut_off(pairing(windows(), 1, 7, 3))
    pairs = pairing.of(left, 7, 0, training=False)
    assert pairs.document.tolist() == np.flatnonzero(left.pair >= 0).tolist()
    for place, (d, (subject, word, kind)) in enumerate(zip(pairs.document.tolist(), pairs.keys.tolist(), strict=True)):
        content = int(beds.contents.content[left.pair[d]])
        assert subject == left.subject_id[d]
        assert f"{word % (1 << 64):016x}" == beds.contents.sha256[content][:16]
        inputs, modality = pairs.inputs[kind], beds.modalities[kind]
        (at,) = np.flatnonzero(inputs.at.numpy() == place)
        assert (inputs.data[at] == modality.prepared(beds.contents.array(content))).all()
    assert {len(inputs.at) > 0 for inputs in pairs.inputs} == {True}
    trained, fewer = pairing.of(left, 7, 0, training=True), pairing.of(left.first(7), 7, 0, training=True)
    images = trained.inputs[0]
    assert not np.array_equal(images.data, pairs.inputs[0].data)
    n = len(fewer.inputs[0].at)
    assert n and np.array_equal(images.data[:n], fewer.inputs[0].data)


def vars_of(batch: HostBatch) -> dict:
    """The fields of a batch, without what was worked out of them."""
    return {name: getattr(batch, name) for name in HostBatch.__dataclass_fields__}
