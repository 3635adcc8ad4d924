"""Copies of records: found whatever was moved a little, beside loops, and no other record taken for one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tawt.dataset.records import OF_TRIPLETS, Records, in_order, joined
from tawt.privacy import traces as module
from tawt.privacy.traces import copies, traces_of
from tests import toy

TRAIN = toy.oracle(150, 1).records


def rows_of(records, i):
    """The rows of a record."""
    return slice(int(records.bounds[i]), int(records.bounds[i + 1]))


def described(records, i):
    """Its sequence, in which time nine of ten of its events lie, and when each of its events came, statics apart, plainly."""
    rows = rows_of(records, i)
    static, time, code = (getattr(records, name)[rows].tolist() for name in ("is_static", "time", "data_type"))
    timed = [t for t, s in zip(time, static, strict=True) if not s]
    of = {}
    for t, s, c in zip(time, static, code, strict=True):
        of.setdefault((c, s), []).append(t)
    most = timed[math.ceil(0.95 * (len(timed) - 1))] - timed[math.floor(0.05 * (len(timed) - 1))] if timed else 0
    return code, most or (max(timed) - min(timed) if timed else 0), of


def n_matched(times, others, moved, within):
    """How many of some times, moved, have one of others to themselves: the first that is left serves the first."""
    free, n = sorted(others), 0
    for t in sorted(times):
        near = next((other for other in free if abs(t + moved - other) <= within), None)
        if near is not None:
            free.remove(near)
            n += 1
    return n


def is_copy(one, other):
    """Whether one is a copy of the other, by the words of the definition, however their times are laid together."""
    (code, span, times), (other_code, other_span, other_times) = one, other
    longer = max(len(code), len(other_code))
    if code == other_code:
        return True
    both = times.keys() & other_times.keys()
    if sum(min(len(times[c]), len(other_times[c])) for c in both) < 0.95 * longer:
        return False
    moves = {b - a for c in both if not c[1] for a in times[c] for b in other_times[c]} | {0}
    n_static = sum(min(len(times[c]), len(other_times[c])) for c in both if c[1])
    within = 0.01 * max(span, other_span, 1)
    timed = [(times[c], other_times[c]) for c in both if not c[1]]
    return any(n_static + sum(n_matched(*pair, m, within) for pair in timed) >= 0.95 * longer for m in moves)


@pytest.mark.parametrize("most", [1 << 11, 17])
def test_copies_are_those_of_the_definition(monkeypatch, most):
    """Of invented records of every kind, some of them copied, moved, thinned and cut, in one block or in many."""
    monkeypatch.setattr(module, "_MOST_RECORDS", most)
    monkeypatch.setattr(module, "_AT_ONCE", 16 * most)
    train, rng = toy.mixed(80, 1), np.random.default_rng(0)
    time = train.time + np.where(train.is_static, 0, rng.integers(-5, 5, len(train.time)) * 10**9)
    moved = replace(train, time=time[np.lexsort((time, ~train.is_static, train.subject))])
    thinned = train.keep(rng.random(len(train.time)) < 0.97)
    stretched = train.keep(rng.random(len(train.time)) < 0.97)
    stretched = replace(stretched, time=stretched.time * 2)
    met = 0
    for other in (train, moved, thinned, stretched, toy.mixed(80, 2)):
        found = copies(traces_of(other), traces_of(train))
        mine, theirs = ([described(one, i) for i in range(80)] for one in (other, train))
        expected = [any(is_copy(a, b) for b in theirs) for a in mine]
        assert found.tolist() == expected
        met += 0 < sum(expected) < 80
    assert met >= 2


def without(records, rng, which):
    """The records less some events of each: the first, the last, both, one or three in a hundred."""
    first, last = records.bounds[:-1], records.bounds[1:] - 1
    if which == "3 %":
        return records.keep(rng.random(len(records.time)) >= 0.03)
    rows = {"first": [first], "last": [last], "both": [first, last], "one": [rng.integers(first, last + 1)]}[which]
    kept = np.ones(len(records.time), dtype=bool)
    kept[np.concatenate(rows)] = False
    return records.keep(kept)


def with_more(records, rng, share):
    """The records and some events of other people at times of their own: one of each, or a share."""
    who = (
        np.arange(records.n_subjects)
        if share is None
        else rng.integers(0, records.n_subjects, int(share * len(records.time)))
    )
    time = (rng.random(len(who)) * records.time[records.bounds[1:] - 1][who]).astype(np.int64)
    taken = rng.integers(0, len(records.time), len(who))
    columns = {name: np.concatenate([getattr(records, name), getattr(records, name)[taken]]) for name in OF_TRIPLETS}
    columns["time"][len(records.time) :] = time
    owner = np.concatenate([records.subject, who])
    order = in_order(owner, columns["is_static"], columns["time"], columns["data_type"])
    bounds = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=records.n_subjects))])
    return replace(records, bounds=bounds, **{name: column[order] for name, column in columns.items()})


def of_a_stay(n, rng):
    """Records of a birth 20 to 80 years ago and of a stay of two days, in which all have the same 40 data_types measured."""
    hours = np.sort(rng.random((n, 40)) * 48, 1)
    years = rng.integers(20, 80, n)[:, None] * 8766
    time = (np.concatenate([np.zeros((n, 1)), years + hours], 1) * 3_600_000_000).astype(np.int64)
    kind = np.concatenate([np.zeros((n, 1), int), rng.permuted(np.tile(np.arange(1, 41), (n, 1)), axis=1)], 1)
    none = np.zeros(time.size)
    return Records(
        np.arange(n), np.zeros(n, np.int64), np.arange(n + 1) * 41, none > 0, time.ravel(), kind.ravel().astype(np.int32),
        none.astype(np.float32), none.astype(np.int32), none.astype(np.uint8),
    )  # fmt: skip


def test_a_birth_decades_ago_makes_nobody_alike():
    """Stays of the same measurements are no copies, though one in a hundred of a life is longer than all of them; copies are
    found, also without their birth, and with times that are off by some minutes."""
    rng = np.random.default_rng(0)
    train, others = of_a_stay(100, rng), of_a_stay(100, rng)
    assert not copies(traces_of(train)).any() and not copies(traces_of(others), traces_of(train)).any()
    off = rng.integers(-5, 5, len(train.time)) * 60_000_000
    off[train.bounds[:-1]] = 0
    moved = replace(train, time=train.time + off)
    for copied in (moved, without(moved, rng, "first")):
        assert copies(traces_of(copied), traces_of(train)).all()


def test_an_event_that_is_missing_or_added_hides_no_copy():
    """One event of each fewer, first and last too, or 3 in 100, or as many added: all of 20 events and more are found."""
    real, rng = traces_of(TRAIN), np.random.default_rng(1)
    changed = {which: without(TRAIN, rng, which) for which in ("first", "last", "both", "one", "3 %")}
    changed |= {"one more": with_more(TRAIN, rng, None), "3 % more": with_more(TRAIN, rng, 0.03)}
    for which, records in changed.items():
        longer = np.maximum(records.lengths, TRAIN.lengths)
        kept = np.minimum(records.lengths, TRAIN.lengths) >= 0.95 * longer
        found = copies(traces_of(records), real)
        assert kept.sum() >= 12 and found[kept].all(), which
        assert not copies(traces_of(records), traces_of(toy.oracle(150, 2).records)).any()


def test_nobody_is_a_copy_of_his_own():
    """Among themselves records are held to the others alone: two that are alike are copies, exactly or nearly."""
    twice = traces_of(TRAIN.take(np.append(np.arange(150), 0)))
    assert np.flatnonzero(copies(twice)).tolist() == [0, 150]
    thinned = TRAIN.keep(np.arange(len(TRAIN.time)) != TRAIN.bounds[1] - 1).take(np.array([0]))
    assert np.flatnonzero(copies(traces_of(joined([TRAIN, thinned])))).tolist() == [0, 150]
    assert TRAIN.lengths[0] >= 20 and not copies(traces_of(TRAIN)).any()


def test_what_was_moved_a_little_is_a_copy():
    """At other values, or at another scale of time; fresh records are none."""
    real = traces_of(TRAIN)
    for other in (
        replace(TRAIN, value=TRAIN.value + 1),
        replace(TRAIN, time=TRAIN.time * 2),
        toy.copy(toy.oracle(150, 1), 1.0, 3).records,
    ):
        traces = traces_of(other)
        assert copies(traces, real).mean() > 0.9 and not np.isin(traces.exact, real.exact).any()
    assert not copies(traces_of(toy.oracle(150, 2).records), real).any()


def test_what_has_the_same_values_and_gaps_is_exactly_the_same():
    """Another id, another day, or another order of what came at one moment is the same record; another value is not."""
    records, rng = toy.mixed(80, 1), np.random.default_rng(0)
    order = np.lexsort((rng.random(len(records.time)), records.time, ~records.is_static, records.subject))
    mixed_up = {name: getattr(records, name)[order] for name in OF_TRIPLETS}
    later = replace(records, subject_id=records.subject_id + 1, time=records.time + 10**12 * ~records.is_static)
    real = traces_of(records).exact
    assert np.array_equal(traces_of(later).exact, real)
    assert np.array_equal(traces_of(replace(records, **mixed_up)).exact, real)
    other = records.value.copy()
    timed = records.bounds[:-1][records.lengths > 0]
    other[timed] += 1
    assert (traces_of(replace(records, value=other)).exact != real).tolist() == (records.lengths > 0).tolist()


def test_parts_and_subsets_say_the_same():
    """Records that come in parts have the traces that all at once have, and some of them can be taken."""

    class InParts:
        n_subjects = TRAIN.n_subjects

        def parts(self):
            yield TRAIN.take(np.arange(40))
            yield TRAIN.take(np.arange(40, 150))

    whole, parts = traces_of(TRAIN), traces_of(InParts())
    for name in ("bounds", "kind", "time", "span", "order", "exact"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    some = np.array([7, 3, 7])
    assert np.array_equal(whole.take(some).time, traces_of(TRAIN.take(some)).time)
    columns = np.array([5, 60, 9])
    has = [[c in TRAIN.data_type[rows_of(TRAIN, i)] for c in columns] for i in range(150)]
    assert whole.has(columns).tolist() == has
    assert whole.prevalence(toy.N_TYPES)[columns] == pytest.approx(np.mean(has, axis=0))
    assert traces_of(TRAIN.take(np.empty(0, np.int64))).n == 0
