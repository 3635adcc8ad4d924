"""The shape of records and what hangs together in them, against loops over records."""

from __future__ import annotations

import datetime
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import ks_2samp

from tawt.fidelity.groups import group_of, without
from tawt.fidelity.structure import SHAPES, structure_compared, structure_of
from tawt.fidelity.temporal import LEAST_PAIRS, STEPS, WINDOWS, autocorrelation, temporal_compared, temporal_of
from tests import toy

HOUR, SIZE = 3_600_000_000, 12


def rows(records):
    """Of each record its timed rows: (time, data_type, value or None)."""
    for i in range(records.n_subjects):
        own = records.take(np.array([i]))
        number = own.has_number
        yield [(int(own.time[j]), int(own.data_type[j]), float(own.value[j]) if number[j] else None)
               for j in range(own.bounds[-1]) if not own.is_static[j]]  # fmt: skip


def shapes(records):
    """Events, spans, gaps, events at once and gaps of each data_type, plainly."""
    found, gaps = {name: [] for name in SHAPES}, defaultdict(list)
    for i, own in enumerate(rows(records)):
        if records.lengths[i]:
            found["events"].append(records.lengths[i])
        when = sorted({row[0] for row in own})
        if when:
            found["span"].append((when[-1] - when[0]) / HOUR)
        found["gaps"] += [(b - a) / HOUR for a, b in pairwise(when)]
        found["at_once"] += [sum(row[0] == t for row in own) for t in when]
        for kind in {row[1] for row in own}:
            gaps[kind] += [(b - a) / HOUR for a, b in pairwise(sorted({row[0] for row in own if row[1] == kind}))]
    return found, gaps


def test_shapes_are_those_of_loops_over_records():
    """Statics count as events and have no time; gaps are between moments, and between moments of a data_type."""
    records, other = toy.mixed(80, 1), toy.mixed(80, 2, days=20)
    a, b = (structure_of(x, group_of(0, 80)) for x in (records, other))
    (found, gaps), (found_b, gaps_b) = shapes(records), shapes(other)
    for kind, name in enumerate(SHAPES):
        assert np.allclose(a.shapes.of(kind), np.sort(found[name])), name
    for kind, expected in gaps.items():
        assert np.allclose(a.gaps.of(kind), np.sort(expected))
    whole = without(a, None), without(b, None)
    told = structure_compared(SIZE, True)(*whole)(*whole)
    for name in SHAPES:
        assert told[name] == pytest.approx(ks_2samp(found[name], found_b[name]).statistic)
    by_type = [(ks_2samp(gaps[k], gaps_b[k]).statistic, len(gaps[k])) for k in range(4, 12)
               if min(len(gaps[k]), len(gaps_b[k])) >= 30]  # fmt: skip
    assert len(by_type) > 4 and told["gaps_by_type"] == pytest.approx(
        np.average([ks for ks, _ in by_type], weights=[n for _, n in by_type])
    )


def test_hours_and_days_are_those_of_the_calendar():
    """Of each timed event; where the clock means nothing they are not told."""
    records = toy.mixed(80, 1)
    counted = without(structure_of(records, group_of(0, 80)), None)
    clock = (records.origin[records.subject] + records.time)[~records.is_static]
    when = [datetime.datetime.fromtimestamp(us / 1e6, datetime.UTC) for us in clock.tolist()]
    assert counted.hours.tolist() == [sum(one.hour == h for one in when) for h in range(24)]
    # day 0 was a Thursday
    assert counted.weekdays.tolist() == [sum((one.weekday() - 3) % 7 == d for one in when) for d in range(7)]
    told = [structure_compared(SIZE, calendar)(counted, counted)(counted, counted) for calendar in ("kept", "none")]
    assert told[0]["hours"] == 0 and not {"hours", "weekdays"} & {*told[1]}


def series(records):
    """Of each record and data_type the times and mean values of its moments with numbers."""
    for own in rows(records):
        for kind in {row[1] for row in own}:
            values = defaultdict(list)
            for time, code, value in own:
                if code == kind and value is not None:
                    values[time].append(value)
            yield (
                kind,
                [(t, float(np.mean(values[t]))) for t in sorted(values)],
                sorted({t for t, c, _ in own if c == kind}),
            )


def test_sums_in_time_are_those_of_loops_over_records():
    """Products of neighbours, halved squares by the hours between, and when a data_type comes again."""
    records = toy.mixed(150, 1)
    lag, n_bins = np.zeros((SIZE, 4)), len(WINDOWS) + 1
    square, pairs, again = np.zeros((SIZE, n_bins)), np.zeros((SIZE, n_bins)), np.zeros((SIZE, n_bins + 1))
    for kind, own, when in series(records):
        rest = [v - np.mean([v for _, v in own]) for _, v in own]
        for x, y in pairwise(rest):
            lag[kind] += 1, x * y, x * x, y * y
        for i, (t, v) in enumerate(own):
            for j, (s, w) in enumerate(own):
                if j - i in STEPS:
                    place = sum((s - t) / HOUR > edge for edge in WINDOWS)
                    square[kind, place] += 0.5 * (v - w) ** 2
                    pairs[kind, place] += 1
        for t, s in pairwise(when):
            again[kind, sum((s - t) / HOUR > edge for edge in WINDOWS)] += 1
        again[kind, -1] += bool(when)
    counted = without(temporal_of(records, group_of(0, 150), SIZE), None)
    assert np.allclose(counted.lag, lag) and np.array_equal(counted.pairs, pairs)
    assert np.allclose(counted.square, square) and np.array_equal(counted.again, again)
    assert (pairs.sum(0) > 0).sum() >= 4 and lag[6, 0] > 50


def test_numbers_in_time_follow_from_the_sums():
    """Gaps of autocorrelations, of variograms in real variances, and of chances to come again within each window."""
    a, b = (
        without(temporal_of(toy.mixed(300, seed, days), group_of(0, 300), SIZE), None)
        for seed, days in ((1, 40), (2, 9))
    )
    told = temporal_compared(a, b)(a, b)
    variance = a.moments[:, 2] / a.moments[:, 0].clip(1) - (a.moments[:, 1] / a.moments[:, 0].clip(1)) ** 2
    gap, n, r, n_r, again, n_again = [], [], [], [], [], []
    pooled = np.zeros((2, 4))
    for kind in range(4, 12):
        bins = [h for h in range(len(WINDOWS) + 1) if min(a.pairs[kind, h], b.pairs[kind, h]) >= LEAST_PAIRS]
        if bins:
            gap.append(
                np.mean(
                    [abs(a.square[kind, h] / a.pairs[kind, h] - b.square[kind, h] / b.pairs[kind, h]) for h in bins]
                )
            )
            gap[-1] /= variance[kind]
            n.append(a.pairs[kind, bins].sum())
        if min(a.lag[kind, 0], b.lag[kind, 0]) >= LEAST_PAIRS:
            r.append(abs(autocorrelation(a.lag[kind]) - autocorrelation(b.lag[kind])))
            n_r.append(a.lag[kind, 0])
            pooled += np.stack([a.lag[kind], b.lag[kind]]) / variance[kind]
        shares = [one.again[kind, :-2].cumsum() / one.again[kind].sum() for one in (a, b)]
        again.append(np.abs(shares[0] - shares[1]).mean())
        n_again.append(a.again[kind].sum())
    assert len(gap) == 3 and told["variogram"] == pytest.approx(np.average(gap, weights=n))
    assert told["autocorrelation_by_type"] == pytest.approx(np.average(r, weights=n_r))
    assert told["autocorrelation"] == pytest.approx(abs(autocorrelation(pooled[0]) - autocorrelation(pooled[1])))
    assert told["recurrence"] == pytest.approx(np.average(again, weights=n_again)) and told["recurrence"] > 0.05
