"""Rules that label a record by its times alone, and invented records that show it.

Every record is drawn with its twin: the same events with the same values in the same order over the same span, and
the other label. Only the gaps between the events differ (of `clock` only the time of day), so whatever else is known of a
record says nothing of its label.
A further rule is one more function in `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tawt.arrays import Floats, Ints

Rng = np.random.Generator

N_COMMON = 6
START, P, Q, A, B = range(N_COMMON, N_COMMON + 5)
"""Events that a rule may name; those below are common ones, which mean nothing."""
N_TYPES = N_COMMON + 5
CODES = (*(f"COMMON//{i}" for i in range(N_COMMON)), "START", "P", "Q", "A", "B")

INTERVAL_HOURS = 3.5
WINDOW_HOURS = 2.0


@dataclass(frozen=True)
class Twins:
    """Two records of `n` events that differ in their gaps alone."""

    events: Ints
    """`(n,)`, 0 .. N_TYPES - 1."""
    gaps: Floats
    """`(2, n - 1)` hours between neighbours, of the record with label 0 and of the one with label 1."""
    clock: Floats = field(default_factory=lambda: np.zeros(2))
    """`(2,)`, hour of the day at which either begins."""


@dataclass(frozen=True)
class Rule:
    """One task."""

    says: str
    """When the label is 1."""
    twins: Callable[[Rng], Twins]
    """Draws a record of each label."""
    label: Callable[[Ints, Floats], bool]
    """The rule itself: (events `(n,)`, hours `(n,)` of the clock) -> label."""


def _common(rng: Rng, n: int) -> Ints:
    return rng.integers(0, N_COMMON, n)


def _interval(rng: Rng) -> Twins:
    """The same short and long gaps lie in another order: between P and Q are one or two long ones, or short ones."""
    n, inside = int(rng.integers(12, 21)), int(rng.integers(1, 3))
    events = _common(rng, n)
    first = int(rng.integers(0, n - inside))
    events[first], events[first + inside] = P, Q
    between = np.zeros(n - 1, dtype=bool)
    between[first : first + inside] = True
    short, long = rng.uniform(0.2, 1.5, (n - 1) // 2), rng.uniform(4.0, 9.0, n - 1 - (n - 1) // 2)
    gaps = np.empty((2, n - 1))
    for label, (near, far) in enumerate(((short, long), (long, short))):
        gaps[label, between] = near[:inside]
        gaps[label, ~between] = rng.permutation(np.concatenate((near[inside:], far)))
    return Twins(events, gaps)


def _interval_label(events: Ints, hours: Floats) -> bool:
    return bool(hours[events == Q][0] - hours[events == P][0] > INTERVAL_HOURS)


def _rate(rng: Rng) -> Twins:
    """Gaps that grow along the record, or the same gaps the other way round."""
    n = int(rng.integers(12, 21))
    events = _common(rng, n)
    events[0] = START
    # noisy steps, of which the later half is always the slower one
    gaps = 4.0 ** np.linspace(0, 1, n - 1) * rng.lognormal(0, 0.3, n - 1)
    half = (n - 1) // 2
    if gaps[:half].mean() > gaps[-half:].mean():
        gaps = gaps[::-1]
    return Twins(events, np.stack((gaps, gaps[::-1])))


def _rate_label(events: Ints, hours: Floats) -> bool:
    gaps = np.diff(hours)
    half = len(gaps) // 2
    return bool(gaps[:half].mean() > gaps[-half:].mean())


def _window(rng: Rng) -> Twins:
    """One gap of each record is short: it lies between an A and a B, or elsewhere."""
    while True:
        n = int(rng.integers(12, 21))
        events = _common(rng, n)
        events[rng.choice(n, 4, replace=False)] = A, A, B, B
        meets = np.isin(events[:-1], (A, B)) & np.isin(events[1:], (A, B)) & (events[:-1] != events[1:])
        if meets.any() and not meets.all():
            break
    gaps = rng.uniform(1.25 * WINDOW_HOURS, 4 * WINDOW_HOURS, (1, n - 1)).repeat(2, 0)
    near, far = int(rng.choice(np.flatnonzero(meets))), int(rng.choice(np.flatnonzero(~meets)))
    short = rng.uniform(0.1, 0.75) * WINDOW_HOURS
    gaps[0, far], gaps[0, near] = short, gaps[0, far]
    gaps[1, near], gaps[1, far] = short, gaps[0, near]
    return Twins(events, gaps)


def _window_label(events: Ints, hours: Floats) -> bool:
    return bool(np.abs(hours[events == A][:, None] - hours[events == B]).min() <= WINDOW_HOURS)


def _rhythm(rng: Rng) -> Twins:
    """Events at random times, or at even steps, over the same span."""
    n = int(rng.integers(12, 21))
    even, random = rng.uniform(0.9, 1.1, n - 1), rng.exponential(1.0, n - 1)
    span = (n - 1) * rng.uniform(1.5, 3.0)
    return Twins(_common(rng, n), np.stack((random * (span / random.sum()), even * (span / even.sum()))))


def _rhythm_label(events: Ints, hours: Floats) -> bool:
    gaps = np.diff(hours)
    return bool(gaps.std() < 0.2 * gaps.mean())


def _elapsed(rng: Rng) -> Twins:
    """P comes after the same events in both, early or late in the record's span: the gaps before and after it change."""
    n = int(rng.integers(12, 21))
    events = _common(rng, n)
    at = int(rng.integers(4, n - 5))
    events[0], events[at] = START, P
    gaps = rng.uniform(0.5, 1.5, (1, n - 1)).repeat(2, 0)
    span = (n - 1) * rng.uniform(1.5, 3.0)
    for label, share in enumerate((rng.uniform(0.15, 0.42), rng.uniform(0.58, 0.85))):
        gaps[label, :at] *= share * span / gaps[label, :at].sum()
        gaps[label, at:] *= (1 - share) * span / gaps[label, at:].sum()
    return Twins(events, gaps)


def _elapsed_label(events: Ints, hours: Floats) -> bool:
    return bool(hours[events == P][0] - hours[0] > (hours[-1] - hours[0]) / 2)


def _clock(rng: Rng) -> Twins:
    """P comes by day or by night, in records that begin at another hour and are the same else."""
    n = int(rng.integers(12, 21))
    events = _common(rng, n)
    at = int(rng.integers(n))
    events[at] = P
    gaps = rng.uniform(0.5, 6.0, (1, n - 1)).repeat(2, 0)
    comes = np.array([rng.uniform(20.5, 31.5), rng.uniform(8.5, 19.5)])
    return Twins(events, gaps, (comes - gaps[0, :at].sum()) % 24)


def _clock_label(events: Ints, hours: Floats) -> bool:
    return bool(8 <= hours[events == P][0] % 24 < 20)


RULES: dict[str, Rule] = {
    "interval": Rule(f"Q comes more than {INTERVAL_HOURS} h after P", _interval, _interval_label),
    "rate": Rule("the events after START speed up", _rate, _rate_label),
    "window": Rule(f"an A and a B lie within {WINDOW_HOURS:g} h", _window, _window_label),
    "rhythm": Rule("the events come at even steps", _rhythm, _rhythm_label),
    "elapsed": Rule("P comes in the second half of the record's span", _elapsed, _elapsed_label),
    "clock": Rule("P comes between 8 and 20 o'clock", _clock, _clock_label),
}
"""Every task, by name."""


@dataclass(frozen=True)
class Record:
    """A labelled record."""

    events: Ints
    """`(n,)`."""
    values: Floats
    """`(n,)`, a number per event, which says nothing."""
    hours: Floats
    """`(n,)`, since an origin of no meaning."""
    label: bool
    """See the rule."""
    origin: float = 0.0
    """Hours of the calendar at the origin."""


def draw_record(rule: Rule, rng: Rng) -> Record:
    """Draw twins and keep one of them; the label is a fair coin."""
    twins, label = rule.twins(rng), bool(rng.integers(2))
    hours = rng.uniform(0, 24) + np.concatenate(([0.0], np.cumsum(twins.gaps[int(label)])))
    values = rng.normal(size=len(twins.events))
    days = 24.0 * rng.integers(30_000) if twins.clock.any() else 0.0
    return Record(twins.events, values, hours, label, twins.clock[int(label)] - hours[0] + days)
