"""The cut at a prediction time: what is known stays, what comes is the target, nothing else is seen."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from tawt.batching import cut as module
from tawt.batching.host import HostBatch
from tawt.batching.loader import PackedLoader
from tawt.batching.observed import ObservedTime
from tawt.config.batching import BatchingConfig
from tawt.config.objective import ForecastConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.reader import open_dataset

COLUMNS = np.array([9, 4, 8, 14, 19])
CONFIG = ForecastConfig(weight=1, window_hours=3, earliest_hours=2, whole_share=0.25)


def cut(batch, config, columns, *salts):
    """Draw prediction times and cut there."""
    return module.cut(module.draw_times(batch, config, *salts), config, columns)


@pytest.fixture
def batch(tmp_path, write_dataset):
    """Documents of two to eighty triplets; a record can be read up to five hours after it happened, statics too late some."""
    write_dataset(tmp_path, {"train": [60]}, lengths=[2, 3, 4] + [5, 40, 80] * 19)
    dataset = open_dataset(tmp_path)
    config = BatchingConfig(tokens_per_batch=4096)
    batch = PackedLoader(dataset.split("train"), dataset.vocabulary, config, 0, with_available=True).batch(0)
    late = np.random.default_rng(0).integers(0, 5 * US_PER_HOUR, batch.n_tokens)
    return replace(batch, available=np.where(batch.is_static, readable(batch), batch.time + late))


def readable(batch: HostBatch) -> np.ndarray:
    """When each token could be read were it a static: always, or at a time within the record."""
    rng = np.random.default_rng(1)
    start, end = batch.time[np.minimum(batch.first_timed, batch.n_tokens - 1)], batch.end
    within = (start + (end - start) * rng.random(batch.n_documents)).astype(np.int64)[batch.document]
    return np.where(rng.random(batch.n_tokens) < 0.5, -(2**62), within)


def test_a_cut_keeps_what_was_known_and_forecasts_the_window(batch):
    """Per document a loop over its triplets finds the same remainder, presence and first numbers; the rest stays whole."""
    met = {"late": 0, "numbers": 0, "present": 0, "static": 0, "late static": 0, "at once": 0}
    for salt in range(4):
        got, coming = cut(batch, CONFIG, COLUMNS, 8, 0, salt)
        assert 0 < len(coming.document) < batch.n_documents
        rows = coming.document.tolist()
        places = zip(coming.row.tolist(), coming.column.tolist(), strict=True)
        numbers = dict(zip(places, coming.value.tolist(), strict=True))
        old, new = batch.bounds.tolist(), got.bounds.tolist()
        for i, ((a, b), (p, q)) in enumerate(zip(pairwise(old), pairwise(new), strict=True)):
            if i not in rows:
                assert np.array_equal(batch.value[a:b], got.value[p:q]) and batch.end[i] == got.end[i]
                continue
            row, when = rows.index(i), got.end[i]
            timed = [t for t in range(a, b) if not batch.is_static[t]]
            assert batch.time[timed[0]] + 2 * US_PER_HOUR - 5 <= when <= batch.end[i] - 3 * US_PER_HOUR + 5
            kept = [
                t for t in range(a, b)
                if (batch.is_static[t] or batch.time[t] <= when) and batch.available[t] <= when
            ]  # fmt: skip
            for name in (
                "data_type",
                "value",
                "value_token",
                "value_status",
                "time",
                "is_static",
                "available",
                "identity",
            ):
                np.testing.assert_array_equal(getattr(got, name)[p:q], getattr(batch, name)[kept])
            met["late"] += any(batch.time[t] <= when and t not in kept for t in timed)
            met["static"] += any(bool(batch.is_static[t]) for t in kept)
            met["late static"] += any(bool(batch.is_static[t]) and t not in kept for t in range(a, b))
            for c, data_type in enumerate(COLUMNS.tolist()):
                of_type = [t for t in timed if batch.data_type[t] == data_type]
                window = [t for t in of_type if when < batch.time[t] <= when + 3 * US_PER_HOUR]
                assert coming.present[row, c] == bool(window)
                values = [t for t in window if batch.value_status[t] in (1, 7, 8)]
                first = [float(batch.value[t]) for t in values if batch.time[t] == batch.time[values[0]]]
                assert numbers.get((row, c)) == (pytest.approx(np.mean(first), rel=1e-6) if first else None)
                met["present"] += bool(window)
                met["at once"] += len(first) > 1
        assert len(numbers) == len(coming.value)
        met["numbers"] += len(numbers)
    assert all(count > 3 for count in met.values()), met


def test_what_comes_after_leaves_no_trace(batch):
    """Other values, data_types and times after the prediction times give the same cut batch to the last bit."""
    got, coming = cut(batch, CONFIG, COLUMNS, 8, 0, 0)
    when = got.end[batch.document]
    late = (batch.time > when) | (batch.available > when)
    unknown = np.isin(batch.document, coming.document) & late
    assert unknown.sum() > 100
    rng = np.random.default_rng(1)
    other = replace(
        batch,
        data_type=np.where(unknown, rng.integers(4, 24, batch.n_tokens), batch.data_type),
        value=np.where(unknown, rng.normal(size=batch.n_tokens).astype(np.float32), batch.value),
        value_token=np.where(unknown, 1, batch.value_token),
        value_status=np.where(unknown, 3, batch.value_status),
        available=np.where(unknown, np.maximum(batch.available, when + 1), batch.available),
    )
    again = cut(other, CONFIG, COLUMNS, 8, 0, 0)[0].tensors()
    seen = got.tensors()
    for field in fields(seen):
        x, y = getattr(seen, field.name), getattr(again, field.name)
        assert x.equal(y) if hasattr(x, "equal") else x == y, field.name


def test_prediction_times_are_a_function_of_salts(batch):
    """The same salts give the same times, others give others; the share that stays whole is the configured one."""
    ends = [cut(batch, CONFIG, COLUMNS, 8, 0, n)[0].end.tolist() for n in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]
    n_all = sum(
        len(cut(batch, CONFIG.model_copy(update={"whole_share": 0.0}), COLUMNS, 8, n)[1].document) for n in range(20)
    )
    n_cut = sum(len(cut(batch, CONFIG, COLUMNS, 8, n)[1].document) for n in range(20))
    assert n_cut / n_all == pytest.approx(0.75, abs=0.06)


def test_a_document_of_which_nothing_was_known_stays_whole(batch):
    """Where no record could be read by then, the document is not cut, rather than left with one from the future."""
    none = replace(batch, available=np.full_like(batch.available, 10**18), n_static=np.zeros_like(batch.n_static))
    got, coming = cut(none, CONFIG, COLUMNS, 8)
    assert len(coming.document) == len(coming.value) == 0 and coming.present.shape == (0, len(COLUMNS))
    np.testing.assert_array_equal(got.value, batch.value)


def test_a_row_that_says_nothing_came_is_no_presence(batch):
    """A triplet of status `not_measured` in a window counts as absence; any other row of the data_type as presence."""
    config = CONFIG.model_copy(update={"whole_share": 0.0})
    before = cut(batch, config, COLUMNS, 8)[1]
    assert before.present.sum() > 10
    silent = replace(batch, value_status=np.full_like(batch.value_status, ValueStatus.NOT_MEASURED))
    assert cut(silent, config, COLUMNS, 8)[1].present.sum() == 0
    empty = replace(batch, value_status=np.full_like(batch.value_status, ValueStatus.ABSENT))
    np.testing.assert_array_equal(cut(empty, config, COLUMNS, 8)[1].present, before.present)


def born(batch):
    """The same documents, the first event of each moved decades back, as a birth is."""
    first = batch.first_timed[batch.first_timed < batch.bounds[1:]]
    back = np.zeros_like(batch.time)
    back[first] = 60 * 8766 * US_PER_HOUR
    return replace(batch, time=batch.time - back, available=batch.available - back)


def test_a_birth_decades_before_draws_no_prediction_times(batch):
    """With a birth in front, documents are cut within what is told after it, and as many windows hold something."""
    config = CONFIG.model_copy(update={"whole_share": 0.0})
    told = []
    for there in (batch, born(batch)):
        pairs = [cut(there, config, COLUMNS, 8, n) for n in range(10)]
        for got, targets in pairs:
            for i in targets.document.tolist():
                a, b = there.bounds[i : i + 2]
                timed = [there.hours[t] for t in range(a, b) if not there.is_static[t]]
                told_first = timed[1] if there is not batch else timed[0]
                assert got.end[i] / US_PER_HOUR >= told_first + config.earliest_hours - 1e-6
        told.append(sum(t.present.any(1).sum() for _, t in pairs) / sum(len(t.document) for _, t in pairs))
    assert told[0] > 0.3 and told[1] > 0.8 * told[0]


def some_hours(*documents, n_static=None, **columns):
    """Documents of these hours, each ending at its last; other columns laid end to end as they are given."""
    lengths = [len(hours) for hours in documents]
    n, time = sum(lengths), np.rint(np.concatenate(documents) * US_PER_HOUR).astype(np.int64)
    bounds, one = np.cumsum([0, *lengths]), np.ones(n, np.int64)
    given = {"data_type": one * 4, "value": one.astype(np.float32), "available": time} | columns
    return HostBatch(
        **given, value_token=one, value_status=one, time=time, bounds=bounds, n_cut=0,
        identity=one.astype(np.uint32),
        n_static=np.zeros(len(lengths), np.int64) if n_static is None else np.array(n_static),
        subject_id=np.arange(len(lengths)), origin=np.zeros(len(lengths), np.int64), end=time[bounds[1:] - 1],
    )  # fmt: skip


def test_observed_time_is_the_sum_of_gaps_that_count():
    """Gaps of 5, 1, 100 and 3 hours, of which 10 count at most, are 5, 6, 16 and 19 observed ones; calendar and observed
    hours are each other's inverse."""
    there = some_hours(np.array([0.0, 0, 5, 6, 106, 106, 109]), np.array([3.0, 4]), n_static=[1, 0])
    observed = ObservedTime(there, 10.0)
    assert observed.clock[1:7].tolist() == [0, 5, 6, 16, 16, 19] and observed.clock[7:].tolist() == [0, 1]
    assert observed.after(7.0).tolist() == [17.0, np.inf]  # 5 + 1 are told before the silence, 1 more after it
    calendar = np.array([8.0, 3.5])
    assert observed.of(calendar).tolist() == [8.0, 0.5]
    assert observed.calendar(observed.of(calendar)).tolist() == calendar.tolist()
    assert observed.of(np.array([50.0, 2.0])).tolist() == [16.0, -np.inf]
    assert observed.calendar(np.array([17.0, 0.25])).tolist() == [107.0, 3.25]


def test_the_observed_clock_equals_a_loop_over_gaps(batch):
    """Of any document, a loop over its timed triplets adds up the same hours, each gap up to the limit."""
    observed, n_long = ObservedTime(batch, 3.0), 0
    for a, b in pairwise(batch.bounds.tolist()):
        clock = told = 0.0
        timed = [t for t in range(a, b) if not batch.is_static[t]]
        for earlier, t in pairwise([timed[0], *timed] if timed else []):
            gap = (int(batch.time[t]) - int(batch.time[earlier])) / US_PER_HOUR
            clock, told, n_long = clock + min(gap, 3.0), told + gap * (gap <= 3), n_long + (gap > 3)
            assert observed.clock[t] == pytest.approx(clock, abs=1e-6)
            assert observed.told[t] == pytest.approx(told, abs=1e-6)
    assert n_long > 100


def test_the_observed_clock_is_the_documents_own(batch):
    """After any neighbours, a document has the same observed hours to the last bit, and is cut at the same time."""
    rng, hours = np.random.default_rng(0), np.arange(13) / 3
    config = ForecastConfig(weight=1, window_hours=2, earliest_hours=2, whole_share=0)
    alone = some_hours(hours)
    clock, end = ObservedTime(alone, 10.0).clock, cut(alone, config, COLUMNS, 8)[0].end
    for _ in range(40):
        there = some_hours(np.cumsum(rng.uniform(0, 5, 600)), hours)
        there = replace(there, subject_id=np.array([9, 0]))
        observed = ObservedTime(there, 10.0)
        assert np.array_equal(observed.clock[-13:], clock) and np.array_equal(observed.told[-13:], clock)
        got, coming = cut(there, config, COLUMNS, 8)
        assert got.end[-1] == end[0] and 1 in coming.document


def test_a_record_at_the_very_prediction_time_is_known():
    """With one admissible time, which falls on a record, that record is input and not asked for; the end of the window is."""
    config = ForecastConfig(weight=1, window_hours=3, earliest_hours=2, whole_share=0, longest_gap_hours=10)
    types = np.array([4, 4, 9, 4, 8])
    there = some_hours(np.array([1.0, 2, 3, 4.5, 6]), data_type=types, value=np.arange(5, dtype=np.float32))
    got, coming = cut(there, config, COLUMNS, 8)
    assert got.end.tolist() == [3 * US_PER_HOUR] and got.data_type.tolist() == [4, 4, 9]
    assert coming.present.tolist() == [[float(kind in (4, 8)) for kind in COLUMNS.tolist()]]
    assert dict(zip(COLUMNS[coming.column].tolist(), coming.value.tolist(), strict=True)) == {4: 3.0, 8: 4.0}


def test_times_count_from_a_row_that_is_known(batch):
    """Where the row that a record counts from could not be read by the cut, times count from the first that could."""
    first = batch.first_timed
    has = first < batch.bounds[1:]
    at = np.where(has, batch.time[np.minimum(first, batch.n_tokens - 1)], 0)
    counted = replace(batch.counted_from(at), counts_from_row=True)
    rng, available = np.random.default_rng(4), counted.available.copy()
    hidden = first[has & (rng.random(batch.n_documents) < 0.5)]
    available[hidden] = 2**61
    counted = replace(counted, available=available)
    drawn = module.draw_times(counted, CONFIG, 0)
    left, _ = module.cut(drawn, CONFIG, COLUMNS)
    anchored, _ = module.cut(replace(drawn, counts_from_row=False), CONFIG, COLUMNS)
    n_moved = 0
    for d in range(batch.n_documents):
        a, b = left.bounds[d] + left.n_static[d], left.bounds[d + 1]
        moved = drawn.is_cut[d] and first[d] in hidden and a < b
        began = int(anchored.time[a]) if moved else 0
        n_moved += began > 0
        np.testing.assert_array_equal(left.time[a:b], anchored.time[a:b] - began)
        assert left.origin[d] == anchored.origin[d] + began and left.end[d] == anchored.end[d] - began
    assert n_moved > 3
