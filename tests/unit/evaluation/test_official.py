"""Official scores of challenges, held to loops that go by their descriptions, hour by hour."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.arrays import Bools, Floats
from tawt.evaluation.metrics import MIN_SE_PPV, Binary, best_threshold
from tawt.evaluation.official import EVENT_TWO, best_of_utility, event_one, utility
from tawt.evaluation.predictions import Predictions

RNG = np.random.default_rng(19)
HOUR = 3_600_000_000


def stay_utility(labels: list[int], warns: list[int]) -> float:
    """What the warnings of one stay are worth, as the description says it of each hour.

    Source: https://physionet.org/content/challenge-2019/1.0.0/
    """
    total, t_sepsis = 0.0, labels.index(1) + 6 if 1 in labels else None
    for t, warn in enumerate(warns):
        if t_sepsis is None:
            total += -0.05 if warn else 0.0
        elif t > t_sepsis + 3:
            continue  # nothing counts any more
        elif t <= t_sepsis - 6:
            # from 0 at 12 hours before up to 1 at 6 hours before, and earlier no worse than a false alarm
            total += max((t - (t_sepsis - 12)) / 6, -0.05) if warn else 0.0
        else:
            # down to 0, or to -2 where it is missed, at 3 hours after
            total += (t_sepsis + 3 - t) / 9 if warn else -2 * (t - (t_sepsis - 6)) / 9
    return total


def normalized(stays: list[tuple[list[int], list[int]]]) -> float:
    """How far from silence, 0, to the best warnings, 1: from 12 hours before to 3 hours after."""
    came = sum(stay_utility(labels, warns) for labels, warns in stays)
    silence = sum(stay_utility(labels, [0] * len(labels)) for labels, _ in stays)
    best = 0.0
    for labels, _ in stays:
        t_sepsis = labels.index(1) + 6 if 1 in labels else -100
        best += stay_utility(labels, [int(t_sepsis - 12 <= t <= t_sepsis + 3) for t in range(len(labels))])
    return (came - silence) / (best - silence)


def some_stays(n: int, septic: float = 0.5) -> list[list[int]]:
    """Stays of 8 to 60 hours; labels begin anywhere, at the first and at the last hour too, and some last long."""
    found = []
    for _ in range(n):
        length = int(RNG.integers(8, 60))
        first = int(RNG.integers(0, length)) if RNG.random() < septic else length
        found.append([0] * first + [1] * (length - first))
    return [*found, [1] * 12, [0] * 20 + [1], [0] * 9]


def told(stays: list[list[int]], scores: Floats) -> Predictions:
    subject = np.repeat(np.arange(len(stays)), [*map(len, stays)])
    hour = np.concatenate([np.arange(len(stay)) + 5 for stay in stays])
    return Predictions("binary", subject, hour * HOUR, Binary(np.concatenate(stays), scores), {})


def of_stays(stays: list[list[int]], above: Bools) -> list[tuple[list[int], list[int]]]:
    ends = np.cumsum([*map(len, stays)])
    return [(stay, part.astype(int).tolist()) for stay, part in zip(stays, np.split(above, ends[:-1]), strict=True)]


def test_one_stay_has_the_utility_of_the_official_example() -> None:
    """The example in the challenge's own scoring: its warnings are worth 3.388..., and the loop here says so too."""
    labels, warns = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]
    assert stay_utility(labels, warns) == pytest.approx(3.388888888888889)
    asked = told([labels], np.array(warns, dtype=float))
    assert utility(asked, 0.5)(asked.outcome).value == pytest.approx(normalized([(labels, warns)])) == 0.8125


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9, np.inf])
def test_utility_is_that_of_the_description(threshold: float) -> None:
    """Of many stays, with warnings from none to all, it is what the loop counts; a stay that is drawn twice counts twice."""
    stays = some_stays(60)
    scores = np.round(RNG.random(sum(map(len, stays))), 2)
    asked = told(stays, scores)
    pairs = of_stays(stays, scores >= threshold)
    metric = utility(asked, threshold)
    assert metric(asked.outcome).value == pytest.approx(normalized(pairs))
    times = RNG.integers(0, 3, len(stays))
    drawn = [pair for pair, n in zip(pairs, times, strict=True) for _ in range(n)]
    assert metric(asked.outcome, times[asked.subject_id]).value == pytest.approx(normalized(drawn))


def test_the_best_threshold_is_the_best_of_all() -> None:
    """No distinct score, and no silence, has a larger utility on the rows that it is chosen on."""
    stays = some_stays(40)
    labels = np.concatenate(stays)
    scores = np.round(0.3 * labels + RNG.random(len(labels)), 2)
    asked = told(stays, scores)
    best = best_of_utility(asked)
    assert best is not None
    all_of = [normalized(of_stays(stays, scores >= t)) for t in (*np.unique(scores), np.inf)]
    assert normalized(of_stays(stays, scores >= best)) == pytest.approx(max(all_of)) and max(all_of) > 0


def test_where_every_warning_does_harm_none_is_given() -> None:
    """What is high where nobody is septic has a threshold above all of it, worth 0; with one class there is none."""
    stays = [[0] * 300, [0] * 300, [0] * 20 + [1] * 8]
    scores = np.concatenate([np.full(600, 0.9), np.full(28, 0.1)])
    asked = told(stays, scores)
    assert normalized(of_stays(stays, scores >= 0.1)) < 0
    best = best_of_utility(asked)
    assert best is not None and 0.9 < best < 0.91 and utility(asked, best)(asked.outcome).value == 0
    nobody = told(stays[:2], scores[:600])
    assert best_of_utility(nobody) is None and utility(nobody, 0.5)(nobody.outcome).reason == "one class"


Y = (RNG.random(400) < 0.2).astype(float)
P = np.clip(0.3 * Y + 0.6 * RNG.random(400), 0.01, 0.99)


def test_event_one_is_measured_at_a_threshold_from_elsewhere() -> None:
    """At the best threshold of the same rows it is the largest possible; at one that nobody reaches it is 0."""
    outcome = Binary(Y, P)
    best = best_threshold(outcome)
    assert best is not None and event_one(best)(outcome).value == pytest.approx(MIN_SE_PPV(outcome).value)
    above = P >= 0.5
    found, right = Y[above].sum() / Y.sum(), Y[above].mean()
    assert found != right and event_one(0.5)(outcome).value == pytest.approx(min(found, right))
    assert event_one(2.0)(outcome).value == 0
    assert event_one(0.5)(Binary(np.ones(9), P[:9])).reason == "one class"


def test_events_of_weights_are_those_of_repeated_rows() -> None:
    """Whole weights are rows repeated as often."""
    times = RNG.integers(0, 4, 400)
    again = np.repeat(np.arange(400), times)
    for metric in (event_one(0.4), EVENT_TWO):
        found = metric.of(Binary(Y, P), times[None].astype(float))[0]
        assert found == pytest.approx(metric(Binary(Y[again], P[again])).value), metric.name


@pytest.mark.parametrize(("n", "p"), [(400, P), (397, P), (400, P.round(1))], ids=["even", "odd", "ties"])
def test_event_two_is_h_over_the_range_of_deciles(n: int, p: np.ndarray) -> None:
    """Ten tenths by risk, rounded down; squared distance over variance + .001, over the range of their mean risks."""
    order = sorted(range(n), key=lambda i: p[i])
    size, h, mean = n // 10, 0.0, []
    for tenth in range(10):
        rows = order[tenth * size : (tenth + 1) * size]
        mean.append(sum(p[i] for i in rows) / size)
        h += (sum(Y[i] for i in rows) - size * mean[-1]) ** 2 / (size * mean[-1] * (1 - mean[-1]) + 0.001)
    assert EVENT_TWO(Binary(Y[:n], p[:n])).value == pytest.approx(h / (mean[9] - mean[0]))
    assert EVENT_TWO(Binary(Y[:9], p[:9])).reason == "fewer than 10 rows"
    assert EVENT_TWO(Binary(Y, np.full(400, 0.2))).reason == "lowest and highest tenth have the same risk"
