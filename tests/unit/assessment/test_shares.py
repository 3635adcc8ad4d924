"""Pictures tell of no few people, their numbers are right, and what is written in them is text."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from tawt.assessment.attacks import gates, seen, sizes_to
from tawt.assessment.likeness import is_near
from tawt.assessment.pictures import _can_be_read
from tawt.assessment.result import Assessed
from tawt.assessment.shares import Line, edges_of, histogram, of_clock, prevalence, recurrence, roc, scores_shown
from tawt.assessment.sides import Sides
from tawt.assessment.spaces import as_split
from tawt.assessment.svg import Plot, Scale, reach, text
from tawt.dataset.records import OfSplit
from tawt.fidelity.distributions import Distributions
from tawt.fidelity.groups import Measure
from tawt.fidelity.portrait import portrait_of
from tawt.fidelity.suite import CEILING, SYNTHETIC, TEST
from tawt.fidelity.temporal import WINDOWS
from tawt.privacy.suite import assess
from tawt.privacy.verdict import verdict
from tawt.synthesis.shared import step_of
from tests import toy


def test_a_bin_of_few_people_is_not_drawn():
    """A bin is told from eleven groups of subjects on, and where nobody is, as 0; shares are of all numbers. With one of
    few the smallest of the others is not told, for the sum is known; so it is where few lie beyond all bins."""
    for beyond in (0.1, 7.0):
        group = np.concatenate([np.tile(np.arange(20), 2), np.arange(10), np.tile(np.arange(11), 2), np.arange(20)])
        value = np.repeat(np.float32([-2.9, beyond, 2.9, 1.1]), [40, 10, 22, 20])
        order = np.argsort(value, kind="stable")
        sample = Distributions(
            np.zeros(92, np.int64), value[order], group.astype(np.uint8)[order], np.zeros(92, np.uint64)
        )
        shares = histogram(sample, 0, np.linspace(-3, 3, 25)).y
        assert shares[0] == pytest.approx(40 / 92) and shares[-1] == pytest.approx(22 / 92)
        assert np.isnan(shares[16]) and np.isnan(shares[12]) == (beyond < 3)
        assert (np.delete(shares, [0, 12, 16, 23]) == 0).all()


def test_no_bins_that_are_not_drawn_hold_few_people_together():
    """What the sum of those that are drawn leaves is nothing, or more than ten, of any histogram; of scores, where both
    sets together fill each bin alike, in both."""
    rng = np.random.default_rng(0)
    for n in (30, 75, 150, 400):
        for _ in range(20):
            value = np.sort(rng.lognormal(0, 1.5, n)).astype(np.float32)
            kinds, group = np.zeros(n, np.int64), rng.permutation(np.arange(n) % 20).astype(np.uint8)
            shares = histogram(Distributions(kinds, value, group, kinds.astype(np.uint64)), 0, np.linspace(0, 20, 25)).y
            assert round((1 - np.nansum(shares)) * n) not in range(1, 22)
            found = scores_shown(rng.normal(0, 1, n), rng.normal(1, 1, n))
            assert np.array_equal(*(np.isnan(one.y) for one in found))
            assert all(round((1 - np.nansum(one.y)) * n) not in range(1, 11) for one in found)


def test_no_moments_of_few_lie_between_two_points_of_recurrence():
    """Shares are of all that came before each window: what two of them differ by is nothing, or of more than ten groups."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        again = rng.integers(0, 2, (20, 1, len(WINDOWS) + 1)) * (rng.random(len(WINDOWS) + 1) < rng.random())
        again[:, :, rng.integers(0, len(WINDOWS))] *= np.arange(20)[:, None] < 5
        shares = recurrence(SimpleNamespace(temporal=SimpleNamespace(again=again)))
        told = [-1, *np.flatnonzero(~np.isnan(shares)).tolist(), len(WINDOWS)]
        for a, b in pairwise(told):
            people = int((again[:, 0, a + 1 : b + 1].sum(1) > 0).sum())
            assert people == 0 or people > 10 or (a, b) == (-1, len(WINDOWS))


def test_few_who_lack_what_nearly_all_have_are_not_told():
    """Of 200 subjects three lack a data_type: the share is told as if ten did."""
    records = toy.mixed(200, 3)
    kind = int(records.data_type.max()) + 1
    records.data_type[records.bounds[3:-1]] = kind
    portrait = portrait_of(records, np.arange(kind + 1), kind + 1)
    types, own, _ = prevalence(portrait, portrait)
    assert own[types == kind] == pytest.approx(0.95)


def test_bins_hang_on_nobodys_own_number():
    """One number beyond all measure moves none of their edges, which reach as far as many people do; numbers of few
    people, or all alike, have none."""
    rng = np.random.default_rng(0)
    value = np.sort(rng.standard_normal(2000)).astype(np.float32)
    group = rng.integers(0, 20, 2000).astype(np.uint8)
    kinds, words = np.zeros(2000, np.int64), np.zeros(2000, np.uint64)
    edges = edges_of(Distributions(kinds, value, group, words), 0)
    beyond = value.copy()
    beyond[-1] = 31337.25
    assert np.array_equal(edges, edges_of(Distributions(kinds, beyond, group, words), 0)) and len(edges) == 25
    assert -3.5 < edges[0] < -2 < 2 < edges[-1] < 3.5
    assert not len(edges_of(Distributions(kinds, value, group % 10, words), 0))
    assert not len(edges_of(Distributions(kinds, np.ones_like(value), group, words), 0))


@pytest.mark.parametrize(("step", "scale"), [(1.0, 4.0), (0.1, 0.7), (5.0, 30.0)])
def test_a_picture_of_steps_has_no_teeth(step: float, scale: float):
    """Where numbers keep to a step, as whole beats do, bins hold equally many of its multiples, and each at least one:
    multiples that come equally often are a level line. What keeps to no step has bins of its own width."""
    rng = np.random.default_rng(0)
    zero = -140 / scale
    value = np.sort((rng.integers(100, 140, 40_000) * step - 140) / scale).astype(np.float32)
    group = rng.integers(0, 20, len(value)).astype(np.uint8)
    sample = Distributions(np.zeros(len(value), np.int64), value, group, np.zeros(len(value), np.uint64))
    found = step_of(value, zero, scale)
    assert found == pytest.approx(step / scale) and step_of(rng.standard_normal(500).astype(np.float32), 0.0, 1.0) == 0
    edges = edges_of(sample, 0, found, zero)
    multiples = np.histogram((np.arange(100, 140) * step - 140) / scale, edges)[0]
    held = multiples[np.flatnonzero(multiples)]
    assert multiples.sum() == 40 and len(set(held[:-1].tolist())) == 1 and held[0] >= 1
    shares = histogram(sample, 0, edges).y
    whole = shares[np.flatnonzero(multiples == held[0])]
    assert whole.max() < 1.15 * whole.min(), "level"
    teeth = histogram(sample, 0, edges_of(sample, 0)).y[2:-2]
    assert teeth.max() > 1.4 * teeth.min(), "without the step there are some"


def test_prevalence_and_recurrence_are_those_of_the_records():
    """Shares of subjects by a loop over records; the next event of a data_type within each window by another."""
    records = toy.mixed(200, 3)
    size = int(records.data_type.max()) + 2
    records.data_type[records.bounds[:7]] = size - 1
    portrait = portrait_of(records, np.arange(size), size)
    types, own, _ = prevalence(portrait, portrait)
    other = portrait_of(records.keep(records.data_type != size - 1), np.arange(size), size)
    assert size - 1 not in prevalence(portrait, other)[0], "seven people have it, and nobody there"
    has = [set(records.data_type[a:b].tolist()) for a, b in zip(records.bounds[:-1], records.bounds[1:], strict=True)]
    counts = np.array([sum(kind in one for one in has) for kind in range(size)])
    counts = np.where(counts < 200, np.minimum(counts, 190), counts) * (counts > 10)
    assert types.tolist() == np.flatnonzero(counts).tolist() and np.allclose(own * 200, counts[types])
    later: list[float] = []
    for i in range(200):
        a, b = records.bounds[i], records.bounds[i + 1]
        timed = ~records.is_static[a:b]
        for kind in has[i]:
            when = np.unique(records.time[a:b][timed & (records.data_type[a:b] == kind)])
            later += [*np.diff(when) / 3.6e9, *[np.inf] * min(len(when), 1)]
    expected = [(np.array(later) <= window).mean() for window in WINDOWS]
    assert np.allclose(recurrence(portrait), expected)


def test_hours_and_days_are_those_of_the_clock():
    """Shares of events by numpy's own calendar, days from Monday on; what ten groups at most have is not drawn."""
    records = toy.mixed(200, 3)
    portrait = portrait_of(records, np.arange(12), 12)
    when = (records.origin[records.subject] + records.time)[~records.is_static].astype("datetime64[us]")
    hour = (when - when.astype("datetime64[D]")) // np.timedelta64(1, "h")
    day = (when.astype("datetime64[D]").astype(int) - np.datetime64("2024-01-01").astype(int)) % 7
    for name, own, n in (("hours", hour, 24), ("weekdays", day, 7)):
        found = of_clock(portrait, name)
        assert len(found.y) == n and np.isfinite(found.y).any()
        told = np.isfinite(found.y)
        assert np.allclose(found.y[told], (np.bincount(own.astype(int), minlength=n) / len(own))[told])
    ten = portrait_of(records.take(np.arange(10)), np.arange(12), 12)
    assert not np.nan_to_num(of_clock(ten, "hours").y).any()


def test_a_point_of_few_members_is_not_drawn():
    """ROC by counting; where 1 to 10 members are found, or left, nothing stands there."""
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 400), rng.normal(0, 1, 1000)
    rates = (0.001, 0.01, 0.1, 0.5, 1.0)
    found = roc(members, others, rates)
    for rate, share in zip(rates, found, strict=True):
        bar = np.sort(others)[::-1][int(rate * 1000)] if rate < 1 else -np.inf
        hits = (members > bar).sum()
        assert np.isnan(share) if 0 < hits <= 10 or 0 < 400 - hits <= 10 else share == hits / 400
    assert np.isnan(roc(members[:12], others, rates)).sum() >= 3
    low, high = scores_shown(others[:50], members[:50])
    assert np.isnan(low.y).any() and not np.isnan(scores_shown(others, others[::-1])[0].y).any() and len(high.x) == 10


def test_what_came_with_the_data_is_text():
    """Names that are mark-up, or turn what follows, are shown as they are; a broken line is two, a lone number a dot."""
    plot = Plot("<script>", Scale(0, 10), Scale(*reach([1, 2])), "a&b", "\u202ex")
    plot.line([0, 1, 2, 3, 4], [1, 1, float("nan"), 1, float("nan")], 0)
    plot.dot(1, 1, 0, "<b>")
    drawn = plot.render()
    assert "<script>" not in drawn and "<b>" not in drawn and "a&amp;b" in drawn and "\u202e" not in drawn
    assert drawn.count("<polyline") == 1 and drawn.count("<circle") == 2
    assert text("a\n<c>") == "a &lt;c&gt;"
    assert Scale(1, 1000, True).at(10) == pytest.approx(1 / 3) and [x for x, _ in Scale(0, 1).marks][:2] == [0, 0.2]
    assert all(len(Scale(0, high).marks) >= 2 for high in (0.03, 0.7, 1.9, 2.1, 80))


def test_what_is_as_good_as_real_is_told_by_kind():
    """Larger, smaller, nearer to a half or to the real: each by where a perfect set lies; what is missing never is."""
    real = Measure(0.9, 0.85, 0.95)
    assert is_near("prevalence", Measure(0.86), real) and not is_near("prevalence", Measure(0.84), real)
    assert is_near("ks", Measure(0.02), Measure(0.05)) and not is_near("ks", Measure(0.09), Measure(0.05))
    assert not is_near("discriminator_boosted", Measure(0.4), Measure(0.5)) and not is_near("ks", None, real)
    assert "was not judged" in Assessed("x", {}, {}, "").verdict[0]


def test_a_safe_set_passes_and_copies_fail():
    """No gate fails fresh samples of the process; a tenth of copies fails those that look at single people."""
    n = 500

    def side(records) -> OfSplit:
        return OfSplit(as_split(records, "first_event", "kept"), np.arange(n))

    train = toy.oracle(n, 1)
    sides = Sides(side(train.records), side(toy.oracle(n, 2).records), side(toy.oracle(n, 3).records), n, "", False)
    said = {}
    for name, made in (("fresh", toy.oracle(n, 4)), ("copied", toy.copy(train, 0.1, 5))):
        sets = seen(sides, made.records)
        found = verdict(assess(sets.train, sets.test, sets.synthetic, sets.reference, sets.n, n_draws=8))
        said[name] = {one.gate: one for one in gates(found)}
    assert {one.outcome for one in said["fresh"].values()} <= {"passed", "cannot tell"}
    assert not any(one.refuses for one in said["fresh"].values())
    assert said["copied"]["membership by distance"].refuses and said["copied"]["near copies"].refuses
    assert sizes_to(1300) == [81, 162, 325, 650, 1300] and sizes_to(20) == [20] and sizes_to(0) == []


def test_an_axis_of_less_than_two_powers_of_ten_has_ticks_too():
    """At 1, 2 and 5, or at each digit; of many powers at these alone."""
    assert [name for _, name in Scale(0.001, 1, True).marks] == ["0.001", "0.01", "0.1", "1"]
    assert [name for _, name in Scale(0.08, 1, True).marks] == ["0.1", "0.2", "0.5", "1"]
    assert [name for _, name in Scale(0.42, 1, True).marks][:2] == ["0.5", "0.6"]
    assert [x for x, _ in Scale(1, 1e9, True).marks][-1] == 1e9


def test_a_picture_of_a_few_strokes_is_not_drawn():
    """Where what may be told is less than half of all, of the real ones or of the set, there is none."""
    whole, strokes = Line(np.arange(4.0), np.full(4, 0.25)), Line(np.arange(4.0), np.array([0.2, 0.2, np.nan, 0]))
    for real, own, shown in ((whole, whole, True), (whole, strokes, False), (strokes, whole, False)):
        assert _can_be_read({TEST: real, SYNTHETIC: own, CEILING: strokes}) == shown
