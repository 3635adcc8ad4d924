"""The course of the invented patients: who is admitted when, what is measured then, and its number.

A number is the sum of a patient's own level, a slow drift in time and a little noise; level and drift are
partly those of hidden causes (`dictionary.FACTORS`) that several items share. So a value can be told from the
patient's other values, and the nearer in time the better: what masked reconstruction has to learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats, Ints
from tawt.hospital.dictionary import FACTORS, INDEX, ITEM_IDS, ITEMS, LIMITS, PANELS, loadings

LONE, LARGE = 0, 1
"""Subject numbers of the one with a single event and the one with very many."""

EPISODES = 3
EPISODE_HOURS = 14
FIRST_EPISODE_HOUR = 4
QUIET_HOURS = FIRST_EPISODE_HOUR + EPISODES * EPISODE_HOURS
"""Hours at the start of an admission that hold the planted signal and nothing else: 46."""

SOON = 3
"""Every third subject comes back within 26 days of each discharge; the others stay away for months."""
DRAW_STEP_HOURS = 7
LARGE_ADMISSIONS = 6
ROWS_PER_WARD_HOUR, ROWS_PER_ICU_HOUR = 2.0, 6.9
"""Roughly what is recorded per hour, to size the large subject."""

VITALS = (220045, 220210, 220277, 220179, 220180, 220181)
COMA_SCALE = (220739, 223900, 223901, 220048)
LOW_POTASSIUM, HIGH_POTASSIUM = 2.8, 6.2
NEVER = -1


@dataclass(frozen=True)
class Stays:
    """Admissions, one entry each, in order of subject and time; minutes count from 1970."""

    subject: Ints
    start: Ints
    hours: Floats
    icu_start: Ints
    """Minutes after admission, `NEVER` without intensive care."""
    icu_hours: Ints
    planted: NDArray[np.bool_]
    died: NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Records of one event table, as numbers: moments (who, where, when) and what was measured in each."""

    subject: Ints
    stay: Ints
    minute: Ints
    moment: Ints
    item: Ints
    number: Floats
    planted: NDArray[np.bool_]


def plan_stays(n_subjects: int, quick: Ints, rng: np.random.Generator) -> Stays:
    """Draw every subject's admissions; `quick` is 1, 0 or `NEVER` (no planted signal) per subject."""
    n_stays = 1 + rng.integers(0, 3, n_subjects)
    n_stays[LONE], n_stays[LARGE] = 0, LARGE_ADMISSIONS
    subject = np.repeat(np.arange(n_subjects), n_stays)
    order = _counter(n_stays)
    last = order == n_stays[subject] - 1
    planted = last & (quick[subject] != NEVER)
    hours = np.where(planted, QUIET_HOURS + 14, 24) + rng.gamma(2.0, 20.0, len(subject))
    room = np.where(planted, QUIET_HOURS + 1, 2)
    icu_hours = np.minimum(rng.integers(10, 60, len(subject)), hours - room - 2).astype(np.int64)
    icu_hours[(rng.random(len(subject)) < 0.45) | (icu_hours < 6)] = 0
    large = subject == LARGE
    ordinary = ROWS_PER_WARD_HOUR * hours[~large].sum() + ROWS_PER_ICU_HOUR * icu_hours[~large].sum()
    target = min(20 * ordinary / n_subjects, 0.12 / 0.88 * ordinary) / LARGE_ADMISSIONS
    hours[large] = target / (ROWS_PER_WARD_HOUR + ROWS_PER_ICU_HOUR) + 4
    icu_hours[large] = (hours[large] - 4).astype(np.int64)
    icu_start = (60 * (room + rng.random(len(subject)) * (hours - room - icu_hours - 1))).astype(np.int64)
    # every other one is left with the hospital, so that who dies then dies in intensive care
    to_the_end = (icu_hours % 2 == 0) & ~large
    icu_start = np.where(to_the_end, (60 * hours).astype(np.int64) - 60 * icu_hours, icu_start)
    day = 24 * 60
    first = (np.datetime64("2110-01-01", "m").astype(np.int64) + rng.integers(0, 75 * 365 * day, n_subjects))[subject]
    later = rng.integers(0, 100 * day, len(subject))
    start = first + order * 200 * day + later
    for one in np.flatnonzero((order > 0) & (subject % SOON == 0) & ~large):
        start[one] = start[one - 1] + int(60 * hours[one - 1]) + day + later[one] // 4
    chance = np.where(planted, np.where(quick[subject] == 1, 0.8, 0.05), np.where(last, 0.05, 0.0))
    died = rng.random(len(subject)) < chance
    return Stays(subject, start, hours, np.where(icu_hours > 0, icu_start, NEVER), icu_hours, planted, died)


class Physiology:
    """Levels and drifts of every subject and item; `numbers` reads them off at given minutes."""

    def __init__(self, n_subjects: int, rng: np.random.Generator) -> None:
        n_items, n_factors = len(ITEMS), len(FACTORS)
        self.causes = rng.standard_normal((n_subjects, n_factors))
        self._own = rng.standard_normal((n_subjects, n_items))
        self._cause_waves = _waves((n_subjects, n_factors), rng)
        self._own_waves = _waves((n_subjects, n_items), rng)
        self._loadings = loadings(ITEMS)
        self._rest = np.sqrt(1 - (self._loadings**2).sum(1))

    def numbers(self, subject: Ints, minute: Ints, moment: Ints, item: Ints, rng: np.random.Generator) -> Floats:
        """Return each row's number, rounded as the item is charted; NaN where the item answers in words."""
        hours = minute / 60.0
        shared = 0.75 * self.causes[subject] + 0.6 * _drift(self._cause_waves, (subject,), hours[:, None, None])
        numeric = item < len(ITEMS)
        j, m = item[numeric], moment[numeric]
        s = subject[m]
        own = 0.75 * self._own[s, j] + 0.6 * _drift(self._own_waves, (s, j), hours[m][:, None])
        z = (self._loadings[j] * shared[m]).sum(1) + self._rest[j] * own + 0.2 * rng.standard_normal(len(j))
        value = np.array([x.mean for x in ITEMS])[j] + np.array([x.spread for x in ITEMS])[j] * z
        value = np.where(np.array([x.skewed for x in ITEMS])[j], np.exp(np.minimum(value, 12)), value)
        low, high = np.array([LIMITS.get(x.itemid, (0, np.inf)) for x in ITEMS], dtype=float).T
        scale = 10.0 ** np.array([x.decimals for x in ITEMS])[j]
        out = np.full(len(item), np.nan)
        out[numeric] = np.round(np.clip(value, low[j], high[j]) * scale) / scale
        return out


def lab_rows(stays: Stays, quick: Ints, body: Physiology, rng: np.random.Generator) -> Rows:
    """Draw bloods: visits before the first stay, every few hours in a stay, and the planted episodes."""
    n_subjects, n_stays = len(quick), len(stays.subject)
    every = np.arange(n_stays)
    n_visits = rng.integers(0, 3, n_subjects)
    n_visits[LONE] = 0
    visitor = np.repeat(np.arange(n_subjects), n_visits)
    first_stay = np.searchsorted(stays.subject, visitor)
    visit = stays.start[first_stay] - rng.integers(5, 60, len(visitor)) * 1440 - rng.integers(0, 600, len(visitor))
    begin = np.where(stays.planted, QUIET_HOURS * 60, 30)
    n_draws = (stays.hours * 60 - begin - 30).astype(np.int64) // (DRAW_STEP_HOURS * 60) + 1
    draw_stay, nth = np.repeat(every, n_draws), _counter(n_draws)
    jitter = np.where(nth > 0, rng.integers(0, 300, len(nth)), 0)
    draw = stays.start[draw_stay] + begin[draw_stay] + nth * DRAW_STEP_HOURS * 60 - jitter
    planted = every[stays.planted]
    stay = np.concatenate([np.full(len(visitor), NEVER), draw_stay, planted])
    subject = np.concatenate([visitor, stays.subject[draw_stay], stays.subject[planted]])
    minute = np.concatenate([visit, draw, stays.start[planted] + 30])
    parts = []
    for items, share in PANELS:
        chosen = np.flatnonzero(rng.random(len(minute)) < share)
        parts.append((np.repeat(chosen, len(items)), np.tile([INDEX[i] for i in items], len(chosen))))

    # An episode is an abnormal panel, then potassium again. Quick and slow ones mirror one another: the same
    # rows in the same order and the same pair of gaps, so that only the order of the gaps tells them apart.
    episode_stay = np.repeat(planted, EPISODES)
    panel_at = stays.start[episode_stay] + 60 * (
        FIRST_EPISODE_HOUR + EPISODE_HOURS * np.tile(np.arange(EPISODES), len(planted))
    )
    gap = rng.integers(75, 120, len(episode_stay))
    again_at = panel_at + np.where(quick[stays.subject[episode_stay]] == 1, gap, EPISODE_HOURS * 60 - gap)
    panel_m = len(minute) + np.arange(len(episode_stay))
    again_m = panel_m + len(episode_stay)
    lone_m = len(minute) + 2 * len(episode_stay)
    panel = [INDEX[i] for i in (50971, 50983, 50902, 50882)]
    parts.append((np.repeat(panel_m, len(panel)), np.tile(panel, len(panel_m))))
    parts.append((again_m, np.full(len(again_m), INDEX[50971])))
    parts.append((np.array([lone_m]), np.array([INDEX[50912]])))
    stay = np.concatenate([stay, episode_stay, episode_stay, [NEVER]])
    subject = np.concatenate([subject, *[stays.subject[episode_stay]] * 2, [LONE]])
    minute = np.concatenate([minute, panel_at, again_at, [np.datetime64("2150-06-01T08:00", "m").astype(np.int64)]])

    moment, item = (np.concatenate(column) for column in zip(*parts, strict=True))
    number = body.numbers(subject, minute, moment, item, rng)
    potassium = item == INDEX[50971]
    abnormal = np.where(rng.random(len(panel_m)) < 0.5, LOW_POTASSIUM, HIGH_POTASSIUM)
    abnormal = np.round(abnormal + 0.25 * rng.standard_normal(len(panel_m)), 1)
    number[potassium & (moment >= panel_m[0]) & (moment <= panel_m[-1])] = abnormal
    number[(moment >= again_m[0]) & (moment <= again_m[-1])] = np.round(
        4.2 + 0.5 * (abnormal - 4.2) + 0.25 * rng.standard_normal(len(again_m)), 1
    )
    return by_time(subject, stay, minute, moment, item, number, moment >= panel_m[0])


def chart_rows(stays: Stays, body: Physiology, rng: np.random.Generator) -> Rows:
    """Chart vital signs about hourly in intensive care, the coma scale and temperature every four hours."""
    stay = np.repeat(np.arange(len(stays.subject)), stays.icu_hours)
    hour = _counter(stays.icu_hours)
    minute = stays.start[stay] + stays.icu_start[stay] + hour * 60 + rng.integers(0, 40, len(stay))
    seen = rng.random(len(stay)) < 0.93
    celsius = rng.random(len(stays.subject))[stay] < 0.25
    parts = []
    for items, mask in (
        (VITALS, seen),
        (COMA_SCALE, seen & (hour % 4 == 1)),
        ((223761,), seen & (hour % 4 == 0) & ~celsius),
        ((223762,), seen & (hour % 4 == 0) & celsius),
        ((225664,), rng.random(len(stay)) < 0.17),
        ((226512,), hour == 0),
    ):
        chosen = np.flatnonzero(mask)
        parts.append((np.repeat(chosen, len(items)), np.tile([INDEX[i] for i in items], len(chosen))))
    moment, item = (np.concatenate(column) for column in zip(*parts, strict=True))
    subject = stays.subject[stay]
    number = body.numbers(subject, minute, moment, item, rng)
    return by_time(subject, stay, minute, moment, item, number, np.zeros(len(item), dtype=np.bool_))


def by_time(
    subject: Ints, stay: Ints, minute: Ints, moment: Ints, item: Ints, number: Floats, planted: NDArray[np.bool_]
) -> Rows:
    """Return records in order; `subject`, `stay` and `minute` are of moments."""
    order = np.lexsort((ITEM_IDS[item], minute[moment], subject[moment]))
    m = moment[order]
    return Rows(subject[m], stay[m], minute[m], m, item[order], number[order], planted[order])


def _counter(counts: Ints) -> Ints:
    """Return 0, 1, ... anew for each count, laid end to end."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1]) - np.repeat(ends - counts, counts)


def _waves(shape: tuple[int, int], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw angular speeds (periods of 36 to 240 hours) and phases of three waves per entry, `(*shape, 3)`."""
    period = np.exp(rng.uniform(np.log(36), np.log(240), (*shape, 3)))
    return 2 * np.pi / period, rng.uniform(0, 2 * np.pi, (*shape, 3))


def _drift(waves: tuple[Floats, Floats], index: tuple[Ints, ...], hours: Floats) -> Floats:
    """Return the sum of the entry's waves at `hours`: smooth, of variance 1, readable at any time."""
    speed, phase = waves
    drift: Floats = np.cos(speed[index] * hours + phase[index]).sum(-1) * np.sqrt(2 / 3)
    return drift
