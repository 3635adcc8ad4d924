"""Records up to an image, against loops over documents: which contents may be drawn, and what is left of the record."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from tawt.batching.host import HostBatch
from tawt.batching.loader import PackedLoader
from tawt.config.batching import BatchingConfig
from tawt.modalities.contents import NO_TIME
from tawt.modalities.fusion.pairs import Pairing


@pytest.fixture
def passes(beds):
    """`passes(whole_share, n=1, **batching)`: the batches of some passes over the split, records ended before what they are
    paired with; and who paired them."""

    def make(whole_share: float = 0.0, n: int = 1, seed: int = 7, **batching) -> tuple[list[HostBatch], Pairing]:
        pairing = Pairing(beds.finder(), beds.split, whole_share, (1, seed))
        config = BatchingConfig(**{"tokens_per_batch": 400, "max_length": 100, **batching})
        loader = PackedLoader(beds.split, beds.vocabulary, config, seed, pairing=pairing)
        return [loader.batch(step) for step in range(sum(map(loader.n_batches, range(n))))], pairing

    return make


def record(beds, subject_id: int):
    """The rows of a subject: time (none of statics), and when each could be read; how many are static."""
    i = int(np.flatnonzero(beds.split.subject_ids == subject_id)[0])
    rows, n_static = beds.split.columns(i), int(beds.split.n_static[i])
    when = [(None if r < n_static else int(t), int(known))
            for r, (t, known) in enumerate(zip(rows.timestamp, rows.available_time, strict=True))]  # fmt: skip
    return when, [int(t) for t in rows.data_type]


def known_before(beds, subject_id: int, until: int, max_length: int) -> list[tuple]:
    """What was known before a time, by a loop: statics first, then the last of the others."""
    when, types = record(beds, subject_id)
    known = [(time, kind) for (time, read), kind in zip(when, types, strict=True)
             if read < until and (time is None or time < until)]  # fmt: skip
    statics = [row for row in known if row[0] is None][:max_length]
    timed = [row for row in known if row[0] is not None]
    room = max_length - len(statics)
    return statics + (timed[-room:] if room else [])


def eligible(beds, subject_id: int) -> set[int]:
    """Rows of contents that a record may be paired with."""
    rows = np.flatnonzero(beds.contents.subject_id == subject_id)
    times = {int(row): int(beds.contents.time[row]) for row in rows}
    return {row for row, time in times.items() if time != NO_TIME and known_before(beds, subject_id, time, 100)}


@pytest.mark.parametrize("window", ["last", "random"])
@pytest.mark.parametrize("max_length", [100, 12])
def test_each_content_is_drawn_and_its_record_is_what_was_last_known_before_it(beds, passes, max_length, window):
    """Over many seeds each record meets each content that something was known before, and no other. Of it are left the
    statics and the last rows that had happened and could be read, however much came later."""
    met: dict[int, set[int]] = {}
    shorter = 0
    for batch in chain.from_iterable(
        passes(n=16, seed=seed, max_length=max_length, window=window)[0] for seed in range(8)
    ):
        for d, row in enumerate(batch.pair.tolist()):
            own, subject = slice(batch.bounds[d], batch.bounds[d + 1]), int(batch.subject_id[d])
            drawn = met.setdefault(subject, set())
            if row < 0:
                assert batch.lengths[d] == min(max_length, len(record(beds, subject)[0]))
                continue
            drawn.add(row)
            time = int(beds.contents.time[row])
            began = batch.origin[d] - beds.split.origins[np.flatnonzero(beds.split.subject_ids == subject)[0]]
            assert batch.end[d] + began == time - 1
            told = [(None if static else int(t + began), int(kind)) for static, t, kind in
                    zip(batch.is_static[own], batch.time[own], batch.data_type[own], strict=True)]  # fmt: skip
            assert sorted(told, key=str) == sorted(known_before(beds, subject, time, max_length), key=str)
            shorter += len(known_before(beds, subject, time, 100)) > max_length
    assert met == {subject: eligible(beds, subject) for subject in met} and any(len(rows) > 2 for rows in met.values())
    assert not all(met.values()) and bool(shorter) == (max_length == 12)


def test_of_sliding_windows_each_meets_the_contents_that_it_reaches(beds, passes):
    """Every content is met by one window of its record, the first that reaches so far, and never by another."""
    met: dict[tuple[int, int], set[int]] = {}
    for batch in chain.from_iterable(passes(n=16, seed=seed, max_length=12, window="sliding")[0] for seed in range(4)):
        for d, row in enumerate(batch.pair.tolist()):
            if row >= 0:
                met.setdefault((int(batch.subject_id[d]), row), set()).add(int(batch.end[d]))
    rows = [row for _, row in met]
    assert len(rows) == len(set(rows)) and all(len(ends) == 1 for ends in met.values())
    assert {row for subject in {s for s, _ in met} for row in eligible(beds, subject)} == set(rows)


def pairs_of(batches: list[HostBatch]) -> dict[tuple[int, int], int]:
    """Of each subject and packing, the content that it is paired with."""
    return {
        (int(s), int(b.packing)): row for b in batches for s, row in zip(b.subject_id, b.pair.tolist(), strict=True)
    }


def test_a_pair_hangs_on_seed_pass_and_subject(beds, passes):
    """Whatever else lies in the batch, a record meets the same content; a share of the records stays whole."""
    batches, _ = passes(n=16)
    drawn = pairs_of(batches)
    assert drawn == pairs_of(passes(n=16, tokens_per_batch=100)[0])
    by_pass = [{s: row for (s, packing), row in drawn.items() if packing == one} for one in (0, 1)]
    assert by_pass[0] != by_pass[1]
    assert by_pass[0] != {s: row for (s, _), row in pairs_of(passes(seed=8)[0]).items()}
    halved = pairs_of(passes(0.5, n=16)[0])
    paired = [key for key, row in drawn.items() if row >= 0]
    assert 0.3 < sum(halved[key] < 0 for key in paired) / len(paired) < 0.7
    assert all(halved[key] in (-1, drawn[key]) for key in drawn)


def test_validation_ends_records_before_contents_too(beds, passes):
    """In order, each subject once, by draws of validation."""
    pairing = Pairing(beds.finder(), beds.split, 0.0, (2, 7))
    config = BatchingConfig(tokens_per_batch=400, max_length=12)
    loader = PackedLoader(beds.split, beds.vocabulary, config, 7, pairing=pairing)
    batches = list(loader.sequential(make=lambda batch, number: batch))
    subjects = np.concatenate([batch.subject_id for batch in batches])
    assert subjects.tolist() == beds.split.subject_ids[beds.split.lengths > 0].tolist()
    rows = np.concatenate([batch.pair for batch in batches])
    assert all(row in eligible(beds, int(s)) for s, row in zip(subjects, rows, strict=True) if row >= 0)
    assert (rows >= 0).any() and rows.tolist() != [pairs_of(passes()[0])[int(s), 0] for s in subjects]


def test_a_record_that_is_to_find_its_content_sees_no_other(beds, passes):
    """Its own subject's earlier images would tell which; a record that stays whole looks at what is its own."""
    finder = beds.finder()
    ((left, *_), _) = passes(0.4)
    paired = left.pair >= 0
    seen = np.bincount(finder(left, 7, 0, training=False).document.numpy(), minlength=left.n_documents)
    assert seen[paired].sum() == 0 and seen[~paired].sum() > 0
    free = finder(HostBatch(**{**vars_of(left), "pair": None}), 7, 0, training=False)
    assert np.isin(free.document.numpy(), np.flatnonzero(paired)).any(), "there would be something to see"


def test_pairs_are_the_contents_of_their_documents(beds, passes):
    """Inputs are those contents as their modality prepares them, under the subject, the hash and the modality; augmented
    alike whatever else lies in the batch."""
    (left, *_), pairing = passes()
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
