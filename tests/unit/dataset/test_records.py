"""Records that a split holds, as they are compared: whole, in order, in parts that do not matter."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.dataset import records as records_module
from tawt.dataset.reader import open_dataset
from tawt.dataset.records import OF_TRIPLETS, OfSplit, joined
from tests import shards


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A split of several shards."""
    workspace = tmp_path_factory.mktemp("records")
    shards.write_dataset(workspace, splits={"train": [40, 20]})
    return open_dataset(workspace).split("train")


def test_each_record_is_what_its_shard_holds_in_order(split):
    """Row for row, statics first, then by time, simultaneous ones by data_type, as one subject after the other has it."""
    subjects = np.random.default_rng(0).permutation(split.n_subjects)
    whole = joined(OfSplit(split, subjects).parts())
    tied = 0
    for at, i in enumerate(subjects):
        own, columns = whole.take(np.array([at])), split.columns(i)
        rows = sorted(
            zip(
                [k >= split.n_static[i] for k in range(len(columns.timestamp))],
                *(getattr(columns, name).tolist() for name in ("timestamp", "data_type", "value", "value_status")),
                strict=True,
            ),
            key=lambda row: row[:3],
        )
        columns_there = own.time, own.data_type, own.value, own.value_status
        found = list(zip((~own.is_static).tolist(), *(x.tolist() for x in columns_there), strict=True))
        assert [row[:3] for row in found] == [row[:3] for row in rows] and sorted(found) == sorted(rows)
        assert (own.subject_id, own.origin) == (split.subject_ids[i], split.origins[i])
        tied += len({row[:2] for row in rows}) < len(rows)
    assert tied > 10


def test_parts_say_the_same_whatever_their_size(split, monkeypatch):
    """A record at a time, or all at once."""
    cohort = OfSplit(split, np.arange(split.n_subjects))
    whole = joined(cohort.parts())
    monkeypatch.setattr(records_module, "AT_ONCE", 50)
    parts = [*cohort.parts()]
    assert len(parts) > 10
    for name in (*OF_TRIPLETS, "bounds", "subject_id"):
        assert np.array_equal(getattr(joined(parts), name), getattr(whole, name)), name


def test_taking_and_keeping(split):
    """Records can be taken twice and in any order, and lose some triplets."""
    whole = joined(OfSplit(split, np.arange(split.n_subjects)).parts())
    twice = whole.take(np.array([5, 2, 5]))
    assert twice.n_subjects == 3 and np.array_equal(twice.take(np.array([0])).time, twice.take(np.array([2])).time)
    timed = whole.keep(~whole.is_static)
    assert not timed.is_static.any() and timed.bounds[-1] == (~whole.is_static).sum() < whole.bounds[-1]
    assert np.array_equal(timed.lengths, whole.lengths - np.bincount(whole.subject[whole.is_static], minlength=60))
