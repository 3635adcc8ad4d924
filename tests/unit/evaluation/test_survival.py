"""Survival metrics, held to their definitions pair by pair and row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from tawt.errors import ContractError
from tawt.evaluation.kaplan_meier import kaplan_meier
from tawt.evaluation.measure import measured
from tawt.evaluation.survival import (
    C_INDEX,
    D_CALIBRATION,
    HARRELL,
    INTEGRATED_BRIER,
    OF_SURVIVAL,
    Survival,
    at_horizons,
    d_calibration_p,
    until,
)

RNG = np.random.default_rng(2)
N = 90
X = RNG.normal(size=N)
LIFE, END = RNG.exponential(np.exp(-X)), RNG.exponential(2, N)
TIME = np.round(np.minimum(LIFE, END), 1)  # with ties
EVENT = LIFE <= END
RISK = (X + RNG.normal(size=N)).round(1)
AT = np.array([0.5, 1.0, 2.0])
CURVE = np.exp(-AT * np.exp(0.7 * RISK)[:, None])


def left_at(t: float, ends: np.ndarray, first: np.ndarray | None = None) -> float:
    """Product over the distinct times up to `t` of one minus ends over those left; `first` go before at equal times."""
    share = 1.0
    for u in sorted(set(TIME[t >= TIME])):
        n_left = (u <= TIME).sum() - (0 if first is None else ((u == TIME) & first).sum())
        share *= 1 - ((u == TIME) & ends).sum() / max(n_left, 1)
    return share


def watched(t: float) -> float:
    """The chance to be watched to just before `t`."""
    return left_at(t - 1e-9, ~EVENT, EVENT)


def test_lifelines_says_the_same() -> None:
    """The Kaplan-Meier curve with its interval, and Harrell's concordance, with ties of times and of risks."""
    lifelines = pytest.importorskip("lifelines", reason="lifelines is not installed")
    theirs, ours = lifelines.KaplanMeierFitter().fit(TIME, EVENT), kaplan_meier(TIME, EVENT)
    at = theirs.survival_function_.index.to_numpy()
    assert ours.at(at) == pytest.approx(theirs.survival_function_["KM_estimate"].to_numpy())
    inner = (ours.survival > 0) & (ours.survival < 1)
    between = theirs.confidence_interval_.loc[ours.time[inner]].to_numpy()
    assert np.stack((ours.low, ours.high), 1)[inner] == pytest.approx(between)
    index = lifelines.utils.concordance_index(TIME, -RISK, EVENT)
    assert measured([HARRELL], Survival(TIME, EVENT, RISK))[HARRELL.name].value == pytest.approx(index)


def test_kaplan_meier_is_a_product_over_times() -> None:
    """After each time the share left is the product so far; the interval is within 0 and 1 and holds it."""
    curve = kaplan_meier(TIME, EVENT)
    assert curve.survival == pytest.approx([left_at(t, EVENT) for t in curve.time])
    assert curve.at([0.0, 1.05]) == pytest.approx([left_at(0.0, EVENT), left_at(1.05, EVENT)])
    inner = (curve.survival > 0) & (curve.survival < 1)
    assert (curve.low[inner] < curve.survival[inner]).all() and (curve.survival[inner] < curve.high[inner]).all()
    assert curve.low[inner].min() >= 0 and curve.high[inner].max() <= 1
    known = kaplan_meier([6, 6, 6, 6, 7, 9, 10, 10, 11, 13], [1, 1, 1, 0, 1, 0, 1, 0, 0, 1])
    assert known.survival[:4] == pytest.approx([0.7, 0.7 * 5 / 6, 0.7 * 5 / 6, 0.7 * 5 / 6 * 3 / 4])


@pytest.mark.parametrize("corrected", [True, False])
def test_concordance_is_over_pairs_that_are_seen(corrected: bool) -> None:
    """Each pair with an event while the other is watched counts, by the squared chance of being watched where corrected."""
    right = pairs = 0.0
    for i in np.flatnonzero(EVENT):
        own = 1 / watched(TIME[i]) ** 2 if corrected else 1.0
        for j in range(N):
            if TIME[i] < TIME[j] or (TIME[i] == TIME[j] and not EVENT[j]):
                pairs += own
                right += own * ((RISK[i] > RISK[j]) + 0.5 * (RISK[i] == RISK[j]))
    found = (C_INDEX if corrected else HARRELL)(Survival(TIME, EVENT, RISK)).value
    assert found == pytest.approx(right / pairs) and found > 0.55


def test_brier_and_auroc_at_horizons_count_those_watched_for_the_others() -> None:
    """Events by then weigh one over the chance to be watched to them, the others one over that to the horizon."""
    outcome = Survival(TIME, EVENT, horizons=AT, survival=CURVE)
    found = measured((*at_horizons(AT), INTEGRATED_BRIER), outcome)
    each = []
    for i, h in enumerate(AT):
        total, right, pairs = 0.0, 0.0, 0.0
        for j in range(N):
            if TIME[j] > h:
                total += (1 - CURVE[j, i]) ** 2 / left_at(h, ~EVENT, EVENT)
            elif EVENT[j]:
                total += CURVE[j, i] ** 2 / watched(TIME[j])
                later = CURVE[h < TIME, i]
                pairs += len(later) / watched(TIME[j])
                right += ((CURVE[j, i] < later).sum() + 0.5 * (CURVE[j, i] == later).sum()) / watched(TIME[j])
        each.append(total / N)
        assert found[f"brier:{h:g}"].value == pytest.approx(each[-1])
        assert found[f"auroc:{h:g}"].value == pytest.approx(right / pairs)
    area = (each[0] + each[1]) / 2 * 0.5 + (each[1] + each[2]) / 2 * 1.0
    assert found["integrated_brier"].value == pytest.approx(area / 1.5)


def test_survival_of_weights_is_that_of_repeated_rows() -> None:
    """Every metric of whole weights is that of rows repeated as often, in a batch of weightings too."""
    w = RNG.integers(0, 3, N).astype(float)
    again = np.repeat(np.arange(N), w.astype(int))
    whole = Survival(TIME, EVENT, horizons=AT, survival=CURVE)
    repeated = Survival(TIME[again], EVENT[again], horizons=AT, survival=CURVE[again])
    for metric in (*OF_SURVIVAL, *at_horizons(AT)):
        both = metric.of(whole, np.stack([np.ones(N), w]))
        assert both[1] == pytest.approx(metric(repeated).value), metric.name
        assert both[0] == pytest.approx(metric(whole).value), metric.name


def test_survival_at_own_times_is_uniform_where_it_is_true() -> None:
    """Tenths of predicted survival at the event hold a tenth each; who is cut short counts in each bin below."""
    life, end = RNG.exponential(np.exp(-RISK)), RNG.exponential(1.5, N)
    fine = np.linspace(0.01, 30, 3000)
    curve = np.exp(-fine * np.exp(RISK)[:, None])
    outcome = Survival(np.minimum(life, end), life <= end, horizons=fine, survival=curve)
    shares = np.zeros(10)
    for t, event, r in zip(outcome.time, outcome.event, RISK, strict=True):
        s = math.exp(-t * math.exp(r))
        for i in range(10):
            if event:
                shares[i] += i / 10 <= s < (i + 1) / 10
            else:
                shares[i] += max(0.0, min(s, (i + 1) / 10) - i / 10) / s
    statistic = ((shares - N / 10) ** 2 / (N / 10)).sum()
    assert D_CALIBRATION(outcome).value == pytest.approx(statistic, rel=0.02)
    assert d_calibration_p(statistic) > 0.001
    wrong = D_CALIBRATION(Survival(outcome.time, outcome.event, horizons=fine, survival=curve**6)).value
    assert wrong is not None and d_calibration_p(wrong) < 1e-6


def test_who_is_cut_short_with_no_chance_left_is_in_the_last_bin() -> None:
    """A predicted survival of zero before the event leaves the lowest bin alone."""
    outcome = Survival([1.0] * 10, [0] * 10, horizons=[1.0], survival=np.zeros((10, 1)))
    assert D_CALIBRATION(outcome).value == pytest.approx(9 + 9 * 9)


@pytest.mark.parametrize("x", [0.0, 0.3, 4.0, 9.0, 30.0])
def test_the_tail_of_chi_squared_is_right(x: float) -> None:
    """The chance of so large a statistic is that of chi-squared with nine degrees of freedom."""
    assert d_calibration_p(x) == pytest.approx(chi2.sf(x, 9))


def test_a_horizon_cuts_short_what_comes_later() -> None:
    """Events after the horizon are cut short there, those at it are kept."""
    time, event = until([1, 2, 3], [1, 1, 1], 2.0)
    assert time.tolist() == [1, 2, 2] and event.tolist() == [True, True, False]


def test_what_cannot_be_measured_says_why() -> None:
    """Without events there is no order, without curves no Brier, beyond the longest watched none either."""
    none = measured(OF_SURVIVAL, Survival([1, 2], [0, 0], [1, 2]))
    assert none["c_index_ipcw"].reason == none["c_index"].reason == "no event"
    assert none["integrated_brier"].reason == "survival was not predicted at two horizons"
    assert C_INDEX(Survival([1, 1], [1, 1], [1, 2])).reason == "no pair of which one is seen to be sooner"
    late = Survival([1, 2], [1, 0], horizons=[1.5, 5.0], survival=[[0.5, 0.4], [0.6, 0.5]])
    assert measured(at_horizons([1.5, 5.0]), late)["brier:5"].reason == "nobody is watched so long"
    with pytest.raises(ContractError, match="rises"):
        Survival([1.0], [1], horizons=[1, 2], survival=[[0.2, 0.3]])
    with pytest.raises(ContractError, match="nor is survival"):
        Survival([1.0], [1])


def test_an_event_at_a_horizon_came_by_it() -> None:
    """To C as to AUROC and Brier: of times in whole hours, those of the horizon itself are often most."""
    outcome = Survival([6, 6, 12, 12], [1, 1, 0, 0], horizons=[6.0], survival=[[0.2], [0.8], [0.7], [0.9]])
    found = measured(at_horizons([6.0]), outcome)
    assert found["c_index_ipcw:6"].value == found["auroc:6"].value == 0.75
