"""The numbers that a data_type takes: drawn ones are set to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tawt.contracts.value_status import ValueStatus
from tawt.dataset.reader import open_dataset
from tawt.dataset.records import Records
from tawt.dataset.scales import Scale
from tawt.errors import DatasetError
from tawt.synthesis.shared import fit_shared
from tawt.transforms.triplets import Coder
from tests import shards


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """One of twenty data_types."""
    workspace = tmp_path_factory.mktemp("grid")
    shards.write_dataset(workspace, splits={"train": [3]})
    return open_dataset(workspace).vocabulary


def records_of(rows, n_subjects, vocabulary):
    """Records with numbers: lists of (subject, data_type, number in its unit)."""
    rows = sorted(rows)
    own = np.array([row[0] for row in rows])
    kind = np.array([row[1] for row in rows])
    number = np.array([row[2] for row in rows])
    value = ((number - vocabulary.center[kind]) / vocabulary.scale[kind]).astype(np.float32)
    n = len(rows)
    return Records(
        np.arange(n_subjects), np.zeros(n_subjects, int), np.searchsorted(own, np.arange(n_subjects + 1)),
        np.zeros(n, bool), np.arange(n), kind.astype(np.int32), value, np.zeros(n, np.int32),
        np.full(n, ValueStatus.NUMERIC, np.uint8),
    )  # fmt: skip


BEATS, COUNTS, WAVES, RARE, BARELY = 4, 7, 9, 14, 19
"""Of the first, many people have each number; of the second, few do, but all are whole; the third is continuous; ten people
have the fourth, eleven the last."""


@pytest.fixture(scope="module")
def fitted(vocabulary):
    """A grid of three data_types, from 300 people in three parts."""
    whole = records_of(ROWS, 300, vocabulary)

    class InParts:
        n_subjects = 300

        def parts(self):
            return (whole.take(np.arange(a, a + 100)) for a in (0, 100, 200))

    one, three = fit_shared(whole, vocabulary), fit_shared(InParts(), vocabulary)
    for name in ("as_told", "numbers", "bounds", "step"):
        assert np.array_equal(getattr(one, name), getattr(three, name)), name
    assert one.waits.steps == three.waits.steps and one.scales.keys() == three.scales.keys()
    for of_one, of_three in zip(
        (*one.scales.values(), *one.waits.scales), (*three.scales.values(), *three.waits.scales), strict=True
    ):
        assert all(np.array_equal(getattr(of_one, x), getattr(of_three, x)) for x in ("points", "places", "common"))
    return one


def _rows():
    rng, rows = np.random.default_rng(0), []
    for i in range(300):
        rows += [(i, BEATS, float(x)) for x in rng.choice([60, 61, 70, 72.5, 90], 5)]
        rows += [(i, COUNTS, float(x)) for x in rng.integers(0, 100_000, 5)]
        rows += [(i, WAVES, float(x)) for x in rng.normal(0, 1, 5)]
    rows += [(0, BEATS, 66.0), (5, COUNTS, 31337.25), (6, COUNTS, 9e6), (7, WAVES, -50.0)]
    rows += [(i, RARE, 1.0) for i in range(10)] + [(i, BARELY, 1.0) for i in range(11)]
    return rows


ROWS = _rows()


def told(grid, vocabulary, kind, numbers):
    """What is told of numbers of a data_type, in its unit."""
    center, scale = vocabulary.center[kind], vocabulary.scale[kind]
    value = ((np.array(numbers) - center) / scale).astype(np.float32)
    return grid.nearest(np.full(len(value), kind), value) * scale + center


def test_a_number_is_set_to_the_nearest_that_many_people_have(fitted, vocabulary):
    """What one person alone has is not among them, however near; outside, the outermost."""
    found = told(fitted, vocabulary, BEATS, [60.4, 60.6, 66.0, 72.0, 300.0, -5.0])
    assert found == pytest.approx([60, 61, 70, 72.5, 90, 60], abs=1e-3)


def test_where_numbers_are_rarely_shared_they_keep_their_step(fitted, vocabulary):
    """Whole counts stay whole, also such as nobody has."""
    assert told(fitted, vocabulary, COUNTS, [812.4, 31337.25, 1023.6]) == pytest.approx([812, 31337, 1024], abs=2e-2)


def test_what_is_continuous_is_told_as_it_is_drawn(fitted, vocabulary):
    """Within its bounds it may be any number."""
    assert told(fitted, vocabulary, WAVES, [0.12345, -1.1]) == pytest.approx([0.12345, -1.1], abs=1e-5)


def test_no_number_lies_beyond_what_many_people_reach(fitted, vocabulary):
    """The outermost number is the mean of some people of whom each is passed by ten; whose numbers ten people have has none."""
    for kind in (COUNTS, WAVES):
        ends = told(fitted, vocabulary, kind, [-1e7, 1e7])
        own = [row[2] for row in ROWS if row[1] == kind]
        for side, end in zip((-1, 1), ends, strict=True):
            reach = sorted(max(side * row[2] for row in ROWS if row[:2] == (i, kind)) for i in range(300))
            assert reach[-40] < side * end <= reach[-11] + 0.5
            assert kind == COUNTS or not np.isclose(own, end, rtol=1e-6).any()
    assert fitted.nearest(np.array([RARE]), np.ones(1, np.float32)) == 0


def test_numbers_of_one_person_are_told_as_others_nearby(fitted, vocabulary):
    """Of numbers that people alone have, next to none comes again, and they are distributed as before; steps and order of
    size stay, and what many share stays to the bit."""
    whole = records_of(ROWS, 300, vocabulary)
    (kept,) = fitted.of(whole).parts()
    for kind, step in ((WAVES, 0.0), (COUNTS, 1.0)):
        center, scale = vocabulary.center[kind], vocabulary.scale[kind]
        real, anew = (np.sort(one.value[one.data_type == kind]) for one in (whole, kept))
        assert len(real) == len(anew) and np.isin(anew, real).mean() < 0.03 < np.isin(real, real).mean()
        below = np.searchsorted(anew, real) / len(real)
        assert np.abs(below - np.arange(len(real)) / len(real)).max() < 0.02
        number = anew.astype(np.float64) * scale + center
        assert not step or np.abs(number - np.round(number)).max() < 0.05
    assert {*np.unique(kept.value[kept.data_type == BEATS])} < {*np.unique(whole.value[whole.data_type == BEATS])}
    (again,) = fitted.of(whole).parts()
    assert np.array_equal(kept.value, again.value) and np.array_equal(kept.time, again.time)


def test_no_number_that_a_decoder_tells_is_somebodys_own(fitted, vocabulary):
    """Not between the knots of its heads, nor at their ends and beyond, where what is drawn is drawn in."""
    own = [(row[0], row[2]) for row in ROWS if row[1] == WAVES]
    person, number = (np.array(column) for column in zip(*own, strict=True))
    value = ((number - vocabulary.center[WAVES]) / vocabulary.scale[WAVES]).astype(np.float32)
    knots = Scale.of(value, person).at(np.linspace(0, 1, 257))
    drawn = np.append(np.interp(np.linspace(0, 1, 5000), np.linspace(0, 1, 257), knots), [-1e6, 1e6]).astype(np.float32)
    assert not np.isin(fitted.nearest(np.full(len(drawn), WAVES), drawn), value).mean() > 1e-3
    assert not np.isin(fitted.nearest(np.full(2, WAVES), drawn[-2:]), value).any()


def test_what_many_share_of_a_continuous_data_type_stays(vocabulary):
    """A dose of none at all is one, beside doses that are each one person's."""
    rng = np.random.default_rng(0)
    rows = [(i, WAVES, x) for i in range(300) for x in (0.0, *rng.lognormal(0, 1, 5))]
    shared = fit_shared(whole := records_of(rows, 300, vocabulary), vocabulary)
    (kept,) = shared.of(whole).parts()
    zero = ((0 - vocabulary.center[WAVES]) / vocabulary.scale[WAVES]).astype(np.float32)
    assert np.array_equal(kept.value == zero, whole.value == zero)
    assert not np.isin(kept.value, whole.value[whole.value != zero]).any()


@pytest.mark.parametrize(("unit", "zeros"), [(0.01, 0.0), (0.01, 0.4), (1e-3, 0.0)])
def test_small_numbers_are_no_multiples_of_a_large_step(vocabulary, unit: float, zeros: float):
    """Numbers of hundredths, as of troponin, all lie within a thousandth of 500 from 0: their step is a hundredth, and
    what is drawn is not 0."""
    rng = np.random.default_rng(0)
    numbers = np.where(rng.random(1500) < zeros, 0, np.ceil(rng.lognormal(1, 2, 1500))) * unit
    shared = fit_shared(
        whole := records_of([(i // 5, COUNTS, x) for i, x in enumerate(numbers)], 300, vocabulary), vocabulary
    )
    (kept,) = shared.of(whole).parts()
    center, scale = vocabulary.center[COUNTS], vocabulary.scale[COUNTS]
    told = kept.value.astype(np.float64) * scale + center
    assert shared.step[COUNTS] == pytest.approx(unit)
    assert np.mean(np.abs(told) < unit / 4) == pytest.approx(np.mean(numbers == 0), abs=0.05)
    assert np.median(told) == pytest.approx(np.median(numbers), abs=2 * unit)


def test_a_multiple_of_a_step_is_the_float_that_a_record_has(vocabulary):
    """Tenths that few share are told to the bit as they come from events, where a number is in single precision."""
    rng, coder = np.random.default_rng(0), Coder.of(vocabulary.table())
    kind = np.full(3000, COUNTS)
    real = coder.normalize(kind, np.float32(rng.integers(0, 50_000, 3000) / 10).astype(np.float64))
    whole = records_of([(i // 10, COUNTS, 0.0) for i in range(3000)], 300, vocabulary)
    shared = fit_shared(replace(whole, value=real), vocabulary)
    tenths = rng.integers(2_000, 40_000, 3000)
    drawn = (
        ((tenths + rng.uniform(-0.4, 0.4, 3000)) / 10 - vocabulary.center[COUNTS]) / vocabulary.scale[COUNTS]
    ).astype(np.float32)
    told = shared.nearest(kind, drawn)
    assert np.array_equal(told, coder.normalize(kind, np.float32(tenths / 10).astype(np.float64)))
    assert np.array_equal(shared.nearest(kind, told), told)


def test_what_many_have_beyond_shared_numbers_is_no_heap(vocabulary):
    """Nineteen of twenty numbers lie on a grid; of the others, which spread far above it and in one hole, none is shared. They
    are told in their step; where nobody is, there is nothing but the grid, whose own numbers stay to the bit."""
    rng, rows = np.random.default_rng(0), []
    for i in range(300):
        rows += [(i, BEATS, float(x)) for x in rng.choice([60, 61, 70, 90], 59)]
        rows += [(i, BEATS, float(rng.integers(200, 4000))), (i, BEATS, float(rng.integers(7100, 8900) / 100))]
    rows = [(i, kind, round(x) if x > 90 else x) for i, kind, x in rows]
    shared = fit_shared(whole := records_of(rows, 300, vocabulary), vocabulary)
    found = told(shared, vocabulary, BEATS, [1234.4, 333.3, 64.0, 66.0, 61.0, 20.0])
    assert found == pytest.approx([1234, 333, 61, 70, 61, 60], abs=1e-2)
    in_hole = told(shared, vocabulary, BEATS, np.linspace(72, 88, 500))
    assert len(np.unique(in_hole)) > 10 and np.abs(in_hole - np.linspace(72, 88, 500)).max() <= 0.5 + 1e-3
    (kept,) = shared.of(whole).parts()
    real, anew = (np.sort(one.value) for one in (whole, kept))
    own = np.isin(real, shared.numbers)
    assert 0.94 < own.mean() < 0.98 and (np.isin(anew, shared.numbers) == own).mean() > 0.99
    assert np.array_equal(*(np.unique(x[np.isin(x, shared.numbers)]) for x in (real, anew)))
    tail = [x[-250:].astype(np.float64) for x in (real, anew)]
    assert np.median(tail[1]) == pytest.approx(np.median(tail[0]), rel=0.1) and np.isin(*tail).mean() < 0.2


def test_what_few_people_have_is_no_part_of_what_many_share(fitted, vocabulary):
    """Records are left without such data_types, and their numbers are nobody's own."""
    whole = records_of(ROWS, 300, vocabulary)
    (kept,) = fitted.of(whole).parts()
    assert {RARE, BARELY} <= {*whole.data_type.tolist()} and RARE not in kept.data_type and BARELY in kept.data_type
    assert len(kept.time) == len(whole.time) - 10 and kept.n_subjects == 300
    center, scale = vocabulary.center[kept.data_type], vocabulary.scale[kept.data_type]
    told = np.round(kept.value * scale + center, 2)
    assert not np.isin(told, [31337.25, 66.0, 9e6, -50.0]).any()


def test_of_few_people_nothing_is_learned(vocabulary):
    """Ten people share nothing with many."""
    with pytest.raises(DatasetError, match="more than 10 of them"):
        fit_shared(records_of([(i, BEATS, 60.0) for i in range(10)], 10, vocabulary), vocabulary)


def test_records_on_the_grid_are_left_as_they_are(fitted, vocabulary):
    """Setting twice is setting once, to the bit."""
    rng = np.random.default_rng(1)
    kind = rng.choice([BEATS, COUNTS, WAVES], 500)
    once = fitted.nearest(kind, rng.normal(0, 20, 500).astype(np.float32))
    assert np.array_equal(fitted.nearest(kind, once), once)
