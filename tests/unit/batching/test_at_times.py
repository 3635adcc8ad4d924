"""Documents at prediction times hold what was known by then, on both clocks, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tawt.batching.at_times import Asked
from tawt.batching.left import Cutter
from tawt.batching.loader import PackedLoader
from tawt.config.augment import AugmentConfig
from tawt.config.batching import BatchingConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.dataset.reader import Split, open_dataset
from tawt.errors import DatasetError

MAX_LENGTH = 24


@pytest.fixture
def split(tmp_path, write_dataset) -> Split:
    """Sixty subjects in three shards, counted from their first row; a third of the rows can be read up to six hours later."""
    write_dataset(tmp_path, {"train": [20, 20, 20]}, lengths=[2, 3, 4] + [5, 40, 80] * 19)
    split = open_dataset(tmp_path).split("train")
    rng = np.random.default_rng(0)
    mapped, origins = [], split.origins.copy()
    for number, shard in enumerate(split.mapped):
        old = shard.columns
        time, available = old.timestamp.copy(), old.available_time.copy()
        for i in np.flatnonzero(split.shard == number):
            timed = slice(int(split.starts[i] + split.n_static[i]), int(split.starts[i] + split.lengths[i]))
            first = int(time[timed][0]) if len(time[timed]) else 0
            time[timed] -= first
            available[timed] -= first
            origins[i] += first
        old = old._replace(timestamp=time, available_time=available)
        late = np.where(rng.random(len(old.timestamp)) < 0.3, rng.integers(0, 6 * US_PER_HOUR, len(old.timestamp)), 0)
        columns = old._replace(available_time=np.maximum(old.available_time, old.timestamp + late))
        mapped.append(replace(shard, columns=columns))
    return replace(split, mapped=tuple(mapped), origins=origins)


def asked(split: Split) -> Asked:
    """Each subject four times, from before its record to after it, and one of another split."""
    subject, time = [-5], [0]
    for i in range(split.n_subjects):
        timed = split.columns(i).timestamp[split.n_static[i] :]
        first, last = (int(timed[0]), int(timed[-1])) if len(timed) else (0, 0)
        moments = (first - 1, first + (last - first) // 3, last - 7, last + US_PER_HOUR)
        subject += [int(split.subject_ids[i])] * 4
        time += [int(split.origins[i]) + moment for moment in moments]
    order = np.random.default_rng(1).permutation(len(subject))
    return Asked(np.array(subject)[order], np.array(time)[order])


def expected(split: Split, subject_id: int, time: int) -> list[tuple]:
    """What was known, by a loop over the record."""
    i = int(np.flatnonzero(split.subject_ids == subject_id)[0])
    rows, end = split.columns(i), time - int(split.origins[i])
    n_static = int(split.n_static[i])
    known = rows.available_time <= end
    statics = [r for r in range(n_static) if known[r]][:MAX_LENGTH]
    timed = [r for r in range(n_static, len(rows.timestamp)) if rows.timestamp[r] <= end and known[r]]
    room = MAX_LENGTH - len(statics)
    kept = statics + (timed[-room:] if room else [])
    # a record counts from its first row; of one that is not known, not even when it was may be
    is_known = split.time_origin == "anchor" or not timed or known[n_static] or rows.timestamp[n_static] != 0
    began = 0 if is_known else int(rows.timestamp[timed[0]])
    return [
        (int(rows.data_type[r]), float(rows.value[r]), int(rows.timestamp[r]) - (began if r >= n_static else 0))
        for r in kept
        if rows.available_time[r] <= end
    ]


def got(batch) -> dict[int, list[tuple]]:
    told = {}
    for d in range(batch.n_documents):
        a, b = batch.bounds[d], batch.bounds[d + 1]
        told[int(batch.asked[d])] = [
            (int(t), float(v), int(w))
            for t, v, w in zip(batch.data_type[a:b], batch.value[a:b], batch.time[a:b], strict=True)
        ]
    return told


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("origin", ["first_event", "anchor"])
def test_a_document_is_what_was_known(split, tmp_path, training, origin):
    """Each asked time has one document, equal to a loop's over the record; who had nothing by then is named."""
    split = replace(split, time_origin=origin)
    want = asked(split)
    vocabulary = open_dataset(tmp_path).vocabulary
    loader = PackedLoader(split, vocabulary, BatchingConfig(tokens_per_batch=128, max_length=MAX_LENGTH), asked=want)
    assert loader.at is not None
    batches = (
        [loader.batch(step) for step in range(loader.n_batches(0))]
        if training
        else list(loader.sequential(make=lambda batch, number: batch))
    )
    found: dict[int, list[tuple]] = {}
    for batch in batches:
        assert batch.n_tokens <= 128
        np.testing.assert_array_equal(batch.end + batch.origin, want.time[batch.asked])
        np.testing.assert_array_equal(batch.subject_id, want.subject_id[batch.asked])
        one = got(batch)
        assert not found.keys() & one.keys()
        found |= one
    right = {
        row: expected(split, subject, time)
        for row, (subject, time) in enumerate(zip(want.subject_id.tolist(), want.time.tolist(), strict=True))
        if subject >= 0
    }
    assert found == {row: tokens for row, tokens in right.items() if tokens}
    assert sorted(loader.at.unseen.tolist()) == [row for row, tokens in right.items() if not tokens]
    later = [row for row, tokens in found.items() if loader.at.began[loader.at.row == row].any() and tokens]
    assert bool(later) == (origin == "first_event")
    assert 0 < len(loader.at.unseen) < len(right) and loader.n_left(0) == sum(map(len, found.values()))
    if not training:
        assert [row for batch in batches for row in batch.asked.tolist()] == loader.at.row.tolist()


def test_what_is_removed_of_documents_is_not_packed(split, tmp_path):
    """Augmentation takes its share of what was known, and the batches are planned on the rest."""
    cutter = Cutter(None, AugmentConfig(event_dropout=0.5), None, (0, 3))
    config = BatchingConfig(tokens_per_batch=128, max_length=MAX_LENGTH)
    vocabulary = open_dataset(tmp_path).vocabulary
    whole = PackedLoader(split, vocabulary, config, 3, asked=asked(split))
    loader = PackedLoader(split, vocabulary, config, 3, cutter=cutter, asked=asked(split))
    before = {}
    for step in range(whole.n_batches(0)):
        before |= got(whole.batch(step))
    batches = [loader.batch(step) for step in range(loader.n_batches(0))]
    left = [cutter.thin(batch, batch.packing) for batch in batches]
    assert sum(batch.n_tokens for batch in left) == loader.n_left(0) < 0.9 * whole.n_left(0)
    assert max(batch.n_tokens for batch in left) <= 128
    after = {row: tokens for batch in left for row, tokens in got(batch).items()}
    assert after.keys() == before.keys() and all(set(after[row]) <= set(before[row]) for row in before)


def test_nobody_known_is_refused(split, tmp_path):
    """Times before every record leave nothing to train on."""
    none = Asked(split.subject_ids, split.origins - 10**15)
    with pytest.raises(DatasetError, match="no triplet that was known"):
        PackedLoader(split, open_dataset(tmp_path).vocabulary, BatchingConfig(), asked=none)
