"""The loader: batches hold what was written, their gaps are right, and only (seed, step) decides them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import fields
from itertools import islice

import numpy as np
import pytest
import torch

from tawt.batching.gaps import type_gaps
from tawt.batching.loader import PackedLoader
from tawt.batching.packing import N_PACKINGS
from tawt.batching.source import find_source
from tawt.config.batching import BatchingConfig
from tawt.config.load import build
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError, DatasetError

SMALL = BatchingConfig(tokens_per_batch=256, max_length=64)
HOUR = 3_600_000_000


def open_loader(workspace, config=SMALL, seed=0, split="train") -> PackedLoader:
    dataset = open_dataset(workspace)
    return PackedLoader(dataset.split(split), dataset.vocabulary, config, seed)


def same(a, b) -> bool:
    """Whether two batches are equal to the last bit."""
    for field in fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        equal = torch.equal(x, y) and x.dtype == y.dtype if isinstance(x, torch.Tensor) else x == y
        if not equal:
            return False
    return True


def documents(batch):
    """Yield (document number, slice of its tokens)."""
    cu = batch.cu_seqlens.tolist()
    for i in range(batch.n_documents):
        yield i, slice(cu[i], cu[i + 1])


def by_subject(made) -> dict[int, tuple[dict[str, np.ndarray], int, int]]:
    """Return what was written of each subject: its columns, n_static, origin."""
    out = {}
    for columns, index in made:
        for i, subject in enumerate(index["subject_id"].tolist()):
            rows = slice(index["start"][i], index["start"][i] + index["length"][i])
            out[subject] = (
                {k: v[rows] for k, v in columns.items()},
                int(index["n_static"][i]),
                int(index["origin"][i]),
            )
    return out


@pytest.mark.parametrize("window", ["last", "random"])
def test_an_epoch_holds_every_subject_once_as_written(tmp_path, write_dataset, window):
    """Over an epoch each subject is one document: statics, then a run of its rows, of its outer moments perhaps a part."""
    written = by_subject(write_dataset(tmp_path, {"train": [40, 30]}, median_length=60)["train"])
    loader = open_loader(tmp_path, SMALL.model_copy(update={"window": window}))
    seen, n_cut, n_parts, n_later = [], 0, 0, 0
    for step in range(loader.n_batches(0)):
        batch = loader.batch(step).tensors()
        assert batch.n_tokens <= 256
        assert batch.max_seqlen == max(s.stop - s.start for _, s in documents(batch))
        n_cut += batch.n_cut
        for i, tokens in documents(batch):
            subject = int(batch.subject_id[i])
            columns, n_static, origin = written[subject]
            seen.append(subject)
            kept, all_rows = batch_rows(batch, tokens), written_rows(columns, n_static)
            assert len(kept) == min(64, len(all_rows)) and not Counter(kept) - Counter(all_rows)
            assert batch.is_static[tokens].tolist() == [row[0] for row in kept]
            assert [row[0] for row in kept].count(True) == min(n_static, 64)
            timed = [row[1] for row in kept if not row[0]]
            assert timed == sorted(timed)
            for moment in set(timed):
                n, n_all = timed.count(moment), sum(row[:2] == (False, moment) for row in all_rows)
                outer = moment == timed[0] or (moment == timed[-1] and window == "random")
                assert n == n_all or outer
                n_parts += n < n_all
            between = [row for row in all_rows if not row[0] and timed[0] < row[1] < timed[-1]] if timed else []
            assert between == [row for row in kept if not row[0] and timed[0] < row[1] < timed[-1]]
            if window == "last":
                assert not timed or timed[-1] == max(columns["timestamp"])
            n_later += bool(timed) and n_static > 0 and timed[0] > columns["timestamp"][n_static]
            last = max([0, *timed])
            assert batch.end_hours[i] == last / HOUR
            assert batch.end_time[i] == origin + last
    assert sorted(seen) == sorted(written)
    assert n_cut == sum(max(0, len(c["value"]) - 64) for c, _, _ in written.values()) > 0
    assert n_later > 3 and n_parts > 3


FIELDS = ("data_type", "value", "value_token", "value_status")


def batch_rows(batch, tokens) -> list[tuple]:
    """Each token of a document as (static, time, data_type, value, token, status)."""
    time = np.rint(batch.hours[tokens].numpy() * HOUR).astype(np.int64)
    read = [getattr(batch, name)[tokens].tolist() for name in FIELDS]
    return [*zip(batch.is_static[tokens].tolist(), time.tolist(), *read, strict=True)]


def written_rows(columns, n_static) -> list[tuple]:
    """The same of what was written of a subject."""
    static = (np.arange(len(columns["value"])) < n_static).tolist()
    return [*zip(static, columns["timestamp"].tolist(), *(columns[f].tolist() for f in FIELDS), strict=True)]


def test_statics_beyond_the_window_are_cut_last(tmp_path, write_dataset):
    """A subject with more statics than a document holds is some of them alone, at the origin."""
    made = write_dataset(tmp_path, {"train": [30]}, max_static=30)["train"]
    written = by_subject(made)
    loader = open_loader(tmp_path, BatchingConfig(tokens_per_batch=32, max_length=8))
    n_all_static = 0
    for batch in loader.sequential():
        for i, tokens in documents(batch):
            columns, n_static, origin = written[int(batch.subject_id[i])]
            if n_static >= 8:
                rows = Counter(batch_rows(batch, tokens))
                assert rows.total() == 8 and not rows - Counter(written_rows(columns, n_static)[:n_static])
                assert batch.is_static[tokens].all()
                assert batch.type_gap_hours[tokens].eq(-1).all()
                assert (batch.end_hours[i], batch.end_time[i]) == (0, origin)
                n_all_static += 1
    assert n_all_static > 5


def naive_gaps(batch):
    """Gaps by a double loop over each document's tokens: to the latest time that is earlier."""
    gap = np.zeros(batch.n_tokens, np.float32)
    type_gap = np.full(batch.n_tokens, -1, np.float32)
    us = np.rint(batch.hours.numpy() * HOUR).astype(np.int64)
    for _, tokens in documents(batch):
        for i in range(tokens.start, tokens.stop):
            for j in range(tokens.start, i):
                if batch.is_static[i] or batch.is_static[j] or us[i] == us[j]:
                    continue
                hours = (int(us[i]) - int(us[j])) / HOUR
                gap[i] = hours
                if batch.data_type[i] == batch.data_type[j]:
                    type_gap[i] = hours
    return gap, type_gap


@pytest.mark.parametrize("n_types", [3, 20, 70_000])
def test_gaps_equal_a_double_loop(tmp_path, write_dataset, n_types):
    """Both gaps equal a loop over all pairs of moments in each document, statics left out, for few and very many data_types."""
    write_dataset(tmp_path, {"train": [25]}, n_types=n_types, max_static=9)
    loader = open_loader(tmp_path, BatchingConfig(tokens_per_batch=512, max_length=80))
    n_repeated = n_static = 0
    for step in range(loader.n_batches(0)):
        batch = loader.batch(step).tensors()
        gap, type_gap = naive_gaps(batch)
        np.testing.assert_array_equal(batch.gap_hours.numpy(), gap)
        np.testing.assert_array_equal(batch.type_gap_hours.numpy(), type_gap)
        n_repeated += int((type_gap > 0).sum())
        n_static += int(batch.is_static.sum())
    assert n_repeated > 20 and n_static > 20


def test_gaps_of_wide_keys_equal_those_of_narrow_ones(tmp_path, write_dataset):
    """data_types too large for a 32-bit sort key give the same gaps as small ones."""
    rng = np.random.default_rng(0)
    bounds = np.array([0, 300, 301, 900])
    us = np.sort(rng.integers(0, 10**15, 900)).astype(np.float64)
    types = rng.integers(10, 16, 900)
    start = np.repeat([4, 301, 305], np.diff(bounds))
    narrow = type_gaps(us, types, start)
    wide = type_gaps(us, types << 22, start)  # with 900 positions: 35 bits
    np.testing.assert_array_equal(narrow, wide)
    assert (narrow > 0).sum() > 100


def test_minutes_survive_decades(tmp_path, shards):
    """A gap of one minute between events 90 years after the origin comes out as one minute."""
    age = 90 * 8766 * HOUR
    columns = {
        "subject_id": np.full(3, 7),
        "timestamp": np.array([age, age + HOUR // 60, age + HOUR // 60 + 1]),
        "data_type": np.full(3, 4, np.int32),
        "value": np.zeros(3, np.float32),
        "value_token": np.zeros(3, np.int32),
        "value_status": np.zeros(3, np.uint8),
        "available_time": np.full(3, age),
    }
    index = {"subject_id": [7], "start": [0], "length": [3], "n_static": [0], "origin": [0]}
    entry = shards.write_shard(tmp_path / "dataset" / "train", "00000", columns, index)
    shards.write_manifest(tmp_path, shards.write_vocabulary(tmp_path), {"train": [entry]})
    batch = open_loader(tmp_path).batch(0).tensors()
    expected = np.array([0, 1 / 60, 1e-6 / 3600], np.float32)
    np.testing.assert_array_equal(batch.gap_hours.numpy(), expected)
    np.testing.assert_array_equal(batch.type_gap_hours.numpy(), [-1, *expected[1:]])


def test_events_at_the_origin_are_a_moment_of_their_own(tmp_path, shards):
    """Statics are moment -1, and events of the origin, at the same time in the file, are moment 0."""
    n = 6
    columns = {
        "subject_id": np.full(n, 7), "timestamp": np.array([0, 0, 0, 0, HOUR, HOUR]), "data_type": np.full(n, 4, np.int32),
        "value": np.arange(n, dtype=np.float32), "value_token": np.zeros(n, np.int32),
        "value_status": np.ones(n, np.uint8), "available_time": np.array([0, 0, 1, 1, HOUR, HOUR]),
    }  # fmt: skip
    index = {"subject_id": [7], "start": [0], "length": [n], "n_static": [2], "origin": [0]}
    entry = shards.write_shard(tmp_path / "dataset" / "train", "00000", columns, index)
    shards.write_manifest(tmp_path, shards.write_vocabulary(tmp_path), {"train": [entry]})
    batch = open_loader(tmp_path).batch(0)
    assert batch.moment.tolist() == [-1, -1, 0, 0, 1, 1] and batch.n_moments.tolist() == [2]
    assert batch.moments.tolist() == [0, 2, 4, 6] and set(batch.value[:2]) == {0, 1}
    assert batch.tensors().gap_hours.tolist() == [0, 0, 0, 0, 1, 1]


def test_random_windows_are_drawn_anew_in_each_epoch(tmp_path, write_dataset):
    """Of a long record, another part is read in the next epoch; the packing that a later one takes again keeps no window."""
    write_dataset(tmp_path, {"train": [3]}, lengths=[500, 500, 500])
    loader = open_loader(tmp_path, SMALL.model_copy(update={"window": "random"}))
    ends = {}
    for epoch in (0, 1, N_PACKINGS):
        first = sum(loader.n_batches(e) for e in range(epoch))
        batches = [loader.batch(first + i) for i in range(loader.n_batches(epoch))]
        ends[epoch] = {int(s): int(t) for b in batches for s, t in zip(b.subject_id, b.end, strict=True)}
    assert len({tuple(sorted(found.items())) for found in ends.values()}) == 3


def test_a_batch_is_a_pure_function_of_seed_and_step(tmp_path, write_dataset):
    """A step's batch is the same from a fresh loader, out of order, through epochs, from the stream and by rank."""
    write_dataset(tmp_path)
    loader = open_loader(tmp_path, seed=5)
    n = loader.n_batches(0) + loader.n_batches(1) + 2
    straight = [loader.batch(step).tensors() for step in range(n)]
    for step in reversed(range(n)):
        assert same(loader.batch(step).tensors(), straight[step])
    assert same(open_loader(tmp_path, seed=5).batch(n - 1).tensors(), straight[-1])
    assert all(map(same, islice(open_loader(tmp_path, seed=5).stream(3), n - 3), straight[3:]))
    for rank in range(2):
        ranks = islice(open_loader(tmp_path, seed=5).stream(rank, stride=2), n // 2)
        assert all(map(same, ranks, straight[rank::2]))
    assert not same(open_loader(tmp_path, seed=6).batch(0).tensors(), straight[0])


def test_epochs_follow_one_another(tmp_path, write_dataset):
    """Each epoch takes every subject once, in another order than the one before, however many batches it has."""
    written = by_subject(write_dataset(tmp_path, {"train": [120]})["train"])
    loader = open_loader(tmp_path, BatchingConfig(tokens_per_batch=64, max_length=64))
    assert len({loader.n_batches(epoch) for epoch in range(6)}) > 1
    step, orders = 0, []
    for epoch in range(6):
        assert loader.locate(step) == (epoch, 0)
        stop = step + loader.n_batches(epoch)
        assert loader.locate(stop - 1) == (epoch, loader.n_batches(epoch) - 1)
        orders.append([s for i in range(step, stop) for s in loader.batch(i).subject_id.tolist()])
        step = stop
    for order in orders:
        assert sorted(order) == sorted(written)
    assert len({tuple(order) for order in orders}) == 6


def test_sequential_takes_subjects_in_order(tmp_path, write_dataset):
    """Evaluation sees each subject once, in the split's order, ending at its last event."""
    made = write_dataset(tmp_path, {"train": [20, 15]}, median_length=60)["train"]
    written = by_subject(made)
    config = SMALL.model_copy(update={"window": "random"})
    batches = list(open_loader(tmp_path, config).sequential())
    assert [s for batch in batches for s in batch.subject_id.tolist()] == list(written)
    for batch in batches:
        for i, _ in documents(batch):
            columns, _, origin = written[int(batch.subject_id[i])]
            assert batch.end_time[i] == origin + columns["timestamp"][-1]


def test_subjects_without_triplets_are_left_out(tmp_path, write_dataset):
    """A subject of length 0 is in no batch."""
    written = by_subject(write_dataset(tmp_path, {"train": [6]}, lengths=[0, 3, 5, 0, 0, 2])["train"])
    loader = open_loader(tmp_path)
    some = {subject for subject, (columns, _, _) in written.items() if len(columns["value"])}
    assert loader.n_tokens == 10
    assert set(loader.batch(0).subject_id.tolist()) == some
    assert [s for batch in loader.sequential() for s in batch.subject_id.tolist()] == sorted(some)


def test_a_split_without_triplets_is_refused(tmp_path, write_dataset):
    """A split with no triplet at all cannot be batched, and says so."""
    write_dataset(tmp_path, {"train": [2], "tuning": [2]}, lengths=[1, 1, 0, 0])
    with pytest.raises(DatasetError, match="split `tuning`: has no triplet in 2 subjects"):
        open_loader(tmp_path, split="tuning")


def test_a_data_type_outside_the_vocabulary_is_refused(tmp_path, write_dataset, shards):
    """A shard that names a data_type that the vocabulary lacks is refused before the model sees it."""
    write_dataset(tmp_path, {"train": [30]}, n_types=40)
    made = open_dataset(tmp_path)
    entries = [shard.model_dump() for shard in made.manifest.splits["train"]]
    shards.write_manifest(tmp_path, shards.write_vocabulary(tmp_path, n_types=2), {"train": entries})
    loader = open_loader(tmp_path)
    with pytest.raises(DatasetError, match="beyond the vocabulary, expected one of its 6") as error:
        for step in range(loader.n_batches(0)):
            loader.batch(step)
    assert error.value.where == str(tmp_path / "dataset" / "train")
    assert f"`tawt build-vocab -w {tmp_path}`" in error.value.hint


def loader_threads() -> int:
    return sum(thread.name.startswith("tawt-loader") for thread in threading.enumerate())


def test_the_stream_uses_one_thread_and_ends_it(tmp_path, write_dataset):
    """While a stream is read one thread works ahead; when it is closed the thread is gone."""
    write_dataset(tmp_path)
    stream = open_loader(tmp_path).stream()
    next(stream)
    next(stream)
    assert loader_threads() == 1
    stream.close()
    assert loader_threads() == 0


def test_the_stream_makes_few_batches_ahead(tmp_path, write_dataset, monkeypatch):
    """A reader that stops taking batches stops the making of them: at most `prefetch` lie ready."""
    write_dataset(tmp_path)
    loader = open_loader(tmp_path, SMALL.model_copy(update={"prefetch": 3}))
    made = []
    batch = loader.batch
    monkeypatch.setattr(loader, "batch", lambda step: made.append(step) or batch(step))
    stream = loader.stream(10)
    next(stream)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [10, 11, 12, 13]
    stream.close()


def test_an_error_in_the_thread_reaches_the_reader(tmp_path, write_dataset, monkeypatch):
    """An exception while a batch is made is raised at that batch, after those before it, and ends the thread."""
    write_dataset(tmp_path)
    loader = open_loader(tmp_path)
    batch = loader.batch

    def failing(step: int):
        if step == 2:
            raise DatasetError("shard", "is gone")
        return batch(step)

    monkeypatch.setattr(loader, "batch", failing)
    got = []
    with pytest.raises(DatasetError, match="is gone"):
        for taken in loader.stream():
            got.append(taken)
    assert len(got) == 2
    assert loader_threads() == 0


def test_max_length_must_fit_the_batch():
    """A config whose documents may be longer than a batch is refused."""
    with pytest.raises(ConfigError, match="max_length 512 exceeds tokens_per_batch 256"):
        build(BatchingConfig, {"tokens_per_batch": 256, "max_length": 512}, "config")


def test_far_epochs_reuse_packings_in_another_order(tmp_path, write_dataset, monkeypatch):
    """Finding a far step plans a bounded number of epochs; each epoch still holds every subject once, in a new order."""
    write_dataset(tmp_path, {"train": [120]})
    config = BatchingConfig(tokens_per_batch=64, max_length=64)
    loader = open_loader(tmp_path, config)
    n = [loader.n_batches(epoch) for epoch in range(2 * N_PACKINGS)]
    assert n[:N_PACKINGS] == n[N_PACKINGS:] and len(set(n)) > 1
    ends = np.cumsum([0, *n])
    for epoch in (0, 3, N_PACKINGS - 1, N_PACKINGS, N_PACKINGS + 3, 2 * N_PACKINGS - 1):
        assert loader.locate(int(ends[epoch])) == (epoch, 0)
        assert loader.locate(int(ends[epoch + 1]) - 1) == (epoch, n[epoch] - 1)
    orders = [
        [tuple(loader.batch(step).subject_id.tolist()) for step in range(ends[e], ends[e + 1])]
        for e in (1, N_PACKINGS + 1)
    ]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    planned = []
    fresh = open_loader(tmp_path, config)
    plan = fresh._pass
    monkeypatch.setattr(fresh, "_pass", lambda epoch: planned.append(epoch) or plan(epoch))
    assert fresh.locate(10**9)[0] > 10**6
    assert len(planned) <= N_PACKINGS


def test_what_is_made_of_a_batch_is_made_in_the_thread(tmp_path, write_dataset):
    """`make` gets each batch and its number in the loader's thread, for both kinds of streams; its error reaches the reader."""
    write_dataset(tmp_path)
    loader = open_loader(tmp_path)
    here = threading.get_ident()

    def make(batch, number):
        if number == 5:
            raise ValueError("batch 5")
        return number, batch, threading.get_ident()

    stream = loader.stream(1, 2, make=make)
    for expected in (1, 3):
        number, batch, thread = next(stream)
        assert number == expected and same(batch.tensors(), loader.batch(expected).tensors()) and thread != here
    with pytest.raises(ValueError, match="batch 5"):
        next(stream)
    numbers = [number for number, _, _ in islice(loader.sequential(make=make), 3)]
    assert numbers == [0, 1, 2]


@pytest.mark.parametrize("window", ["last", "random", "sliding"])
def test_a_batch_says_which_rows_it_holds(tmp_path, write_dataset, window):
    """The rows named as a batch's source, read from the shards, are the batch, for training and sequential ones."""
    made = write_dataset(tmp_path, {"train": [40, 30]}, median_length=60)["train"]
    loader = open_loader(tmp_path, SMALL.model_copy(update={"window": window}))
    batches = [(loader.batch(i).tensors(), loader.source(i)) for i in (0, 5, loader.n_batches(0) + 1)]
    batches += [(b, loader.sequential_source(i)) for i, b in enumerate(loader.sequential())]
    files = set()
    for batch, source in batches:
        values = [made[int(file[:5])][0]["value"][a : b + 1] for file, a, b in source.runs]
        np.testing.assert_array_equal(batch.value.numpy(), np.concatenate(values))
        files |= {file for file, _, _ in source.runs}
        file, row, last = source.farthest
        assert row == last and not source.broken
        assert abs(made[int(file[:5])][0]["value"][row]) == batch.value.abs().max()
    assert files == {"00000.arrow", "00001.arrow"}


def test_a_batch_says_which_of_its_rows_are_no_numbers():
    """Of 40 rows in two files, exactly those are named that are not finite, runs of them as one; else the farthest is."""
    one, two = np.ones(30, dtype=np.float32), np.zeros(20, dtype=np.float32)
    one[[4, 5, 6, 20]] = np.nan, np.inf, -np.inf, np.nan
    two[7] = -9
    source = find_source(
        [("a.arrow", slice(5, 25), one), ("b.arrow", slice(0, 0), two), ("b.arrow", slice(0, 20), two)]
    )
    assert source.runs == (("a.arrow", 5, 24), ("b.arrow", 0, 19))
    assert source.broken == (("a.arrow", 5, 6), ("a.arrow", 20, 20)) and source.farthest == ("b.arrow", 7, 7)
    assert str(source) == "not a number in a.arrow rows 5-6, a.arrow row 20"
    sound = find_source([("b.arrow", slice(*run), two) for run in ((2, 5), (6, 8), (9, 10))])
    said = "b.arrow rows 2-4, b.arrow rows 6-7, b.arrow row 9; their values are numbers, the largest in b.arrow row 7"
    assert str(sound) == said


def test_sliding_documents_cover_every_record(tmp_path, write_dataset):
    """With sliding windows an epoch holds each timed triplet once, whatever the record's length; nothing is cut."""
    made = write_dataset(tmp_path, {"train": [40]}, median_length=90)["train"]
    loader = open_loader(tmp_path, SMALL.model_copy(update={"window": "sliding"}))
    batches = [loader.batch(step).tensors() for step in range(loader.n_batches(0))]
    assert sum(batch.n_cut for batch in batches) == 0
    timed = torch.cat([batch.value[~batch.is_static] for batch in batches])
    columns, index = made[0]
    static = np.concatenate([np.arange(k) < s for k, s in zip(index["length"], index["n_static"], strict=True)])
    np.testing.assert_array_equal(np.sort(timed.numpy()), np.sort(columns["value"][~static]))
    assert sum(batch.n_documents for batch in batches) > 50
    assert sum(batch.n_tokens for batch in batches) == loader.n_tokens


def test_both_clocks_are_loaded_where_asked_for(tmp_path, write_dataset):
    """`available` is when each record could be read, 0 for a static; without asking there is none."""
    write_dataset(tmp_path)
    dataset = open_dataset(tmp_path)
    loader = PackedLoader(dataset.split("train"), dataset.vocabulary, SMALL, 0, with_available=True)
    batch = loader.batch(0)
    np.testing.assert_array_equal(batch.available, np.where(batch.is_static, 0, batch.time + HOUR))
    assert open_loader(tmp_path).batch(0).available is None
