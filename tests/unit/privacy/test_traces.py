"""Copies of records: found whatever was moved a little, beside loops, and no other record taken for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tawt.privacy import traces as module
from tawt.privacy.traces import copies, traces_of
from tests import toy

TRAIN = toy.oracle(150, 1).records


def rows_of(records, i):
    """The rows of a record."""
    return slice(int(records.bounds[i]), int(records.bounds[i + 1]))


def described(records, i):
    """Sequence, span, and by data_type the first and the mean time as shares of the span, plainly."""
    rows = rows_of(records, i)
    static, time, code = (getattr(records, name)[rows].tolist() for name in ("is_static", "time", "data_type"))
    timed = [t for t, s in zip(time, static, strict=True) if not s]
    begin, span = (min(timed), max(timed) - min(timed)) if timed else (0, 0)
    of = {}
    for t, s, c in zip(time, static, code, strict=True):
        of.setdefault(c, []).append(0 if s else (t - begin) / max(span, 1))
    return code, span, {c: (min(each), sum(each) / len(each)) for c, each in of.items()}


def is_copy(one, other):
    """Whether one is a copy of the other, by the words of the definition."""
    (code, span, times), (other_code, other_span, other_times) = one, other
    both = times.keys() & other_times.keys()
    if code == other_code:
        return True
    if not both or len(both) < 0.95 * len(times.keys() | other_times.keys()):
        return False
    alike = [max(abs(a - b) for a, b in zip(times[c], other_times[c], strict=True)) <= 0.01 for c in both]
    return sum(alike) >= 0.95 * len(both) and abs(span - other_span) <= 0.01 * max(span, other_span)


@pytest.mark.parametrize("most", [1 << 11, 17])
def test_copies_are_those_of_the_definition(monkeypatch, most):
    """Of invented records of every kind, some of them copied, moved, thinned and cut, in one block or in many."""
    monkeypatch.setattr(module, "_MOST_RECORDS", most)
    train, rng = toy.mixed(80, 1), np.random.default_rng(0)
    time = train.time + np.where(train.is_static, 0, rng.integers(-5, 5, len(train.time)) * 10**9)
    moved = replace(train, time=time[np.lexsort((time, ~train.is_static, train.subject))])
    thinned = train.keep(rng.random(len(train.time)) < 0.9)
    stretched = train.keep(rng.random(len(train.time)) < 0.97)
    stretched = replace(stretched, time=stretched.time * 2)
    met = 0
    for other in (train, moved, thinned, stretched, toy.mixed(80, 2)):
        traces = traces_of(other)
        found = copies(traces, traces_of(train))
        mine, theirs = ([described(one, i) for i in range(80)] for one in (other, train))
        times = [of[c] for _, _, of in mine for c in sorted(of)]
        assert traces.times == pytest.approx(np.array(times), abs=1e-5)
        expected = [any(is_copy(a, b) for b in theirs) for a in mine]
        assert found.tolist() == expected
        met += 0 < sum(expected) < 80
    assert met >= 2


def test_what_was_moved_a_little_is_a_copy():
    """At other values, at another scale of time, or with one event fewer in a hundred; fresh records are none."""
    real = traces_of(TRAIN)
    for other in (
        replace(TRAIN, value=TRAIN.value + 1),
        replace(TRAIN, time=TRAIN.time * 2),
        toy.copy(toy.oracle(150, 1), 1.0, 3).records,
    ):
        assert copies(traces_of(other), real).mean() > 0.9
    assert not copies(traces_of(toy.oracle(150, 2).records), real).any()


def test_parts_and_subsets_say_the_same():
    """Records that come in parts have the traces that all at once have, and some of them can be taken."""

    class InParts:
        n_subjects = TRAIN.n_subjects

        def parts(self):
            yield TRAIN.take(np.arange(40))
            yield TRAIN.take(np.arange(40, 150))

    whole, parts = traces_of(TRAIN), traces_of(InParts())
    for name in ("bounds", "data_type", "times", "span", "order"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    some = np.array([7, 3, 7])
    assert np.array_equal(whole.take(some).times, traces_of(TRAIN.take(some)).times)
    columns = np.array([5, 60, 9])
    has = [[c in TRAIN.data_type[rows_of(TRAIN, i)] for c in columns] for i in range(150)]
    assert whole.has(columns).tolist() == has and whole.has(columns, slice(20, 30)).tolist() == has[20:30]
    assert whole.prevalence(toy.N_TYPES)[columns] == pytest.approx(np.mean(has, axis=0))
    assert traces_of(TRAIN.take(np.empty(0, np.int64))).n == 0
