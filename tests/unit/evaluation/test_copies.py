"""Copies of records, records between two others, and thresholds that were chosen on the test."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from tawt.dataset.reader import open_dataset
from tawt.evaluation import shared_traces
from tawt.evaluation.chosen import audit_threshold
from tawt.evaluation.copies import audit_copies
from tawt.evaluation.metrics import Binary
from tawt.evaluation.shared_traces import COPY, LEAST, MOST_ALIKE, SHARED, SKETCH, alike
from tests.shards import US_PER_HOUR, invent, write_manifest, write_shard, write_vocabulary

N = 40


def records(seed: int, n: int = N, length: int = 60):
    """Columns and index of invented records of one length."""
    return invent(np.random.default_rng(seed), np.arange(n) + 1000 * seed, np.full(n, length), np.zeros(n, int))


def said(folder, train, held_out):
    """What is said of two shards."""
    vocabulary = write_vocabulary(folder)
    splits = {
        name: [write_shard(folder / "dataset" / name, "00000", *shard)]
        for name, shard in (("train", train), ("held_out", held_out))
    }
    write_manifest(folder, vocabulary, splits)
    return {one.code: one for one in audit_copies(open_dataset(folder))}


def changed(columns, index, how):
    """A copy of records under other ids, changed in one way."""
    columns, n = {name: values.copy() for name, values in columns.items()}, len(index["subject_id"])
    if how == "moved":
        for name in ("timestamp", "available_time"):
            columns[name] += 30 * US_PER_HOUR
    if how == "jittered":
        columns["value"] = columns["value"] * np.float32(1.0001)
    kept = np.ones(len(columns["value"]), bool)
    if how == "thinned":
        kept[::7] = False
    length = np.bincount(np.repeat(np.arange(n), index["length"])[kept], minlength=n)
    columns = {name: values[kept] for name, values in columns.items()}
    index = {**index, "subject_id": index["subject_id"] + 500, "length": length, "start": np.cumsum(length) - length}
    return columns | {"subject_id": np.repeat(index["subject_id"], length)}, index


@pytest.mark.parametrize("how", ["equal", "moved", "jittered", "thinned"])
def test_a_copy_in_another_split_is_found(tmp_path, how):
    """Under another id, at another time, with other last digits, or without some events."""
    train = records(1)
    one = said(tmp_path, train, changed(*train, how))["DUPLICATE_RECORD"]
    assert one.status == "leak" and one.told.startswith(f"{2 * N} records have a copy"), one
    assert one.subjects == {*range(1000, 1000 + N), *range(1500, 1500 + N)}


def test_different_records_are_no_copies(tmp_path):
    """Of the same rhythm and the same codes, yet nobody is taken for somebody else, nor for a mixture."""
    found = said(tmp_path, records(1), records(2))
    assert {one.status for one in found.values()} == {"clean"}, found


def in_memory(traces):
    """Who can be known again, and the pairs, with all traces held as sets."""
    met = Counter(trace for one in traces for trace in one)
    own = [sorted(trace for trace in one if met[trace] <= MOST_ALIKE) for one in traces]
    known = [i for i, one in enumerate(own) if len(one) >= LEAST]
    pairs = set()
    for a, b in combinations(known, 2):
        first = {*own[a][:SKETCH]} & {*own[b][:SKETCH]}
        if len(first) >= SHARED and len({*own[a]} & {*own[b]}) >= COPY * min(len(own[a]), len(own[b])):
            pairs.add((a, b))
    return len(known), pairs


@pytest.mark.parametrize("rows_at_once", [1 << 22, 600, 7])
def test_pairs_are_those_of_all_traces_in_memory(tmp_path, monkeypatch, rows_at_once):
    """However few traces are sorted at once: pairs, trios, what more records share, and what is shared by too little."""
    monkeypatch.setattr(shared_traces, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(shared_traces, "_ROWS_TO_WRITE", 1000)
    rng = np.random.default_rng(3)
    traces = [
        rng.integers(0, 1 << 64, n, np.uint64) for n in [0, 3, *rng.integers(5, 20, 45), *rng.integers(100, 300, 45)]
    ]
    for group in range(40):
        members = rng.choice(np.arange(2, 92), 2 + group % 4, replace=False)
        common = rng.integers(0, 1 << 64, rng.choice((4, 15, 30, 250)), np.uint64)
        for i in members:
            traces[i] = np.append(traces[i], common)
    traces = [np.unique(one) for one in traces]
    n_traces = sum(map(len, traces))
    n, pairs = alike(traces, n_traces, tmp_path)
    known, expected = in_memory([one.tolist() for one in traces])
    assert n == known and {tuple(pair) for pair in pairs.tolist()} == expected and len(pairs) == len(expected)
    shared = {(a, b) for a, b in combinations(range(92), 2) if {*traces[a].tolist()} & {*traces[b].tolist()}}
    assert 5 < len(expected) < len(shared) - 5 and n_traces > 10_000 and [*tmp_path.iterdir()] == []


def test_records_that_were_mixed_of_two_are_found(tmp_path):
    """Each value of a record of held_out lies as far between those of two records of train."""
    columns, index = records(1)
    n_types = 8
    columns |= {"data_type": np.tile(np.arange(60) % n_types * 5 + 4, N).astype(np.int32) % 20 + 4}
    columns["data_type"] = np.tile(np.array([4, 7, 9, 12, 14, 17, 19, 22])[np.arange(60) % n_types], N).astype(np.int32)
    rng = np.random.default_rng(5)
    columns["value"] = rng.normal(size=60 * N).astype(np.float32)
    columns["value_token"], columns["value_status"] = np.ones(60 * N, np.int32), np.ones(60 * N, np.uint8)
    value = columns["value"].reshape(N, 60)
    share = rng.random((N, 1)).astype(np.float32)
    mixed, other = changed(columns, index, "moved")
    mixed["value"] = (value + share * (np.roll(value, 1, 0) - value)).reshape(-1)
    found = said(tmp_path, (columns, index), (mixed, other))
    assert found["SYNTHETIC_IN_EVALUATION"].status == "leak", found
    assert "lie between two of train" in found["SYNTHETIC_IN_EVALUATION"].told


@pytest.fixture
def sides():
    """What a fair model says of two splits."""
    rng = np.random.default_rng(4)
    truth = rng.random((2, 300)) < 0.2
    score = 1 / (1 + np.exp(2 - truth - rng.normal(size=(2, 300))))
    return [Binary(t, s) for t, s in zip(truth, score, strict=True)]


def best(rows):
    """The threshold with the largest sum of sensitivity and specificity, plainly."""
    cuts = np.unique(rows.score)
    gain = [rows.truth[rows.score >= c].sum() / rows.truth.sum()
            - (1 - rows.truth)[rows.score >= c].sum() / (1 - rows.truth).sum() for c in cuts]  # fmt: skip
    return float(cuts[int(np.argmax(gain))]), max(gain)


@pytest.mark.parametrize("digits", [None, 3])
def test_a_threshold_that_was_chosen_on_the_test_is_found(sides, digits):
    """As it is or rounded, with what it gains over the one of tuning; that of tuning, and one of nobody, are clean."""
    tuning, held_out = sides
    (own, _), (other, top) = best(tuning), best(held_out)
    assert abs(own - other) > 0.01
    one = audit_threshold(other if digits is None else round(other, digits), tuning, held_out)
    assert (
        one.status == "leak" and one.inflation is not None and one.inflation.metric == "sensitivity + specificity - 1"
    )
    if digits is None:
        assert one.inflation.with_leak == pytest.approx(top) and one.inflation.gain > 0
    for cut in (own, 0.5 * (own + other)):
        assert audit_threshold(cut, tuning, held_out).status == "clean"
