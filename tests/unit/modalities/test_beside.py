"""What lies beside a batch, against loops over documents: which contents, of what age, at which triplet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tawt.batching.batch import MASK, to_device
from tawt.batching.host import HostBatch
from tawt.modalities.contents import NO_TIME
from tawt.modalities.fusion.beside import Beside

HOUR = 3_600_000_000


def by_hand(beds, batch: HostBatch) -> list[tuple]:
    """Document, modality, age, content and first triplet of each content, document by document."""
    found, contents = [], beds.contents
    origin = dict(zip(beds.split.subject_ids.tolist(), beds.split.origins.tolist(), strict=True))
    for d in range(batch.n_documents):
        subject, zero = int(batch.subject_id[d]), origin[int(batch.subject_id[d])]
        until = int(batch.origin[d] + batch.end[d])
        for row in np.flatnonzero(contents.subject_id == subject):
            time, available = int(contents.time[row]), int(contents.available[row])
            if max(time, available) + zero > until and available != NO_TIME:
                continue
            code = contents.codes[contents.code[row]]
            static = time == NO_TIME
            at = [i for i in range(batch.bounds[d], batch.bounds[d + 1])
                  if beds.codes[batch.data_type[i]] == code and batch.is_static[i] == static
                  and (static or batch.time[i] + batch.origin[d] == time + zero)]  # fmt: skip
            age = 0 if static else (until - time - zero) / HOUR
            found.append((d, int(code.startswith("WAVE")), age, int(contents.content[row]), at[0] if at else -1))
    return sorted(found)


def told(found: Beside) -> list[tuple]:
    """The same of what was found."""
    triplet = dict(zip(found.seen.tolist(), found.triplet.tolist(), strict=True))
    columns = (found.document, found.modality, found.age_hours, found.content)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return sorted((*row, triplet.get(i, -1)) for i, row in enumerate(rows))


def hold_same(beds, batch: HostBatch) -> list[tuple]:
    """What is found is what loops find."""
    expected, found = by_hand(beds, batch), told(beds.finder()(batch, 0, 0, training=False))
    assert_allclose([row[2] for row in found], [row[2] for row in expected], rtol=1e-6)
    assert [(*a[:2], *a[3:]) for a in found] == [(*a[:2], *a[3:]) for a in expected]
    return expected


def test_it_finds_what_loops_over_documents_find(beds) -> None:
    """Every content that was there by the document's end, with its age, and the triplet of its event if that is there."""
    expected = hold_same(beds, beds.batch)
    by_document = np.bincount([row[0] for row in expected], minlength=beds.batch.n_documents)
    assert by_document.min() == 0 and by_document.max() > 5  # some have none, some many
    assert any(row[4] == -1 for row in expected) and any(row[4] >= 0 for row in expected)
    assert any(beds.batch.is_static[row[4]] for row in expected if row[4] >= 0)


def test_what_comes_after_the_prediction_time_is_never_found(beds) -> None:
    """With an earlier end a document has only what had been there by then, wherever its times count from."""
    batch = beds.batch
    first, n = batch.first_timed, batch.lengths - batch.n_static
    early, late = (
        np.where(n > 0, batch.time[np.minimum(first + n * part // 4, batch.n_tokens - 1)], 0) for part in (1, 3)
    )
    cut = batch.select((batch.time <= late[batch.document]) | batch.is_static)
    cut = replace(cut, end=late)
    fewer = hold_same(beds, cut)
    assert 0 < len(fewer) < len(by_hand(beds, batch))
    later = cut.counted_from(early)
    assert hold_same(beds, later) == fewer
    # some came behind the moment that times count from now
    assert any(0 < row[2] < (late - early)[row[0]] / HOUR / 2 for row in fewer)


def test_a_content_that_could_not_be_read_yet_is_never_found(beds) -> None:
    """What was made before the prediction time and could be read after it is not there."""
    late = np.where(beds.contents.time == NO_TIME, NO_TIME, beds.contents.time + 10**15)
    beds.contents = replace(beds.contents, available=late)
    found = hold_same(beds, beds.batch)
    assert found and all(row[2] == 0 for row in found)  # what has no time was always there


def test_a_hidden_event_has_no_triplet(beds) -> None:
    """A triplet whose data_type is hidden, as for reconstruction, gets no content: it would give away what it is."""
    batch = beds.batch
    with_triplet = [row[4] for row in by_hand(beds, batch) if row[4] >= 0]
    data_type = batch.data_type.copy()
    data_type[with_triplet[0]] = MASK
    assert with_triplet[0] not in beds.finder()(batch.but(data_type=data_type), training=False).triplet
    assert with_triplet[0] in beds.finder()(batch, training=False).triplet


def test_inputs_are_of_the_contents_they_stand_for(beds) -> None:
    """Each input is its content as its modality prepares it, or the embedding that was made before."""
    embeddings = np.random.default_rng(0).normal(size=(len(beds.contents.sha256), 64)).astype(np.float32)
    found = beds.finder(encoded=(None, embeddings))(beds.batch, training=False)
    images, waves = found.inputs
    assert sorted([*images.at.tolist(), *waves.at.tolist()]) == list(range(len(found.content)))
    assert len(images.at) and len(waves.at) and not images.is_encoded and waves.is_encoded
    for at, data in zip(images.at, images.data, strict=True):
        array = beds.contents.array(int(found.content[at]))
        assert torch.equal(data, beds.modalities[0].prepared(array))
    assert np.array_equal(waves.data.numpy(), embeddings[found.content[waves.at].numpy()])


def test_what_is_drawn_hangs_on_the_document_alone(beds) -> None:
    """Dropout and augmentation are the same in any batch and at any state of torch, and others with another seed."""
    batch, finder = beds.batch, beds.finder(dropout=0.5)
    torch.manual_seed(1)
    found = finder(batch, 3, 7, training=True)
    state = torch.get_rng_state()
    few = finder(batch.first(5), 3, 7, training=True)
    assert torch.equal(torch.get_rng_state(), state)
    own = found.document < 5
    assert torch.equal(few.content, found.content[own]) and len(few.content) > 0
    of_few = [data for at, data in zip(found.inputs[0].at, found.inputs[0].data, strict=True) if own[at]]
    assert torch.equal(few.inputs[0].data, torch.stack(of_few))
    other = finder(batch, 4, 7, training=True)
    assert not torch.equal(other.content, found.content)
    plain = finder(batch, 3, 7, training=False)
    assert len(plain.content) == len(by_hand(beds, batch))
    assert not torch.equal(found.inputs[0].data[0], plain.inputs[0].data[0])


def test_a_document_loses_all_contents_of_a_modality_or_none(beds) -> None:
    """Dropout takes whole modalities, each by itself, as often as its chance says."""
    whole = beds.finder()(beds.batch, training=False)
    n_all = {(d, k): n for (d, k), n in _counts(whole).items()}
    lost = total = 0
    apart = False
    for seed in range(60):
        left = _counts(
            beds.finder(encoded=(np.zeros((99, 64), np.float32),) * 2, dropout=0.3)(beds.batch, seed, training=True)
        )
        assert all(n == n_all[key] for key, n in left.items())
        apart |= any((d, 1 - k) not in left for d, k in left if (d, 1 - k) in n_all)
        lost, total = lost + len(n_all) - len(left), total + len(n_all)
    assert 0.24 < lost / total < 0.36 and apart


def _counts(found: Beside) -> dict[tuple[int, int], int]:
    keys, n = np.unique(np.stack([found.document, found.modality]), axis=1, return_counts=True)
    return {(int(d), int(k)): int(count) for (d, k), count in zip(keys.T, n, strict=True)}


def test_a_batch_without_contents_has_inputs_of_their_shape(beds) -> None:
    """Where nothing is found, or nothing is looked for, all is empty and of the right shapes; it goes to a device whole."""
    empty = to_device(beds.finder(dropout=0.1)(beds.batch.first(1), training=True), "meta")
    assert [one.data.shape for one in empty.inputs] == [(0, *modality.shape) for modality in beds.modalities]
    assert empty.document.shape == empty.triplet.shape == (0,) and empty.inputs[0].data.is_meta
    none = beds.finder(modalities=(), encoded=(), dropout=0.1)(beds.batch, training=True)
    assert none.inputs == () and len(none.document) == 0


@pytest.mark.parametrize("code", ["IMAGE//a", "WAVEFORM//b"])
def test_a_code_that_the_vocabulary_lacks_has_contents_and_no_triplet(beds, code) -> None:
    """Contents whose event the run does not know join elsewhere than at a triplet."""
    beds.codes[beds.codes.index(code)] = "LAB//other"
    found = told(beds.finder()(beds.batch, training=False))
    k = int(code.startswith("WAVE"))
    assert {row[4] for row in found if row[1] == k} == {-1} and {row[4] for row in found if row[1] != k} != {-1}
