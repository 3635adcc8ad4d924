"""The cut at a prediction time: what is known stays, what comes is the target, nothing else is seen."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tawt.batching.batch import PackedBatch
from tawt.batching.cut import cut
from tawt.batching.edit import documents_of, remake_gaps
from tawt.batching.loader import PackedLoader
from tawt.batching.observed import ObservedTime
from tawt.config.batching import BatchingConfig
from tawt.config.objective import ForecastConfig
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.reader import open_dataset

COLUMNS = np.array([9, 4, 8, 14, 19])
CONFIG = ForecastConfig(weight=1, window_hours=3, earliest_hours=2, whole_share=0.25)
US = 3_600_000_000


@pytest.fixture
def batch(tmp_path, write_dataset):
    """Documents of two to eighty triplets; a record can be read up to five hours after it happened."""
    write_dataset(tmp_path, {"train": [60]}, lengths=[2, 3, 4] + [5, 40, 80] * 19)
    dataset = open_dataset(tmp_path)
    config = BatchingConfig(tokens_per_batch=4096)
    batch = PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0, with_available=True).batch(0)
    late = torch.from_numpy(np.random.default_rng(0).uniform(0, 5, batch.n_tokens))
    return replace(batch, available_hours=torch.where(batch.is_static, 0, batch.hours + late))


def test_a_cut_keeps_what_was_known_and_forecasts_the_window(batch):
    """Per document a loop over its triplets finds the same remainder, presence and first numbers; the rest stays whole."""
    got, targets = cut(batch, CONFIG, COLUMNS, 8, 0, 0)
    assert 0 < len(targets.document) < batch.n_documents
    rows = targets.document.tolist()
    numbers = {
        (r, c): v
        for r, c, v in zip(
            targets.value_row.tolist(), targets.value_column.tolist(), targets.value_is.tolist(), strict=True
        )
    }
    met = {"late": 0, "numbers": 0, "present": 0, "static": 0}
    old, new = batch.cu_seqlens.tolist(), got.cu_seqlens.tolist()
    for i, ((a, b), (p, q)) in enumerate(zip(pairwise(old), pairwise(new), strict=True)):
        if i not in rows:
            assert torch.equal(batch.value[a:b], got.value[p:q]) and batch.end_hours[i] == got.end_hours[i]
            continue
        row, when = rows.index(i), float(got.end_hours[i])
        timed = [t for t in range(a, b) if not batch.is_static[t]]
        assert float(batch.hours[timed[0]]) + 2 - 1e-6 <= when <= float(batch.end_hours[i]) - 3 + 1e-6
        assert int(batch.end_time[i] - got.end_time[i]) == round((float(batch.end_hours[i]) - when) * US)
        kept = [
            t for t in range(a, b)
            if batch.is_static[t] or (batch.hours[t] <= when and batch.available_hours[t] <= when)
        ]  # fmt: skip
        for name in ("data_type", "value", "value_token", "value_status", "hours", "is_static", "available_hours"):
            assert torch.equal(getattr(got, name)[p:q], getattr(batch, name)[kept])
        met["late"] += any(batch.hours[t] <= when and t not in kept for t in timed)
        met["static"] += any(bool(batch.is_static[t]) for t in kept)
        for c, data_type in enumerate(COLUMNS.tolist()):
            window = [t for t in timed if batch.data_type[t] == data_type and when < batch.hours[t] <= when + 3]
            assert targets.present[row, c] == bool(window)
            values = [float(batch.value[t]) for t in window if batch.value_status[t] in (1, 7, 8)]
            assert numbers.get((row, c)) == (values[0] if values else None)
            met["present"] += bool(window)
            met["numbers"] += bool(values)
    assert all(count > 3 for count in met.values()), met
    assert len(numbers) == met["numbers"]


def test_what_comes_after_leaves_no_trace(batch):
    """Other values, data_types and times after the prediction times give the same cut batch to the last bit."""
    got, targets = cut(batch, CONFIG, COLUMNS, 8, 0, 0)
    document = documents_of(batch)
    was_cut = np.isin(document, targets.document.numpy())
    when = got.end_hours.numpy()[document]
    unknown = (
        was_cut & ~batch.is_static.numpy() & ((batch.hours.numpy() > when) | (batch.available_hours.numpy() > when))
    )
    at = torch.from_numpy(unknown)
    assert unknown.sum() > 100
    rng = np.random.default_rng(1)
    other = replace(
        batch,
        data_type=torch.where(at, torch.from_numpy(rng.integers(4, 24, batch.n_tokens)), batch.data_type),
        value=torch.where(at, torch.from_numpy(rng.normal(size=batch.n_tokens).astype(np.float32)), batch.value),
        value_token=torch.where(at, 1, batch.value_token),
        value_status=torch.where(at, 3, batch.value_status),
        available_hours=torch.where(
            at, batch.available_hours.clamp_min(torch.from_numpy(when + 1e-3)), batch.available_hours
        ),
    )
    again = cut(remake_gaps(other), CONFIG, COLUMNS, 8, 0, 0)[0]
    for field in fields(got):
        x, y = getattr(got, field.name), getattr(again, field.name)
        assert torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y, field.name
    fresh = remake_gaps(got)
    assert torch.equal(fresh.gap_hours, got.gap_hours) and torch.equal(fresh.type_gap_hours, got.type_gap_hours)


def test_prediction_times_are_a_function_of_salts(batch):
    """The same salts give the same times, others give others; the share that stays whole is the configured one."""
    ends = [cut(batch, CONFIG, COLUMNS, 8, 0, n)[0].end_hours for n in (0, 0, 1)]
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])
    n_all = sum(
        len(cut(batch, CONFIG.model_copy(update={"whole_share": 0.0}), COLUMNS, 8, n)[1].document) for n in range(20)
    )
    n_cut = sum(len(cut(batch, CONFIG, COLUMNS, 8, n)[1].document) for n in range(20))
    assert n_cut / n_all == pytest.approx(0.75, abs=0.06)


def test_a_document_of_which_nothing_was_known_stays_whole(batch):
    """Where no record could be read by then, the document is not cut, rather than left with one from the future."""
    none = replace(batch, available_hours=batch.available_hours + 1e9, is_static=torch.zeros_like(batch.is_static))
    got, targets = cut(none, CONFIG, COLUMNS, 8)
    assert len(targets.document) == len(targets.value_is) == 0 and targets.present.shape == (0, len(COLUMNS))
    assert torch.equal(got.value, batch.value)


def test_a_row_that_says_nothing_came_is_no_presence(batch):
    """A triplet of status `not_measured` in a window counts as absence; any other row of the data_type as presence."""
    config = CONFIG.model_copy(update={"whole_share": 0.0})
    before = cut(batch, config, COLUMNS, 8)[1]
    assert before.present.sum() > 20
    silent = replace(batch, value_status=torch.full_like(batch.value_status, ValueStatus.NOT_MEASURED))
    assert cut(silent, config, COLUMNS, 8)[1].present.sum() == 0
    empty = replace(batch, value_status=torch.full_like(batch.value_status, ValueStatus.ABSENT))
    assert torch.equal(cut(empty, config, COLUMNS, 8)[1].present, before.present)


def born(batch):
    """The same documents, the first event of each moved decades back, as a birth is."""
    first = [
        next((t for t in range(a, b) if not batch.is_static[t]), None) for a, b in pairwise(batch.cu_seqlens.tolist())
    ]
    at = torch.tensor([t for t in first if t is not None])
    back = torch.zeros_like(batch.hours).index_fill(0, at, 60 * 8766.0)
    return remake_gaps(replace(batch, hours=batch.hours - back, available_hours=batch.available_hours - back))


def test_a_birth_decades_before_draws_no_prediction_times(batch):
    """With a birth in front, documents are cut within what is told after it, and as many windows hold something."""
    config = CONFIG.model_copy(update={"whole_share": 0.0})
    told = []
    for there in (batch, born(batch)):
        pairs = [cut(there, config, COLUMNS, 8, n) for n in range(10)]
        for got, targets in pairs:
            for i in targets.document.tolist():
                a, b = there.cu_seqlens[i : i + 2].tolist()
                timed = [float(there.hours[t]) for t in range(a, b) if not there.is_static[t]]
                told_first = timed[1] if there is not batch else timed[0]
                assert float(got.end_hours[i]) >= told_first + config.earliest_hours - 1e-6
        told.append(sum(int(t.present.any(1).sum()) for _, t in pairs) / sum(len(t.document) for _, t in pairs))
    assert told[0] > 0.3 and told[1] > 0.8 * told[0]


def test_observed_time_is_the_sum_of_gaps_that_count():
    """A loop over the gaps of each document gives the same clock; calendar and observed hours are each other's inverse."""
    hours = torch.tensor([0.0, 0.0, 5.0, 6.0, 106.0, 106.0, 109.0, 3.0, 4.0], dtype=torch.float64)
    static = torch.tensor([True, False, False, False, False, False, False, False, False])
    documents = {"cu_seqlens": torch.tensor([0, 7, 9], dtype=torch.int32), "is_static": static, "hours": hours}
    fields_ = {f.name: None for f in fields(PackedBatch)}
    there = PackedBatch(**{**fields_, **documents, "data_type": torch.zeros(9)})
    observed = ObservedTime(there, 10.0)
    assert observed.clock[1:7].tolist() == [0, 5, 6, 16, 16, 19] and observed.clock[7:].tolist() == [0, 1]
    assert observed.after(7.0).tolist() == [17.0, np.inf]  # 5 + 1 are told before the silence, 1 more after it
    calendar = np.array([8.0, 3.5])
    assert observed.of(calendar).tolist() == [8.0, 0.5]
    assert observed.calendar(observed.of(calendar)).tolist() == calendar.tolist()
    assert observed.of(np.array([50.0, 2.0])).tolist() == [16.0, -np.inf]
    assert observed.calendar(np.array([17.0, 0.25])).tolist() == [107.0, 3.25]
